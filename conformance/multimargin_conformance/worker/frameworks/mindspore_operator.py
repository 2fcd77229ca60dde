"""MindSpore's own operator on the CPU: mindspore.nn.MultiMarginLoss and mindspore.ops.multi_margin_loss.

Gradients are by MindSpore's autograd.
"""

from __future__ import annotations

from typing import Any

import mindspore
import numpy as np

mindspore.set_context(mode=mindspore.PYNATIVE_MODE)
mindspore.set_device("CPU")
DTYPES = {"dtypes": ["float16", "float32", "float64"]}


class MindSpore:
    """mindspore.nn.MultiMarginLoss, whose margin is a float."""

    name, version, device = "mindspore", mindspore.__version__, "cpu"
    capabilities = DTYPES

    def forward(self, input: Any, target: Any, **options: Any) -> Any:
        """Return the loss."""
        return self._function(target, **options)(_given(input)).asnumpy()

    def backward(self, grad_output: Any, input: Any, target: Any, **options: Any) -> Any:
        """Return the gradient with respect to input."""
        _, pull = mindspore.ops.vjp(self._function(target, **options), _given(input))
        found = pull(_given(grad_output))
        return (found[0] if isinstance(found, tuple) else found).asnumpy()

    def _function(self, target: Any, *, weight: Any, **options: Any) -> Any:
        w = None if weight is None else _given(weight)
        loss, y = mindspore.nn.MultiMarginLoss(weight=w, **options), _given(target)
        return lambda x: loss(x, y)


class MindSporeFunction(MindSpore):
    """mindspore.ops.multi_margin_loss, whose margin is an int."""

    name = "mindspore-ops"

    def _function(self, target: Any, *, weight: Any, **options: Any) -> Any:
        w, y = None if weight is None else _given(weight), _given(target)
        if float(options["margin"]).is_integer():
            options["margin"] = int(options["margin"])
        return lambda x: mindspore.ops.multi_margin_loss(x, y, weight=w, **options)


def _given(array: Any) -> Any:
    return mindspore.Tensor(np.ascontiguousarray(array).reshape(array.shape))
