"""Known faults of the gradient while the loss stays right: kink, slope, target's element."""

from __future__ import annotations

from typing import Any

import numpy as np

from multimargin_reference.known.catalogue import Fault, after, fault, stateful
from multimargin_reference.known.model import MODEL, Array, Request, Work


def weak_active(z: Array, k: Work) -> Array:
    return np.asarray((z >= 0) & ~k.own)


def half_at_kink(z: Array, k: Work) -> Array:
    return np.where(z == 0, k.number(0.5), MODEL.slope(z, k))


def kink_at_target_only(d: Array, k: Work) -> Array:
    """Count ties in the target's element while the tied classes themselves get 0."""
    ties = ((MODEL.difference(k) == 0) & ~k.own).sum(axis=1) if k.p == 1 else k.number(0)
    d = MODEL.target_gradient(d, k)
    weighted = MODEL.factored(k) * (1 if k.w is None else k.w[:, 0])
    d[k.row, k.y] -= (ties * weighted).astype(d.dtype)
    return d


def slope_by_quotient(z: Array, k: Work) -> Any:
    """Divide h^p by h to find the slope, which is NaN for an infinite z."""
    return k.number(k.p) * (np.maximum(z, k.number(0)) ** k.p / np.maximum(z, k.number(0)))


def target_as(change: Any) -> Any:
    """Make a target step that sets the element to `change(sum of the others, d, k)`."""

    def step(d: Array, k: Work) -> Array:
        d[k.row, k.y] = change(d.sum(axis=1), d, k)
        return d

    return step


def one_share(total: Array, d: Array, _k: Work) -> Any:
    """Subtract one class's share however many are active."""
    largest = abs(d).max(axis=1)
    return np.where(total > 0, -largest, largest)


def all_classes_active(_total: Array, _d: Array, k: Work) -> Array:
    return np.asarray(-MODEL.factored(k) * k.number(k.classes - 1) * (1 if k.w is None else k.w[:, 0]))


def own_term_kept(total: Array, _d: Array, k: Work) -> Array:
    """Leave the derivative of the target's own term uncancelled."""
    own = MODEL.slope(np.full((k.rows, 1), k.margin, k.x.dtype), k)
    own = MODEL.weigh(own, k)[:, 0] * MODEL.factored(k)
    return -total + (own if k.margin > 0 else k.number(0))


def target_at(index: Any) -> Any:
    """Make a target step that writes the element at `index(k)`."""

    def step(d: Array, k: Work) -> Array:
        d[k.row, index(k)] += -d.sum(axis=1)
        return d

    return step


def target_first_classes(d: Array, k: Work) -> Array:
    d[k.row, k.y] = -d[:, :1024].sum(axis=1)
    return d


def target_unweighted(d: Array, k: Work) -> Array:
    z = MODEL.difference(k)
    plain = np.where(MODEL.active(z, k), MODEL.slope(z, k), k.number(0)).sum(axis=1)
    d[k.row, k.y] = -plain * MODEL.factored(k)
    return d


def target_without_grad_output(total: Array, _d: Array, k: Work) -> Any:
    g = np.asarray(k.g)
    return np.where(g == 0, k.number(0), -total / g)


def of_gradient(change: Any) -> Any:
    """Make a change of the gradient only: `change(gradient, request)`."""
    return lambda value, r: change(value, r) if r.backward else value


def finite_difference(r: Request) -> Any:
    """Differentiate the loss numerically, one logit at a time."""
    if not r.backward or np.size(r.input) > 256:
        return MODEL.answer(r)
    MODEL.prepare(r)
    x = np.array(r.input, np.float64)
    w = None if r.weight is None else np.asarray(r.weight, np.float64)
    d, step, g = np.zeros_like(x), 2.0**-10, np.asarray(r.grad_output, np.float64)
    for index in np.ndindex(x.shape):
        side = []
        for sign in (1, -1):
            moved = x.copy()
            moved[index] += sign * step
            side.append(MODEL.forward(moved, r.target, p=r.p, margin=r.margin, weight=w, reduction=r.reduction))
        d[index] = ((side[0] - side[1]) / (2 * step) * g).sum()
    return d.astype(np.asarray(r.input).dtype)


