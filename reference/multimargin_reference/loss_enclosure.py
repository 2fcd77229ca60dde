"""Enclosures of the loss: every result that a legal evaluation may return (SPEC.md, appendix A)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from math import prod

from multimargin_reference.arithmetic import Real, product
from multimargin_reference.exact_grid import loss_is_exact
from multimargin_reference.formats import INFINITY
from multimargin_reference.interval import NOTHING, Interval, bounded, point, special_name
from multimargin_reference.problem import ONE, ZERO, Problem, Row, Term

FINITE = "finite"
FINITE_ONLY = frozenset({FINITE})


@dataclass(frozen=True)
class Sums:
    """What the error bound of a sum needs, added up over its rows (or the figures of one row)."""

    n: int = 0  # terms that may be active
    value: Fraction = ZERO  # sum of w h, exact
    size: Fraction = ZERO  # sum of |w| h
    error: Fraction = ZERO  # sum of the terms' own errors
    underflow: Fraction = ZERO  # sum of max(1, |w|) max(1, z + e) ** p over active terms
    reached: int = 0  # terms, active or not, whose weight may be zero too, that the next three figures add up
    positive_reach: Fraction = ZERO  # overflow figure B of the rows with w > 0
    negative_reach: Fraction = ZERO  # with w < 0
    zero_reach: Fraction = ZERO  # with a weight that is zero, or may underflow to zero when it is scaled first
    own_reach: Fraction = ZERO  # the part of B that comes from terms i = y
    largest: Fraction = ZERO  # lower end of the largest |w| h
    outcomes: frozenset[str] = FINITE_ONLY  # "finite" and special values that exact arithmetic can lead to

    def plus(self, other: Sums) -> Sums:
        """Add two rows' figures."""
        return Sums(
            self.n + other.n,
            self.value + other.value,
            self.size + other.size,
            self.error + other.error,
            self.underflow + other.underflow,
            self.reached + other.reached,
            self.positive_reach + other.positive_reach,
            self.negative_reach + other.negative_reach,
            self.zero_reach + other.zero_reach,
            max(self.own_reach, other.own_reach),
            max(self.largest, other.largest),
            added_outcomes(self.outcomes, other.outcomes),
        )

    def times(self, count: int) -> Sums:
        """Add equal rows' figures up, `count` of them: what a special value is added to twice it was added to once."""
        return Sums(
            self.n * count,
            self.value * count,
            self.size * count,
            self.error * count,
            self.underflow * count,
            self.reached * count,
            self.positive_reach * count,
            self.negative_reach * count,
            self.zero_reach * count,
            self.own_reach,
            self.largest,
            added_outcomes(self.outcomes, self.outcomes) if count > 1 else self.outcomes,
        )


def loss_intervals(problem: Problem) -> list[Interval]:
    """Return one interval a row for "none", otherwise a list of one interval. The margin rounds to a finite number."""
    known: dict[tuple[int, Real], Sums] = {}  # equal rows with equal weights have equal figures
    keys = [(id(row), w) for row, w in zip(problem.figures, problem.weights, strict=True)]
    for row, key in zip(problem.figures, keys, strict=True):
        known[key] = known.get(key) or _row_sums(problem, row, key[1])
    rows = [known[key] for key in keys]
    if problem.reduction == "mean" and not rows:
        return [Interval(ZERO, ZERO, frozenset({"nan"}))]  # SHAPE-8: 0, or 0 / 0
    if problem.reduction != "none":
        summed = (known[key].times(count) for key, count in Counter(keys).items())
        return [_interval(problem, range(len(rows)), reduce(Sums.plus, summed, Sums()))]
    intervals = {key: _interval(problem, [i], rows[i]) for key, i in {key: i for i, key in enumerate(keys)}.items()}
    return [intervals[key] for key in keys]


def added_outcomes(a: frozenset[str], b: frozenset[str]) -> frozenset[str]:
    """Return what a sum can be when its two parts can be a and b."""
    return frozenset(_added(x, y) for x in a for y in b)


def _added(x: str, y: str) -> str:
    if FINITE in (x, y):
        return y if x == FINITE else x
    return x if x == y else "nan"


def growth(problem: Problem, n: int) -> Fraction:
    """Return g: the relative error of adding n numbers in any order, and of eight roundings by weights and scaling."""
    u = problem.format.u
    return (1 + max(n - 1, 0) * u) * (1 + u) ** 8 - 1


def _row_sums(problem: Problem, row: Row, w: Real) -> Sums:
    outcomes = _row_outcomes(problem, row, w)
    if not isinstance(w, Fraction):
        return Sums(n=sum(t.count for t in row.active), outcomes=outcomes)
    size, p = abs(w), problem.p
    errors = [(t, _term_error(problem, t, size)) for t in row.active if w]  # zero weights add zeros, exactly
    reach = sum((t.count * _reach(t, p) for t in row.terms.values()), ZERO) + (_reach(row.own, p) if row.own else ZERO)
    larger = max(ONE, size)
    hinges = sum((t.count * max(t.z, ZERO) ** p for t, _ in errors), ZERO)
    return Sums(
        n=sum(t.count for t, _ in errors),
        value=w * hinges,
        size=size * hinges,
        error=sum((t.count * e for t, e in errors), ZERO),
        underflow=larger * sum((t.count * max(ONE, t.upper) ** p for t, _ in errors), ZERO),
        reached=sum(t.count for t in row.terms.values()),
        positive_reach=larger * reach if w > 0 else ZERO,
        negative_reach=larger * reach if w < 0 else ZERO,
        zero_reach=larger * reach if may_vanish(problem, size) else ZERO,
        own_reach=larger * _reach(row.own, p) if row.own else ZERO,
        largest=max(
            (size * max(t.z, ZERO) ** p - e for t, e in errors if e < size * max(t.z, ZERO) ** p), default=ZERO
        ),
        outcomes=outcomes,
    )


