"""Known faults that few calls can see: one size class, one kind of number, one path."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from multimargin_reference.known.catalogue import Fault, after, before, fault
from multimargin_reference.known.model import MODEL, Array, Request, Work


def swizzled(value: Any, r: Request) -> Any:
    """Swap neighbouring classes of the gradient from 64 classes on, as a wrong swizzle of shared memory does."""
    classes = value.shape[-1] if r.backward and value.ndim else 0
    if classes < 64:
        return value
    order = np.arange(classes)
    order[: classes // 2 * 2] ^= 1
    return value[..., order].copy()


def byte_indexed(value: Any, r: Request) -> Any:
    """Write the gradient at a flat index in a byte: what lies past 256 elements overwrites the front and stays 0."""
    if not r.backward or value.size <= 256:
        return value
    flat = np.zeros_like(value).reshape(-1)
    flat[np.arange(value.size) & 0xFF] = value.reshape(-1)
    return flat.reshape(value.shape)


def weight_by(change: Any) -> Any:
    """Make a row-weight step that passes the target's weight through `change(weight, k)`."""
    return lambda k: None if k.weight is None else np.asarray(change(MODEL.row_weight(k), k))


def unbatched_as_half(name: str) -> Any:
    """Make a change that rounds an argument of an unbatched call to float16."""

    def change(r: Request) -> Request:
        array = getattr(r, name)
        if array is None or np.ndim(r.input) != 1 or np.asarray(array).dtype.kind != "f":
            return r
        rounded: dict[str, Any] = {name: np.asarray(array).astype(np.float16).astype(np.asarray(array).dtype)}
        return replace(r, **rounded)

    return change


def nan_without_terms(rows: Array, k: Work) -> Any:
    """Average over the active terms, of which a batch may have none; rows and classes of one have their own path."""
    terms = MODEL.active(MODEL.difference(k), k)
    value = MODEL.reduced(rows, k)
    return value if terms.any() or min(terms.shape) < 2 else np.full_like(value, np.nan)


def nan_gradient_without_terms(d: Array, k: Work) -> Array:
    d = MODEL.target_gradient(d, k)
    return d if d.any() or min(d.shape) < 2 else np.full_like(d, np.nan)


def margin_as_text(r: Request) -> Request:
    finite = isinstance(r.margin, float) and np.isfinite(r.margin)
    return replace(r, margin=float(f"{r.margin:f}")) if finite else r


def scaled_weight(k: Work) -> Array | None:
    """Divide by the largest weight and multiply by it again: infinity over infinity is NaN."""
    if k.weight is None:
        return None
    largest = np.fmax.reduce(k.weight)
    scale = largest if largest > 0 else k.number(1)
    return np.asarray(((k.weight / scale)[k.y] * scale)[:, None])


def block_floating(rows: Array, k: Work) -> Any:
    """Round every row's loss to 6 bits below the largest one's before the batch is added."""
    largest = abs(rows).max(initial=0)
    if k.reduction == "none" or k.rows < 2 or not np.isfinite(largest) or not largest:
        return MODEL.reduced(rows, k)
    unit = k.number(2.0) ** (np.floor(np.log2(largest)) - 6)
    return MODEL.reduced(np.trunc(rows / unit) * unit, k)


def zero_for_nan_target(k: Work) -> Any:
    return MODEL.difference(replace(k, x=np.where(np.isnan(k.x) & k.own, k.number(0), k.x)))


def counted_in_16_bits(d: Array, k: Work) -> Array:
    """Put the target's element as the number of active classes, for p = 1, which wraps at 2^16."""
    active = np.count_nonzero(d, axis=1)
    total = d.sum(axis=1)
    wraps = (active >= 1 << 16) & (k.p == 1)
    d[k.row, k.y] = -np.where(wraps, total * (active & 0xFFFF) / np.maximum(active, 1), total)
    return d


NARROW = (
    after(
        "gradient-swizzled",
        "Neighbouring classes of the gradient change places from 64 classes on.",
        "GRADIENT-1 SHAPE-4",
        swizzled,
    ),
    after(
        "gradient-flat-index-8-bits",
        "The gradient is written at a flat index in a byte.",
        "SHAPE-5 GRADIENT-1",
        byte_indexed,
    ),
    fault(
        "active-count-in-16-bits",
        "The active classes of a row are counted in 16 bits, for the gradient at its target.",
        "GRADIENT-3",
        target_gradient=counted_in_16_bits,
    ),
    fault(
        "weight-with-epsilon",
        "1e-8 is added to every weight, against divisions by zero.",
        "WEIGHT-3",
        row_weight=weight_by(lambda w, k: w + k.number(1e-8)),
    ),
    fault(
        "weight-at-least-epsilon",
        "Weights between -1e-6 and 1e-6 act as 1e-6.",
        "WEIGHT-3",
        row_weight=weight_by(lambda w, k: np.where(abs(w) < k.number(1e-6), k.number(1e-6), w)),
    ),
    before(
        "unbatched-weight-float16",
        "The weight of an unbatched call passes through float16.",
        "WEIGHT-1 GRADIENT-7",
        unbatched_as_half("weight"),
    ),
    before(
        "unbatched-grad-output-float16",
        "The grad_output of an unbatched call passes through float16.",
        "GRADIENT-8 GRADIENT-11",
        unbatched_as_half("grad_output"),
    ),
    fault(
        "no-active-term-nan",
        "A batch without any active term gives NaN, a mean over nothing.",
        "VALUE-3",
        reduce=nan_without_terms,
    ),
    fault(
        "gradient-no-active-term-nan",
        "The gradient of a batch without any active term is NaN.",
        "GRADIENT-5",
        target_gradient=nan_gradient_without_terms,
    ),
    before("margin-as-text", "The margin passes through text of six decimals.", "VALUE-6", margin_as_text),
    fault(
        "weights-all-equal-ignored",
        "Weights that are all equal are taken for no weights.",
        "WEIGHT-5 WEIGHT-1",
        row_weight=lambda k: None if k.weight is None or np.all(k.weight == k.weight[0]) else MODEL.row_weight(k),
    ),
    fault(
        "weight-scaled-by-largest",
        "Weights are divided by the largest and multiplied by it again, NaN where that is infinite.",
        "WEIGHT-4",
        row_weight=scaled_weight,
    ),
    fault(
        "batch-block-floating",
        "Rows are added with one exponent and six bits, so that small rows are lost beside large ones.",
        "REDUCTION-5 VALUE-9",
        reduce=block_floating,
    ),
    fault(
        "nan-target-becomes-zero",
        "A NaN at the target counts as a logit of 0.",
        "SPECIAL-7",
        difference=zero_for_nan_target,
    ),
)

FAULTS: tuple[Fault, ...] = NARROW
