"""The loss and its gradient on CUDA by `triton_kernels`; imported only where tensors are there and Triton is installed.

One pass over input gives the loss and the gradient for grad_output = 1, so input is read once and its gradient written
once. Few classes: rows in tiles; many: a row in blocks; few rows of very many: a row in parts, by several programs.
Strided arguments are read where they are. The arithmetic is `multimargin_reference.torch`'s.

Triton's interpreter (TRITON_INTERPRET=1 before triton is imported) runs the same code on the CPU.
"""

from __future__ import annotations

import os
import struct
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from multimargin_reference import triton_kernels as kernels

UNCHECKED = "MULTIMARGIN_DEVICE_ASSERT"  # set to 1: a target out of range is an assertion on the device
WHOLE = {16: (32, 4), 64: (16, 4), 256: (8, 4), 1024: (4, 8)}  # classes of a tile, to its rows and its warps
BLOCK, WARPS = 4096, 8  # of rows with more classes
PROGRAMS = 2048  # at most, where each takes several rows: so many partial sums are added by one program
PARTS = 1024  # programs at most, where rows are taken in parts
LANES = 1024  # of the kernels that add partial sums
VECTOR = 16  # bytes of one access
LARGEST = {dtype: torch.finfo(dtype).max for dtype in (torch.float32, torch.float64)}


@dataclass(frozen=True)
class Plan:
    """How a shape is divided: classes a tile, rows a tile, programs, and parts of a row and their blocks."""

    block: int
    rows: int
    warps: int
    programs: int
    parts: int = 1
    blocks: int = 0  # of a part; 0 where a tile holds whole rows


