"""Legal variants: implementations that differ from the model only where the specification leaves a choice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from multimargin_reference.known import sums
from multimargin_reference.known import variant_steps as step
from multimargin_reference.known.catalogue import Variant, variant
from multimargin_reference.known.model import MODEL, Custom, Request
from multimargin_reference.validation import REDUCTIONS, as_float_array

REJECTIONS = (ValueError, TypeError, IndexError)


class RejectedCallError(Exception):
    """An error type of an implementation's own."""


def changed(name: str, sentence: str, change: Callable[[Any], Any]) -> Variant:
    """Pass every answer through `change`."""
    return Variant(name, sentence, lambda: Custom(name, lambda r: change(MODEL.answer(r))))


def raising(name: str, error: type[Exception]) -> Variant:
    """Reject by another type of error."""

    def answer(r: Request) -> Any:
        try:
            return MODEL.answer(r)
        except REJECTIONS as reason:
            raise error(str(reason)) from reason

    return Variant(name, f"Invalid calls raise {error.__name__}.", lambda: Custom(name, answer))


def asked(name: str, sentence: str, change: Callable[[Request], Request]) -> Variant:
    """Change what is asked where the specification leaves acceptance open."""
    return Variant(name, sentence, lambda: Custom(name, lambda r: MODEL.answer(change(r))))


def integers_only(r: Request) -> Request:
    if not isinstance(r.p, int) or isinstance(r.p, bool):
        raise TypeError(f"p={r.p!r}, but should be an int")
    return r


def narrower_targets(r: Request) -> Request:
    y = np.asarray(r.target)
    return replace(r, target=y.astype(np.int64)) if y.dtype in (np.int32, np.int16, np.int8, np.uint8) else r


def reversed_layout(value: Any) -> Any:
    return value[..., ::-1].copy()[..., ::-1] if value.ndim else value


def spread_layout(value: Any) -> Any:
    return np.repeat(value, 2, axis=-1)[..., ::2] if value.ndim else value


def read_only(value: Any) -> Any:
    value.flags.writeable = False
    return value


def other_names(r: Request) -> Request:
    names = dict(enumerate(REDUCTIONS)) | {"elementwise_mean": "mean"}
    return replace(r, reduction=names.get(r.reduction, r.reduction))


def weight_converted(r: Request) -> Request:
    w = None if r.weight is None else as_float_array(r.weight, "weight")
    return r if w is None else replace(r, weight=w.astype(np.asarray(r.input).dtype))


def one_target(r: Request) -> Any:
    if np.ndim(r.input) != 1 or np.shape(r.target) != (1,):
        return MODEL.answer(r)
    value = MODEL.answer(replace(r, input=np.asarray(r.input)[None, :]))
    return value[0] if r.backward else value


def types_unchecked(r: Request) -> Any:
    """Let the gradient of integer logits, whose loss is rejected, be anything."""
    is_integer = r.backward and np.asarray(r.input).dtype.kind in "iu"
    return np.zeros_like(r.input) if is_integer else MODEL.answer(r)


DIFFERENCES = (
    variant("textbook", "The model itself."),
    variant("difference-target-first", "z is formed as (x[i] - x[y]) + margin.", difference=step.target_first),
    variant("difference-margin-first", "z is formed as (margin + x[i]) - x[y].", difference=step.margin_first),
    variant(
        "difference-margin-double",
        "The margin stays a double; z is formed in float64 and rounded.",
        difference=step.margin_kept_wide,
    ),
    variant(
        "difference-wider",
        "z is formed in a wider dtype from the rounded margin and rounded.",
        difference=step.widened_difference,
    ),
    variant(
        "compute-wider",
        "Everything is computed in float64 (float64: long double) and rounded once.",
        compute=step.wider_compute,
    ),
    variant(
        "compute-float64",
        "Everything but float64 is computed in float64 and rounded once.",
        compute=lambda _d: np.dtype(np.float64),
    ),
    variant(
        "compute-in-dtype",
        "Halves are computed in their own dtype, every step rounded.",
        compute=step.in_dtype,
        scale=step.in_dtype_divisor,
        reduce=step.in_dtype_mean,
        factor=step.in_dtype_factor,
    ),
    variant(
        "compute-in-dtype-sequential",
        "Halves are computed in their own dtype and added from left to right.",
        compute=step.in_dtype,
        scale=step.in_dtype_divisor,
        reduce=step.in_dtype_mean,
        factor=step.in_dtype_factor,
        **step.rows_by(sums.sequential),
    ),
    variant(
        "half-differences-in-dtype",
        "Halves round z in their own dtype and the sum runs in float32 (PyTorch on CUDA).",
        difference=lambda k: MODEL.difference(k).astype(k.dtype).astype(k.x.dtype),
    ),
)

