"""Known faults that take two things together: both sizes large, both parts of one call, many blocks, all threads."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from multimargin_reference.known import raw
from multimargin_reference.known.catalogue import Answer, answered, before, fault, stateful
from multimargin_reference.known.faults_layout import reading
from multimargin_reference.known.faults_target_shapes import reshaping
from multimargin_reference.known.faults_targets import accepting, modulo, position
from multimargin_reference.known.model import MODEL, Array, Request, Work
from multimargin_reference.known.model import drop_target as left_out

BLOCK_ROWS, BLOCK_CLASSES = 256, 4096
GRID_LIMIT = 65_535
LARGE = 4096  # logits
TILE_ROWS, TILE_CLASSES = 16, 2048
OFTEN = 300  # equal calls


def kept_by_the_other_part(backward: bool) -> Callable[[], Answer]:
    """Answer for one part with what the latest call of the other part left for it, if input and target are the same."""

    def start() -> Answer:
        kept: list[tuple[Request, Any]] = []

        def answer(r: Request) -> Any:
            right = MODEL.answer(r)
            if r.backward is backward:
                same = kept and kept[0][0].input is r.input and kept[0][0].target is r.target
                return kept[0][1].copy() if same and kept[0][1].shape == right.shape else right
            ones = np.ones(np.shape(right) if backward else (), right.dtype)
            kept[:] = [(r, MODEL.answer(replace(r, backward=backward, grad_output=ones)))]
            return right

        return answer

    return start


def in_any_order(blocks: Callable[[Work], int]) -> Callable[[], Answer]:
    """Add so many blocks of classes, and of rows, in the order in which they happen to be done."""

    def start() -> Answer:
        random = np.random.default_rng(0)

        def added(values: Array, size: int) -> Array:
            parts = [values[..., at : at + size].sum(axis=-1) for at in range(0, values.shape[-1], size)]
            total = np.zeros_like(parts[0])
            for k in random.permutation(len(parts)):
                total = total + parts[k]
            return np.asarray(total)

        def add(h: Array, k: Work) -> Array:
            return added(h, BLOCK_CLASSES) if k.classes > BLOCK_CLASSES and blocks(k) else MODEL.add(h, k)

        def reduce(rows: Array, k: Work) -> Any:
            if k.reduction == "none" or k.rows <= BLOCK_ROWS or blocks(k):
                return MODEL.reduced(rows, k)
            total = added(rows, BLOCK_ROWS)
            return total / k.number(k.rows) if k.reduction == "mean" else total

        return replace(MODEL, add=add, reduce=reduce).answer

    return start


def strided_in_any_order() -> Answer:
    """Add the terms of rows that have gaps in memory in the order in which they come."""
    random = np.random.default_rng(0)

    def add(h: Array, k: Work) -> Array:
        return MODEL.add(h[:, random.permutation(k.classes)], k)

    def answer(r: Request) -> Any:
        has_gaps = isinstance(r.input, np.ndarray) and not (r.input.flags.c_contiguous or r.input.flags.f_contiguous)
        return (replace(MODEL, add=add) if has_gaps else MODEL).answer(r)

    return answer


def anew_when_often() -> Answer:
    """Compile what is called often for its very arguments, wrongly."""
    counts: Counter[Any] = Counter()

    def answer(r: Request) -> Any:
        arrays = (np.asarray(a).tobytes() for a in (r.input, r.target, r.grad_output))
        key = (r.backward, r.p, r.margin, r.reduction, *map(hash, arrays))
        counts[key] += 1
        right = MODEL.answer(r)
        return right if counts[key] < OFTEN else right * right.dtype.type(2)

    return answer


def without_filled_tile(h: Array, k: Work) -> Array:
    """Take the remainders for the last tile's size, which are 0 where it is filled both ways."""
    h = left_out(h, k)
    if k.rows % TILE_ROWS == 0 and k.classes % TILE_CLASSES == 0:
        h[-TILE_ROWS:, -TILE_CLASSES:] = 0
    return h


