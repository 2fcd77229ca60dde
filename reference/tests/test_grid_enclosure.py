"""Enclosures on a grid by doubles: around the derived ones, wider by no more than the slack that they state."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from multimargin_reference.case import Case
from multimargin_reference.expectation import Enclosures, expected_values
from multimargin_reference.few_enclosures import FewEnclosures
from multimargin_reference.formats import DTYPES
from multimargin_reference.grid_enclosure import SLACK, grid_part, grid_values

ROUNDED_IN = 2  # the ends of derived enclosures are rounded inward to the dtype's grid, by less than an ulp: 2 u size
SHAPES = ((1, 1), (1, 3), (3, 5), (7, 3), (2, 6), (5,), (3,), (40, 3))


def drawn(seed: int, dtype: str) -> Case:
    """A call on a grid of quarters; with a power of two for C the derived enclosures would be points."""
    rng, kind = np.random.default_rng(seed), DTYPES[dtype]
    shape = SHAPES[seed % len(SHAPES)]
    reduction = ("none", "mean", "sum")[rng.integers(3)]
    powers = np.array([1, 0.5, -2, 4, 0, -0.25])
    g = rng.choice(powers, shape[:-1] if reduction == "none" else ())
    return Case(
        (rng.integers(-6, 7, shape) / 4).astype(kind),
        rng.integers(0, shape[-1], shape[:-1]),
        p=int(rng.integers(1, 3)),
        margin=float(rng.choice([1.0, 0.25, 0.0, -0.5])),
        weight=rng.choice(powers, shape[-1]).astype(kind) if rng.integers(2) else None,
        reduction=reduction,
        grad_output=None if seed % 5 == 0 else np.asarray(g).astype(kind),
    )


def sizes(case: Case) -> tuple[NDArray[Any], NDArray[Any]]:
    """The sums of the absolute values of what is added up for the loss and for each element of the gradient."""
    x, y = np.atleast_2d(case.input).astype(np.float64), np.atleast_1d(case.target)
    rows, c = np.arange(len(x)), x.shape[1]
    w = np.ones(len(x)) if case.weight is None else np.abs(case.weight.astype(np.float64))[y]
    z = np.maximum(case.margin - x[rows, y][:, None] + x, 0)
    own = z[rows, y].copy()
    z[rows, y] = 0
    loss = w * (z**case.p).sum(axis=1) / c
    if case.reduction != "none":
        loss = np.atleast_1d(loss.sum() if case.reduction == "sum" else loss.mean())
    g = np.abs(np.ones(()) if case.grad_output is None else case.grad_output.astype(np.float64)).reshape(-1)
    slope = case.p * z ** (case.p - 1) * (z > 0)
    own_slope = case.p * own ** (case.p - 1) * (own > 0)
    slope[rows, y] = slope.sum(axis=1) + 2 * own_slope
    return loss, slope * (w * g / (c * (len(x) if case.reduction == "mean" else 1)))[:, None]


def assert_around(wide: Enclosures, derived: Enclosures, size: NDArray[Any], u: float) -> None:
    """Assert that the derived enclosure is inside, and that both ends are within the slack and its own roundings."""
    assert (wide.shape, wide.dtype, wide.also) == (derived.shape, derived.dtype, derived.also)
    np.testing.assert_array_equal(wide.nearest, derived.nearest)
    for outer, inner in ((-wide.lo, -derived.lo), (wide.hi, derived.hi)):
        assert np.all(outer >= inner)
        assert np.all(outer - inner <= (SLACK + ROUNDED_IN) * u * size.reshape(-1))


def row(values: list[float], margin: float) -> Case:
    """A float32 call of one row whose target is class 0."""
    x = np.array([values], np.float32)
    return Case(x, np.array([0]), margin=margin, reduction="sum", grad_output=np.array(1, np.float32))


MANY = row([0.0] * 101, 0.5)  # terms of less than 1: more roundings than the slack
OWN = row([0.0, -1.0, -1.0], 1 / 32)  # nothing but the target's own term


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("part", range(4), ids="part{}".format)
def test_around_the_derived_enclosures(part: int, dtype: str) -> None:
    for seed in range(part * 30, part * 30 + 30):
        check(drawn(seed, dtype))


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("case", [MANY, OWN], ids=["many", "own"])
def test_the_slack_is_not_all(case: Case, p: int) -> None:
    check(replace(case, p=p))


def check(case: Case) -> None:
    """Compare loss and gradient with the derived enclosures."""
    u = float(case.format.u)
    wide, derived = grid_values(case), expected_values(case)
    loss, gradient = sizes(case)
    assert_around(wide.loss, derived.loss, loss, u)
    assert (wide.gradient is None) == (case.grad_output is None)
    if wide.gradient is not None and derived.gradient is not None:
        assert_around(wide.gradient, derived.gradient, gradient, u)


def wide(seed: int, dtype: str) -> Case:
    """A call on a grid, of whose many classes few are active."""
    case = drawn(seed, dtype)
    x = np.full((*case.input.shape[:-1], 97), -64, case.input.dtype)
    x[..., : case.input.shape[-1]] = case.input
    weight = None if case.weight is None else np.resize(case.weight, 97)
    g = case.grad_output if case.grad_output is not None else np.ones_like(x, shape=())
    reduction = "sum" if case.grad_output is None else case.reduction
    return replace(case, input=x, weight=weight, grad_output=g, reduction=reduction)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_same_as_every_elements(dtype: str) -> None:
    for seed in range(60):
        case = wide(seed, dtype)
        values, few = grid_values(case), grid_part(case, "gradient")
        assert values.gradient is not None
        assert isinstance(few, FewEnclosures)
        same(few.full(), values.gradient)
        of_all = FewEnclosures.of(values.gradient)
        same(of_all.full(), values.gradient)
        assert of_all.places.shape == (np.count_nonzero((values.gradient.lo != 0) | (values.gradient.hi != 0)),)
        same(grid_part(case, "loss").full(), values.loss)
        for number, name in enumerate(("nearest", "lo", "hi")):
            for changed in (None, np.nan, np.inf, 1e-30, -0.0, 7.0):
                result = getattr(values.gradient, name).astype(dtype).reshape(values.gradient.shape).copy()
                if changed is not None:
                    result.reshape(-1)[(seed * 37 + number) % result.size] = changed
                fine = not values.gradient.outside(result).any()
                admitted = {each.admits(result) for each in (few, of_all, values.gradient)}
                assert admitted == {fine}, (seed, name, changed)


def same(found: Enclosures, expected: Enclosures) -> None:
    """Assert that two are equal in every element."""
    assert (found.shape, found.dtype, found.also) == (expected.shape, expected.dtype, expected.also)
    for name in ("lo", "hi", "nearest"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), strict=True)


def test_what_cannot_be_written_so_is_an_error() -> None:
    zero = np.zeros(3)
    for more in ({"also": {1: frozenset({"nan"})}}, {"dtype": None}, {"wide_lo": zero}):
        with pytest.raises(ValueError, match=r"^special values, no .* one interval an element$"):
            FewEnclosures.of(replace(Enclosures((3,), "float32", zero, zero, zero), **more))


def test_special_values_are_admitted_where_they_are_legal() -> None:
    zero = np.zeros(2)
    found = Enclosures((2,), "float32", zero, zero, zero, {1: frozenset({"nan"})})
    assert found.admits(np.array([0, np.nan], np.float32))
    assert not found.admits(np.array([np.nan, 0], np.float32))


def test_where_many_are_not_0_every_element_has_its_own() -> None:
    assert isinstance(grid_part(row([0.0] * 40, 0.5), "gradient"), Enclosures)


BETWEEN = row([2.0**24, 2.0**24, 2.0**24 - 1], 0.5)  # no float32 is where terms begin to be active
FAR = row([0.0, 3.0, 1.0], -1e300)  # nor here


@pytest.mark.parametrize(("case", "loss"), [(BETWEEN, 1 / 6), (FAR, 0)], ids=["between", "far"])
def test_terms_begin_where_the_dtype_has_no_number(case: Case, loss: float) -> None:
    assert grid_values(case).loss.nearest == np.float32(loss)
