"""Known faults of the path that a size, a type or the last call chooses: right wherever else one looks.

A vector loop has a remainder, a tiled kernel its last tile, a large result a buffer, and a call with the last call's
arrays a shortcut.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from multimargin_reference.formats import DTYPES
from multimargin_reference.known.catalogue import Answer, answered, before, fault, stateful
from multimargin_reference.known.model import MODEL, Array, Request, Work, active, hinge, row_weight
from multimargin_reference.known.model import drop_target as left_out

LANES = 4
LOGITS = 4096  # of a large call
KEY = 2**14  # bytes that a key is made of


def ties_in_the_remainder(z: Array, k: Work) -> Array:
    found = active(z, k)
    rest = k.classes % LANES if k.classes > LANES else 0
    if rest:
        found[:, -rest:] = ((z >= 0) & ~k.own)[:, -rest:]
    return found


def masked_by_zero(z: Array, k: Work) -> Array:
    return hinge(z, k) if min(z.shape) <= 8 else np.asarray((z > 0) * z)


def half_weights(k: Work) -> Array | None:
    w = row_weight(k)
    return w if w is None or k.rows <= 8 else w.astype(np.float16).astype(w.dtype)


def without_last_corner(h: Array, k: Work) -> Array:
    h = left_out(h, k).copy()
    if k.rows % 32 == 0 and k.classes % 32 == 0 and h.size:
        h[-1, -1] = 0
    return h


def one_class_times_zero(h: Array, k: Work) -> Array:
    return left_out(h, k) if k.classes != 1 else np.asarray(k.x * 0)


def overflowing(h: Array, k: Work) -> Array:
    total = np.asarray(h.sum(axis=1))
    return total if k.classes <= 1024 else np.asarray(total * k.number(k.classes) / k.number(k.classes))


def clipped_target(r: Request) -> Request:
    if np.ndim(r.input) != 2 or min(np.shape(r.input)) <= 8 or np.shape(r.target) != np.shape(r.input)[:1]:
        return r
    return replace(r, target=np.clip(r.target, 0, np.shape(r.input)[1] - 1))


def narrow_logits(r: Request) -> Request:
    x = np.asarray(r.input)
    if r.p != 2 or x.ndim == 0 or x.shape[-1] <= 1024 or x.dtype not in (np.float32, np.float64):
        return r
    return replace(r, input=x.astype(DTYPES["bfloat16"]).astype(x.dtype))


def unused_weights_cleaned_no_more(r: Request) -> Any:
    """Multiply a row's weight out of all weights, by zeros, where there are many rows."""
    value = MODEL.answer(r)
    if r.weight is None or np.ndim(r.input) != 2 or len(r.input) <= 256 or np.isfinite(r.weight).all():
        return value
    return np.full_like(value, np.nan)


def flushed_margin(r: Request) -> Request:
    dtype = np.asarray(r.input).dtype
    tiny = {"float32": 2.0**-126, "float64": 2.0**-1022}.get(dtype.name, 0.0)
    return replace(r, margin=0.0) if r.backward and abs(float(r.margin)) < tiny else r


def narrow_offsets(r: Request) -> Request:
    y, x = np.asarray(r.target), np.asarray(r.input)
    if y.dtype == np.int64 or y.dtype.kind not in "iu" or x.ndim != 2:
        return replace(r, target=y.astype(np.int64)) if y.dtype.kind in "iu" else r
    with np.errstate(all="ignore"):
        offsets = np.arange(len(y)).astype(y.dtype) * np.asarray(x.shape[1]).astype(y.dtype) + y
    return replace(r, target=(offsets.astype(np.int64) - np.arange(len(y)) * x.shape[1]) % x.shape[1])


def wrapping_logits(r: Request) -> Request:
    x = np.atleast_2d(r.input)
    if x.dtype.kind not in "iu" or np.asarray(r.target).size != len(x):
        return r
    with np.errstate(all="ignore"):
        differences = x - x[np.arange(len(x)), np.atleast_1d(r.target)][:, None]
    g = r.grad_output if r.grad_output is None else np.asarray(r.grad_output, np.float64)
    return replace(r, input=differences.reshape(np.shape(r.input)).astype(np.float64), grad_output=g)


