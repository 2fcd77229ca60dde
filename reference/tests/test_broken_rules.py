"""Every case that broke an earlier version of the enclosures: the legal evaluation must be inside, exactness denied.

Each is evaluated here step by step, in the real dtype, as an implementation would.
"""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

from multimargin_reference import enclosures
from multimargin_reference.arithmetic import exact
from multimargin_reference.case import Case
from multimargin_reference.exact_grid import gradient_is_exact, loss_is_exact
from multimargin_reference.formats import FLOAT16, FLOAT32, Format
from multimargin_reference.gradient_enclosure import gradient_rows
from multimargin_reference.interval import bounded
from multimargin_reference.loss_enclosure import loss_intervals
from multimargin_reference.problem import ONE, ZERO, Problem, problem

ETA = float(FLOAT32.eta)
QUIET: dict[str, Any] = {"all": "ignore"}


def case(
    rows: list[list[float]], dtype: Any = np.float32, *, weight: float | list[float] | None = None, **options: Any
) -> Case:
    """A case whose targets are all class 0, and whose weights are all the same unless listed."""
    x = np.array(rows, dtype)
    w = None if weight is None else np.broadcast_to(np.array(weight, dtype), x.shape[1]).copy()
    grad = options.pop("grad_output", None)
    g = None if grad is None else np.array(grad, dtype)
    return Case(x, np.zeros(len(rows), np.int64), weight=w, grad_output=g, **options)


def of_hinges(h: float, classes: int, rows: int = 1, **options: Any) -> Case:
    """A case in which every hinge is `h`."""
    return case([[0.0] * classes] * rows, margin=h, **options)


def sequential_sum(terms: NDArray[Any]) -> Any:
    """Add left to right, rounding each time."""
    total = terms.dtype.type(0)
    for t in terms.reshape(-1):
        total = terms.dtype.type(total + t)
    return total


def assert_legal(result: Any, call: Case, *, gradient_at: int | None = None, is_exact: bool = False) -> None:
    """Assert that the result is in the enclosure, and that exactness is claimed only where nothing rounds."""
    figures = problem(call)
    intervals = loss_intervals(figures) if gradient_at is None else [gradient_rows(figures)[0][gradient_at]]
    claimed = loss_is_exact(figures, range(len(figures.rows))) if gradient_at is None else gradient_is_exact(figures, 0)
    assert intervals[0].contains(exact(result)), f"{result}, but should be in {intervals[0]}"
    assert claimed == is_exact


@pytest.mark.parametrize(("dtype", "stuck"), [(np.float16, 32), (ml_dtypes.bfloat16, 4)])
def test_flattened_sequential_sum_gets_stuck(dtype: Any, stuck: float) -> None:
    call = of_hinges(1.0, 64, 64, dtype=dtype, reduction="sum")
    result = sequential_sum(np.full(64 * 63, 1 / 64, dtype))
    assert result == stuck
    assert_legal(result, call)


def test_scale_first_loses_tiny_terms() -> None:
    term = np.float32(60 * ETA) / np.float32(129)
    assert term == 0
    assert_legal(sequential_sum(np.full(128, term)), of_hinges(60 * ETA, 129))


def test_scale_first_and_weight_late() -> None:
    scaled = np.float32(4 * ETA) / np.float32(8)
    assert scaled == 0
    assert_legal(np.float32(2**14) * scaled, of_hinges(4 * ETA, 8, weight=2.0**14))


def test_weight_times_z_is_subnormal_before_z_is_squared() -> None:
    w, z = np.float32(ETA), np.float32(1000.5)
    result = (w * z) * z / np.float32(2)
    assert abs(exact(result) - exact(w) * exact(z) ** 2 / 2) > 130 * FLOAT32.eta
    assert_legal(result, of_hinges(1000.5, 2, p=2, weight=ETA))


def test_margin_below_the_subnormals() -> None:
    assert np.float32(0.4 * ETA) == 0
    call = of_hinges(0.4 * ETA, 2, weight=1e6)
    assert_legal(0.0, call)
    assert_legal(np.float32(4e5 * ETA / 2), call)  # the margin kept wide


def test_margin_below_the_subnormals_at_the_kink() -> None:
    call = of_hinges(0.4 * ETA, 2, grad_output=1.0)
    for at, active in ((1, 0.5), (0, -0.5)):
        assert_legal(0.0, call, gradient_at=at)
        assert_legal(active, call, gradient_at=at)
    assert not gradient_rows(problem(call))[0][1].contains(Fraction(1, 4))  # a set, not its hull


def test_margin_that_overflows_is_a_behaviour() -> None:
    with np.errstate(**QUIET):
        assert np.float16(-65520.0) == -math.inf
    call = case([[-65504.0, 65504.0]], np.float16, margin=-65520.0)
    assert not enclosures.in_domain(call)
    with pytest.raises(ValueError, match=r"margin=-65520\.0, but should be finite in float16"):
        enclosures.enclosure(call)


