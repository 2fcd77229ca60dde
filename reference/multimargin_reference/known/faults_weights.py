"""Known faults of the class weights: whose, where, which sign, normalised, poisoned by unused ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from multimargin_reference.known.catalogue import Fault, before, fault
from multimargin_reference.known.model import MODEL, Array, Request, Work


def changed(change: Any) -> Any:
    """Make a row-weight step that passes the target's weight through `change(weight, k)`."""

    def step(k: Work) -> Array | None:
        return None if k.weight is None else np.asarray(change(k.weight[k.y][:, None], k))

    return step


def of_class(index: Any) -> Any:
    """Make a row-weight step that looks up another class, `index(k)`."""

    def step(k: Work) -> Array | None:
        return None if k.weight is None else k.weight[index(k)][:, None]

    return step


def every_class(k: Work) -> Array | None:
    return None if k.weight is None else k.weight[None, :]


def inside_difference(k: Work) -> Array:
    z = MODEL.difference(k)
    return z if k.w is None else z * k.w


def on_margin(k: Work) -> Any:
    margin = k.margin if k.w is None else k.margin * k.w
    return (margin - k.target_logit) + k.x


def before_power(h: Array, k: Work) -> Array:
    terms = h if k.w is None else h * k.w
    return MODEL.power(terms, k)


def squared_gradient(d: Array, k: Work) -> Array:
    """Differentiate (w h)^p: one factor w more for p = 2."""
    return d if k.w is None else d * k.w**k.p


def unweighted(h: Array, _k: Work) -> Array:
    return h


def mean_by_weights(rows: Array, k: Work) -> Any:
    if k.w is None or k.reduction != "mean":
        return MODEL.reduced(rows, k)
    return rows.sum() / np.where(k.w.sum() == 0, k.number(1), k.w.sum())


def mean_of_weighted_rows(rows: Array, k: Work) -> Any:
    if k.w is None or k.reduction != "mean":
        return MODEL.reduced(rows, k)
    return rows.sum() / k.number(max(1, int(np.count_nonzero(k.w))))


def normalised_to_one(k: Work) -> Array | None:
    return None if k.weight is None else (k.weight / k.weight.sum())[k.y][:, None]


def normalised_to_mean_one(k: Work) -> Array | None:
    return None if k.weight is None else (k.weight / k.weight.mean())[k.y][:, None]


def normalised_to_largest(k: Work) -> Array | None:
    return None if k.weight is None else (k.weight / abs(k.weight).max())[k.y][:, None]


def by_one_hot(k: Work) -> Array | None:
    return None if k.weight is None else (k.own * k.weight).sum(axis=1, keepdims=True)


def predicted(k: Work) -> Array:
    return np.asarray(k.x.argmax(axis=1))


def reject_weight(wrong: Any, message: str) -> Any:
    """Make a change that rejects weights where `wrong(weight)`."""

    def change(r: Request) -> Request:
        if r.weight is not None and np.any(wrong(np.asarray(r.weight))):
            raise ValueError(message)
        return r

    return change


WHICH = (
    fault("weight-ignored", "The weights are ignored.", "WEIGHT-1", row_weight=lambda _k: None),
    fault("weight-of-each-class", "Class i's term takes w[i] instead of w[y].", "WEIGHT-1", row_weight=every_class),
    fault(
        "weight-of-first-row",
        "Every row takes the first row's weight.",
        "WEIGHT-1",
        row_weight=of_class(lambda k: k.y[:1].repeat(k.rows)),
    ),
    fault(
        "weight-of-row-number",
        "Row n takes w[n] instead of w[y[n]].",
        "WEIGHT-1",
        row_weight=of_class(lambda k: k.row % k.classes),
    ),
    fault(
        "weight-of-next-class",
        "The weight is read one class too far.",
        "WEIGHT-1",
        row_weight=of_class(lambda k: (k.y + 1) % k.classes),
    ),
    fault(
        "weight-of-predicted-class",
        "The weight belongs to the largest logit's class.",
        "WEIGHT-1",
        row_weight=of_class(predicted),
    ),
    fault(
        "weight-index-wraps-at-8-bits",
        "The weight is looked up with the target in a byte.",
        "WEIGHT-1 SHAPE-4",
        row_weight=of_class(lambda k: k.y & 0xFF),
    ),
    fault(
        "weight-reversed",
        "The weight vector is read from its end.",
        "WEIGHT-1",
        row_weight=of_class(lambda k: k.classes - 1 - k.y),
    ),
    fault(
        "weight-mean-only",
        "Weights count for reduction = mean only.",
        "WEIGHT-1 REDUCTION-5",
        row_weight=lambda k: MODEL.row_weight(k) if k.reduction == "mean" else None,
    ),
    fault(
        "weight-not-for-none",
        "Weights are forgotten for reduction = none.",
        "WEIGHT-1 REDUCTION-5",
        row_weight=lambda k: None if k.reduction == "none" else MODEL.row_weight(k),
    ),
    fault(
        "weight-not-for-sum",
        "Weights are forgotten for reduction = sum.",
        "WEIGHT-1 REDUCTION-5",
        row_weight=lambda k: None if k.reduction == "sum" else MODEL.row_weight(k),
    ),
    fault(
        "weight-not-for-p-2",
        "Weights are forgotten for p = 2.",
        "WEIGHT-1",
        row_weight=lambda k: MODEL.row_weight(k) if k.p == 1 else None,
    ),
    fault(
        "weight-not-for-p-1",
        "Weights are forgotten for p = 1.",
        "WEIGHT-1",
        row_weight=lambda k: MODEL.row_weight(k) if k.p == 2 else None,
    ),
    fault(
        "weight-not-unbatched",
        "Weights are forgotten for an unbatched input.",
        "WEIGHT-1 SHAPE-2",
        row_weight=lambda k: MODEL.row_weight(k) if len(k.input_shape) == 2 else None,
    ),
)

