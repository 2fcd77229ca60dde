"""Known faults of one size, of a number's edge, of long runs, and of validation that some calls go round."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from multimargin_reference.known.catalogue import Answer, Fault, after, fault, stateful
from multimargin_reference.known.faults_conditional import is_square_hinge
from multimargin_reference.known.model import MODEL, Array, Request, Work
from multimargin_reference.validation import Arguments, validate

SLAB = 256  # results


def without_class(size: int, place: int) -> Callable[[Any, Work], Array]:
    """Lose one class of the hinge where there are exactly `size`."""

    def hinge(z: Array, k: Work) -> Array:
        h = MODEL.hinge(z, k)
        if k.classes == size:
            h[:, place] = 0
        return h

    return hinge


def without_row(size: int) -> Callable[[Any, Request], Any]:
    """Lose the last row's gradient where there are exactly `size` rows."""

    def change(value: Any, r: Request) -> Any:
        if r.backward and value.ndim == 2 and len(value) == size:
            value[-1] = 0
        return value

    return change


def equal_within_bits(z: Array, k: Work) -> Array:
    """Take logits that differ by a few units of float64's last place for equal."""
    near = np.abs(z) <= 2.0**-50 * np.abs(k.x) if k.x.dtype == np.float64 else np.zeros(z.shape, bool)
    return np.where(near, k.number(0), z)


def kink_by_block(z: Array, k: Work) -> Array:
    """Take z >= 0 for active past the first 256 classes."""
    return np.where(np.arange(k.classes) >= 256, (z >= 0) & ~k.own, MODEL.active(z, k))


def half_sum(z: Array, k: Work) -> Array:
    """Write the hinge as (z + |z|) / 2, which overflows at half of the range."""
    return np.asarray((z + np.abs(z)) / k.number(2))


def sum_of_infinities(rows: Array, k: Work) -> Any:
    """Return an infinity for the sum of infinities of both signs."""
    total = MODEL.reduced(rows, k)
    return np.where(np.isnan(total) & ~np.isnan(rows).any(), k.number(np.inf), total) if k.reduction != "none" else rows


def small_gradients_lost(value: Any, r: Request) -> Any:
    """Flush subnormal gradients of weighted sums with p = 2."""
    if not (r.backward and is_square_hinge(r) and r.weight is not None and r.reduction == "sum"):
        return value
    return np.where(np.abs(value) < np.finfo(value.dtype).tiny, 0, value) if value.dtype.kind == "f" else value


def from_a_slab() -> Answer:
    """Write small results one after another into a slab that begins again at its end."""
    slabs: dict[Any, Any] = {}

    def answer(r: Request) -> Any:
        value = MODEL.answer(r)
        if value.size != 1:
            return value
        slab, used = slabs.setdefault(value.dtype, [np.zeros(SLAB, value.dtype), 0])
        slabs[value.dtype][1] = (used + 1) % SLAB
        kept = slab[used : used + 1].reshape(value.shape)
        kept[...] = value
        return kept

    return answer


def in_random_order() -> Answer:
    """Add rows up in an order that changes from call to call, for weighted sums of p = 2."""
    random = np.random.default_rng(0)

    def shuffled(h: Array, k: Work) -> Array:
        order = random.permutation(k.classes) if k.p == 2 and k.reduction == "sum" and k.w is not None else slice(None)
        return np.asarray(np.add.accumulate(h[:, order], axis=1)[:, -1]) if k.classes else MODEL.add(h, k)

    return replace(MODEL, add=shuffled).answer


def unchecked_targets(when: Callable[..., bool]) -> Callable[..., Arguments]:
    """Clip targets into the range, instead of rejecting those outside of it, under a condition."""

    def check(x: Any, y: Any, p: Any, margin: Any, weight: Any, reduction: Any) -> Arguments:
        if np.ndim(x) in (1, 2) and np.shape(x)[-1] and np.asarray(y).dtype.kind == "i" and when(x, y, weight):
            y = np.clip(y, 0, np.shape(x)[-1] - 1)
        return validate(x, y, p, margin, weight, reduction)

    return check


