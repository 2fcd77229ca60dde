"""Argument validation shared by every implementation in this package (SPEC.md, group REJECT).

Errors name the argument, its value or shape, and what was expected.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from multimargin_reference.formats import DTYPES

REDUCTIONS = ("none", "mean", "sum")


@dataclass(frozen=True)
class Arguments:
    """Validated arguments, as a batch: input (N, C), target (N,) int64, weight (C,) or None."""

    input: NDArray[Any]
    target: NDArray[np.int64]
    p: int
    margin: float
    weight: NDArray[Any] | None
    reduction: str
    batched: bool
    output_shape: tuple[int, ...]  # of the loss: () for mean and sum, the target's shape for none

    @property
    def divisor(self) -> int:
        """What a sum of terms is divided by: C, or N * C for mean (at least 1)."""
        rows, classes = int(self.input.shape[0]), int(self.input.shape[1])
        return max(1, rows * classes) if self.reduction == "mean" else classes


def validate(
    input: ArrayLike, target: ArrayLike, p: Any, margin: Any, weight: ArrayLike | None, reduction: Any
) -> Arguments:
    """Check a call against SPEC.md's REJECT clauses and return it as a batch.

    input: (N, C) or (C,), one of float16, bfloat16, float32, float64 (other array-likes of floats become float64).
    target: (N,) or (), int64. weight: (C,), input's dtype. margin: any real number.
    Raises TypeError for a wrong type or dtype, ValueError for a wrong value or shape, IndexError for a target outside
    [0, C).
    """
    x, y = as_float_array(input, "input"), np.asarray(target)
    _check_scalars(p, margin, reduction)
    _check_shapes(x, y)
    if y.dtype != np.int64:
        raise TypeError(f"target.dtype={y.dtype}, but should be int64")
    classes = x.shape[-1]
    outside = np.flatnonzero((y.reshape(-1) < 0) | (y.reshape(-1) >= classes))
    if outside.size:
        where = int(outside[0])
        raise IndexError(f"target[{where}]={int(y.reshape(-1)[where])}, but should be in [0, {classes})")
    w = None if weight is None else _check_weight(weight, x)
    return Arguments(
        input=x.reshape(-1, classes) if x.ndim == 2 else x.reshape(1, classes),
        target=y.reshape(-1),
        p=int(p),
        margin=float(margin),
        weight=w,
        reduction=reduction,
        batched=x.ndim == 2,
        output_shape=y.shape if reduction == "none" else (),
    )


def validate_grad_output(grad_output: ArrayLike, arguments: Arguments) -> NDArray[Any]:
    """Check grad_output and return one factor a row, (N,), without a copy where it was one already.

    grad_output: a scalar for mean and sum, the loss's shape for none.
    Raises TypeError for a dtype that is not input's and ValueError for a wrong shape.
    """
    g = np.asarray(grad_output)
    if g.dtype.kind in "iuf" and g.dtype != arguments.input.dtype and not isinstance(grad_output, np.ndarray):
        g = g.astype(arguments.input.dtype)  # Python numbers take input's dtype, as everywhere in NumPy
    if g.dtype != arguments.input.dtype:
        raise TypeError(f"grad_output.dtype={g.dtype}, but should be input's {arguments.input.dtype}")
    if g.shape != arguments.output_shape:
        raise ValueError(f"grad_output.shape={g.shape}, but should be the loss's {arguments.output_shape}")
    return np.broadcast_to(g.reshape(-1), arguments.target.shape)


def as_float_array(values: ArrayLike, name: str) -> NDArray[Any]:
    """Return an array of one of the four dtypes; plain Python numbers become float64. TypeError otherwise."""
    array = np.asarray(values)
    if not isinstance(values, np.ndarray | np.generic) and array.dtype.kind in "iu":
        array = array.astype(np.float64)
    if array.dtype not in DTYPES.values():
        raise TypeError(f"{name}.dtype={array.dtype}, but should be one of {', '.join(DTYPES)}")
    return array


def _check_scalars(p: Any, margin: Any, reduction: Any) -> None:
    if not isinstance(p, int | float | np.number) or p not in (1, 2):
        raise ValueError(f"p={p!r}, but should be 1 or 2")
    if not isinstance(margin, int | float | np.number):
        raise TypeError(f"margin={margin!r}, but should be a real number")
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction={reduction!r}, but should be 'none', 'mean' or 'sum'")


def _check_shapes(x: NDArray[Any], y: NDArray[Any]) -> None:
    if x.ndim not in (1, 2):
        raise ValueError(f"input.shape={x.shape}, but should be (N, C) or (C,)")
    if x.shape[-1] == 0:
        raise ValueError(f"input.shape={x.shape}, but should have at least one class")
    expected = x.shape[:-1]
    if y.shape != expected:
        raise ValueError(f"target.shape={y.shape}, but should be {expected} for input.shape={x.shape}")


def _check_weight(weight: ArrayLike, x: NDArray[Any]) -> NDArray[Any]:
    w = as_float_array(weight, "weight")
    if not isinstance(weight, np.ndarray):
        w = w.astype(x.dtype)
    if w.shape != x.shape[-1:]:
        raise ValueError(f"weight.shape={w.shape}, but should be {x.shape[-1:]}")
    if w.dtype != x.dtype:
        raise TypeError(f"weight.dtype={w.dtype}, but should be input's {x.dtype}")
    return w
