"""Known faults of what multiplies the gradient: reduction, weight, grad_output; and of backward's arguments."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from multimargin_reference.known.catalogue import Fault, before, fault
from multimargin_reference.known.model import MODEL, Array, Work


def by_factor(change: Any) -> Any:
    """Make a factor step that multiplies the right one by `change(k)`."""
    return lambda k: np.asarray(MODEL.factored(k) * change(k))


def by_g(change: Any) -> Any:
    """Make a factor step that sees `change(grad_output)`, one a row."""
    return lambda k: MODEL.factored(replace(k, g=np.asarray(change(k.g), k.x.dtype)))


def first_g(g: Array) -> Array:
    return g[:1].repeat(g.size)


def in_reduction(reduction: str, change: Any) -> Any:
    """Make a factor step that is wrong for one reduction."""
    return lambda k: change(k) if k.reduction == reduction else MODEL.factored(k)


def by_column(d: Array, k: Work) -> Any:
    """Multiply column i by grad_output[i] where N = C lets that broadcast."""
    g = np.asarray(k.g)
    if k.rows != k.classes or k.reduction != "none":
        return MODEL.weigh(d, k)
    return MODEL.weigh(d, k) * g[None, :] / np.where(g == 0, k.number(1), g)[:, None]


def weighed_by(weight: Any) -> Any:
    """Make a weighing step with `weight(k)`, broadcastable to (N, C), in place of the row's."""
    return lambda d, k: d if k.w is None else d * weight(k)


def on_backward(**changes: Any) -> Any:
    """Make a change of backward's arguments to constants."""
    return lambda r: replace(r, **changes) if r.backward else r


FACTOR = (
    fault(
        "factor-without-classes",
        "The gradient is not divided by C.",
        "GRADIENT-6",
        factor=by_factor(lambda k: k.number(k.classes)),
    ),
    fault(
        "factor-classes-minus-one",
        "The gradient is divided by C - 1.",
        "GRADIENT-6",
        factor=lambda k: MODEL.factored(k) * k.number(k.classes) / k.number(max(1, k.classes - 1)),
    ),
    fault(
        "factor-classes-twice",
        "The gradient is divided by C twice.",
        "GRADIENT-6",
        factor=lambda k: MODEL.factored(k) / k.number(k.classes),
    ),
    fault(
        "factor-mean-without-batch",
        "The gradient of the mean is not divided by N.",
        "GRADIENT-6",
        factor=lambda k: MODEL.factored(replace(k, reduction="sum")),
    ),
    fault(
        "factor-sum-with-batch",
        "The gradient of the sum is divided by N.",
        "GRADIENT-6",
        factor=in_reduction("sum", lambda k: MODEL.factored(replace(k, reduction="mean"))),
    ),
    fault(
        "factor-none-with-batch",
        "The gradient for none is divided by N.",
        "GRADIENT-6",
        factor=in_reduction("none", lambda k: MODEL.factored(replace(k, reduction="mean"))),
    ),
    fault(
        "factor-mean-by-classes",
        "The gradient of the mean is divided by C twice instead of by N C.",
        "GRADIENT-6",
        factor=in_reduction("mean", lambda k: np.asarray(k.g) / k.number(k.classes) / k.number(k.classes)),
    ),
    fault(
        "factor-mean-batch-in-8-bits",
        "The gradient of the mean keeps N in a byte.",
        "GRADIENT-6 SHAPE-5",
        factor=in_reduction("mean", lambda k: np.asarray(k.g) / k.number(k.classes) / k.number(max(1, k.rows & 0xFF))),
    ),
)

WEIGHT = (
    fault("gradient-weight-missing", "The gradient lacks the weight.", "GRADIENT-7", weigh_gradient=lambda d, _k: d),
    fault(
        "gradient-weight-of-each-class",
        "The gradient of class i takes w[i].",
        "GRADIENT-7",
        weigh_gradient=weighed_by(lambda k: k.weight[None, :]),
    ),
    fault(
        "gradient-weight-squared",
        "The gradient takes the weight twice (a draft of PyTorch 104578 had it wrong).",
        "GRADIENT-7",
        weigh_gradient=weighed_by(lambda k: k.w * k.w),
    ),
    fault(
        "gradient-weight-squared-for-p-2",
        "The gradient for p = 2 takes the weight twice.",
        "GRADIENT-7",
        weigh_gradient=weighed_by(lambda k: k.w**k.p),
    ),
    fault(
        "gradient-weight-absolute",
        "The gradient drops the weight's sign.",
        "GRADIENT-7",
        weigh_gradient=weighed_by(lambda k: abs(k.w)),
    ),
    fault(
        "gradient-weight-clamped",
        "The gradient takes negative weights as 0.",
        "GRADIENT-7",
        weigh_gradient=weighed_by(lambda k: np.maximum(k.w, 0)),
    ),
    fault(
        "gradient-weight-of-first-row",
        "The gradient takes the first row's weight for every row.",
        "GRADIENT-7",
        weigh_gradient=weighed_by(lambda k: k.w[:1]),
    ),
    fault(
        "gradient-weight-not-for-none",
        "The gradient forgets the weight for reduction = none.",
        "GRADIENT-7",
        weigh_gradient=weighed_by(lambda k: k.w if k.reduction != "none" else np.ones_like(k.w)),
    ),
)

