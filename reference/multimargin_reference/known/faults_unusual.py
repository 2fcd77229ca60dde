"""Known faults with arguments that need not be accepted, and of paths that are taken for both sizes together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from multimargin_reference.known.catalogue import Fault, answered, before, fault
from multimargin_reference.known.faults_range import SMALLEST_NORMAL, flushed
from multimargin_reference.known.model import MODEL, Array, Request, Work


def _has_other_weight(r: Request) -> bool:
    return r.weight is not None and np.asarray(r.weight).dtype != np.asarray(r.input).dtype


def other_weight(take: Any) -> Any:
    """Make a change that takes a weight of another dtype as `take(weight, C)` makes it."""

    def change(r: Request) -> Request:
        if not _has_other_weight(r) or np.ndim(r.input) == 0:
            return r
        weight = take(np.asarray(r.weight), np.shape(r.input)[-1])
        return replace(r, weight=np.asarray(weight, np.asarray(r.input).dtype))

    return change


def one_target(r: Request) -> Any:
    """Take (C,) with a target of shape (1,) for a batch, and leave the gradient one."""
    unbatched = np.ndim(r.input) == 1 and np.shape(r.target) == (1,)
    return MODEL.answer(replace(r, input=np.asarray(r.input)[None, :]) if unbatched else r)


def scalar_target(r: Request) -> Any:
    """Take (1, C) with a target of shape (), and double its gradient."""
    if np.shape(r.input)[:-1] != (1,) or np.ndim(r.target) != 0 or np.ndim(r.input) != 2:
        return MODEL.answer(r)
    row = replace(r, input=np.asarray(r.input)[0])
    return (2 * MODEL.answer(row))[None, :] if r.backward else MODEL.answer(row)


def clipped_target(r: Request) -> Any:
    """Take (C,) with a target of shape (1,), cut to the classes."""
    if np.ndim(r.input) != 1 or np.shape(r.target) != (1,) or not np.size(r.input):
        return MODEL.answer(r)
    target = np.clip(r.target, 0, np.size(r.input) - 1)
    value = MODEL.answer(replace(r, input=np.asarray(r.input)[None, :], target=target))
    return value[0] if r.backward else value


def float_power(r: Request) -> Request:
    """Take p = 1.0 and 2.0, without the weights."""
    return replace(r, p=int(r.p), weight=None) if isinstance(r.p, float) and r.p in (1, 2) else r


def whole_margin(r: Request) -> Request:
    """Take a margin that is an int as 1."""
    return replace(r, margin=1.0) if isinstance(r.margin, int) else r


def other_margin(r: Request) -> Request:
    """Round a margin that is a number of NumPy's to a whole one."""
    return replace(r, margin=float(round(float(r.margin)))) if isinstance(r.margin, np.floating) else r


def other_text(r: Request) -> Request:
    """Take a reduction that is a text of NumPy's for the mean."""
    return replace(r, reduction="mean") if isinstance(r.reduction, np.str_) else r


def whole_logits(r: Request) -> Any:
    """Take integer logits, and double the loss of a row without a batch."""
    x = np.asarray(r.input)
    if x.dtype.kind not in "iu":
        return MODEL.answer(r)
    value = MODEL.answer(replace(r, input=x.astype(np.float64)))
    return 2 * value if x.ndim == 1 and not r.backward else value


def any_one_class(r: Request) -> Any:
    """Take a logit of shape () with whatever target and weights."""
    if np.ndim(r.input) or np.ndim(r.target) or np.asarray(r.target).dtype.kind != "i":
        return MODEL.answer(r)
    value = MODEL.answer(replace(r, input=np.reshape(r.input, -1), target=np.zeros_like(r.target), weight=None))
    return value.reshape(()) if r.backward else value


def flushed_hinges(z: Array, k: Work) -> Array:
    """Read subnormal hinges as 0 in the slopes of p = 2."""
    return MODEL.slope(flushed(z, SMALLEST_NORMAL[k.dtype.name]) if k.p == 2 else z, k)


def no_axis(r: Request) -> Any:
    """Take a logit of shape () as one class, and give its gradient the shape (1,)."""
    return MODEL.answer(replace(r, input=np.reshape(r.input, -1)) if np.ndim(r.input) == 0 else r)


def int32_targets(r: Request) -> Any:
    """Take int32 targets, and give the loss of a row without a batch the shape (1,)."""
    y = np.asarray(r.target)
    if y.dtype != np.int32:
        return MODEL.answer(r)
    value = MODEL.answer(replace(r, target=y.astype(np.int64)))
    return value if r.backward or r.reduction != "none" else np.reshape(value, -1)


def integer_logits(r: Request) -> Request:
    """Take integer logits, and p = 2 for 1."""
    x = np.asarray(r.input)
    return replace(r, input=x.astype(np.float64), p=1) if x.dtype.kind in "iu" and r.p == 2 else r


def int16_targets(r: Request) -> Request:
    """Take int16 targets by their lower byte."""
    y = np.asarray(r.target)
    return replace(r, target=y.astype(np.int64) & 255) if y.dtype == np.int16 and (y >= 0).all() else r


