"""Where a dtype ends, by plain and weighted calls of every power and reduction: the last bit of a logit, the largest
loss, the smallest gradient, infinities of both signs in one sum, a sum that hangs on rounding, ties among many classes.

These are few calls, so that the general enclosures can say what is legal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from typing import Any

import numpy as np

from multimargin_conformance.calling import Arrays
from multimargin_conformance.capabilities import REDUCTIONS
from multimargin_conformance.checks.item import Item, Scope
from multimargin_conformance.checks.single import part_of
from multimargin_conformance.judge import judge
from multimargin_conformance.session import PASS, Result, Session, result_of
from multimargin_reference.case import Case
from multimargin_reference.exact_values import legal_values
from multimargin_reference.expectation import Values
from multimargin_reference.formats import DTYPES, FORMATS, Format

OPTIONS = tuple(product((1, 2), REDUCTIONS, (False, True)))
SUMMANDS = 14  # classes
MANY = (512, 4096, 8192)  # classes; powers of two, so that results are exact
PAST = 2**17  # classes or rows, more than an index of 16 bits has
COUNTED, MOST_COUNTED = 4096, 2**17  # classes that are all active
STEP = 1.5  # units of roundoff: more than half a last place of 1.5, less than one and a half
Make = Callable[[Format, int, str, bool], list[Case]]


@dataclass(frozen=True)
class Edge:
    """What a call is at the edge of. clauses: of the loss and of the gradient."""

    clauses: tuple[str, str]
    make: Make
    flushed: bool = False  # whether a backend that may flush subnormals may differ


def items(scope: Scope) -> Iterator[Item]:
    """Yield one item an edge, dtype and part."""
    for dtype, (name, edge) in product(scope.dtypes, EDGES.items()):
        cases = [case for case in calls(name, dtype) if not scope.capabilities.leaves_out(case)]
        if cases and not (edge.flushed and scope.flush):
            for part, clause in zip(("loss", "gradient"), edge.clauses, strict=True):
                if part == "loss" or scope.gradient:
                    yield _item(name, dtype, part, clause, cases, scope.flush)


def _item(name: str, dtype: str, part: str, clause: str, cases: list[Case], flush: bool) -> Item:
    def run(session: Session) -> Result:
        for case in cases:
            expected = part_of(expectation(case.id, name, dtype, flush), part)
            if finding := judge(part, session.function(part)(case), expected, name):
                return result_of(replace(finding, case=case))
        return PASS

    def planned() -> list[tuple[Case, Arrays]]:
        return [(case, {}) for case in cases]

    def prepare() -> object:
        return [expectation(case.id, name, dtype, flush) for case in cases]

    id_ = f"{clause}/{dtype}/edge-{name}/{part}"
    return Item(id_, clause, dtype, part, run, kind="edges", calls=planned, prepare=prepare)


@cache
def calls(name: str, dtype: str) -> tuple[Case, ...]:
    """Return the calls of one edge in one dtype, with every power, reduction and choice of weights."""
    found = (EDGES[name].make(FORMATS[dtype], *options) for options in OPTIONS)
    return tuple(case for cases in found for case in cases)


@cache
def expectation(case_id: str, name: str, dtype: str, flush: bool) -> Values:
    """Return what is legal for one of the calls. flush: with the permission to flush subnormals."""
    case = next(case for case in calls(name, dtype) if case.id == case_id)
    return legal_values(case, flush=flush)


def _case(fmt: Format, x: Any, y: Any, p: int, reduction: str, weight: Any, margin: float = 1.0) -> Case:
    dtype = DTYPES[fmt.name]
    x = np.asarray(x, np.float64).astype(dtype)
    grads = np.ones(len(x) if reduction == "none" else (), dtype)
    weight = None if weight is None else np.asarray(weight).astype(dtype)
    return Case(x, np.asarray(y), p, margin, weight, reduction, grads)


def _last_bit(fmt: Format, p: int, reduction: str, weighted: bool) -> list[Case]:
    """Logits that differ from the target's in their last bit, at margin 0: active above it, inactive below."""
    found = []
    for own in (1.5, 1.5 * 2.0**10) if p == 1 else (1.5,):
        above, below = own * (1 + STEP * float(fmt.u)), own * (1 - STEP * float(fmt.u))
        x = [[own, above, below, above], [below, own, below, below]]
        found.append(_case(fmt, x, [0, 1], p, reduction, [2.0, 0.5, 1.0, 1.0] if weighted else None, 0.0))
    for k, margin in enumerate((1.0, 0.5, 3.0)):  # beside which all that is active is lost
        beside = float(np.nextafter(np.asarray(-margin, DTYPES[fmt.name]), np.asarray(0, DTYPES[fmt.name])))
        x = [[0.0, beside, -2 * margin]] * 2
        case = _case(fmt, x, [0, 0], p, reduction, [2.0, 0.5, 1.0] if weighted else None, margin)
        one = np.ones((), case.input.dtype)
        single = replace(case, input=case.input[0], target=case.target[0], grad_output=one)
        found.append(single if (k + p + weighted) % 2 else case)
    return found


