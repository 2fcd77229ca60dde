"""Known faults of precision: narrow arithmetic, relative errors, cancelling algebra, approximations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np

from multimargin_reference.known.catalogue import Fault, after, fault
from multimargin_reference.known.model import MODEL, Array, Request, Work

RELATIVE = {"float16": 2.0**-6, "bfloat16": 2.0**-4, "float32": 1e-6, "float64": 1e-14}
NARROWER = {"float32": np.dtype(np.float16), "float64": np.dtype(np.float32)}


def through(dtypes: dict[str, Any]) -> Any:
    """Make a rounding of an array to a narrower dtype and back, by the dtype of the computation."""
    return lambda a: a.astype(dtypes.get(a.dtype.name, a.dtype)).astype(a.dtype)


to_half = through({"float32": np.float16, "float64": np.float16})
to_bfloat16 = through({"float32": ml_dtypes.bfloat16, "float64": ml_dtypes.bfloat16})
to_narrower = through(NARROWER)
to_single = through({"float64": np.float32})


def tensor_float(a: Array) -> Any:
    """Cut float32 to the 10 stored bits of TF32, towards zero; float64 is cut to 42 bits."""
    bits: Any = np.uint32 if a.dtype == np.float32 else np.uint64
    mask = 0xFFFFE000 if a.dtype == np.float32 else 0xFFFFFFFFFFFFFC00
    return (np.ascontiguousarray(a).view(bits) & bits(mask)).view(a.dtype)


def inputs(change: Any) -> Any:
    """Make a difference step that sees `change(x)`."""
    return lambda k: MODEL.difference(replace(k, x=change(k.x)))


def target_input(change: Any) -> Any:
    """Make a difference step in which only the target's logit passes through `change`."""
    return lambda k: (k.margin - change(k.target_logit)) + k.x


def relative_error(value: Any, r: Request) -> Any:
    error = RELATIVE[np.asarray(r.input).dtype.name]
    return (value.astype(np.float64) * (1 + error)).astype(value.dtype)


def large_only(change: Any) -> Any:
    """Make an `after` change that acts from 1000 classes on."""
    return lambda value, r: change(value, r) if np.shape(r.input)[-1] >= 1000 else value


def by_maximum(h: Array, k: Work) -> Any:
    """Compute sum(max(x, t)) - (C - 1) t with t = x[y] - margin, for p = 1 and unmasked logits."""
    if k.p == 2 or not np.isfinite(k.x).all():
        return MODEL.add(h, k)
    t = k.target_logit - k.margin
    terms = np.where(k.own, k.number(0), np.maximum(k.x, t))
    rows = terms.sum(axis=1) - k.number(k.classes - 1) * t[:, 0]
    return rows if k.w is None else rows * k.w[:, 0]


def expanded_square(h: Array, k: Work) -> Array:
    """Multiply out (a + x)^2 = a^2 + 2 a x + x^2 with a = margin - x[y]."""
    if k.p == 1:
        return h
    a = k.margin - k.target_logit
    return np.where(h > 0, a * a + (a + a) * k.x + k.x * k.x, h)


def square_by_logarithm(h: Array, k: Work) -> Array:
    """Compute h^2 as exp(2 log h), in the dtype."""
    return h if k.p == 1 else np.where(h > 0, np.exp(k.number(2) * np.log(h)), h)


def narrow_sum(dtypes: dict[str, Any]) -> Any:
    """Make a row sum whose accumulator is narrower than the terms."""

    def step(h: Array, k: Work) -> Array:
        narrow = dtypes.get(h.dtype.name, h.dtype)
        return np.add.accumulate(h.astype(narrow), axis=1)[:, -1].astype(k.x.dtype)

    return step


def narrow_batch(dtypes: dict[str, Any]) -> Any:
    """Make a reduction whose accumulator over the batch is narrower than the rows."""

    def step(rows: Array, k: Work) -> Any:
        narrow = rows.astype(dtypes.get(rows.dtype.name, rows.dtype))
        total = np.add.accumulate(narrow)[-1:].sum().astype(rows.dtype)
        return {"none": rows, "sum": total, "mean": total / MODEL.batch(k)}[k.reduction]

    return step


def narrow_target(dtypes: dict[str, Any]) -> Any:
    """Make a target step whose accumulator is narrower than the gradient."""

    def step(d: Array, k: Work) -> Array:
        narrow = d.astype(dtypes.get(d.dtype.name, d.dtype))
        d[k.row, k.y] = -np.add.accumulate(narrow, axis=1)[:, -1].astype(d.dtype)
        return d

    return step


