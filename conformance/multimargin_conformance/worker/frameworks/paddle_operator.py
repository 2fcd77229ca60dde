"""PaddlePaddle's own operator, paddle.nn.functional.multi_margin_loss; gradients by its autograd."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle

DTYPES = {"dtypes": ["float32", "float64"]}


class Paddle:
    """The operator on a CPU."""

    name, version, device = "paddle", paddle.__version__, "cpu"
    capabilities = DTYPES

    def __init__(self) -> None:
        paddle.set_device("cpu")

    def forward(self, input: Any, target: Any, *, weight: Any, **options: Any) -> Any:
        """Return the loss."""
        return _loss(_given(input), target, weight, options).numpy()

    def backward(self, grad_output: Any, input: Any, target: Any, *, weight: Any, **options: Any) -> Any:
        """Return the gradient with respect to input."""
        x = _given(input)
        x.stop_gradient = False
        found = _loss(x, target, weight, options)
        return paddle.grad([found], [x], grad_outputs=[_given(grad_output)])[0].numpy()


def _loss(x: Any, target: Any, weight: Any, options: dict[str, Any]) -> Any:
    w = None if weight is None else _given(weight)
    return paddle.nn.functional.multi_margin_loss(x, _given(target), weight=w, **options)


def _given(array: Any) -> Any:
    return paddle.to_tensor(np.ascontiguousarray(array).reshape(array.shape))
