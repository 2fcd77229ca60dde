"""Double-double arithmetic on arrays: numbers as unevaluated sums of two doubles, with about 106 bits.

Sources: Dekker 1971, "A floating-point technique for extending the available precision"; Knuth, TAOCP 2, 4.2.2. Without
underflow and overflow. An overflow gives a NaN in `low`, never a wrong finite pair.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
SPLITTER = 2.0**27 + 1


class Pair(NamedTuple):
    """The number high + low."""

    high: Floats
    low: Floats


def two_sum(a: Any, b: Any) -> Pair:
    """Return a + b exactly; no underflow can spoil it."""
    high = a + b
    part = high - a
    return Pair(high, (a - (high - part)) + (b - part))


def two_product(a: Any, b: Any) -> Pair:
    """Return a * b exactly where neither it nor any of its 106 bits underflows."""
    high = a * b
    (a1, a2), (b1, b2) = _halves(a), _halves(b)
    return Pair(high, ((a1 * b1 - high) + a1 * b2 + a2 * b1) + a2 * b2)


def _halves(a: Any) -> tuple[Any, Any]:
    """Return two numbers of 26 bits or fewer whose sum is a."""
    scaled = SPLITTER * a
    high = scaled - (scaled - a)
    return high, a - high


def product(a: Pair, b: Pair) -> Pair:
    """Return a * b with a relative error below 2**-100, not normalized."""
    high, low = two_product(a.high, b.high)
    return Pair(high, low + (a.high * b.low + a.low * b.high))


def difference(a: Pair, b: Pair) -> Floats:
    """Return a - b with an error below 2**-52 |a - b| + 2**-100 (|a| + |b|); 0 where normalized pairs are equal."""
    result: Floats = (a.high - b.high) + (a.low - b.low)
    return result


def total(a: Pair) -> Pair:
    """Return the sum over the first axis with an error below 2**-90 times the sum of magnitudes, normalized.

    Exact where all partial sums in any order are doubles.
    """
    high, low = a
    while len(high) > 1:
        half = len(high) // 2
        sums, errors = two_sum(high[:half], high[half : 2 * half])
        errors += low[:half] + low[half : 2 * half]
        if len(high) % 2:
            sums[0], more = two_sum(sums[0], high[-1])
            errors[0] += more + low[-1]
        high, low = sums, errors
    return two_sum(high[0], low[0])


def largest(a: Pair) -> Pair:
    """Return the largest of normalized pairs along the first axis."""
    high = a.high.max(axis=0)
    low: Floats = np.where(a.high == high, a.low, -np.inf).max(axis=0)
    return Pair(high, low)


def three_sum(first: Pair, x: Floats) -> Pair:
    """Return first + x, the exact sum of three doubles, with an error below 2**-103 of it; normalized.

    low is 0 if and only if the sum is a double.
    """
    a, b = two_sum(first.high, x)
    c, d = two_sum(b, first.low)
    high, rest = two_sum(a, c)
    return two_sum(high, rest + d)
