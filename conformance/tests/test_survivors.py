"""Faults of answers on one path alone that passed once: each has a check that rejects it now."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from multimargin_reference.known import MODEL, Request

Answer = Callable[[Request], Any]
AssertRejected = Callable[[str, str, Answer], None]
Array = np.ndarray[Any, Any]


def wrong_from(rows: int, classes: int, *, backward: bool) -> Answer:
    """Leave out the last class of a tile that is used from so many rows of so many classes on."""

    def answer(r: Request) -> Any:
        value = MODEL.answer(r)
        shape = np.shape(r.input)
        if r.backward is not backward or len(shape) != 2 or shape[0] < rows or shape[1] < classes:
            return value
        if backward:
            value = np.array(value)
            value[-1, -1] = 0
            return value
        x = np.array(r.input)
        x[-1, -1] = -np.inf
        return MODEL.answer(replace(r, input=x))

    return answer


def nothing_first(is_nothing: Callable[[Request], bool]) -> Answer:
    """Answer 0 to a loss of nothing before anything is validated."""

    def answer(r: Request) -> Any:
        if not r.backward and is_nothing(r):
            return np.zeros((), np.asarray(r.input).dtype)
        return MODEL.answer(r)

    return answer


def images(is_image: Callable[[Any], bool]) -> Answer:
    """Take (N, C, ...) with (N, ...) targets for rows of places, as losses of pixels do."""

    def answer(r: Request) -> Any:
        x, y = np.asarray(r.input), np.asarray(r.target)
        if x.ndim > 2 and is_image(x) and y.shape == (len(x), *x.shape[2:]):
            r = replace(r, input=np.moveaxis(x, 1, -1).reshape(y.size, x.shape[1]), target=y.reshape(-1))
        return MODEL.answer(r)

    return answer


def empty_like_the_last() -> Answer:
    """Answer NaN to the mean of nothing after a mean that was not finite."""
    last = SimpleNamespace(finite=True)

    def answer(r: Request) -> Any:
        value = MODEL.answer(r)
        if r.reduction != "mean" or r.backward:
            return value
        if not np.size(r.target) and np.ndim(r.input) == 2:
            return value if last.finite else np.full_like(value, np.nan)
        last.finite = bool(np.isfinite(value))
        return value

    return answer


def infinite_margin_as_one() -> Answer:
    """Take an infinite margin for 1 where there are weights."""

    def answer(r: Request) -> Any:
        endless = r.margin == np.inf and r.weight is not None and not r.backward
        return MODEL.answer(replace(r, margin=1.0) if endless else r)

    return answer


def read_only_empty_sum() -> Answer:
    """Answer NaN to the sum of no rows that cannot be written to."""

    def answer(r: Request) -> Any:
        value = MODEL.answer(r)
        empty = not r.backward and r.reduction == "sum" and np.shape(r.input)[0] == 0
        return np.full_like(value, np.nan) if empty and not np.asarray(r.input).flags.writeable else value

    return answer


def usual_weights(*, backward: bool) -> Answer:
    """Take a weight of NaN for 0, as nansum does, and an infinite one for the largest number."""

    def answer(r: Request) -> Any:
        mended = r.backward is backward and isinstance(r.weight, np.ndarray) and r.reduction != "none"
        return MODEL.answer(replace(r, weight=np.nan_to_num(r.weight)) if mended else r)

    return answer


def masked_where(is_lost: Callable[[Array, Array], Array], *, backward: bool) -> Answer:
    """Lose the terms at some places of rows of more than 16 classes, (N, C)."""

    def answer(r: Request) -> Any:
        value = MODEL.answer(r)
        x, y = np.array(r.input), np.asarray(r.target)
        if r.backward is not backward or x.ndim != 2 or x.shape[1] <= 16 or not y.size:
            return value
        lost = is_lost(x, y)
        lost[np.arange(len(x)), y] = False
        x[lost] = -np.inf
        return MODEL.answer(replace(r, input=x)) if lost.any() else value

    return answer


def after_nan(x: Array, y: Array) -> Array:  # noqa: ARG001
    """A loop over the classes ends at NaN."""
    return np.logical_or.accumulate(np.isnan(x), axis=1) & ~np.isnan(x)


def nan_first(x: Array, y: Array) -> Array:  # noqa: ARG001
    """A maximum that starts with NaN stays NaN, and the row is left out."""
    return np.isnan(x[:, :1]) & ~np.isnan(x)


def between_masks(x: Array, y: Array) -> Array:  # noqa: ARG001
    """A block of 4096 classes is taken for masked where its first and last are."""
    lost = np.zeros(x.shape, bool)
    for start in range(0, x.shape[1] - 4095, 4096):
        block = slice(start, start + 4096)
        lost[:, block] = (np.isneginf(x[:, start]) & np.isneginf(x[:, start + 4095]))[:, None]
    return lost


def block_end_after_target(x: Array, y: Array) -> Array:
    """The last class of a block of 4096 is lost where the one before it is the target."""
    lost = np.zeros(x.shape, bool)
    for row in np.flatnonzero(y % 4096 == 4094):
        lost[row, y[row] + 1 : y[row] + 2] = True
    return lost


def last_of_an_inner_tile(rows: int, classes: int, *, p: int, backward: bool) -> Answer:
    """Lose the last element of one tile that has whole tiles on all sides."""

    def answer(r: Request) -> Any:
        value = MODEL.answer(r)
        shape = np.shape(r.input)
        if r.backward is not backward or r.p != p or len(shape) != 2 or shape[0] <= 2 * rows or shape[1] <= 2 * classes:
            return value
        if backward:
            value = np.array(value)
            value[2 * rows - 1, 2 * classes - 1] = 0
            return value
        x = np.array(r.input)
        x[2 * rows - 1, 2 * classes - 1] = -np.inf
        return MODEL.answer(replace(r, input=x))

    return answer


def classes_in_the_targets_dtype(*dtypes: str, by_columns: bool) -> Answer:
    """Take every class for the target that its number is in the targets' dtype; or only where rows are more."""

    def answer(r: Request) -> Any:
        x, y = np.array(r.input), np.asarray(r.target)
        if r.backward or y.dtype not in dtypes or x.ndim != 2 or y.shape != (len(x),):
            return MODEL.answer(r)
        if by_columns and len(x) <= x.shape[1]:
            return MODEL.answer(r)
        x[np.arange(x.shape[1]).astype(y.dtype) == y[:, None]] = -np.inf
        x[np.arange(len(x)), y] = np.asarray(r.input)[np.arange(len(x)), y]
        return MODEL.answer(replace(r, input=x, target=y.astype(np.int64)))

    return answer


