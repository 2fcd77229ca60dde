"""Deciding about gradients: appendix A.10 to A.13 in doubles. `fast_judge` counts the roundings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from multimargin_reference.double_double import Floats, Pair, difference, product, total, two_product
from multimargin_reference.exact_values import lowest_bits
from multimargin_reference.fast_call import (
    INSIDE,
    Call,
    Decided,
    Finding,
    exponents,
    fitting,
    one_for_none,
    powers_of_two,
    surely_beyond,
    units_of,
)
from multimargin_reference.fast_terms import LEAST, ROOM, Mask, Terms

SMALLEST_FACTOR = 2.0**-800  # below it the low half of |G w| may be lost


@dataclass(frozen=True, eq=False)
class _Factor:
    """|G w p| of each row, (N,), and the bounds that go with it, all times D. sign: 0 where G or w is."""

    size: Pair
    sign: Floats
    larger: Floats
    underflow: Floats  # 4 eta larger
    clear: Mask

    @classmethod
    def of(cls, call: Call, rows: slice) -> _Factor:
        assert call.g is not None
        g, w = np.abs(call.g[rows]), np.abs(call.w[rows])
        size = Pair(*(part * call.p for part in two_product(g, w)))
        sign = np.sign(call.g[rows]) * np.sign(call.w[rows])
        larger = np.maximum(1.0, g) * np.maximum(1.0, w)
        clear = np.isfinite(size.high) & np.isfinite(larger) & ((sign == 0) | (size.high >= SMALLEST_FACTOR))
        return cls(size, sign, larger, 4 * call.divisor * larger * call.units.eta, clear)


def gradient_decisions(call: Call, t: Terms, rows: slice, result: Floats) -> Decided:
    """Decide about the gradient of some rows, (C, N)."""
    factor, place = _Factor.of(call, rows), (call.y[rows], np.arange(len(t.clear)))
    slack = _Slack.of(call, t, factor)
    finding = _elements(call, t, factor, slack, result)
    own = _target(call, t, factor, slack, result[place])
    for whole, one in zip(vars(finding).values(), vars(own).values(), strict=True):
        whole[place] = one
    no_overflow, certain_overflow = _overflow(call, t, factor, place)
    exact, perhaps = _on_the_grid(call, t, rows, factor)
    decided = finding.decided(result, t.clear & factor.clear, exact, perhaps, no_overflow | exact)
    sign = np.where(t.active, factor.sign, 0.0)
    sign[place] = -factor.sign
    infinite = np.isinf(result) & (np.sign(result) == sign) & certain_overflow & t.clear & factor.clear
    decided[infinite] = INSIDE
    return decided


@dataclass(frozen=True, eq=False)
class _Slack:
    """What elements may be off by, times D: (N,) for p = 1, (C, N) for p = 2."""

    rounding: Floats  # r of appendix A.10
    whole: Floats  # |G w| p e for p = 2 as well

    @classmethod
    def of(cls, call: Call, t: Terms, factor: _Factor) -> _Slack:
        if call.p == 1:
            bound = _rounding(call, factor, np.ones_like(factor.larger))
            return cls(bound, bound)
        bound = _rounding(call, factor, t.z.high + t.e)
        return cls(bound, factor.size.high * t.e + bound)


def _rounding(call: Call, factor: _Factor, upper: Floats) -> Floats:
    """Return r, times D, for elements |G w p| * upper."""
    reach = np.maximum(1.0, 2 * upper) if call.p == 2 else np.ones_like(upper)
    return call.units.nine * factor.size.high * upper + factor.underflow * reach


def _elements(call: Call, t: Terms, factor: _Factor, slack: _Slack, result: Floats) -> Finding:
    """Compare all elements, as if none were the target's."""
    exact = factor.size if call.p == 1 else product(factor.size, t.z)
    off = difference(two_product(factor.sign * result, call.divisor), exact)
    above = below = slack.whole
    if call.p == 2:  # from -r where the sign of z is undecidable
        below = np.where(t.undecidable, slack.rounding + exact.high, slack.whole)
    room = ROOM * slack.whole
    trusted = np.isfinite(slack.whole) & (slack.whole >= LEAST)
    inside = trusted & (off <= above - room) & (-off <= below - room)
    outside = trusted & ((off > above + room) | (-off > below + room))
    active, zero = t.active & (factor.sign != 0), result == 0
    free = t.undecidable & zero
    inside, outside = np.where(active, inside | free, zero), np.where(active, outside & ~free, ~zero)
    equal = np.where(active, off == 0, zero)
    return Finding(inside, outside, equal, np.where(active, (off != 0) & np.isfinite(off), ~zero))