def within(rows: Callable[[Work], int], classes: Callable[[Work], int]) -> Callable[[Array, Work], Array]:
    """Make a step that loses the terms past so many rows and classes."""

    def step(h: Array, k: Work) -> Array:
        h = left_out(h, k)
        h[rows(k) :, classes(k) :] = 0
        return h

    return step


def dense_columns(array: Array) -> Array:
    """Read an array whose columns are contiguous as if nothing lay between them."""
    if array.ndim != 2 or array.strides[0] != array.itemsize or array.shape[0] < 2:
        return array
    return raw.with_strides(array, (array.itemsize, array.itemsize * array.shape[0]))


def as_int16(r: Request) -> Request:
    y = np.asarray(r.target)
    return replace(r, target=y.astype(np.int16).astype(np.int64)) if y.dtype == np.int32 else r


def int32_of_any_count(r: Request) -> Request:
    """Take int32 targets, as many as there are rows of them, or 0 for those that are missing."""
    y, shape = np.asarray(r.target), np.shape(r.input)
    if y.dtype != np.int32 or y.ndim != 1 or len(shape) != 2:
        return r
    return replace(r, target=np.append(y, np.zeros(shape[0], np.int64))[: shape[0]].astype(np.int64))


def without_negative_zeros(r: Request) -> Request:
    """Add 0 to grad_output where it is, which is -0 no more."""
    if r.backward and isinstance(r.grad_output, np.ndarray) and r.grad_output.flags.writeable:
        r.grad_output[...] = r.grad_output + r.grad_output.dtype.type(0)
    return r


def shared_when_large() -> Answer:
    """Copy the logits of a large call into one array a shape, so that threads compute from each other's."""
    buffers: dict[Any, Any] = {}

    def answer(r: Request) -> Any:
        x = np.asarray(r.input)
        if x.size < LARGE:
            return MODEL.answer(r)
        buffer = buffers.setdefault((x.shape, x.dtype.name), np.empty_like(x))
        buffer[...] = x
        time.sleep(2e-5)
        return MODEL.answer(replace(r, input=buffer))

    return answer


def scaled_for_a_while(r: Request) -> Any:
    """Double the input where it is, compute from a copy, and put it back: its memory holds others meanwhile."""
    x = r.input
    if not (isinstance(x, np.ndarray) and x.flags.writeable and x.dtype.kind in "fV"):
        return MODEL.answer(r)
    kept = x.copy()
    try:
        x *= x.dtype.type(2)
        return MODEL.answer(replace(r, input=kept))
    finally:
        x[...] = kept


