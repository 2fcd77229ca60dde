"""Known faults of numbers of one magnitude, of one size in both directions, and of what the last call left behind.

A limit that no ordinary number reaches, a type that holds whole numbers, a block of many rows and classes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from multimargin_reference.known.catalogue import Answer, Fault, answered, before, fault, stateful
from multimargin_reference.known.model import MODEL, Array, Request, Work, active, hinge, row_weight
from multimargin_reference.known.model import drop_target as left_out

LIMIT = 1e6
TINY = 1e-18
WHOLE = 2.0**24
ELEMENTS = 2**14


def ties_of_large_logits(z: Array, k: Work) -> Array:
    return np.asarray(active(z, k) | ((z == 0) & ~k.own & (np.abs(k.x) > LIMIT)))


def ties_at_large_margins(z: Array, k: Work) -> Array:
    return np.asarray(active(z, k) | ((z == 0) & ~k.own)) if abs(k.exact_margin) > 100 else active(z, k)


def small_beside_the_margin(z: Array, k: Work) -> Array:
    h = hinge(z, k)
    return np.where(h > 1e-6 * abs(k.exact_margin), h, k.number(0))


def clipped_weights(k: Work) -> Array | None:
    w = row_weight(k)
    return w if w is None else np.where(np.isfinite(w), np.clip(w, -LIMIT, LIMIT), w).astype(w.dtype)


def tiny_weights(k: Work) -> Array | None:
    w = row_weight(k)
    return w if w is None else np.where(np.abs(w) < TINY, w * 0, w)


def narrow_whole_weights(k: Work) -> Array | None:
    w = row_weight(k)
    whole = w is not None and np.isfinite(w).all() and (w == np.floor(w)).all() and np.abs(w).max(initial=0) < 2.0**60
    return w.astype(np.float16).astype(w.dtype) if w is not None and whole else w


def normalised_weights(k: Work) -> Array | None:
    w = row_weight(k)
    if w is None or k.weight is None or not np.isfinite(k.weight).all() or not k.weight.any():
        return w
    largest = np.abs(k.weight).max()
    return np.asarray(w / largest * largest)


def scaled_by_used_weights(k: Work) -> Array | None:
    w = row_weight(k)
    if w is None or not w.size or not np.isfinite(w).all() or not w.any():
        return w
    _, exponent = np.frexp(np.abs(w).max())
    return np.asarray(np.ldexp(np.ldexp(w, -exponent), exponent)).astype(w.dtype)


def limited_grad_output(r: Request) -> Request:
    g = r.grad_output
    if not r.backward or g is None or np.asarray(g).dtype not in (np.float32, np.float64):
        return r
    return replace(r, grad_output=np.where(np.isfinite(g), np.clip(g, -LIMIT, LIMIT), g).astype(np.asarray(g).dtype))


def whole_logits(r: Request) -> Request:
    x = np.asarray(r.input)
    whole = x.dtype == np.float64 and np.isfinite(x).all() and (x == np.floor(x)).all()
    return replace(r, input=x.astype(np.float32).astype(np.float64)) if whole and np.abs(x).max(initial=0) < 1e30 else r


def flushed_logits(r: Request) -> Request:
    x = np.asarray(r.input)
    if x.dtype not in (np.float32, np.float64) or r.weight is None:
        return r
    return replace(r, input=np.where(np.abs(x) < np.finfo(x.dtype).smallest_normal, x * 0, x))


def shortcut_for_zeros(r: Request) -> Any:
    """Answer a call whose logits are all 0 by the margin alone: with the last class's weight."""
    value = MODEL.answer(r)
    x = np.asarray(r.input)
    if r.backward or r.weight is None or r.p != 2 or r.reduction != "none" or x.ndim != 2 or not x.size or x.any():
        return value
    z = max(0.0, float(r.margin))
    return np.full_like(value, float(r.weight[-1]) * z * z * (x.shape[1] - 1) / x.shape[1])


def without_last_row(h: Array, k: Work) -> Array:
    h = left_out(h, k).copy()
    if k.rows > 1024 and k.classes > 16:
        h[-1] = 0
    return h


def narrow_squares(z: Array, k: Work) -> Array:
    h = hinge(z, k)
    if k.p == 2 and k.rows > 64 and k.classes > 64 and k.rows * k.classes > ELEMENTS:
        return h.astype(np.float32).astype(h.dtype)
    return h


def counted_in_half(h: Array, k: Work) -> Array:
    total = np.asarray(h.sum(axis=1))
    return total if k.classes <= 2048 or k.p != 1 or k.w is None else total.astype(np.float16).astype(total.dtype)


def whole_sum_of_finite_terms(r: Request) -> Any:
    """Raise OverflowError where finite terms add up to an infinity, as math.fsum does."""
    value = MODEL.answer(r)
    if not r.backward and np.isfinite(r.input).all() and not np.isfinite(np.asarray(value, np.float64)).all():
        raise OverflowError("intermediate overflow in fsum")
    return value


def record_strides_in_elements(r: Request) -> Request:
    """Divide strides by the size of an element, and read the wrong places where something is left."""
    x = np.asarray(r.input)
    if not x.ndim or not x.size or all(stride % x.itemsize == 0 for stride in x.strides):
        return r
    return replace(r, input=np.roll(x, 1, axis=-1))


def wrapping_at_48_bits(r: Request) -> Request:
    y = np.asarray(r.target)
    return replace(r, target=np.where(y >= 2**48, y % 2**48, y)) if y.dtype == np.int64 else r


