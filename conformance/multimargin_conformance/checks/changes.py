"""What is put into a call, and what is legal then, for the loss or the gradient ("loss" or "gradient").

What is legal comes from a call on a grid that stands for it: a masked class is one far below the margin, an infinite
target one far above it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multimargin_conformance.checks.single import exact_part
from multimargin_reference.case import Case
from multimargin_reference.expectation import Enclosures, expected_values
from multimargin_reference.formats import DTYPES
from multimargin_reference.grid_enclosure import grid_part
from multimargin_vectors.families.covering import without_kinks

FAR = 64.0  # from the margin
MOST_CLOSE = 4  # classes, of which the next one is near enough to the last
SMALLEST = {"float32": -149, "float64": -1074}  # exponents; halves have too few for what is scaled
LARGEST = {"float32": 127, "float64": 1023}
STEPS = 24  # powers of two that are tried
TINY = {"float32": -75, "float64": -540}  # powers of two with which a hinge is normal and its square is not
HUGE = {"float32": 66, "float64": 514}
STEP = 0.25  # of logits that differ by few steps
DIFFERENT = 8  # such logits
MOST_SQUARED = 64  # subnormal logits: the exact rules say what is legal
NAN = frozenset({"nan"})


@dataclass(frozen=True)
class Expected:
    """A call and what is legal for the part that it is about."""

    case: Case
    values: Enclosures


def stands_for(case: Case, stand_in: Case, part: str) -> Expected | None:
    """Return the call with what is legal for the one that stands for it; halves have no bound of grids."""
    values = exact_part(stand_in, part)
    if values is None and case.dtype in LARGEST:
        values = grid_part(stand_in, part).full()
    return None if values is None else Expected(case, values)


def fine(case: Case, part: str) -> Expected | None:
    """Give the logits and the margin digits that a narrower dtype does not have: judged by the bound of grids."""
    if case.dtype not in LARGEST:
        return None
    # what is squared and added up has to stay exact in doubles, or the bound would be that of this module too
    step = 2.0**-36 if case.dtype == "float64" and (part == "gradient" or case.p == 1) else 2.0**-18
    x, y = rows_of(case)
    x += step * (1 + np.arange(x.size).reshape(x.shape) % 5)
    x[np.arange(len(x)), y] += 3 * step
    fine = replace(with_input(case, x), margin=float(case.margin) + 2 * step)
    return Expected(fine, grid_part(fine, part).full())


def plain(case: Case, part: str) -> Expected | None:
    return stands_for(case, case, part)


def rows_of(case: Case) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the logits as (N, C) doubles, a copy, and the targets as (N,)."""
    return np.atleast_2d(case.input).astype(np.float64), np.atleast_1d(case.target)


def with_input(case: Case, x: NDArray[np.float64]) -> Case:
    return replace(case, input=x.reshape(case.input.shape).astype(case.input.dtype))


def in_dtype(case: Case, dtype: str) -> Case:
    """Return a call with its arrays of numbers in another dtype."""
    arrays = {name: getattr(case, name) for name in ("input", "weight", "grad_output")}
    given: dict[str, Any] = {name: None if a is None else a.astype(DTYPES[dtype]) for name, a in arrays.items()}
    return replace(case, **given)


def others(case: Case) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return, for every row, a class that is not its target, and the row's number; nothing for one class.

    Where there are many classes it is the last one in half of the rows.
    """
    y, classes = np.atleast_1d(case.target), case.input.shape[-1]
    row, after = np.arange(len(y)), (y + 1) % classes
    last = (classes > MOST_CLOSE) & ((row + classes) % 2 == 1) & (y != classes - 1)
    return np.where(last, classes - 1, after), row


def _near(case: Case) -> tuple[NDArray[np.float64], tuple[Any, Any]]:
    """Return logits that differ by few steps, all the targets' 0, and where the targets are."""
    (rows, classes), y = rows_of(case)[0].shape, np.atleast_1d(case.target)
    numbers = (np.arange(rows * classes) * 5 + np.arange(rows).repeat(classes)) % DIFFERENT
    x = (numbers * STEP).astype(np.float64).reshape(rows, classes)
    targets = np.arange(rows), y
    x[targets] = 0.0
    return x, targets


