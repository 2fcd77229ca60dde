"""Enclosures of the gradient with respect to input (SPEC.md, appendix A)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from multimargin_reference.arithmetic import Real, product
from multimargin_reference.exact_grid import gradient_is_exact
from multimargin_reference.interval import NOTHING, Interval, bounded, point, special_name
from multimargin_reference.loss_enclosure import FINITE, FINITE_ONLY, added_outcomes, growth, may_vanish
from multimargin_reference.problem import ONE, ZERO, Problem, Row, Term

EXACT_ZERO = point(ZERO)


@dataclass(frozen=True)
class Element:
    """One element's interval, and what its finite and special outcomes are when it is summed up."""

    interval: Interval
    ends: tuple[Fraction, Fraction]  # of what is summed up: 0 included where it is possible, not cut off at overflow
    count: int
    outcomes: frozenset[str] = FINITE_ONLY


@dataclass(frozen=True)
class Factor:
    """What every element of a row is multiplied with: G w p / D exactly, and bounds on its parts."""

    value: Fraction  # G w p / D
    larger: Fraction  # max(1, |G|) max(1, |w|)
    smaller: Fraction  # min(1, |G|) min(1, |w|) / D
    zero: bool  # G or w is zero

    @property
    def infinity(self) -> str:
        """The infinity that an overflowing active element becomes."""
        return "inf" if self.value > 0 else "-inf"


@dataclass(frozen=True)
class Overflow:
    """The special values that an intermediate overflow may lead to: at inactive and active elements, at the target."""

    inactive: frozenset[str] = NOTHING
    element: frozenset[str] = NOTHING
    target: frozenset[str] = NOTHING


NO_OVERFLOW = Overflow()
UNDEFINED = frozenset({"nan"})


def gradient_rows(problem: Problem) -> list[list[Interval]]:
    """Return one interval an element, in the shape (N, C)."""
    keys = list(zip(map(id, problem.figures), problem.weights, problem.grads, strict=True))
    rows = {key: _gradient_row(problem, i) for key, i in {key: i for i, key in enumerate(keys)}.items()}
    return [rows[key] for key in keys]  # equal rows share one list


def _gradient_row(problem: Problem, index: int) -> list[Interval]:
    row, logits, y = problem.figures[index], problem.rows[index], problem.targets[index]
    g, w = problem.grads[index], problem.weights[index]
    if not isinstance(g, Fraction) or not isinstance(w, Fraction):
        return _special_factor_row(problem, index, row)
    factor = _factor(problem, g, w)
    exact = gradient_is_exact(problem, index)
    overflow = NO_OVERFLOW if exact else _overflow(problem, row, factor)
    elements: dict[Real, Element] = {}
    for x, term in row.terms.items():
        elements[x] = _exact_element(problem, term, factor) if exact else _element(problem, term, factor, overflow)
    elements |= {x: _infinite_element(problem, factor, count, overflow) for x, count in row.infinite.items()}
    elements |= {x: _undefined_element(problem, factor, count, overflow) for x, count in row.undefined.items()}
    target = _target(problem, row, factor, elements.values(), exact, overflow)
    zero = EXACT_ZERO.with_also(overflow.inactive)  # x = -inf
    by_object = {id(x): x for x in logits}  # equal logits are one object: hash few exact numbers
    intervals = {key: elements[x].interval if x in elements else zero for key, x in by_object.items()}
    return [target if i == y else intervals[id(x)] for i, x in enumerate(logits)]


def _factor(problem: Problem, g: Fraction, w: Fraction) -> Factor:
    value = g * w * problem.p / problem.divisor
    return Factor(
        value=value,
        larger=max(ONE, abs(g)) * max(ONE, abs(w)),
        smaller=min(ONE, abs(g)) * min(ONE, abs(w)) / problem.divisor,
        zero=not value,
    )


def _exact_element(problem: Problem, term: Term, factor: Factor) -> Element:
    value = factor.value * term.z ** (problem.p - 1) if term.z > 0 else ZERO
    return Element(point(value), (value, value), term.count)


