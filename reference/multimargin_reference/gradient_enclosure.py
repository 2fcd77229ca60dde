"""Enclosures of the gradient with respect to input (SPEC.md, appendix A)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from multimargin_reference.arithmetic import Real, product
from multimargin_reference.exact_grid import gradient_is_exact
from multimargin_reference.interval import NOTHING, Interval, bounded, point, special_name
from multimargin_reference.loss_enclosure import FINITE, FINITE_ONLY, added_outcomes, growth
from multimargin_reference.problem import ONE, ZERO, Problem, Row, Term, row_terms

EXACT_ZERO = point(ZERO)


@dataclass(frozen=True)
class Element:
    """One element's interval, and what its finite and special outcomes are when it is summed up."""

    interval: Interval
    count: int
    outcomes: frozenset[str] = FINITE_ONLY


@dataclass(frozen=True)
class Factor:
    """What every element of a row is multiplied with: G w p / D exactly, and bounds on its parts."""

    value: Fraction  # G w p / D
    larger: Fraction  # max(1, |G|) max(1, |w|)
    zero: bool  # G or w is zero
    sign: int


def gradient_rows(problem: Problem) -> list[list[Interval]]:
    """Return one interval an element, in the shape (N, C)."""
    return [_gradient_row(problem, i) for i in range(len(problem.rows))]


def _gradient_row(problem: Problem, index: int) -> list[Interval]:
    row, logits, y = row_terms(problem, index), problem.rows[index], problem.targets[index]
    g, w = problem.grads[index], problem.weights[index]
    if not isinstance(g, Fraction) or not isinstance(w, Fraction):
        return _special_factor_row(problem, index, row)
    value = g * w * problem.p / problem.divisor
    factor = Factor(value, max(ONE, abs(g)) * max(ONE, abs(w)), not g or not w, (value > 0) - (value < 0))
    exact = gradient_is_exact(problem, index)
    overflow = NOTHING if exact else _overflow(problem, row, factor)
    elements: dict[Real, Element] = {}
    for x, term in row.terms.items():
        interval = point(_exact_element(problem, term, factor)) if exact else _element(problem, term, factor, overflow)
        elements[x] = Element(interval, term.count)
    elements |= {x: _infinite_element(problem, factor, count) for x, count in row.infinite.items()}
    elements |= {x: _undefined_element(problem, factor, count) for x, count in row.undefined.items()}
    target = _target(problem, row, factor, elements.values(), exact, overflow)
    return [target if i == y else elements[x].interval if x in elements else EXACT_ZERO for i, x in enumerate(logits)]


def _exact_element(problem: Problem, term: Term, factor: Factor) -> Fraction:
    return factor.value * term.z ** (problem.p - 1) if term.z > 0 else ZERO


def _element(problem: Problem, term: Term, factor: Factor, overflow: frozenset[str]) -> Interval:
    """Enclose an element i != y whose z is finite."""
    if not term.upper or (factor.zero and not overflow):
        return EXACT_ZERO
    u, p = problem.format.u, problem.p
    ends = [factor.value * t ** (p - 1) for t in (term.lower, term.upper)]
    reach = max(ONE, 2 * term.upper) if p == 2 else ONE
    r = ((1 + u) ** 9 - 1) * max(abs(v) for v in ends) + 4 * problem.eta * factor.larger * reach
    # The sign of z is undecidable (GRADIENT-4): zero or the active value, and nothing between.
    zero = frozenset({"0"}) if term.z <= term.e else NOTHING
    return bounded(min(ends) - r, max(ends) + r, problem.format, overflow | zero)


def _overflow(problem: Problem, row: Row, factor: Factor) -> frozenset[str]:
    """Return which special values an intermediate overflow may lead to anywhere in this row (SPECIAL-6)."""
    terms = [t for t in [*row.terms.values(), *([row.own] if row.own else [])] if t.reach > 0]
    sizes = [t.count * (max(ONE, 2 * t.reach) if problem.p == 2 else ONE) for t in terms]
    bound = (1 + growth(problem, sum(t.count for t in terms) + 2)) * factor.larger * sum(sizes, ZERO)
    if bound < problem.format.overflow_threshold:
        return NOTHING
    own = problem.p == 2 and row.own is not None and row.own.reach > 0
    return frozenset({"inf", "-inf"} | ({"nan"} if factor.zero or own else set()))


def _infinite_element(problem: Problem, factor: Factor, count: int) -> Element:
    """z = +inf: p = 1 needs its sign only, p = 2 multiplies by it (SPECIAL-2)."""
    if problem.p == 1:
        finite = Term(ONE, ZERO, ONE, 1)
        return Element(_element(problem, finite, factor, NOTHING), count)
    if factor.zero:  # zero times infinity: NaN, or 0 where zero factors are skipped (SPECIAL-8)
        return Element(EXACT_ZERO.with_also(frozenset({"nan"})), count, frozenset({FINITE, "nan"}))
    name = "inf" if factor.sign > 0 else "-inf"
    return Element(Interval(None, None, frozenset({name})), count, frozenset({name}))


def _undefined_element(problem: Problem, factor: Factor, count: int) -> Element:
    """NaN or inf - inf: dropped (0), propagated (NaN) or, for p = 1, taken as active (SPECIAL-7)."""
    interval = Interval(ZERO, ZERO, frozenset({"nan"}))
    if problem.p == 1 and not factor.zero:
        active = _element(problem, Term(ONE, ZERO, ONE, 1), factor, NOTHING)
        interval = Interval(active.lo, active.hi, frozenset({"nan", "0"}))
    return Element(interval, count, frozenset({FINITE, "nan"}))


def _target(
    problem: Problem, row: Row, factor: Factor, elements: Iterable[Element], exact: bool, overflow: frozenset[str]
) -> Interval:
    """Enclose minus the sum of the other elements; the own term may be added and taken away again."""
    outcomes, lo, hi, size, n = FINITE_ONLY, ZERO, ZERO, ZERO, 0
    for element in elements:
        low, high = _hull(element.interval)
        n += element.count if low or high else 0
        lo, hi = lo + element.count * low, hi + element.count * high
        size += element.count * max(abs(low), abs(high))
        outcomes = added_outcomes(outcomes, element.outcomes)
    specials = frozenset(_negated(name) for name in outcomes - {FINITE})
    if FINITE not in outcomes:
        return Interval(None, None, specials | overflow)
    if exact:
        return Interval(-hi, -lo, specials)
    if row.own is not None and row.own.upper > 0:
        size += abs(factor.value) * row.own.upper ** (problem.p - 1)
    error = (n + 1) * problem.format.u * size if n else ZERO
    return bounded(-hi - error, -lo + error, problem.format, overflow if n else NOTHING).with_also(specials)


def _hull(interval: Interval) -> tuple[Fraction, Fraction]:
    lo, hi = interval.lo or ZERO, interval.hi or ZERO
    return (min(lo, ZERO), max(hi, ZERO)) if "0" in interval.also else (lo, hi)


def _negated(name: str) -> str:
    return {"inf": "-inf", "-inf": "inf"}.get(name, name)


def _special_factor_row(problem: Problem, index: int, row: Row) -> list[Interval]:
    """grad_output or the weight is infinite or NaN: inactive elements are 0 or NaN, active ones follow the product."""
    g, w = problem.grads[index], problem.weights[index]
    outcome = product(g, w)
    assert isinstance(outcome, float)
    active = Interval(None, None, frozenset({special_name(outcome)}))
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