SUMS = (
    variant("sum-sequential", "Rows are added from left to right.", **step.rows_by(sums.sequential)),
    variant("sum-reverse", "Rows are added from right to left.", **step.rows_by(sums.reverse)),
    variant("sum-pairwise", "Rows are added as a binary tree.", **step.rows_by(sums.tree)),
    variant(
        "sum-butterfly", "Rows are folded in half again and again, as a warp does.", **step.rows_by(sums.butterfly)
    ),
    variant("sum-blocked-8", "Rows are added in blocks of 8.", **step.rows_by(sums.blocked(8))),
    variant("sum-blocked-128", "Rows are added in blocks of 128.", **step.rows_by(sums.blocked(128))),
    variant("sum-strided-32", "32 threads add every 32nd term and fold their sums.", **step.rows_by(sums.strided(32))),
    variant(
        "sum-strided-256", "256 threads add every 256th term and fold their sums.", **step.rows_by(sums.strided(256))
    ),
    variant("sum-kahan", "Rows are added with Kahan's compensation.", **step.rows_by(sums.kahan)),
    variant("sum-by-magnitude", "Rows are added with the smallest terms first.", **step.rows_by(sums.by_magnitude)),
    variant("sum-float64", "Rows are accumulated in float64.", **step.rows_by(sums.widened_to("float64"))),
    variant("sum-long-double", "Rows are accumulated in long double.", **step.rows_by(sums.widened_to("longdouble"))),
    variant("sum-by-matrix-product", "Rows are added by a product with ones.", **step.rows_by(sums.by_product)),
    variant("sum-active-only", "Only the active terms are gathered and added.", add=step.active_only),
    variant(
        "sum-flattened",
        "All N C terms are added in one pass.",
        add=step.keep_rows,
        scale=step.no_scale,
        reduce=step.flattened,
    ),
    variant(
        "sum-fused-squares", "Squares are added by fused multiply-adds.", add=step.row_sums_from(step.fused_squares)
    ),
    variant(
        "sum-fused-weights",
        "Weighted terms are added by fused multiply-adds.",
        add=step.row_sums_from(step.fused_weights),
    ),
    variant(
        "batch-sequential", "The batch is added from the first row to the last.", reduce=step.batch_by(sums.sequential)
    ),
    variant(
        "batch-float64",
        "The batch is added in float64 (PyTorch on the CPU).",
        reduce=step.batch_by(sums.widened_to("float64")),
    ),
    variant("batch-kahan", "The batch is added with Kahan's compensation.", reduce=step.batch_by(sums.kahan)),
    variant(
        "batch-strided-64", "64 threads add every 64th row and fold their sums.", reduce=step.batch_by(sums.strided(64))
    ),
)

WEIGHTS = (
    variant("weight-late", "The weight multiplies the row's sum.", weigh=step.unweighted, scale=step.late_weight),
    variant(
        "weight-latest",
        "The weight multiplies the row's loss, already divided by C.",
        weigh=step.unweighted,
        scale=step.latest_weight,
    ),
    variant(
        "weight-before-square",
        "p = 2 is computed as (w z) z.",
        power=step.weight_times_z_times_z,
        weigh=step.unweighted,
    ),
    variant(
        "gradient-weight-late",
        "The weight multiplies the finished row of the gradient.",
        weigh_gradient=step.unweighted,
        target_gradient=step.late_gradient_weight,
    ),
)