def compared_in_float16(x: Any, y: Any, p: Any, margin: Any, weight: Any, reduction: Any) -> Arguments:
    """Compare targets with C in float16, which has no odd numbers above 2048."""
    if np.ndim(x) == 2 and np.ndim(y) == 1 and np.shape(x)[1] > 2048 and np.asarray(y).dtype.kind == "i":
        narrow = np.asarray(y).astype(np.float16).astype(np.int64)
        y = np.where(narrow < np.shape(x)[1], np.clip(y, None, np.shape(x)[1] - 1), y)
    return validate(x, y, p, margin, weight, reduction)


def empty_first(r: Request) -> Any:
    """Answer an empty batch before any argument is looked at."""
    if np.ndim(r.input) != 2 or len(r.input):
        return MODEL.answer(r)
    dtype = np.asarray(r.input).dtype
    return np.zeros(np.shape(r.input) if r.backward else 0 if r.reduction == "none" else (), dtype)


def last_axes_flattened(r: Request) -> Any:
    """Take (N, A, B) for (N, A B) where there are weights."""
    x = np.asarray(r.input)
    return MODEL.answer(replace(r, input=x.reshape(len(x), -1)) if x.ndim == 3 and r.weight is not None else r)


FAULTS: tuple[Fault, ...] = (
    fault("class-lost-at-1000", "One of exactly 1000 classes is lost.", "SHAPE-4", hinge=without_class(1000, 999)),
    fault(
        "class-lost-at-50257",
        "The middle one of exactly 50257 classes is lost.",
        "SHAPE-4",
        hinge=without_class(50257, 50257 // 2),
    ),
    after("row-lost-at-6144", "The gradient of the last of exactly 6144 rows is lost.", "SHAPE-5", without_row(6144)),
    fault(
        "last-bit-ignored",
        "Logits that differ in float64's last bits are taken for equal.",
        "VALUE-1 VALUE-3 GRADIENT-1",
        difference=lambda k: equal_within_bits(MODEL.difference(k), k),
    ),
    fault("kink-past-256-classes", "A tie is active past 256 classes.", "GRADIENT-4 SHAPE-4", active=kink_by_block),
    fault("hinge-by-absolute-value", "The hinge is (z + |z|) / 2 and overflows early.", "SPECIAL-6", hinge=half_sum),
    fault("infinities-not-cancelled", "inf - inf over rows is inf.", "SPECIAL-2", reduce=sum_of_infinities),
    after(
        "weighted-subnormals-flushed",
        "Subnormal gradients of weighted sums with p = 2 are flushed.",
        "SPECIAL-5",
        small_gradients_lost,
    ),
    stateful("results-from-a-slab", "Small results share a slab that is overwritten.", "PURITY-4", from_a_slab),
    stateful(
        "order-random-on-one-path",
        "Weighted sums with p = 2 are added up in random order.",
        "PURITY-2",
        in_random_order,
    ),
    fault(
        "target-unchecked-past-256",
        "Targets are clipped, not checked, with more than 256 classes.",
        "REJECT-4 REJECT-3",
        validate=unchecked_targets(lambda x, _y, _w: np.shape(x)[-1] > 256),
    ),
    fault(
        "target-unchecked-reversed",
        "Targets with a negative stride are not checked.",
        "REJECT-3 REJECT-4 REJECT-5",
        validate=unchecked_targets(lambda _x, y, _w: np.ndim(y) == 1 and np.asarray(y).strides[0] < 0),
    ),
    fault(
        "target-unchecked-strided",
        "Targets that are not contiguous are clipped, not checked.",
        "REJECT-4 REJECT-3",
        validate=unchecked_targets(lambda _x, y, _w: not np.asarray(y).flags.c_contiguous),
    ),
    fault(
        "target-unchecked-worthless",
        "Targets are clipped, not checked, where all weights are 0.",
        "REJECT-4 REJECT-3",
        validate=unchecked_targets(lambda _x, _y, w: w is not None and not np.any(w)),
    ),
    fault(
        "target-compared-in-float16",
        "Targets are compared with the number of classes in float16.",
        "REJECT-4",
        validate=compared_in_float16,
    ),
    stateful(
        "empty-batch-unchecked",
        "An empty batch is answered before arguments are checked.",
        "REJECT-1 REJECT-2 REJECT-9",
        lambda: empty_first,
    ),
    stateful(
        "last-axes-flattened-with-weights",
        "The last two of three axes are flattened where there are weights.",
        "REJECT-12",
        lambda: last_axes_flattened,
    ),
)