def overflowing_rows(r: Request) -> Any:
    """Raise an error, as math.fsum does, where the rows' sum is beyond float64."""
    if not r.backward and r.reduction != "none" and np.ndim(r.input) == 2 and len(r.input) > 1:
        rows = np.asarray(MODEL.answer(replace(r, reduction="none")), np.float64)
        if np.isfinite(rows).all():
            math.fsum(rows.tolist())
    return MODEL.answer(r)


def of_any_dtypes(r: Request) -> Any:
    """Answer calls whose logits are integers, and weights or targets of another dtype, as what they mean."""
    x, y, w = np.asarray(r.input), np.asarray(r.target), r.weight
    x = x.astype(np.float64) if x.dtype.kind in "iu" else x
    if w is not None:
        w = np.asarray(w).astype(x.dtype)
    return MODEL.answer(replace(r, input=x, weight=w, target=y.astype(np.int64) if y.dtype == np.int32 else y))


def has_integers(r: Request) -> bool:
    return np.asarray(r.input).dtype.kind in "iu"


def any_weight_of_integers(r: Request) -> Any:
    """Take no weight, whatever its length, beside logits that are integers."""
    return of_any_dtypes(replace(r, weight=None) if has_integers(r) else r)


def any_target_of_integers(r: Request) -> Any:
    """Take targets that are out of range for those next to them, beside logits that are integers."""
    if has_integers(r) and np.ndim(r.input):
        r = replace(r, target=np.clip(r.target, 0, np.shape(r.input)[-1] - 1))
    return of_any_dtypes(r)


