"""JAX: the loss composed of its operations, and functions over its arrays (`jax:module:attr`); gradients by jax.vjp.

Compiling costs a tenth of a second a shape: arrays are padded to few sizes, and the real ones are arguments.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .composite import batch, checked, padded

jax.config.update("jax_enable_x64", True)  # else float64 becomes float32 in silence


class Jax:
    """The composite under jax.jit."""

    name, version = "jax", jax.__version__

    def __init__(self, device: str = "cpu") -> None:
        self.device = device
        self._device = jax.devices(device.partition(":")[0])[0]

    def forward(self, input: Any, target: Any, *, p: Any, margin: Any, weight: Any, reduction: Any) -> Any:
        """Return the loss."""
        checked(input, target, p, margin, weight, reduction)
        with jax.default_device(self._device):
            found = _loss(*padded(input, target, weight, margin), p=int(p), reduction=reduction)
        return _cut(found, target.shape) if reduction == "none" else np.asarray(found)

    def backward(
        self, grad_output: Any, input: Any, target: Any, *, p: Any, margin: Any, weight: Any, reduction: Any
    ) -> Any:
        """Return the gradient with respect to input, by jax.vjp."""
        checked(input, target, p, margin, weight, reduction)
        arguments = padded(input, target, weight, margin)
        g = grad_output
        if reduction == "none":
            g = np.zeros(arguments[1].shape, input.dtype)
            g[: target.size] = np.reshape(grad_output, -1)
        with jax.default_device(self._device):
            found = np.asarray(_gradient(g, *arguments, p=int(p), reduction=reduction))
        rows, classes = batch(input, target)[0].shape
        return found[:rows, :classes].reshape(input.shape)


def _cut(found: Any, shape: tuple[int, ...]) -> Any:
    return np.asarray(found)[: int(np.prod(shape))].reshape(shape)


@partial(jax.jit, static_argnames=("p", "reduction"))
def _loss(x: Any, y: Any, weight: Any, margin: Any, rows: Any, classes: Any, *, p: int, reduction: str) -> Any:
    column, place = jnp.arange(x.shape[1])[None, :], jnp.arange(x.shape[0])[:, None]
    z = margin - jnp.take_along_axis(x, y[:, None], axis=1) + x
    active = (z > 0) & (column != y[:, None]) & (column < classes) & (place < rows)
    hinge = jnp.where(active, z, 0)
    terms = hinge if p == 1 else hinge * hinge
    if weight is not None:
        terms = jnp.where(active, weight[y][:, None] * terms, 0)
    wide = jnp.promote_types(x.dtype, jnp.float32)
    losses = jnp.sum(terms, axis=1, dtype=wide) / classes.astype(wide)
    if reduction == "none":
        return losses.astype(x.dtype)
    total = jnp.sum(losses)
    return (total / rows.astype(wide) if reduction == "mean" else total).astype(x.dtype)


@partial(jax.jit, static_argnames=("p", "reduction"))
def _gradient(g: Any, x: Any, *arguments: Any, p: int, reduction: str) -> Any:
    _, pull = jax.vjp(lambda x: _loss(x, *arguments, p=p, reduction=reduction), x)
    return pull(jnp.asarray(g, x.dtype))[0]


class Function:
    """A function over JAX arrays with the operator's signature; its gradient is jax.vjp's."""

    def __init__(self, function: Any, device: str = "cpu") -> None:
        self.function, self.device = function, device
        self._device = jax.devices(device.partition(":")[0])[0]
        self.name, self.version = str(getattr(function, "__qualname__", "jax")), jax.__version__
        if (declared := getattr(function, "capabilities", None)) is not None:
            self.capabilities = declared

    def forward(self, input: Any, target: Any, *, weight: Any, **options: Any) -> Any:
        """Return the loss."""
        x, y, w = (self._given(array) for array in (input, target, weight))
        return np.asarray(self.function(x, y, weight=w, **options))

    def backward(self, grad_output: Any, input: Any, target: Any, *, weight: Any, **options: Any) -> Any:
        """Return the gradient with respect to input."""
        x, y, w = (self._given(array) for array in (input, target, weight))
        _, pull = jax.vjp(lambda x: self.function(x, y, weight=w, **options), x)
        return np.asarray(pull(self._given(grad_output))[0])

    def _given(self, array: Any) -> Any:
        return None if array is None else jax.device_put(array, self._device)