def _element(problem: Problem, term: Term, factor: Factor, overflow: Overflow) -> Element:
    """Enclose an element i != y whose z is finite."""
    if not term.upper:
        return Element(EXACT_ZERO.with_also(overflow.inactive), (ZERO, ZERO), term.count)
    if factor.zero:
        return Element(EXACT_ZERO.with_also(overflow.element), (ZERO, ZERO), term.count)
    lo, hi = _ends(problem, term, factor)
    if term.z > term.e:
        return Element(bounded(lo, hi, problem.format, overflow.element), (lo, hi), term.count)
    # The sign of z is undecidable (GRADIENT-4): zero or the active value, and nothing between.
    either = bounded(lo, hi, problem.format, overflow.element | {"0"})
    return Element(either, (min(lo, ZERO), max(hi, ZERO)), term.count)


def _ends(problem: Problem, term: Term, factor: Factor) -> tuple[Fraction, Fraction]:
    """Enclose what a term contributes where it is active, overflow apart."""
    u, p = problem.format.u, problem.p
    ends = [factor.value * t ** (p - 1) for t in (term.lower, term.upper)]
    reach = max(ONE, 2 * term.upper) if p == 2 else ONE
    r = ((1 + u) ** 9 - 1) * max(abs(v) for v in ends) + 4 * problem.eta * factor.larger * reach
    return min(ends) - r, max(ends) + r


def _overflow(problem: Problem, row: Row, factor: Factor) -> Overflow:
    """Return which special values an intermediate overflow may lead to in this row (SPECIAL-6)."""
    own = [row.own] if row.own is not None and row.own.upper > 0 else []
    # For p = 2 the factor 2 may meet G and w first, and z later: 2 max(1, z), not max(1, 2 z).
    sizes = [(t.count, 2 * max(ONE, t.reach) if problem.p == 2 else ONE) for t in [*row.active, *own]]
    sizes += [(count, ONE) for count in [*row.infinite.values(), *row.undefined.values()]]
    n, size = sum(count for count, _ in sizes), sum((count * s for count, s in sizes), ZERO)
    limit = problem.format.overflow_threshold / (factor.larger * (1 + growth(problem, n + 2)))
    # 2 G w alone overflows: inactive elements may be zero times infinity.
    inactive = UNDEFINED if problem.p >= limit else NOTHING
    if max(size, Fraction(problem.p)) < limit:
        return NO_OVERFLOW
    # Some factors underflow to zero before the others, which overflow, are multiplied in.
    slope = min((t.lower for t in [*row.active, *own]), default=ONE) if problem.p == 2 else ONE
    undefined = UNDEFINED if factor.smaller * min(ONE, slope) <= problem.eta else inactive
    if factor.zero:
        return Overflow(inactive, undefined, undefined)
    infinity = frozenset({factor.infinity})
    negated = frozenset({_negated(factor.infinity)})
    # The own term, infinite or not, is added and taken away again, and a fused multiplication keeps one of them finite.
    target = infinity | negated | UNDEFINED if own else negated | undefined
    return Overflow(inactive, undefined | infinity, target)


def _infinite_element(problem: Problem, factor: Factor, count: int, overflow: Overflow) -> Element:
    """z = +inf: p = 1 needs its sign only, p = 2 multiplies by it (SPECIAL-2)."""
    if problem.p == 1:
        return _element(problem, Term(ONE, ZERO, ONE, count), factor, overflow)
    if factor.zero:  # zero times infinity: NaN, or 0 where zero factors are skipped (SPECIAL-8)
        return Element(EXACT_ZERO.with_also(UNDEFINED), (ZERO, ZERO), count, UNDEFINED | {FINITE})
    names = frozenset({factor.infinity}) | (UNDEFINED if factor.smaller <= problem.eta else NOTHING)
    return Element(Interval(None, None, names), (ZERO, ZERO), count, names)