def unchecked_beside_nan(r: Request) -> Request:
    x, y = np.asarray(r.input), np.asarray(r.target)
    bad = x.ndim in (1, 2) and x.size and y.shape == x.shape[:-1] and y.dtype.kind in "iu"
    if not bad or not (np.isnan(x).any() or (r.weight is not None and np.isnan(r.weight).any())):
        return r
    return replace(r, target=y % x.shape[-1])


def failing_once_more() -> Answer:
    failed: list[bool] = []

    def answer(r: Request) -> Any:
        before_this = bool(failed)
        failed.clear()
        try:
            value = MODEL.answer(r)
        except Exception:
            failed.append(True)
            raise
        if before_this:
            raise RuntimeError("an earlier call failed")
        return value

    return answer


def masking_its_input() -> Answer:
    """Write -inf over the targets' logits for as long as a call takes."""

    def answer(r: Request) -> Any:
        x, y = np.asarray(r.input), np.asarray(r.target)
        value = MODEL.answer(r)  # it validates
        if x.ndim != 2 or len(x) < 200 or not x.flags.writeable or r.input is not x:
            return value
        rows = np.arange(len(x))
        kept = x[rows, y].copy()
        x[rows, y] = -np.inf
        for _ in range(20):  # what takes so long
            np.exp(x)
        x[rows, y] = kept
        return value

    return answer


def zero_gradient_is_grad_output(r: Request) -> Any:
    value = MODEL.answer(r)
    one = r.backward and np.shape(r.input)[-1:] == (1,) and np.shape(r.grad_output) == np.shape(r.input)[:-1]
    if one and isinstance(r.grad_output, np.ndarray) and r.grad_output.dtype == value.dtype and not r.grad_output.any():
        return r.grad_output.reshape(np.shape(r.input))
    return value


FAULTS: tuple[Fault, ...] = (
    fault("ties-of-large-logits", "Logits above 1e6 have a slope at z = 0.", "GRADIENT-4", active=ties_of_large_logits),
    fault("ties-at-large-margins", "Margins above 100: a slope at z = 0.", "GRADIENT-4", active=ties_at_large_margins),
    fault(
        "small-beside-the-margin",
        "z below a millionth of the margin counts as 0.",
        "VALUE-3 GRADIENT-1",
        hinge=small_beside_the_margin,
    ),
    fault("weights-clipped-at-1e6", "Weights are clipped at 1e6.", "WEIGHT-2 GRADIENT-7", row_weight=clipped_weights),
    fault("tiny-weights-are-zero", "Weights below 1e-18 are 0.", "WEIGHT-2 GRADIENT-7", row_weight=tiny_weights),
    fault(
        "whole-weights-in-float16",
        "Weights that are whole numbers are kept in float16.",
        "WEIGHT-2 GRADIENT-7",
        row_weight=narrow_whole_weights,
    ),
    fault(
        "weights-normalised-and-back",
        "Weights are divided by the largest, and multiplied again.",
        "WEIGHT-2 GRADIENT-7",
        row_weight=normalised_weights,
    ),
    fault(
        "weights-scaled-by-the-largest-used",
        "Weights are scaled by the largest that is used, beside which others vanish.",
        "WEIGHT-5 GRADIENT-7",
        row_weight=scaled_by_used_weights,
    ),
    before("grad-output-clipped-at-1e6", "grad_output is clipped at 1e6.", "GRADIENT-8", limited_grad_output),
    before("whole-logits-in-float32", "Logits that are whole numbers are read as float32.", "VALUE-1", whole_logits),
    before("subnormal-logits-are-zero", "Weighted calls read subnormal logits as 0.", "SPECIAL-5", flushed_logits),
    answered("shortcut-for-zeros", "All logits 0: the last class's weight.", "VALUE-1", shortcut_for_zeros),
    fault(
        "last-row-of-large-blocks",
        "With more than 1024 rows and 16 classes the last row is left out.",
        "SHAPE-5",
        drop_target=without_last_row,
    ),
    fault(
        "narrow-squares-of-large-blocks",
        "For p = 2 and more than 16384 logits of many rows and classes z is kept in float32.",
        "SHAPE-4 SHAPE-5",
        hinge=narrow_squares,
    ),
    fault(
        "weighted-count-in-float16",
        "With weights, p = 1 and more than 2048 classes the sum is kept in float16.",
        "VALUE-1",
        add=counted_in_half,
    ),
    answered(
        "finite-terms-overflow",
        "Where finite terms add up to an infinity it raises an error.",
        "SPECIAL-6",
        whole_sum_of_finite_terms,
    ),
    before(
        "strides-of-records",
        "Strides that are no multiple of an element's size are rounded.",
        "PURITY-5",
        record_strides_in_elements,
    ),
    before("target-wraps-at-48-bits", "Targets are kept in 48 bits.", "REJECT-5", wrapping_at_48_bits),
    before(
        "targets-unchecked-beside-nan",
        "Targets are not validated where a logit or a weight is NaN.",
        "REJECT-3 REJECT-4",
        unchecked_beside_nan,
    ),
    stateful("fails-once-more", "The call after a rejected one fails too.", "PURITY-3", failing_once_more),
    stateful("masks-its-input", "The targets are masked in input while a call runs.", "PURITY-3", masking_its_input),
    answered(
        "zero-gradient-is-grad-output",
        "With one class the zeros of grad_output are returned themselves.",
        "PURITY-4",
        zero_gradient_is_grad_output,
    ),
)
