"""Legal variants of the class and its integration: other constructions that CLASS must accept."""

from __future__ import annotations

import warnings
from functools import cache
from types import SimpleNamespace
from typing import Any

import torch
import torch.autograd.forward_ad as forward_ad
from torch import Tensor
from torch.autograd.function import once_differentiable

from multimargin_conformance.adapters.torch import wrapped
from multimargin_conformance.adapters.torch_class.known_graphs import decomposed
from multimargin_reference.known.catalogue import Variant
from multimargin_reference.torch import MultiMarginLoss, multi_margin_loss


def checked(self: Any, input: Tensor, target: Tensor) -> None:
    """Raise as the drop-in does for wrong arguments."""
    weight = None if self.weight is None else self.weight.detach()
    multi_margin_loss(input.detach(), target, self.p, self.margin, weight, reduction=self.reduction)


def refuse_weight(self: Any) -> None:
    """Raise RuntimeError for a weight that requires its gradient, which would be None."""
    if self.weight is not None and self.weight.requires_grad:
        raise RuntimeError("weight has no gradient")


class Composite(MultiMarginLoss):
    """The loss by differentiable operators, with the right kink: every higher derivative works."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        checked(self, input, target)
        return decomposed(input, target, self)


class OwnConstructor(torch.nn.Module):
    """A module of its own: reduction checked by the constructor, a FutureWarning for the flags, a persistent buffer."""

    def __init__(
        self,
        p: int = 1,
        margin: float = 1.0,
        weight: Any = None,
        size_average: Any = None,
        reduce: Any = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__()
        if size_average is not None or reduce is not None:
            warnings.warn("use reduction instead of size_average and reduce", FutureWarning, stacklevel=2)
            reduction = "none" if reduce is False else "sum" if size_average is False else "mean"
        if p not in (1, 2) or reduction not in ("none", "mean", "sum") or (weight is not None and weight.dim() != 1):
            raise AssertionError("p, reduction or weight is wrong")
        self.p, self.margin, self.reduction = p, margin, reduction
        self.register_buffer("weight", None if weight is None else weight.clone(), persistent=True)

    def forward(self, input: Tensor, target: Tensor) -> Any:
        weight: Any = self.weight
        return multi_margin_loss(input, target, self.p, self.margin, weight, reduction=self.reduction)


class Once(torch.autograd.Function):
    """A function with a gradient written out, that says by once_differentiable that it has no second one."""

    generate_vmap_rule = True

    @staticmethod
    def forward(input: Any, target: Any, weight: Any, p: Any, margin: Any, reduction: Any) -> Any:
        return decomposed(input, target, SimpleNamespace(p=p, margin=margin, weight=weight, reduction=reduction))

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        del output
        ctx.save_for_backward(*inputs[:3])
        ctx.options = inputs[3:]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Any) -> Any:
        return gradient(g, *ctx.saved_tensors, *ctx.options), None, None, None, None, None


def gradient(g: Any, input: Any, target: Any, weight: Any, p: int, margin: float, reduction: str) -> Any:
    """Return the gradient with respect to input."""
    rows, column = input.reshape(-1, input.shape[-1]), target.reshape(-1, 1)
    z = rows - (rows.gather(1, column) - margin)
    slopes = torch.where(z > 0, 2 * z if p == 2 else 1.0, 0.0).scatter(1, column, 0.0)
    slopes = slopes.scatter(1, column, -slopes.sum(1, keepdim=True))
    scale = g.reshape(-1, 1) / (rows.numel() if reduction == "mean" else rows.shape[1])
    scale = scale if weight is None else scale * weight[column]
    return (slopes * scale).to(input.dtype).reshape(input.shape)


class OnceDifferentiable(MultiMarginLoss):
    """A module over a torch.autograd.Function with once_differentiable."""

    def forward(self, input: Tensor, target: Tensor) -> Any:
        refuse_weight(self)
        checked(self, input, target)
        return Once.apply(input, target, self.weight, self.p, self.margin, self.reduction)  # type: ignore[no-untyped-call]


def _custom(input: Tensor, target: Tensor, weight: Tensor | None, p: int, margin: float, reduction: str) -> Tensor:
    return multi_margin_loss(input, target, p, margin, weight, reduction=reduction).clone()


def _custom_fake(input: Tensor, target: Tensor, *options: Any) -> Tensor:
    return input.new_empty(target.shape if options[-1] == "none" else ())


def _custom_gradient(
    g: Tensor, input: Tensor, target: Tensor, weight: Tensor | None, p: int, margin: float, reduction: str
) -> Tensor:
    made: Tensor = gradient(g, input, target, weight, p, margin, reduction)
    return made.contiguous()


@cache
def custom_op() -> Any:
    """Register the operator and its gradient with PyTorch, once."""
    loss = torch.library.custom_op(
        "multimargin_known::loss",
        _custom,
        mutates_args=(),
        schema="(Tensor input, Tensor target, Tensor? weight, int p, float margin, str reduction) -> Tensor",
    )
    slope = torch.library.custom_op(
        "multimargin_known::gradient",
        _custom_gradient,
        mutates_args=(),
        schema="(Tensor g, Tensor input, Tensor target, Tensor? weight, int p, float margin, str reduction) -> Tensor",
    )
    loss.register_fake(_custom_fake)
    slope.register_fake(lambda _g, logits, *_rest: torch.empty_like(logits))

    def keep(ctx: Any, inputs: Any, output: Any) -> None:
        del output
        ctx.save_for_backward(*inputs[:3])
        ctx.options = inputs[3:]

    def backward(ctx: Any, g: Any) -> Any:
        return slope(g, *ctx.saved_tensors, *ctx.options), None, None, None, None, None

    loss.register_autograd(backward, setup_context=keep)
    return loss


class CustomOperator(MultiMarginLoss):
    """A module over an operator registered by torch.library, as a kernel of one's own is; it has no rule for vmap."""

    def forward(self, input: Tensor, target: Tensor) -> Any:
        refuse_weight(self)
        if forward_ad._current_level >= 0 and forward_ad.unpack_dual(input).tangent is not None:  # type: ignore[no-untyped-call]
            raise NotImplementedError("no forward-mode differentiation: torch.func.jvp would give 0")
        return OPERATOR(input, target, self.weight, self.p, float(self.margin), str(self.reduction))


OPERATOR = custom_op()


def function(input: Tensor, target: Tensor, *, p: Any, margin: Any, weight: Any, reduction: Any) -> Tensor:
    """A function without a class, by differentiable operators."""
    module = SimpleNamespace(p=p, margin=margin, weight=weight, reduction=reduction)
    checked(module, input, target)
    return decomposed(input, target, module)


def variant(name: str, made: Any) -> Variant:
    """Return a class or function over tensors as a variant; its docstring is the sentence."""
    return Variant(name, (made.__doc__ or "").strip(), lambda: wrapped(made))


VARIANTS = (
    variant("drop-in", MultiMarginLoss),
    variant("composite", Composite),
    variant("own-constructor", OwnConstructor),
    variant("once-differentiable", OnceDifferentiable),
    variant("custom-operator", CustomOperator),
    variant("function-only", function),
)
