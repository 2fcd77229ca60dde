"""A call as doubles, and what deciding about its loss and its gradient have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multimargin_reference.case import Case
from multimargin_reference.double_double import Floats
from multimargin_reference.exact_values import lowest_bits
from multimargin_reference.fast_terms import ROOM, Mask, Terms, Units
from multimargin_reference.validation import validate, validate_grad_output

INSIDE, UNDECIDED, OUTSIDE = 1, 0, -1
Decided = NDArray[np.int8]


@dataclass(frozen=True, eq=False)
class Call:
    """A valid call. x: (N, C) in its own dtype; y, w: (N,), w[y] of each row; g: (N,) or None."""

    x: NDArray[np.floating]
    y: NDArray[np.int64]
    w: Floats
    g: Floats | None
    p: int
    margin: float
    reduction: str
    units: Units
    divisor: float

    @classmethod
    def of(cls, case: Case, flush: bool) -> Call:
        """Return a case's call. Raises as `validate` does."""
        call = validate(case.input, case.target, case.p, case.margin, case.weight, case.reduction)
        g = None if case.grad_output is None else validate_grad_output(case.grad_output, call).astype(np.float64)
        w = np.ones(len(call.target)) if call.weight is None else call.weight[call.target].astype(np.float64)
        units = Units.of(case.format, flush)
        return cls(call.input, call.target, w, g, call.p, call.margin, call.reduction, units, float(call.divisor))

    @property
    def exact_divisors(self) -> bool:
        """Whether C, N and N C are powers of two that the format holds (appendix A.13, 3)."""
        rows, classes = self.x.shape
        counts = (rows, classes, rows * classes) if self.reduction == "mean" else (classes,)
        return all(n & (n - 1) == 0 and n <= self.units.format.largest for n in counts)


@dataclass(frozen=True, eq=False)
class Finding:
    """What the comparisons of an array say. exact, perhaps: of the exact grid for certain, or possibly."""

    inside: Mask
    outside: Mask
    equal: Mask  # to the exact value, where that is a double
    differs: Mask

    def decided(self, result: Floats, clear: Mask, exact: Mask, perhaps: Mask, no_overflow: Mask) -> Decided:
        """Combine: on the exact grid one value is legal; without overflow no infinity and no NaN is.

        What was found to be inside and outside, against all reason, is undecided.
        """
        inside = (self.inside & ~perhaps) | (self.equal & exact)
        outside = self.outside | (self.differs & exact)
        finite = np.isfinite(result)
        outside = np.where(finite, outside, no_overflow)
        decided: Decided = (inside & finite).astype(np.int8) - outside.astype(np.int8)
        return decided * clear.astype(np.int8)


def surely_beyond(values: Floats, limit: Any) -> Mask:
    """Return which non-negative values reach a limit; an infinity may come from an overflow here, and does not."""
    return np.asarray(np.isfinite(values) & (values * (1 - ROOM) >= limit))


def powers_of_two(values: Floats) -> Mask:
    """Return which values are 0 or a power of two, of either sign."""
    fractions = np.abs(np.frexp(values)[0])
    result: Mask = (fractions == 0) | (fractions == 0.5)
    return result


def exponents(powers: Floats) -> NDArray[np.int32]:
    """Return the exponents of powers of two, at most 0."""
    result: NDArray[np.int32] = np.minimum(np.frexp(powers)[1] - 1, 0)
    return result


def units_of(t: Terms) -> Floats:
    """Return the largest power of two that divides all active z of a row, own terms too: (N,), infinity for none."""
    of_terms = lowest_bits(np.where(t.certain, t.z.high, 0.0)).min(axis=0)
    own = lowest_bits(np.array(t.margin))
    return np.asarray(np.where(t.own_active, np.minimum(of_terms, own), of_terms))


def one_for_none(units: Floats) -> Floats:
    """Return the units, 1 where there is none."""
    return np.where(np.isinf(units), 1.0, units)


def fitting(size: Floats, call: Call, exponent: NDArray[np.int32]) -> tuple[Mask, Mask]:
    """Return where a sum of so many units fits into the significand and nothing underflows: surely, and possibly.

    exponent: of the smallest product of factors that may be scaled (appendix A.13, 4).
    """
    capacity = 2.0**call.units.format.precision
    kept = exponent - (np.frexp(call.divisor)[1] - 1) >= np.frexp(call.units.least)[1] - 1
    return (size <= capacity * (1 - ROOM)) & kept, (size <= capacity * (1 + ROOM)) & kept