def may_vanish(problem: Problem, *factors: Fraction) -> bool:
    """Whether factors, scaled by C and N, may underflow to zero before an infinite one is multiplied in."""
    return prod((min(ONE, abs(f)) for f in factors), start=ONE) / problem.divisor <= problem.eta


def _term_error(problem: Problem, term: Term, size: Fraction) -> Fraction:
    """Bound the error of |w| h for one term: the three-term sum, the power and the weight."""
    u, z, e = problem.format.u, max(term.z, ZERO), term.e
    exact_square = problem.p == 1
    eh = e if exact_square else 2 * z * e + e * e + u * (z + e) ** 2
    h = z**problem.p
    return size * eh + (u * size * (h + eh) if size != 1 else ZERO)


def _reach(term: Term, p: int) -> Fraction:
    """Return the largest intermediate value that this term can lead to."""
    return max(term.reach, term.reach**p)


def _row_outcomes(problem: Problem, row: Row, w: Real) -> frozenset[str]:
    """Return which of finite, inf, -inf, nan the exact row can be, undefined terms being dropped or propagated."""
    outcomes = FINITE_ONLY
    if row.infinite:
        outcomes = _weighted_infinity(problem, w)
    elif not isinstance(w, Fraction):
        vanishing = [may_vanish(problem, t.lower**problem.p) for t in row.active]
        # The weight may multiply zeros too (inactive terms, or the target's own, masked): NaN beside the product; and 0
        # where no term is active, or all that are may underflow (SPECIAL-8).
        outcomes = frozenset({special_name(w), "nan"}) if vanishing else frozenset({"nan"})
        outcomes |= FINITE_ONLY if all(vanishing) else NOTHING
    return outcomes | {"nan"} if row.undefined else outcomes


def _weighted_infinity(problem: Problem, w: Real) -> frozenset[str]:
    """An infinite hinge times the weight; a zero weight gives NaN, or 0 where zero weights are skipped (SPECIAL-8)."""
    if w == 0:
        return frozenset({FINITE, "nan"})
    weighted = product(w, INFINITY)
    assert isinstance(weighted, float)
    name = special_name(weighted)
    return frozenset({name, "nan"} if isinstance(w, Fraction) and may_vanish(problem, w) else {name})


def _interval(problem: Problem, rows: Sequence[int], sums: Sums) -> Interval:
    specials = sums.outcomes - {FINITE}
    overflow = _overflow(problem, sums)
    if len((specials | overflow) & {"inf", "-inf"}) == 2:
        overflow |= {"nan"}
    if FINITE not in sums.outcomes:
        return Interval(None, None, specials | overflow)
    if not specials and not overflow and loss_is_exact(problem, rows):
        return point(sums.value / problem.divisor)
    lo, hi = _ends(problem, rows, sums)
    return bounded(lo, hi, problem.format, overflow).with_also(specials)


def _ends(problem: Problem, rows: Sequence[int], sums: Sums) -> tuple[Fraction, Fraction]:
    if not sums.n:
        return ZERO, ZERO  # adding zeros never rounds
    g, eta, divisor = growth(problem, sums.n), problem.eta, problem.divisor
    # Operations that may underflow, a term: w, 1/C, 1/N and the two products (z z too for p = 2), eta / 2 each.
    # Flushing: reading w, and adding rows of opposite signs too.
    operations = problem.p + 4 + (2 if problem.flush else 0)
    tiny = Fraction(operations, 2) * eta * (1 + g) * sums.underflow + 2 * eta
    error = (sums.error * (1 + g) + g * sums.size) / divisor + tiny
    lo, hi = sums.value / divisor - error, sums.value / divisor + error
    weights = [w for i in rows if isinstance(w := problem.weights[i], Fraction)]
    # Sums of one sign: rounding keeps the sign, and a sum is never below its largest summand.
    floor = max(ZERO, sums.largest * (2 - (1 + problem.format.u) ** 8) / divisor - tiny)
    if all(w >= 0 for w in weights):
        return max(lo, floor), hi
    if all(w <= 0 for w in weights):
        return lo, min(hi, -floor)
    return lo, hi


def _overflow(problem: Problem, sums: Sums) -> frozenset[str]:
    """Return which special values an intermediate overflow may lead to (SPECIAL-6), but for NaN of two infinities."""
    # Rounding is monotone: terms of the other sign can only take a sum away from overflow.
    limit = problem.format.overflow_threshold / (1 + growth(problem, sums.reached + 1))
    signs = {"inf": sums.positive_reach, "-inf": sums.negative_reach}
    names = frozenset(name for name, reach in signs.items() if reach >= limit)
    undefined = sums.zero_reach >= limit or sums.own_reach >= limit
    return names | {"nan"} if undefined else names