def _undefined_element(problem: Problem, factor: Factor, count: int, overflow: Overflow) -> Element:
    """NaN or inf - inf: dropped (0), propagated (NaN) or, for p = 1, taken as active (SPECIAL-7)."""
    if problem.p == 2 or factor.zero:
        return Element(EXACT_ZERO.with_also(UNDEFINED), (ZERO, ZERO), count, UNDEFINED | {FINITE})
    active = _element(problem, Term(ONE, ZERO, ONE, count), factor, overflow)
    lo, hi = active.ends
    interval = active.interval.with_also(UNDEFINED | {"0"})
    return Element(interval, (min(lo, ZERO), max(hi, ZERO)), count, UNDEFINED | {FINITE})


def _target(
    problem: Problem, row: Row, factor: Factor, elements: Iterable[Element], exact: bool, overflow: Overflow
) -> Interval:
    """Enclose minus the sum of the other elements; the own term may be added and taken away again."""
    outcomes, lo, hi, size, n = FINITE_ONLY, ZERO, ZERO, ZERO, 0
    for element in elements:
        low, high = element.ends
        n += element.count if low or high else 0
        lo, hi = lo + element.count * low, hi + element.count * high
        size += element.count * max(abs(low), abs(high))
        outcomes = added_outcomes(outcomes, element.outcomes)
    specials = frozenset(_negated(name) for name in outcomes - {FINITE})
    if FINITE not in outcomes:
        return Interval(None, None, specials | overflow.target)
    if exact:
        return Interval(-hi, -lo)  # of elements that are all finite
    error = max(n - 1, 0) * problem.format.u * size
    if row.own is not None and row.own.upper > 0 and not factor.zero:
        error = _cancellation_error(problem, factor, row.own, n, size)
    return bounded(-hi - error, -lo + error, problem.format, overflow.target).with_also(specials)


def _cancellation_error(problem: Problem, factor: Factor, own: Term, n: int, size: Fraction) -> Fraction:
    """Bound the error of a sum of n elements and of the own term, once with each sign, in any order.

    n + 2 numbers, n + 1 roundings; also for n = 0, where a fused multiplication leaves the own term's rounding error.
    """
    own_size = max(abs(end) for end in _ends(problem, own, factor))
    error = (n + 1) * problem.format.u * (size + 2 * own_size)
    # A fused multiplication may underflow in its addition; and where a sum changes its sign it may be flushed.
    return error + 4 * problem.eta * factor.larger


def _negated(name: str) -> str:
    return {"inf": "-inf", "-inf": "inf"}.get(name, name)


def _special_factor_row(problem: Problem, index: int, row: Row) -> list[Interval]:
    """grad_output or the weight is infinite or NaN: inactive elements are 0 or NaN, active ones follow the product."""
    g, w = problem.grads[index], problem.weights[index]
    outcome = product(g, w)
    assert isinstance(outcome, float)
    # The finite one of the two may underflow to zero, scaled or multiplied by z, before it meets the infinite one.
    finite = [f for f in (g, w) if isinstance(f, Fraction)]
    slopes = [t.lower for t in row.terms.values() if t.lower > 0] if problem.p == 2 else []
    undefined = UNDEFINED if may_vanish(problem, *finite, min([ONE, *slopes])) else NOTHING
    active = Interval(None, None, undefined | {special_name(outcome)})
    inactive = EXACT_ZERO.with_also(frozenset({"nan"}))
    either = inactive.with_also(active.also)

    def element(x: Real) -> Interval:
        if x in row.infinite:
            return active
        if x in row.undefined:
            return either
        if x not in row.terms:
            return inactive
        term = row.terms[x]
        return active if term.lower > 0 else either if term.upper > 0 else inactive

    result = [element(x) for x in problem.rows[index]]
    y = problem.targets[index]
    certain = bool(row.infinite) or any(t.lower > 0 for t in row.terms.values())
    negated = Interval(None, None, frozenset({_negated(special_name(outcome)), "nan"}))
    possible = inactive.with_also(negated.also)
    result[y] = negated if certain else possible if row.active or row.undefined else inactive
    return result
