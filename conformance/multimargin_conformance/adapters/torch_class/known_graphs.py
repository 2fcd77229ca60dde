"""Known faults of autograd, transforms, tracing and higher derivatives: for CLASS-5 to CLASS-9."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from multimargin_conformance.adapters.torch_class.known_faults import fault
from multimargin_reference.torch import MultiMarginLoss, multi_margin_loss


def slope(saved: Any, options: Any, g: Any) -> Any:
    """Return the right gradient with respect to input, by the drop-in; saved: input, target and weight."""
    logits, target, weight = saved
    with torch.enable_grad():
        leaf = logits.detach().requires_grad_()
        return torch.autograd.grad(multi_margin_loss(leaf, target, weight=weight, **options), leaf, g)[0]


def constant(input: Tensor, target: Tensor, weight: Tensor | None, options: dict[str, Any]) -> Tensor:
    """Return the right loss without a graph."""
    with torch.no_grad():
        return multi_margin_loss(input, target, weight=weight, **options)


class Saved(torch.autograd.Function):
    """A right function of the usual form, that the faults below change."""

    @staticmethod
    def forward(ctx: Any, input: Any, target: Any, weight: Any, options: Any) -> Any:
        ctx.save_for_backward(input, target, weight)
        ctx.options = options
        return constant(input, target, weight, options)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Any) -> Any:
        return slope(ctx.saved_tensors, ctx.options, g), None, None, None


class UpstreamIgnored(Saved):
    """backward returns the gradient for grad_output = 1."""

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return slope(ctx.saved_tensors, ctx.options, torch.ones_like(g)), None, None, None


class UpstreamSummed(Saved):
    """backward multiplies by the sum of grad_output."""

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return slope(ctx.saved_tensors, ctx.options, g.sum().expand_as(g)), None, None, None


class NoneWhenInactive(Saved):
    """backward returns no gradient where the gradient is 0."""

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        gradient = slope(ctx.saved_tensors, ctx.options, g)
        return gradient if bool(gradient.any()) else None, None, None, None


class OneBackward(Saved):
    """The second backward pass finds its tensors gone, whatever retain_graph says."""

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        options = ctx.options
        del ctx.options
        return slope(ctx.saved_tensors, options, g), None, None, None


class KeptOutside(Saved):
    """The arguments are kept as attributes: a change in place goes unnoticed and is used."""

    @staticmethod
    def forward(ctx: Any, input: Any, target: Any, weight: Any, options: Any) -> Any:
        ctx.kept = (input, target, weight), options
        return constant(input, target, weight, options)

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        saved, options = ctx.kept
        return slope(saved, options, g), None, None, None


class TargetKeptOutside(Saved):
    """The target alone is kept as an attribute (PyTorch 193102)."""

    @staticmethod
    def forward(ctx: Any, input: Any, target: Any, weight: Any, options: Any) -> Any:
        ctx.save_for_backward(input, weight)
        ctx.target, ctx.options = target, options
        return constant(input, target, weight, options)

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        logits, weight = ctx.saved_tensors
        return slope((logits, ctx.target, weight), ctx.options, g), None, None, None


class LastCallOnly(Saved):
    """The arguments are kept by the class, so that backward uses those of the last call."""

    kept: Any = None

    @staticmethod
    def forward(ctx: Any, input: Any, target: Any, weight: Any, options: Any) -> Any:
        del ctx
        LastCallOnly.kept = (input.detach(), target, weight), options
        return constant(input, target, weight, options)

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        del ctx
        saved, options = LastCallOnly.kept
        return slope(saved, options, g), None, None, None


class ContiguousUpstream(Saved):
    """backward reads grad_output's memory as if it had no strides."""

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        memory = torch.zeros(max(1, g.numel()), dtype=g.dtype, device=g.device)
        flat = g.as_strided((g.untyped_storage().nbytes() // g.element_size() - g.storage_offset(),), (1,))
        memory[: len(flat)] = flat[: len(memory)]
        return slope(ctx.saved_tensors, ctx.options, memory.reshape(g.shape)), None, None, None


class ZeroSecond(Saved):
    """The second derivative is 0, in silence: the gradient's graph is one of zeros."""

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return (
            slope(ctx.saved_tensors, ctx.options, g).detach() + 0 * ctx.saved_tensors[0] + 0 * g.sum(),
            None,
            None,
            None,
        )


class ZeroTangent(Saved):
    """Forward-mode differentiation gives 0."""

    @staticmethod
    def forward(input: Any, target: Any, weight: Any, options: Any) -> Any:  # type: ignore[override]
        return constant(input, target, weight, options)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*inputs[:3])
        ctx.options = inputs[3]
        ctx.zero = torch.zeros_like(output)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        del tangents
        return ctx.zero


def module(function: type[Saved]) -> Any:
    """Return a class whose call is an autograd.Function."""

    class Module(MultiMarginLoss):
        def forward(self, input: Tensor, target: Tensor) -> Any:
            options = {"p": self.p, "margin": self.margin, "reduction": self.reduction}
            return function.apply(input, target, self.weight, options)  # type: ignore[no-untyped-call]

    Module.__doc__ = function.__doc__
    return Module


class Detached(MultiMarginLoss):
    """The result has no graph."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return super().forward(input, target).detach()


class AlwaysGraph(MultiMarginLoss):
    """A graph is recorded under torch.no_grad() too: evaluation fills the memory."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        with torch.enable_grad():
            return super().forward(input, target)


class AlwaysRequires(MultiMarginLoss):
    """The input is made to require its gradient."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return super().forward(input + torch.zeros_like(input, requires_grad=True), target)


class OtherWhenRecomputed(MultiMarginLoss):
    """Every second call scales the gradient: what checkpointing computes again differs."""

    calls = 0

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        self.calls += 1
        loss = super().forward(input, target)
        return loss if self.calls % 2 else loss * 2 - loss.detach()


class AutocastInDtype(MultiMarginLoss):
    """Under autocast the loss is computed in bfloat16."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        if not torch.is_autocast_enabled("cpu"):
            return super().forward(input, target)
        return super().forward(input.bfloat16().float() + 0.0, target).bfloat16()


class MetaOne(MultiMarginLoss):
    """On meta tensors 'none' has shape (1,) for a 0-d target (PyTorch's decomposition)."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        loss = super().forward(input, target)
        return loss.reshape(1) if input.is_meta and self.reduction == "none" and target.dim() == 0 else loss


class MetaFloat32(MultiMarginLoss):
    """On meta tensors the result is float32."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        loss = super().forward(input, target)
        return loss.float() if input.is_meta else loss


class LooksAtValues(MultiMarginLoss):
    """The call looks at the targets in Python, which meta and fake tensors cannot answer."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        if int(target.max()) >= input.shape[-1]:
            raise RuntimeError("target is out of range")
        return super().forward(input, target)


def decomposed(input: Tensor, target: Tensor, self: Any, *, strict: bool = True) -> Tensor:
    """Return the loss by differentiable operators; unless strict, the slope at the kink is 1 as in PyTorch's own."""
    rows, column = input.reshape(-1, input.shape[-1]), target.reshape(-1, 1)
    z = self.margin - rows.gather(1, column) + rows
    z = torch.where(z > 0, z, 0) if strict else torch.relu(z) + (z - z.detach()) * (z == 0)
    terms = (z**self.p).scatter(1, column, 0.0)
    if self.weight is not None:
        terms = terms * self.weight[column]
    losses = terms.mean(1).reshape(target.shape)
    reduced: Tensor = REDUCE[self.reduction](losses)
    return reduced


REDUCE: dict[str, Callable[[Tensor], Tensor]] = {"none": lambda losses: losses, "mean": torch.mean, "sum": torch.sum}


class CompiledKink(MultiMarginLoss):
    """Where it is traced, a term at the kink has a slope (PyTorch's decomposition)."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        if torch.compiler.is_compiling():
            return decomposed(input, target, self, strict=False)
        return super().forward(input, target)


class CompiledWraps(MultiMarginLoss):
    """Where it is traced, a negative target counts from the end (ONNX)."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        traced = torch.compiler.is_compiling()
        return super().forward(input, target % input.shape[-1] if traced else target)


class CompiledOne(MultiMarginLoss):
    """Where it is traced, 'none' has shape (1,) for a 0-d target."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        loss = super().forward(input, target)
        one = torch.compiler.is_compiling() and self.reduction == "none" and target.dim() == 0
        return loss.reshape(1) if one else loss


class CompiledDetached(MultiMarginLoss):
    """Where it is traced, the result has no graph."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        loss = super().forward(input, target)
        return loss.detach() if torch.compiler.is_compiling() else loss


class CompiledCountsTarget(MultiMarginLoss):
    """Where it is traced, the target's own term is counted (ONNX)."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        loss = super().forward(input, target)
        return loss + self.margin**self.p / input.shape[-1] if torch.compiler.is_compiling() else loss


class CompiledUnweighted(MultiMarginLoss):
    """Where it is traced, the weights are left out."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        weight = None if torch.compiler.is_compiling() else self.weight
        return multi_margin_loss(input, target, self.p, self.margin, weight, reduction=self.reduction)


class InferenceUnweighted(MultiMarginLoss):
    """The path for inference leaves the weights out."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        weight = self.weight if torch.is_grad_enabled() else None
        return multi_margin_loss(input, target, self.p, self.margin, weight, reduction=self.reduction)


class WeightDetached(MultiMarginLoss):
    """A weight that requires its gradient is detached in silence, and never learnt."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        weight = None if self.weight is None else self.weight.detach()
        return multi_margin_loss(input, target, self.p, self.margin, weight, reduction=self.reduction)


class SecondDerivativeHalved(MultiMarginLoss):
    """The second derivative is half of what it should be."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        half = input + (input.detach() - input) / 2  # the same value, half of the tangent
        return 2 * decomposed(half, target, self) - decomposed(input, target, self).detach()


FAULTS = (
    *(
        fault(name, "CLASS-5", module(function))
        for name, function in {
            "upstream-ignored": UpstreamIgnored,
            "upstream-summed": UpstreamSummed,
            "none-when-inactive": NoneWhenInactive,
            "one-backward": OneBackward,
            "arguments-kept-outside": KeptOutside,
            "target-kept-outside": TargetKeptOutside,
            "last-call-only": LastCallOnly,
            "contiguous-upstream": ContiguousUpstream,
        }.items()
    ),
    fault("detached", "CLASS-5", Detached),
    fault("graph-under-no-grad", "CLASS-5", AlwaysGraph),
    fault("graph-for-constants", "CLASS-5", AlwaysRequires),
    fault("inference-unweighted", "CLASS-5", InferenceUnweighted),
    fault("no-vmap-rule", "CLASS-6", module(Saved)),
    fault("other-when-recomputed", "CLASS-6", OtherWhenRecomputed),
    fault("autocast-in-bfloat16", "CLASS-6", AutocastInDtype),
    fault("meta-shape-one", "CLASS-7", MetaOne),
    fault("meta-float32", "CLASS-7", MetaFloat32),
    fault("looks-at-values", "CLASS-7 CLASS-8", LooksAtValues),
    fault("compiled-kink", "CLASS-8", CompiledKink),
    fault("compiled-wraps-target", "CLASS-8", CompiledWraps),
    fault("compiled-shape-one", "CLASS-8", CompiledOne),
    fault("compiled-detached", "CLASS-8", CompiledDetached),
    fault("compiled-counts-target", "CLASS-8", CompiledCountsTarget),
    fault("compiled-unweighted", "CLASS-8", CompiledUnweighted),
    fault("second-derivative-zero", "CLASS-9", module(ZeroSecond)),
    fault("zero-tangent", "CLASS-9", module(ZeroTangent)),
    fault("second-derivative-halved", "CLASS-9", SecondDerivativeHalved),
    fault("weight-detached", "CLASS-9", WeightDetached),
)
