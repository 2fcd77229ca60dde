"""The loss and its gradient of CPU tensors by `numba_engine`, on the memory where they are; for `torch` alone.

What `triton_loss` is on CUDA: the functions, their arguments and their errors are the same.
"""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from multimargin_reference import numba_engine, vectorized
from multimargin_reference.validation import Arguments


def loss(input: Tensor, target: Tensor, weight: Tensor | None, p: int, margin: float, reduction: str) -> Tensor:
    """Return the loss. Raises RuntimeError for a target out of range."""
    found: Tensor = _evaluate(input, target, weight, p, margin, reduction, None, want_loss=True)[0]
    return found


def loss_and_gradient(
    input: Tensor, target: Tensor, weight: Tensor | None, p: int, margin: float, reduction: str
) -> tuple[Tensor, Tensor]:
    """Return the loss and the gradient for a grad_output of ones. Raises RuntimeError for a target out of range."""
    found: tuple[Tensor, Tensor] = _evaluate(
        input, target, weight, p, margin, reduction, numba_engine.ONE, want_loss=True
    )
    return found


def gradient(
    grad_output: Tensor, input: Tensor, target: Tensor, weight: Tensor | None, p: int, margin: float, reduction: str
) -> Tensor:
    """Return the gradient with respect to input; targets are those that the loss was given, and not checked again."""
    grads = _array(grad_output).reshape(-1)
    found: Tensor = _evaluate(input, target, weight, p, margin, reduction, grads, want_loss=False)[1]
    return found


def multiply(
    gradient_of_one: Tensor,
    grad_output: Tensor,
    input: Tensor,
    target: Tensor,
    weight: Tensor | None,
    p: int,
    margin: float,
    reduction: str,
) -> None:
    """Make a gradient for grad_output = 1 that of another grad_output, in its place; not for the reduction none."""
    if float(grad_output) != 1.0:
        gradient_of_one.copy_(gradient(grad_output, input, target, weight, p, margin, reduction))


def _evaluate(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None,
    p: int,
    margin: float,
    reduction: str,
    grads: NDArray[Any] | None,
    *,
    want_loss: bool,
) -> Any:
    """Return the loss and the gradient, None for one that is not asked for."""
    x, y = _array(input), _array(target)
    rows = x if x.ndim == 2 else x.reshape(1, -1)
    call = Arguments(
        input=rows,
        target=y.reshape(-1),
        p=p,
        margin=margin,
        weight=None if weight is None else _array(weight),
        reduction=reduction,
        batched=x.ndim == 2,
        output_shape=y.shape if reduction == "none" else (),
    )
    wrong = numba_engine.first_outside(call.target, rows.shape[1]) if want_loss else None
    if wrong is not None:
        raise RuntimeError(f"target[{wrong}]={call.target[wrong]}, but should be in [0, {rows.shape[1]})")
    results = numba_engine.evaluate(call, grads, loss=want_loss) or vectorized.evaluate(call, grads, loss=want_loss)
    found, slope = results
    return None if found is None else _tensor(found), None if slope is None else _tensor(slope.reshape(x.shape))


def _array(tensor: Tensor) -> NDArray[Any]:
    """Return the memory of a tensor as an array."""
    tensor = tensor.detach()
    if tensor.dtype != torch.bfloat16:
        return tensor.numpy()
    return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)


def _tensor(array: NDArray[Any]) -> Tensor:
    """Return the memory of an array as a tensor."""
    if array.dtype != ml_dtypes.bfloat16:
        return torch.from_numpy(array)
    return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
