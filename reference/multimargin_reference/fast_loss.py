"""Deciding about losses: appendix A.5 to A.9, A.12 and A.13 in doubles. `fast_judge` counts the roundings."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from multimargin_reference.double_double import Floats, Pair, difference, largest, product, total, two_product, two_sum
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


@dataclass(frozen=True, eq=False)
class RowSums:
    """Figures of rows without their weights, (N,) each: what a sum's error bound needs."""

    clear: Mask
    n: Floats  # terms that may be active
    high: Floats  # sum of h, a pair of doubles
    low: Floats
    errors: Floats  # sum of eh
    underflow: Floats  # sum of max(1, z + e) ** p over active terms
    reach: Floats  # of B, own terms included
    largest_high: Floats  # the largest h - eT / |w|, 0 if all are negative: a pair of doubles
    largest_low: Floats
    exact: Mask  # every three-term sum that may count
    unit: Floats  # q, where exact
    own: Floats  # |m| ** p where the own term may be active


def row_sums(call: Call, t: Terms, rows: slice) -> RowSums:
    """Return the figures of some rows."""
    p, u, active = call.p, call.units.u, t.active
    high, low = (np.where(active & (t.z.high > 0), part, 0.0) for part in t.z)
    e = np.where(active, t.e, 0.0)
    h = Pair(high, low) if p == 1 else product(Pair(high, low), Pair(high, low))
    upper = np.where(active, np.maximum(t.z.high + t.e, 1.0), 0.0)
    errors = e if p == 1 else 2 * high * e + e * e + u * (high + e) ** 2
    vary = np.where(np.abs(call.w[rows]) == 1, 0.0, u)  # rounding of the weight's product
    least = two_sum(h.high, h.low - (h.high * vary + errors * (1 + vary)))  # 0 at the target itself
    exact = t.exact_rows & powers_of_two(call.w[rows]) & call.exact_divisors
    return RowSums(
        t.clear,
        active.sum(axis=0).astype(np.float64),
        *total(h),
        errors.sum(axis=0),
        (upper if p == 1 else upper * upper).sum(axis=0),
        (t.reach if p == 1 else np.maximum(t.reach, t.reach * t.reach)).sum(axis=0),
        *largest(least),
        exact,
        units_of(t) if exact.any() else np.ones(len(exact)),
        np.where(t.own_active, np.abs(np.float64(t.margin)) ** p, 0.0),
    )


def joined(parts: list[RowSums]) -> RowSums:
    """Return the figures of all rows."""
    return RowSums(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(RowSums)))


@dataclass(frozen=True, eq=False)
class _Groups:
    """Sums over what is summed: each row for "none", otherwise all of them. Arrays of one or N numbers."""

    call: Call

    def plus(self, a: Floats) -> Floats:
        return a if self.call.reduction == "none" else a.sum(keepdims=True)

    def most(self, a: Floats) -> Floats:
        return a if self.call.reduction == "none" else a.max(keepdims=True)

    def least(self, a: Floats) -> Floats:
        return a if self.call.reduction == "none" else a.min(keepdims=True)

    def every(self, a: Mask) -> Mask:
        return a if self.call.reduction == "none" else np.array([a.all()])

    def largest(self, a: Pair) -> Pair:
        a = two_sum(*a)
        return a if self.call.reduction == "none" else Pair(*(np.atleast_1d(part) for part in largest(a)))

    def pairs(self, a: Pair) -> Pair:
        return two_sum(*a) if self.call.reduction == "none" else total(Pair(a.high[:, None], a.low[:, None]))


def loss_decisions(call: Call, sums: RowSums, result: Floats) -> Decided:
    """Decide about a loss, (N,) or (1,)."""
    groups, w, size = _Groups(call), call.w, np.abs(call.w)
    clear = groups.every(sums.clear & np.isfinite(w))
    reach = np.maximum(1.0, size) * sums.reach
    reached = groups.plus(np.full(len(w), call.x.shape[1] - 1.0))
    limit = call.units.overflow_threshold / (1 + call.units.growth(reached + 1))
    no_overflow = groups.plus(reach) * (1 + ROOM) < limit
    positive, negative, zero = (
        surely_beyond(groups.plus(np.where(which, reach, 0.0)), limit) for which in (w > 0, w < 0, w == 0)
    )
    exact, perhaps = _on_the_grid(call, groups, sums)
    exact, perhaps = exact & no_overflow, perhaps & ~(positive | negative | zero)
    decided = _compared(call, groups, sums, result).decided(result, clear, exact, perhaps, no_overflow)
    decided[clear & positive & (result == np.inf)] = INSIDE
    decided[clear & negative & (result == -np.inf)] = INSIDE
    return decided


def _compared(call: Call, groups: _Groups, sums: RowSums, result: Floats) -> Finding:
    w, size, u, units = call.w, np.abs(call.w), call.units.u, call.units
    used, vary = size != 0, np.where(size == 1, 0.0, u)
    n = groups.plus(np.where(used, sums.n, 0.0))
    g = units.growth(n)
    magnitude = groups.plus(size * sums.high)
    errors = groups.plus(size * (sums.errors + vary * (sums.high + sums.errors)))
    larger = np.maximum(1.0, size)
    operations = call.p + 4 + (2 if units.flush else 0)
    underflow = groups.plus(np.where(used, larger * sums.underflow, 0.0))
    tiny = (operations / 2 * (1 + g) * underflow + 2) * call.divisor * units.eta
    bound = errors * (1 + g) + g * magnitude + tiny
    scaled = two_product(result, call.divisor)
    off = difference(scaled, groups.pairs(product(Pair(w, np.zeros_like(w)), Pair(sums.high, sums.low))))
    trusted = np.isfinite(bound) & (bound >= LEAST * groups.most(larger))
    inside, outside = trusted & (np.abs(off) <= bound * (1 - ROOM)), trusted & (np.abs(off) > bound * (1 + ROOM))
    # sums of one sign: never beyond zero, and never below their largest term
    sign = np.where(groups.every(w >= 0), 1.0, np.where(groups.every(w <= 0), -1.0, 0.0))
    least = groups.largest(product(Pair(size, np.zeros_like(w)), Pair(sums.largest_high, sums.largest_low)))
    above = difference(Pair(*(sign * part for part in scaled)), least) + (least.high * units.eight + tiny)
    inside &= (sign == 0) | (((above >= bound * ROOM) | (least.high <= 0)) & (sign * result >= 0))
    outside |= trusted & (sign != 0) & ((above < -bound * ROOM) | (sign * result < 0))
    nothing = n == 0
    inside, outside = np.where(nothing, result == 0, inside), np.where(nothing, result != 0, outside)
    return Finding(inside, outside, off == 0, (off != 0) & np.isfinite(off))


def _on_the_grid(call: Call, groups: _Groups, sums: RowSums) -> tuple[Mask, Mask]:
    """Return where the loss is exact (appendix A.13), overflow apart: for certain, and possibly."""
    possible = groups.every(sums.exact)
    if not possible.any():
        return possible, possible
    size = np.abs(call.w)
    smallest = one_for_none(groups.least(np.where(size == 0, np.inf, size)))
    q = one_for_none(groups.least(sums.unit))
    count = groups.plus(size / smallest * (sums.high + sums.own)) / q
    exponent = call.p * exponents(q) + exponents(smallest)
    certainly, perhaps = fitting(count if call.p == 1 else count / q, call, exponent)
    return possible & certainly, possible & perhaps
