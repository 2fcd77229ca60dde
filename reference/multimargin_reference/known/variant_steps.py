"""Steps that a legal variant may take instead of the model's: other orders, associations, widths, scalings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from multimargin_reference.known import sums
from multimargin_reference.known.model import MODEL, Array, Work

WIDER = {"float16": "float32", "bfloat16": "float32", "float32": "float64", "float64": "longdouble"}


# Differences and margins


def target_first(k: Work) -> Any:
    return (k.x - k.target_logit) + k.margin


def margin_first(k: Work) -> Any:
    return (k.margin + k.x) - k.target_logit


def margin_kept_wide(k: Work) -> Array:
    wide = k.exact_margin - k.target_logit.astype(np.float64) + k.x.astype(np.float64)
    return wide.astype(k.x.dtype)


def widened_difference(k: Work) -> Any:
    wide = WIDER[k.x.dtype.name]
    return ((k.margin.astype(wide) - k.target_logit.astype(wide)) + k.x.astype(wide)).astype(k.x.dtype)


def wider_compute(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Compute halves and float32 in float64, and float64 in the platform's longest format."""
    return np.dtype(np.longdouble) if dtype == np.float64 else np.dtype(np.float64)


# Sums of rows and of the batch


def rows_by(add: sums.Sum) -> dict[str, Any]:
    """Exchange the sum over a row, in the loss and in the target's element of the gradient."""

    def target_gradient(d: Array, k: Work) -> Array:
        d[k.row, k.y] = -add(d) if d.size else d.sum(axis=1)
        return d

    return {"add": lambda h, _k: add(h) if h.size else h.sum(axis=1), "target_gradient": target_gradient}


def batch_by(add: sums.Sum) -> Any:
    """Exchange the sum over the batch."""

    def reduce(rows: Array, k: Work) -> Any:
        if k.reduction == "none" or not k.rows:
            return MODEL.reduced(rows, k)
        return add(rows) / (MODEL.batch(k) if k.reduction == "mean" else k.number(1))

    return reduce


def keep_rows(h: Array, _k: Work) -> Array:
    return h


def flattened(h: Array, k: Work) -> Any:
    """Add all N C terms in one pass; the division by C comes after."""
    if k.reduction == "none" or not k.rows:
        return MODEL.reduced(MODEL.scaled(h.sum(axis=1), k), k)
    total = sums.sequential(h.reshape(-1)) / k.number(k.classes)
    return total / MODEL.batch(k) if k.reduction == "mean" else total


def active_only(h: Array, k: Work) -> Array:
    """Gather each row's active terms and add those alone."""
    return np.array([row[row != 0].sum() for row in h], h.dtype).reshape(k.rows)


def fused_squares(k: Work) -> Any:
    """Add z * z (or z * 1) by fused multiply-adds."""
    z = MODEL.drop_target(MODEL.hinge(MODEL.difference(k), k), k)
    rows = sums.products(z, z if k.p == 2 else np.ones_like(z)) if z.size else z.sum(axis=1)
    return rows if k.w is None else rows * k.w[:, 0]


def fused_weights(k: Work) -> Any:
    """Add w * h by fused multiply-adds."""
    h = MODEL.drop_target(MODEL.power(MODEL.hinge(MODEL.difference(k), k), k), k)
    w = np.ones_like(h) if k.w is None else np.broadcast_to(k.w, h.shape)
    return sums.products(h, w) if h.size else h.sum(axis=1)


def row_sums_from(rows: Callable[[Work], Any]) -> Any:
    """Make an add step that computes its rows from the start."""
    return lambda _h, k: rows(k)


# Weights


def unweighted(h: Array, _k: Work) -> Array:
    return h


def late_weight(rows: Array, k: Work) -> Array:
    return MODEL.scaled(rows if k.w is None else rows * k.w[:, 0], k)


def latest_weight(rows: Array, k: Work) -> Array:
    return MODEL.scaled(rows, k) * (k.number(1) if k.w is None else k.w[:, 0])


def weight_times_z_times_z(h: Array, k: Work) -> Array:
    """Raise and weigh in one step: (w z) z."""
    weighted = h if k.w is None else k.w * h
    return weighted if k.p == 1 else weighted * h


def late_gradient_weight(d: Array, k: Work) -> Array:
    """Weigh the whole row at the end, the target's element included."""
    d = MODEL.target_gradient(d, k)
    return d if k.w is None else d * k.w


# Scaling


def by_reciprocals(rows: Array, k: Work) -> Any:
    return rows * (k.number(1) / k.number(k.classes))


