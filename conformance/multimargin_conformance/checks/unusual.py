"""DTYPE-4 on calls that are large enough, or whose values are, for a mistake to show: an error, or the right result.

An index that is computed in the targets' dtype wraps; logits that are subtracted in their own do; a weight of another
dtype has digits, and may be another one in the next call.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache, partial
from itertools import product
from typing import Any

import numpy as np

from multimargin_conformance.calling import ARGUMENTS, Arrays
from multimargin_conformance.capabilities import REDUCTIONS
from multimargin_conformance.checks.changes import in_dtype, rows_of, with_input
from multimargin_conformance.checks.contexts import contexts, larger, valid
from multimargin_conformance.checks.item import Item, Scope
from multimargin_conformance.checks.layouts import every_other
from multimargin_conformance.checks.single import exact_part, is_refused, judge_call, part_of
from multimargin_conformance.judge import Finding, judge
from multimargin_conformance.outcome import Returned
from multimargin_conformance.session import PASS, Result, Session, result_of
from multimargin_reference.case import Case
from multimargin_reference.exact_values import legal_values
from multimargin_reference.expectation import Enclosures, Values
from multimargin_reference.few_enclosures import AnyEnclosures, FewEnclosures
from multimargin_reference.formats import DTYPES, HALVES
from multimargin_reference.grid_enclosure import grid_part
from multimargin_reference.rejection import meaning
from multimargin_vectors.draft import uniform
from multimargin_vectors.families.covering import without_kinks

NARROW = (  # of targets; N, C, and the first row's target
    ("int8", (40, 128), 127),
    ("uint8", (40, 256), 255),
    ("int16", (200, 300), 298),
    ("int16", (2, 2**15), 2**15 - 1),
    ("uint16", (2, 40_000), 39_998),
    ("uint16", (2, 2**16), 2**16 - 1),
    ("int32", (2, 2**17), 2**17 - 2),
    ("int32", (2, 2**17), 2**16 + 9),  # their lower 16 bits are targets too
    ("int8", (3, 300), 7),  # more classes than the dtype counts: one has the target's lower bits, and is active
    ("uint8", (3, 300), 7),
    ("uint8", (320, 300), 7),
    ("int8", (320, 300), 7),
    ("int16", (2, 2**16 + 9), 7),
    ("uint16", (2, 2**16 + 9), 7),
)
UNSIGNED = (("uint32", (3, 300), 7), ("uint64", (3, 300), 7), ("uint32", (2, 2**17), 2**16 + 9))  # likewise
WHOLE = (2, -1, 3, 200, -7, 300, 40_000, -2, 70_000, 2**33, np.int64(3), np.int32(-1), 10)  # margins; some wrap if cut
OTHER = {"float32": np.float64, "float64": np.float32}
MOST_BOTH = 32  # logits of calls of which two arguments are unusual
STRIDED = "-strided"
HALF_WEIGHT = "half-weight"
UNSIGNED_TARGETS = "unsigned-targets"
MOST_HALF = 64  # logits beside such weights: the exact rules say what is legal
FEW = tuple(context for context in larger() if context.shape in ((1,), (3, 7), (2, 5)))  # no powers of two too
CLAUSES = {"DTYPE-4": ["narrow targets", "integer logits", "weights of another dtype", "each in every context"]}
Judge = Callable[[Session, Case, str, Scope, Arrays], Finding | None]


def items(scope: Scope) -> Iterator[Item]:
    """Yield one item a dtype, part and kind of unusual argument."""
    for dtype in scope.dtypes:
        for name, (make, _) in UNUSUAL.items():
            if name == HALF_WEIGHT and "float16" not in scope.capabilities.dtypes:
                continue  # an adapter need not know what it does not offer
            found = [case for case in make(dtype) if not scope.capabilities.leaves_out(meaning(case))]
            for part in _parts(name, scope) if found else ():
                yield _item(name, dtype, part, found, scope)


def _parts(name: str, scope: Scope) -> tuple[str, ...]:
    parts = ("gradient",) if UNUSUAL[name][1] is _in_inputs_shape else ("loss", "gradient")
    return tuple(part for part in parts if scope.gradient or part == "loss")


def _item(name: str, dtype: str, part: str, cases: list[Case], scope: Scope) -> Item:
    strided, test = name.endswith(STRIDED), UNUSUAL[name][1]

    def given(case: Case) -> Arrays:
        arrays = {key: getattr(case, key) for key in ARGUMENTS[part]} if strided else {}
        return {key: every_other(array) for key, array in arrays.items() if array is not None}

    def run(session: Session) -> Result:
        if strided:
            session.needs("layouts")
        if name == UNSIGNED_TARGETS and not session.offers("memory"):  # the protocol has no such dtypes
            made = [_int32_targets(case) for case in cases]
        else:
            made = cases
        for case in made:
            if finding := test(session, case, part, scope, given(case)):
                return result_of(replace(finding, message=f"{finding.message}; {_described(case)}"))
        return PASS

    def calls() -> list[tuple[Case, Arrays]]:
        return [(case, given(case)) for case in cases]

    ahead = None if name == UNSIGNED_TARGETS else calls
    return Item(f"DTYPE-4/{dtype}/unusual-{name}/{part}", "DTYPE-4", dtype, part, run, kind="unusual", calls=ahead)


def _described(case: Case) -> str:
    """Say what a call is like, and what is unusual about it: shrinking and files know the usual types alone."""
    arrays = {name: getattr(case, name) for name in ("input", "target", "weight")}
    words = [f"{name} {a.dtype.name} of {a.shape}" for name, a in arrays.items() if a is not None]
    return f"{', '.join(words)}, p={case.p!r}, margin={case.margin!r}, reduction={case.reduction!r}"


def _in_any_dtype(session: Session, case: Case, part: str, _: Scope, given: Arrays) -> Finding | None:
    """Judge an answer of any floating dtype, computed in whichever."""
    observation = session.function(part)(case, **given)
    if is_refused(session, case, part, observation, given):
        return None
    dtype, outcome = "float32", observation.outcome
    if isinstance(outcome, Returned) and outcome.value.dtype.name in _halves(case):
        dtype = outcome.value.dtype.name
    why = f"the call in {dtype}, whatever the answer's dtype"
    return judge(part, observation, _around(case, part, dtype), why)


@cache
def _around(case: Case, part: str, dtype: str) -> Enclosures:
    """Return what is legal for the call in a dtype, and a place around it, of any floating dtype."""
    kind, expected = DTYPES[dtype], part_of(_in_dtype(case, dtype), part)
    with np.errstate(under="ignore"):  # next to 0 is what is subnormal
        lo = np.nextafter(expected.lo.astype(kind), np.array(-np.inf, kind))
        hi = np.nextafter(expected.hi.astype(kind), np.array(np.inf, kind))
    return replace(expected, dtype=None, lo=lo.astype(np.float64), hi=hi.astype(np.float64))


@cache
def _in_dtype(case: Case, dtype: str) -> Values:
    """Return what is legal for the call in a dtype: of both parts, which are found together."""
    usual = replace(in_dtype(case, dtype), margin=float(case.margin), p=int(case.p))
    return legal_values(replace(usual, target=case.target.astype(np.int64)))


def _halves(case: Case) -> tuple[str, ...]:
    """Return the halves that a call may be computed in: its weight's; of whole numbers, the default may be either."""
    of_weight = () if case.weight is None else (case.weight.dtype.name,)
    return tuple(HALVES) if case.input.dtype.kind in "iu" else tuple(name for name in of_weight if name in HALVES)


