"""The scaled-integer engine against the oracle: equal, on everything finite."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from multimargin_reference import exact, oracle
from multimargin_reference.case import Case
from multimargin_reference.formats import DTYPES, FORMATS

MARGINS = (1.0, 0.0, -0.75, 0.1, 5e-324, 2.0**-149 * 0.4, 1e300, -1e-300, 2.0**1023)


def random_input(dtype: str, shape: tuple[int, int], kind: str, random: np.random.Generator) -> np.ndarray[Any, Any]:
    """Ordinary logits, or numbers of every magnitude, subnormals and zeros included."""
    if kind == "ordinary":
        return random.standard_normal(shape).astype(DTYPES[dtype])
    fmt = FORMATS[dtype]
    exponents = random.integers(fmt.emin - fmt.precision + 1, fmt.emax, shape)
    values = np.ldexp(random.uniform(-1, 1, shape), exponents).astype(DTYPES[dtype])
    values[random.random(shape) < 0.2] = 0
    return np.asarray(np.where(np.isfinite(values), values, np.zeros((), values.dtype)))


def assert_equal_to_the_oracle(case: Case) -> None:
    losses = oracle.loss(case.input, case.target, **case.options)
    assert exact.loss(case) == (losses if isinstance(losses, list) else [losses])
    grad = np.ones((), case.input.dtype) if case.grad_output is None else case.grad_output
    if case.grad_output is not None or case.reduction != "none":
        gradients = oracle.gradient(grad, case.input, case.target, **case.options)
        assert exact.gradient(case) == (gradients if case.input.ndim == 2 else [gradients])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["ordinary", "every magnitude"])
@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_equal_to_the_oracle(dtype: str, kind: str, p: int, reduction: str) -> None:
    random = np.random.default_rng(0)
    for trial in range(15):
        rows, classes = int(random.integers(1, 4)), int(random.integers(1, 7))
        x = random_input(dtype, (rows, classes), kind, random)
        weight = random_input(dtype, (1, classes), kind, random)[0] if trial % 3 else None
        shape = (1, rows) if reduction == "none" else (1, 1)
        grad = random_input(dtype, shape, kind, random)[0] if trial % 2 else None
        target = random.integers(0, classes, rows)
        if grad is not None and reduction != "none":
            grad = grad.reshape(())
        margin = float(random.choice(MARGINS))
        assert_equal_to_the_oracle(Case(x, target, p, margin, weight, reduction, grad))


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("margin", MARGINS)
def test_extremes_of_float64(p: int, margin: float) -> None:
    values = np.array([5e-324, 1.7976931348623157e308, -1.7976931348623157e308, 0.0, -0.0, 2.2250738585072014e-308])
    for y in range(len(values)):
        assert_equal_to_the_oracle(Case(values, np.array(y), p, margin, reduction="sum"))
    assert_equal_to_the_oracle(Case(np.zeros((2, 3)), np.array([0, 2]), p, margin))


def test_unbatched_and_empty() -> None:
    assert_equal_to_the_oracle(Case(np.array([0.1, 0.2, 0.4, 0.8]), np.array(3), reduction="none"))
    empty = Case(np.zeros((0, 3)), np.zeros(0, np.int64), reduction="mean")
    assert exact.loss(empty) == [0]
    assert isinstance(exact.loss(empty)[0], Fraction)
    assert exact.gradient(empty) == []


def test_only_finite_cases() -> None:
    x, y = np.array([[0.0, np.inf]], np.float32), np.array([0])
    with pytest.raises(ValueError, match=r"input\[0, 1\] is not finite"):
        exact.loss(Case(x, y))
    with pytest.raises(ValueError, match="margin=nan, but should be finite"):
        exact.loss(Case(np.zeros((1, 2)), y, margin=np.nan))
    with pytest.raises(ValueError, match=r"weight\[0\]=inf, but should be finite"):
        exact.gradient(Case(np.zeros((1, 2)), y, weight=np.array([np.inf, 1.0])))
    with pytest.raises(ValueError, match="grad_output=inf, but should be finite"):
        exact.gradient(Case(np.zeros((1, 2)), y, grad_output=np.array(np.inf)))
