"""Formats against the list of all their numbers, and against NumPy's."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise

import ml_dtypes
import numpy as np
import pytest

from multimargin_reference.formats import DTYPES, FORMATS, Format, floor_log2, power_of_two

SMALL = (Format("two bits", 2, -3, 3), Format("four bits", 4, -3, 4), Format("one exponent", 3, 0, 0))


def numbers(fmt: Format) -> list[Fraction]:
    """Every finite number, in order: significands times powers of two."""
    steps = [Fraction(2) ** (e - fmt.precision + 1) for e in range(fmt.emin, fmt.emax + 1)]
    positive = {n * step for step in steps for n in range(2**fmt.precision)}
    return sorted(positive | {-v for v in positive})


@pytest.mark.parametrize("fmt", SMALL, ids=lambda f: f.name)
def test_rounding_against_the_list_of_all_numbers(fmt: Format) -> None:
    known = numbers(fmt)
    step = known[-1] - known[-2]
    assert (fmt.largest, fmt.overflow_threshold) == (known[-1], known[-1] + step / 2)
    line = [known[0] - step, *known, known[-1] + step]  # as if the exponents went on
    zero = line.index(Fraction(0))
    for i, (low, high) in enumerate(pairwise(line)):
        even = low if (i - zero) % 2 == 0 else high
        for eighths, nearest in ((0, low), (1, low), (4, even), (7, high)):
            value = low + (high - low) * Fraction(eighths, 8)
            assert fmt.round(value) == held(fmt, nearest), value
            assert fmt.floor(value) == (held(fmt, low) if value <= known[-1] else fmt.largest), value
            assert fmt.ceil(value) == (-fmt.largest if value < known[0] else held(fmt, high if eighths else low)), value
            assert fmt.represents(value) == (value in known), value
            assert not fmt.represents(value / 3) or value / 3 in known, value
    assert (fmt.round(4 * known[-1]), fmt.round(4 * known[0])) == (math.inf, -math.inf)
    assert (fmt.floor(4 * known[0]), fmt.ceil(4 * known[-1])) == (-math.inf, math.inf)


def held(fmt: Format, value: Fraction) -> Fraction | float:
    """A number of the line, or the infinity that stands for it."""
    return value if abs(value) <= fmt.largest else math.copysign(math.inf, value)


@pytest.mark.parametrize("fmt", SMALL, ids=lambda f: f.name)
def test_ulp_is_the_gap_to_the_next_number(fmt: Format) -> None:
    known = [v for v in numbers(fmt) if v >= 0]
    for value, after in pairwise(known):
        assert fmt.ulp(value) == fmt.ulp(-value) == fmt.ulp((value + after) / 2) == after - value
    assert fmt.ulp(known[-1]) == fmt.ulp(4 * known[-1]) == known[-1] - known[-2]
    assert fmt.ulp(Fraction(0)) == fmt.eta == known[1]


@pytest.mark.parametrize("fmt", SMALL, ids=lambda f: f.name)
def test_infinities_and_nan_are_not_rounded(fmt: Format) -> None:
    assert (fmt.round(math.inf), fmt.round(-math.inf)) == (math.inf, -math.inf)
    assert math.isnan(fmt.round(math.nan))


@pytest.mark.parametrize("name", DTYPES)
def test_formats_are_those_of_the_dtypes(name: str) -> None:
    fmt = FORMATS[name]
    info = ml_dtypes.finfo(DTYPES[name])
    assert (fmt.name, DTYPES[name].name) == (name, name)
    assert (fmt.emin, fmt.emax + 1) == (info.minexp, info.maxexp)
    for ours, theirs in (
        (fmt.largest, info.max),
        (fmt.smallest_normal, info.smallest_normal),
        (fmt.eta, info.smallest_subnormal),
        (2 * fmt.u, info.eps),
    ):
        assert ours == Fraction(float(theirs))


@pytest.mark.parametrize("exponent", [-1100, -1, 0, 1, 70])
def test_powers_of_two(exponent: int) -> None:
    value = power_of_two(exponent)
    assert value == Fraction(2) ** exponent
    assert [floor_log2(value * k) for k in (Fraction(7, 8), 1, Fraction(15, 8), 2)] == [
        exponent - 1,
        exponent,
        exponent,
        exponent + 1,
    ]


@pytest.mark.parametrize("name", ["float16", "float32", "bfloat16"])
def test_rounding_is_that_of_the_dtype(name: str) -> None:
    fmt, rng = FORMATS[name], np.random.default_rng(0)
    exponents = rng.integers(fmt.emin - fmt.precision - 2, fmt.emax + 2, 200)
    for value in np.ldexp(rng.uniform(-1, 1, 200), exponents).tolist():
        with np.errstate(over="ignore"):
            assert float(fmt.round(Fraction(value))) == float(np.array(value).astype(DTYPES[name]))
