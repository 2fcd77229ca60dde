"""The documented class over NumPy arrays, and the legacy flags."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import numpy as np
import pytest

from multimargin_reference.module import MultiMarginLoss, reduction_from_flags
from multimargin_reference.vectorized import multi_margin_loss, multi_margin_loss_backward

X = np.array([[0.5, 1, 0], [0, -1, 0.25]])
Y = np.array([0, 2])
FLAGS = {  # (size_average, reduce) -> reduction
    (None, True): "mean",
    (True, None): "mean",
    (True, True): "mean",
    (False, None): "sum",
    (False, True): "sum",
    (None, False): "none",
    (True, False): "none",
    (False, False): "none",
}


@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize("reduction", ["none", "mean", "sum", "no such reduction"])
def test_flags_win_with_one_warning(flags: tuple[bool | None, bool | None], reduction: str) -> None:
    with pytest.warns(UserWarning, match="deprecated") as record:
        loss = MultiMarginLoss(size_average=flags[0], reduce=flags[1], reduction=reduction)
    given = f"size_average={flags[0]} and reduce={flags[1]}"
    assert [str(r.message) for r in record] == [f"{given} are deprecated; use reduction='{FLAGS[flags]}' instead."]
    assert loss.reduction == FLAGS[flags]


def test_the_warning_names_the_line_that_constructs() -> None:
    with pytest.warns(UserWarning, match="deprecated") as record:
        MultiMarginLoss(size_average=False)
    assert [r.filename for r in record] == [__file__]
    with pytest.warns(UserWarning, match="deprecated") as record:
        _calls_with_flags()
    assert [r.lineno for r in record] == [_calls_with_flags.__code__.co_firstlineno + 1]


def _calls_with_flags() -> None:
    _flags_of_the_caller()


def _flags_of_the_caller() -> None:
    reduction_from_flags(False, None, "mean")


@pytest.mark.parametrize("reduction", ["none", "mean", "sum", "no such reduction"])
def test_without_flags_reduction_stands(reduction: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert reduction_from_flags(None, None, reduction) == reduction


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("weight", [None, np.array([1.0, -2, 0.5])], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_call_and_backward(p: int, weight: Any, reduction: str) -> None:
    loss = MultiMarginLoss(p, 0.25, weight, reduction=reduction)
    options: dict[str, Any] = {"p": p, "margin": 0.25, "weight": weight, "reduction": reduction}
    result = loss(X, Y)
    assert result.tobytes() == multi_margin_loss(X, Y, **options).tobytes()
    g = np.full_like(result, 2)
    assert loss.backward(g, X, Y).tobytes() == multi_margin_loss_backward(g, X, Y, **options).tobytes()


def test_positional_order_and_defaults() -> None:
    with pytest.warns(UserWarning, match="use reduction='none' instead"):
        loss = MultiMarginLoss(2, 0.5, None, True, False, "sum")
    assert (loss.p, loss.margin, loss.weight, loss.reduction) == (2, 0.5, None, "none")
    default = MultiMarginLoss()
    assert (default.p, default.margin, default.weight, default.reduction) == (1, 1.0, None, "mean")


def test_documentation_example() -> None:
    # 0.25 * ((1 - (0.8 - 0.1)) + (1 - (0.8 - 0.2)) + (1 - (0.8 - 0.4))), on a grid: tenths become eighths.
    assert float(MultiMarginLoss()(np.array([[0.125, 0.25, 0.5, 1.0]]), np.array([3]))) == 0.21875


@pytest.mark.parametrize("p", [0, 3, 1.5, -1])
def test_bad_p(p: Any) -> None:
    with pytest.raises(ValueError, match=f"p={p}, but should be 1 or 2"):
        MultiMarginLoss(p)


@pytest.mark.parametrize("weight", [np.ones((1, 3)), np.float64(1)], ids=["2-D", "0-D"])
def test_bad_weight(weight: Any) -> None:
    with pytest.raises(ValueError, match=f"weight has {weight.ndim} dimensions, but should have 1"):
        MultiMarginLoss(weight=weight)


def test_bad_reduction_is_found_by_the_call() -> None:
    with pytest.raises(ValueError, match="reduction='avg', but should be"):
        MultiMarginLoss(reduction="avg")(X, Y)


def test_frozen() -> None:
    loss = MultiMarginLoss()
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'p'"):
        loss.p = 2  # type: ignore[misc]
