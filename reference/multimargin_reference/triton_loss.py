"""The loss and its gradient on CUDA by `triton_kernels`; imported only where tensors are there and Triton is installed.

One pass over input gives the loss and the gradient for grad_output = 1, so input is read once and its gradient written
once. Few classes: rows in tiles; many: a row in blocks; few rows of very many: a row in parts, by several programs.
Strided arguments are read where they are. The arithmetic is `multimargin_reference.torch`'s.

Triton's interpreter (TRITON_INTERPRET=1 before triton is imported) runs the same code on the CPU.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from multimargin_reference import triton_kernels as kernels
from multimargin_reference.aten import checks_targets

WHOLE = {16: (128, 4), 64: (32, 4), 256: (4, 4), 1024: (1, 4)}  # classes of a tile, to its rows and its warps
BLOCK, WARPS = 2048, 8  # of rows with more classes
PROGRAMS = 2048  # at most, where each takes several rows: so many partial sums are added by one program
PARTS = 1024  # programs at most, where rows are taken in parts
LANES, LAST_WARPS = 1024, 4  # of the kernels that add partial sums
VECTOR = 16  # bytes of one access, and what Triton wants pointers to be divisible by
OUT_OF_RANGE = "multi_margin_loss: a target is out of range"
COMPILING = threading.Lock()  # Triton compiles, and looks up, for one thread at a time
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
    """Return the loss; see `_Call.check` for targets out of range."""
    call = _Call(input, target, weight, p, margin, reduction)
    result = call.new_loss()
    call.check(call.run(result, None))
    return result


def loss_and_gradient(
    input: Tensor, target: Tensor, weight: Tensor | None, p: int, margin: float, reduction: str
) -> tuple[Tensor, Tensor]:
    """Return the loss and the gradient for a grad_output of ones; see `_Call.check` for targets out of range."""
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
        x, y, weight, grads = self.input, self.target, self.weight, grad_output
        each = self.each and loss is not None
        launches = _launches(
            self.N, self.C, x.dtype, x.stride(), None if gradient is None else gradient.stride(), y.stride(),
            None if weight is None else weight.stride(), None if grads is None else (grads.dtype, grads.stride()),
            self.p, self.margin, self.divisor, each, loss is not None, unless_one,
        )  # fmt: skip
        w, g, d = x if weight is None else weight, x if grads is None else grads, x if gradient is None else gradient
        work = torch.empty(launches.work, dtype=torch.float64, device=x.device)
        right = torch.empty((), dtype=torch.bool, device=x.device) if launches.last else None
        if loss is None:  # rows in parts are added up all the same; elsewhere nothing is written
            loss = x.new_empty(1) if launches.last else d
        aligned = (x.data_ptr() | y.data_ptr() | w.data_ptr() | g.data_ptr() | d.data_ptr()) % VECTOR == 0
        arrays = x, y, w, g, loss, d, work
        launches.first.launch(arrays, aligned)
        if launches.last:
            some = launches.last.kernel is kernels.sum_programs
            launches.last.launch((loss, work, right) if some else (*arrays, right), aligned)
        return right

    def check(self, right: Tensor | None) -> None:
        """Let the device assert that targets are in range, or raise RuntimeError, where that is asked for.

        The error waits for the device, so while a CUDA graph is captured there is none.
        """
        if right is None:
            return
        if not checks_targets() or (right.is_cuda and torch.cuda.is_current_stream_capturing()):
            torch._assert_async(right, OUT_OF_RANGE)
        elif not right.item():
            raise RuntimeError(out_of_range(self.target, self.C))


class _Launch:
    """A kernel, and what it is launched with beside tensors.

    To look up what a kernel was compiled to takes Triton longer than most kernels take, so that is kept here, by
    device: all else that the code depends on is a launch's own. Unaligned tensors are left to Triton.
    """

    def __init__(self, kernel: Any, programs: int, numbers: tuple[Any, ...], warps: int) -> None:
        self.kernel, self.grid, self.numbers, self.warps = kernel, (programs, 1, 1), numbers, warps
        self._compiled: dict[torch.device, Callable[..., Any]] = {}

    def launch(self, tensors: tuple[Tensor | None, ...], aligned: bool) -> None:
        """Launch the kernel on the current device, where the tensors are."""
        assert tensors[0] is not None
        device = tensors[0].device
        if aligned and (known := self._compiled.get(device)) is not None:
            known(*tensors, *self.numbers)
            return
        # The default of fusing multiplications and additions is about to change.
        options = {"num_warps": self.warps, "enable_fp_fusion": False}
        with COMPILING:
            made = self.kernel[self.grid](*tensors, *self.numbers, **options)
        if aligned and made is not None:  # the interpreter makes nothing
            self._compiled[device] = made[self.grid]


@dataclass(frozen=True)
class _Launches:
    """The kernel of all rows, what adds up behind it, where something is wanted of it, and the length of `work`."""

    first: _Launch
    last: _Launch | None
    work: int


@lru_cache(maxsize=4096)
def _launches(
    N: int, C: int, dtype: torch.dtype, x_steps: tuple[int, ...], d_steps: tuple[int, ...] | None,
    y_steps: tuple[int, ...], w_steps: tuple[int, ...] | None, grads: tuple[torch.dtype, tuple[int, ...]] | None,
    p: int, margin: int, divisor: int, each: bool, has_loss: bool, unless_one: bool,
) -> _Launches:  # fmt: skip
    """Return what a call needs by all but its values; steps are strides, None of what is not there."""
    divided, sizes, constants = _layout(N, C, dtype, x_steps, x_steps if d_steps is None else d_steps)
    steps = [(some or (0,))[0] for some in (y_steps, w_steps, grads and grads[1])]
    given = N * (w_steps is not None), N * (grads is not None)
    numbers = *sizes, *steps, margin, divisor, *given, int(each), int(unless_one)
    constants = p, d_steps is not None, *constants
    work = 3 * divided.programs
    if divided.blocks:
        tile = divided.parts, divided.blocks, *constants, BLOCK
        first = _Launch(kernels.split_rows, divided.programs, (*numbers, *tile), divided.warps)
    else:
        tile = *constants, divided.rows, divided.block
        first = _Launch(kernels.whole_rows, divided.programs, (*numbers, *tile), divided.warps)
    if divided.parts > 1:
        lanes = triton.next_power_of_2(divided.parts)
        rest = *numbers, divided.parts, *constants, max(1, LANES // lanes), lanes
        return _Launches(first, _Launch(kernels.sum_parts, 1, rest, LAST_WARPS), work)
    rest = divided.programs, divisor, int(each), constants[2], LANES
    return _Launches(first, _Launch(kernels.sum_programs, 1, rest, LAST_WARPS) if has_loss else None, work)


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


def _on(device: torch.device) -> AbstractContextManager[Any]:
    """Return a context in which kernels go to a device."""
    elsewhere = device.type == "cuda" and device.index != torch.cuda.current_device()
    return torch.cuda.device(device) if elsewhere else nullcontext()


def out_of_range(target: Tensor, classes: int) -> str:
    """Return what is wrong with the first target that is no class."""
    outside = ((target < 0) | (target >= classes)).reshape(-1)
    where = int(outside.nonzero()[0])
    return f"target[{where}]={int(target.reshape(-1)[where])}, but should be in [0, {classes})"