def _as_usual(session: Session, case: Case, part: str, scope: Scope, given: Arrays) -> Finding | None:
    """Judge by what is legal for the usual call, which is kept: other calls are of the same arrays."""
    if case.dtype in HALVES:
        return judge_call(session, case, part, scope, given)
    observation = session.function(part)(case, **given)
    if is_refused(session, case, part, observation, given):
        return None
    return judge(part, observation, _usual(case, part), "the usual call's, on a grid")


@cache
def _usual(case: Case, part: str) -> AnyEnclosures:
    exact = exact_part(meaning(case), part)
    if exact is None:
        return grid_part(meaning(case), part)
    return exact if part == "loss" else FewEnclosures.of(exact)


def _in_inputs_shape(session: Session, case: Case, part: str, _: Scope, given: Arrays) -> Finding | None:
    """Judge a gradient by the usual call's, in the shape of the input that was given."""
    observation = session.function(part)(case, **given)
    if is_refused(session, case, part, observation, given):
        return None
    expected = replace(part_of(legal_values(meaning(case)), part), shape=case.input.shape)
    return judge(part, observation, expected, "the usual call's, in the shape of this input")


def _varied(*changes: Callable[[Case], Case | None]) -> Callable[[str], tuple[Case, ...]]:
    """Make calls out of the contexts' valid ones, where a change makes any."""

    @cache
    def make(dtype: str) -> tuple[Case, ...]:
        cases = [valid(context, dtype) for context in (*contexts(), *FEW)] if dtype in OTHER else []
        found = (change(case) for change in changes for case in cases)
        return tuple(case for case in found if case is not None)

    return make


