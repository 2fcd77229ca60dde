"""Drop-in torch function and module with the gradient written out; imported only on request, needs torch 2.8 or later.

The arithmetic is `vectorized`'s: the threshold x[y] - margin as an error-free pair, so that z > 0 is decided exactly;
halves computed in float32; rows' sums weighted and scaled in float64; one rounding at the end.

On CUDA, where Triton is installed, `triton_loss` computes the same in one pass over input; on the CPU `numba_loss`
does, where Numba is. In graphs of torch.compile both are operators, `torch_operators`. Plain tensor operations are left
for other devices, and for what sees operations only: vmap, other transforms, tracing, exporting, fake tensors. Small
batches are handed over to ATen (`aten`), on CUDA halves too, in float32: it is right about them, though where rounding
may decide the sign of z it does.
"""

from __future__ import annotations

import importlib
import warnings
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from multimargin_reference import aten, torch_operators
from multimargin_reference.aten import FEW, NUMBERS, PLAIN, POWERS, is_in_dynamo, is_transforming
from multimargin_reference.aten import REDUCTIONS as ATENS_REDUCTIONS
from multimargin_reference.aten import loss as atens_loss
from multimargin_reference.engine import engine
from multimargin_reference.module import check_constructor, reduction_from_flags
from multimargin_reference.validation import REDUCTIONS

COMPUTE_DTYPES = {
    torch.float16: torch.float32,
    torch.bfloat16: torch.float32,
    torch.float32: torch.float32,
    torch.float64: torch.float64,
}
ONE = 1.0  # the margin where none is given, known by its identity: a comparison of numbers takes longer


def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = ONE,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return the multi-class margin loss, as torch.nn.functional.multi_margin_loss does, differentiable by input once.

    input: (N, C) or (C,), float16, bfloat16, float32 or float64; target: (N,) or (), int64; weight: (C,), input's
    dtype. The result has input's dtype and the shape () (mean, sum) or target's (none); an empty batch gives 0. Under
    autocast, halves become float32 first. On CUDA the device asserts that targets are in range, as PyTorch's operator
    does; with the environment variable MULTIMARGIN_CHECK_TARGETS=1 each call waits for the device and raises an error.
    Raises ValueError for p, reduction or weight's rank, TypeError for what is not a tensor or a number, RuntimeError
    for any other wrong shape, dtype or value, and NotImplementedError for a second derivative.
    """
    if (  # ATen does these calls as well, and is the first to be done; each look here takes a fiftieth of what one does
        not is_in_dynamo()
        and size_average is None
        and reduce is None
        and type(input) in PLAIN
        and input.element_size() > 2  # no half, said in half the time of a dtype; ATen refuses what is no float
        and type(count := input.numel()) is int  # where operations are traced it is a tensor
        and (0 < count < FEW if (on_cpu := input.is_cpu) else aten.are_few_on_cuda(input, target))
        and p in POWERS
        and (margin is ONE or type(margin) in NUMBERS)
        and (weight is None or (type(weight) in PLAIN and weight.dim() == 1))
        and not (is_transforming() or forward_ad._current_level >= 0)
    ):
        try:  # a number takes ATen longer than a look does, most so a float
            to = ATENS_REDUCTIONS[reduction]  # always given: of its Python binding the default is none, not mean
            atens: Tensor
            if margin is not ONE:
                atens = atens_loss(input, target, p, margin, weight, to)
            elif p == 1:
                atens = atens_loss(input, target, weight=weight, reduction=to)
            else:
                atens = atens_loss(input, target, p, 1, weight, to)
        except (RuntimeError, TypeError, KeyError):
            pass  # what it refuses is refused below, in more words
        else:
            if not on_cpu:
                aten.assert_targets(input, target)
            return atens
    return _checked(input, target, p, margin, weight, reduction_from_flags(size_average, reduce, reduction))


def _checked(input: Tensor, target: Tensor, p: int, margin: float, weight: Tensor | None, reduction: str) -> Tensor:
    """Return the loss of any call, or raise what says why there is none."""
    _check_types(input, target, weight, margin)
    logits, weight = _autocast(input, weight)
    check_constructor(p, None if weight is None else weight.dim())
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction={reduction!r}, but should be 'none', 'mean' or 'sum'")
    _check_tensors(logits, target, weight)
    options = int(p), float(margin), reduction
    loss: Tensor
    if _is_compiled():
        loss = torch_operators.loss(logits, target, weight, *options)
    elif aten.are_few_halves(logits, target, weight):
        loss = aten.loss_of_halves(logits, target, weight, *options)
    elif _has_kernels(logits, target, weight):
        if logits.requires_grad and torch.is_grad_enabled():
            loss = _FusedLoss.apply(logits, target, weight, *options)  # type: ignore[no-untyped-call]
        else:
            loss = _kernels(logits.device).loss(logits, target, weight, *options)
    else:
        _check_range(target, logits.shape[-1] if logits.dim() else 1)
        loss = _Loss.apply(logits, target, weight, *options)  # type: ignore[no-untyped-call]
    return loss


class MultiMarginLoss(torch.nn.Module):
    """The multi-class margin loss with torch.nn.MultiMarginLoss's constructor; `weight` is a buffer.

    Called with (input, target); shapes, dtypes and errors of the call as in `multi_margin_loss`.
    Raises ValueError for a p other than 1 and 2 or a weight that is not 1-D.
    """

    __constants__ = ("p", "margin", "reduction")
    weight: Tensor | None

    def __init__(
        self,
        p: int = 1,
        margin: float = ONE,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__()
        check_constructor(p, None if weight is None else weight.dim())
        self.p = p
        self.margin = margin
        self.reduction = reduction_from_flags(size_average, reduce, reduction)
        self.register_buffer("weight", weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss."""
        buffers = self._buffers  # looked at first: a module's own look for `weight` takes longer than all the rest
        weight = buffers["weight"] if "weight" in buffers else self.weight  # noqa: SIM401
        return multi_margin_loss(input, target, self.p, self.margin, weight, None, None, self.reduction)