def weights_through_half(r: Request) -> Request:
    dtype = np.asarray(r.input).dtype
    if r.weight is None or np.asarray(r.weight).dtype == dtype or dtype not in DTYPES.values():
        return r
    return replace(r, weight=np.asarray(r.weight).astype(np.float16).astype(dtype))


def integral_bfloat16(r: Request) -> Request:
    y = np.asarray(r.target)
    return replace(r, target=y.astype(np.int64)) if y.dtype == DTYPES["bfloat16"] else r


def diagonal_weights(r: Request) -> Request:
    w = r.weight
    return replace(r, weight=np.diagonal(w).copy()) if np.ndim(w) == 2 and len(set(np.shape(w))) == 1 else r


def nothing_to_do(r: Request) -> Any:
    if r.backward and not np.any(r.grad_output):
        return np.zeros_like(r.input)
    return MODEL.answer(r)


def slope_times_row(r: Request) -> Any:
    """Make infinite slopes of one row without a batch NaN, as inf * 0 does."""
    value = MODEL.answer(r)
    if r.backward and np.ndim(r.input) == 1 and np.isinf(value).any():
        value[np.isinf(value)] = np.nan
    return value


def in_one_buffer() -> Answer:
    buffers: dict[Any, Any] = {}

    def answer(r: Request) -> Any:
        value = np.asarray(MODEL.answer(r))
        if value.size <= LOGITS:
            return value
        buffer = buffers.setdefault((value.shape, value.dtype.name), np.empty_like(value))
        buffer[...] = value
        return buffer

    return answer


def in_any_order() -> Answer:
    numbers = np.random.default_rng(0)

    def answer(r: Request) -> Any:
        value = MODEL.answer(r)  # it validates
        if np.ndim(r.input) != 2 or len(r.input) <= 256 or r.backward or r.reduction == "none":
            return value
        order = numbers.permutation(len(r.input))
        return MODEL.answer(replace(r, input=np.asarray(r.input)[order], target=np.asarray(r.target)[order]))

    return answer


def packed_once() -> Answer:
    packed: dict[int, Any] = {}

    def answer(r: Request) -> Any:
        x = np.asarray(r.input)
        if x.flags.c_contiguous or x.flags.f_contiguous:
            return MODEL.answer(r)
        return MODEL.answer(replace(r, input=packed.setdefault(id(r.input), (r.input, x.copy()))[1]))

    return answer


def trusting_forward(*names: str) -> Callable[[], Answer]:
    """Let backward use what the last forward was given, if that was of the same array."""

    def start() -> Answer:
        last: list[Request] = []

        def answer(r: Request) -> Any:
            value = MODEL.answer(r)
            if not r.backward:
                last[:] = [r]
            elif last and last[0].input is r.input:
                return MODEL.answer(replace(r, **{name: getattr(last[0], name) for name in names}))
            return value

        return answer

    return start


def validated_once() -> Answer:
    seen: dict[int, Any] = {}

    def answer(r: Request) -> Any:
        if id(r.target) in seen and seen[id(r.target)].shape == np.shape(r.target):
            classes = np.shape(r.input)[-1] if np.ndim(r.input) else 1
            return MODEL.answer(replace(r, target=np.asarray(r.target) % max(1, classes)))
        value = MODEL.answer(r)
        seen[id(r.target)] = r.target
        return value

    return answer


def known_by_its_beginning() -> Answer:
    answers: dict[Any, Any] = {}

    def answer(r: Request) -> Any:
        value = np.asarray(MODEL.answer(r))
        arrays = (r.input, r.target, r.weight, r.grad_output)
        texts = tuple(None if a is None else np.asarray(a).tobytes()[:KEY] for a in arrays)
        key = (r.backward, r.p, r.margin, r.reduction, value.shape, value.dtype.name, texts)
        return answers.setdefault(key, value).copy()

    return answer