def offset(case: Case, part: str) -> Expected | None:
    """Add a number to all logits that leaves few bits for the hinges: still no sum of a logit, another and the margin
    rounds, but sums of several logits do."""
    if case.input.shape[-1] < MOST_CLOSE:
        return None
    x = without_kinks(_near(case)[0], np.atleast_1d(case.target), float(case.margin))
    return stands_for(with_input(case, x + STEP * 2.0 ** (case.format.precision - 1)), with_input(case, x), part)


def wide_margin(case: Case, part: str) -> Expected | None:
    """Take the largest odd margin of so many steps; the hinges have few, and nothing but the target's own has more.

    For the loss: a gradient may have the target's own term added and taken away again (SPEC.md, A.11).
    """
    if case.input.shape[-1] < 2 or case.dtype not in LARGEST:
        return None
    margin = STEP * (2.0**case.format.precision - 1)
    hinges, targets = _near(case)
    hinges -= STEP  # some are inactive, none of which the target's place shows
    hinges[hinges == 0.0] = STEP
    hinges[targets] = 0.0
    x = hinges - margin
    x[targets] = 0.0
    return stands_for(replace(with_input(case, x), margin=margin), replace(with_input(case, hinges), margin=0.0), part)


def minus_zero_margin(case: Case, part: str) -> Expected | None:
    """Take a margin of -0.0, which is 0."""
    return stands_for(replace(case, margin=-0.0), case, part) if case.margin == 0 else None


def zero_grad_output(zero: float) -> Callable[[Case, str], Expected | None]:
    """Let every element of grad_output be one of the zeros: so is the gradient's."""

    def change(case: Case, part: str) -> Expected | None:
        if part == "loss" or case.grad_output is None:
            return None
        values = np.zeros(case.input.size)
        called = replace(case, grad_output=np.full_like(case.grad_output, zero))
        return Expected(called, Enclosures(case.input.shape, case.dtype, values, values, values))

    return change


def zero_weights(case: Case, part: str) -> Expected | None:
    """Let every weight be 0: so is the loss, and the gradient."""
    return None if case.weight is None else plain(replace(case, weight=np.zeros_like(case.weight)), part)


def some_zero_grad_output(case: Case, part: str) -> Expected | None:
    """Let the last row's grad_output be 0, beside others that are not."""
    g = case.grad_output
    if part == "loss" or g is None or g.size < 2:
        return None
    g = g.copy()
    g[-1] = 0
    return plain(replace(case, grad_output=g), part)


def large_logits(case: Case, part: str) -> Expected | None:
    """Multiply logits and margin by so large a power of two that few of their sums would not overflow: what is active
    is the same. For the gradient of p = 1."""
    most = LARGEST.get(case.dtype)
    if part == "loss" or case.p != 1 or most is None:
        return None
    sizes = np.abs(case.input.astype(np.float64)).max() + abs(float(case.margin))
    exponent = most - 1 - int(np.frexp(sizes)[1])
    x = np.ldexp(case.input, exponent).astype(case.input.dtype)
    return stands_for(replace(case, input=x, margin=float(np.ldexp(case.margin, exponent))), case, part)


def scaled(exponents: dict[str, int]) -> Callable[[Case, str], Expected | None]:
    """Multiply logits and margin by a power of two: what is linear in them is multiplied too, and does not round."""

    def change(case: Case, part: str) -> Expected | None:
        exponent, power = exponents.get(case.dtype), int(case.p) - (part == "gradient")  # of a hinge in the result
        expected = None if exponent is None or power > 1 else plain(case, part)
        if exponent is None or expected is None:
            return None
        x = np.ldexp(case.input, exponent).astype(case.input.dtype)
        called = replace(case, input=x, margin=float(np.ldexp(case.margin, exponent)))
        lo, hi, nearest = (
            np.ldexp(values, exponent * power)
            for values in (expected.values.lo, expected.values.hi, expected.values.nearest)
        )
        return Expected(called, replace(expected.values, lo=lo, hi=hi, nearest=nearest))

    return change


