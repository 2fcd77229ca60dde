"""When nothing rounds: the conditions under which every legal evaluation returns the exact result, bit for bit.

SPEC.md, appendix A, "Exact grid". Conservative: a problem that is not recognised gets the general enclosure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction

from multimargin_reference.formats import power_of_two
from multimargin_reference.problem import ONE, ZERO, Problem, Row, Term


def granularity(values: Iterable[Fraction]) -> Fraction:
    """Return the largest power of two that divides every value (1 when all are zero)."""
    bits = [power_of_two(_lowest_bit(v)) for v in values if v]
    return min(bits, default=ONE)


def loss_is_exact(problem: Problem, rows: Sequence[int]) -> bool:
    """Whether the sum over these rows, in any order and with any scaling, rounds nowhere."""
    figures = _exact_rows(problem, rows)
    if figures is None:
        return False
    terms = [(t, abs(problem.weights[i])) for i, row in zip(rows, figures, strict=True) for t in _with_own(row)]
    used = [abs(w) for i in rows if isinstance(w := problem.weights[i], Fraction) and w]
    if not used:
        return True
    q, p, smallest = granularity(t.z for t, _ in terms), problem.p, min(used)
    size = sum((t.count * w * abs(t.z) ** p for t, w in terms if isinstance(w, Fraction)), ZERO)
    return size <= _capacity(problem) * q**p * smallest and (
        min(ONE, q) ** p * min(ONE, smallest) / problem.divisor >= _least(problem)
    )


def gradient_is_exact(problem: Problem, index: int) -> bool:
    """Whether the gradient of this row rounds nowhere, in any order and with any scaling."""
    figures = _exact_rows(problem, [index], signs_only=problem.p == 1)
    g, w = problem.grads[index], problem.weights[index]
    if figures is None or not isinstance(g, Fraction) or not isinstance(w, Fraction):
        return False
    terms, p, q_g = _with_own(figures[0]), problem.p, granularity([g])
    q = granularity(t.z for t in terms)
    size = sum((t.count * abs(t.z) ** (p - 1) for t in terms), ZERO)
    # Twice the sum, or twice the factors before a small sum is multiplied in, must not overflow; nor beside a zero.
    large = max(ONE, abs(g)) * max(ONE, abs(w)) * 2 * max(ONE, size)
    if not g or not w:
        return large < problem.format.overflow_threshold
    small = min(ONE, q_g) * min(ONE, q) ** (p - 1) * min(ONE, abs(w)) / problem.divisor
    return (
        size * abs(g) <= _capacity(problem) * q ** (p - 1) * q_g
        and small >= _least(problem)
        and large < problem.format.overflow_threshold
    )


def _exact_rows(problem: Problem, indices: Sequence[int], *, signs_only: bool = False) -> list[Row] | None:
    """Return the rows when the divisors, weights and three-term sums are all exact, otherwise None.

    signs_only: of the three-term sums only the signs have to be certain (the gradient for p = 1).
    """
    rows, classes = len(problem.rows), len(problem.rows[0]) if problem.rows else 1
    divisors = (rows, classes, rows * classes) if problem.reduction == "mean" else (classes,)
    largest = problem.format.largest
    if not all(_is_power_of_two(Fraction(d)) and d <= largest for d in divisors if d):
        return None
    weights = [problem.weights[i] for i in indices]
    if not all(isinstance(w, Fraction) and (w == 0 or _is_power_of_two(abs(w))) for w in weights):
        return None
    figures = [problem.figures[i] for i in indices]
    return figures if all(_row_is_exact(row, signs_only) for row in figures) else None


def _row_is_exact(row: Row, signs_only: bool) -> bool:
    if row.undefined or row.infinite:
        return False
    if signs_only:
        return all(t.lower > 0 for t in row.active)
    return all(t.e == 0 for t in row.active) and (row.own is None or row.own.e == 0 or row.own.upper == 0)


def _with_own(row: Row) -> list[Term]:
    """The terms that may be summed: the active ones and, for keep-and-cancel, the target's own."""
    return row.active + ([row.own] if row.own is not None and row.own.upper > 0 else [])


def _is_power_of_two(value: Fraction) -> bool:
    return value.numerator & (value.numerator - 1) == 0 and value.denominator & (value.denominator - 1) == 0


def _lowest_bit(value: Fraction) -> int:
    """Return the exponent of the lowest set bit of a dyadic rational."""
    n = abs(value.numerator)
    return (n & -n).bit_length() - value.denominator.bit_length()


def _capacity(problem: Problem) -> int:
    """Integers up to 2**P are exact."""
    return 1 << problem.format.precision


def _least(problem: Problem) -> Fraction:
    return problem.format.smallest_normal if problem.flush else problem.format.eta
