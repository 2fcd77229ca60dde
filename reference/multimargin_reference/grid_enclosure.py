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
from multimargin_reference.formats import DTYPES

SLACK = 16  # units: nine scalings, square, weight, second-order terms, three roundings here
Places = NDArray[np.int64]


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
        x, y = np.atleast_2d(case.input).astype(np.float64), np.atleast_1d(case.target)
        rows, classes = x.shape
        target = np.arange(0, rows * classes, classes) + y
        z = (x + (case.margin - x.reshape(-1)[target])[:, None]).reshape(-1)
        own = np.maximum(z[target], 0.0)
        z[target] = 0.0
        place = np.flatnonzero(z > 0)
        row = place // classes
        w = np.ones(rows) if case.weight is None else case.weight[y].astype(np.float64)
        return cls(row, place, z[place], own, target, np.bincount(row, minlength=rows), w)

    def sums(self, values: Floats) -> Floats:
        """Return the sum of each row's values, (N,)."""
        return np.bincount(self.row, weights=values, minlength=len(self.own)).astype(np.float64)


def grid_values(case: Case) -> Values:
    """Return what a legal implementation may return for a valid case on the grid; it is the caller's duty that it is.

    Every z is exact in the dtype, weights and grad_output are powers of two or 0, and nothing under- or overflows.
    """
    terms = _Terms.of(case)
    return Values(_loss(case, terms), None if case.grad_output is None else _gradient(case, terms))


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


def _gradient(case: Case, terms: _Terms) -> Enclosures:
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
    lo, hi, nearest = (_spread(ends, places, case.input.size) for ends in (found.lo, found.hi, found.nearest))
    return Enclosures(found.shape, found.dtype, lo, hi, nearest)


def _spread(values: Floats, places: Places, size: int) -> Floats:
    """Return an array of so many zeros with the values at their places."""
    spread = np.zeros(size)
    spread[places] = values
    return spread


def _around(case: Case, value: Floats, error: Floats, shape: tuple[int, ...]) -> Enclosures:
    """Return value +- error, flat; not rounded to the dtype's grid, which results are on anyway."""
    nearest: NDArray[Any] = value.astype(DTYPES[case.dtype]).astype(np.float64)
    lo, hi = np.minimum(value - error, nearest), np.maximum(value + error, nearest)
    return Enclosures(shape, case.dtype, lo, hi, nearest)
