"""tinygrad on the CPU: the loss composed of its operations, gradients by its autograd.

It compiles for each size: arrays are padded to few sizes, and the real ones are arguments.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import numpy as np
from tinygrad import Tensor, dtypes

from .composite import batch, checked, padded

try:
    from ml_dtypes import bfloat16
except ImportError:  # then no array has that dtype
    bfloat16 = None


class TinyGrad:
    """The composite over tinygrad.Tensor."""

    name, version, device = "tinygrad", version("tinygrad"), "cpu"
    compiles = True

    def forward(self, input: Any, target: Any, *, p: Any, margin: Any, weight: Any, reduction: Any) -> Any:
        """Return the loss."""
        checked(input, target, p, margin, weight, reduction)
        arguments = [_given(value) for value in padded(input, target, weight, margin)]
        found = _taken(_loss(arguments, int(p), reduction))
        return found.reshape(-1)[: target.size].reshape(target.shape) if reduction == "none" else found.reshape(())

    def backward(
        self, grad_output: Any, input: Any, target: Any, *, p: Any, margin: Any, weight: Any, reduction: Any
    ) -> Any:
        """Return the gradient with respect to input."""
        checked(input, target, p, margin, weight, reduction)
        arguments = [_given(value) for value in padded(input, target, weight, margin)]
        loss = _loss(arguments, int(p), reduction)
        g = np.zeros(loss.shape, input.dtype)
        g.reshape(-1)[: np.size(grad_output)] = np.reshape(grad_output, -1)
        (found,) = loss.gradient(arguments[0], gradient=_given(g))
        rows, classes = batch(input, target)[0].shape
        return _taken(found)[:rows, :classes].reshape(input.shape)


def _loss(arguments: list[Any], p: int, reduction: str) -> Any:
    x, y, weight, margin, rows, classes = arguments
    column, place = Tensor.arange(x.shape[1]).reshape(1, -1), Tensor.arange(x.shape[0]).reshape(-1, 1)
    z = margin.cast(x.dtype) - x.gather(1, y.reshape(-1, 1)) + x
    active = (z > 0) & (column != y.reshape(-1, 1)) & (column < classes) & (place < rows)
    hinge = active.where(z, 0.0)
    terms = hinge if p == 1 else hinge * hinge
    if weight is not None:
        terms = active.where(weight.gather(0, y).reshape(-1, 1) * terms, 0.0)
    wide = dtypes.float64 if x.dtype == dtypes.float64 else dtypes.float32
    losses = terms.cast(wide).sum(axis=1) / classes.cast(wide)
    if reduction == "none":
        return losses.cast(x.dtype)
    total = losses.sum()
    return (total / rows.cast(wide) if reduction == "mean" else total).cast(x.dtype)


def _given(value: Any) -> Any:
    """Return a tensor with the same bits."""
    if value is None:
        return None
    if isinstance(value, (int, float)):
        return Tensor([value], dtype=dtypes.float64 if isinstance(value, float) else dtypes.int64)
    if value.dtype == bfloat16:
        return Tensor(value.view(np.uint16)).bitcast(dtypes.bfloat16)
    return Tensor(np.ascontiguousarray(value).reshape(value.shape))


def _taken(tensor: Any) -> Any:
    if tensor.dtype == dtypes.bfloat16:
        return tensor.contiguous().bitcast(dtypes.uint16).numpy().view(bfloat16)
    return tensor.numpy()
