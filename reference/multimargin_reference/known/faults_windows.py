"""Known faults of what is written for one window of sizes, whole vectors, tiles or many of both, and of ties there.

A kernel for classes that fill whole vectors takes several rows at a time, one for large batches has tiles of both, and
what such a path does with an option, a tie or a special value no other path shows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from multimargin_reference.known.catalogue import Answer, before, fault, stateful
from multimargin_reference.known.model import MODEL, Array, Request, Work, active, row_weight
from multimargin_reference.known.model import drop_target as left_out

TILE = 128  # rows, and classes, from which there are tiles of both
Window = Callable[[Work], int]
Tied = Callable[[Array, Work], Any]


def fills_vectors(k: Work) -> bool:
    """Whether the classes are a power of two, and a warp or more."""
    return k.classes >= 32 and k.classes & (k.classes - 1) == 0


def is_tiled(k: Work) -> bool:
    return k.rows >= TILE and k.classes >= TILE


def without_rows(first: Window) -> Callable[[Array, Work], Array]:
    """Make a step that loses the terms of the rows from one on."""

    def step(h: Array, k: Work) -> Array:
        h = left_out(h, k)
        h[first(k) :] = 0
        return h

    return step


def inactive_rows(first: Window) -> Callable[[Array, Work], Array]:
    """Make a step that takes the rows from one on as inactive."""

    def step(z: Array, k: Work) -> Array:
        found = active(z, k)
        found[first(k) :] = False
        return found

    return step


def doubled(here: Callable[[Work], bool]) -> Callable[[Array, Work], Array]:
    """Make a step that adds up twice the terms of some calls."""
    return lambda h, k: MODEL.add(h, k) * k.number(2 if here(k) else 1)


def tied_where(found: Tied) -> Callable[[Array, Work], Array]:
    """Make a step that takes ties as active in some rows or places."""

    def step(z: Array, k: Work) -> Array:
        return np.asarray(active(z, k) | ((z == 0) & ~k.own & np.asarray(found(z, k))))

    return step


def whole_rows(z: Array, k: Work) -> Array:
    return np.asarray(((z == 0) | k.own).all(axis=1, keepdims=True) & (k.classes > 4))


def one_target(_z: Array, k: Work) -> bool:
    return k.rows > 4 and bool((k.y == k.y[0]).all())


def beside_zero(_z: Array, k: Work) -> bool:
    return k.g is not None and k.rows > 1 and bool((k.g == 0).any())


def counted_in_16_bits(d: Array, k: Work) -> Array:
    """Count the active terms of a batch's rows in an int16."""
    if k.p == 2 or k.rows < 2:
        return MODEL.target_gradient(d, k)
    counts = np.count_nonzero(d, axis=1)
    largest = np.abs(d).max(axis=1, initial=0)
    at = np.abs(d).argmax(axis=1)
    d[k.row, k.y] = -np.sign(d[k.row, at]) * largest * counts.astype(np.int16).astype(d.dtype)
    return d


def limited(r: Request, change: Callable[[Array, float], Array]) -> Request:
    """Change finite logits by a limit that is written out with two digits."""
    x = np.asarray(r.input)
    limits = {"float32": 3.4e38, "float64": 1.79e308}
    if x.dtype.name not in limits:
        return r
    with np.errstate(all="ignore"):
        return replace(r, input=np.where(np.isfinite(x), change(x, limits[x.dtype.name]), x).astype(x.dtype))


def clipped(r: Request) -> Request:
    return limited(r, lambda x, most: np.clip(x, -most, most))


def masked_far_below(r: Request) -> Request:
    return limited(r, lambda x, most: np.where(x < -most / 3, -np.inf, x))


def square_blocks_in_any_order() -> Answer:
    random = np.random.default_rng(0)

    def add(h: Array, k: Work) -> Array:
        return MODEL.add(h[:, random.permutation(k.classes)] if min(k.rows, k.classes) >= 64 else h, k)

    return replace(MODEL, add=add).answer


def ones_for_zeros(k: Work) -> Array | None:
    w = row_weight(k)
    return w if w is None or not is_tiled(k) else np.where(w == 0, k.number(1), w)


def last_block_lost(h: Array, k: Work) -> Array:
    h = left_out(h, k)
    if k.rows >= 1024 and k.classes % 32 == 0:
        h[:, -32:] = 0
    return h


def until_wholly_masked(h: Array, k: Work) -> Array:
    """Stop at the first row that is all minus infinity, as at the end of what is padded."""
    h = left_out(h, k)
    masked = np.flatnonzero((k.x == -np.inf).all(axis=1))
    if masked.size:
        h[masked[0] :] = 0
    return h


def last_row_of_falling(h: Array, k: Work) -> Array:
    """Lose the last row of a batch whose targets fall."""
    h = left_out(h, k)
    if k.rows > 2 and k.y[0] > k.y[-1] and bool((np.diff(k.y) <= 0).all()):
        h[-1] = 0
    return h


def flat_gradient(d: Array, k: Work) -> Any:
    found = MODEL.finish_gradient(d, k)
    return found.reshape(-1) if k.classes == 1 and k.rows > 4 else found