def running_mean(rows: Array, k: Work) -> Any:
    """Update the mean row by row, as Welford does."""
    if k.reduction != "mean" or not np.isfinite(rows).all():
        return MODEL.reduced(rows, k)
    mean = k.number(0)
    for n, row in enumerate(rows, start=1):
        mean += (row - mean) / k.number(n)
    return mean


def reciprocal(narrow: Any) -> Any:
    """Make a divisor whose reciprocal was rounded by `narrow`."""
    return lambda k: k.number(1) / narrow(np.asarray(k.number(1) / k.number(k.classes)))


def newton_reciprocal(inverse: Array) -> Array:
    """Take one step from an 8-bit estimate: about 14 bits, as a hardware estimate with one refinement."""
    estimate = to_bfloat16(inverse)
    return np.asarray(estimate * (2 - estimate / inverse))


def recentred(shift: Any) -> Any:
    """Make a difference step that first subtracts `shift(x)` from every logit of a row."""
    return lambda k: MODEL.difference(replace(k, x=k.x - shift(k.x))) if k.rows else MODEL.difference(k)


def quantised(a: Array) -> Array:
    return np.round(a * 256) / 256


NARROW = (
    fault(
        "compute-narrower",
        "float64 is computed in float32 and float32 in float16.",
        "VALUE-9 DTYPE-1",
        compute=lambda d: NARROWER.get(d.name, np.dtype(np.float32)),
    ),
    fault(
        "compute-float32",
        "float64 is computed in float32 (PaddlePaddle).",
        "VALUE-9",
        compute=lambda _d: np.dtype(np.float32),
    ),
    fault("inputs-bfloat16", "Logits are rounded to bfloat16 first.", "VALUE-9", difference=inputs(to_bfloat16)),
    fault("inputs-float16", "Logits are rounded to float16 first.", "VALUE-9 SPECIAL-6", difference=inputs(to_half)),
    fault("inputs-tf32", "Logits are cut to TF32's 10 bits.", "VALUE-9", difference=inputs(tensor_float)),
    fault("inputs-fixed-point", "Logits are rounded to multiples of 1/256.", "VALUE-9", difference=inputs(quantised)),
    fault(
        "target-logit-narrow",
        "Only the target's logit is narrowed: float32 for float64, float16 for float32.",
        "VALUE-9",
        difference=target_input(to_narrower),
    ),
    fault(
        "margin-bfloat16",
        "The margin is rounded to bfloat16.",
        "VALUE-6 VALUE-9",
        difference=lambda k: (to_bfloat16(np.asarray(k.margin)) - k.target_logit) + k.x,
    ),
    fault(
        "margin-float32",
        "The margin of float64 logits is rounded to float32.",
        "VALUE-6 VALUE-9",
        difference=lambda k: (to_single(np.asarray(k.margin)) - k.target_logit) + k.x,
    ),
    fault(
        "weight-bfloat16",
        "Weights are rounded to bfloat16.",
        "WEIGHT-1 VALUE-9",
        row_weight=lambda k: None if k.weight is None else to_bfloat16(MODEL.row_weight(k)),
    ),
    fault(
        "grad-output-narrow",
        "grad_output is rounded to bfloat16.",
        "GRADIENT-8 GRADIENT-11",
        factor=lambda k: MODEL.factored(replace(k, g=to_bfloat16(np.asarray(k.g)))),
    ),
    fault(
        "terms-narrow",
        "Terms are rounded to the next narrower dtype before they are added.",
        "VALUE-9",
        add=lambda h, k: MODEL.add(to_narrower(h), k),
    ),
    fault(
        "row-accumulator-float16",
        "Rows are added up in float16.",
        "VALUE-9 SPECIAL-6",
        add=narrow_sum({"float32": np.float16, "float64": np.float16}),
    ),
    fault(
        "row-accumulator-float32",
        "Rows of float64 are added up in float32.",
        "VALUE-9",
        add=narrow_sum({"float64": np.float32}),
    ),
    fault(
        "batch-accumulator-float16",
        "The batch is added up in float16.",
        "VALUE-9 REDUCTION-3",
        reduce=narrow_batch({"float32": np.float16, "float64": np.float16}),
    ),
    fault(
        "batch-accumulator-float32",
        "The batch of float64 rows is added up in float32.",
        "VALUE-9 REDUCTION-3",
        reduce=narrow_batch({"float64": np.float32}),
    ),
    fault(
        "gradient-narrow",
        "Gradients are rounded to the next narrower dtype.",
        "GRADIENT-11",
        finish_gradient=lambda d, k: MODEL.finish_gradient(to_narrower(d), k),
    ),
    fault(
        "gradient-inputs-bfloat16",
        "Only the gradient's slope sees bfloat16 logits.",
        "GRADIENT-11",
        slope=lambda z, k: to_bfloat16(MODEL.slope(z, k)),
    ),
    fault(
        "gradient-target-accumulator",
        "The target's element is added up in float16, or float32 for float64.",
        "GRADIENT-11 GRADIENT-3",
        target_gradient=narrow_target(NARROWER),
    ),
    fault(
        "loss-rounded-to-4-decimals",
        "The loss is rounded to four decimals.",
        "VALUE-9",
        finish=lambda v, k: MODEL.finish(np.round(v, 4), k),
    ),
    fault(
        "half-through-8-bits",
        "Half-precision terms pass through an 8-bit format.",
        "DTYPE-2",
        power=lambda h, k: MODEL.power(
            h.astype(ml_dtypes.float8_e5m2).astype(h.dtype) if k.dtype.itemsize == 2 else h, k
        ),
    ),
)