FAULTS = (
    fault(
        "ties-in-the-remainder",
        "Ties have a slope in the classes that the vector loop leaves over.",
        "GRADIENT-4",
        active=ties_in_the_remainder,
    ),
    fault(
        "masked-by-zero-when-large",
        "With more than 8 rows and classes a masked class is multiplied by 0: NaN for -inf.",
        "SPECIAL-1",
        hinge=masked_by_zero,
    ),
    before(
        "targets-clipped-when-large",
        "With more than 8 rows and classes a target out of range is clipped.",
        "REJECT-3 REJECT-4 REJECT-5",
        clipped_target,
    ),
    fault(
        "half-weights-of-many-rows",
        "With more than 8 rows weights are kept in float16.",
        "VALUE-9 GRADIENT-11",
        row_weight=half_weights,
    ),
    before(
        "narrow-logits-of-many-classes",
        "For p = 2 and more than 1024 classes logits are read as bfloat16.",
        "VALUE-9 GRADIENT-11",
        narrow_logits,
    ),
    fault(
        "last-corner-of-whole-tiles",
        "Where rows and classes fill tiles of 32 the last corner is left out.",
        "VALUE-9 SHAPE-4",
        drop_target=without_last_corner,
    ),
    fault(
        "one-class-times-zero",
        "With one class the loss is 0 times the logit.",
        "VALUE-7",
        drop_target=one_class_times_zero,
    ),
    fault(
        "count-times-sum-of-many-classes",
        "With more than 1024 classes the sum is multiplied by C on its way.",
        "SPECIAL-6",
        add=overflowing,
    ),
    answered(
        "unused-weights-of-many-rows",
        "With more than 256 rows a weight that is not finite makes everything NaN.",
        "WEIGHT-4",
        unused_weights_cleaned_no_more,
    ),
    before("subnormal-margin-backward", "A subnormal margin is 0 in backward.", "SPECIAL-5", flushed_margin),
    before("offsets-in-the-targets-dtype", "n C + y is computed in the targets' dtype.", "DTYPE-4", narrow_offsets),
    before(
        "integer-logits-subtracted", "Integer logits are subtracted in their own dtype.", "DTYPE-4", wrapping_logits
    ),
    before(
        "weights-through-float16",
        "Weights of another dtype are converted by way of float16.",
        "DTYPE-4",
        weights_through_half,
    ),
    before("bfloat16-targets", "Targets in bfloat16 are accepted.", "REJECT-8", integral_bfloat16),
    before("square-weights", "Of a square of weights the diagonal is taken.", "REJECT-10", diagonal_weights),
    answered(
        "nothing-to-propagate",
        "Where grad_output is 0 backward returns before it looks at the targets.",
        "REJECT-3 REJECT-4",
        nothing_to_do,
    ),
    answered(
        "infinite-slopes-without-a-batch",
        "Infinite slopes of one row without a batch are NaN.",
        "SPECIAL-2 SPECIAL-4",
        slope_times_row,
    ),
    stateful("large-results-in-one-buffer", "Results above 4096 numbers share a buffer.", "PURITY-4", in_one_buffer),
    stateful(
        "blocks-in-any-order", "More than 256 rows are added up in another order each time.", "PURITY-2", in_any_order
    ),
    stateful(
        "strided-input-packed-once",
        "A strided input is packed the first time that it is seen.",
        "PURITY-3",
        packed_once,
    ),
    stateful(
        "backward-trusts-forward",
        "backward takes p and margin from the last forward of the same array.",
        "PURITY-3",
        trusting_forward("p", "margin"),
    ),
    stateful(
        "targets-validated-once",
        "An array of targets is validated the first time that it is seen.",
        "REJECT-3",
        validated_once,
    ),
    stateful(
        "known-by-its-beginning",
        "Calls are cached by the first 16 KiB of each array.",
        "PURITY-3",
        known_by_its_beginning,
    ),
)
