"""Small calls, which PyTorch's own operator does as well as `torch` here, and sooner: nothing of it is Python."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"  # CUDA's kernels on the CPU, for tests
FEW = 0 if INTERPRETED else 1 << 15  # numbers below which ATen is as fast as anything that is called from Python
FEW_HALVES = 0  # likewise of float16 and bfloat16: on the CPU kernels are as fast
FEW_ON_CUDA = 1 << 23  # likewise; there launches from Python take longer than the kernels of ATen do for so many
FEW_CLASSES_ON_CUDA = 1 << 15  # and so many classes: one block takes a row
CHECKED = "MULTIMARGIN_CHECK_TARGETS"  # set to 1: on CUDA a target out of range is a Python error, not an assertion
PLAIN = (Tensor, torch.nn.Parameter)
HALVES = (torch.float16, torch.bfloat16)
POWERS, NUMBERS = (1, 2), (float, int)  # of p; of margin, types
REDUCTIONS = {"none": 0, "mean": 1, "sum": 2}
loss: Any = torch._C._nn.multi_margin_loss
is_tracing, is_transforming = torch._C._is_tracing, torch._C._are_functorch_transforms_active
modes = torch._C._len_torch_dispatch_stack
is_in_dynamo = torch.compiler.is_dynamo_compiling


def are_few_halves(input: Tensor, target: Tensor, weight: Tensor | None) -> bool:
    """Return whether ATen is the first to be done with a call of float16 or bfloat16 that was checked, in float32."""
    return (
        input.dtype in HALVES
        and type(input) in PLAIN
        and type(target) is Tensor
        and (0 < input.numel() < FEW_HALVES if input.is_cpu else are_few_on_cuda(input, target))
        and (weight is None or (type(weight) in PLAIN and not weight.requires_grad))
        and not torch.compiler.is_compiling()
        and not sees_operations()
    )


def loss_of_halves(
    input: Tensor, target: Tensor, weight: Tensor | None, p: int, margin: float, reduction: str
) -> Tensor:
    """Return ATen's loss of the numbers in float32, rounded once; its own kernel for halves rounds at every step."""
    wide = None if weight is None else weight.float()
    found: Tensor = loss(input.float(), target, p, margin, wide, REDUCTIONS[reduction])
    assert_targets(input, target)
    return found.to(input.dtype)


def assert_targets(input: Tensor, target: Tensor) -> None:
    """Let the device assert targets: ATen's kernel there looks at 32 bits of each, and gather at all 64."""
    if not input.is_cpu:
        input.detach()[0].gather(0, target)


def are_few_on_cuda(input: Tensor, target: Tensor) -> bool:
    batch = input.is_cuda and type(target) is Tensor and input.dim() == 2 and target.dim() == 1
    few = batch and 0 < input.numel() < FEW_ON_CUDA and input.shape[1] < FEW_CLASSES_ON_CUDA
    return few and target.dtype is torch.int64 and target.device == input.device and not checks_targets()


def checks_targets() -> bool:
    """Return whether a target out of range is asked to be a Python error, for which a call waits for the device."""
    return os.environ.get(CHECKED) == "1"


def sees_operations() -> bool:
    """Return whether something is at work that has to see every operation."""
    return (
        is_tracing()
        or is_transforming()
        or modes() > 0
        or forward_ad._current_level >= 0  # of a tangent ATen and kernels make nothing, and say nothing
    )


def is_plain(tensor: Tensor, device: torch.device) -> bool:
    """Return whether a tensor has memory of its own there; under is_grads_batched, grad_output has none."""
    known = type(tensor) in PLAIN and tensor.device == device
    return known and not tensor.is_neg() and torch._C._has_storage(tensor)
