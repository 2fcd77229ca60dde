"""What the vectorized functions take as arguments, and what they reject, with which error and words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from multimargin_reference.vectorized import multi_margin_loss, multi_margin_loss_and_grad, multi_margin_loss_backward

pytestmark = pytest.mark.usefixtures("each_engine")


def test_array_likes() -> None:
    loss, gradient = multi_margin_loss_and_grad([[0, 1], [1, 0]], np.array([0, 1]), weight=[1, 2])
    assert loss.dtype == gradient.dtype == np.float64
    assert float(loss) == 1.5
    assert multi_margin_loss_backward(2, [0.0, 1.0], np.array(0)).tolist() == [-1, 1]


X, Y = np.zeros((3, 4), np.float32), np.zeros(3, np.int64)
REJECTED: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "p = 3": ({"p": 3}, ValueError, "p=3, but should be 1 or 2"),
    "p = 1.5": ({"p": 1.5}, ValueError, "p=1.5, but should be 1 or 2"),
    "reduction": ({"reduction": "avg"}, ValueError, "reduction='avg', but should be"),
    "margin": ({"margin": "1"}, TypeError, "margin='1', but should be a real number"),
    "rank": ({"input": np.zeros((1, 3, 4), np.float32)}, ValueError, r"input.shape=\(1, 3, 4\), but should be"),
    "no classes": ({"input": np.zeros((3, 0), np.float32)}, ValueError, r"input.shape=\(3, 0\), but should"),
    "input dtype": ({"input": np.zeros((3, 4), np.int64)}, TypeError, "input.dtype=int64, but should be"),
    "target count": ({"target": np.zeros(2, np.int64)}, ValueError, r"target.shape=\(2,\), but should be \(3,\)"),
    "target rank": ({"target": np.zeros((3, 1), np.int64)}, ValueError, r"target.shape=\(3, 1\), but should"),
    "target dtype": ({"target": np.zeros(3)}, TypeError, "target.dtype=float64, but should be int64"),
    "target = C": ({"target": np.array([0, 4, 0])}, IndexError, r"target\[1\]=4, but should be in \[0, 4\)"),
    "target = -1": ({"target": np.array([0, 0, -1])}, IndexError, r"target\[2\]=-1, but should be in \[0, 4\)"),
    "target = 2**32 + 1": ({"target": np.array([2**32 + 1, 0, 0])}, IndexError, r"target\[0\]=4294967297, but"),
    "weight size": ({"weight": np.ones(3, np.float32)}, ValueError, r"weight.shape=\(3,\), but should be \(4,\)"),
    "weight rank": ({"weight": np.ones((1, 4), np.float32)}, ValueError, r"weight.shape=\(1, 4\), but should"),
    "weight dtype": ({"weight": np.ones(4)}, TypeError, "weight.dtype=float64, but should be input's float32"),
}


@pytest.mark.parametrize("name", REJECTED)
def test_rejection(name: str) -> None:
    changed, error, message = REJECTED[name]
    call = {"input": X, "target": Y, **changed}
    with pytest.raises(error, match=message):
        multi_margin_loss(**call)
    with pytest.raises(error, match=message):
        multi_margin_loss_and_grad(**call)
    with pytest.raises(error, match=message):
        multi_margin_loss_backward(np.float32(1), **call)


def test_rejected_grad_output() -> None:
    with pytest.raises(ValueError, match=r"grad_output.shape=\(3,\), but should be the loss's \(\)"):
        multi_margin_loss_backward(np.ones(3, np.float32), X, Y)
    with pytest.raises(ValueError, match=r"grad_output.shape=\(\), but should be the loss's \(3,\)"):
        multi_margin_loss_backward(np.float32(1), X, Y, reduction="none")
    with pytest.raises(TypeError, match=r"grad_output.dtype=float64, but should be input's float32"):
        multi_margin_loss_backward(np.ones(3), X, Y, reduction="none")
