"""What a call may be about, in every context: ties, masked classes, infinities, NaN, subnormals, the edge of overflow,
an empty batch, weights that nothing reads, and results that are held while other calls are made.

Each is put into the valid call of a context. What is legal comes from a call on a grid that stands for it: a masked
class is one far below the margin, an infinite target one far above it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multimargin_conformance.calling import Arrays
from multimargin_conformance.capabilities import Capabilities
from multimargin_conformance.checks.contexts import turned, valid
from multimargin_conformance.checks.item import Item, Scope
from multimargin_conformance.checks.single import part_of
from multimargin_conformance.judge import Finding, judge
from multimargin_conformance.outcome import Observation, Returned
from multimargin_conformance.session import PASS, Result, Session, result_of
from multimargin_reference.case import Case
from multimargin_reference.exact_values import exact_values
from multimargin_reference.expectation import Enclosures
from multimargin_reference.grid_enclosure import grid_values
from multimargin_vectors.families.covering import without_kinks

FAR = 64.0  # from the margin
MOST_CLOSE = 4  # classes, of which the next one is near enough to the last
REPEATS = 6  # of the mean of an empty batch
WRITTEN = 77.0  # into a result that is held
SMALLEST = {"float32": -149, "float64": -1074}  # exponents; halves have too few for what is scaled
LARGEST = {"float32": 127, "float64": 1023}
Part = str


@dataclass(frozen=True)
class Expected:
    """A call and what is legal for the part that it is about."""

    case: Case
    values: Enclosures


@dataclass(frozen=True)
class Effect:
    """What is put into a call. clauses: of the loss and of the gradient, "" where it is not about it.

    change: the call and what is legal, None where the context has no such call. flushed: whether a backend that may
    flush subnormals may differ.
    """

    clauses: tuple[str, str]
    change: Callable[[Case, Part], Expected | None]
    flushed: bool = False


@dataclass(frozen=True)
class Made:
    """The calls of one effect in one dtype, out of those that are checked, for one part."""

    name: str
    dtype: str
    part: str
    dtypes: tuple[str, ...]
    capabilities: Capabilities

    @property
    def calls(self) -> list[Expected]:
        """One a context, made once a process."""
        return _calls(self)

    @property
    def has_calls(self) -> bool:
        """Whether there is a call at all; to make them all takes longer than to plan everything else."""
        return next(_made(self), None) is not None


def items(scope: Scope) -> Iterator[Item]:
    """Yield one item an effect, dtype and part."""
    for dtype in scope.dtypes:
        for name, effect in EFFECTS.items():
            for part, clause in zip(("loss", "gradient"), effect.clauses, strict=True):
                if not clause or (part == "gradient" and not scope.gradient) or (effect.flushed and scope.flush):
                    continue
                made = Made(name, dtype, part, scope.dtypes, scope.capabilities)
                if made.has_calls:
                    yield _item(made, clause)


@cache
def _calls(made: Made) -> list[Expected]:
    return list(_made(made))


def _made(made: Made) -> Iterator[Expected]:
    change = EFFECTS[made.name].change
    cases = (valid(context, made.dtype) for context in turned(made.dtype, made.dtypes))
    found = (change(case, made.part) for case in cases if not made.capabilities.leaves_out(case))
    yield from (expected for expected in found if expected is not None)


def _item(made: Made, clause: str) -> Item:
    test = TESTS.get(made.name, _judged)

    def run(session: Session) -> Result:
        for expected in made.calls:
            if finding := test(session, expected, made):
                return result_of(replace(finding, case=expected.case))
        return PASS

    def calls() -> list[tuple[Case, Arrays]]:
        return [(expected.case, {}) for expected in made.calls]

    id_ = f"{clause}/{made.dtype}/contexts-{made.name}/{made.part}"
    return Item(
        id_,
        clause,
        made.dtype,
        made.part,
        run,
        kind="contexts",
        calls=None if made.name in TESTS else calls,
        prepare=lambda: made.calls,
    )


def _judged(session: Session, expected: Expected, made: Made) -> Finding | None:
    observation = session.function(made.part)(expected.case)
    return judge(made.part, observation, expected.values, made.name)


def _repeated(session: Session, expected: Expected, made: Made) -> Finding | None:
    """The mean of nothing is 0 or NaN, the same of the two on every call."""
    seen = [session.function(made.part)(expected.case) for _ in range(REPEATS)]
    findings = (judge(made.part, observation, expected.values, made.name) for observation in seen)
    if finding := next((finding for finding in findings if finding), None):
        return finding
    answers = {bool(np.isnan(o.outcome.value).any()) for o in seen if isinstance(o.outcome, Returned)}
    return Finding("loss is 0 in one call and NaN in another, but should be the same") if len(answers) > 1 else None


def _held(session: Session, expected: Expected, made: Made) -> Finding | None:
    """A result stays what it is when another call of its shape is made, also once its owner has written into it."""
    session.needs("held")
    case, part = expected.case, made.part
    first, other = session.kept(part, case), replace(case, input=case.input[..., ::-1].copy(), margin=case.margin + 1)
    session.function(part)(other)
    if finding := judge(part, session.caller.now(first), expected.values, "looked at again after another call"):
        return finding
    session.caller.fill(first, WRITTEN)
    written = _is_written(session, first)
    again = session.function(part)(case)
    if finding := judge(part, again, expected.values, "after an earlier result was overwritten"):
        return finding
    if written and not _is_written(session, first):
        return Finding(f"{part}: what its owner wrote into a result was overwritten by a later call", {"part": part})
    return None


def _is_written(session: Session, seen: Observation) -> bool:
    """Whether a result holds what its owner wrote: one that is read-only, or was lost, does not."""
    outcome = session.caller.now(seen).outcome
    return isinstance(outcome, Returned) and bool((outcome.value.astype(np.float64) == WRITTEN).all())


def _exact(case: Case, part: str, *, subnormal: bool = False) -> Enclosures | None:
    asked = replace(case, grad_output=None) if part == "loss" else case
    values = exact_values(asked, subnormal=subnormal)
    return None if values is None else part_of(values, part)


def _as(case: Case, stand_in: Case, part: str) -> Expected | None:
    """Return the call with what is legal for the one that stands for it; halves have no bound of grids."""
    values = _exact(stand_in, part)
    if values is None and case.dtype in LARGEST:
        values = part_of(grid_values(stand_in), part)
    return None if values is None else Expected(case, values)


def _fine(case: Case, part: str) -> Expected | None:
    """Give the logits digits that a narrower dtype does not have: judged by the bound of grids."""
    if case.dtype not in LARGEST:
        return None
    # what is squared and added up has to stay exact in doubles, or the bound would be that of this module too
    step = 2.0**-36 if case.dtype == "float64" and (part == "gradient" or case.p == 1) else 2.0**-18
    x, y = _rows(case)
    x += step * (1 + np.arange(x.size).reshape(x.shape) % 5)
    x[np.arange(len(x)), y] += 3 * step
    fine = _with(case, x)
    return Expected(fine, part_of(grid_values(fine), part))


def _plain(case: Case, part: str) -> Expected | None:
    return _as(case, case, part)


def _rows(case: Case) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the logits as (N, C) doubles, a copy, and the targets as (N,)."""
    return np.atleast_2d(case.input).astype(np.float64), np.atleast_1d(case.target)


