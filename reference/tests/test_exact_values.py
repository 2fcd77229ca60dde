"""The exact grid by doubles: the same point as the general enclosures, or no answer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from multimargin_reference.case import Case
from multimargin_reference.exact_values import exact_gradient, exact_values, legal_values, lowest_bits
from multimargin_reference.expectation import Enclosures, expected_values
from multimargin_reference.formats import DTYPES

SHAPES = ((1, 2), (2, 4), (4, 4), (3, 4), (2, 3), (8, 2), (4,))
MARGINS = (1.0, 0.5, 0.0, -0.75, 0.1, 2.0**-40, 1024.0, float("inf"))
WEIGHTS = ((1.0, 2.0, 0.5), (-1.0, 0.0, 4.0), (0.0,), (3.0, 1.0), (2.0**-100, 2.0**60))
GRADS = ((1.0,), (-2.0, 0.0, 0.5), (0.1,), (2.0**-130, 1.0), (float("nan"), 1.0))


def drawn(rng: np.random.Generator, dtype: str) -> Case:
    shape = SHAPES[rng.integers(len(SHAPES))]
    levels, step = int(rng.choice([2, 4, 16, 2**10, 2**23])), 2.0 ** int(rng.choice([-2, -1, 0, 3, -30, -140, 100]))
    x = rng.integers(-levels, levels, shape) * step
    y = rng.integers(0, shape[-1], shape[:-1])
    w = np.resize(WEIGHTS[rng.integers(len(WEIGHTS))], shape[-1]) if rng.integers(2) else None
    reduction = ("none", "mean", "sum")[rng.integers(3)]
    g = np.resize(GRADS[rng.integers(len(GRADS))], shape[:-1] if reduction == "none" else ())
    kind = DTYPES[dtype]
    with np.errstate(over="ignore"):
        w = None if w is None else w.astype(kind)
        return Case(x.astype(kind), y, int(rng.integers(1, 3)), MARGINS[rng.integers(8)], w, reduction, g.astype(kind))


def same(a: Enclosures | None, b: Enclosures | None) -> bool:
    assert a is not None
    assert b is not None
    points = np.array_equal(a.lo, b.lo) and np.array_equal(a.hi, b.hi) and np.array_equal(a.nearest, b.nearest)
    return points and a.shape == b.shape and a.dtype == b.dtype and a.exact and b.exact


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("part", range(4), ids="part{}".format)
def test_whatever_is_recognised_is_the_one_legal_result(part: int, dtype: str) -> None:
    rng = np.random.default_rng(part)
    recognised = 0
    for _ in range(200):
        case = drawn(rng, dtype)
        found = exact_values(case)
        if found is None:
            continue
        recognised += 1
        for flush in (False, True):
            general = expected_values(case, flush=flush)
            assert same(found.loss, general.loss)
            assert same(found.gradient, general.gradient)
    assert recognised > 5


def test_what_may_round_is_left_to_the_general_rules() -> None:
    x, y = np.array([[0.0, 0.5, 1.0, 0.25]], np.float32), np.array([0])
    exact = Case(x, y, grad_output=np.array(1, np.float32))
    assert exact_values(exact) is not None
    rounding = (
        replace(exact, margin=0.1),
        replace(exact, input=x[:, :3]),
        replace(exact, input=x * 2.0**30),
        replace(exact, weight=np.full(4, 3, np.float32)),
        replace(exact, grad_output=np.array(np.nan, np.float32)),
        replace(exact, input=np.array([[np.inf, 0, 0, 0]], np.float32)),
        replace(exact, input=x[:0], target=y[:0]),
    )
    assert [exact_values(case) for case in rounding] == [None] * len(rounding)


def of_row(row: list[float], dtype: str = "float32", **options: Any) -> Case:
    """A case of one row whose target is class 0."""
    return Case(np.array([row], DTYPES[dtype]), np.array([0]), **options)


THREE_ROWS = np.tile(np.array([0.0, 0.5, 1.0, 0.25], np.float32), (3, 1))


@pytest.mark.parametrize(
    "case",
    [
        of_row([0.0, 2.0**22, 1.0, -1.0], margin=0.0),  # with no more room than ROOM
        of_row([-1.0, 2.0**22, 0.0, 0.0], margin=0.0),
        of_row([0.0, 0.0], margin=0.0),
        of_row([0.0, 0.5], weight=np.array([0, 2], np.float32)),
        of_row([0.0, 0.5], weight=np.array([-4, 3], np.float32)),
        Case(THREE_ROWS, np.array([0, 1, 2]), reduction="sum"),
    ],
)
def test_nothing_rounds_and_that_is_recognised(case: Case) -> None:
    for p in (1, 2) if abs(case.input).max() < 2**12 else (1,):
        found = exact_values(replace(case, p=p))
        assert found is not None
        assert same(found.loss, expected_values(replace(case, p=p)).loss)


@pytest.mark.parametrize(
    ("row", "margin", "dtype"),
    [
        ([2.0**24 - 1, 2.0**24 - 1], 2.0, "float32"),  # m + x[i] rounds, z does not
        ([2.0**23 - 0.5, 2.0**23 - 0.5], 1.0, "float32"),  # so it does among halves
        ([-32768, -49152], 32768, "float16"),  # m - x[y] overflows, z does not
        ([-40960, 40960], -57344, "float16"),  # x[i] - x[y] does
        ([57344, 40960], 40960, "float16"),  # m + x[i] does
    ],
)
def test_a_first_sum_that_rounds_or_overflows(row: list[float], margin: float, dtype: str) -> None:
    case = of_row(row, dtype, margin=margin)
    assert not expected_values(case).loss.exact
    assert exact_values(case) is None


def test_subnormals_are_exact_only_where_they_are_kept() -> None:
    case = of_row([0.0, 2.0**-140], margin=0.0)
    assert exact_values(case) is None
    kept = exact_values(case, subnormal=True)
    assert kept is not None
    assert same(kept.loss, expected_values(case).loss)
    assert exact_values(of_row([0.0, 2.0**-149], margin=0.0), subnormal=True) is None


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_gradient_may_be_exact_where_the_loss_is_not(dtype: str) -> None:
    rng = np.random.default_rng(9)
    alone = 0
    for _ in range(600):
        case = drawn(rng, dtype)
        found = exact_gradient(case)
        if found is not None:
            alone += exact_values(case) is None
            for flush in (False, True):
                assert same(found, expected_values(case, flush=flush).gradient)
    assert alone > 2


@pytest.mark.parametrize("p", [1, 2])
def test_the_gradient_of_subnormal_logits(p: int) -> None:
    g = np.array(1, np.float32)
    steps = ((-140, 0.0, True), (-148, 0.0, p == 1), (-140, 2.0**-146, True), (-140, 2.0**-151, False))
    for step, margin, is_exact in steps:
        case = of_row([0.0, 2.0**step], margin=margin, p=p, grad_output=g)
        found = exact_gradient(case, subnormal=True)
        assert (found is not None) == is_exact
        if found is not None:
            assert same(found, expected_values(case).gradient)
        assert exact_gradient(case) is None  # what may be flushed


def test_a_gradient_whose_hinges_overflow_or_that_is_none_is_left_alone() -> None:
    g = np.array(1, np.float16)
    assert exact_gradient(of_row([-32768, -49152], "float16", margin=32768, grad_output=g)) is None
    assert exact_gradient(of_row([0.0, 0.5])) is None
    empty = Case(np.zeros((0, 2), np.float32), np.zeros(0, np.int64), grad_output=np.array(1, np.float32))
    assert exact_gradient(empty) is None


def test_an_overflow_is_silent() -> None:
    assert exact_values(of_row([0.0, 2.0**600], "float64", margin=0.0, p=2)) is None
    assert exact_gradient(of_row([0.0, 0.5], "float64", grad_output=np.array(1.7e308))) is None


def test_there_is_no_negative_zero() -> None:
    weight, grad = np.array([-1, 1], np.float32), np.array(1, np.float32)
    found = exact_values(of_row([2.0, 0.0], margin=0.0, weight=weight, grad_output=grad))
    assert found is not None
    assert found.gradient is not None
    for values in (found.loss, found.gradient):
        assert not values.lo.any()
        assert not np.signbit(values.lo).any()


def test_lowest_bits() -> None:
    values = np.array([1.0, -6.0, 0.1, 5e-324, -0.0, np.inf, np.nan])
    expected = [1.0, 2.0, 2.0**-55, 5e-324, np.inf, np.nan, np.nan]
    np.testing.assert_array_equal(lowest_bits(values), expected)


def test_legal_values_are_there_for_both() -> None:
    case = Case(np.array([[0.0, 0.5, 1.0]], np.float32), np.array([0]))
    assert exact_values(case) is None
    point = np.array([0.75])
    exact = legal_values(replace(case, input=case.input[:, :2]))
    assert same(exact.loss, Enclosures((), "float32", point, point, point))
    assert not legal_values(case).loss.exact
    small = of_row([0.0, 2.0**-140], margin=0.0)
    kept, flushed = (float(legal_values(small, flush=flush).loss.lo.min()) for flush in (False, True))
    assert (kept, flushed) == (2.0**-141, 0.0)
