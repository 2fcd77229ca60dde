"""The loss and its gradient as PyTorch operators, `multimargin::loss` and `multimargin::gradient`, for `torch` alone.

torch.compile puts them into its graphs as they are, so that compiled code has the kernels that eager code has, and
looks at the values of targets in each call. Shapes and dtypes are checked before, when the graph is made.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad


@torch.library.custom_op("multimargin::loss", mutates_args=())
def loss(input: Tensor, target: Tensor, weight: Tensor | None, p: int, margin: float, reduction: str) -> Tensor:
    """Return the loss, () or, for the reduction none, of target's shape.

    Raises RuntimeError for a target out of range, and NotImplementedError inside forward_ad.dual_level(): a graph of
    torch.compile leaves tangents out in silence (CLASS-9), whatever it is of.
    """
    from multimargin_reference import torch as drop_in

    if getattr(forward_ad, "_current_level", -1) >= 0:
        raise NotImplementedError("multi_margin_loss has no forward-mode derivative: call it outside of dual_level()")

    return drop_in.loss_of_values(input, target, weight, p, margin, reduction)


@loss.register_fake
def _(input: Tensor, target: Tensor, weight: Any, p: int, margin: float, reduction: str) -> Tensor:
    del weight, p, margin
    return input.new_empty(target.shape if reduction == "none" else ())


@torch.library.custom_op("multimargin::gradient", mutates_args=())
def gradient(
    grad_output: Tensor, input: Tensor, target: Tensor, weight: Tensor | None, p: int, margin: float, reduction: str
) -> Tensor:
    """Return the gradient with respect to input, of its shape and dtype, for the targets that the loss was given."""
    from multimargin_reference import torch as drop_in

    return drop_in.gradient_of_values(grad_output, input, target, weight, p, margin, reduction)


@gradient.register_fake
def _(grad_output: Tensor, input: Tensor, target: Tensor, weight: Any, p: int, margin: float, reduction: str) -> Tensor:
    del grad_output, target, weight, p, margin, reduction
    return input.new_empty(input.shape)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    del output
    ctx.save_for_backward(*inputs[:3])
    ctx.options = inputs[3:]


def _backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
    return gradient(grad_output, *ctx.saved_tensors, *ctx.options), None, None, None, None, None


def _keep_nothing(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    del ctx, inputs, output


def refuse_second(ctx: Any, *grad_outputs: Any) -> Any:
    """Raise NotImplementedError: the gradient has no derivative here."""
    del ctx, grad_outputs
    raise NotImplementedError("multi_margin_loss can be differentiated only once")


loss.register_autograd(_backward, setup_context=_keep)
gradient.register_autograd(refuse_second, setup_context=_keep_nothing)