RELATIVE_ERRORS = (
    after("relative-error", "Every answer is off by 1e-6 (1e-14 in float64).", "VALUE-9 GRADIENT-11", relative_error),
    after(
        "relative-error-loss",
        "The loss is off by 1e-6 (1e-14 in float64).",
        "VALUE-9",
        lambda v, r: v if r.backward else relative_error(v, r),
    ),
    after(
        "relative-error-gradient",
        "The gradient is off by 1e-6 (1e-14 in float64).",
        "GRADIENT-11",
        lambda v, r: relative_error(v, r) if r.backward else v,
    ),
    after(
        "relative-error-many-classes",
        "From 1000 classes on answers are off by 1e-6 (1e-14 in float64).",
        "VALUE-9 SHAPE-4",
        large_only(relative_error),
    ),
    fault("reciprocal-bfloat16", "1/C is rounded to 8 bits.", "VALUE-9 VALUE-5", divisor=reciprocal(to_bfloat16)),
    fault("reciprocal-float16", "1/C is rounded to 11 bits.", "VALUE-9 VALUE-5", divisor=reciprocal(to_half)),
    fault(
        "reciprocal-float32",
        "1/C is rounded to float32 for float64 logits.",
        "VALUE-9 VALUE-5",
        divisor=reciprocal(to_single),
    ),
    fault(
        "reciprocal-estimate",
        "1/C is a hardware estimate with one Newton step, good to about 15 bits.",
        "VALUE-9 VALUE-5",
        divisor=reciprocal(newton_reciprocal),
    ),
)

ALGEBRA = (
    fault(
        "sum-of-maxima", "p = 1 is computed as sum(max(x, t)) - (C - 1) t, which cancels.", "VALUE-9", add=by_maximum
    ),
    fault(
        "square-expanded",
        "p = 2 is computed as a^2 + 2 a x + x^2, which cancels.",
        "VALUE-9 VALUE-2",
        power=expanded_square,
    ),
    fault("square-by-logarithm", "p = 2 is computed as exp(2 log z).", "VALUE-9 VALUE-2", power=square_by_logarithm),
    fault(
        "mean-running",
        "The mean is updated row by row, which rounds at every row.",
        "VALUE-9 REDUCTION-2",
        reduce=running_mean,
    ),
    fault(
        "logits-minus-mean",
        "Logits are centred on their mean first.",
        "VALUE-9 SPECIAL-1",
        difference=recentred(lambda x: x.mean(axis=1, keepdims=True)),
    ),
    fault(
        "logits-minus-maximum",
        "Logits are shifted by their maximum first, as for a softmax: NaN at +inf.",
        "SPECIAL-2 VALUE-9",
        difference=recentred(lambda x: x.max(axis=1, keepdims=True)),
    ),
    fault(
        "logits-minus-first",
        "Logits are shifted by the first one first.",
        "SPECIAL-1 SPECIAL-2 VALUE-9",
        difference=recentred(lambda x: x[:, :1]),
    ),
)

FAULTS: tuple[Fault, ...] = NARROW + RELATIVE_ERRORS + ALGEBRA
