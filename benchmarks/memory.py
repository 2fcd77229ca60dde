"""Memory that a call takes beyond its inputs and outputs: the process's highest resident size, on Linux.

Every contender is measured in the same way: called twice, so that nothing is left to compile or to make once; unused
memory handed back; then the kernel's mark of the highest size is reset and read after one more call. Blocks from 32 KiB
are given back by the allocator when they are freed (speed.GIVEN_BACK), or they would not be seen a
second time. The kernel counts in steps: figures are good to about 0.3 MB.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from contenders import MAKERS, Bound, bound
from problems import OPTIONS, problem
from ratios import PASSES

SMALLEST = 1 << 18  # elements of an input whose copies would be seen
TIMES = 3  # the smallest of so many counts


def measure(shapes: tuple[tuple[int, int], ...], names: tuple[str, ...], threads: int) -> list[dict[str, Any]]:
    """Return the bytes of each contender at each large shape; nothing where the system does not say."""
    if not Path("/proc/self/clear_refs").exists():
        return []
    large = [shape for shape in shapes if shape[0] * shape[1] >= SMALLEST] or shapes[-1:]
    return [line for shape in large for line in _at(shape, names, threads)]


def _at(shape: tuple[int, int], names: tuple[str, ...], threads: int) -> Iterator[dict[str, Any]]:
    print(f"{threads} threads: memory at {shape[0]} x {shape[1]}", file=sys.stderr, flush=True)
    for options in OPTIONS:
        given = problem(shape, options)
        for name in names:
            side = bound(MAKERS[name](options.p), given)
            gc.collect()
            for what in PASSES:
                taken = min(_beyond(side, what == PASSES[0]) for _ in range(TIMES))
                where = {"threads": threads, "rows": shape[0], "classes": shape[1], "options": options.text}
                yield {**where, "what": what, "contender": name, "bytes": taken}


def _beyond(side: Bound, forward: bool) -> int:
    side.contender.ready()
    call = side.forward if forward else side.fused
    for _ in range(2):
        call()
    for argument in side.fused.args:
        if isinstance(argument, torch.Tensor):
            argument.grad = None
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = _resident("VmRSS")
    result = call()
    peak = _resident("VmHWM")
    outputs = 0 if forward else side.contender.returned(result[1]).nbytes
    return max(0, peak - before - outputs)


def _resident(what: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(what))