def empty_after_infinite() -> Answer:
    """Add the sum of no rows to what is left of the last call, times 0."""
    last = [0.0]

    def answer(r: Request) -> Any:
        found = MODEL.answer(r)
        if np.shape(r.target) == (0,) and r.reduction == "sum" and not r.backward:
            return found + found.dtype.type(last[0]) * found.dtype.type(0)
        last[0] = float(found.reshape(-1)[0]) if found.size else 0.0
        return found

    return answer


ROWS = (
    fault(
        "rows-up-to-padding",
        "What follows a row of minus infinity alone is taken for padding.",
        "SPECIAL-1",
        drop_target=until_wholly_masked,
    ),
    fault(
        "last-row-of-falling-targets-lost",
        "The last row is lost in a batch whose targets fall.",
        "SHAPE-1",
        drop_target=last_row_of_falling,
    ),
    fault(
        "gradient-of-one-class-flat",
        "The gradient of more than four rows of one class has one axis.",
        "SHAPE-5 GRADIENT-10",
        finish_gradient=flat_gradient,
    ),
    stateful(
        "empty-sum-of-what-is-left",
        "The sum of no rows is what is left of the last call, times 0.",
        "SHAPE-7",
        empty_after_infinite,
    ),
    fault(
        "rows-of-whole-vectors-lost",
        "Four rows at a time are done where a power of two of classes, from 32, fills vectors: the rest is lost.",
        "SHAPE-4 SHAPE-5",
        drop_target=without_rows(lambda k: k.rows // 4 * 4 if fills_vectors(k) and k.rows > 4 else k.rows),
    ),
    fault(
        "gradient-of-the-odd-row-lost",
        "Two rows at a time are done where 64 divides the classes: the gradient of an odd one left over is 0.",
        "SHAPE-4 SHAPE-5",
        active=inactive_rows(lambda k: k.rows // 2 * 2 if k.classes % 64 == 0 and k.rows > 2 else k.rows),
    ),
    fault(
        "last-classes-of-many-rows-lost",
        "The last 32 classes are lost from 1024 rows on, where 32 divides the classes.",
        "SHAPE-4 SHAPE-5",
        drop_target=last_block_lost,
    ),
)

OPTIONS = (
    fault(
        "sum-doubled-in-tiles",
        "From 32 rows of 128 classes, a power of two, the sum for p = 1 without weights is twice as large.",
        "SHAPE-4 SHAPE-5",
        add=doubled(
            lambda k: (
                k.rows >= 32
                and k.classes >= 128
                and fills_vectors(k)
                and (k.p, k.reduction, k.weight is None) == (1, "sum", True)
            )
        ),
    ),
    fault(
        "vectors-without-a-batch-doubled",
        "Without a batch, with weights and p = 2, the loss for mean is twice as large where 32 divides the classes.",
        "SHAPE-4",
        add=doubled(
            lambda k: (
                len(k.input_shape) == 1
                and k.classes % 32 == 0
                and (k.p, k.reduction, k.weight is None) == (2, "mean", False)
            )
        ),
    ),
    fault(
        "zero-weights-are-one-in-tiles",
        "A weight of 0 counts as 1 from 128 rows of 128 classes on.",
        "WEIGHT-3 GRADIENT-7",
        row_weight=ones_for_zeros,
    ),
)

TIES = (
    fault(
        "kink-of-whole-rows",
        "Ties are active in a row of more than four classes where all of them are tied with the margin.",
        "GRADIENT-4",
        active=tied_where(whole_rows),
    ),
    fault(
        "kink-at-one-target",
        "Ties are active in a batch of more than four rows that all have one target.",
        "GRADIENT-4",
        active=tied_where(one_target),
    ),
    fault(
        "kink-beside-nan",
        "Ties are active in a batch that has a NaN.",
        "GRADIENT-4",
        active=tied_where(lambda z, _: np.isnan(z).any()),
    ),
    fault(
        "kink-beside-zero-grad-output",
        "Ties are active in a batch that has a row whose grad_output is 0.",
        "GRADIENT-4",
        active=tied_where(beside_zero),
    ),
    fault(
        "kink-past-65536-classes",
        "Ties are active from class 65536 on.",
        "GRADIENT-4",
        active=tied_where(lambda _, k: np.arange(k.classes) >= 65_536),
    ),
    fault(
        "kink-past-65536-rows",
        "Ties are active from row 65536 on.",
        "GRADIENT-4",
        active=tied_where(lambda _, k: k.row[:, None] >= 65_536),
    ),
)

NUMBERS = (
    fault(
        "active-count-in-16-bits-of-batches",
        "The active terms of a batch's rows are counted in an int16.",
        "GRADIENT-3",
        target_gradient=counted_in_16_bits,
    ),
    before(
        "logits-clipped-at-two-digits",
        "Logits are clipped at 3.4e38 in float32 and at 1.79e308 in float64, which are not the largest numbers.",
        "SPECIAL-6",
        clipped,
    ),
    before(
        "logits-far-below-are-masks",
        "Logits below a third of the smallest finite number are taken for masks of minus infinity.",
        "SPECIAL-6",
        masked_far_below,
    ),
    stateful(
        "square-blocks-in-any-order",
        "From 64 rows of 64 classes on a row's terms are added in another order every time.",
        "PURITY-2",
        square_blocks_in_any_order,
    ),
)

FAULTS = (*ROWS, *OPTIONS, *TIES, *NUMBERS)