def _rounded_margin(fmt: Format, p: int, reduction: str, weighted: bool) -> list[Case]:
    """Logits between the margin and what it is in the dtype: z is above 0, and below it once the margin is rounded."""
    dtype = DTYPES[fmt.name]
    margin = next((m for m in (0.7, 0.3, 1.3, 0.1) if m > float(np.asarray(m, dtype))), None)
    if margin is None:  # float64 holds all of them
        return []
    m, ulp = float(np.asarray(margin, dtype)), 2 * float(fmt.u)
    small = 2.0 ** -(fmt.precision // 4)  # the target's logit less the margin: the other one has finer steps
    steps = np.array([0.25, 0.5, 0.75]) * (margin - m)
    other = (small - np.maximum(steps, ulp * small / 2)).astype(dtype).astype(np.float64)
    x = np.stack([np.full(len(other), m + small), other], axis=1)
    x = x[margin - x[:, 0] + x[:, 1] > 0]
    return (
        []
        if not len(x)
        else [_case(fmt, x, np.zeros(len(x), np.int64), p, reduction, [1.5, 1.0] if weighted else None, margin)]
    )


def _largest(fmt: Format, p: int, reduction: str, weighted: bool) -> list[Case]:
    """One term of three quarters of the largest number, whose product with a count overflows."""
    size = (0.75 * float(fmt.largest)) ** (1 / p)
    found = []
    many = (2048,) if fmt.precision > 11 and not weighted and reduction != "none" else ()
    for classes in (2, 16, *many):
        x = np.full((1, classes), -1.0)
        x[0, [0, -1]] = 0.0, size
        found.append(_case(fmt, x, [0], p, reduction, np.ones(classes) if weighted else None, 0.0))
    return found


def _large_logits(fmt: Format, p: int, reduction: str, weighted: bool) -> list[Case]:
    """The largest number itself, and numbers far below 0 whose differences are as large: finite, all of them."""
    if p == 2:
        return []
    weight, most = [1.0, 1.0] if weighted else None, float(fmt.largest)
    below = [[-0.75, -0.5], [-0.625, -0.875]] if reduction != "sum" else [[-0.25, -0.5], [-0.625, -0.5]]
    x = np.ldexp(below, fmt.emax + 1)
    rows = [([[0.0, most]], [0]), ([[-most, 0.0]], [0]), ([[most, -most / 4]], [1]), (x, [0, 1]), (x, [1, 0])]
    return [_case(fmt, logits, y, p, reduction, weight, 0.0) for logits, y in rows]


def _overflowing_sum(fmt: Format, p: int, reduction: str, weighted: bool) -> list[Case]:
    """Two terms of nine tenths of the largest number, or four rows of one: the sum is too large, the mean is not."""
    size = (0.9 * float(fmt.largest)) ** (1 / p)
    one, rows = np.full((1, 4), -1.0), np.tile([0.0, size], (4, 1))
    one[0, :3] = 0.0, size, size
    weight = [0.5, 1.0, 1.0, 1.0] if weighted else None
    return [_case(fmt, x, [0] * len(x), p, reduction, weight and weight[: x.shape[1]], 0.0) for x in (one, rows)]


def _steepest(fmt: Format, p: int, reduction: str, weighted: bool) -> list[Case]:
    """Slopes, of one class or of two, that add up to most of the largest number: twice as much overflows."""
    if p == 1 or weighted:
        return []
    large = float(fmt.largest)
    rows = ([0.0, 0.35 * large, -1.0, -1.0], [0.0, 0.18 * large, 0.18 * large, -1.0])
    return [_case(fmt, [x], [0], p, reduction, None, 0.0) for x in rows]


def _far_apart(fmt: Format, p: int, reduction: str, weighted: bool) -> list[Case]:
    """Weights so far apart that neither is there any more beside the other, each of a row of its own."""
    size = float(fmt.largest) ** 0.6
    x = np.array([[0.0, 1.0], [1.0, 0.0]])
    return [_case(fmt, x, [0, 1], p, reduction, [1 / size, size], 0.0)] if weighted else []


def _smallest(fmt: Format, p: int, reduction: str, weighted: bool) -> list[Case]:
    """Differences, or a grad_output, so small that gradients are subnormal."""
    tiny, weight = float(fmt.smallest_normal), [0.5, 2.0, 1.0, 1.0] if weighted else None
    x = np.array([[0, 2, 1, -1], [3, 0, -4, 1]]) * (0.25 if p == 1 else tiny)
    case = _case(fmt, x, [0, 1], p, reduction, weight, 0.0)
    assert case.grad_output is not None
    least = (case.grad_output.astype(np.float64) * (tiny if p == 1 else 0.25)).astype(case.input.dtype)
    return [replace(case, grad_output=least)]


def _smallest_of_five(fmt: Format, p: int, reduction: str, weighted: bool) -> list[Case]:
    """Differences so small that losses are subnormal, of a number of classes that no vector divides."""
    tiny, weight = float(fmt.smallest_normal), [0.5, 2.0, 1.0, 1.0, 2.0] if weighted else None
    if p == 2 or fmt.precision <= 11:
        return []
    return [_case(fmt, np.array([[0, 2, 1, -1, 3], [3, 0, -4, 1, 2]]) * 0.25 * tiny, [0, 1], p, reduction, weight, 0.0)]


def _subnormal_margin(fmt: Format, p: int, reduction: str, weighted: bool) -> list[Case]:
    """Equal logits and a margin that is subnormal: z is the margin, which is not 0."""
    weight = [2.0, 1.0] if weighted else None
    return [_case(fmt, np.zeros((2, 2)), [0, 1], p, reduction, weight, 2.0**9 * float(fmt.eta))] if p == 1 else []


def _both_infinities(fmt: Format, p: int, reduction: str, weighted: bool) -> list[Case]:
    """Rows of infinite loss whose weights have opposite signs: their sum is NaN, in either order."""
    x, y = np.array([[0, np.inf, 1, 0], [np.inf, 0, 1, 0], [0, 0.5, 0.25, 1]]), np.array([0, 1, 2])
    weight = [1.0, -1.0, 0.5, 2.0] if weighted else None
    return [_case(fmt, x[order], y[order], p, reduction, weight) for order in ([0, 1, 2], [2, 1, 0])]


def _all_infinite(fmt: Format, p: int, reduction: str, weighted: bool) -> list[Case]:
    """Nothing but one infinity, in a batch and without one: every difference is undefined, none is 0."""
    found, weight = [], [1.0, 0.5, 2.0] if weighted else None
    for k, infinity in enumerate((np.inf, -np.inf)):
        case = _case(fmt, np.full((2, 3), infinity), [0, 2], p, reduction, weight)
        one = np.ones((), case.input.dtype)
        single = replace(case, input=case.input[0], target=case.target[0], grad_output=one)
        found.append(single if (k + p) % 2 else case)
    return found


def _largest_margin(fmt: Format, p: int, reduction: str, weighted: bool) -> list[Case]:
    """The largest margin that the dtype holds, of either sign: a finite number like any other, if not squared."""
    if p == 2:
        return []
    weight = [0.25, 0.5] if weighted else None
    x, margins = np.array([[0.0, 0.5], [0.5, 0.0]]), (float(fmt.largest), -float(fmt.largest))
    return [_case(fmt, x, [0, 1], p, reduction, weight, margin) for margin in margins]


def _summands(fmt: Format, p: int, reduction: str, weighted: bool) -> list[Case]:
    """1, and terms just under half a unit in its last place or just under a whole one, in either order."""
    found: list[Case] = []
    if weighted or reduction == "mean":
        return found
    for share, place in product((0.98, 0.48), (1, -1)):
        x = np.full((1, SUMMANDS), (share * 2 * float(fmt.u)) ** (1 / p))
        x[0, [0, place]] = 0.0, 1.0
        found.append(_case(fmt, x, [0], p, reduction, None, 0.0))
    return found


def _ties(fmt: Format, p: int, reduction: str, weighted: bool) -> list[Case]:
    """z = 0 at the ends, in the middle and at the edges of blocks of many classes, beside terms that are active.

    Past an index of 16 bits only once, and in as many rows.
    """
    found: list[Case] = []
    if fmt.precision <= 11:
        return found
    past = p == 1 and reduction == "none" and not weighted
    for classes in (*MANY, *((PAST,) if past else ())):
        x = np.full((2, classes), -16.0)
        x[:, [1, classes // 4, -3]] = [[1.0], [0.5]]
        x[:, [0, 256, 257, classes // 2, -2, -1]] = -0.5
        y, weight = [2, classes // 2 + 1], 1.0 + np.arange(classes) % 2
        x[[0, 1], y] = 0.0
        found.append(_case(fmt, x, y, p, reduction, weight if weighted else None, 0.5))
    if past:
        x = np.tile([[0.0, -0.5], [0.25, 0.0]], (PAST // 2, 1))
        found.append(_case(fmt, x, np.arange(PAST) % 2, p, "sum", None, 0.5))
    return found


def _all_active(fmt: Format, p: int, reduction: str, weighted: bool) -> list[Case]:
    """More active terms than a half counts, and more than 16 bits do, all of them alike.

    The many are a batch of two rows in one half of the options, and none in the other.
    """
    if fmt.precision <= 11:
        return []
    few, many = (
        _case(fmt, np.zeros((len(y), n)), y, p, reduction, 2.0 - np.arange(n) % 2 if weighted else None, 0.5)
        for n, y in ((COUNTED, [1]), (MOST_COUNTED, [MOST_COUNTED * 3 // 4, MOST_COUNTED - 1]))
    )
    if (p + REDUCTIONS.index(reduction) + weighted + (fmt.name == "float64")) % 2:
        x = many.input[0]
        many = replace(many, input=x, target=many.target[0], grad_output=np.ones((), x.dtype))
    return [few, many]


EDGES = {
    "last-bit": Edge(("VALUE-1", "GRADIENT-1"), _last_bit),
    "margin-rounded": Edge(("VALUE-9", "GRADIENT-11"), _rounded_margin),
    "largest": Edge(("SPECIAL-6", "SPECIAL-6"), _largest),
    "large-logits": Edge(("SPECIAL-6", "SPECIAL-6"), _large_logits),
    "overflowing-sum": Edge(("SPECIAL-6", "SPECIAL-6"), _overflowing_sum),
    "steepest-slopes": Edge(("SPECIAL-6", "SPECIAL-6"), _steepest),
    "weights-far-apart": Edge(("WEIGHT-5", "GRADIENT-7"), _far_apart),
    "smallest-gradient": Edge(("SPECIAL-5", "SPECIAL-5"), _smallest, flushed=True),
    "smallest-of-five": Edge(("SPECIAL-5", "SPECIAL-5"), _smallest_of_five, flushed=True),
    "subnormal-margin": Edge(("SPECIAL-5", "SPECIAL-5"), _subnormal_margin, flushed=True),
    "both-infinities": Edge(("SPECIAL-2", "SPECIAL-2"), _both_infinities),
    "all-infinite": Edge(("SPECIAL-8", "SPECIAL-8"), _all_infinite),
    "largest-margin": Edge(("VALUE-6", "GRADIENT-1"), _largest_margin),
    "summands": Edge(("VALUE-9", "GRADIENT-11"), _summands),
    "all-active": Edge(("VALUE-1", "GRADIENT-3"), _all_active),
    "many-ties": Edge(("VALUE-3", "GRADIENT-4"), _ties),
}
CLAUSES: dict[str, list[str]] = {}
for _name, _edge in EDGES.items():
    for _clause in dict.fromkeys(_edge.clauses):
        CLAUSES.setdefault(_clause, []).append(f"{_name} with every option")