def subnormal_squares(case: Case, part: str) -> Expected | None:
    """Make logits and margin subnormal where hinges are squared: there is nothing left of the loss."""
    if part == "gradient" or case.p != 2 or case.dtype not in SMALLEST or case.input.size > MOST_SQUARED:
        return None
    exponent = SMALLEST[case.dtype] + 3
    x = np.ldexp(case.input, exponent).astype(case.input.dtype)
    called = replace(case, input=x, margin=float(np.ldexp(case.margin, exponent)))
    return Expected(called, expected_values(replace(called, grad_output=None)).loss)


def _place(case: Case, name: str) -> tuple[Any, Any]:
    """Return the rows and classes that a name stands for."""
    y, classes = np.atleast_1d(case.target), case.input.shape[-1]
    other, row = others(case)
    places: dict[str, tuple[Any, Any]] = {
        "another, every row": (row, other),
        "another, all but the last row": (row[:-1], other[:-1]),
        "another, last row": (-1, other[-1]),
        "a third, last row": (-1, next((c for c in range(classes) if c not in (y[-1], other[-1])), other[-1])),
        "two others, last row": (-1, [(y[-1] + 1) % classes, (y[-1] + 2) % classes]),
        "target, last row": (-1, y[-1]),
        "all others, first row": (0, np.arange(classes) != y[0]),
    }
    return places[name]


def replaced(case: Case, part: str, *placed: tuple[str, float, float]) -> Expected | None:
    """Put values at places, and what stands for each into the call that says what is legal; None for one class."""
    if case.input.shape[-1] < 2:
        return None
    changed, _ = rows_of(case)
    meant = changed.copy()
    for place, value, stand_in in placed:
        where = _place(case, place)
        changed[where], meant[where] = value, stand_in
    return stands_for(with_input(case, changed), with_input(case, meant), part)


def not_a_number(case: Case, part: str) -> Expected | None:
    """Put NaN at a class of the last row: its terms are dropped, or the row is NaN; other rows are what they are.

    In the gradient its own element and the target's are concerned, and for p = 1 the NaN may be taken as active.
    """
    expected = dropped_nan(case, part)
    if expected is None:
        return None
    values, size = expected.values, expected.values.lo.size
    if part == "loss":
        return replace(expected, values=replace(values, also={size - 1: frozenset({"nan"})}))
    own, target = nan_places(case)
    lo, hi = values.lo.copy(), values.hi.copy()
    if case.p == 1 and (counted := counted_nan(case, part)):
        lo, hi = np.minimum(lo, counted.values.lo), np.maximum(hi, counted.values.hi)
    return replace(expected, values=replace(values, lo=lo, hi=hi, also=dict.fromkeys((own, target), NAN)))


def dropped_nan(case: Case, part: str) -> Expected | None:
    """Put NaN at a class of the last row, and take it as inactive."""
    return replaced(case, part, ("another, last row", np.nan, -FAR))


def counted_nan(case: Case, part: str) -> Expected | None:
    """Put NaN at a class of the last row, and take it as active: for the gradient with p = 1, that of z alone."""
    return replaced(case, part, ("another, last row", np.nan, FAR))


def nan_places(case: Case) -> tuple[int, int]:
    """Return where the gradient of that NaN is, and that of its row's target, flat."""
    first = case.input.size - case.input.shape[-1]
    return first + int(others(case)[0][-1]), first + int(np.atleast_1d(case.target)[-1])


def endless_margin(margin: float) -> Callable[[Case, str], Expected | None]:
    """Take an infinite margin, with which every hinge of another class is infinite, or none is active.

    The loss may be NaN too: the target's own term is infinite, and may be masked by a multiplication (SPEC.md, A.12).
    """

    def change(case: Case, part: str) -> Expected | None:
        if case.input.shape[-1] < 2 or (margin > 0 and part == "gradient"):
            return None
        if case.weight is not None:  # 0 times infinity is undefined, and so is what infinities of both signs add up to
            case = replace(case, weight=np.maximum(np.abs(case.weight), 0.5).astype(case.input.dtype))
        shape = case.input.shape if part == "gradient" else case.target.shape if case.reduction == "none" else ()
        values = np.full(int(np.prod(shape)), max(margin, 0.0))
        also = dict.fromkeys(range(values.size), NAN) if margin > 0 else {}
        return Expected(replace(case, margin=margin), Enclosures(shape, case.dtype, values, values, values, also))

    return change


