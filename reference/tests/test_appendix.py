"""SPEC.md's appendix A written down a second time, term by term, against the enclosures: equal, not only contained.

For finite arguments, in small formats, where every corner is near. What is left to tests of their own: A.13 (the exact
grid), the cut at the largest number (`bounded`) and non-finite arguments (A.14).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import reduce
from random import Random
from typing import Any

import pytest

from multimargin_reference.exact_grid import gradient_is_exact, loss_is_exact
from multimargin_reference.formats import Format, power_of_two
from multimargin_reference.gradient_enclosure import gradient_rows
from multimargin_reference.interval import Interval, bounded, point
from multimargin_reference.loss_enclosure import Sums, loss_intervals
from multimargin_reference.problem import ONE, ZERO, Problem

SMALL = (
    Format("two bits", 2, -4, 5),
    Format("three bits", 3, -4, 5),
    Format("five bits, wide", 5, -20, 20),
    Format("eight bits", 8, -9, 9),
)


def number(fmt: Format, random: Random, coarse: bool) -> Fraction:
    """A number of the format: a few bits near 1 if coarse, otherwise anything."""
    if coarse:
        return Fraction(random.randint(-3, 3), 2)
    digits = random.randint(-(2**fmt.precision) + 1, 2**fmt.precision - 1)
    return digits * power_of_two(random.randint(fmt.emin, fmt.emax) - fmt.precision + 1)


def drawn(random: Random) -> Problem:
    """A finite problem whose logits and rows repeat now and then."""
    fmt, coarse = random.choice(SMALL), random.random() < 0.6
    rows, classes = random.randint(0 if random.random() < 0.1 else 1, 3), random.randint(1, 5)
    palette = [number(fmt, random, coarse) for _ in range(4)]
    some = [tuple(random.choice(palette) for _ in range(classes)) for _ in range(2)]
    margin = number(fmt, random, coarse) * (ONE if random.random() < 0.6 else Fraction(random.randint(1, 9), 10))
    factors = [ONE, ZERO, *[number(fmt, random, random.random() < 0.5) for _ in range(2)]]
    return Problem(
        rows=tuple(random.choice(some) for _ in range(rows)),
        targets=tuple(random.randrange(classes) for _ in range(rows)),
        weights=tuple(random.choice(factors) for _ in range(rows)),
        grads=tuple(random.choice(factors) for _ in range(rows)),
        margin=margin,
        p=random.choice((1, 2)),
        reduction=random.choice(("none", "mean", "sum")),
        format=fmt,
        flush=random.random() < 0.3,
    )


@dataclass
class Z:
    """z, e and Z of A.4 and A.12."""

    z: Fraction
    e: Fraction
    reach: Fraction


class Appendix:
    """The appendix's symbols for one problem."""

    def __init__(self, problem: Problem) -> None:
        self.problem, self.fmt, self.p = problem, problem.format, problem.p
        self.u, self.m, self.omega = self.fmt.u, problem.margin, self.fmt.overflow_threshold
        self.eta = 2 * self.fmt.smallest_normal if problem.flush else self.fmt.eta
        c, n = len(problem.rows[0]) if problem.rows else 1, len(problem.rows)
        self.D = c * max(1, n) if problem.reduction == "mean" else c

    def g(self, n: int) -> Fraction:
        """A.7."""
        return (1 + max(n - 1, 0) * self.u) * (1 + self.u) ** 8 - 1

    def three_term_sum(self, xy: Fraction, xi: Fraction) -> Z:
        """A.4, and A.16 when flushing."""
        m, z, flush = self.m, self.m - xy + xi, self.problem.flush
        assert isinstance(m, Fraction)
        first = (m - xy, xi - xy, m + xi)
        least = self.fmt.smallest_normal if flush else ZERO
        if all(self.fmt.represents(v) and (v == 0 or abs(v) >= least) for v in (m, xy, xi, z, *first)):
            e = ZERO
        else:
            e0 = ZERO if self.fmt.represents(m) else self.u * abs(m) + self.fmt.eta / 2
            e1 = e0 + self.u * (max(map(abs, first)) + e0)
            e = e1 + self.u * (abs(z) + e1) + (5 * self.fmt.smallest_normal if flush else 0)
        return Z(z, e, max(ZERO, z, *first) + e)

    def row(self, i: int) -> tuple[list[Z], Z]:
        """The terms of a row, and its own."""
        x, y = self.problem.rows[i], self.problem.targets[i]
        return [self.three_term_sum(x[y], v) for k, v in enumerate(x) if k != y], self.three_term_sum(x[y], x[y])

    def vanishes(self, *factors: Fraction) -> bool:
        """Whether small factors may underflow to zero before large ones are multiplied in (A.12)."""
        product = Fraction(1, self.D)
        for f in factors:
            product *= min(ONE, abs(f))
        return product <= self.eta

    def loss(self, rows: list[int]) -> Interval:
        """A.5 to A.9 and A.12."""
        u, p, terms = self.u, self.p, [(t, w) for i in rows for w in [self.problem.weights[i]] for t in self.row(i)[0]]
        active = [(t, abs(w), max(t.z, ZERO) ** p) for t, w in terms if t.z + t.e > 0 and w]
        e_t = []
        for t, w, h in active:
            z = max(t.z, ZERO)
            eh = t.e if p == 1 else 2 * z * t.e + t.e**2 + u * (z + t.e) ** 2
            e_t.append(w * eh + (0 if w == 1 else u * w * (h + eh)))
        n = len(active)
        g, value = self.g(n), sum((w * max(t.z, ZERO) ** p for t, w in terms), ZERO) / self.D
        size = sum((w * h for _, w, h in active), ZERO)
        big_t = sum((max(ONE, w) * max(ONE, t.z + t.e) ** p for t, w, _ in active), ZERO)
        tiny = Fraction(p + 4 + 2 * self.problem.flush, 2) * self.eta * (1 + g) * big_t + 2 * self.eta
        error = (sum(e_t, ZERO) * (1 + g) + g * size) / self.D + tiny
        largest = max([ZERO, *[w * h - e for (_, w, h), e in zip(active, e_t, strict=True)]])
        cut = max(ZERO, largest * (2 - (1 + u) ** 8) / self.D - tiny)
        lo, hi = value - error, value + error
        weights = [self.problem.weights[i] for i in rows]
        if all(w >= 0 for w in weights):
            lo = max(lo, cut)
        elif all(w <= 0 for w in weights):
            hi = min(hi, -cut)
        if not n:
            lo = hi = ZERO
        names = self.loss_overflow(rows, len(terms))
        if not names and loss_is_exact(self.problem, rows):
            return point(value)
        return bounded(lo, hi, self.fmt, names)

    def loss_overflow(self, rows: list[int], n: int) -> frozenset[str]:
        """A.12: g counts all terms and an own one."""
        b, own = {1: ZERO, -1: ZERO, 0: ZERO}, ZERO
        for i in rows:
            w = self.problem.weights[i]
            assert isinstance(w, Fraction)
            terms, own_term = self.row(i)
            reach = [max(ONE, abs(w)) * max(t.reach, t.reach**self.p) for t in [*terms, own_term]]
            sign = (w > 0) - (w < 0)
            b[sign] += sum(reach) if sign else 0
            b[0] += sum(reach) if self.vanishes(w) else 0
            own = max(own, reach[-1])
        over = {k: (1 + self.g(n + 1)) * v >= self.omega for k, v in {**b, 2: own}.items()}
        names = {name for name, sign in (("inf", 1), ("-inf", -1)) if over[sign]}
        return frozenset(names | ({"nan"} if len(names) == 2 or over[0] or over[2] else set()))

    def gradient(self, i: int) -> list[Interval]:
        """A.10 to A.12."""
        G, w = self.problem.grads[i], self.problem.weights[i]
        assert isinstance(G, Fraction)
        assert isinstance(w, Fraction)
        p, y, factor = self.p, self.problem.targets[i], G * w * self.p / self.D
        terms, own = self.row(i)
        exact = gradient_is_exact(self.problem, i)
        large = max(ONE, abs(G)) * max(ONE, abs(w))
        names = {"": frozenset[str](), "active": frozenset[str](), "target": frozenset[str]()}
        if not exact:
            names = self.gradient_overflow(terms, own, G, w)
        result, ends = [], []
        for t in terms:
            if exact:
                value = factor * t.z ** (p - 1) if t.z > 0 else ZERO
                result.append(point(value))
                ends.append((value, value))
            elif t.z + t.e <= 0 or not factor:
                result.append(point(ZERO).with_also(names["" if t.z + t.e <= 0 else "active"]))
                ends.append((ZERO, ZERO))
            else:
                lo, hi = self.element(t, factor, large)
                sure = t.z > t.e
                result.append(bounded(lo, hi, self.fmt, names["active"] | (set() if sure else {"0"})))
                ends.append((lo, hi) if sure else (min(lo, ZERO), max(hi, ZERO)))
        result.insert(y, self.target(ends, own, factor, large, names["target"], exact))
        return result

    def element(self, t: Z, factor: Fraction, large: Fraction) -> tuple[Fraction, Fraction]:
        """A.10: g(z) +- r."""
        values = [factor * max(v, ZERO) ** (self.p - 1) for v in (t.z - t.e, t.z + t.e)]
        late = max(ONE, 2 * (t.z + t.e)) if self.p == 2 else ONE
        r = ((1 + self.u) ** 9 - 1) * max(map(abs, values)) + 4 * self.eta * large * late
        return min(values) - r, max(values) + r

    def target(
        self,
        ends: list[tuple[Fraction, Fraction]],
        own: Z,
        factor: Fraction,
        large: Fraction,
        names: frozenset[str],
        exact: bool,
    ) -> Interval:
        """A.11."""
        lo, hi = -sum((hi for _, hi in ends), ZERO), -sum((lo for lo, _ in ends), ZERO)
        if exact:
            return Interval(lo, hi)
        n, big_m = sum(pair != (0, 0) for pair in ends), sum((max(map(abs, pair)) for pair in ends), ZERO)
        error = max(n - 1, 0) * self.u * big_m
        if own.z + own.e > 0 and factor:
            o = max(map(abs, self.element(own, factor, large)))
            error = (n + 1) * self.u * (big_m + 2 * o) + 4 * self.eta * large
        return bounded(lo - error, hi + error, self.fmt, names)

    def gradient_overflow(self, terms: list[Z], own: Z, G: Fraction, w: Fraction) -> dict[str, frozenset[str]]:
        """A.12: the special values at inactive elements, at active ones and at the target."""
        counted = [t for t in [*terms, own] if t.z + t.e > 0]
        large = max(ONE, abs(G)) * max(ONE, abs(w)) * (1 + self.g(len(counted) + 2))
        b = large * sum((2 * max(ONE, t.reach) if self.p == 2 else ONE for t in counted), ZERO)
        nan, nothing = frozenset({"nan"}), frozenset[str]()
        alone = nan if self.p * large >= self.omega else nothing
        if b < self.omega and not alone:
            return {"": nothing, "active": nothing, "target": nothing}
        small = [max(t.z - t.e, ZERO) for t in counted] if self.p == 2 else []
        undefined = nan if self.vanishes(G, w, min([ONE, *small])) else alone
        if not G * w:
            return {"": alone, "active": undefined, "target": undefined}
        infinity, negated = ("inf", "-inf") if G * w > 0 else ("-inf", "inf")
        cancelled = frozenset({"inf", "-inf", "nan"}) if own in counted else undefined | {negated}
        return {"": alone, "active": undefined | {infinity}, "target": cancelled}


