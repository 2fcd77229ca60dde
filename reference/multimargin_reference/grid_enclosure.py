"""Enclosures of calls on a grid by double arithmetic: what `expected_values` gives, slightly wider, in microseconds.

For float32 and float64. On the grid z, and for float64 z ** p and all sums of w z ** p, are exact doubles, so that only
what a legal evaluation rounds has to be bounded: sums and scaling (SPEC.md, appendix A.6, A.7, A.10 and A.11 with
e = 0), without underflow. SLACK more units pay for the square's and the weight's rounding and for this module's own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from multimargin_reference.case import Case
from multimargin_reference.expectation import Enclosures, Floats, Values
from multimargin_reference.formats import DTYPES

SLACK = 16  # units: nine scalings, square, weight, second-order terms, three roundings here


def grid_values(case: Case) -> Values:
    """Return what a legal implementation may return for a valid case on the grid; it is the caller's duty that it is.

    Every z is exact in the dtype, weights and grad_output are powers of two or 0, and nothing under- or overflows.
    """
    x, y = np.atleast_2d(case.input).astype(np.float64), np.atleast_1d(case.target)
    rows = np.arange(len(x))
    z = np.maximum(case.margin - x[rows, y][:, None] + x, 0.0)
    own = z[rows, y].copy()
    z[rows, y] = 0.0
    w = np.ones(len(x)) if case.weight is None else case.weight.astype(np.float64)[y]
    loss = _loss(case, z, w)
    if case.grad_output is None:
        return Values(loss, None)
    return Values(loss, _gradient(case, z, own, w))


def _unit(case: Case) -> float:
    return float(case.format.u)


def _loss(case: Case, z: Floats, w: Floats) -> Enclosures:
    classes, active = z.shape[1], (z > 0).sum(axis=1)
    sums = (z**case.p).sum(axis=1)
    value, size = w * sums, np.abs(w) * sums
    divisor, shape = float(classes), case.target.shape
    if case.reduction != "none":
        value, size, active = (np.atleast_1d(a.sum()) for a in (value, size, active))
        divisor, shape = divisor * (len(z) if case.reduction == "mean" else 1), ()
    return _around(case, value / divisor, size / divisor * (active + SLACK) * _unit(case), shape)


def _gradient(case: Case, z: Floats, own: Floats, w: Floats) -> Enclosures:
    rows, y = np.arange(len(z)), np.atleast_1d(case.target)
    g = np.broadcast_to(np.asarray(case.grad_output, dtype=np.float64).reshape(-1), len(z))
    divisor = z.shape[1] * (len(z) if case.reduction == "mean" else 1)
    factor = g * w * case.p
    slope = (z > 0).astype(np.float64) if case.p == 1 else z
    own_slope = (own > 0).astype(np.float64) if case.p == 1 else own
    numerator = factor[:, None] * slope
    numerator[rows, y] = -numerator.sum(axis=1)
    error = np.abs(numerator) * SLACK
    cancelled = np.abs(numerator[rows, y]) + 2 * np.abs(factor) * own_slope
    error[rows, y] = cancelled * ((z > 0).sum(axis=1) + 2 + SLACK)
    # a row without active terms is 0; only a fused keep-and-cancel leaves anything at its target (A.11)
    return _around(case, numerator / divisor, error / divisor * _unit(case), case.input.shape)


def _around(case: Case, value: Floats, error: Floats, shape: tuple[int, ...]) -> Enclosures:
    """Return value +- error; not rounded to the dtype's grid, which results are on anyway."""
    lo, hi = (value - error).reshape(-1), (value + error).reshape(-1)
    dtype = DTYPES[case.dtype]
    nearest: NDArray[Any] = value.reshape(-1).astype(dtype).astype(np.float64)
    return Enclosures(shape, case.dtype, np.minimum(lo, nearest), np.maximum(hi, nearest), nearest)