KINK = (
    fault("kink-full", "A tie, z = 0, has the full slope (PyTorch's decomposition).", "GRADIENT-4", active=weak_active),
    fault("kink-half", "A tie, z = 0, has half the slope.", "GRADIENT-4", active=weak_active, slope=half_at_kink),
    fault(
        "kink-in-target-only",
        "Ties count in the target's element only.",
        "GRADIENT-4 GRADIENT-3",
        target_gradient=kink_at_target_only,
    ),
    fault(
        "kink-wide",
        "Terms up to 1/64 count as inactive in the gradient.",
        "GRADIENT-1 GRADIENT-4",
        active=lambda z, k: MODEL.active(z, k) & (z > 1 / 64),
    ),
    fault(
        "kink-narrow",
        "Terms down to -1/64 count as active in the gradient.",
        "GRADIENT-5 GRADIENT-4",
        active=lambda z, k: (z > -1 / 64) & ~k.own,
    ),
    stateful(
        "gradient-by-differences",
        "The gradient is a central difference, half at a kink.",
        "GRADIENT-4 GRADIENT-11",
        lambda: finite_difference,
    ),
)

ELEMENTS = (
    fault(
        "slope-without-two",
        "The gradient for p = 2 lacks the factor 2.",
        "GRADIENT-2",
        slope=lambda z, k: np.ones_like(z) if k.p == 1 else z,
    ),
    fault(
        "slope-of-p-1", "The gradient for p = 2 is that of p = 1.", "GRADIENT-2", slope=lambda z, _k: np.ones_like(z)
    ),
    fault(
        "slope-constant-two",
        "The gradient for p = 2 is 2 instead of 2 z.",
        "GRADIENT-2",
        slope=lambda z, k: np.full_like(z, k.p),
    ),
    fault("slope-of-p-2", "The gradient for p = 1 is that of p = 2.", "GRADIENT-1", slope=lambda z, _k: z + z),
    fault(
        "slope-squared",
        "The gradient for p = 2 is 2 z^2.",
        "GRADIENT-2",
        slope=lambda z, k: MODEL.slope(z, k) * (z if k.p == 2 else 1),
    ),
    fault("slope-unmasked", "Inactive terms have a gradient.", "GRADIENT-5", active=lambda _z, k: ~k.own),
    fault(
        "slope-sign",
        "The gradient for p = 1 is the sign of z, -1 for inactive terms.",
        "GRADIENT-5",
        active=lambda z, k: ~k.own & (z != 0),
        slope=lambda z, k: np.sign(z) if k.p == 1 else z + abs(z),
    ),
    fault(
        "slope-leak",
        "Inactive terms have a slope of 2^-20.",
        "GRADIENT-5",
        active=lambda _z, k: ~k.own,
        slope=lambda z, k: np.where(z > 0, MODEL.slope(z, k), k.number(2.0**-20)),
    ),
    fault("slope-by-quotient", "The slope is h^p / h, NaN at infinity.", "SPECIAL-2", slope=slope_by_quotient),
    fault(
        "slope-clipped-to-one",
        "Slopes are clipped to [-1, 1], as gradient clipping does.",
        "GRADIENT-2",
        slope=lambda z, k: np.clip(MODEL.slope(z, k), -1, 1),
    ),
    fault(
        "gradient-saturated",
        "Terms above 1 have no slope, as if the loss were clipped.",
        "GRADIENT-1",
        active=lambda z, k: MODEL.active(z, k) & (z <= 1),
    ),
    after(
        "gradient-negated",
        "The gradient is returned with its sign changed.",
        "GRADIENT-1",
        of_gradient(lambda d, _r: -d),
    ),
    after(
        "gradient-last-row-zero",
        "The last row of the gradient stays zero.",
        "GRADIENT-1 SHAPE-1",
        of_gradient(
            lambda d, _r: (
                np.where((np.arange(d.shape[0]) == max(1, d.shape[0] - 1))[:, None], np.zeros_like(d), d)
                if d.ndim == 2
                else d
            )
        ),
    ),
    after(
        "gradient-first-class-zero",
        "The first class's gradient stays zero.",
        "GRADIENT-1",
        of_gradient(lambda d, _r: np.where(np.arange(d.shape[-1]) == 0, np.zeros_like(d), d)),
    ),
    after(
        "gradient-past-1024-zero",
        "The gradient of classes past 1024 stays zero.",
        "SHAPE-4 GRADIENT-1",
        of_gradient(lambda d, _r: np.where(np.arange(d.shape[-1]) < 1024, d, np.zeros_like(d))),
    ),
    after(
        "gradient-rows-swapped",
        "The rows of the gradient come in reversed order.",
        "GRADIENT-1 SHAPE-1",
        of_gradient(lambda d, _r: d[::-1].copy() if d.ndim == 2 else d),
    ),
    after(
        "gradient-transposed", "The gradient has shape (C, N).", "GRADIENT-10", of_gradient(lambda d, _r: d.T.copy())
    ),
    after(
        "gradient-transposed-if-square",
        "With N = C the gradient comes transposed.",
        "GRADIENT-1",
        of_gradient(lambda d, _r: d.T.copy() if d.ndim == 2 and d.shape[0] == d.shape[1] else d),
    ),
    after("gradient-flat", "The gradient has shape (N C,).", "GRADIENT-10", of_gradient(lambda d, _r: d.reshape(-1))),
    after(
        "gradient-summed-over-rows",
        "The gradient is summed over the batch and repeated.",
        "GRADIENT-1 SHAPE-1",
        of_gradient(lambda d, _r: np.broadcast_to(d.sum(axis=0, keepdims=True), d.shape).copy() if d.ndim == 2 else d),
    ),
)

