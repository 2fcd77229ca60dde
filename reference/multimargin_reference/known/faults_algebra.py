"""Known faults of algebra on a path of its own, and of calls that look special: sums of logits, roots of squares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from multimargin_reference.known import model
from multimargin_reference.known.catalogue import Answer, after, before, fault, stateful
from multimargin_reference.known.faults_together import within
from multimargin_reference.known.model import MODEL, Array, Request, Work

LONG = 64  # classes


def _shift(k: Work) -> Array:
    """Return margin - x[y], (N,)."""
    return np.asarray(k.margin - k.x[k.row, k.y])


def by_logits(h: Array, k: Work) -> Array:
    """Add the active logits, and so many times what all of them have in common."""
    if k.p != 1 or k.classes < LONG:
        return model.add(h, k)
    active = h != 0
    sums = np.where(active, k.x, k.number(0)).sum(axis=1) + active.sum(axis=1).astype(k.x.dtype) * _shift(k)
    return np.asarray(sums if k.w is None else sums * np.broadcast_to(k.w, k.x.shape)[:, 0])


def target_by_logits(d: Array, k: Work) -> Array:
    """Make the target's element for p = 2 of the active logits' sum."""
    if k.p != 2:
        return model.target_gradient(d, k)
    shift = _shift(k)
    active = (k.x + shift[:, None] > 0) & ~k.own
    slopes = np.where(active, k.x, k.number(0)).sum(axis=1) + active.sum(axis=1).astype(k.x.dtype) * shift
    factor = MODEL.factored(k) * 2
    d[k.row, k.y] = -slopes * (factor if k.w is None else factor * np.broadcast_to(k.w, k.x.shape)[:, 0])
    return d


def slope_by_root(z: Array, k: Work) -> Array:
    """Get the hinge back from its square, which is what the loss has kept."""
    if k.p == 1 or k.classes <= 4:
        return model.slope(z, k)
    root = np.sqrt(z * z)
    return np.asarray(root + root)


def above_threshold(z: Array, k: Work) -> Array:
    """Take what is nearly at the kink for inactive, where there are many classes."""
    return np.asarray(MODEL.active(z, k) & ((z > 1e-6) | (k.classes < LONG)))


def of_strided(change: Callable[[Array], Any]) -> Callable[[Request], Request]:
    """Make a change of inputs in other than C order alone."""

    def changed(r: Request) -> Request:
        x = r.input
        if not isinstance(x, np.ndarray) or x.ndim != 2 or x.flags.c_contiguous or x.dtype.kind != "f":
            return r
        return replace(r, input=change(x))

    return changed


def clipped(x: Array) -> Array:
    """Replace infinities by the largest finite numbers."""
    return np.asarray(np.nan_to_num(x, nan=np.nan))


def one_infinity(value: Any, r: Request) -> Any:
    """Answer NaN where a row has two infinite logits: one is subtracted from the other."""
    x = np.asarray(r.input)
    if x.dtype.kind != "f" or x.ndim == 0 or not (np.isposinf(x).sum(axis=-1) > 1).any():
        return value
    return np.where(np.isinf(value), np.nan, value).astype(value.dtype)


def as_diagonal(r: Request) -> Request:
    """Take targets that increase for those of rows that are classes of their own."""
    y = np.asarray(r.target)
    if y.dtype != np.int64 or y.ndim != 1 or len(y) < 3 or np.shape(r.input)[:1] != y.shape:
        return r
    is_valid = y[0] >= 0 and y[-1] < np.shape(r.input)[-1]
    return replace(r, target=np.arange(len(y))) if is_valid and (np.diff(y) > 0).all() else r


def single_with_axis(value: Any, r: Request) -> Any:
    """Give the loss of one class without a batch an axis."""
    return value.reshape(1) if not r.backward and np.shape(r.input) == (1,) and r.reduction == "none" else value


def empty_by_power() -> Answer:
    """Divide by N for p = 2 alone."""

    def answer(r: Request) -> Any:
        right = MODEL.answer(r)
        empty = not r.backward and r.reduction == "mean" and np.size(r.target) == 0 and r.p == 2
        return right * np.nan if empty else right

    return answer


FAULTS = (
    fault(
        "long-rows-by-sum-of-logits",
        "From 64 classes on p = 1 is the sum of the active logits and their count times margin - x[y], which cancels.",
        "VALUE-9",
        add=by_logits,
    ),
    fault(
        "target-by-sum-of-logits",
        "The target's gradient for p = 2 is made of the sum of the active logits, which cancels.",
        "GRADIENT-11 GRADIENT-3",
        target_gradient=target_by_logits,
    ),
    fault(
        "slope-by-root",
        "From 5 classes on z is the root of its square, which underflows and overflows.",
        "GRADIENT-11 SPECIAL-6",
        slope=slope_by_root,
    ),
    fault(
        "long-rows-kink-tolerance",
        "From 64 classes on a hinge of less than 1e-6 has no slope.",
        "GRADIENT-11 GRADIENT-4",
        active=above_threshold,
    ),
    before(
        "strided-infinities-clipped",
        "Infinities of a strided input become the largest finite numbers.",
        "SPECIAL-1 SPECIAL-2 SPECIAL-3 SPECIAL-4",
        of_strided(clipped),
    ),
    after(
        "two-infinities-nan",
        "A row with two infinite logits is NaN: one is subtracted from the other.",
        "SPECIAL-2",
        one_infinity,
    ),
    before(
        "increasing-targets-as-diagonal",
        "Targets that increase are taken for 0, 1, 2 and so on, as where every row is a class of its own.",
        "SHAPE-1",
        as_diagonal,
    ),
    after(
        "single-class-none-axis",
        "The loss of one class without a batch has the shape (1,) for the reduction none.",
        "REDUCTION-4 VALUE-7",
        single_with_axis,
    ),
    stateful(
        "empty-mean-by-power",
        "The mean of an empty batch is 0 for p = 1 and NaN for p = 2.",
        "SHAPE-8",
        empty_by_power,
    ),
    fault(
        "rows-past-2-18",
        "Rows past 2 ** 18 are left out.",
        "SHAPE-5",
        drop_target=within(lambda _: 2**18, lambda _: 0),
    ),
)
