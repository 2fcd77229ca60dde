"""Known faults of range: clamping, early overflow, flushing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from multimargin_reference.known.catalogue import Fault, after, before, fault
from multimargin_reference.known.faults_precision import inputs
from multimargin_reference.known.model import MODEL, Array, Request, Work


def flushed(value: Any, below: float) -> Any:
    return np.where(abs(value.astype(np.float64)) < below, np.zeros_like(value), value)


def flush_result(which: bool) -> Any:
    """Make an `after` change that flushes subnormals of the loss (False) or the gradient (True)."""
    return lambda value, r: flushed(value, SMALLEST_NORMAL[value.dtype.name]) if r.backward is which else value


def flush_inputs(r: Request) -> Request:
    x = np.asarray(r.input)
    return replace(r, input=flushed(x, SMALLEST_NORMAL[x.dtype.name])) if x.dtype.name in SMALLEST_NORMAL else r


def times_and_back(h: Array, k: Work) -> Any:
    return h * k.number(2.0**16) / k.number(2.0**16)


def narrow_range(h: Array, k: Work) -> Array:
    return np.where(h > 65504, k.number(np.inf), h)


def cubed_over_itself(h: Array, k: Work) -> Array:
    """Compute h^2 as h^4 / h^2, out of range much too early."""
    return h if k.p == 1 else np.where(h > 0, (h * h) * (h * h) / (h * h), h)


def narrow_product(h: Array, k: Work) -> Any:
    return MODEL.weigh(np.where((h > 1e25) & (k.w > 1e3), k.number(np.inf), h) if k.w is not None else h, k)


SMALLEST_NORMAL = {"float16": 2.0**-14, "bfloat16": 2.0**-126, "float32": 2.0**-126, "float64": 2.0**-1022}
RANGE = (
    fault(
        "terms-clamped-at-1e4",
        "Terms are clamped at 1e4.",
        "VALUE-9 SPECIAL-6",
        hinge=lambda z, k: np.minimum(MODEL.hinge(z, k), k.number(1e4)),
    ),
    fault(
        "loss-clamped-at-1e6",
        "The loss is clamped at 1e6.",
        "VALUE-9 SPECIAL-6",
        finish=lambda v, k: MODEL.finish(np.minimum(v, k.number(1e6)), k),
    ),
    fault(
        "inputs-clamped-at-1e30",
        "Logits are clamped to [-1e30, 1e30].",
        "SPECIAL-1 SPECIAL-2 SPECIAL-6",
        difference=inputs(lambda x: np.clip(x, -1e30, 1e30).astype(x.dtype)),
    ),
    fault(
        "gradient-clamped-at-1e3",
        "Gradients are clamped to [-1000, 1000].",
        "GRADIENT-2 GRADIENT-8",
        finish_gradient=lambda d, k: MODEL.finish_gradient(np.clip(d, -1e3, 1e3), k),
    ),
    fault(
        "overflow-past-float16",
        "Terms above 65504 become infinite.",
        "SPECIAL-6",
        hinge=lambda z, k: narrow_range(MODEL.hinge(z, k), k),
    ),
    fault(
        "overflow-by-scaling",
        "Terms are multiplied by 2^16 and divided again, out of range too early.",
        "SPECIAL-6",
        drop_target=lambda h, k: times_and_back(MODEL.drop_target(h, k), k),
    ),
    fault(
        "overflow-by-weight",
        "Terms above 1e25 become infinite beside weights above 1000.",
        "WEIGHT-2 SPECIAL-6",
        weigh=narrow_product,
    ),
    fault(
        "overflow-by-fourth-power",
        "h^2 is computed as h^4 / h^2, out of range too early.",
        "SPECIAL-6 SPECIAL-5 VALUE-9",
        power=cubed_over_itself,
    ),
    after(
        "loss-subnormals-flushed", "Subnormal losses are flushed to zero, undeclared.", "SPECIAL-5", flush_result(False)
    ),
    after(
        "gradient-subnormals-flushed",
        "Subnormal gradients are flushed to zero, undeclared.",
        "SPECIAL-5 GRADIENT-11",
        flush_result(True),
    ),
    before("input-subnormals-flushed", "Subnormal logits are flushed to zero, undeclared.", "SPECIAL-5", flush_inputs),
    fault(
        "terms-below-1e-12-dropped",
        "Terms below 1e-12 count as 0.",
        "VALUE-3 VALUE-9 SPECIAL-5",
        hinge=lambda z, k: np.where(z > 1e-12, z, k.number(0)),
    ),
    after(
        "loss-below-1e-30-dropped",
        "Losses below 1e-30 are returned as 0.",
        "VALUE-9 SPECIAL-5",
        lambda v, r: v if r.backward else flushed(v, 1e-30),
    ),
    after(
        "gradient-below-1e-8-dropped",
        "Gradients below 1e-8 are returned as 0.",
        "GRADIENT-11 GRADIENT-8",
        lambda v, r: flushed(v, 1e-8) if r.backward else v,
    ),
    fault(
        "logits-below-1e-6-dropped",
        "Logits below 1e-6 are taken as 0.",
        "VALUE-9",
        difference=inputs(lambda x: flushed(x, 1e-6)),
    ),
)

FAULTS: tuple[Fault, ...] = RANGE