SCALING = (
    variant(
        "scale-reciprocals",
        "Sums are multiplied by rounded 1/C and 1/N.",
        scale=step.by_reciprocals,
        reduce=step.mean_by_reciprocal,
        factor=step.factor_by_reciprocal,
    ),
    variant(
        "scale-one-reciprocal",
        "The total is multiplied by one rounded 1/(N C).",
        scale=step.no_scale,
        reduce=step.scaled_at_once,
        factor=step.factor_by_reciprocal,
    ),
    variant(
        "scale-one-division", "The total is divided by N C once.", scale=step.no_scale, reduce=step.divided_at_once
    ),
    variant(
        "scale-terms-first",
        "Each term is multiplied by 1/(N C) before the weight and the sum.",
        power=step.scaled_first,
        scale=step.no_scale,
        reduce=step.plain_total,
    ),
    variant(
        "divide-terms-first", "Each term is divided by C before the sum.", power=step.divided_first, scale=step.no_scale
    ),
    variant(
        "divide-batch-first",
        "Each term is divided by N before the sum, and the sum by C after.",
        power=step.batch_first,
        reduce=step.plain_total,
    ),
)

GRADIENTS = (
    variant(
        "gradient-grad-output-last",
        "grad_output multiplies the finished gradient (PyTorch).",
        factor=step.scale_without_g,
        target_gradient=step.late_grad_output,
    ),
    variant(
        "gradient-two-g-z",
        "The slope is (2 g) z with g the scaling (PyTorch).",
        slope=step.scaled_slope,
        factor=lambda k: np.asarray(k.g),
    ),
    variant(
        "gradient-g-two-z",
        "The slope is (grad_output 2) z, scaled last.",
        slope=step.grad_times_slope,
        factor=step.factor_one,
    ),
    variant(
        "gradient-keep-and-cancel",
        "The target's own term is kept and cancelled.",
        active=step.all_active,
        target_gradient=step.keep_and_cancel,
    ),
    variant(
        "gradient-subtracted-one-by-one",
        "The target's element is decremented term by term (PyTorch).",
        target_gradient=step.rows_by(sums.sequential)["target_gradient"],
    ),
    variant(
        "gradient-other-association",
        "The gradient's z is (x[i] - x[y]) + margin, the loss's another.",
        active=step.reassociated_active,
        slope=step.reassociated_slope,
    ),
)

RESULTS = (
    variant("nan-propagated", "A NaN reaches the loss.", hinge=step.propagated),
    variant(
        "nan-propagated-everywhere",
        "A NaN reaches the loss and the gradient.",
        hinge=step.propagated,
        target_gradient=step.propagated_gradient,
    ),
    variant(
        "nan-taken-as-active",
        "Terms with z <= 0 are skipped, so that a NaN is kept and has the slope of p = 1.",
        hinge=step.skipped,
        active=step.not_skipped,
    ),
    variant("mean-of-empty-batch-nan", "The mean of an empty batch is NaN.", batch=step.nan_for_empty),
    changed("negative-zeros", "Every zero is returned as -0.", step.negative_zeros),
    changed("numpy-scalars", "0-d results are NumPy scalars.", lambda value: value[()]),
    changed("fortran-order-results", "Results are in Fortran order.", lambda value: np.array(value, order="F")),
    changed("reversed-results", "Results have negative strides.", reversed_layout),
    changed("strided-results", "Results are every second element of a larger array.", spread_layout),
    changed("read-only-results", "Results are read-only.", read_only),
)

REJECTING = (
    raising("raises-runtime-error", RuntimeError),
    raising("raises-assertion-error", AssertionError),
    raising("raises-not-implemented", NotImplementedError),
    raising("raises-own-error", RejectedCallError),
    asked("integer-p-only", "p = 1.0 and True are rejected.", integers_only),
    asked("weight-of-another-dtype-accepted", "A weight of another floating dtype is converted.", weight_converted),
    Variant(
        "unbatched-target-of-one-accepted",
        "A target of shape (1,) is accepted for an unbatched input.",
        lambda: Custom("unbatched-target-of-one-accepted", one_target),
    ),
    asked(
        "other-names-of-reductions-accepted",
        "The numbers 0 to 2 name the reductions, and 'elementwise_mean' is 'mean' (PyTorch).",
        other_names,
    ),
    Variant(
        "gradient-of-rejected-logits",
        "The loss rejects integer logits, and their gradient is anything.",
        lambda: Custom("gradient-of-rejected-logits", types_unchecked),
    ),
    asked("narrower-targets-accepted", "Integer targets of 32, 16 and 8 bits are accepted.", narrower_targets),
)

VARIANTS: tuple[Variant, ...] = DIFFERENCES + SUMS + WEIGHTS + SCALING + GRADIENTS + RESULTS + REJECTING
