"""Known faults that few calls can see: one size class, one kind of number, one path."""

from __future__ import annotations

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
        return Request(**{**vars(r), **rounded})

    return change


def padded_batch(multiple: int) -> Any:
    """Make a batch step that counts the rows in whole blocks."""
    return lambda k: k.number(max(1, -(-k.rows // multiple) * multiple) if k.rows > 1 else 1)


def far_below(bound: float) -> Any:
    """Make a hinge step that wraps what is far below zero, as a fixed-point number of few bits does."""
    return lambda z, k: np.where(z < k.number(bound), k.number(1), MODEL.hinge(z, k))


def active_far_below(bound: float) -> Any:
    return lambda z, k: MODEL.active(z, k) | ((z < k.number(bound)) & ~np.isneginf(z) & ~k.own)


def own_by_value(h: Array, k: Work) -> Array:
    """Leave out every class whose logit equals the target's."""
    return np.where(k.x == k.target_logit, k.number(0), h)


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
)

FAULTS: tuple[Fault, ...] = NARROW