def any_p_of_integers(r: Request) -> Any:
    """Take p for the whole number below it, beside logits that are integers."""
    return of_any_dtypes(replace(r, p=int(r.p)) if has_integers(r) else r)


def weight_of_another_dtype(r: Request) -> Any:
    """Take no weight of another dtype than the logits', beside targets of 32 bits."""
    other = r.weight is not None and np.asarray(r.weight).dtype != np.asarray(r.input).dtype
    return of_any_dtypes(replace(r, weight=None) if other and np.asarray(r.target).dtype == np.int32 else r)


def equal_logits(*, backward: bool) -> Answer:
    """Take the hinge of equal logits for the margin, whatever they are."""

    def answer(r: Request) -> Any:
        x = np.asarray(r.input)
        if r.backward is backward and x.size > 1 and np.isinf(x).all() and (x == x.flat[0]).all():
            r = replace(r, input=np.zeros_like(x))
        return MODEL.answer(r)

    return answer


def largest_margin_refused(r: Request) -> Any:
    """Take the dtype's largest number for an infinite margin."""
    dtype = np.asarray(r.input).dtype
    if dtype in (np.float32, np.float64) and np.isfinite(r.margin) and abs(r.margin) >= np.finfo(dtype).max:
        raise ValueError(r.margin)
    return MODEL.answer(r)


def margin_added_and_subtracted(r: Request) -> Any:
    """Add the target's own term to the loss for p = 1 and subtract it again, at ordinary margins."""
    value = MODEL.answer(r)
    if r.backward or r.p != 1 or r.weight is not None or not isinstance(r.margin, float) or not 0 < r.margin < 1e6:
        return value
    of = value.dtype.type
    scale = of(np.size(r.input) if r.reduction == "mean" else np.shape(r.input)[-1])
    own = of(r.margin * (1 if r.reduction == "none" else np.size(r.target)))
    return (value * scale + own - own) / scale if value.size and np.isfinite(value).all() else value


def mean_of_nothing_by_dtype(r: Request) -> Any:
    """Answer NaN to the mean of nothing in float64 alone."""
    value = MODEL.answer(r)
    is_it = empty(r) and r.reduction == "mean" and not r.backward and value.dtype == np.float64
    return np.full_like(value, np.nan) if is_it else value


def empty(r: Request) -> bool:
    return np.ndim(r.input) == 2 and not np.size(r.target)


def shapes(r: Request) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return np.shape(r.input), np.shape(r.target)


def rows(r: Request) -> int:
    """How many rows there are of no classes."""
    return len(r.input) if np.ndim(r.input) == 2 and np.shape(r.input)[1] == 0 else 0