def _with(case: Case, x: NDArray[np.float64]) -> Case:
    return replace(case, input=x.reshape(case.input.shape).astype(case.input.dtype))


def _others(case: Case) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return, for every row, a class that is not its target, and the row's number; nothing for one class.

    Where there are many classes it is the last one in half of the rows.
    """
    y, classes = np.atleast_1d(case.target), case.input.shape[-1]
    row, after = np.arange(len(y)), (y + 1) % classes
    last = (classes > MOST_CLOSE) & ((row + classes) % 2 == 1) & (y != classes - 1)
    return np.where(last, classes - 1, after), row


def _ties(case: Case, part: str) -> Expected | None:
    """Put one class of every row at z = 0."""
    if case.input.shape[-1] < 2:
        return None
    x, y = _rows(case)
    other, row = _others(case)
    x[row, other] = x[row, y] - case.margin
    return _plain(_with(case, x), part)


def _masked(case: Case, part: str) -> Expected | None:
    """Put -inf at one class of every row."""
    return _replaced(case, part, "another, every row", -np.inf, -FAR)


def _all_masked(case: Case, part: str) -> Expected | None:
    """Put -inf at every class but the target, in the first row."""
    return _replaced(case, part, "all others, first row", -np.inf, -FAR)


def _infinite_target(case: Case, part: str) -> Expected | None:
    """Put +inf at the last row's target."""
    return _replaced(case, part, "target, last row", np.inf, FAR)


def _place(case: Case, name: str) -> tuple[Any, Any]:
    """Return the rows and classes that a name stands for."""
    y = np.atleast_1d(case.target)
    other, row = _others(case)
    places: dict[str, tuple[Any, Any]] = {
        "another, every row": (row, other),
        "another, last row": (-1, other[-1]),
        "target, last row": (-1, y[-1]),
        "all others, first row": (0, np.arange(case.input.shape[-1]) != y[0]),
    }
    return places[name]