def unused_weight(value: float) -> Callable[[Case, str], Expected | None]:
    """Put a value at the weight of a class that is no row's target."""

    def change(case: Case, part: str) -> Expected | None:
        classes = case.input.shape[-1]
        if case.weight is None or classes < 2:
            return None
        unused = np.setdiff1d(np.arange(classes), np.atleast_1d(case.target))
        if not unused.size:
            y = np.atleast_1d(case.target) % (classes - 1)
            x = without_kinks(rows_of(case)[0], y, float(case.margin))
            case = with_input(replace(case, target=y.reshape(case.target.shape)), x)
            unused = np.array([classes - 1])
        assert case.weight is not None
        weight = case.weight.copy()
        weight[unused[-1]] = value
        return stands_for(replace(case, weight=weight), case, part)

    return change


def _scaled(part: str, times: Callable[[int], Case | None], exponents: range, *, subnormal: bool) -> Expected | None:
    """Scale what a part is proportional to by the first power of two with which nothing rounds or overflows.

    With those after it nothing does either, so that it is found by halving.
    """
    found: dict[int, Expected] = {}

    def is_exact(exponent: int) -> bool:
        scaled = times(exponent)
        if scaled is not None and (values := exact_part(scaled, part, subnormal=subnormal)) is not None:
            found[exponent] = Expected(scaled, values)
        return exponent in found

    first = bisect_left(exponents, True, key=is_exact)
    return found[exponents[first]] if first < len(exponents) else None


def _with_grads(case: Case) -> Callable[[int], Case | None]:
    return lambda exponent: _multiplied(case, "grad_output", exponent)


def _with_weights(case: Case) -> Callable[[int], Case | None]:
    return lambda exponent: _multiplied(case, "weight", exponent)


def _with_logits(case: Case, p: int = 1) -> Callable[[int], Case | None]:
    """Multiply logits and margin by what makes 2 ** exponent to the power p."""

    def times(exponent: int) -> Case | None:
        scaled = _multiplied(case, "input", exponent // p)
        return scaled and replace(scaled, margin=float(np.ldexp(case.margin, exponent // p)))

    return times


def _multiplied(case: Case, name: str, exponent: int) -> Case | None:
    """Return a call with an array times a power of two, None where that rounds or overflows."""
    array = getattr(case, name)
    with np.errstate(over="ignore"):
        scaled: NDArray[Any] = np.asarray(np.ldexp(array, exponent)).astype(array.dtype)
        given: dict[str, Any] = {name: scaled}
        return replace(case, **given) if np.array_equal(np.ldexp(scaled, -exponent), array) else None


def smallest(case: Case, part: str) -> Expected | None:
    """Make the result as small as it can be without rounding: subnormal."""
    times = _with_grads(case) if part == "gradient" else _with_logits(case, int(case.p))
    return _smallest(case, part, times)


def smallest_weights(case: Case, part: str) -> Expected | None:
    """Make the weights as small as the result can be without rounding: most are subnormal."""
    return None if case.weight is None else _smallest(case, part, _with_weights(case))


def smallest_logits(case: Case, part: str) -> Expected | None:
    """Make logits and margin so small that they, and for p = 2 the gradient, are subnormal."""
    return _smallest(case, part, _with_logits(case)) if part == "gradient" else None


def _smallest(case: Case, part: str, times: Callable[[int], Case | None]) -> Expected | None:
    least = SMALLEST.get(case.dtype)
    return None if least is None else _scaled(part, times, range(least, least + STEPS), subnormal=True)


def largest(case: Case, part: str) -> Expected | None:
    """Make the result as large as it can be without a legal evaluation overflowing."""
    most = LARGEST.get(case.dtype)
    times = _with_grads(case) if part == "gradient" else _with_logits(case, int(case.p))
    return None if most is None else _scaled(part, times, range(most, most - STEPS, -1), subnormal=False)
