"""Enclosures of the loss: every result that a legal evaluation may return (SPEC.md, appendix A)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce

from multimargin_reference.arithmetic import Real, product
from multimargin_reference.exact_grid import loss_is_exact
from multimargin_reference.interval import NOTHING, Interval, bounded, point, special_name
from multimargin_reference.problem import ONE, ZERO, Problem, Row, Term, row_terms

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
    positive_reach: Fraction = ZERO  # overflow figure B of the rows with w > 0, w = 0 and w < 0
    zero_reach: Fraction = ZERO
    negative_reach: Fraction = ZERO
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
            self.positive_reach + other.positive_reach,
            self.zero_reach + other.zero_reach,
            self.negative_reach + other.negative_reach,
            max(self.own_reach, other.own_reach),
            max(self.largest, other.largest),
            added_outcomes(self.outcomes, other.outcomes),
        )


def loss_intervals(problem: Problem) -> list[Interval]:
    """Return one interval a row for "none", otherwise a list of one interval. The margin rounds to a finite number."""
    rows = [_row_sums(problem, row_terms(problem, i), w) for i, w in enumerate(problem.weights)]
    if problem.reduction != "none":
        return [_interval(problem, range(len(rows)), reduce(Sums.plus, rows, Sums()))]
    return [_interval(problem, [i], row) for i, row in enumerate(rows)]


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
    outcomes = _row_outcomes(row, w)
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
        positive_reach=larger * reach if w > 0 else ZERO,
        zero_reach=larger * reach if w == 0 else ZERO,
        negative_reach=larger * reach if w < 0 else ZERO,
        own_reach=larger * _reach(row.own, p) if row.own else ZERO,
        largest=max((size * max(t.z, ZERO) ** p - e for t, e in errors), default=ZERO),
        outcomes=outcomes,
    )


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


def _row_outcomes(row: Row, w: Real) -> frozenset[str]:
    """Return which of finite, inf, -inf, nan the exact row can be, undefined terms being dropped or propagated."""
    outcomes = FINITE_ONLY
    if row.infinite:
        outcomes = _weighted_infinity(w)
    elif not isinstance(w, Fraction):
        certain = any(t.lower > 0 for t in row.terms.values())
        weighted = frozenset({special_name(w)})
        # a row without active terms may multiply its zeros by the weight: 0 or NaN (SPECIAL-8)
        outcomes = weighted if certain else FINITE_ONLY | {"nan"} | (weighted if row.active else NOTHING)
    return outcomes | {"nan"} if row.undefined else outcomes


def _weighted_infinity(w: Real) -> frozenset[str]:
    """An infinite hinge times the weight; a zero weight gives NaN, or 0 where zero weights are skipped (SPECIAL-8)."""
    if w == 0:
        return frozenset({FINITE, "nan"})
    weighted = product(w, float("inf"))
    assert isinstance(weighted, float)
    return frozenset({special_name(weighted)})


def _interval(problem: Problem, rows: Sequence[int], sums: Sums) -> Interval:
    specials = sums.outcomes - {FINITE}
    overflow = _overflow(problem, sums)
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
    tiny = Fraction(problem.p + 4, 2) * eta * (1 + g) * sums.underflow + 2 * eta
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
    """Return which special values an intermediate overflow may lead to (SPECIAL-6)."""
    limit = problem.format.overflow_threshold / (1 + growth(problem, sums.n + 1))
    if sums.positive_reach + sums.zero_reach + sums.negative_reach < limit:
        return NOTHING
    names = {"inf"} if sums.positive_reach else set()
    names |= {"-inf"} if sums.negative_reach else set()
    both = sums.positive_reach >= limit and sums.negative_reach >= limit
    if both or sums.zero_reach >= limit or sums.own_reach >= limit:
        names.add("nan")
    return frozenset(names)