GRAD_OUTPUT = (
    fault("grad-output-ignored", "grad_output is taken to be 1.", "GRADIENT-8", factor=by_g(np.ones_like)),
    fault("grad-output-absolute", "grad_output's sign is dropped.", "GRADIENT-8", factor=by_g(abs)),
    fault("grad-output-squared", "grad_output is applied twice.", "GRADIENT-8", factor=by_g(lambda g: g * g)),
    fault(
        "grad-output-zero-means-one",
        "A grad_output of 0 is taken for an absent one.",
        "GRADIENT-8",
        factor=by_g(lambda g: np.where(g == 0, 1, g)),
    ),
    fault(
        "grad-output-clipped",
        "grad_output is clipped to [-1, 1].",
        "GRADIENT-8",
        factor=by_g(lambda g: np.clip(g, -1, 1)),
    ),
    fault("grad-output-truncated", "grad_output is kept as an integer.", "GRADIENT-8", factor=by_g(np.trunc)),
    fault(
        "grad-output-ignored-for-mean",
        "grad_output is ignored for reduction = mean.",
        "GRADIENT-8",
        factor=in_reduction("mean", by_g(np.ones_like)),
    ),
    fault(
        "grad-output-ignored-for-sum",
        "grad_output is ignored for reduction = sum.",
        "GRADIENT-8",
        factor=in_reduction("sum", by_g(np.ones_like)),
    ),
    fault(
        "grad-output-ignored-for-none",
        "grad_output is ignored for reduction = none.",
        "GRADIENT-9 GRADIENT-8",
        factor=in_reduction("none", by_g(np.ones_like)),
    ),
    fault(
        "grad-output-of-first-row", "Every row takes the first row's grad_output.", "GRADIENT-9", factor=by_g(first_g)
    ),
    fault(
        "grad-output-of-last-row",
        "Every row takes the last row's grad_output.",
        "GRADIENT-9",
        factor=by_g(lambda g: g[-1:].repeat(g.size)),
    ),
    fault("grad-output-reversed", "Row n takes grad_output[N - 1 - n].", "GRADIENT-9", factor=by_g(lambda g: g[::-1])),
    fault(
        "grad-output-averaged",
        "Every row takes the mean of grad_output.",
        "GRADIENT-9",
        factor=by_g(lambda g: np.full_like(g, g.mean()) if g.size else g),
    ),
    fault(
        "grad-output-by-column",
        "With N = C grad_output is broadcast along the classes.",
        "GRADIENT-9",
        weigh_gradient=by_column,
    ),
    fault(
        "grad-output-not-finite-as-zero-for-mean",
        "A grad_output that is not finite counts as 0 for reduction = mean.",
        "GRADIENT-8",
        factor=in_reduction("mean", by_g(lambda g: np.where(np.isfinite(g), g, 0))),
    ),
    fault(
        "grad-output-by-target",
        "Row n takes grad_output[y[n] mod N].",
        "GRADIENT-9",
        factor=lambda k: MODEL.factored(replace(k, g=np.asarray(k.g)[k.y % max(1, k.rows)])),
    ),
)

ARGUMENTS = (
    before(
        "backward-ignores-margin",
        "backward takes the margin to be 1.",
        "GRADIENT-1 GRADIENT-2 VALUE-6",
        on_backward(margin=1.0),
    ),
    before(
        "backward-ignores-weight",
        "backward is not given the weight at all, so does not check it either.",
        "GRADIENT-7",
        on_backward(weight=None),
    ),
)

FAULTS: tuple[Fault, ...] = FACTOR + WEIGHT + GRAD_OUTPUT + ARGUMENTS