def one_row(fmt: Format, row: list[Fraction], **options: Any) -> Problem:
    """A row whose target is class 0."""
    plain = Problem((tuple(row),), (0,), (ONE,), (ONE,), ZERO, 1, "sum", fmt)
    return replace(plain, **options)


def test_a_z_that_is_its_own_error() -> None:
    """It is undecidable: a computed z may be 0 (GRADIENT-4)."""
    problem = one_row(SMALL[0], [ZERO, ZERO], margin=Fraction(50, 3) * SMALL[0].eta)
    appendix = Appendix(problem)
    [term], _ = appendix.row(0)
    assert term.z == term.e
    assert gradient_rows(problem) == [appendix.gradient(0)]
    assert gradient_rows(problem)[0][1].contains(0.0)


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_small_factors_that_just_vanish_beside_large_ones(k: int) -> None:
    """w / 2 is k / 2 eta: from eta on downwards it may be nothing (A.12)."""
    fmt = SMALL[2]
    problem = one_row(
        fmt, [ZERO, fmt.largest], weights=(k * fmt.eta,), grads=(fmt.largest / 16,), p=2, margin=-fmt.largest / 2
    )
    for row, w in (([ZERO, fmt.largest], k * fmt.eta), ([ZERO, 2 * fmt.largest / 3, ZERO, ZERO], 2 * k * fmt.eta)):
        changed = replace(problem, rows=(tuple(row),), weights=(w,))
        assert gradient_rows(changed) == [Appendix(changed).gradient(0)]
        assert loss_intervals(changed) == [Appendix(changed).loss([0])]
    assert gradient_rows(problem)[0][1].contains(math.nan) == (k <= 2)


