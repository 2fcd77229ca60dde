"""Known faults at infinities and NaN."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from multimargin_reference.known.catalogue import Fault, after, before, fault
from multimargin_reference.known.model import MODEL, Array, Request, Work


def hinge_by_product(z: Array, _k: Work) -> Any:
    """Multiply by the mask, so that -inf * 0 is NaN."""
    return z * (z > 0).astype(z.dtype)


def target_by_product(h: Array, k: Work) -> Any:
    """Multiply the target's term away, so that NaN * 0 stays NaN."""
    return h * (~k.own).astype(h.dtype)


def gathered_by_product(k: Work) -> Any:
    """Gather x[y] by a product with a one-hot row, so that inf * 0 is NaN in every row with an infinity."""
    own = (k.own.astype(k.x.dtype) * k.x).sum(axis=1, keepdims=True)
    return (k.margin - own) + k.x


def propagated(z: Array, k: Work) -> Any:
    return np.maximum(z, k.number(0))


def with_row_sum(rows: Any, k: Work) -> Any:
    """Look for a NaN by adding the logits up, which makes one of inf and -inf."""
    return np.where(np.isnan(k.x.sum(axis=1)), k.number(np.nan), rows)


def with_batch_sum(rows: Any, k: Work) -> Any:
    return np.full_like(rows, np.nan) if np.isnan(k.x.sum()) else rows


def gradient_with_row_sum(value: Any, k: Work) -> Any:
    return np.where(np.isnan(k.x.sum(axis=1))[:, None], k.number(np.nan), value)


def masked_below_infinity(rows: Any, k: Work) -> Any:
    """Take the difference of -inf and an infinite target for undefined."""
    undefined = np.isposinf(k.target_logit[:, 0]) & np.isneginf(k.x).any(axis=1)
    return np.where(undefined, k.number(np.nan), rows)


def infinity_over_masked_target(rows: Any, k: Work) -> Any:
    dropped = np.isneginf(k.target_logit[:, 0]) & np.isposinf(k.x).any(axis=1)
    return np.where(dropped, k.number(0), rows)


def grads_of_all(k: Work) -> Array:
    """Multiply by diag(grad_output) as a matrix, in which every row adds 0 times all of grad_output."""
    return np.asarray(MODEL.factored(k) + 0 * np.asarray(k.g).sum())


def target_without_nan(d: Array, k: Work) -> Array:
    """Add up the row without what a logit's NaN has made NaN."""
    d[k.row, k.y] = -np.where(np.isnan(k.x) & np.isnan(d), k.number(0), d).sum(axis=1)
    return d


def target_with_dropped(d: Array, k: Work) -> Array:
    """Add up the row, and drop a NaN's element only then."""
    d = MODEL.target_gradient(d, k)
    return np.where(np.isnan(k.x) & ~k.own, k.number(0), d)


def active_or_nan(z: Array, k: Work) -> Array:
    """Test for z <= 0, which a NaN fails."""
    return ~(z <= 0) & ~k.own


def with_numbers(**numbers: float) -> Any:
    """Make a difference step in which nan_to_num has replaced what is not finite; the default is the largest finite."""
    keywords: dict[str, Any] = {"nan": np.nan} | numbers
    return lambda k: MODEL.difference(replace(k, x=np.nan_to_num(k.x, **keywords)))


def finite_classes(rows: Array, k: Work) -> Array:
    count = np.maximum(1, (~np.isneginf(k.x)).sum(axis=1))
    return np.asarray(rows / count.astype(rows.dtype))


def gradient_by_product(z: Array, k: Work) -> Array:
    return np.where(np.isinf(z), z * 0, MODEL.slope(z, k))


def reject_where(wrong: Any) -> Any:
    """Make a change that rejects logits where `wrong(x)`."""

    def change(r: Request) -> Request:
        x = np.asarray(r.input)
        if x.dtype.kind == "f" and np.any(wrong(x)):
            raise ValueError("input must be finite")
        return r

    return change


