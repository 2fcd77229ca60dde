"""The set of results that a legal implementation may return for one number."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from multimargin_reference.arithmetic import Real
from multimargin_reference.formats import INFINITY, Format

NOTHING: frozenset[str] = frozenset()
SPECIALS = ("inf", "-inf", "nan", "0")


@dataclass(frozen=True)
class Interval:
    """The closed interval [lo, hi] (None: no finite result is legal) and, beside it, the special values in `also`."""

    lo: Fraction | None
    hi: Fraction | None
    also: frozenset[str] = NOTHING

    def contains(self, result: Real) -> bool:
        """Return whether `result` (exact, or a float) is legal."""
        value = result if isinstance(result, Fraction) or not math.isfinite(result) else Fraction(result)
        if not isinstance(value, Fraction):
            return special_name(value) in self.also
        inside = self.lo is not None and self.hi is not None and self.lo <= value <= self.hi
        return inside or (value == 0 and "0" in self.also)

    def with_also(self, names: frozenset[str]) -> Interval:
        """Return the interval with more special values allowed."""
        return Interval(self.lo, self.hi, self.also | names) if names - self.also else self


def point(value: Fraction) -> Interval:
    """Return the interval of one number."""
    return Interval(value, value)


def special_name(value: float) -> str:
    """Return "nan", "inf" or "-inf"."""
    return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"


def bounded(lo: Fraction, hi: Fraction, fmt: Format, overflow: frozenset[str]) -> Interval:
    """Return [lo, hi] within the format's finite range; `overflow` holds what may come out beside it.

    A lower end at or past the overflow threshold leaves only infinity (SPECIAL-6).
    """
    if lo >= fmt.overflow_threshold or hi <= -fmt.overflow_threshold:
        return Interval(None, None, overflow | {"inf" if lo > 0 else "-inf"})
    lo, hi = (min(max(end, -fmt.largest), fmt.largest) for end in (lo, hi))
    return Interval(lo, hi, overflow)


def rounded_into(interval: Interval, fmt: Format) -> Interval:
    """Return what a legal result in a wider format becomes by one final rounding to nearest into `fmt`."""
    if interval.lo is None or interval.hi is None:
        return interval
    lo, hi = fmt.round(interval.lo), fmt.round(interval.hi)
    also = interval.also | {special_name(v) for v in (lo, hi) if isinstance(v, float)}
    if lo in (INFINITY, -INFINITY) and lo == hi:
        return Interval(None, None, also)
    return Interval(
        lo if isinstance(lo, Fraction) else -fmt.largest, hi if isinstance(hi, Fraction) else fmt.largest, also
    )