# B and Bg at Omega' are not below it (A.12). No case's numbers get there: they are dyadic, and Omega' / (1 + g) is not.


@pytest.mark.parametrize(
    ("classes", "weight", "names"),
    [(1, ONE, {"inf", "nan"}), (2, ONE, {"inf"}), (2, -ONE, {"-inf"}), (2, ZERO, {"nan"})],
)
def test_a_loss_that_just_overflows(classes: int, weight: Fraction, names: set[str]) -> None:
    """Every term, the own one too, has the same Z = (1 + u)^3 margin + (1 + u)^2 eta / 2."""
    fmt = SMALL[3]
    plain = one_row(fmt, [ZERO] * classes, weights=(weight,))
    reach = fmt.overflow_threshold / (1 + Appendix(plain).g(classes)) / classes
    margin = (reach / (1 + fmt.u) ** 2 - fmt.eta / 2) / (1 + fmt.u)
    for m, also in ((margin, names), (margin * Fraction(999, 1000), set())):
        problem = replace(plain, margin=m)
        assert loss_intervals(problem) == [Appendix(problem).loss([0])]
        assert loss_intervals(problem)[0].also == also


@pytest.mark.parametrize(
    ("others", "p", "names"),
    [([-ONE], 1, {"nan"}), ([-ONE], 2, {"nan"}), ([ONE, ONE], 1, {"inf"}), ([ONE, ONE], 2, {"inf"})],
)
def test_a_gradient_that_just_overflows(others: list[Fraction], p: int, names: set[str]) -> None:
    """By its weight alone beside an inactive element, by the sum of two active ones."""
    fmt = SMALL[3]
    plain, active = one_row(fmt, [ZERO, *others], p=p), sum(x > 0 for x in others)
    weight = fmt.overflow_threshold / (1 + Appendix(plain).g(active + 2)) / (p * max(1, active))
    for w, also in ((weight, names), (weight * Fraction(999, 1000), set())):
        problem = replace(plain, weights=(w,))
        assert gradient_rows(problem) == [Appendix(problem).gradient(0)]
        assert gradient_rows(problem)[0][1].also == also


