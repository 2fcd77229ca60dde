"""MLX on the CPU: the loss composed of its operations, gradients by its vjp."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
from ml_dtypes import bfloat16

from .composite import batch, checked, loss

mx.set_default_device(mx.cpu)


class Mlx:
    """The composite over mlx.core."""

    name, version, device = "mlx", mx.__version__, "cpu"

    def forward(self, input: Any, target: Any, *, p: Any, margin: Any, weight: Any, reduction: Any) -> Any:
        """Return the loss."""
        checked(input, target, p, margin, weight, reduction)
        x, y = map(_given, batch(input, target))
        found = loss(mx, x, y, p=int(p), margin=float(margin), weight=_given(weight), reduction=reduction)
        return _taken(found).reshape(target.shape if reduction == "none" else ())

    def backward(
        self, grad_output: Any, input: Any, target: Any, *, p: Any, margin: Any, weight: Any, reduction: Any
    ) -> Any:
        """Return the gradient with respect to input."""
        checked(input, target, p, margin, weight, reduction)
        x, y = map(_given, batch(input, target))
        w = _given(weight)

        def of(x: Any) -> Any:
            return loss(mx, x, y, p=int(p), margin=float(margin), weight=w, reduction=reduction)

        g = _given(np.reshape(grad_output, (-1,) if reduction == "none" else ()))
        return _taken(mx.vjp(of, [x], [g])[1][0]).reshape(input.shape)


def _given(array: Any) -> Any:
    """Return an array of MLX with the same bits: it would make float64 float32, and does not know ml_dtypes."""
    if array is None:
        return None
    plain = np.array(array, order="C")  # it takes no negative strides
    if plain.dtype == bfloat16:
        return mx.array(plain.view(np.uint16)).view(mx.bfloat16)
    return mx.array(plain, dtype=getattr(mx, plain.dtype.name))


def _taken(array: Any) -> Any:
    if array.dtype == mx.bfloat16:
        return np.array(array.view(mx.uint16)).view(bfloat16)
    return np.array(array)
