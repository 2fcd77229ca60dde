"""The terms of many rows in double arithmetic: z = margin - x[y] + x[i], the error e of it, and which are active.

Arrays are (C, N): classes first, so that sums over classes add whole rows of memory. What `problem` derives exactly is
here within a relative error of 2**-46, z itself (a pair of doubles) within 2**-103; whether nothing rounds (e = 0) is
decided exactly. Where a comparison would hang on these errors the row is not `clear`.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import numpy as np
from numpy.typing import NDArray

from multimargin_reference.double_double import Floats, Pair, three_sum, two_sum
from multimargin_reference.formats import DTYPES, Format

Mask = NDArray[np.bool_]
ROOM = 2.0**-28  # relative; far above every rounding of this module, far below a unit in the last place of the formats
CLOSE = 2.0**-14  # nearer than this to -e, z + e is not accurate enough to be used
LEAST = 2.0**-900  # bounds below it are not trusted: an underflow here errs by 2**-1074 a term


@dataclass(frozen=True)
class Units:
    """A format's constants as doubles; flush: with the permission to flush subnormals (appendix A.16).

    eta: twice the largest error of an underflow. least: the smallest number that no operation changes.
    overflow_threshold: Omega', for float64 half an ulp less, which ROOM covers.
    """

    format: Format
    flush: bool
    u: float
    eta: float
    smallest_subnormal: float
    smallest_normal: float
    least: float
    overflow_threshold: float
    eight: float  # (1 + u)^8 - 1
    nine: float

    @staticmethod
    @cache
    def of(format: Format, flush: bool) -> Units:
        """Return a format's constants."""
        u, eta, normal = format.u, float(format.eta), float(format.smallest_normal)
        threshold = float(min(format.overflow_threshold, Fraction(sys.float_info.max)))
        eight, nine = (float((1 + u) ** n - 1) for n in (8, 9))
        lost, least = (2 * normal, normal) if flush else (eta, eta)
        return Units(format, flush, float(u), lost, eta, normal, least, threshold, eight, nine)

    def growth(self, n: Floats) -> Floats:
        """Return g of appendix A.7."""
        more = np.maximum(n - 1, 0.0) * self.u
        return more + self.eight + more * self.eight

    def kept(self, a: Pair) -> Mask:
        """Return which normalized pairs are numbers of the format that no operation changes."""
        kept = a.low == 0
        if self.format.name != "float64":
            kept &= a.high.astype(DTYPES[self.format.name]).astype(np.float64) == a.high
        return np.asarray(kept & self.not_flushed(a.high))

    def not_flushed(self, values: Floats) -> Mask:
        """Return which numbers are not flushed."""
        if not self.flush:
            return np.ones(values.shape, np.bool_)
        return np.asarray((values == 0) | (np.abs(values) >= self.smallest_normal))


@dataclass(frozen=True, eq=False)
class Terms:
    """Rows of terms, (C, N). The target's own terms are cleared from active, certain and undecidable.

    reach: the largest value that an intermediate sum can take, own terms included. exact: e = 0. own, own_active: (N,),
    z + e of the target's own term where that may be positive, otherwise 0. clear: (N,), rows that can be decided.
    exact_rows, certain_rows: (N,), rows whose sums are exact, and whose signs are, as far as three-term sums matter.
    """

    z: Pair
    e: Floats
    reach: Floats
    certain: Mask  # z > e
    undecidable: Mask  # -e < z <= e
    own: Floats
    own_active: Mask
    clear: Mask
    exact_rows: Mask
    certain_rows: Mask
    margin: float

    @property
    def active(self) -> Mask:
        """Terms that a legal evaluation may count."""
        return self.certain | self.undecidable


def every(mask: Mask) -> Mask:
    """Return for which rows a (C, N) mask is all true."""
    return np.asarray(mask.all(axis=0))


def terms(x: Floats, y: NDArray[np.int64], margin: float, units: Units) -> Terms:
    """Return the terms of logits x, (C, N), and targets y, (N,)."""
    place = y, np.arange(len(y))
    xy, m = x[place], np.array([margin])
    first, others, third = two_sum(m, -xy), two_sum(x, -xy), two_sum(m, x)
    z = three_sum(first, x)
    margin_exact = units.format.represents(Fraction(margin))
    exact = units.kept(z) & units.kept(others) & units.kept(third) & units.kept(first)
    exact &= margin_exact & units.not_flushed(m) & units.not_flushed(x) & units.not_flushed(xy)
    partial = np.maximum(np.maximum(np.abs(others.high), np.abs(third.high)), np.abs(first.high))
    e0 = 0.0 if margin_exact else units.u * abs(margin) + units.smallest_subnormal / 2
    e1 = e0 + units.u * (partial + e0)
    e = e1 + (units.u * np.abs(z.high) + units.u * e1) + (5 * units.smallest_normal if units.flush else 0.0)
    e = np.where(exact, 0.0, e)
    largest = np.maximum(np.maximum(others.high, third.high), np.maximum(first.high, z.high))
    certain = z.high > e * (1 + ROOM)
    undecidable = (z.high <= e * (1 - ROOM)) & (z.high > -e * (1 - CLOSE))
    clear = (certain | undecidable | (z.high <= -e * (1 + ROOM))) & (exact | (e > LEAST)) & np.isfinite(x + e)
    own_active = (certain | undecidable)[place]
    own_exact = exact[place] | ~own_active
    certain[place] = undecidable[place] = False
    return Terms(
        z=z,
        e=e,
        reach=np.maximum(largest, 0.0) + e,
        certain=certain,
        undecidable=undecidable,
        own=np.where(own_active, np.maximum(z.high + e, 0.0)[place], 0.0),
        own_active=own_active,
        clear=every(clear),
        exact_rows=every((exact | ~certain) & ~undecidable) & own_exact,
        certain_rows=every(~undecidable),
        margin=margin,
    )
