"""Exact arithmetic, and the three values that fractions lack."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from multimargin_reference.arithmetic import Real, exact, product, total

INF, NAN = math.inf, math.nan
TINY, HUGE = Fraction(1, 10**400), Fraction(10**400)  # past the range of a double


def same(result: Real, expected: Real) -> bool:
    """Whether they are equal and of the same type; a NaN equals a NaN."""
    return type(result) is type(expected) and (result == expected or (result != result and expected != expected))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (2**60 + 1, Fraction(2**60 + 1)),
        (TINY, TINY),
        (0.1, Fraction(0.1)),
        (-0.0, Fraction(0)),
        (np.float16(0.1), Fraction(float(np.float16(0.1)))),
        (ml_dtypes.bfloat16(3), Fraction(3)),
        (INF, INF),
        (np.float32(-INF), -INF),
        (ml_dtypes.bfloat16(NAN), NAN),
    ],
    ids=repr,
)
def test_exact(value: Any, expected: Real) -> None:
    assert same(exact(value), expected)


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        ([], Fraction(0)),
        ([TINY, HUGE, -HUGE], TINY),
        ([Fraction(1), INF, INF], INF),
        ([-INF, HUGE], -INF),
        ([INF, Fraction(1), -INF], NAN),
        ([NAN, INF], NAN),
        ([NAN], NAN),
    ],
)
def test_total(terms: list[Real], expected: Real) -> None:
    assert same(total(terms), expected)


@pytest.mark.parametrize(
    ("factors", "expected"),
    [
        ([], Fraction(1)),
        ([TINY, HUGE, Fraction(-2)], Fraction(-2)),
        ([INF, TINY], INF),
        ([-HUGE, INF], -INF),
        ([-INF, INF, -TINY], INF),
        ([INF, Fraction(0)], NAN),
        ([NAN, Fraction(0)], NAN),
    ],
)
def test_product(factors: list[Real], expected: Real) -> None:
    assert same(product(*factors), expected)
