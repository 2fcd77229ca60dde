"""Series of calls for the probes: how they are made, and those about validation, layout and state."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from multimargin_reference.formats import DTYPES
from multimargin_reference.known.model import Request


def call(
    x: Any, y: Any, p: Any = 1, margin: Any = 1.0, weight: Any = None, reduction: Any = "mean", g: Any = None
) -> Request:
    return Request(x, y, p, margin, weight, reduction, g, backward=g is not None)


def both(x: Any, y: Any, g: Any = 2.0, **options: Any) -> list[Request]:
    """Ask for the loss and for the gradient; a plain `g` is repeated for every row of reduction = none."""
    x = np.asarray(x)
    rows = np.full(np.shape(y), g) if options.get("reduction") == "none" and np.ndim(g) == 0 else np.asarray(g)
    return [call(x, y, **options), call(x, y, g=rows.astype(x.dtype), **options)]


def drawn(dtype: str, shape: tuple[int, ...], seed: int, levels: int = 5) -> tuple[Any, Any, Any, Any]:
    draw = np.random.default_rng(seed)
    x = (draw.integers(0, levels, shape) / 2).astype(DTYPES[dtype])
    y = np.asarray(draw.integers(0, shape[-1], shape[:-1]), np.int64)
    w = draw.choice([1.0, -1.0, 2.0], shape[-1]).astype(x.dtype)
    return x, y, w, draw.choice([1.0, -0.5, 2.0, 0.0], shape[:-1]).astype(x.dtype)


# Validation


def invalid() -> Iterator[Request]:
    yield from invalid_scalars()
    yield from invalid_targets()
    yield from invalid_shapes()


def invalid_scalars() -> Iterator[Request]:
    x, y, _, _ = drawn("float64", (4, 4), seed=10)
    for p in (0, 3, 1.5, 1.99, -1, -2, 4, 0.5, float("nan"), float("inf"), 2.5, None, "one", 1.000001):
        yield from both(x, y, p=p)
    for number in (np.int64(3), np.float32(1.5)):
        yield from both(x, y, p=number)
    for reduction in ("average", "", "Mean", "SUM", "batchmean", "m", "s", None, "mean ", "add", "max", 7, -1):
        yield from both(x, y, reduction=reduction)


def invalid_targets() -> Iterator[Request]:
    x, _, w, _ = drawn("float64", (4, 4), seed=11)
    for bad in (-1, -2, -4, -5, -100, 4, 5, 8, 256, 257, 2**16 + 1, 2**31 + 1, 2**32 + 1, 2**63 - 1, -(2**63)):
        for row in range(4):
            y = np.array([0, 1, 2, 3])
            y[row] = bad
            for options in ({}, {"weight": w}, {"p": 2}, {"reduction": "none"}, {"reduction": "sum"}):
                yield from both(x, y, **options)
        yield from both(x[0], np.array(bad), reduction="none")
    yield from both(x, np.array([0, 1, 4, 2]), margin=-1e4)
    yield from both(np.zeros(65), np.array(65))
    y = np.arange(64) % 4
    y[40] = 4
    yield from both(np.zeros((64, 4)), y)


def invalid_shapes() -> Iterator[Request]:
    x, y, w, _ = drawn("float64", (3, 4), seed=12)
    one_hot = np.eye(4, dtype=np.int64)[y]
    for target in (
        y[:1],
        y[:2],
        np.append(y, 0),
        y[:, None],
        y[None, :],
        one_hot,
        np.array(1),
        y[:, None, None, None],
        y.astype(float),
        y + 0.5,
    ):
        yield from both(x, target)
    yield from both(x, y.astype(np.float32))
    yield from both(x[:, :1], np.zeros((3, 1, 1), np.int64))
    for weight in (w[:1], w[:2], w[:3], w[:0], np.append(w, 1), w[None, :], w[:, None], w[0], np.ones((3, 4))):
        for reduction in ("none", "mean"):
            yield from both(x, np.minimum(y, 1), weight=np.asarray(weight), reduction=reduction)
    for shape in ((0, 0), (3, 0), (0,)):
        yield from both(np.zeros(shape), np.zeros(shape[:-1], np.int64))
    ranks: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
        ((2, 3, 4), (2, 3)),
        ((2, 3, 4), (6,)),
        ((1, 3, 4), (3,)),
        ((2, 4, 3), (2, 3)),
        ((2, 3, 4), (3,)),
    )
    for axes, target in ranks:
        yield from both(np.zeros(axes), np.zeros(target, np.int64))


# Layout


def strided(a: Any) -> Any:
    return (
        np.repeat(a, 2, axis=-1)[..., ::2] if a.ndim == 1 else np.repeat(np.repeat(a, 2, axis=0), 3, axis=1)[::2, ::3]
    )


def spaced(a: Any) -> Any:
    wide = np.zeros(tuple(2 * n for n in a.shape), a.dtype)
    view = wide[tuple(slice(0, None, 2) for _ in a.shape)]
    view[...] = a
    return view


def backwards(a: Any) -> Any:
    return a[::-1].copy()[::-1]


def read_only(a: Any) -> Any:
    copy = a.copy()
    copy.flags.writeable = False
    return copy


def unaligned(a: Any) -> Any:
    memory = np.zeros(a.nbytes + 1, np.uint8)
    view = memory[1:].view(a.dtype).reshape(a.shape)
    view[...] = a
    return view


def expanded(a: Any) -> Any:
    return np.broadcast_to(a[:1], a.shape)


LAYOUTS = (spaced, strided, backwards, read_only, unaligned, expanded, np.asfortranarray)


def layouts() -> Iterator[Request]:
    for layout in LAYOUTS:
        x, y, w, g = drawn("float64", (8, 8), seed=13)
        g = np.arange(1.0, 9.0)
        for r in both(x, y, g, p=2, weight=w, reduction="none"):
            for name in ("input", "target", "weight", "grad_output"):
                if getattr(r, name) is not None:
                    changed: dict[str, Any] = {name: layout(getattr(r, name))}
                    yield replace(r, **changed)


# State


def repeated() -> Iterator[Request]:
    draw = np.random.default_rng(14)
    x, y = draw.normal(size=(8, 64)).astype(np.float32), draw.integers(0, 64, 8)
    for _ in range(128):
        yield call(x, y, p=2)


def interleaved() -> Iterator[Request]:
    """Yield calls of one shape whose arguments differ, the gradients long after their losses."""
    x, y, w, g = drawn("float64", (4, 8), seed=15)
    series = [{"p": 2, "margin": 0.5}, {"p": 1, "margin": 1.0}, {"weight": w}, {"weight": -w}, {"reduction": "sum"}]
    for options in series:
        yield call(x, y, **options)
    for target in (y, (y + 1) % 8):
        for values in (x, x[:, ::-1].copy(), x + 1, x * 2):
            yield call(values, target, p=2, reduction="none")
    for slope in (g, g * 2, g + 1):
        for options in ({}, {"p": 2, "margin": 0.5}):
            yield call(x, y, reduction="none", g=slope, **options)


def alike() -> Iterator[Request]:
    """Yield calls that differ in the middle of an array, in two margins of one hash, in shape or dtype alone."""
    x = np.zeros((2, 1200))
    x[:, 1] = 0.5
    for place in ((0, 601), (1, 601)):
        yield from both(x, np.array([0, 2]), reduction="none")
        x = x.copy()
        x[place] = 4
    for margin in (-1.0, -2.0):
        yield from both(x[:, :8] * 8, np.array([0, 2]), margin=margin)
    for same in (x, x.astype(np.float32), x[0]):
        yield from both(same, np.array([0, 2]) if same.ndim > 1 else np.array(0), reduction="none")


def zeros_in_place() -> Iterator[Request]:
    """Yield a call whose gradient equals its input, which is overwritten afterwards."""
    x = np.zeros((2, 4))
    yield from both(x, np.array([0, 1]), margin=-1.0)
    x[...] = 1


def changed_in_place() -> Iterator[Request]:
    """Yield the same objects with other contents."""
    x, y, w, g = drawn("float64", (4, 8), seed=16)
    for _ in range(2):
        x[...] = np.roll(x, 1, axis=1)
        yield from both(x, y, g, weight=w, reduction="none")
    for step in range(3):
        x[...] = np.roll(x, 1, axis=1)
        y[...] = (y + step) % 8
        w[...] = np.roll(w, 1) * 2
        yield from both(x, y, g, weight=w, reduction="none", p=2)


def after_rejection() -> Iterator[Request]:
    x, y, _, _ = drawn("float64", (4, 4), seed=17)
    yield call(x, y)
    yield call(x, y + 4)
    yield call(x, y)


def large_in_place() -> Iterator[Request]:
    """Yield two calls of one large array, whose contents are others in the second."""
    x, y, _, _ = drawn("float64", (64, 64), seed=19)
    yield call(x, y)
    x[...] = x[:, ::-1].copy()
    yield call(x, y)


def many_losses() -> Iterator[Request]:
    """Yield calls of many rows that keep them apart, with other margins."""
    x, y, _, _ = drawn("float64", (256, 2), seed=20)
    for margin in range(10):
        yield call(x, y, margin=float(margin), reduction="none")


def other_scalars() -> Iterator[Request]:
    """Yield calls with a margin or a reduction of another type, and with a reversed target out of range."""
    x, y, _, _ = drawn("float64", (4, 4), seed=21)
    yield from both(x, y, margin=2)
    yield from both(x, y, margin=np.float32(0.25))
    yield from both(x, y, reduction=np.str_("sum"))
    yield from both(x, backwards(np.array([4, 0, 0, 0])))


def signs_and_ends() -> Iterator[Request]:
    """Yield calls with a margin of -0.0, a grad_output that is not finite, a large weight beside a large logit."""
    x, y, _, _ = drawn("float64", (4, 4), seed=22)
    x += 2.0**-12 * np.arange(4)
    yield from both(x, y, margin=-0.0)
    yield call(np.zeros((1, 2)), np.array([0]), g=np.array(np.nan))
    yield call(np.array([[0.0, 1e30]]), np.array([0]), margin=0.0, weight=np.array([4096.0, 1.0]))


def all_active() -> Iterator[Request]:
    yield call(np.zeros((1, 2**17)), np.array([7]), g=np.ones(()))
