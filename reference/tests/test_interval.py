"""The set of legal results of one number."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest

from multimargin_reference.arithmetic import Real
from multimargin_reference.formats import FLOAT16, FLOAT32
from multimargin_reference.interval import Interval, bounded, point, rounded_into, special_name

INF, NAN = math.inf, math.nan
ONE, TWO = Fraction(1), Fraction(2)
LARGEST, THRESHOLD = FLOAT16.largest, FLOAT16.overflow_threshold
ABOVE = frozenset({"inf"})
BOTH = frozenset({"inf", "-inf"})


@pytest.mark.parametrize(
    ("interval", "inside", "outside"),
    [
        (Interval(ONE, TWO), [ONE, 1.5, Fraction(4, 3), 2.0], [0.0, Fraction(1, 3), Fraction(7, 3), -1.5, INF, NAN]),
        (point(ONE), [ONE, 1.0], [Fraction(1, 2), TWO, -INF]),
        (Interval(ONE, TWO, frozenset({"inf", "0"})), [INF, 0.0, -0.0, Fraction(0), ONE], [-INF, NAN, 0.5]),
        (Interval(ONE, TWO, frozenset({"-inf", "nan"})), [-INF, NAN], [INF, 0.0, 3.0]),
        (Interval(None, None, ABOVE), [INF], [0.0, ONE, -INF, NAN]),
        (Interval(None, None), [], [0.0, ONE, INF, NAN]),
    ],
)
def test_contains(interval: Interval, inside: list[Real], outside: list[Real]) -> None:
    assert [v for v in inside if not interval.contains(v)] == []
    assert [v for v in outside if interval.contains(v)] == []


def test_special_values_are_added() -> None:
    assert Interval(ONE, TWO, ABOVE).with_also(frozenset({"nan"})) == Interval(ONE, TWO, frozenset({"inf", "nan"}))
    assert Interval(ONE, TWO, ABOVE).with_also(ABOVE) == Interval(ONE, TWO, ABOVE)


def test_special_names() -> None:
    assert [special_name(v) for v in (NAN, INF, -INF)] == ["nan", "inf", "-inf"]


@pytest.mark.parametrize(
    ("lo", "hi", "expected"),
    [
        (ONE, TWO, Interval(ONE, TWO, ABOVE)),
        (-LARGEST, LARGEST, Interval(-LARGEST, LARGEST, ABOVE)),
        (ONE, 2 * LARGEST, Interval(ONE, LARGEST, ABOVE)),
        (-2 * LARGEST, ONE, Interval(-LARGEST, ONE, ABOVE)),
        (LARGEST + 1, THRESHOLD, Interval(LARGEST, LARGEST, ABOVE)),
        (-THRESHOLD, -LARGEST - 1, Interval(-LARGEST, -LARGEST, ABOVE)),
        (THRESHOLD, 2 * LARGEST, Interval(None, None, ABOVE)),
        (-2 * LARGEST, -THRESHOLD, Interval(None, None, BOTH)),
    ],
)
def test_bounded_by_the_finite_range(lo: Fraction, hi: Fraction, expected: Interval) -> None:
    assert bounded(lo, hi, FLOAT16, ABOVE) == expected


def test_an_overflow_is_allowed_where_it_is_all_that_is_left() -> None:
    assert bounded(THRESHOLD, 2 * LARGEST, FLOAT16, frozenset()) == Interval(None, None, ABOVE)


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        (Interval(Fraction(1, 3), TWO, frozenset({"nan"})), (FLOAT16.round(Fraction(1, 3)), TWO, {"nan"})),
        (Interval(None, None, ABOVE), (None, None, {"inf"})),
        (point(ONE), (ONE, ONE, set())),
        (Interval(ONE, THRESHOLD), (ONE, LARGEST, {"inf"})),
        (Interval(-THRESHOLD, ONE), (-LARGEST, ONE, {"-inf"})),
        (Interval(-THRESHOLD, THRESHOLD), (-LARGEST, LARGEST, {"inf", "-inf"})),
        (Interval(THRESHOLD, FLOAT32.largest), (None, None, {"inf"})),
        (Interval(-FLOAT32.largest, -THRESHOLD, frozenset({"nan"})), (None, None, {"-inf", "nan"})),
    ],
)
def test_one_final_rounding(interval: Interval, expected: tuple[Fraction | None, Fraction | None, set[str]]) -> None:
    lo, hi, also = expected
    assert rounded_into(interval, FLOAT16) == Interval(lo, hi, frozenset(also))