def nan_if(wrong: Any) -> Any:
    """Make an `after` change to NaN where `wrong(request)`."""
    return lambda value, r: np.full_like(value, np.nan) if wrong(r) else value


def input_has_nan(r: Request) -> bool:
    return bool(np.isnan(np.asarray(r.input).astype(np.float64)).any())


def target_infinite(r: Request) -> bool:
    k = MODEL.prepare(replace(r, backward=False))
    return bool(np.isinf(k.target_logit).any())


def input_infinite(r: Request) -> bool:
    return bool(np.isinf(np.asarray(r.input).astype(np.float64)).any())


def zero_for_nan(z: Array, k: Work) -> Array:
    return np.where(np.isnan(z), k.number(1), MODEL.hinge(z, k))


def gradient_of_infinite(d: Array, k: Work) -> Any:
    """Give 0 where z is infinite, although the slope for p = 1 is finite."""
    z = MODEL.difference(k)
    return MODEL.finish_gradient(MODEL.target_gradient(np.where(np.isinf(z) | k.own, k.number(0), d), k), k)


INFINITIES = (
    fault(
        "hinge-by-product",
        "The hinge multiplies z by its mask, so a class masked with -inf gives NaN.",
        "SPECIAL-1",
        hinge=hinge_by_product,
    ),
    fault(
        "target-term-by-product",
        "The target's term is multiplied by 0, so an infinite target gives NaN.",
        "SPECIAL-3 SPECIAL-4",
        hinge=propagated,
        drop_target=target_by_product,
    ),
    fault(
        "target-gathered-by-product",
        "x[y] is gathered by a one-hot product, so any infinity gives NaN.",
        "SPECIAL-1 SPECIAL-2",
        difference=gathered_by_product,
        hinge=propagated,
    ),
    fault(
        "target-gathered-by-product-dropping",
        "x[y] is gathered by a one-hot product and NaN is dropped, so a masked class makes the loss 0.",
        "SPECIAL-1 SPECIAL-2",
        difference=gathered_by_product,
    ),
    fault(
        "infinity-becomes-largest-finite",
        "Infinite logits become the largest finite numbers (PaddlePaddle).",
        "SPECIAL-2 SPECIAL-4",
        difference=with_numbers(),
    ),
    fault(
        "infinity-becomes-zero",
        "Infinite logits become 0.",
        "SPECIAL-1 SPECIAL-2",
        difference=with_numbers(posinf=0.0, neginf=0.0),
    ),
    fault(
        "mask-becomes-zero",
        "-inf logits become 0.",
        "SPECIAL-1 SPECIAL-4",
        difference=with_numbers(posinf=np.inf, neginf=0.0),
    ),
    fault(
        "mask-becomes-minus-1e4",
        "-inf logits become -1e4.",
        "SPECIAL-4",
        difference=with_numbers(posinf=np.inf, neginf=-1e4),
    ),
    fault(
        "masked-classes-not-counted",
        "Classes masked with -inf are left out of C.",
        "SPECIAL-1 VALUE-5",
        scale=finite_classes,
    ),
    before(
        "infinite-rejected",
        "Infinite logits are rejected.",
        "SPECIAL-1 SPECIAL-2",
        reject_where(lambda x: np.isinf(x.astype(np.float64))),
    ),
    after("infinite-target-nan", "An infinite target logit gives NaN.", "SPECIAL-3 SPECIAL-4", nan_if(target_infinite)),
    after("infinite-input-nan", "Any infinite logit gives NaN.", "SPECIAL-1 SPECIAL-2", nan_if(input_infinite)),
    after(
        "loss-infinity-becomes-finite",
        "An infinite loss comes back as the largest finite number (ONNX Runtime's Clip).",
        "SPECIAL-2 SPECIAL-4",
        lambda v, r: (
            v
            if r.backward
            else np.where(np.isposinf(v), np.asarray(1e38 if v.dtype.name != "float16" else 65504, v.dtype), v)
        ),
    ),
    fault(
        "gradient-nan-at-infinity",
        "The gradient is NaN where z is infinite, for p = 1 too.",
        "SPECIAL-2 SPECIAL-4",
        slope=gradient_by_product,
    ),
    fault(
        "gradient-masked-nan",
        "The gradient multiplies z by its mask, so a masked class has NaN.",
        "SPECIAL-1 GRADIENT-5",
        active=lambda z, k: MODEL.active(z, k) | np.isneginf(z),
        slope=gradient_by_product,
    ),
    fault(
        "gradient-zero-at-infinity",
        "The gradient is 0 where z is infinite, for p = 1 too.",
        "SPECIAL-2 SPECIAL-4",
        finish_gradient=gradient_of_infinite,
    ),
)

