"""Known faults of the value: hinge, power, target's term, divisor."""

from __future__ import annotations

from typing import Any

import numpy as np

from multimargin_reference.known.catalogue import Fault, fault
from multimargin_reference.known.model import MODEL, Array, Work, divisor


def by_norm(h: Array, k: Work) -> Any:
    rows = h.sum(axis=1)
    return rows if k.p == 1 else np.sqrt(rows)


def square_of_sum(h: Array, k: Work) -> Any:
    rows = h.sum(axis=1)
    return rows if k.p == 1 else rows * rows


def minus_margin_power(h: Array, k: Work) -> Any:
    own = k.margin**k.p
    return h.sum(axis=1) - (own if k.w is None else own * k.w[:, 0])


def minus_clipped_margin(h: Array, k: Work) -> Any:
    own = max(k.margin, k.number(0)) ** k.p
    return h.sum(axis=1) - (own if k.w is None else own * k.w[:, 0])


def keep_target(h: Array, _k: Work) -> Array:
    return h


def drop_ties(h: Array, k: Work) -> Array:
    return np.where(k.x == k.target_logit, k.number(0), h)


def drop_largest(h: Array, k: Work) -> Array:
    return np.where(np.arange(k.classes) == k.x.argmax(axis=1)[:, None], k.number(0), h)


def huber(h: Array, k: Work) -> Array:
    return h if k.p == 1 else np.where(h > 1, 2 * h - 1, h * h)


def active_count(k: Work, rows: Array) -> Array:
    z = MODEL.difference(k)
    return np.asarray(rows / np.maximum(1, MODEL.active(z, k).sum(axis=1)).astype(rows.dtype))


def scale_mean_only(rows: Array, k: Work) -> Array:
    return rows / divisor(k) if k.reduction == "mean" else rows


def scale_unless_none(rows: Array, k: Work) -> Array:
    return rows if k.reduction == "none" else rows / divisor(k)


def scale_unless_sum(rows: Array, k: Work) -> Array:
    return rows if k.reduction == "sum" else rows / divisor(k)


def next_logit(k: Work) -> Any:
    return k.x[k.row, (k.y + 1) % k.classes][:, None]


def always(loss: float, slope: float) -> Any:
    """Make an `after` change to constants."""
    return lambda value, r: np.full_like(value, slope if r.backward else loss)


def power_of_two_classes(k: Work) -> Any:
    return k.number(1 << (k.classes - 1).bit_length())


HINGE = (
    fault(
        "no-hinge",
        "Inactive terms are added too, with their negative values.",
        "VALUE-3 VALUE-1",
        hinge=lambda z, _k: z,
    ),
    fault(
        "hinge-absolute",
        "The absolute value is taken where the hinge should be.",
        "VALUE-3",
        hinge=lambda z, _k: abs(z),
    ),
    fault(
        "hinge-after-power",
        "The hinge follows the power, so p = 2 squares inactive terms too (PyTorch's old test reference).",
        "VALUE-2 VALUE-3",
        hinge=lambda z, k: z if k.p == 2 else MODEL.hinge(z, k),
    ),
    fault(
        "hinge-leaky",
        "Inactive terms contribute a sixteenth of their value.",
        "VALUE-3",
        hinge=lambda z, k: np.where(z > 0, z, z * k.number(1 / 16)),
    ),
    fault(
        "hinge-softplus",
        "A smooth softplus stands where the hinge should be.",
        "VALUE-1 VALUE-3",
        hinge=lambda z, k: np.logaddexp(z, k.number(0)),
    ),
    fault(
        "hinge-positive-threshold",
        "Terms up to 1/16 count as inactive.",
        "VALUE-1 VALUE-3",
        hinge=lambda z, k: np.where(z > 1 / 16, z, k.number(0)),
    ),
    fault(
        "hinge-one-side-clipped",
        "Every term is clipped to [0, 1].",
        "VALUE-1",
        hinge=lambda z, k: np.clip(z, k.number(0), 1),
    ),
    fault(
        "maximum-instead-of-sum",
        "Only the largest term of a row counts, as in the Crammer-Singer loss of other libraries.",
        "VALUE-1",
        add=lambda h, _k: h.max(axis=1),
    ),
    fault(
        "sign-swapped",
        "x[i] and x[y] are exchanged in the difference.",
        "VALUE-1",
        difference=lambda k: (k.margin + k.target_logit) - k.x,
    ),
    fault(
        "loss-negated",
        "The loss is returned with its sign changed.",
        "VALUE-1",
        finish=lambda v, k: MODEL.finish(-v, k),
    ),
    fault(
        "one-against-all",
        "Each class is compared with its own sign instead of the target's logit.",
        "VALUE-1",
        difference=lambda k: k.margin + k.x,
    ),
    fault(
        "inputs-clipped-to-one",
        "Logits are clipped to [-1, 1] as if they were probabilities.",
        "VALUE-1",
        difference=lambda k: (k.margin - np.clip(k.target_logit, -1, 1)) + np.clip(k.x, -1, 1),
    ),
)