class _Loss(torch.autograd.Function):
    """The loss; its backward is `_Gradient`, a function of its own, so that a second derivative is refused by name."""

    generate_vmap_rule = True

    @staticmethod
    def forward(input: Tensor, target: Tensor, weight: Tensor | None, p: int, margin: float, reduction: str) -> Tensor:
        hinge = _hinge(input, target, margin)
        sums = (hinge if p == 1 else hinge * hinge).sum(1).double()
        if weight is not None:  # a row without an active term gives 0 whatever its weight
            sums = torch.where(sums > 0, sums * weight.double()[target.reshape(-1)], 0)
        total = sums.reshape(target.shape) if reduction == "none" else sums.sum()
        return (total / _divisor(hinge, reduction)).to(input.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:  # noqa: ARG004
        ctx.save_for_backward(*inputs[:3])
        ctx.options = inputs[3:]

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> Any:
        gradient = _Gradient.apply(grad_output, *ctx.saved_tensors, *ctx.options)  # type: ignore[no-untyped-call]
        return gradient, None, None, None, None, None


class _FusedLoss(torch.autograd.Function):
    """The loss by the kernels, which make the gradient for grad_output = 1 in the same pass.

    For the reduction none the gradient is left to `_Gradient`: there grad_output is rarely 1 in every row.
    """

    @staticmethod
    def forward(
        ctx: Any, input: Tensor, target: Tensor, weight: Tensor | None, p: int, margin: float, reduction: str
    ) -> Tensor:
        ctx.save_for_backward(input, target, weight)
        ctx.options, ctx.gradient = (p, margin, reduction), None
        loss: Tensor
        if reduction != "none":
            loss, ctx.gradient = _kernels(input.device).loss_and_gradient(input, target, weight, p, margin, reduction)
        else:
            loss = _kernels(input.device).loss(input, target, weight, p, margin, reduction)
        return loss

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> Any:
        tensors, gradient = ctx.saved_tensors, ctx.gradient
        ctx.gradient = None  # a second backward computes it again; and what is kept here would be copied by autograd
        if gradient is None or torch.is_grad_enabled() or not aten.is_plain(grad_output, gradient.device):
            gradient = _Gradient.apply(grad_output, *tensors, *ctx.options)  # type: ignore[no-untyped-call]
        else:
            _kernels(gradient.device).multiply(gradient, grad_output, *tensors, *ctx.options)
        return gradient, None, None, None, None, None


class _Gradient(torch.autograd.Function):
    """The gradient with respect to input, of input's shape and dtype."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        grad_output: Tensor,
        input: Tensor,
        target: Tensor,
        weight: Tensor | None,
        p: int,
        margin: float,
        reduction: str,
    ) -> Tensor:
        if _has_kernels(input, target, weight, grad_output):
            found: Tensor = _kernels(input.device).gradient(grad_output, input, target, weight, p, margin, reduction)
            return found
        hinge = _hinge(input, target, margin)
        column = target.reshape(-1, 1)
        active = hinge > 0
        slopes = active if p == 1 else hinge
        scale = grad_output.double().reshape(-1, 1)
        if weight is not None:
            scale = scale * weight.double()[column]
        factor = scale * p / _divisor(hinge, reduction)
        sums = slopes.sum(1, keepdim=True).double()
        at_target = torch.where(sums > 0, -sums * factor, 0)
        # Selected, not multiplied by 0: an inactive element is 0 whatever its factor.
        gradient = torch.where(active, slopes * factor.to(hinge.dtype), 0)
        return gradient.scatter(1, column, at_target.to(hinge.dtype)).to(input.dtype).reshape(input.shape)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        pass

    backward = staticmethod(torch_operators.refuse_second)


def loss_of_values(
    input: Tensor, target: Tensor, weight: Tensor | None, p: int, margin: float, reduction: str
) -> Tensor:
    """Return the loss of a call whose shapes and dtypes were checked, by what computes on the device."""
    loss: Tensor
    if _has_kernels(input, target, weight):
        loss = _kernels(input.device).loss(input, target, weight, p, margin, reduction)
    else:
        _check_range(target, input.shape[-1] if input.dim() else 1)
        loss = _Loss.forward(input, target, weight, p, margin, reduction)
    return loss


def gradient_of_values(
    grad_output: Tensor, input: Tensor, target: Tensor, weight: Tensor | None, p: int, margin: float, reduction: str
) -> Tensor:
    """Return the gradient with respect to input of a call whose loss was computed."""
    return _Gradient.forward(grad_output, input, target, weight, p, margin, reduction)


def _is_compiled() -> bool:
    """Return whether torch.compile is making a graph, in which operators serve: not in a transform or an export."""
    return (
        torch.compiler.is_dynamo_compiling()
        and not torch.compiler._is_exporting_flag  # PyTorch 2.8 traces is_exporting() as True
        and not torch._C._are_functorch_transforms_active()
    )


def _has_kernels(input: Tensor, *others: Tensor | None) -> bool:
    """Return whether kernels may compute this: they need values in the memory of one device, and what compiles them."""
    return (
        not torch.compiler.is_compiling()
        and not aten.sees_operations()
        and all(t is None or aten.is_plain(t, input.device) for t in (input, *others))
        and _kernels(input.device) is not None
    )


@cache
def _kernels(device: torch.device) -> Any:
    """Return the module that computes there, `triton_loss` or `numba_loss`, or None for tensor operations.

    Warns once of why, where Triton is installed and does not run.
    """
    if device.type == "cpu" and not aten.INTERPRETED:
        return None if engine() is None else importlib.import_module("multimargin_reference.numba_loss")
    if device.type not in ("cuda", "cpu"):
        return None
    try:
        from multimargin_reference import triton_loss
    except ImportError:
        return None
    try:
        one = torch.zeros(1, dtype=torch.int64, device=device)
        triton_loss.loss(torch.zeros(1, 1, device=device), one, None, 1, 1.0, "sum")
    except Exception as error:
        warnings.warn(f"Triton does not run on {device}, tensor operations do it instead: {error}", stacklevel=2)
        return None
    return triton_loss


def _hinge(input: Tensor, target: Tensor, margin: float) -> Tensor:
    """Return max(0, z) as (N, C), in float32 or float64, 0 at the target and where z is NaN."""
    dtype = COMPUTE_DTYPES[input.dtype]
    rows = input.reshape(-1, input.shape[-1] if input.dim() else 1).to(dtype)
    column = target.reshape(-1, 1)
    nearest, residue = _thresholds(rows.gather(1, column).double(), margin, dtype)
    z = (rows - nearest) - residue
    return torch.where(z > 0, z, 0).scatter(1, column, 0.0)


def _thresholds(chosen: Tensor, margin: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return x[y] - margin as (nearest number of `dtype`, what is left); see `vectorized._thresholds`."""
    difference = chosen - margin
    subtracted = chosen - difference
    error = (chosen - (difference + subtracted)) + (subtracted - margin)
    largest = torch.finfo(dtype).max
    nearest = torch.where(difference.isfinite(), difference.clamp(-largest, largest), difference).to(dtype)
    residue = ((difference - nearest.double()) + error).to(dtype)
    return nearest, torch.where(residue.isnan(), 0, residue)


def _divisor(hinge: Tensor, reduction: str) -> int:
    rows, classes = hinge.shape
    return max(1, rows * classes) if reduction == "mean" else classes


def _autocast(input: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Return both, halves as float32 where autocast is on, as PyTorch does for its losses."""
    device = input.device.type
    if not (_has_autocast(device) and torch.is_autocast_enabled(device)):
        return input, weight
    return _widened(input), None if weight is None else _widened(weight)


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]  # PyTorch 2.8 does not trace it
def _has_autocast(device: str) -> bool:
    return torch.amp.is_autocast_available(device)


def _widened(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def _check_types(input: Any, target: Any, weight: Any, margin: Any) -> None:
    for name, value in (("input", input), ("target", target), ("weight", weight)):
        if not isinstance(value, Tensor) and not (name == "weight" and value is None):
            raise TypeError(f"{name} is a {type(value).__name__}, but should be a torch.Tensor")
    if not isinstance(margin, (int, float)):  # PyTorch 2.8 traces no unions
        raise TypeError(f"margin={margin!r}, but should be a real number")


def _check_tensors(input: Tensor, target: Tensor, weight: Tensor | None) -> None:
    """Check shapes and dtypes; (C,) with (1,) and 0-d input are accepted, as in PyTorch."""
    if input.dtype not in COMPUTE_DTYPES:
        raise RuntimeError(f"input.dtype={input.dtype}, but should be float16, bfloat16, float32 or float64")
    if input.dim() > 2 or 0 in input.shape[-1:]:
        raise RuntimeError(f"input.shape={tuple(input.shape)}, but should be (N, C) or (C,) with at least one class")
    rows = input.shape[0] if input.dim() == 2 else 1
    if target.dim() > 1 or target.numel() != rows:
        expected = (rows,) if input.dim() == 2 else ()
        raise RuntimeError(f"target.shape={tuple(target.shape)}, but should be {expected}")
    if target.dtype != torch.int64:
        raise RuntimeError(f"target.dtype={target.dtype}, but should be torch.int64")
    if weight is not None:
        _check_weight(weight, input)


def _check_weight(weight: Tensor, input: Tensor) -> None:
    expected = tuple(input.shape[-1:]) or (1,)
    if tuple(weight.shape) != expected:
        raise RuntimeError(f"weight.shape={tuple(weight.shape)}, but should be {expected}")
    if weight.dtype != input.dtype:
        raise RuntimeError(f"weight.dtype={weight.dtype}, but should be input's {input.dtype}")
    if weight.requires_grad and torch.is_grad_enabled():
        raise RuntimeError("weight.requires_grad=True, but the loss is differentiable by input only")


def _check_range(target: Tensor, classes: int) -> None:
    """Raise RuntimeError for a target outside [0, classes), where the values can be seen."""
    if target.is_meta or torch.compiler.is_compiling():
        return
    outside = (target < 0) | (target >= classes)
    try:
        wrong = bool(outside.any())
    except RuntimeError:  # fake tensors and vmap have no values to look at; there, indexing is left to check itself
        return
    if wrong:
        where = int(outside.reshape(-1).nonzero()[0])
        value = int(target.reshape(-1)[where])
        raise RuntimeError(f"target[{where}]={value}, but should be in [0, {classes})")
