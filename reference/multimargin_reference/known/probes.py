"""Small series of calls that tell every known fault from the model, and no legal variant.

They prove that the catalogue's entries differ; a conformance suite brings checks of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from multimargin_reference.formats import DTYPES, FORMATS
from multimargin_reference.known.model import Request
from multimargin_reference.known.probe_calls import (
    after_rejection,
    alike,
    all_active,
    both,
    call,
    changed_in_place,
    drawn,
    interleaved,
    invalid,
    large_in_place,
    layouts,
    many_losses,
    other_scalars,
    repeated,
    signs_and_ends,
    zeros_in_place,
)


@dataclass(frozen=True)
class Probe:
    """A series of calls; results are compared exactly, or within `units` unit roundoffs of the model's."""

    name: str
    requests: Callable[[], Iterable[Request]]
    units: float = 0
    nan_means: float | None = None  # for choices that the specification leaves: NaN counts as this


# Exact grids


def grid(
    dtype: str, shape: tuple[int, ...], reductions: tuple[str, ...] = ("none", "mean", "sum")
) -> Iterator[Request]:
    for p in (1, 2):
        for margin in (1.0, 0.5, -0.5, 0.0, 2.0):
            for reduction in reductions:
                x, y, w, g = drawn(dtype, shape, seed=p)
                for weight in (None, w):
                    slope = g if reduction == "none" else -0.5
                    yield from both(x, y, slope, p=p, margin=margin, weight=weight, reduction=reduction)


def half_grid(dtype: str) -> Iterator[Request]:
    for shape in ((2, 4), (4,)):
        for p in (1, 2):
            for reduction in ("none", "mean", "sum"):
                x, y, w, _ = drawn(dtype, shape, seed=3, levels=3)
                yield from both(x, y, p=p, margin=0.5, weight=w, reduction=reduction)
    yield from both(np.array([[0, 1.3125]]).astype(DTYPES[dtype]), np.array([0]))


