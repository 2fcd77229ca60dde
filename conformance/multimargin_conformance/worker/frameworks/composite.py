"""The loss composed of a framework's own operations, for frameworks without the operator.

The composition is this project's: what it shows of a framework is the arithmetic, the gathering and the autograd. What
shapes, dtypes and options tell is checked here, as a traced function could do it; what a target out of range does is
left to the framework.
"""

from __future__ import annotations

from typing import Any

import numpy as np

REDUCTIONS = ("none", "mean", "sum")


def checked(input: Any, target: Any, p: Any, margin: Any, weight: Any, reduction: Any) -> None:
    """Raise ValueError or TypeError for what a call's NumPy arrays and options show without their values."""
    if p not in (1, 2):
        raise ValueError(f"p={p!r}, but should be 1 or 2")
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction={reduction!r}, but should be one of {', '.join(REDUCTIONS)}")
    if input.ndim not in (1, 2) or input.shape[-1] == 0:
        raise ValueError(f"input.shape={input.shape}, but should be (N, C) or (C,) with a class")
    if input.dtype.kind in "iub":
        raise TypeError(f"input.dtype={input.dtype}, but should be floating")
    if target.shape != input.shape[:-1]:
        raise ValueError(f"target.shape={target.shape}, but should be {input.shape[:-1]}")
    if target.dtype.kind not in "iu":
        raise TypeError(f"target.dtype={target.dtype}, but should be an integer's")
    if weight is not None and weight.shape != input.shape[-1:]:
        raise ValueError(f"weight.shape={weight.shape}, but should be {input.shape[-1:]}")
    if weight is not None and weight.dtype != input.dtype:
        raise TypeError(f"weight.dtype={weight.dtype}, but should be input's {input.dtype}")
    float(margin)


def batch(input: Any, target: Any) -> tuple[Any, Any]:
    """Return input as (N, C) and target as (N,), of a dtype that counts all classes: they are compared in it."""
    if isinstance(target, np.ndarray) and target.dtype.itemsize < 4:
        target = target.astype(np.int32)
    return input.reshape((-1, input.shape[-1])) if input.ndim == 2 else input.reshape((1, -1)), target.reshape((-1,))


def padded(input: Any, target: Any, weight: Any, margin: Any) -> tuple[Any, ...]:
    """Return the arguments of code that is compiled for each size: arrays of few sizes, and the sizes that they had."""
    x, y = batch(input, target)
    rows, classes = x.shape
    size = (_larger(rows), _larger(classes))
    wide_x, wide_y = np.zeros(size, x.dtype), np.zeros(size[0], y.dtype)
    wide_x[:rows, :classes], wide_y[:rows] = x, y
    wide_w = None
    if weight is not None:
        wide_w = np.zeros(size[1], weight.dtype)
        wide_w[:classes] = weight
    return wide_x, wide_y, wide_w, float(margin), rows, classes


def _larger(size: int) -> int:
    power = 4
    while power < size:
        power *= 4
    return power


def loss(
    xp: Any, x: Any, y: Any, *, p: int, margin: float, weight: Any, reduction: str, sizes: tuple[int, int] | None = None
) -> Any:
    """Return the loss of a batch in the words of the array API: x (N, C), y (N,), weight (C,) or None.

    sizes: N and C where x, y and weight are padded.
    """
    active, hinge = _hinges(xp, x, y, margin, sizes)
    rows, classes = sizes or x.shape
    terms = hinge if p == 1 else hinge * hinge
    if weight is not None:
        terms = xp.where(active, xp.take(weight, y, axis=0)[:, None] * terms, xp.zeros_like(terms))
    losses = xp.sum(terms, axis=1) / classes
    if reduction == "none":
        return losses
    total = xp.sum(losses)
    return total / rows if reduction == "mean" else total


def gradient(
    xp: Any,
    g: Any,
    x: Any,
    y: Any,
    *,
    p: int,
    margin: float,
    weight: Any,
    reduction: str,
    sizes: tuple[int, int] | None = None,
) -> Any:
    """Return the loss's gradient with respect to x, written out: the array API has no autograd. g: () or (N,)."""
    active, hinge = _hinges(xp, x, y, margin, sizes)
    rows, classes = sizes or x.shape
    factor = xp.broadcast_to(g, y.shape)
    if weight is not None:
        factor = factor * xp.take(weight, y, axis=0)
    factor = factor / classes
    if reduction == "mean":
        factor = factor / max(1, rows)
    slope = xp.ones_like(hinge) if p == 1 else hinge * 2.0
    slopes = xp.where(active, slope * factor[:, None], xp.zeros_like(hinge))
    return xp.where(_own(xp, x, y), -xp.sum(slopes, axis=1)[:, None], slopes)


def _own(xp: Any, x: Any, y: Any) -> Any:
    return y[:, None] == xp.arange(x.shape[1], dtype=y.dtype)[None, :]


def _hinges(xp: Any, x: Any, y: Any, margin: float, sizes: tuple[int, int] | None) -> tuple[Any, Any]:
    """Return which terms count, and max(0, z) of those."""
    z = margin - xp.take_along_axis(x, y[:, None], axis=1) + x
    active = xp.logical_and(z > 0, xp.logical_not(_own(xp, x, y)))
    if sizes:
        row, column = (xp.arange(size, dtype=y.dtype) for size in x.shape)
        active = xp.logical_and(active, xp.logical_and(row[:, None] < sizes[0], column[None, :] < sizes[1]))
    return active, xp.where(active, z, xp.zeros_like(z))