WHERE = (
    fault(
        "weight-inside-hinge",
        "The weight multiplies z inside the hinge: wrong for negative weights (PyTorch's old "
        "documentation, PaddlePaddle 73739).",
        "WEIGHT-2 WEIGHT-3",
        difference=inside_difference,
        weigh=unweighted,
    ),
    fault(
        "weight-before-power",
        "The weight multiplies the hinge before the power, so p = 2 squares it.",
        "WEIGHT-2",
        power=before_power,
        weigh=unweighted,
        weigh_gradient=squared_gradient,
    ),
    fault(
        "weight-before-power-loss-only",
        "The loss squares the weight for p = 2; the gradient does not.",
        "WEIGHT-2",
        power=before_power,
        weigh=unweighted,
    ),
    fault(
        "weight-on-margin",
        "The weight multiplies the margin only.",
        "WEIGHT-2 WEIGHT-1",
        difference=on_margin,
        weigh=unweighted,
        weigh_gradient=unweighted,
    ),
    fault("weight-twice", "The weight is applied twice.", "WEIGHT-1", row_weight=changed(lambda w, _k: w * w)),
    fault(
        "weight-root",
        "The square root of the weight is applied.",
        "WEIGHT-1",
        row_weight=changed(lambda w, _k: np.sign(w) * np.sqrt(abs(w))),
    ),
    fault(
        "weight-inverse",
        "The loss is divided by the weight.",
        "WEIGHT-1",
        row_weight=changed(lambda w, _k: np.where(w == 0, w, 1 / w)),
    ),
    fault(
        "weight-added", "1 + w is applied instead of w.", "WEIGHT-1", row_weight=changed(lambda w, k: w + k.number(1))
    ),
)

SIGN = (
    fault("weight-absolute", "The weight's sign is dropped.", "WEIGHT-3", row_weight=changed(lambda w, _k: abs(w))),
    fault(
        "weight-clamped-at-zero",
        "Negative weights act as 0.",
        "WEIGHT-3",
        row_weight=changed(lambda w, k: np.maximum(w, k.number(0))),
    ),
    fault(
        "weight-zero-means-one",
        "A zero weight is taken for an absent one and becomes 1.",
        "WEIGHT-3",
        row_weight=changed(lambda w, k: np.where(w == 0, k.number(1), w)),
    ),
    fault(
        "weight-clamped-at-one",
        "Weights above 1 act as 1.",
        "WEIGHT-1 WEIGHT-5",
        row_weight=changed(lambda w, k: np.minimum(w, k.number(1))),
    ),
    before(
        "weight-negative-rejected",
        "Negative weights are rejected.",
        "WEIGHT-3",
        reject_weight(lambda w: w < 0, "weight must not be negative"),
    ),
    before(
        "weight-zero-rejected",
        "Zero weights are rejected.",
        "WEIGHT-3",
        reject_weight(lambda w: w == 0, "weight must not be zero"),
    ),
)

UNUSED = (
    fault(
        "weight-by-one-hot",
        "The weight is gathered by a product with a one-hot row, so a NaN of an unused class poisons the loss.",
        "WEIGHT-4",
        row_weight=by_one_hot,
    ),
    before(
        "weight-non-finite-rejected",
        "NaN or infinity in the weight of an unused class is rejected.",
        "WEIGHT-4",
        reject_weight(lambda w: ~np.isfinite(w), "weight must be finite"),
    ),
)

NORMALISED = (
    fault(
        "weight-mean-by-sum",
        "The mean divides by the sum of the weights used, as cross entropy does.",
        "WEIGHT-5 REDUCTION-2",
        reduce=mean_by_weights,
    ),
    fault(
        "weight-mean-by-used-rows",
        "The mean divides by the number of rows with a weight other than 0.",
        "WEIGHT-5 REDUCTION-2",
        reduce=mean_of_weighted_rows,
    ),
    fault(
        "weight-normalised-to-sum",
        "The weights are divided by their sum.",
        "WEIGHT-5 WEIGHT-4",
        row_weight=normalised_to_one,
    ),
    fault(
        "weight-normalised-to-mean",
        "The weights are divided by their mean.",
        "WEIGHT-5 WEIGHT-4",
        row_weight=normalised_to_mean_one,
    ),
    fault(
        "weight-normalised-to-largest",
        "The weights are divided by the largest one.",
        "WEIGHT-5 WEIGHT-4",
        row_weight=normalised_to_largest,
    ),
)

FAULTS: tuple[Fault, ...] = WHICH + WHERE + SIGN + UNUSED + NORMALISED