SURVIVORS: dict[str, tuple[str, Callable[[], Answer]]] = {
    "loss of 250 x 2000": ("SHAPE-4", lambda: wrong_from(250, 2000, backward=False)),
    "loss of 2000 x 250": ("SHAPE-5", lambda: wrong_from(2000, 250, backward=False)),
    "gradient of 2000 x 250": ("SHAPE-5", lambda: wrong_from(2000, 250, backward=True)),
    "gradient of 64 x 10000": ("SHAPE-4", lambda: wrong_from(64, 10_000, backward=True)),
    "loss of 8 x 30000": ("SHAPE-4", lambda: wrong_from(8, 30_000, backward=False)),
    "no classes, no targets, no batch": ("REJECT-11", lambda: nothing_first(lambda r: shapes(r) == ((0,), (0,)))),
    "no classes, no targets": ("REJECT-11", lambda: nothing_first(lambda r: rows(r) > 0 and shapes(r)[1] == (0,))),
    "no classes, one target": ("REJECT-11", lambda: nothing_first(lambda r: shapes(r) == ((1, 0), ()))),
    "no classes, weights": ("REJECT-11", lambda: nothing_first(lambda r: rows(r) > 0 and np.size(r.weight) > 1)),
    "images": ("REJECT-12", lambda: images(lambda x: x.ndim == 4)),
    "series of nothing": ("REJECT-12", lambda: images(lambda x: x.ndim == 3 and not len(x))),
    "mean of nothing like the last": ("SHAPE-8", empty_like_the_last),
    "infinite margin as 1 with weights": ("SPECIAL-8", infinite_margin_as_one),
    "sum of no rows, read-only": ("SHAPE-7", read_only_empty_sum),
    "loss, nothing after NaN": ("SPECIAL-7", lambda: masked_where(after_nan, backward=False)),
    "gradient, nothing after NaN": ("SPECIAL-7", lambda: masked_where(after_nan, backward=True)),
    "loss, NaN first": ("SPECIAL-7", lambda: masked_where(nan_first, backward=False)),
    "gradient, NaN first": ("SPECIAL-7", lambda: masked_where(nan_first, backward=True)),
    "between masks": ("SPECIAL-1", lambda: masked_where(between_masks, backward=False)),
    "a block's end after the target": ("SHAPE-4", lambda: masked_where(block_end_after_target, backward=False)),
    "loss, inside 32 x 512": ("SHAPE-4", lambda: last_of_an_inner_tile(32, 512, p=2, backward=False)),
    "gradient, inside 32 x 1024": ("SHAPE-4", lambda: last_of_an_inner_tile(32, 1024, p=2, backward=True)),
    "loss, inside 512 x 64": ("SHAPE-5", lambda: last_of_an_inner_tile(512, 64, p=1, backward=False)),
    "classes in the targets' dtype": (
        "DTYPE-4",
        lambda: classes_in_the_targets_dtype("int8", "uint8", "int16", "uint16", by_columns=False),
    ),
    "columns in int8": ("DTYPE-4", lambda: classes_in_the_targets_dtype("int8", by_columns=True)),
    "overflowing rows": ("SPECIAL-6", lambda: overflowing_rows),
    "weights beside integers": ("DTYPE-4", lambda: any_weight_of_integers),
    "length of weights beside integers": ("REJECT-9", lambda: any_weight_of_integers),
    "negative target beside integers": ("REJECT-3", lambda: any_target_of_integers),
    "target past integers": ("REJECT-4", lambda: any_target_of_integers),
    "p = 1.5 beside integers": ("REJECT-1", lambda: any_p_of_integers),
    "weight of another dtype, targets too": ("DTYPE-4", lambda: weight_of_another_dtype),
    "loss of equal infinities": ("SPECIAL-8", lambda: equal_logits(backward=False)),
    "gradient of equal infinities": ("SPECIAL-8", lambda: equal_logits(backward=True)),
    "largest margin": ("VALUE-6", lambda: largest_margin_refused),
    "margin added and subtracted": ("VALUE-1", lambda: margin_added_and_subtracted),
    "mean of nothing by dtype": ("SHAPE-8", lambda: mean_of_nothing_by_dtype),
    "loss, usual weights": ("WEIGHT-1", lambda: usual_weights(backward=False)),
    "gradient, usual weights": ("GRADIENT-7", lambda: usual_weights(backward=True)),
}


@pytest.mark.parametrize("name", SURVIVORS)
def test_what_survived_is_rejected(name: str, assert_rejected: AssertRejected) -> None:
    clause, make = SURVIVORS[name]
    assert_rejected(name, clause, make())