def mean_by_reciprocal(rows: Array, k: Work) -> Any:
    if k.reduction != "mean":
        return MODEL.reduced(rows, k)
    return rows.sum() * (k.number(1) / MODEL.batch(k))


def scale_of(k: Work) -> Any:
    """Return 1 / C, or 1 / (N C) for mean, rounded once."""
    count = k.classes * (max(1, k.rows) if k.reduction == "mean" else 1)
    return k.number(1) / k.number(count)


def scaled_at_once(rows: Array, k: Work) -> Any:
    return rows * scale_of(k) if k.reduction == "none" else rows.sum() * scale_of(k)


def divided_at_once(rows: Array, k: Work) -> Any:
    count = k.number(k.classes * (max(1, k.rows) if k.reduction == "mean" else 1))
    return (rows if k.reduction == "none" else rows.sum()) / count


def scaled_first(h: Array, k: Work) -> Any:
    return MODEL.power(h, k) * scale_of(k)


def divided_first(h: Array, k: Work) -> Any:
    return MODEL.power(h, k) / k.number(k.classes)


def batch_first(h: Array, k: Work) -> Any:
    return MODEL.power(h, k) / (MODEL.batch(k) if k.reduction == "mean" else k.number(1))


def no_scale(rows: Array, _k: Work) -> Array:
    return rows


def plain_total(rows: Array, k: Work) -> Any:
    return rows if k.reduction == "none" else rows.sum()


# Gradients


def factor_by_reciprocal(k: Work) -> Any:
    return np.asarray(k.g) * scale_of(k)


def factor_one(k: Work) -> Array:
    return np.ones_like(np.asarray(k.g))


def late_grad_output(d: Array, k: Work) -> Any:
    """Multiply by grad_output at the very end, as PyTorch does."""
    return MODEL.target_gradient(d, k) * np.asarray(k.g)[:, None]


def scale_without_g(k: Work) -> Array:
    return MODEL.factored(replace(k, g=factor_one(k)))


def scaled_slope(z: Array, k: Work) -> Array:
    """Multiply 2 g by z, as PyTorch does, g the scaling."""
    g = scale_of(k)
    return np.full_like(z, g) if k.p == 1 else ((g + g) * z)


def grad_times_slope(z: Array, k: Work) -> Any:
    """Multiply grad_output by 2, then by z, then by the scaling."""
    g = np.asarray(k.g)[:, None]
    return (np.broadcast_to(g, z.shape) if k.p == 1 else (g * 2) * z) * scale_of(k)


def all_active(z: Array, _k: Work) -> Array:
    return z > 0


def keep_and_cancel(d: Array, k: Work) -> Array:
    """Subtract the whole row's sum, own term included, from the target's element."""
    d[k.row, k.y] -= d.sum(axis=1)
    return d


def reassociated_active(_z: Array, k: Work) -> Array:
    return MODEL.active(target_first(k), k)


def reassociated_slope(_z: Array, k: Work) -> Array:
    return MODEL.slope(target_first(k), k)


# Special values and results


def propagated(z: Array, k: Work) -> Any:
    return np.maximum(z, k.number(0))


def propagated_gradient(d: Array, k: Work) -> Array:
    """Let a NaN z make its element and the target's NaN."""
    z = MODEL.difference(k)
    return MODEL.target_gradient(np.where(np.isnan(z) & ~k.own, k.number(np.nan), d), k)


def skipped(z: Array, k: Work) -> Array:
    """Test for z <= 0, which a NaN is not."""
    return np.where(z <= 0, k.number(0), z)


def not_skipped(z: Array, k: Work) -> Array:
    return np.asarray(~(z <= 0) & ~k.own)


def negative_zeros(value: Any) -> Any:
    return np.where(value == 0, -np.zeros_like(value), value)


def nan_for_empty(k: Work) -> Any:
    return k.number(k.rows)


def in_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return dtype


def in_dtype_divisor(rows: Array, k: Work) -> Array:
    """Divide in float32 at least, so that C past the half's range divides rightly, and round."""
    wide = rows.astype(np.promote_types(rows.dtype, np.float32)) / np.float32(k.classes)
    return wide.astype(rows.dtype)


def in_dtype_mean(rows: Array, k: Work) -> Any:
    if k.reduction != "mean" or k.x.dtype.itemsize > 2:
        return MODEL.reduced(rows, k)
    return rows.sum().astype(np.float32) / np.float32(max(1, k.rows))


def in_dtype_factor(k: Work) -> Array:
    if k.x.dtype.itemsize > 2:
        return MODEL.factored(k)
    count = np.float32(k.classes * (max(1, k.rows) if k.reduction == "mean" else 1))
    return (np.asarray(k.g).astype(np.float32) / count).astype(k.x.dtype)