@pytest.mark.parametrize("seed", range(12))
def test_loss(seed: int) -> None:
    random = Random(seed)
    for _ in range(60):
        problem = drawn(random)
        everything = range(len(problem.rows))
        groups = [[i] for i in everything] if problem.reduction == "none" else [list(everything)]
        expected = [Appendix(problem).loss(group) for group in groups]
        if problem.reduction == "mean" and not problem.rows:
            expected = [Interval(ZERO, ZERO, frozenset({"nan"}))]  # SHAPE-8
        assert loss_intervals(problem) == expected


@pytest.mark.parametrize("seed", range(12))
def test_gradient(seed: int) -> None:
    random = Random(seed)
    for _ in range(60):
        problem = drawn(random)
        assert gradient_rows(problem) == [Appendix(problem).gradient(i) for i in range(len(problem.rows))]


@pytest.mark.parametrize("outcomes", ["finite", "inf", "inf -inf", "finite inf -inf", "-inf nan"])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_equal_rows_are_added_up_at_once(outcomes: str, count: int) -> None:
    figures = [Fraction(k, 3) for k in range(1, 10)]
    row = Sums(2, *figures[:4], 5, *figures[4:], frozenset(outcomes.split()))
    assert row.times(count) == reduce(Sums.plus, [row] * count)