def _target(call: Call, t: Terms, factor: _Factor, slack: _Slack, result: Floats) -> Finding:
    """Compare the targets' elements (appendix A.11), (N,)."""
    size, u = factor.size.high, call.units.u
    n = t.active.sum(axis=0).astype(np.float64)
    if call.p == 1:
        certain = t.certain.sum(axis=0).astype(np.float64)
        either, bound = n - certain, slack.whole
        exact = product(factor.size, Pair(certain, np.zeros_like(certain)))
        above = certain * bound + either * (size + bound)
        below = certain * bound
        clear = (either == 0) | (bound < size / 2)  # an undecidable element is 0 or more
    else:
        parts = (np.where(t.certain, part, 0.0) for part in t.z)
        exact = product(factor.size, total(Pair(*parts)))
        either_size = size * np.maximum(t.z.high + t.e, 0.0) + slack.rounding
        above = np.where(t.certain, slack.whole, np.where(t.undecidable, either_size, 0.0)).sum(axis=0)
        below = np.where(t.certain, slack.whole, np.where(t.undecidable, slack.rounding, 0.0)).sum(axis=0)
        clear = np.ones_like(t.clear)
    magnitude = exact.high + above
    slope = np.ones_like(t.own) if call.p == 1 else t.own
    own_size = size * slope + _rounding(call, factor, slope)
    cancelled = (n + 1) * u * (magnitude + 2 * own_size) + factor.underflow
    error = np.where(t.own_active, cancelled, np.maximum(n - 1, 0.0) * u * magnitude)
    above, below = above + error, below + error
    off = difference(two_product(-factor.sign * result, call.divisor), exact)
    trusted = clear & np.isfinite(above) & (np.minimum(above, below) >= LEAST)
    inside = trusted & (off <= above * (1 - ROOM)) & (-off <= below * (1 - ROOM))
    outside = trusted & ((off > above * (1 + ROOM)) | (-off > below * (1 + ROOM)))
    some, zero = (factor.sign != 0) & ((n > 0) | t.own_active), result == 0
    inside, outside = np.where(some, inside, zero), np.where(some, outside, ~zero)
    return Finding(
        inside, outside, np.where(some, off == 0, zero), np.where(some, (off != 0) & np.isfinite(off), ~zero)
    )


def _overflow(call: Call, t: Terms, factor: _Factor, place: tuple[Any, ...]) -> tuple[Mask, Mask]:
    """Return the rows where no intermediate result may overflow, and those where one may for certain."""
    active = t.active
    active[place] = t.own_active
    n = active.sum(axis=0).astype(np.float64)
    sizes = n if call.p == 1 else 2 * np.where(active, np.maximum(1.0, t.reach), 0.0).sum(axis=0)
    limit = call.units.overflow_threshold / (factor.larger * (1 + call.units.growth(n + 2)))
    most = np.maximum(sizes, float(call.p))
    return most * (1 + ROOM) < limit, surely_beyond(most, limit)


def _on_the_grid(call: Call, t: Terms, rows: slice, factor: _Factor) -> tuple[Mask, Mask]:
    """Return the rows whose gradient is exact (appendix A.13): for certain, and possibly."""
    assert call.g is not None
    g, w = np.abs(call.g[rows]), np.abs(call.w[rows])
    possible = (t.certain_rows if call.p == 1 else t.exact_rows) & powers_of_two(w) & call.exact_divisors
    possible = possible & (g != 0) & (w != 0)
    if not possible.any():
        return possible, possible
    q_g = lowest_bits(g)
    exponent = exponents(q_g) + exponents(w)
    if call.p == 1:
        size, q = (t.certain.sum(axis=0) + t.own_active).astype(np.float64), np.ones(len(g))
    else:
        q = one_for_none(units_of(t))
        exponent = exponent + exponents(q)
        size = np.where(t.certain, t.z.high, 0.0).sum(axis=0) + np.where(t.own_active, abs(t.margin), 0.0)
    certainly, perhaps = fitting(size / q * (g / q_g), call, exponent)
    large, limit = factor.larger * 2 * np.maximum(1.0, size), call.units.overflow_threshold
    return possible & certainly & (large * (1 + ROOM) < limit), possible & perhaps & ~surely_beyond(large, limit)
