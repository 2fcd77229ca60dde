"""Any namespace of the array API, by array-api-compat: the loss composed of its functions, the gradient written out.

The standard has float32 and float64, and no autograd.
"""

from __future__ import annotations

import importlib
from importlib.metadata import version
from typing import Any

import array_api_compat
import numpy as np

from .composite import batch, checked, gradient, loss

DTYPES = {"dtypes": ["float32", "float64"]}


class Namespace:
    """The composite over one namespace, on its default device."""

    capabilities = DTYPES
    module = distribution = ""

    def __init__(self) -> None:
        found = importlib.import_module(self.module)
        some = found.array([0.0]) if hasattr(found, "array") else found.asarray([0.0])
        self._xp: Any = array_api_compat.array_namespace(some)
        self.name = f"array-api-{self.distribution.replace('array_api_', '')}"
        self.version = version(self.distribution)

    def forward(self, input: Any, target: Any, *, p: Any, margin: Any, weight: Any, reduction: Any) -> Any:
        """Return the loss."""
        checked(input, target, p, margin, weight, reduction)
        x, y = (self._given(array) for array in batch(input, target))
        options: dict[str, Any] = {"p": int(p), "margin": float(margin), "reduction": reduction}
        found = loss(self._xp, x, y, weight=self._given(weight), **options)
        return _taken(found).reshape(target.shape if reduction == "none" else ())

    def backward(
        self, grad_output: Any, input: Any, target: Any, *, p: Any, margin: Any, weight: Any, reduction: Any
    ) -> Any:
        """Return the gradient with respect to input."""
        checked(input, target, p, margin, weight, reduction)
        x, y = (self._given(array) for array in batch(input, target))
        g = self._given(np.reshape(grad_output, (-1,) if reduction == "none" else ()))
        options: dict[str, Any] = {"p": int(p), "margin": float(margin), "reduction": reduction}
        return _taken(gradient(self._xp, g, x, y, weight=self._given(weight), **options)).reshape(input.shape)

    def _given(self, array: Any) -> Any:
        if array is None:
            return None
        return self._xp.asarray(np.array(array), dtype=getattr(self._xp, array.dtype.name))


class NumPy(Namespace):
    """numpy."""

    module, distribution = "numpy", "numpy"


class Torch(Namespace):
    """torch."""

    module, distribution = "torch", "torch"


class Strict(Namespace):
    """array_api_strict, which has what the standard has and nothing more."""

    module, distribution = "array_api_strict", "array_api_strict"


class Jax(Namespace):
    """jax.numpy."""

    module, distribution = "jax.numpy", "jax"

    def __init__(self) -> None:
        import jax

        jax.config.update("jax_enable_x64", True)  # else float64 becomes float32 in silence
        super().__init__()


class Mlx(Namespace):
    """mlx.core on the CPU."""

    module, distribution = "mlx.core", "mlx"

    def __init__(self) -> None:
        import mlx.core as mx

        mx.set_default_device(mx.cpu)
        super().__init__()


def _taken(array: Any) -> Any:
    return np.array(array if isinstance(array, np.generic) else np.from_dlpack(array))