@lru_cache(maxsize=1024)
def plan(N: int, C: int) -> Plan:
    """Return how N rows of C classes are divided: by N and C alone, so that every device adds in the same order."""
    for block, (rows, warps) in WHOLE.items():
        if block >= C:
            return Plan(block, rows, warps, min(-(-N // rows), PROGRAMS))
    blocks = -(-C // BLOCK)
    each = -(-blocks // max(1, min(blocks, PARTS // N)))
    parts = -(-blocks // each)
    return Plan(BLOCK, 1, WARPS, min(N * parts, PROGRAMS), parts, each)


def loss(input: Tensor, target: Tensor, weight: Tensor | None, p: int, margin: float, reduction: str) -> Tensor:
    """Return the loss. Raises RuntimeError for a target out of range."""
    call = _Call(input, target, weight, p, margin, reduction)
    result = call.new_loss()
    call.check(call.run(result, None))
    return result


def loss_and_gradient(
    input: Tensor, target: Tensor, weight: Tensor | None, p: int, margin: float, reduction: str
) -> tuple[Tensor, Tensor]:
    """Return the loss and the gradient for a grad_output of ones. Raises RuntimeError for a target out of range."""
    call = _Call(input, target, weight, p, margin, reduction)
    result, gradient = call.new_loss(), torch.empty_like(input)
    call.check(call.run(result, gradient))
    return result, gradient


def gradient(
    grad_output: Tensor, input: Tensor, target: Tensor, weight: Tensor | None, p: int, margin: float, reduction: str
) -> Tensor:
    """Return the gradient with respect to input; targets are those that the loss was given, and not checked again."""
    call = _Call(input, target, weight, p, margin, reduction)
    result = torch.empty_like(input)
    call.run(None, result, grad_output)
    return result


def multiply(
    gradient: Tensor,
    grad_output: Tensor,
    input: Tensor,
    target: Tensor,
    weight: Tensor | None,
    p: int,
    margin: float,
    reduction: str,
) -> None:
    """Make a gradient for grad_output = 1 that of another grad_output, in its place; not for the reduction none.

    Where grad_output is 1, which the device alone knows, nothing is read or written. Where it is not, the gradient is
    computed again: multiplying what was rounded already would round twice, and 0 would not stay 0 if it is infinite.
    """
    _Call(input, target, weight, p, margin, reduction).run(None, gradient, grad_output, unless_one=True)


class _Call:
    """Arguments as the kernels take them."""

    def __init__(
        self, input: Tensor, target: Tensor, weight: Tensor | None, p: int, margin: float, reduction: str
    ) -> None:
        self.input, self.target, self.weight, self.p, self.reduction = input, target, weight, p, reduction
        self.C = input.shape[-1] if input.dim() else 1
        self.N = target.numel()
        (self.margin,) = struct.unpack("<q", struct.pack("<d", margin))
        self.divisor = max(1, self.N * self.C) if reduction == "mean" else self.C
        self.compute = torch.float64 if input.dtype == torch.float64 else torch.float32

    def new_loss(self) -> Tensor:
        """Return what the loss is written to; it is 0 already where there are no rows."""
        shape = self.target.shape if self.reduction == "none" else ()
        return self.input.new_empty(shape) if self.N else self.input.new_zeros(shape)

    def run(
        self,
        loss: Tensor | None,
        gradient: Tensor | None,
        grad_output: Tensor | None = None,
        unless_one: bool = False,
    ) -> Tensor | None:
        """Write the loss and the gradient that are asked for; return whether a target is out of range, on the device.

        None stands for a batch without rows.
        """
        if not self.N:
            return None
        with self._device():
            return self._run(loss, gradient, grad_output, unless_one)

    def _run(
        self, loss: Tensor | None, gradient: Tensor | None, grad_output: Tensor | None, unless_one: bool
    ) -> Tensor:
        x, divided = self.input, plan(self.N, self.C)
        work = torch.empty(3 * divided.programs + 1, dtype=torch.float64, device=x.device)
        flag = torch.empty((), dtype=torch.bool, device=x.device)
        w, g, d = (x if t is None else t for t in (self.weight, grad_output, gradient))
        losses = work[-1:] if loss is None else loss
        (x_row, x_step), (d_row, d_step) = _strides(x), _strides(d)
        y_step, w_step, g_step = (t.stride(0) if t.dim() else 0 for t in (self.target, w, g))
        each = int(self.reduction == "none" and loss is not None)
        flags = self.N * (self.weight is not None), self.N * (grad_output is not None), each, int(unless_one)
        align = max(1, VECTOR // x.element_size())
        align = 1 if any(size % align for size in (self.C, x_row, d_row)) else align
        options = {
            "P": self.p,
            "GRADIENT": gradient is not None,
            "enable_fp_fusion": False,  # the default is about to change
            "D": tl.float64 if self.compute == torch.float64 else tl.float32,
        }
        arrays = x, self.target, w, g, losses, d, work
        sizes = self.N, self.C // align, x_row // align, x_step, y_step, w_step, g_step, d_row // align, d_step
        last = self.margin, self.divisor, *flags
        tile = {"LARGEST": LARGEST[self.compute], "ALIGN": align, "BLOCK": divided.block, "num_warps": divided.warps}
        grid = (divided.programs,)
        if not divided.blocks:
            kernels.whole_rows[grid](*arrays, *sizes, *last, ROWS=divided.rows, **options, **tile)
        else:
            kernels.split_rows[grid](*arrays, *sizes, *last, divided.parts, divided.blocks, **options, **tile)
        if divided.parts > 1:
            lanes = triton.next_power_of_2(divided.parts)
            sizes = self.N, self.C, y_step, w_step, g_step, d_row, d_step
            rows = {"ROWS": max(1, LANES // lanes), "PARTS": lanes}
            kernels.sum_parts[(1,)](*arrays, flag, *sizes, self.divisor, *flags, divided.parts, **options, **rows)
        elif loss is not None:
            args = work, losses, flag, divided.programs, self.divisor, each
            kernels.sum_programs[(1,)](*args, D=options["D"], LANES=LANES)
        return flag

    def check(self, wrong: Tensor | None) -> None:
        """Raise RuntimeError for a target out of range, which waits for the device; or let the device assert it."""
        if wrong is None:
            return
        if os.environ.get(UNCHECKED) == "1" or (wrong.is_cuda and torch.cuda.is_current_stream_capturing()):
            torch._assert_async(~wrong)
        elif wrong.item():
            raise RuntimeError(out_of_range(self.target, self.C))

    def _device(self) -> AbstractContextManager[Any]:
        """Return a context in which kernels go where input is."""
        index = self.input.device.index
        elsewhere = index is not None and self.input.is_cuda and index != torch.cuda.current_device()
        return torch.cuda.device(index) if elsewhere else nullcontext()


def out_of_range(target: Tensor, classes: int) -> str:
    """Return what is wrong with the first target that is no class."""
    outside = ((target < 0) | (target >= classes)).reshape(-1)
    where = int(outside.nonzero()[0])
    return f"target[{where}]={int(target.reshape(-1)[where])}, but should be in [0, {classes})"


def _strides(tensor: Tensor) -> tuple[int, int]:
    """Return the strides of rows and of classes."""
    strides = tensor.stride()
    return (0, 1)[: 2 - len(strides)] + strides if len(strides) < 2 else strides