TARGET = (
    fault("target-gradient-zero", "The target's element is 0.", "GRADIENT-3", target_gradient=lambda d, _k: d),
    fault(
        "target-gradient-positive",
        "The target's element has the wrong sign.",
        "GRADIENT-3",
        target_gradient=target_as(lambda s, _d, _k: s),
    ),
    fault(
        "target-gradient-one-share",
        "The target's element is one class's share, however many are active.",
        "GRADIENT-3",
        target_gradient=target_as(one_share),
    ),
    fault(
        "target-gradient-all-classes",
        "The target's element assumes that every class is active.",
        "GRADIENT-3",
        target_gradient=target_as(all_classes_active),
    ),
    fault(
        "target-gradient-own-term",
        "The derivative of the target's own term is left in.",
        "GRADIENT-3",
        target_gradient=target_as(own_term_kept),
    ),
    fault(
        "target-gradient-at-first",
        "The target's element is written at class 0.",
        "GRADIENT-3",
        target_gradient=target_at(lambda _k: 0),
    ),
    fault(
        "target-gradient-at-last",
        "The target's element is written at the last class.",
        "GRADIENT-3",
        target_gradient=target_at(lambda k: k.classes - 1),
    ),
    fault(
        "target-gradient-at-next",
        "The target's element is written one class too far.",
        "GRADIENT-3 SHAPE-4",
        target_gradient=target_at(lambda k: (k.y + 1) % k.classes),
    ),
    fault(
        "target-gradient-of-first-row",
        "Every row's sum is written at the first row's target.",
        "GRADIENT-3",
        target_gradient=target_at(lambda k: k.y[:1].repeat(k.rows)),
    ),
    fault(
        "target-gradient-past-1024",
        "The target's element sums the first 1024 classes only.",
        "GRADIENT-3 SHAPE-4",
        target_gradient=target_first_classes,
    ),
    fault(
        "target-gradient-unweighted",
        "The target's element lacks the weight.",
        "GRADIENT-3 GRADIENT-7",
        target_gradient=target_unweighted,
    ),
    fault(
        "target-gradient-without-grad-output",
        "The target's element lacks grad_output.",
        "GRADIENT-3 GRADIENT-8",
        target_gradient=target_as(target_without_grad_output),
    ),
    fault(
        "target-gradient-8-bit-index",
        "The target's element is written with the target in a byte.",
        "GRADIENT-3 SHAPE-4",
        target_gradient=target_at(lambda k: k.y & 0xFF),
    ),
)

FAULTS: tuple[Fault, ...] = KINK + ELEMENTS + TARGET
