"""Binary floating-point formats, and exact rounding of rational numbers into them.

Everything here works on `fractions.Fraction`, so nothing rounds but `Format.round`, `Format.floor` and `Format.ceil`.
Source: IEEE 754-2019 sections 3.3 and 4.3; bfloat16 is binary32's range with 8 bits of precision.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, cached_property
from typing import Any

import ml_dtypes
import numpy as np

from multimargin_reference.arithmetic import Real

INFINITY = math.inf


def power_of_two(exponent: int) -> Fraction:
    """Return 2 ** exponent exactly."""
    return Fraction(1 << exponent) if exponent >= 0 else Fraction(1, 1 << -exponent)


def floor_log2(value: Fraction) -> int:
    """Return the largest e with 2**e <= value, for value > 0."""
    e = value.numerator.bit_length() - value.denominator.bit_length()
    return e if power_of_two(e) <= value else e - 1


@dataclass(frozen=True)
class Format:
    """A binary format: `precision` significand bits (implicit one included) and exponents `emin` to `emax`."""

    name: str
    precision: int
    emin: int
    emax: int

    @cached_property
    def u(self) -> Fraction:
        """Unit roundoff, 2**-precision: half the gap between 1 and the next number."""
        return power_of_two(-self.precision)

    @cached_property
    def eta(self) -> Fraction:
        """Smallest subnormal."""
        return power_of_two(self.emin - self.precision + 1)

    @cached_property
    def smallest_normal(self) -> Fraction:
        """Smallest normal number (lambda in the appendix of SPEC.md)."""
        return power_of_two(self.emin)

    @cached_property
    def largest(self) -> Fraction:
        """Largest finite number."""
        return (2 - 2 * self.u) * power_of_two(self.emax)

    @cached_property
    def overflow_threshold(self) -> Fraction:
        """Largest finite number plus half an ulp: from here on, rounding to nearest gives infinity."""
        return (2 - self.u) * power_of_two(self.emax)

    def ulp(self, value: Fraction) -> Fraction:
        """Return the gap between neighbouring numbers of this format at |value| (eta at and near zero)."""
        exponent = floor_log2(abs(value)) if value else self.emin
        return power_of_two(min(max(exponent, self.emin), self.emax) - self.precision + 1)

    def round(self, value: Real) -> Real:
        """Round to nearest, ties to even; infinity from the overflow threshold on; nan and infinities unchanged."""
        if not isinstance(value, Fraction):
            return value
        if abs(value) >= self.overflow_threshold:
            return INFINITY if value > 0 else -INFINITY
        ulp = self.ulp(value)
        return round(value / ulp) * ulp  # Fraction.__round__ ties to even

    def floor(self, value: Fraction) -> Real:
        """Return the largest number of this format that is not above `value` (-inf below the largest finite)."""
        if value >= self.largest:
            return self.largest
        if value < -self.largest:
            return -INFINITY
        ulp = self.ulp(value)
        return math.floor(value / ulp) * ulp

    def ceil(self, value: Fraction) -> Real:
        """Return the smallest number of this format that is not below `value` (inf above the largest finite)."""
        return -self.floor(-value)

    def represents(self, value: Fraction) -> bool:
        """Return whether `value` is a finite number of this format, subnormals included."""
        n, d = value.numerator, value.denominator
        if d & (d - 1):  # only a power of two divides a binary fraction
            return False
        highest, lowest = (bits.bit_length() - d.bit_length() for bits in (n, n & -n))  # exponents of its bits
        return highest <= self.emax and lowest > max(highest, self.emin) - self.precision


FLOAT16 = Format("float16", 11, -14, 15)
BFLOAT16 = Format("bfloat16", 8, -126, 127)
FLOAT32 = Format("float32", 24, -126, 127)
FLOAT64 = Format("float64", 53, -1022, 1023)

FORMATS = {f.name: f for f in (FLOAT16, BFLOAT16, FLOAT32, FLOAT64)}
HALVES = ("float16", "bfloat16")
DTYPES: dict[str, np.dtype[Any]] = {
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "float32": np.dtype(np.float32),
    "float64": np.dtype(np.float64),
}


@cache
def dtype_name(dtype: np.dtype[Any]) -> str:
    """Return NumPy's name of a dtype, which takes it microseconds to make."""
    return dtype.name