NANS = (
    fault("nan-counts-one", "A NaN term counts 1.", "SPECIAL-7", hinge=zero_for_nan),
    fault(
        "nan-becomes-zero",
        "NaN logits become 0.",
        "SPECIAL-7",
        difference=lambda k: MODEL.difference(replace(k, x=np.where(np.isnan(k.x), k.number(0), k.x))),
    ),
    fault(
        "nan-becomes-infinity",
        "A NaN term counts as infinite.",
        "SPECIAL-7",
        hinge=lambda z, k: np.where(np.isnan(z), k.number(np.inf), MODEL.hinge(z, k)),
    ),
    after(
        "nan-poisons-batch",
        "A NaN in one row makes every row of reduction = none NaN.",
        "SPECIAL-7",
        nan_if(input_has_nan),
    ),
    before(
        "nan-rejected", "NaN logits are rejected.", "SPECIAL-7", reject_where(lambda x: np.isnan(x.astype(np.float64)))
    ),
)

TOGETHER: tuple[Fault, ...] = (
    fault(
        "nan-lost-at-target",
        "A NaN reaches its own element of the gradient for p = 2, and the target's is the sum without it.",
        "SPECIAL-7",
        active=active_or_nan,
        target_gradient=target_without_nan,
    ),
    fault(
        "nan-counted-at-target",
        "For p = 1 a NaN counts as active in the target's element of the gradient, and its own is 0.",
        "SPECIAL-7",
        active=active_or_nan,
        target_gradient=target_with_dropped,
    ),
    fault(
        "nan-found-by-row-sum",
        "A row with inf and -inf is taken for one with a NaN.",
        "SPECIAL-2",
        add=lambda h, k: with_row_sum(MODEL.add(h, k), k),
    ),
    fault(
        "nan-found-by-batch-sum",
        "A batch with inf and -inf in different rows is taken for one with a NaN.",
        "SPECIAL-2",
        add=lambda h, k: with_batch_sum(MODEL.add(h, k), k),
    ),
    fault(
        "gradient-nan-found-by-row-sum",
        "The gradient of a row with inf and -inf is NaN.",
        "SPECIAL-2 SPECIAL-3",
        target_gradient=lambda d, k: gradient_with_row_sum(MODEL.target_gradient(d, k), k),
    ),
    fault(
        "masked-below-infinite-target",
        "-inf minus an infinite target is taken for undefined.",
        "SPECIAL-3",
        add=lambda h, k: masked_below_infinity(MODEL.add(h, k), k),
    ),
    fault(
        "infinity-over-masked-target",
        "inf minus a target of -inf counts 0.",
        "SPECIAL-4",
        add=lambda h, k: infinity_over_masked_target(MODEL.add(h, k), k),
    ),
    fault(
        "grad-output-nan-everywhere",
        "A NaN or infinity in one row's grad_output makes every row of the gradient NaN.",
        "GRADIENT-9",
        factor=grads_of_all,
    ),
)

FAULTS: tuple[Fault, ...] = INFINITIES + NANS
