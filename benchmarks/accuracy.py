"""How far a loss and a gradient are from the same in float64."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from problems import Problem


@dataclass(frozen=True)
class Errors:
    """Relative errors, the gradient's the largest of its elements' that should not be 0.

    kinks: elements that are 0 and should not be, or the other way round. They do not count for the others.
    """

    loss: float
    gradient: float
    kinks: int


def errors(given: Problem, loss: Any, gradient: NDArray[Any]) -> Errors:
    """Compare results with float64's, row by row; z is exact in it but for one rounding, of half 2**-53."""
    x, y, p = given.x, given.y, given.options.p
    losses, worst, kinks = [], 0.0, 0
    for r, own in enumerate(y):
        w = 1.0 if given.w is None else float(given.w[own])
        z = np.maximum(x[r].astype(np.float64) - (np.float64(x[r, own]) - 1.0), 0)
        z[own] = 0
        losses.append(w * float((z**p).sum()))
        slopes = np.sign(z) if p == 1 else z
        expected = slopes * (w * p / x.size)
        expected[own] = -slopes.sum() * (w * p / x.size)
        got = gradient[r].astype(np.float64)
        both = (expected != 0) & (got != 0)
        kinks += int(((expected != 0) != (got != 0)).sum())
        off = np.abs(got[both] - expected[both]) / np.abs(expected[both])
        worst = max(worst, float(off.max(initial=0.0)))
    true = math.fsum(losses) / x.size
    return Errors(abs(float(loss) - true) / true if true else abs(float(loss)), worst, kinks)
