"""Any namespace of the array API, by array-api-compat: the loss composed of its functions, the gradient written out.

The standard has float32 and float64, and no autograd.
"""

from __future__ import annotations

import importlib
from importlib.metadata import packages_distributions, version
from typing import Any

import array_api_compat
import numpy as np

from .composite import batch, checked, gradient, loss, padded


class Namespace:
    """The composite over the namespace of a module (`numpy`, `jax.numpy`), on its default device.

    That device's memory has to be one that NumPy can read.
    """

    def __init__(self, module: str) -> None:
        root = module.partition(".")[0]
        PREPARED.get(root, lambda: None)()
        found = importlib.import_module(module)
        made = getattr(found, "array", None) or getattr(found, "asarray", None)
        if made is None:
            raise TypeError(f"{module} has no asarray, but should be a namespace of the array API")
        self._xp: Any = array_api_compat.array_namespace(made([0.0]))
        if missing := [name for name in FUNCTIONS if not hasattr(self._xp, name)]:
            raise TypeError(f"{module} has no {', '.join(missing)}, which the array API has since 2024.12")
        self._pads = root in COMPILING
        self.name, self.version = f"{KIND}:{module}", _version(root)
        self.capabilities = {"dtypes": ["float32", "float64"]}

    def forward(self, input: Any, target: Any, *, p: Any, margin: Any, weight: Any, reduction: Any) -> Any:
        """Return the loss."""
        checked(input, target, p, margin, weight, reduction)
        x, y, options = self._arguments(input, target, weight, margin)
        found = _taken(loss(self._xp, x, y, p=int(p), reduction=reduction, **options))
        return found[: target.size].reshape(target.shape) if reduction == "none" else found.reshape(())

    def backward(
        self, grad_output: Any, input: Any, target: Any, *, p: Any, margin: Any, weight: Any, reduction: Any
    ) -> Any:
        """Return the gradient with respect to input."""
        checked(input, target, p, margin, weight, reduction)
        x, y, options = self._arguments(input, target, weight, margin)
        g = np.array(grad_output)
        if reduction == "none":
            g = np.zeros(y.shape, g.dtype)
            g[: target.size] = np.reshape(grad_output, -1)
        found = _taken(gradient(self._xp, self._given(g), x, y, p=int(p), reduction=reduction, **options))
        rows, classes = batch(input, target)[0].shape
        return found[:rows, :classes].reshape(input.shape)

    def _arguments(self, input: Any, target: Any, weight: Any, margin: Any) -> tuple[Any, Any, dict[str, Any]]:
        if not self._pads:
            x, y = batch(input, target)
            return self._given(x), self._given(y), {"weight": self._given(weight), "margin": float(margin)}
        x, y, w, wide_margin, *sizes = padded(input, target, weight, margin)
        options = {"weight": self._given(w), "margin": wide_margin, "sizes": tuple(sizes)}
        return self._given(x), self._given(y), options

    def _given(self, array: Any) -> Any:
        if array is None:
            return None
        return self._xp.asarray(np.array(array), dtype=getattr(self._xp, array.dtype.name))


def _taken(array: Any) -> Any:
    shared = hasattr(array, "__dlpack__") and not isinstance(array, np.generic)
    return np.array(np.from_dlpack(array) if shared else array)


def _version(root: str) -> str:
    for distribution in packages_distributions().get(root, ()):
        return version(distribution)
    return "unknown"


def _jax() -> None:
    import jax

    jax.config.update("jax_enable_x64", True)  # else float64 becomes float32 in silence


def _mlx() -> None:
    import mlx.core as mx

    mx.set_default_device(mx.cpu)


KIND = "array-api"
FUNCTIONS = ("arange", "broadcast_to", "logical_and", "logical_not", "sum", "take", "take_along_axis", "where")
PREPARED = {"jax": _jax, "mlx": _mlx}
COMPILING = ("jax",)  # each operation for each size, a tenth of a second each time: arrays are padded to few sizes