def _int32_targets(case: Case) -> Case:
    return replace(case, target=case.target.astype(np.int32))


def _other_weight(case: Case) -> Case | None:
    return None if case.weight is None else replace(case, weight=case.weight.astype(OTHER[case.dtype]))


def _other_weight_and_targets(case: Case) -> Case | None:
    """Give both: of small calls, which are many enough."""
    changed = _other_weight(case) if case.input.size <= MOST_BOTH else None
    return changed and _int32_targets(changed)


def _one_target(case: Case) -> Case | None:
    """Give one row's target in the other of the shapes (1,) and ()."""
    if case.target.size != 1:
        return None
    shape = (1,) if case.target.ndim == 0 else ()
    g = case.grad_output
    g = g.reshape(shape) if g is not None and case.reduction == "none" else g
    return replace(case, target=case.target.reshape(shape), grad_output=g)


def _no_axis(case: Case) -> Case | None:
    return replace(case, input=case.input.reshape(())) if case.input.shape == (1,) else None


def _float_p(case: Case) -> Case:
    return replace(case, p=float(case.p))


def _numpy_p(case: Case) -> Case:
    """Give p as a number of NumPy's, of an integer type for every other call: a power of it may have its dtype."""
    p: Any = np.int64(case.p) if case.reduction == "sum" or case.input.ndim == 1 else np.float32(case.p)
    return replace(case, p=p)


def _integer_weight(case: Case) -> Case | None:
    """Give weights as integers: twice what they were."""
    return None if case.weight is None else replace(case, weight=(2 * case.weight).astype(np.int64))


def _half_weight(case: Case) -> Case | None:
    """Give weights in a half, with as many digits as it holds; what they may be divided by first is a power of two."""
    if case.weight is None or case.input.size > MOST_HALF or any(n & (n - 1) for n in case.input.shape):
        return None
    digits = 1 + (2 * (np.arange(len(case.weight)) * 37 % 400) + 1) * 2.0**-10
    return replace(case, weight=(case.weight * digits).astype(np.float16))


def _whole_margin(case: Case) -> Case:
    return _at_margin(case, math.ceil(case.margin))


def _at_margin(case: Case, margin: Any) -> Case:
    x, y = rows_of(case)
    return replace(with_input(case, without_kinks(x, y, float(margin))), margin=margin)


@cache
def _whole_margins(dtype: str) -> tuple[Case, ...]:
    """Whole numbers for margins: 0 and 1 in every context, and others taken in turn."""
    usual = _varied(_whole_margin)(dtype)
    return (*usual, *(_at_margin(case, WHOLE[k % len(WHOLE)]) for k, case in enumerate(usual)))


def _other_margin(case: Case) -> Case:
    """Give the margin, which both dtypes hold, as a number of the other: the answer may have either."""
    other: Any = OTHER[case.dtype]
    return replace(case, margin=other(case.margin))


def _other_text(case: Case) -> Case:
    """Give the reduction as what is a str, though not its type."""
    return replace(case, reduction=np.str_(case.reduction))