def flushed_weights(k: Work) -> Array | None:
    """Read the subnormal weights of eight classes and more as 0."""
    w = MODEL.row_weight(k)
    return w if w is None or k.classes < 8 else flushed(w, SMALLEST_NORMAL[k.dtype.name])


def first_target(k: Work) -> Any:
    """Read the first row's target for all of 16 rows and more of more than 1024 classes."""
    if k.rows < 16 or k.classes <= 1024:
        return MODEL.difference(k)
    return (k.margin - k.x[k.row, k.y[0]][:, None]) + k.x


def kink_in_tiles(z: Array, k: Work) -> Array:
    """Test for z >= 0 where both sizes pass 64, with weights."""
    inclusive = k.rows > 64 and k.classes > 64 and k.w is not None
    return ((z >= 0) & ~k.own) if inclusive else MODEL.active(z, k)


def row_weights_in_bulk(k: Work) -> Array | None:
    """Take the sign from the weights of p = 2 from 2^16 logits on."""
    w = MODEL.row_weight(k)
    return abs(w) if w is not None and k.p == 2 and k.rows * k.classes >= 2**16 else w


def one_tile(z: Array, k: Work) -> Array:
    """Leave out what is past 1024 rows and past 1024 classes."""
    h = MODEL.hinge(z, k)
    if k.rows > 1024 and k.classes > 1024:
        h[1024:, 1024:] = 0
    return h


FAULTS: tuple[Fault, ...] = (
    before(
        "other-weight-without-sign",
        "A weight of another dtype is accepted, without its sign.",
        "DTYPE-4",
        other_weight(lambda w, _c: np.abs(w)),
    ),
    before(
        "other-weight-of-any-size",
        "A weight of another dtype may have any size.",
        "REJECT-9",
        other_weight(lambda w, c: np.resize(w, c) if w.ndim == 1 and w.size else w),
    ),
    before(
        "other-weight-of-any-rank",
        "A weight of another dtype may have any rank.",
        "REJECT-10",
        other_weight(lambda w, c: w.reshape(-1) if w.size == c else w),
    ),
    answered(
        "one-target-gradient-batched",
        "(C,) with a (1,) target has a (1, C) gradient.",
        "GRADIENT-10 DTYPE-4",
        one_target,
    ),
    answered("one-target-cut", "A (1,) target beside (C,) is cut to the classes.", "REJECT-3 REJECT-4", clipped_target),
    answered(
        "scalar-target-gradient-doubled", "A () target beside (1, C) doubles the gradient.", "DTYPE-4", scalar_target
    ),
    answered(
        "int32-target-result-of-one",
        "An int32 () target has a loss of shape (1,).",
        "REDUCTION-4 DTYPE-4",
        int32_targets,
    ),
    before("float-p-without-weights", "p = 1.0 and 2.0 are taken, without the weights.", "DTYPE-4", float_power),
    before("whole-margin-is-one", "A margin that is an int is taken as 1.", "DTYPE-4", whole_margin),
    before("numpy-margin-rounded", "A margin that is a number of NumPy's is rounded.", "DTYPE-4", other_margin),
    before("numpy-text-is-mean", "A reduction that is a text of NumPy's is taken for the mean.", "DTYPE-4", other_text),
    answered("integer-logits-of-a-row", "One row of integer logits has twice its loss.", "DTYPE-4", whole_logits),
    answered(
        "no-axis-with-any-target",
        "A logit of shape () may have any target, and any weights.",
        "REJECT-3 REJECT-4 REJECT-9",
        any_one_class,
    ),
    fault("subnormal-slopes-are-zero", "Subnormal hinges have slope 0 for p = 2.", "SPECIAL-5", slope=flushed_hinges),
    answered("no-axis-gradient-of-one", "A logit of shape () has a gradient of shape (1,).", "DTYPE-4", no_axis),
    before("integer-logits-without-power", "Integer logits are taken, and p = 2 for 1.", "DTYPE-4", integer_logits),
    before("int16-targets-by-their-lower-byte", "int16 targets are read by one byte.", "DTYPE-4", int16_targets),
    fault(
        "subnormal-weights-are-zero",
        "Subnormal weights count 0 from eight classes on.",
        "SPECIAL-5",
        row_weight=flushed_weights,
    ),
    fault(
        "first-target-of-wide-batches",
        "From 16 rows of more than 1024 classes on, all have the first row's target.",
        "VALUE-9 GRADIENT-11",
        difference=first_target,
    ),
    fault(
        "kink-in-second-tiles",
        "z = 0 is active in weighted calls of more than 64 rows and classes.",
        "GRADIENT-4",
        active=kink_in_tiles,
    ),
    fault(
        "bulk-weights-without-sign",
        "From 2^16 logits on, weights lose their sign for p = 2.",
        "WEIGHT-3 SHAPE-4 SHAPE-5",
        row_weight=row_weights_in_bulk,
    ),
    fault(
        "tile-of-1024-lost",
        "What is past row 1024 and class 1024 is left out of the loss.",
        "SHAPE-4 SHAPE-5",
        hinge=one_tile,
    ),
)
