"""Known faults of the target's range check."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from multimargin_reference.known.catalogue import Fault, before, stateful
from multimargin_reference.known.model import MODEL, Array, Request, Work

Tolerated = Callable[[Array, int, Request], Any]


def classes_of(r: Request) -> int:
    shape = np.shape(r.input)
    return int(shape[-1]) if shape else 0


def integer_target(r: Request) -> Array | None:
    """Return the target if only its values can be wrong."""
    y = np.asarray(r.target)
    fits = y.dtype == np.int64 and y.shape == np.shape(r.input)[:-1] and y.size > 0 and classes_of(r) > 0
    return y if fits else None


def accepting(tolerated: Tolerated, repair: Callable[[Array, int], Any]) -> Any:
    """Make a change that repairs the targets outside [0, C) where `tolerated(y, C, request)`."""

    def change(r: Request) -> Request:
        y = integer_target(r)
        if y is None:
            return r
        size = classes_of(r)
        wrong = ((y < 0) | (y >= size)) & tolerated(y, size, r)
        return replace(r, target=np.where(wrong, repair(y, size), y)) if wrong.any() else r

    return change


def modulo(y: Array, size: int) -> Array:
    return np.asarray(y % size)


def clipped(y: Array, size: int) -> Array:
    return np.clip(y, 0, size - 1)


def narrowed(dtype: Any) -> Any:
    """Make a change in which targets are checked after a cast to a narrower integer."""

    def cast(y: Array, _size: int) -> Array:
        return y.astype(dtype).astype(np.int64)

    return accepting(lambda y, size, _r: (cast(y, size) >= 0) & (cast(y, size) < size), cast)


def skipping(bad: Callable[[Array, int], Array]) -> Any:
    """Answer with the rows whose target is `bad(y, C)` contributing nothing."""

    def answer(r: Request) -> Any:
        y = integer_target(r)
        if y is None or not bad(y, classes_of(r)).any():
            return MODEL.answer(r)
        skip = bad(y, classes_of(r)).reshape(-1)

        def add(h: Array, k: Work) -> Array:
            return np.where(skip, k.number(0), MODEL.add(h, k))

        def weigh_gradient(d: Array, k: Work) -> Array:
            return np.where(skip[:, None], k.number(0), MODEL.weigh(d, k))

        model = replace(MODEL, add=add, weigh_gradient=weigh_gradient)
        return model.answer(replace(r, target=np.where(skip.reshape(y.shape), 0, y)))

    return lambda: answer


def blank(r: Request, number: float) -> Any:
    """Return a plausible result filled with a number: input's shape for a gradient, the loss's shape otherwise."""
    shape = np.shape(r.input) if r.backward else np.shape(r.target) if r.reduction == "none" else ()
    return np.full(shape, number, np.asarray(r.input).dtype)


def filling(bad: Callable[[Array, int], Array], number: float) -> Any:
    """Answer with a number when a target is `bad(y, C)`."""

    def answer(r: Request) -> Any:
        y = integer_target(r)
        return MODEL.answer(r) if y is None or not bad(y, classes_of(r)).any() else blank(r, number)

    return lambda: answer


def negative(y: Array, _size: int) -> Array:
    return np.asarray(y < 0)


def too_large(y: Array, size: int) -> Array:
    return np.asarray(y >= size)


def position(y: Array) -> Array:
    return np.arange(y.size).reshape(y.shape)


def in_buffer(y: Array, size: int, _r: Request) -> Array:
    """Find the targets whose offset lies in the whole input, if not in their row."""
    low = -(position(y) * size)
    return np.asarray((y >= low) & (y < low + y.size * size))


NEGATIVE = (
    before(
        "target-negative-wraps",
        "A negative target counts from the end (ONNX export).",
        "REJECT-3",
        accepting(lambda y, size, _r: (y < 0) & (y >= -size), modulo),
    ),
    before(
        "target-negative-clipped",
        "Negative targets act as class 0.",
        "REJECT-3",
        accepting(lambda y, _c, _r: y < 0, clipped),
    ),
    before(
        "target-minus-one-accepted",
        "A target of -1 alone is taken for the last class.",
        "REJECT-3",
        accepting(lambda y, _c, _r: y == -1, modulo),
    ),
    before(
        "target-absolute",
        "The target's absolute value is checked and used.",
        "REJECT-3",
        accepting(lambda y, size, _r: (y < 0) & (y > -size), lambda y, _c: abs(y)),
    ),
    stateful(
        "target-minus-100-skipped",
        "Rows whose target is -100 are skipped, as cross entropy's ignore_index does.",
        "REJECT-3",
        skipping(lambda y, _c: y == -100),
    ),
    stateful(
        "target-minus-one-skipped",
        "Rows whose target is -1 are skipped, as padding.",
        "REJECT-3",
        skipping(lambda y, _c: y == -1),
    ),
    stateful(
        "target-negative-nan", "A negative target gives NaN instead of an error.", "REJECT-3", filling(negative, np.nan)
    ),
    stateful(
        "target-negative-zero", "A negative target gives zero instead of an error.", "REJECT-3", filling(negative, 0)
    ),
)

LARGE = (
    before(
        "target-equal-to-classes-accepted",
        "A target of C alone is taken for the last class, by an off-by-one check.",
        "REJECT-4",
        accepting(lambda y, size, _r: y == size, clipped),
    ),
    before(
        "target-too-large-clipped",
        "Targets past the end act as the last class (JAX).",
        "REJECT-4 REJECT-5",
        accepting(lambda y, size, _r: y >= size, clipped),
    ),
    before(
        "target-too-large-wraps",
        "Targets past the end are taken modulo C.",
        "REJECT-4 REJECT-5",
        accepting(lambda y, size, _r: y >= size, modulo),
    ),
    stateful(
        "target-too-large-skipped", "Rows whose target is past the end are skipped.", "REJECT-4", skipping(too_large)
    ),
    stateful(
        "target-too-large-nan",
        "A target past the end gives NaN instead of an error.",
        "REJECT-4 REJECT-5",
        filling(too_large, np.nan),
    ),
    before(
        "target-far-clipped",
        "Targets up to 2^31 are checked, those beyond are clipped.",
        "REJECT-5",
        accepting(lambda y, _c, _r: y >= 2**31, clipped),
    ),
    before(
        "target-int8-before-check",
        "Targets are cast to 8 bits before they are checked.",
        "REJECT-4 REJECT-5",
        narrowed(np.int8),
    ),
    before(
        "target-int16-before-check",
        "Targets are cast to 16 bits before they are checked.",
        "REJECT-5",
        narrowed(np.int16),
    ),
    before(
        "target-int32-before-check",
        "Targets are cast to 32 bits before they are checked.",
        "REJECT-5",
        narrowed(np.int32),
    ),
    before(
        "target-plus-one-overflows",
        "The check y + 1 <= C overflows for 2^63 - 1.",
        "REJECT-5",
        accepting(lambda y, _c, _r: y == np.iinfo(np.int64).max, lambda y, _c: y * 0),
    ),
)

SOMEWHERE = (
    before(
        "target-unchecked",
        "Targets are not checked at all and taken modulo C (PyTorch 88724).",
        "REJECT-3 REJECT-4 REJECT-5",
        accepting(lambda _y, _c, _r: True, modulo),
    ),
    before(
        "target-checked-against-buffer",
        "The offset n C + y is checked against the whole input instead of its row.",
        "REJECT-3 REJECT-4",
        accepting(in_buffer, modulo),
    ),
    before(
        "target-checked-in-first-row",
        "Only the first row's target is checked.",
        "REJECT-3 REJECT-4",
        accepting(lambda y, _c, _r: position(y) > 0, modulo),
    ),
    before(
        "target-checked-in-last-row",
        "Only the last row's target is checked.",
        "REJECT-3 REJECT-4",
        accepting(lambda y, _c, _r: position(y) < y.size - 1, modulo),
    ),
    before(
        "target-checked-at-the-ends",
        "Only the first and the last row's targets are checked.",
        "REJECT-3 REJECT-4",
        accepting(lambda y, _c, _r: (position(y) > 0) & (position(y) < y.size - 1), modulo),
    ),
    before(
        "target-unchecked-past-32-rows",
        "Targets past the first 32 rows are not checked.",
        "REJECT-3 REJECT-4",
        accepting(lambda y, _c, _r: position(y) >= 32, modulo),
    ),
    before(
        "target-unchecked-unbatched",
        "The target of an unbatched input is not checked.",
        "REJECT-3 REJECT-4",
        accepting(lambda y, _c, _r: y.ndim == 0, modulo),
    ),
    before(
        "target-unchecked-batched",
        "The targets of a batch are not checked.",
        "REJECT-3 REJECT-4",
        accepting(lambda y, _c, _r: y.ndim == 1, modulo),
    ),
    before(
        "target-unchecked-for-none",
        "Targets are not checked for reduction = none.",
        "REJECT-3 REJECT-4",
        accepting(lambda _y, _c, r: r.reduction == "none", modulo),
    ),
    before(
        "target-unchecked-for-sum",
        "Targets are not checked for reduction = sum.",
        "REJECT-3 REJECT-4",
        accepting(lambda _y, _c, r: r.reduction == "sum", modulo),
    ),
    before(
        "target-unchecked-for-p-2",
        "Targets are not checked for p = 2.",
        "REJECT-3 REJECT-4",
        accepting(lambda _y, _c, r: r.p == 2, modulo),
    ),
    before(
        "target-unchecked-with-weight",
        "Targets are not checked when a weight is given.",
        "REJECT-3 REJECT-4",
        accepting(lambda _y, _c, r: r.weight is not None, modulo),
    ),
    before(
        "target-unchecked-without-weight",
        "Targets are checked only by the lookup of the weight.",
        "REJECT-3 REJECT-4",
        accepting(lambda _y, _c, r: r.weight is None, modulo),
    ),
    before(
        "target-unchecked-below-margin",
        "Targets are not checked where the margin is so small that no class is expected to be active.",
        "REJECT-4",
        accepting(lambda y, _c, r: np.full(y.shape, r.margin < -100), modulo),
    ),
    before(
        "target-unchecked-in-backward-of-one-long-row",
        "backward does not check the target of one row without a batch that has more than 64 classes.",
        "REJECT-3 REJECT-4 REJECT-5",
        accepting(lambda _y, c, r: r.backward and np.ndim(r.input) == 1 and c > 64, modulo),
    ),
    before(
        "target-unchecked-in-backward",
        "backward does not check targets (PyTorch 193102).",
        "REJECT-3 REJECT-4 REJECT-5",
        accepting(lambda _y, _c, r: r.backward, modulo),
    ),
)

FAULTS: tuple[Fault, ...] = NEGATIVE + LARGE + SOMEWHERE
