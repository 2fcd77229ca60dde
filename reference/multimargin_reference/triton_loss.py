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
WHOLE = {16: (128, 4), 64: (32, 4), 256: (4, 4), 1024: (1, 4)}  # classes of a tile, to its rows and its warps
BLOCK, WARPS = 2048, 8  # of rows with more classes
PROGRAMS = 2048  # at most, where each takes several rows: so many partial sums are added by one program
PARTS = 1024  # programs at most, where rows are taken in parts
LANES, LAST_WARPS = 1024, 4  # of the kernels that add partial sums
VECTOR = 16  # bytes of one access, and what Triton wants pointers to be divisible by
NARROW = 1 << 31  # numbers from here on, and below its negative, are passed as int64
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
        self.input, self.target, self.weight, self.p, self.each = input, target, weight, p, reduction == "none"
        self.N, self.C = target.numel(), input.shape[-1] if input.dim() else 1
        (self.margin,) = struct.unpack("<q", struct.pack("<d", margin))
        self.divisor = max(1, self.N * self.C) if reduction == "mean" else self.C

    def new_loss(self) -> Tensor:
        """Return what the loss is written to; it is 0 already where there are no rows."""
        shape = self.target.shape if self.each else ()
        return self.input.new_empty(shape) if self.N else self.input.new_zeros(shape)

    def run(
        self,
        loss: Tensor | None,
        gradient: Tensor | None,
        grad_output: Tensor | None = None,
        unless_one: bool = False,
    ) -> Tensor | None:
        """Write the loss and the gradient that are asked for; return whether all targets are in range, on the device.

        None stands for a batch without rows, and for a gradient alone.
        """
        if not self.N:
            return None
        with _on(self.input.device):
            return self._run(loss, gradient, grad_output, unless_one)

    def _run(
        self, loss: Tensor | None, gradient: Tensor | None, grad_output: Tensor | None, unless_one: bool
    ) -> Tensor | None:
        x = self.input
        w, g, d = [x if t is None else t for t in (self.weight, grad_output, gradient)]
        divided, sizes, constants = _layout(self.N, self.C, x.dtype, x.stride(), d.stride())
        work = torch.empty(3 * divided.programs, dtype=torch.float64, device=x.device)
        right, losses = None, loss
        if losses is None:  # rows in parts are added up all the same; elsewhere nothing is written
            losses = d if divided.parts == 1 else x.new_empty(1)
        if loss is not None or divided.parts > 1:
            right = torch.empty((), dtype=torch.bool, device=x.device)
        each = int(self.each and loss is not None)
        steps = [t.stride(0) if t.dim() else 0 for t in (self.target, w, g)]
        given = self.N * (self.weight is not None), self.N * (grad_output is not None)
        numbers = *sizes, *steps, self.margin, self.divisor, *given, each, int(unless_one)
        arrays = x, self.target, w, g, losses, d, work
        constants = self.p, gradient is not None, *constants
        if not divided.blocks:
            tile = *constants, divided.rows, divided.block
            _launch(kernels.whole_rows, divided.programs, arrays, numbers, tile, divided.warps)
        else:
            parts = divided.parts, divided.blocks
            _launch(
                kernels.split_rows, divided.programs, arrays, (*numbers, *parts), (*constants, BLOCK), divided.warps
            )
        if divided.parts > 1:
            assert right is not None
            lanes = triton.next_power_of_2(divided.parts)
            tile = *constants, max(1, LANES // lanes), lanes
            _launch(kernels.sum_parts, 1, (*arrays, right), (*numbers, divided.parts), tile, LAST_WARPS)
        elif right is not None:
            numbers = divided.programs, self.divisor, each
            _launch(kernels.sum_programs, 1, (losses, work, right), numbers, (constants[2], LANES), LAST_WARPS)
        return right

    def check(self, right: Tensor | None) -> None:
        """Raise RuntimeError for a target out of range, which waits for the device; or let the device assert it."""
        if right is None:
            return
        if os.environ.get(UNCHECKED) == "1" or (right.is_cuda and torch.cuda.is_current_stream_capturing()):
            torch._assert_async(right)
        elif not right.item():
            raise RuntimeError(out_of_range(self.target, self.C))


@lru_cache(maxsize=4096)
def _layout(
    N: int, C: int, dtype: torch.dtype, x: tuple[int, ...], d: tuple[int, ...]
) -> tuple[Plan, tuple[int, ...], tuple[Any, ...]]:
    """Return the plan, the numbers and the constants of shape, dtype and strides."""
    (x_row, x_step), (d_row, d_step) = ((0, 1)[: 2 - len(s)] + s for s in (x, d))
    align = VECTOR // dtype.itemsize
    align = 1 if any(size % align for size in (C, x_row, d_row)) else align
    numbers = N, C // align, x_row // align, x_step, d_row // align, d_step
    compute = torch.float64 if dtype == torch.float64 else torch.float32
    triton_dtype = tl.float64 if dtype == torch.float64 else tl.float32
    return plan(N, C), numbers, (triton_dtype, LARGEST[compute], align, x_step == d_step == 1)


_compiled: dict[Any, Any] = {}


def _launch(
    kernel: Any,
    programs: int,
    tensors: tuple[Tensor, ...],
    numbers: tuple[int, ...],
    constants: tuple[Any, ...],
    warps: int,
) -> None:
    """Launch a kernel with its arguments in this order.

    To look up what it was compiled to takes Triton longer than most kernels take, so that is done here: by all that the
    code depends on. Unaligned tensors, and what is not compiled yet, are left to Triton.
    """
    wide = tuple([-NARROW <= number < NARROW for number in numbers])
    key = kernel, tuple([t.dtype for t in tensors]), tensors[0].device, wide, constants, warps
    aligned = all(tensor.data_ptr() % VECTOR == 0 for tensor in tensors)
    if aligned and (known := _compiled.get(key)) is not None:
        known[(programs, 1, 1)](*tensors, *numbers, *constants)
        return
    # The default of fusing multiplications and additions is about to change.
    options = {"num_warps": warps, "enable_fp_fusion": False}
    made = kernel[(programs,)](*tensors, *numbers, *constants, **options)
    if aligned and made is not None:  # the interpreter makes nothing
        _compiled[key] = made


def _on(device: torch.device) -> AbstractContextManager[Any]:
    """Return a context in which kernels go to a device."""
    elsewhere = device.type == "cuda" and device.index != torch.cuda.current_device()
    return torch.cuda.device(device) if elsewhere else nullcontext()


def out_of_range(target: Tensor, classes: int) -> str:
    """Return what is wrong with the first target that is no class."""
    outside = ((target < 0) | (target >= classes)).reshape(-1)
    where = int(outside.nonzero()[0])
    return f"target[{where}]={int(target.reshape(-1)[where])}, but should be in [0, {classes})"
