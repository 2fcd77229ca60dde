"""Small calls, which PyTorch's own operator does as well as `torch` here, and sooner: nothing of it is Python."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"  # CUDA's kernels on the CPU, for tests
FEW = 0 if INTERPRETED else 1 << 14  # numbers up to which ATen is as fast as anything that is called from Python
FEW_ON_CUDA = 1 << 23  # likewise; there launches from Python take longer than the kernels of ATen do for so many
FEW_CLASSES_ON_CUDA = 1 << 15  # and so many classes: one block takes a row
CHECKED = "MULTIMARGIN_CHECK_TARGETS"  # set to 1: on CUDA a target out of range is a Python error, not an assertion
PLAIN = (Tensor, torch.nn.Parameter)
REDUCTIONS = {"none": 0, "mean": 1, "sum": 2}


def is_atens(input: Any, target: Any, p: Any, margin: Any, weight: Any, reduction: Any) -> bool:
    """Return whether ATen does this call as well, and is the first to be done: few numbers, and a batch of them."""
    return (
        type(input) in PLAIN
        and (input.dtype is torch.float32 or input.dtype is torch.float64)
        and input.dim() == 2
        and input.numel() > 0
        and _is_small(input)
        and type(target) is Tensor
        and target.device == input.device
        and target.dtype is torch.int64
        and target.dim() == 1
        and p in (1, 2)
        and type(margin) in (int, float)
        and reduction in REDUCTIONS
        and (weight is None or (type(weight) in PLAIN and weight.dim() == 1 and not weight.requires_grad))
        and not torch.compiler.is_compiling()
        and not sees_operations()
    )


def _is_small(input: Tensor) -> bool:
    if input.is_cpu:
        return input.numel() < FEW
    few = input.is_cuda and input.numel() < FEW_ON_CUDA and input.shape[1] < FEW_CLASSES_ON_CUDA
    return few and not checks_targets()


def loss(input: Tensor, target: Tensor, p: int, margin: float, weight: Tensor | None, reduction: str) -> Tensor:
    """Return ATen's loss. Raises RuntimeError for what ATen refuses; on CUDA the device asserts targets."""
    found: Tensor = torch._C._nn.multi_margin_loss(input, target, p, margin, weight, REDUCTIONS[reduction])  # type: ignore[arg-type]
    if input.is_cuda:  # the kernel looks at 32 bits of a target, and gather at all 64
        input.detach()[0].gather(0, target)
    return found


def checks_targets() -> bool:
    """Return whether a target out of range is asked to be a Python error, for which a call waits for the device."""
    return os.environ.get(CHECKED) == "1"


def sees_operations() -> bool:
    """Return whether something is at work that has to see every operation."""
    return (
        torch._C._is_tracing()
        or torch._C._are_functorch_transforms_active()
        or torch._C._len_torch_dispatch_stack() > 0
        or forward_ad._current_level >= 0  # of a tangent ATen and kernels make nothing, and say nothing
    )


def is_plain(tensor: Tensor, device: torch.device) -> bool:
    """Return whether a tensor has memory of its own there; under is_grads_batched, grad_output has none."""
    known = type(tensor) in PLAIN and tensor.device == device
    return known and not tensor.is_neg() and torch._C._has_storage(tensor)
