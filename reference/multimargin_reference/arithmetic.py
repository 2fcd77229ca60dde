"""Exact arithmetic on real numbers and the three values that `Fraction` cannot hold: nan, inf and -inf."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

Real = Fraction | float  # a float only for nan, inf and -inf


def exact(value: Any) -> Real:
    """Return a number (NumPy and bfloat16 scalars included) exactly."""
    if isinstance(value, int | Fraction):
        return Fraction(value)
    as_double = float(value)
    return Fraction(as_double) if math.isfinite(as_double) else as_double


def total(terms: Sequence[Real]) -> Real:
    """Add; a sum with a NaN or an infinity in it is decided by those alone (SPECIAL)."""
    special = [t for t in terms if isinstance(t, float)]
    if not special:
        return sum(terms, Fraction(0))
    return special[0] if len(set(special)) == 1 else math.nan


def product(*factors: Real) -> Real:
    """Multiply; with a NaN or an infinity among the factors, only the signs and zeros of the others count."""
    if any(isinstance(f, float) for f in factors):
        return math.prod(f if isinstance(f, float) else float((f > 0) - (f < 0)) for f in factors)
    return math.prod(factors, start=Fraction(1))