def test_early_partial_overflow_is_legal_only_near_the_threshold() -> None:
    with np.errstate(**QUIET):
        early = np.float16(65504) + np.float16(65504) - np.float16(65504)
    assert early == math.inf
    assert_legal(early, case([[65504.0, 65504.0]], np.float16, margin=65504.0), is_exact=False)


def test_weight_times_scale_is_subnormal_before_z() -> None:
    z, w = np.float16(30000), np.float16(2.0**-12)
    result = w * (np.float16(1) / np.float16(1000)) * (np.float16(2) * z)
    assert result == np.float16(0.014305)
    row = [0.0, 30000.0] + [-60000.0] * 998
    call = case([row], np.float16, p=2, margin=0.0, weight=2.0**-12, grad_output=1.0, reduction="sum")
    assert_legal(result, call, gradient_at=1)


def test_late_weight_overflows_where_an_early_one_does_not() -> None:
    w, z = np.float32(1e-30), np.float32(1e25)
    with np.errstate(**QUIET):
        late, early = w * (z * z) / np.float32(2), (w * z) * z / np.float32(2)
    assert late == math.inf
    assert early < 1e21
    call = of_hinges(float(z), 2, p=2, weight=1e-30)
    assert_legal(late, call)
    assert_legal(early, call)


def test_rows_of_opposite_weights_both_overflow() -> None:
    x = np.array([[0, 3e38, 3e38, 3e38]] * 2, np.float32)
    call = Case(x, np.array([0, 0]), weight=np.ones(4, np.float32), margin=0.0, reduction="sum")
    figures = replace(problem(call), weights=(ONE, -ONE))
    with np.errstate(**QUIET):
        late = x[0].sum() - x[1].sum()
    early = (x[0] / 4).sum() - (x[1] / 4).sum()
    assert math.isnan(late)
    assert early == 0
    [interval] = loss_intervals(figures)
    assert interval.contains(math.nan)
    assert interval.contains(ZERO)


def test_square_overflows_before_the_division() -> None:
    z = np.float32(2e19)
    with np.errstate(**QUIET):
        eager = z * z / np.float32(3)
    assert eager == math.inf
    call = case([[0.0, 2e19, -2e19]], p=2, margin=0.0)
    assert_legal(eager, call)
    assert_legal(z * (z / np.float32(3)), call)


def test_partial_sum_that_is_not_representable_is_not_exact() -> None:
    m, xy, xi = (np.float32(v) for v in (2**20, 2**20 - 8, -(2.0**-6)))
    assert (m - xy) + xi == 7.984375
    assert (m + xi) - xy == 8
    call = case([[float(xy), float(xi)]], margin=float(m))
    assert_legal(((m - xy) + xi) / 2, call)
    assert_legal(((m + xi) - xy) / 2, call)


def test_square_of_too_many_quanta_is_not_exact() -> None:
    z = np.float32(4097)
    assert int(z * z) != 4097**2
    assert_legal(z * z / np.float32(2), of_hinges(4097.0, 2, p=2))


def test_row_weights_far_apart_are_not_exact() -> None:
    large, small = np.float32(2.0**13), np.float32(2.0**-12)
    assert large + small == large
    call = Case(np.zeros((2, 2), np.float32), np.array([0, 1]), weight=np.array([large, small]), reduction="sum")
    assert_legal((large + small) / 2, call)


def test_scale_that_underflows_is_not_exact() -> None:
    call = of_hinges(2.0**-6, 1024, 8, dtype=np.float16, p=2)
    term = np.float16(2.0**-12) / np.float16(1024) / np.float16(8)
    assert term == 0
    assert_legal(sequential_sum(np.full(8 * 1023, term)), call)


# What broke the rules after those: found by the search in small formats (test_small_formats.py).


def test_weight_scaled_first_underflows_beside_an_overflow() -> None:
    z = np.float32(1e25)
    with np.errstate(**QUIET):
        result = (z * z) * (np.float32(ETA) / np.float32(4))
    assert math.isnan(result)
    assert_legal(result, case([[0.0, 1e25, -1e25, -1e25]], p=2, margin=0.0, weight=ETA))


def test_zero_weight_beside_a_sum_that_overflows_by_its_rounding() -> None:
    """A zero weight's terms add no error, but count in the growth that takes their sum to infinity."""
    terms = np.array([45056.0] + [17.0] * 640, np.float16)  # 55936, and each 17 is rounded up to 32
    with np.errstate(**QUIET):
        total = sequential_sum(terms)
        result = np.float16(0) * total
    assert total == math.inf
    assert_legal(result, case([[0.0, *terms.tolist()]], np.float16, margin=0.0, weight=0.0))


