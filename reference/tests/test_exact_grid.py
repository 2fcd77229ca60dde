"""The conditions under which nothing rounds (SPEC.md, A.13), at and beside their limits, in a format of four bits."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from multimargin_reference.exact_grid import gradient_is_exact, granularity, loss_is_exact
from multimargin_reference.formats import Format, power_of_two
from multimargin_reference.problem import ONE, Problem

FOUR = Format("four bits", 4, -5, 6)  # 2**P = 16, eta = 2**-8, smallest normal 2**-5, largest 120, overflow from 124 on
LOW = Format("two bits", 2, -20, 5)  # largest 48
TINY = power_of_two(-8)


def of(*rows: list[float], **options: Any) -> Problem:
    """A problem whose targets are all class 0; without a margin, so that z is x[i] - x[0], and x[0] is mostly 0."""
    exact_rows = tuple(
        tuple(v if isinstance(v, float) and not math.isfinite(v) else Fraction(v) for v in r) for r in rows
    )
    ones = (ONE,) * len(rows)
    plain = Problem(exact_rows, (0,) * len(rows), ones, ones, Fraction(0), 1, "sum", FOUR)
    return replace(plain, **options)


def weighted(*weights: float | Fraction, **options: Any) -> Problem:
    """One row of two classes and z = 1 for each weight."""
    return of(*[[0, 1]] * len(weights), weights=tuple(map(Fraction, weights)), **options)


@pytest.mark.parametrize(
    ("problem", "exact"),
    [
        (of(), True),
        (of(reduction="mean"), True),
        (of([0, 1]), True),
        (of([0, 1, 1]), False),  # a division by 3
        (of([0, 1], [0, 1], [0, 1]), True),
        (of([0, 1], [0, 1], [0, 1], reduction="mean"), False),
        (of([0, 1], [0, 1], reduction="mean"), True),
        (of([0, 15, 1, 0]), True),
        (of([0, 15, 2, 0]), False),  # 17 has five bits
        (of([0, 15, 1, -1]), True),
        (of([0, 14, 4, 0]), True),  # 18 = 9 * 2 has four
        (of([0, 3, 2, 1], p=2), True),
        (of([0, 4, 1, 0], p=2), False),
        (of([0, 11, 3, -1], margin=ONE), False),  # the target's own term counts: 12 + 4 + 1 = 17
        (of([0, 11, 2, -1], margin=ONE), True),  # 12 + 3 + 1 = 16
        (of([0, 16, 16, 0], margin=Fraction(-15)), True),  # but not where it is negative
        (of([0, 0], margin=Fraction(-17)), True),  # even if it rounds
        (of([math.inf, 1]), True),  # or is not there
        (of([15, 15], margin=Fraction(2)), False),  # m + x[i] = 17 rounds
        (of([15, 18], margin=Fraction(-2)), False),  # m - x[y] = -17 does, where the own term is negative
        (of([15, 14], margin=Fraction(2)), False),  # m + x[y] = 17 does, in the own term alone
        (of([0, Fraction(1, 8)], p=2), True),
        (of([0, Fraction(1, 16)], p=2), False),  # 2**-8 is there, half of it is not
        (of([0, TINY]), False),
        (of([0, 2 * TINY]), True),
        (of([0, 1 / 16], flush=True), True),
        (of([0, 1 / 32], flush=True), False),
        (of([0, 1.0, math.inf, 0]), False),
        (of([0, 1.0, math.nan, 0]), False),
        (of([0, 1.0, -math.inf, 0]), True),
        (weighted(1, 4), True),
        (weighted(1, -8), True),
        (weighted(1, 16), False),
        (weighted(-1, 8, 8), False),
        (weighted(3), False),
        (weighted(0), True),
        (weighted(0, 4), True),
        (weighted(16 * TINY, 4 * TINY), True),
        (weighted(2 * TINY), True),
        (weighted(TINY), False),
        (of([0, 1], weights=(math.inf,)), False),
        (of([0, 1] + [0] * 30, format=LOW), True),
        (of([0, 1] + [0] * 62, format=LOW), False),  # C = 64 is more than the largest number
        (of([0], p=2), True),
        (of([0, 1] + [0] * 6, *[[0] * 8] * 7, format=LOW), True),
        (of([0, 1] + [0] * 6, *[[0] * 8] * 7, format=LOW, reduction="mean"), False),  # N C = 64
    ],
)
def test_loss(problem: Problem, exact: bool) -> None:
    assert loss_is_exact(problem, range(len(problem.rows))) is exact


def test_only_the_rows_asked_for_count() -> None:
    problem = of([0, 1, 0, 0], [0, 15, 2, 0], reduction="none")
    assert [loss_is_exact(problem, [i]) for i in (0, 1)] == [True, False]


def factors(w: float | Fraction, g: float | Fraction, *row: float, **options: Any) -> Problem:
    """One row with a weight and a grad_output."""
    return of(list(row) or [0, 1], weights=(Fraction(w),), grads=(Fraction(g),), **options)


@pytest.mark.parametrize(
    ("problem", "exact"),
    [
        (of([0, 1]), True),
        (of([0, 1, 1]), False),
        (of([15, 15], margin=Fraction(2)), True),  # z may round, its sign does not change
        (of([15, 15], margin=Fraction(2), p=2), False),
        (of([15, 15], margin=Fraction(1, 4)), False),  # m + x[i] may be rounded to 15, and z is 0
        (of([0, 15, 1, -1], p=2), True),
        (of([0, 15, 2, -1], p=2), False),
        (of([0, 14, 1, -1], margin=ONE, p=2), False),  # with the own term 15 + 2 + 1
        (of([0, 12, 1, -1], margin=ONE, p=2), True),
        (of([0, 2.0**-5]), True),
        (of([0, 2.0**-8], p=2), False),
        (of([0, 2.0**-7], p=2), True),
        (of([0, math.inf], grads=(ONE,)), False),
        (of([0, 1], grads=(math.inf,)), False),
        (of([0, 1], grads=(math.nan,)), False),
        (of([0, 1], weights=(math.inf,)), False),
        (factors(3, 1), False),
        (factors(1, 15), True),
        (factors(1, 15, 0, 1, 1, 1), False),  # 45 has six bits
        (factors(1, 5, 0, 1, 1, 1), True),  # 15 has four
        (factors(1, 48), True),
        (factors(1, 64), False),  # twice 64 overflows
        (factors(64, 1), False),
        (factors(-32, 1), True),
        (factors(32, -2), False),
        (factors(1, 15, 0, 3, p=2), False),
        (factors(1, 5, 0, 3, p=2), True),
        (factors(2 * TINY, 1), True),
        (factors(TINY, 1), False),
        (factors(1, 2 * TINY), True),
        (factors(1, TINY), False),
        (factors(1, 3 * TINY), False),
        (factors(2.0**-4, 1, flush=True), True),
        (factors(2.0**-5, 1, flush=True), False),
        (factors(2.0**-5, 1), True),
        (factors(0, 1), True),
        (factors(1, 0), True),
        (factors(0, 64), False),  # infinity times 0
        (factors(0, 1, 0, 64, p=2), False),
        (factors(2, 0, 0, 15, 16, 0, p=2), False),  # 2 * 2 * 31 = 124 is where infinity starts
        (factors(1, 0, 0, 15, 16, 0, p=2), True),
    ],
)
def test_gradient(problem: Problem, exact: bool) -> None:
    assert gradient_is_exact(problem, 0) is exact


@pytest.mark.parametrize(
    ("values", "power"),
    [([], 1), ([0], 1), ([3], 1), ([0, -12], 4), ([12, 0.375], 0.125), ([2.0**-1074, 1], 2.0**-1074)],
)
def test_granularity(values: list[float], power: float) -> None:
    assert granularity(map(Fraction, values)) == power