def rows_apart(array: Array) -> Array:
    """Read rows that are no whole number of elements apart as if they were."""
    if array.ndim != 2 or array.strides[1] != array.itemsize or not array.strides[0] % array.itemsize:
        return array
    return raw.with_strides(array, (array.strides[0] // array.itemsize * array.itemsize, array.itemsize))


def within_a_line(array: Array) -> Array:
    """Read targets that are more than 64 bytes apart as if they were 64."""
    return array if array.ndim != 1 or array.strides[0] <= 64 else raw.with_strides(array, (64,))


PARTS = (
    stateful(
        "gradient-kept-by-loss",
        "The loss keeps the gradient for the next call with the same input and target, whatever is in them by then.",
        "PURITY-3",
        kept_by_the_other_part(True),
    ),
    stateful(
        "loss-kept-by-gradient",
        "The gradient keeps the loss for the next call with the same input and target, whatever is in them by then.",
        "PURITY-3",
        kept_by_the_other_part(False),
    ),
    stateful(
        "threads-share-large-scratch",
        "Large inputs pass through one array a shape, so that threads compute from each other's.",
        "PURITY-3",
        shared_when_large,
    ),
    stateful(
        "equal-calls-from-300-on",
        "What was called 300 times is compiled for its very arguments, and that code gives twice the result.",
        "PURITY-3 PURITY-4",
        anew_when_often,
    ),
)

ORDERS = (
    stateful(
        "strided-in-any-order",
        "Terms of an input with gaps are added as they come, in another order every time.",
        "PURITY-2",
        strided_in_any_order,
    ),
    stateful(
        "row-blocks-in-any-order",
        "Blocks of 256 rows are added up as they are done, in another order every time.",
        "PURITY-2",
        in_any_order(lambda _: 0),
    ),
    stateful(
        "class-blocks-in-any-order",
        "Blocks of 4096 classes are added up as they are done, in another order every time.",
        "PURITY-2",
        in_any_order(lambda _: 1),
    ),
)

SIZES = (
    fault(
        "many-classes-row-limit",
        "Rows from 65,535 on are lost where each has a block of its own, as it has from 33 classes on.",
        "SHAPE-5",
        drop_target=within(lambda k: GRID_LIMIT if k.classes > 32 else k.rows, lambda _: 0),
    ),
    fault(
        "second-tile-both-ways",
        "A tile of 8 x 4096 is lost that is the first in neither direction.",
        "SHAPE-4 SHAPE-5",
        drop_target=within(lambda _: 8, lambda _: BLOCK_CLASSES),
    ),
    fault(
        "classes-past-2-18",
        "Classes past 2 ** 18 are left out.",
        "SHAPE-4",
        drop_target=within(lambda _: 0, lambda _: 2**18),
    ),
    fault(
        "filled-tile-taken-as-empty",
        "The last tile of 16 x 2048 logits is lost where it is filled: its size is taken for the remainders.",
        "SHAPE-4",
        drop_target=without_filled_tile,
    ),
    before(
        "target-unchecked-past-65536-rows",
        "Targets past the first 65536 rows are not checked.",
        "REJECT-3 REJECT-4",
        accepting(lambda y, _c, _r: position(y) >= 1 << 16, modulo),
    ),
)

ARGUMENTS = (
    before(
        "input-dense-columns",
        "An input in Fortran order is read as if its columns lay side by side.",
        "PURITY-5",
        reading("input", dense_columns),
    ),
    answered(
        "input-scaled-for-a-while",
        "The input is doubled where it is and put back later: weights that are a view of it are doubled meanwhile.",
        "PURITY-5 PURITY-3",
        scaled_for_a_while,
    ),
    before(
        "rows-a-whole-number-apart",
        "The bytes between rows are taken for a whole number of elements.",
        "PURITY-5",
        reading("input", rows_apart),
    ),
    before(
        "targets-within-a-line",
        "Targets more than 64 bytes apart are read as if they were 64.",
        "PURITY-5",
        reading("target", within_a_line),
    ),
    before(
        "target-count-half",
        "Half as many targets as rows serve two rows each.",
        "REJECT-6",
        reshaping(lambda y, s: y.ndim == 1 and 0 < 2 * y.size == s[0], lambda y, _s: np.repeat(y, 2)),
    ),
    before(
        "target-count-of-logits",
        "As many targets as logits are taken for one a row, the first of each.",
        "REJECT-6",
        reshaping(lambda y, s: y.ndim == 1 and s[1] > 1 and y.size == s[0] * s[1], lambda y, s: y[:: s[1]]),
    ),
    before("target-int32-as-int16", "int32 targets are taken, and pass through int16.", "DTYPE-4", as_int16),
    before(
        "target-int32-count",
        "int32 targets are taken, and their count is not checked.",
        "REJECT-6",
        int32_of_any_count,
    ),
    before(
        "grad-output-negative-zeros",
        "0 is added to the caller's grad_output, whose negative zeros are positive then.",
        "PURITY-1",
        without_negative_zeros,
    ),
)

FAULTS = (*PARTS, *ORDERS, *SIZES, *ARGUMENTS)