def _replaced(case: Case, part: str, place: str, value: float, stand_in: float) -> Expected | None:
    """Put a value at a place, and what stands for it into the call that says what is legal."""
    if case.input.shape[-1] < 2:
        return None
    changed, _ = _rows(case)
    meant, where = changed.copy(), _place(case, place)
    changed[where], meant[where] = value, stand_in
    return _as(_with(case, changed), _with(case, meant), part)


def _infinite(case: Case, part: str) -> Expected | None:
    """Put +inf at a class of the last row, whose loss is then infinite."""
    return _endless(case, part, "another, last row", np.inf, FAR)


def _infinite_loss(case: Case, part: str) -> Expected | None:
    """Put -inf at the last row's target, whose loss is then infinite."""
    return _endless(case, part, "target, last row", -np.inf, -FAR)


def _endless(case: Case, part: str, place: str, value: float, stand_in: float) -> Expected | None:
    """Return a call whose last row has an infinite hinge, and for p = 2 the infinite slopes of SPECIAL-2 and 4."""
    w = 1.0 if case.weight is None else float(case.weight[np.atleast_1d(case.target)[-1]])
    expected = _replaced(case, part, place, value, stand_in) if w else None
    if expected is None or (part == "gradient" and case.p == 1):
        return expected
    values = expected.values
    lo, hi, nearest = values.lo.copy(), values.hi.copy(), values.nearest.copy()
    if part == "loss":
        places, ends = np.array([len(lo) - 1]), np.array([np.copysign(np.inf, w)])  # of the last row, or of all
    else:
        places, ends = _infinite_slopes(expected.case, w)
    for array in (lo, hi, nearest):
        array[places] = ends
    return replace(expected, values=replace(values, lo=lo, hi=hi, nearest=nearest))