POWER = (
    fault(
        "power-ignored",
        "p = 2 is computed as p = 1.",
        "VALUE-2",
        power=lambda h, _k: h,
        slope=lambda z, _k: np.ones_like(z),
    ),
    fault(
        "power-always-two",
        "p = 1 is computed as p = 2.",
        "VALUE-1",
        power=lambda h, _k: h * h,
        slope=lambda z, _k: z + z,
    ),
    fault(
        "power-halved",
        "p = 2 gives half the square, a common form of the squared hinge.",
        "VALUE-2",
        power=lambda h, k: h if k.p == 1 else h * h / 2,
        slope=lambda z, k: MODEL.slope(z, k) / k.p,
    ),
    fault("power-norm", "p is taken for a norm: the root of the sum of squares is returned.", "VALUE-2", add=by_norm),
    fault("power-of-sum", "The row's sum is squared instead of its terms.", "VALUE-2", add=square_of_sum),
    fault(
        "power-after-division",
        "The division by C comes before the square.",
        "VALUE-2 VALUE-5",
        power=lambda h, k: h if k.p == 1 else h * h / divisor(k),
    ),
    fault("power-huber", "p = 2 grows linearly beyond 1, as a modified Huber loss does.", "VALUE-2", power=huber),
    fault("power-three", "p = 2 is computed as a cube.", "VALUE-2", power=lambda h, k: h if k.p == 1 else h * h * h),
)

TARGET_TERM = (
    fault("target-term-kept", "The target's own term, margin^p, is counted.", "VALUE-4", drop_target=keep_target),
    fault(
        "target-term-subtracted",
        "The target's term is removed by subtracting margin^p (burn 5176, PaddlePaddle): "
        "wrong for a negative margin, and cancels for a large one.",
        "VALUE-4 VALUE-6",
        drop_target=keep_target,
        add=minus_margin_power,
    ),
    fault(
        "target-term-subtracted-clipped",
        "The target's term is removed by subtracting max(margin, 0)^p: cancels for "
        "a large margin and fails at an infinite target.",
        "VALUE-4 SPECIAL-3 SPECIAL-4",
        drop_target=keep_target,
        add=minus_clipped_margin,
    ),
    fault(
        "target-term-by-value",
        "Every class whose logit equals the target's is left out.",
        "VALUE-4",
        drop_target=drop_ties,
    ),
    fault(
        "target-term-argmax",
        "The class with the largest logit is left out instead of the target.",
        "VALUE-4",
        drop_target=drop_largest,
    ),
    fault(
        "target-logit-of-next-class",
        "The true class is read one position too far.",
        "VALUE-1 SHAPE-4",
        difference=lambda k: (k.margin - next_logit(k)) + k.x,
    ),
)

DIVISOR = (
    fault(
        "divisor-classes-minus-one",
        "The sum is divided by C - 1.",
        "VALUE-5",
        divisor=lambda k: k.number(max(1, k.classes - 1)),
    ),
    fault("divisor-missing", "The sum is not divided by C.", "VALUE-5", divisor=lambda k: k.number(1)),
    fault(
        "divisor-twice",
        "The sum is divided by C twice.",
        "VALUE-5",
        scale=lambda rows, k: rows / divisor(k) / divisor(k),
    ),
    fault(
        "divisor-active",
        "The sum is divided by the number of active terms.",
        "VALUE-5",
        scale=lambda rows, k: active_count(k, rows),
    ),
    fault("divisor-mean-only", "Only reduction = mean divides by C.", "VALUE-5 REDUCTION-5", scale=scale_mean_only),
    fault(
        "divisor-not-for-none", "reduction = none does not divide by C.", "VALUE-5 REDUCTION-1", scale=scale_unless_none
    ),
    fault(
        "divisor-not-for-sum", "reduction = sum does not divide by C.", "VALUE-5 REDUCTION-3", scale=scale_unless_sum
    ),
    fault(
        "divisor-padded-classes",
        "The sum is divided by C padded to a power of two.",
        "VALUE-5",
        divisor=power_of_two_classes,
    ),
    fault(
        "divisor-wraps-at-8-bits",
        "C is kept in a byte, so 256 classes divide by nothing and 257 by 1.",
        "VALUE-5 SHAPE-4",
        divisor=lambda k: k.number(max(1, k.classes & 0xFF)),
    ),
    fault(
        "divisor-wraps-at-16-bits",
        "C is kept in 16 bits, so 65537 classes divide by 1.",
        "VALUE-5 SHAPE-4",
        divisor=lambda k: k.number(max(1, k.classes & 0xFFFF)),
    ),
    fault(
        "divisor-epsilon",
        "A small epsilon, 1e-8, is added to C against division by zero.",
        "VALUE-9 VALUE-5",
        scale=lambda rows, k: rows / (k.classes + 1e-8),
    ),
)

FAULTS: tuple[Fault, ...] = HINGE + POWER + TARGET_TERM + DIVISOR