def wide_classes(classes: int, target: int) -> Iterator[Request]:
    """Yield a few active classes at the edges of the usual blocks, among many."""
    active = [i for i in (0, 31, 32, 127, 128, 255, 256, 1023, 1024, 65535, 65536, classes - 1) if i < classes]
    for dtype in (np.float32, np.float64) if classes < 10000 else (np.float32,):
        x = np.full((2, classes), -4, dtype)
        x[:, active] = 2 + np.arange(len(active)) / 4
        x[[0, 1], [target, target // 2]] = 2
        x[1, target] = 2.5
        w = np.where(np.arange(classes) % 3 == 0, 2, -1).astype(dtype)
        for p in (1, 2):
            yield from both(x, np.array([target, target // 2]), p=p, weight=w, reduction="sum")
            yield from both(x, np.array([target, target]), p=p, reduction="mean")


def tall(rows: int) -> Iterator[Request]:
    x, y, w, g = drawn("float32", (rows, 4), seed=5, levels=3)
    for reduction in ("none", "sum") if rows < 10000 else ("none",):
        slope = g if reduction == "none" else 1.0
        yield from both(x, y, slope, weight=w, reduction=reduction)
        yield from both(x, np.full(rows, 1), slope, weight=w, reduction=reduction)


def shapes() -> Iterator[Request]:
    tried: tuple[tuple[int, ...], ...] = ((1, 4), (4, 1), (1, 1), (1,), (2, 2), (3, 2), (2, 256), (256, 2))
    for shape in tried:
        x, y, w, g = drawn("float64", shape, seed=6)
        for reduction in ("none", "mean", "sum") if 3 not in shape else ("none", "sum"):
            slope = g if reduction == "none" else -2.0
            yield from both(x, y, slope, p=2, margin=0.5, weight=w, reduction=reduction)
            yield from both(x, y, slope, p=1, margin=-0.5, reduction=reduction)


def empty(*reductions: str) -> Iterator[Request]:
    for dtype in (np.float32, np.float64):
        x, y = np.zeros((0, 4), dtype), np.zeros(0, np.int64)
        for reduction in reductions:
            yield from both(x, y, np.zeros(0) if reduction == "none" else 1.0, reduction=reduction)


def zero_weights() -> Iterator[Request]:
    x, y, w, g = drawn("float64", (4, 8), seed=7)
    y[:], w[:3] = [0, 1, 2, 3], [0, 1, -1]
    for reduction in ("none", "mean"):
        yield from both(x, y, g if reduction == "none" else 1.0, weight=w, reduction=reduction)


def documented() -> Iterator[Request]:
    for dtype in (np.float32, np.float64):
        yield from both(np.array([[0.1, 0.2, 0.4, 0.8]], dtype), np.array([3]))


def large_grad_output() -> Iterator[Request]:
    for g in (2.0**12, 2.0**-40, -(2.0**-40), 0.75, 1 + 2.0**-9):
        yield from both(np.array([[0.5, 1.0], [2.0, 0.25]], np.float64), np.array([0, 1]), g, p=2)


# Precision and range


def fine(dtype: Any, bits: int, classes: int = 8) -> Iterator[Request]:
    """Yield logits with more bits than the next narrower dtype has, and one active term a row."""
    step = 2.0**-bits
    x = np.full((4, classes), -3.0, dtype)
    x[:, 1] = [1 + step, 0.5 + 3 * step, 5 * step, 1 - step]
    x[:, 0] = [0, step, 0.25, 2 * step]
    y = np.zeros(4, np.int64)
    w = np.full(classes, 1 + step, dtype)
    for p in (1, 2):
        for reduction in ("none", "mean"):
            yield from both(x, y, p=p, reduction=reduction)
            yield from both(x, y, 1 + step, p=p, margin=0.1, reduction=reduction)
        yield from both(x, y, p=p, margin=1 + step, weight=w, reduction="none")


def long_sums(dtype: Any, step: float) -> Iterator[Request]:
    """Yield exact sums of many terms that a narrower accumulator cannot hold."""
    x = np.zeros((64, 64), dtype)
    x[:, 1:] = 1 + step
    for reduction in ("none", "sum", "mean"):
        yield from both(x, np.zeros(64, np.int64), 1 + step, reduction=reduction)


def ranges(dtype: str) -> Iterator[Request]:
    f = FORMATS[dtype]
    kind = DTYPES[dtype]
    top = 2.0 ** (f.emax - 1)
    y = np.array([0])
    for value in (
        2.0**13,
        2.0**20,
        2.0**101,
        top,
        2.0**-110,
        2.0**-14,
        2.0**-21,
        float(f.smallest_normal),
        float(f.eta) * 4,
    ):
        if float(f.eta) <= value <= top:
            yield from both(np.array([[0, value]]).astype(kind), y, margin=0.0)
            yield from both(np.array([[-value, -1]]).astype(kind), y, margin=0.0, g=2.0**-12)
    for value in (2.0**15, 2.0 ** (f.emax // 2 - 1), 2.0 ** -(f.emax // 2 - 4)):
        yield from both(np.array([[0, value]]).astype(kind), y, p=2, margin=0.0)
    yield from both(np.array([[0, 1.0]]).astype(kind), y, margin=0.0, g=float(f.eta) * 16)


def cancelling() -> Iterator[Request]:
    """Yield logits around 2^16 whose differences are exact: algebra that multiplies out loses them."""
    for p in (1, 2):
        x = np.array([[0, 1 / 8, -1 / 8, -2, -3, -4, -5, -6]], np.float32) + np.float32(65536)
        for margin in (2.0**-6, 4096.0):
            x[0, 0] = 65536 + (0 if margin < 1 else 4096)
            yield from both(x, np.array([0]), p=p, margin=margin)
    x = np.array([[0.3, -1e3, 0.7, 1e-3], [0.1, 0.6, -7e5, 0.2]])
    yield from both(x, np.array([0, 3]), p=2, margin=1.0)


def uneven_batch() -> Iterator[Request]:
    x = np.zeros((8, 4))
    x[:, 1] = np.arange(8) / 8 + 2.0**-44
    yield from both(x, np.zeros(8, np.int64), p=1, margin=0.0)


def small_logits() -> Iterator[Request]:
    x = np.array([[1e-9, 2e-9, 0.25, -0.125]])
    yield from both(x, np.array([0]), 1.0, reduction="sum", margin=0.0)
    yield from both(np.array([[1, 2.0**-7, -(2.0**-7), 0]]), np.array([0]), 1.0)


# Special values


def infinite() -> Iterator[Request]:
    inf = np.inf
    rows = [[0.5, -inf, 1.0, 0.0], [-inf, 0.5, 0.25, -inf], [0.5, inf, 1.0, -3.0]]
    rows += [[inf, 0.5, 1.0, 0.0], [-inf, 0.5, 1.0, 0.0], [inf, -inf, 1.0, 0.0]]
    for row, target in zip(rows, (0, 1, 0, 0, 0, 0), strict=True):
        for dtype in (np.float32, np.float64):
            for margin in (1.0, -1.0):
                yield from both(np.array([row], dtype), np.array([target]), 1.0, margin=margin)
    for row, target in zip(rows[:2], (0, 1), strict=True):
        yield from both(np.array([row]), np.array([target]), p=2, reduction="none")


def not_a_number() -> Iterator[Request]:
    x = np.array([[0.5, np.nan, 0.25, 1.0], [0.5, 0.25, 1.0, 0.0]])
    yield call(x, np.array([0, 1]), reduction="none")
    yield call(x[::-1].copy(), np.array([0, 0]), reduction="none")


def nan_at_target() -> Iterator[Request]:
    yield call(np.array([[np.nan, 0.5, 0.25, 1.0]]), np.array([0]), reduction="none")


def poisoned_weights() -> Iterator[Request]:
    for bad in (np.nan, np.inf):
        x, y, w, g = drawn("float64", (4, 8), seed=9)
        y[:] = [0, 1, 2, 0]
        w[5:] = bad
        yield from both(x, y, g, weight=w, reduction="none")


PROBES = (
    Probe("documented", documented, units=8),
    *(Probe(f"grid-{d}-{'x'.join(map(str, s))}", partial(grid, d, s))
        for d in ("float32", "float64") for s in ((4, 8), (4, 4), (8,))),
    Probe("shapes", shapes),
    Probe("empty", partial(empty, "none", "sum")),
    Probe("empty-mean", partial(empty, "mean"), nan_means=0),
    Probe("zero-weights", zero_weights),
    Probe("invalid", invalid),
    Probe("infinite", infinite),
    Probe("not-a-number", not_a_number, nan_means=0.5625),
    Probe("nan-at-target", nan_at_target, nan_means=0),
    Probe("poisoned-weights", poisoned_weights),
    Probe("layouts", layouts),
    Probe("interleaved", interleaved),
    Probe("changed-in-place", changed_in_place),
    Probe("alike", alike, units=2048),
    Probe("zeros-in-place", zeros_in_place),
    Probe("after-rejection", after_rejection),
    Probe("small-logits", small_logits, units=8),
    Probe("large-grad-output", large_grad_output, units=8),
    *(Probe(f"half-{d}", partial(half_grid, d)) for d in ("float16", "bfloat16")),
    *(Probe(f"fine-float32-{c}", partial(fine, np.float32, 14, c), units=8) for c in (8, 10, 1000)),
    *(Probe(f"fine-float64-{c}", partial(fine, np.float64, 40, c), units=8) for c in (8, 10, 1000)),
    Probe("long-sums-float32", partial(long_sums, np.float32, 2.0**-11)),
    Probe("long-sums-float64", partial(long_sums, np.float64, 2.0**-30)),
    *(Probe(f"range-{d}", partial(ranges, d)) for d in ("float32", "float64")),
    Probe("cancelling", cancelling, units=64),
    Probe("uneven-batch", uneven_batch),
    *(Probe(f"classes-{c}-{t}", partial(wide_classes, c, t))
        for c, t in ((256, 130), (512, 300), (4096, 2501), (131072, 70001))),
    *(Probe(f"classes-{c}-{t}", partial(wide_classes, c, t), units=8)
        for c, t in ((7, 5), (100, 98), (135, 131), (257, 254), (65537, 65536))),
    *(Probe(f"rows-{n}", partial(tall, n)) for n in (33, 131, 300, 1100, 65600)),
    Probe("large-in-place", large_in_place),
    Probe("many-losses", many_losses),
    Probe("other-scalars", other_scalars),
    Probe("signs-and-ends", signs_and_ends),
    Probe("all-active", all_active),
    Probe("repeated", repeated, units=1e6),
)  # fmt: skip