def _infinite_slopes(case: Case, w: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return where the gradient for p = 2 is infinite in the last row, flat, and with which sign."""
    x, y = _rows(case)
    assert case.grad_output is not None
    sign = np.copysign(np.inf, w * float(case.grad_output.reshape(-1)[-1]))
    with np.errstate(invalid="ignore"):  # at the target itself
        z = case.margin - x[-1, y[-1]] + x[-1]
    at = np.flatnonzero(np.isinf(z) & (np.arange(len(z)) != y[-1]))
    first = x.size - x.shape[1]
    return first + np.append(at, y[-1]), np.append(np.full(len(at), sign), -sign)


def _not_a_number(case: Case, part: str) -> Expected | None:
    """Put NaN at a class of the last row: its terms are dropped, or the row is NaN; other rows are what they are."""
    expected = _replaced(case, part, "another, last row", np.nan, -FAR)
    if expected is None:
        return None
    values, size = expected.values, expected.values.lo.size
    if part == "loss":
        return replace(expected, values=replace(values, also={size - 1: frozenset({"nan"})}))
    lo, hi, classes = values.lo.copy(), values.hi.copy(), case.input.shape[-1]
    lo[-classes:], hi[-classes:] = -np.inf, np.inf  # the row's own gradient has vectors of its own
    also = {k: frozenset({"nan"}) for k in range(size - classes, size)}
    return replace(expected, values=replace(values, lo=lo, hi=hi, also=also))


def _single(value: float) -> Callable[[Case, str], Expected | None]:
    """Put an infinity into the last row where there is one class: what is not compared with anything costs nothing."""

    def change(case: Case, part: str) -> Expected | None:
        if case.input.shape[-1] != 1:
            return None
        x, _ = _rows(case)
        x[-1] = value
        return _as(_with(case, x), case, part)

    return change


def _unused_weight(value: float) -> Callable[[Case, str], Expected | None]:
    """Put a value at the weight of a class that is no row's target."""

    def change(case: Case, part: str) -> Expected | None:
        classes = case.input.shape[-1]
        if case.weight is None or classes < 2:
            return None
        unused = np.setdiff1d(np.arange(classes), np.atleast_1d(case.target))
        if not unused.size:
            y = np.atleast_1d(case.target) % (classes - 1)
            x = without_kinks(_rows(case)[0], y, float(case.margin))
            case = _with(replace(case, target=y.reshape(case.target.shape)), x)
            unused = np.array([classes - 1])
        assert case.weight is not None
        weight = case.weight.copy()
        weight[unused[-1]] = value
        return _as(replace(case, weight=weight), case, part)

    return change


def _scaled(case: Case, part: str, exponents: range, *, subnormal: bool) -> Expected | None:
    """Scale what a part is proportional to by the first power of two with which nothing rounds or overflows.

    With those after it nothing does either, so that it is found by halving.
    """
    assert case.grad_output is not None
    found: dict[int, Expected] = {}

    def is_exact(exponent: int) -> bool:
        half = exponent // int(case.p)
        times = _times(case.grad_output, exponent) if part == "gradient" else _times(case.input, half)
        if times is None:
            return False
        if part == "gradient":
            scaled = replace(case, grad_output=times)
        else:
            scaled = replace(case, input=times, margin=float(np.ldexp(case.margin, half)))
        if (values := _exact(scaled, part, subnormal=subnormal)) is not None:
            found[exponent] = Expected(scaled, values)
        return exponent in found

    first = bisect_left(exponents, True, key=is_exact)
    return found[exponents[first]] if first < len(exponents) else None


def _times(array: NDArray[Any] | None, exponent: int) -> NDArray[Any] | None:
    """Return an array times a power of two, None where that rounds or overflows."""
    assert array is not None
    with np.errstate(over="ignore"):
        scaled: NDArray[Any] = np.ldexp(array, exponent).astype(array.dtype)
        return scaled if np.array_equal(np.ldexp(scaled, -exponent), array) else None


def _smallest(case: Case, part: str) -> Expected | None:
    """Make the result as small as it can be without rounding: subnormal."""
    least = SMALLEST.get(case.dtype)
    return None if least is None else _scaled(case, part, range(least, least + 24), subnormal=True)


def _largest(case: Case, part: str) -> Expected | None:
    """Make the result as large as it can be without a legal evaluation overflowing."""
    most = LARGEST.get(case.dtype)
    return None if most is None else _scaled(case, part, range(most, most - 24, -1), subnormal=False)


def _empty(reductions: tuple[str, ...]) -> Callable[[Case, str], Expected | None]:
    """Take all rows away."""

    def change(case: Case, part: str) -> Expected | None:
        if case.input.ndim == 1 or case.reduction not in reductions:
            return None
        g = case.grad_output
        g = g[:0] if g is not None and g.ndim else g
        called = replace(case, input=case.input[:0], target=case.target[:0], grad_output=g)
        shape = called.input.shape if part == "gradient" else called.target.shape if case.reduction == "none" else ()
        values = np.zeros(int(np.prod(shape)))
        also = {0: frozenset({"nan"})} if part == "loss" and case.reduction == "mean" else {}
        return Expected(called, Enclosures(shape, case.dtype, values, values, values, also))

    return change


EFFECTS = {
    "held": Effect(("PURITY-4", "PURITY-4"), _plain),
    "fine": Effect(("VALUE-9", "GRADIENT-11"), _fine),
    "ties": Effect(("VALUE-3", "GRADIENT-4"), _ties),
    "masked": Effect(("SPECIAL-1", "SPECIAL-1"), _masked),
    "all-masked": Effect(("SPECIAL-1", "SPECIAL-1"), _all_masked),
    "infinite": Effect(("SPECIAL-2", "SPECIAL-2"), _infinite),
    "infinite-target": Effect(("SPECIAL-3", "SPECIAL-3"), _infinite_target),
    "infinite-loss": Effect(("SPECIAL-4", "SPECIAL-4"), _infinite_loss),
    "nan": Effect(("SPECIAL-7", "SPECIAL-7"), _not_a_number),
    "single-infinite": Effect(("VALUE-7", "GRADIENT-3"), _single(np.inf)),
    "single-minus-infinite": Effect(("VALUE-7", "GRADIENT-3"), _single(-np.inf)),
    "subnormal": Effect(("SPECIAL-5", "SPECIAL-5"), _smallest, flushed=True),
    "large": Effect(("SPECIAL-6", "SPECIAL-6"), _largest),
    "unused-weight-nan": Effect(("WEIGHT-4", "WEIGHT-4"), _unused_weight(np.nan)),
    "unused-weight-infinite": Effect(("WEIGHT-4", "WEIGHT-4"), _unused_weight(np.inf)),
    "empty-none": Effect(("SHAPE-6", "SHAPE-9"), _empty(("none",))),
    "empty-sum": Effect(("SHAPE-7", "SHAPE-9"), _empty(("sum",))),
    "empty-mean": Effect(("SHAPE-8", "SHAPE-9"), _empty(("mean",))),
}
TESTS = {"held": _held, "empty-mean": _repeated}
CLAUSES: dict[str, list[str]] = {}
for _name, _effect in EFFECTS.items():
    for _clause in dict.fromkeys(filter(None, _effect.clauses)):
        CLAUSES.setdefault(_clause, []).append(f"{_name} in every context")