def _whole_logits(case: Case) -> Case | None:
    """Give logits as integers, beside weights that are whole numbers too, which the logits' dtype holds."""
    if case.dtype != "float64":
        return None
    integer = np.int64 if case.p == 1 else np.int32
    case = case if case.weight is None else replace(case, weight=2 * case.weight)
    return replace(case, input=(2 * case.input).astype(integer), margin=2 * case.margin // 1 + 0.5)  # no ties


def _whole_logits_and_targets(case: Case) -> Case | None:
    """Give targets of 32 bits beside them: of small calls."""
    changed = _whole_logits(case) if case.input.size <= MOST_BOTH else None
    return changed and _int32_targets(changed)


@cache
def _targets_of(dtype: str, kinds: Sequence[tuple[str, tuple[int, int], int]]) -> tuple[Case, ...]:
    """Rows and classes enough that row * C + target passes every narrow dtype's end but int32's.

    And targets that a narrower dtype, or one of the other kind, does not hold.
    """
    kind, found = DTYPES[dtype], []
    for k, (narrow, (rows, classes), first) in enumerate(kinds):
        x = np.where(np.arange(classes) < 4, 0.5 * (np.arange(rows * classes).reshape(rows, -1) % 7), -8.0)
        y = (first - np.arange(rows) * 3) % min(classes, int(np.iinfo(narrow).max) + 1)
        x[y >= 4, y[y >= 4]] = 0.0  # few terms are active, whatever the target
        wrapped = y + 2 ** min(8 * np.dtype(narrow).itemsize, 62)
        alike = wrapped < classes
        x[alike, wrapped[alike]] = 0.5 * (1 + np.flatnonzero(alike) % 3)
        y = y.astype(narrow)
        found.append(Case(x.astype(kind), y, 1 + k % 2, 0.75, None, "none", np.ones(rows, kind)))  # no ties
    return tuple(found)


@cache
def _integer_logits(dtype: str) -> tuple[Case, ...]:
    """Logits at the ends of an integer dtype: what is right is exact in every floating one."""
    if dtype != "float64":
        return ()
    rows = {"uint8": [[0, 255], [5, 0], [200, 3]], "int8": [[-128, 127], [127, -128], [100, -100]]}
    found = [
        Case(np.array(x, integer), np.zeros(3, np.int64), 1, 1.0, None, "none", np.ones(3))
        for integer, x in rows.items()
    ]
    for k, (integer, p) in enumerate(product(("uint8", "int8", "int16", "int32", "int64"), (1, 2))):
        x = np.array([[1, 2, 0], [3, 0, 2], [0, 1, 1]], integer)
        reduction = REDUCTIONS[k % 3]
        grads = np.full(3 if reduction == "none" else (), -2.0)
        found.append(Case(x, np.array([0, 2, 1]), p, 0.5, None, reduction, grads))
    return tuple(found)


@cache
def _other_weights(dtype: str) -> tuple[Case, ...]:
    """Weights of the other dtype, one call after another with other ones; all numbers are float32's."""
    kind, found = DTYPES[dtype], []
    x = uniform(800, (3, 5), -2.0, 2.0).astype(np.float32)
    for k in range(4 if dtype in OTHER else 0):
        weight = uniform(810 + k, (5,), 0.5, 2.0).astype(np.float32).astype(OTHER[dtype])
        found.append(Case(x.astype(kind), np.array([0, 4, 2]), 1 + k % 2, 1.0, weight, "sum", np.ones((), kind)))
    return tuple(found)


UNUSUAL: dict[str, tuple[Callable[[str], tuple[Case, ...]], Judge]] = {
    "narrow-targets": (partial(_targets_of, kinds=NARROW), _as_usual),
    f"narrow-targets{STRIDED}": (partial(_targets_of, kinds=NARROW), _as_usual),
    UNSIGNED_TARGETS: (partial(_targets_of, kinds=UNSIGNED), _as_usual),
    "integer-logits": (_integer_logits, _in_any_dtype),
    "other-weights": (_other_weights, _in_any_dtype),
    "int32-targets": (_varied(_int32_targets), _as_usual),
    "other-weight": (_varied(_other_weight, _other_weight_and_targets), _in_any_dtype),
    f"other-weight{STRIDED}": (_varied(_other_weight), _in_any_dtype),
    "one-target": (_varied(_one_target), _in_inputs_shape),
    "no-axis": (_varied(_no_axis), _in_inputs_shape),
    "float-p": (_varied(_float_p), _as_usual),
    "numpy-p": (_varied(_numpy_p), _in_any_dtype),
    "integer-weight": (_varied(_integer_weight), _in_any_dtype),
    HALF_WEIGHT: (_varied(_half_weight), _in_any_dtype),
    "whole-margin": (_whole_margins, _in_any_dtype),
    "other-margin": (_varied(_other_margin), _in_any_dtype),
    "other-text": (_varied(_other_text), _in_any_dtype),
    "whole-logits": (_varied(_whole_logits, _whole_logits_and_targets), _in_any_dtype),
}
