"""The drop-in beside PyTorch's own through `.backward()`, as training calls it: two functions, and two modules."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import problems
import torch
from problems import OPTIONS, problem
from timing import interleaved, ratios, spread

from multimargin_reference import torch as ours

FUNCTION, MODULE = "function", "module"
EAGER, OURS = "eager", "drop-in"
BETWEEN = ((1024, 10), (3200, 10), (3400, 10))  # the last two on both sides of where the drop-in hands over to ATen
SMALL, MANY = 1 << 15, 20  # numbers up to which a hundredth is asked about, and how many times as many rounds tell it
Line = dict[str, Any]  # of speed.json


def measure(rounds: int, longest: float, threads: int, dry: bool) -> Iterator[Line]:
    """Yield a line a shape, options and way to call; ratio: eager's time / the drop-in's in the same rounds."""
    for shape in problems.TINY if dry else sorted({*problems.SHAPES, *BETWEEN}, key=lambda s: (s[0] * s[1], s)):
        print(f"{threads} threads, drop-in: {shape[0]} x {shape[1]}", file=sys.stderr, flush=True)
        for options in OPTIONS:
            given = problem(shape, options)
            x, y = torch.from_numpy(given.x).requires_grad_(), torch.from_numpy(given.y)
            w = None if given.w is None else torch.from_numpy(given.w)
            calls = {name: (_nothing, _step(loss, x, y)) for name, loss in _losses(options.p, w).items()}
            many = rounds if dry or given.x.size > SMALL else MANY * rounds
            times = interleaved(calls, many, longest, threads)
            for how in (FUNCTION, MODULE):
                own, eager = f"{OURS} {how}", f"{EAGER} {how}"
                yield {
                    "threads": threads,
                    "rows": shape[0],
                    "classes": shape[1],
                    "options": options.text,
                    "how": how,
                    "seconds": spread(times[own]),
                    "eager": spread(times[eager]),
                    "ratio": ratios(times, own, eager),
                }


def _losses(p: int, w: torch.Tensor | None) -> dict[str, Callable[[Any, Any], Any]]:
    eager = torch.nn.functional.multi_margin_loss
    return {
        f"{EAGER} {FUNCTION}": lambda x, y: eager(x, y, p, weight=w),
        f"{OURS} {FUNCTION}": lambda x, y: ours.multi_margin_loss(x, y, p, weight=w),
        f"{EAGER} {MODULE}": torch.nn.MultiMarginLoss(p, weight=w),
        f"{OURS} {MODULE}": ours.MultiMarginLoss(p, weight=w),
    }


def _step(loss: Callable[[Any, Any], Any], x: torch.Tensor, y: torch.Tensor) -> Callable[[], None]:
    def step() -> None:
        x.grad = None
        loss(x, y).backward()

    return step


def _nothing() -> None:
    """What has to be done before a call."""
