"""Enclosures of calls on a grid by double arithmetic: what `expected_values` gives, slightly wider, in microseconds.

For float32 and float64. On the grid z, and for float64 z ** p and all sums of w z ** p, are exact doubles, so that only
what a legal evaluation rounds has to be bounded: sums and scaling (SPEC.md, appendix A.6, A.7, A.10 and A.11 with
e = 0), without underflow. SLACK more units pay for the square's and the weight's rounding and for this module's own.
Only active terms are worked on, since large calls have few of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multimargin_reference.case import Case
from multimargin_reference.expectation import Enclosures, Floats, Values
from multimargin_reference.few_enclosures import AnyEnclosures, FewEnclosures, Places
from multimargin_reference.formats import DTYPES

SLACK = 16  # units: nine scalings, square, weight, second-order terms, three roundings here
FEW = 4  # times as many elements as those that are not 0: from then on these alone are looked at


@dataclass(frozen=True)
class _Terms:
    """The active terms of a call, without the targets' own. row, place, z: of each, place in the flat input.

    own: (N,) the targets' z; target: (N,) their places in the flat input; counts: (N,) active terms; w: (N,) weights.
    """

    row: Places
    place: Places
    z: Floats
    own: Floats
    target: Places
    counts: Places
    w: Floats

    @classmethod
    def of(cls, case: Case) -> _Terms:
        x, y = np.atleast_2d(case.input), np.atleast_1d(case.target)
        rows, classes = x.shape
        target = np.arange(0, rows * classes, classes) + y
        flat = x.reshape(-1)
        threshold = flat[target].astype(np.float64) - case.margin
        with np.errstate(over="ignore"):  # a margin may be any double
            limit = threshold.astype(x.dtype)
        active = (x > (limit if (limit == threshold).all() else threshold)[:, None]).reshape(-1)
        own = np.maximum(flat[target] - threshold, 0.0)
        active[target] = False
        place = np.flatnonzero(active)
        row = place // classes
        w = np.ones(rows) if case.weight is None else case.weight[y].astype(np.float64)
        z = flat[place].astype(np.float64) - threshold[row]
        return cls(row, place, z, own, target, np.bincount(row, minlength=rows), w)

    def sums(self, values: Floats) -> Floats:
        """Return the sum of each row's values, (N,)."""
        return np.bincount(self.row, weights=values, minlength=len(self.own)).astype(np.float64)


def grid_values(case: Case) -> Values:
    """Return what a legal implementation may return for a valid case on the grid; it is the caller's duty that it is.

    Every z is exact in the dtype, weights and grad_output are powers of two or 0, and nothing under- or overflows.
    """
    terms = _Terms.of(case)
    return Values(_loss(case, terms), None if case.grad_output is None else _gradient(case, terms).full())


def grid_part(case: Case, part: str) -> AnyEnclosures:
    """Return the same of the loss or the gradient alone, the gradient's at few places where few are not 0."""
    terms = _Terms.of(case)
    if part == "loss":
        return _loss(case, terms)
    gradient = _gradient(case, terms)
    return gradient if FEW * gradient.places.size < case.input.size else gradient.full()


def _unit(case: Case) -> float:
    return float(case.format.u)


def _loss(case: Case, terms: _Terms) -> Enclosures:
    sums, active = terms.sums(terms.z**case.p), terms.counts
    value, size = terms.w * sums, np.abs(terms.w) * sums
    divisor, shape = float(case.input.shape[-1]), case.target.shape
    if case.reduction != "none":
        value, size, active = (np.atleast_1d(a.sum()) for a in (value, size, active))
        divisor, shape = divisor * (len(terms.own) if case.reduction == "mean" else 1), ()
    return _around(case, value / divisor, size / divisor * (active + SLACK) * _unit(case), shape)


def _gradient(case: Case, terms: _Terms) -> FewEnclosures:
    g = np.broadcast_to(np.asarray(case.grad_output, dtype=np.float64).reshape(-1), len(terms.own))
    divisor = case.input.shape[-1] * (len(terms.own) if case.reduction == "mean" else 1)
    factor = g * terms.w * case.p
    own_slope = (terms.own > 0).astype(np.float64) if case.p == 1 else terms.own
    others = factor[terms.row] * (1.0 if case.p == 1 else terms.z)
    targets = -terms.sums(others)
    cancelled = np.abs(targets) + 2 * np.abs(factor) * own_slope
    # a row without active terms is 0; only a fused keep-and-cancel leaves anything at its target (A.11)
    value = np.append(others, targets)
    error = np.append(np.abs(others) * SLACK, cancelled * (terms.counts + 2 + SLACK))
    found = _around(case, value / divisor, error / divisor * _unit(case), case.input.shape)
    places = np.append(terms.place, terms.target)
    return FewEnclosures(found.shape, case.dtype, places, found.lo, found.hi, found.nearest)


def _around(case: Case, value: Floats, error: Floats, shape: tuple[int, ...]) -> Enclosures:
    """Return value +- error, flat; not rounded to the dtype's grid, which results are on anyway."""
    nearest: NDArray[Any] = value.astype(DTYPES[case.dtype]).astype(np.float64)
    lo, hi = np.minimum(value - error, nearest), np.maximum(value + error, nearest)
    return Enclosures(shape, case.dtype, lo, hi, nearest)