def test_lower_end_of_a_term_below_its_own_error() -> None:
    """With two bits (1 + u)**8 > 2, and a negative lower end must not turn into a positive one."""
    fmt = Format("two bits", 2, -4, 5)
    row = (Fraction(24), Fraction(-12))
    [interval] = loss_intervals(Problem((row,), (0,), (ONE,), (ONE,), Fraction(32), 2, "none", fmt))
    assert interval.contains(ZERO)


def test_twice_the_factor_overflows_before_a_small_z() -> None:
    g, z = np.float16(40000), np.float16(0.25)
    with np.errstate(**QUIET):
        early = (np.float16(2) * g) * z / np.float16(2)
    assert early == math.inf
    call = case([[0.0, 0.25]], np.float16, p=2, margin=0.0, grad_output=[40000.0], reduction="none")
    assert_legal(early, call, gradient_at=1)
    assert_legal(np.float16(2) * (g * z) / np.float16(2), call, gradient_at=1)


def test_twice_z_overflows_beside_a_zero_factor() -> None:
    with np.errstate(**QUIET):
        result = (np.float16(2) * np.float16(40000)) * np.float16(0)
    assert math.isnan(result)
    call = case([[0.0, 40000.0]], np.float16, p=2, margin=0.0, weight=0.0, grad_output=1.0, reduction="sum")
    for at in (0, 1):
        assert_legal(result, call, gradient_at=at)
        assert_legal(0.0, call, gradient_at=at)


def test_target_of_an_element_that_overflows_exactly() -> None:
    call = case([[0.0, 60000.0]], np.float16, p=2, margin=0.0, grad_output=[60000.0], reduction="none")
    assert_legal(math.inf, call, gradient_at=1)
    assert_legal(-math.inf, call, gradient_at=0)


def test_own_term_overflows_and_is_cancelled_for_p_1() -> None:
    g = np.float32(1e30)
    with np.errstate(**QUIET):
        factor = g * np.float32(1e30) / np.float32(2)
        result = factor - (factor + factor)
    assert math.isnan(result)
    call = of_hinges(1.0, 2, weight=1e30, grad_output=[1e30], reduction="none")
    assert_legal(result, call, gradient_at=0)


def test_inactive_element_times_a_factor_that_overflows() -> None:
    with np.errstate(**QUIET):
        result = np.float32(0) * (np.float32(1e30) * np.float32(1e30))
    assert math.isnan(result)
    call = of_hinges(-1.0, 2, weight=1e30, grad_output=[1e30], reduction="none")
    assert_legal(result, call, gradient_at=1, is_exact=False)


def test_factors_underflow_with_z_before_the_others_overflow() -> None:
    """w z is zero and 2 G infinite, though neither w nor G is."""
    w, z, g = np.float16(2.0**-12), np.float16(2.0**-14), np.float16(40000)
    with np.errstate(**QUIET):
        result = (w * z) * (np.float16(2) * g)
    assert math.isnan(result)
    call = case(
        [[0.0, float(z)]], np.float16, p=2, margin=0.0, weight=float(w), grad_output=[40000.0], reduction="none"
    )
    assert_legal(result, call, gradient_at=1)


def test_own_term_is_cancelled_by_a_fused_multiplication() -> None:
    """The sum holds the rounded own term, a fused multiply-add takes the exact one away, and their difference stays."""
    factor, z = np.float32(1) / np.float32(10), np.float32(2 * 0.7)
    own = np.float32(factor * z)
    fused = exact(own) - exact(factor) * exact(z)
    assert fused != 0
    row = [0.0] + [-5.0] * 9
    call = case([row], p=2, margin=0.7, grad_output=1.0, reduction="sum")
    assert_legal(FLOAT32.round(fused), call, gradient_at=0)


def test_own_term_underflows_where_it_is_cancelled_and_is_magnified_late() -> None:
    """The same below the subnormals: w / C is 0.75 eta, held as eta, and grad_output comes last."""
    w, g = 3 * FLOAT32.eta, Fraction(2**20)
    held = FLOAT32.round(w / 4)
    assert held == FLOAT32.eta
    assert isinstance(held, Fraction)
    call = case([[0.0, -5.0, -5.0, -5.0]], weight=3 * ETA, grad_output=[2.0**20], reduction="none")
    assert_legal(FLOAT32.round((held - w / 4) * g), call, gradient_at=0)


def test_lower_end_between_the_largest_number_and_the_threshold() -> None:
    fmt = FLOAT16
    interval = bounded(fmt.largest + 1, 2 * fmt.largest, fmt, frozenset({"inf"}))
    assert interval.contains(fmt.largest)
    assert interval.contains(math.inf)
