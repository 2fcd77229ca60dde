"""Known faults of the margin and of a single class, and implementations that only pretend."""

from __future__ import annotations

from typing import Any

import numpy as np

from multimargin_reference.known.catalogue import Fault, after, before, fault, stateful
from multimargin_reference.known.faults_values import always
from multimargin_reference.known.model import MODEL, Array, Request, Work, divisor, drop_target


def shifted(shift: Any) -> Any:
    """Make a difference step whose margin was changed by `shift`."""
    return lambda k: (k.number(shift(k.margin)) - k.target_logit) + k.x


def margin_outside(_h: Array, k: Work) -> Array:
    z = k.x - k.target_logit
    terms = np.maximum(z, k.number(0)) + k.margin
    return drop_target(MODEL.weigh(MODEL.power(terms, k), k), k)


def single_class(answer: float) -> Any:
    """Make an `after` change that answers `answer` for one class, whatever the reduction."""
    return lambda value, r: value if np.shape(r.input)[-1] != 1 else np.full_like(value, answer)


def loss_only(value: Any, r: Request) -> Any:
    return np.zeros_like(value) if r.backward else value


def documented_only(value: Any, r: Request) -> Any:
    x = np.asarray(r.input)
    return value if np.array_equal(x.reshape(-1), np.array(DOCUMENTED).astype(x.dtype)) else np.full_like(value, 0.25)


def random_values() -> Any:
    generator = np.random.default_rng(0)
    return lambda r: np.asarray(generator.random(np.shape(MODEL.answer(r)))).astype(np.asarray(r.input).dtype)


def reject_single_class(r: Request) -> Request:
    if np.shape(r.input)[-1] == 1:
        raise ValueError("a loss over classes needs at least two of them")
    return r


def reject_margin(r: Request) -> Request:
    if r.margin <= 0:
        raise ValueError(f"margin={r.margin}, but should be positive")
    return r


DOCUMENTED = (0.1, 0.2, 0.4, 0.8)  # the documentation's own example
MARGIN = (
    fault("margin-ignored", "The margin is always 1.", "VALUE-6", difference=shifted(lambda _m: 1)),
    fault("margin-zero", "The margin is always 0.", "VALUE-6", difference=shifted(lambda _m: 0)),
    fault(
        "margin-truncated-to-integer",
        "The margin is kept as an integer.",
        "VALUE-6",
        difference=shifted(lambda m: np.trunc(m)),
    ),
    fault("margin-absolute", "The margin's sign is dropped.", "VALUE-6", difference=shifted(abs)),
    fault("margin-negated", "The margin is subtracted instead of added.", "VALUE-6", difference=shifted(lambda m: -m)),
    fault("margin-clamped-at-zero", "Negative margins act as 0.", "VALUE-6", difference=shifted(lambda m: max(m, 0))),
    fault(
        "margin-zero-means-default",
        "A margin of 0 is taken for an absent one and becomes 1.",
        "VALUE-6",
        difference=shifted(lambda m: m or 1),
    ),
    fault("margin-clamped-at-one", "Margins above 1 act as 1.", "VALUE-6", difference=shifted(lambda m: min(m, 1))),
    fault(
        "margin-outside-hinge", "The margin is added after the hinge.", "VALUE-6 VALUE-3", drop_target=margin_outside
    ),
    fault(
        "margin-squared-for-p-2",
        "For p = 2 the margin is squared before it is used.",
        "VALUE-6 VALUE-2",
        difference=lambda k: (k.margin**k.p - k.target_logit) + k.x,
    ),
    fault(
        "margin-halved-for-p-2",
        "For p = 2 the margin is divided by p.",
        "VALUE-6 VALUE-2",
        difference=lambda k: (k.margin / k.number(k.p) - k.target_logit) + k.x,
    ),
    fault(
        "margin-scaled-by-logit",
        "The margin is relative: it is multiplied by |x[y]|.",
        "VALUE-6",
        difference=lambda k: (k.margin * abs(k.target_logit) - k.target_logit) + k.x,
    ),
    fault(
        "margin-sign-by-its-bit",
        "A margin whose sign bit is set is taken for one below 0, at least one step of 2^-10.",
        "VALUE-6 GRADIENT-1",
        difference=shifted(lambda m: min(m, -(2.0**-10)) if np.signbit(m) else m),
    ),
    before("margin-rejected-unless-positive", "Margins of 0 and below are rejected.", "VALUE-6", reject_margin),
)

SINGLE_CLASS = (
    fault(
        "single-class-divides-by-zero",
        "C - 1 appears in the arithmetic, so one class gives NaN.",
        "VALUE-7",
        scale=lambda rows, k: rows / (divisor(k) if k.classes > 1 else k.number(0)),
    ),
    after("single-class-gives-margin", "For one class the loss is 1 instead of 0.", "VALUE-7", single_class(1)),
    before("single-class-rejected", "A single class is rejected.", "VALUE-7", reject_single_class),
)

CHEATS = (
    after("always-zero", "Every answer is zero.", "VALUE-1 VALUE-8 GRADIENT-1", always(0, 0)),
    after("always-quarter", "Every loss is 0.25 and every gradient 0.", "VALUE-1 GRADIENT-1", always(0.25, 0)),
    after("always-one", "Every answer is 1.", "VALUE-1 GRADIENT-1", always(1, 1)),
    after(
        "gradient-always-zero", "The loss is right and the gradient is always zero.", "GRADIENT-1 GRADIENT-3", loss_only
    ),
    after(
        "loss-always-zero",
        "The gradient is right and the loss is always zero.",
        "VALUE-1",
        lambda value, r: value if r.backward else np.zeros_like(value),
    ),
    stateful("random", "Answers are random numbers.", "VALUE-1 VALUE-8 PURITY-2", random_values),
    after(
        "documented-example-only",
        "Only the documentation's example is answered rightly.",
        "VALUE-1 GRADIENT-1",
        documented_only,
    ),
    after(
        "small-sizes-only",
        "Anything larger than 8 x 8 gets zeros, as if only small examples had been tried.",
        "SHAPE-4 SHAPE-5",
        lambda value, r: np.zeros_like(value) if np.size(r.input) > 64 else value,
    ),
    after(
        "float64-only",
        "Only float64 is computed; other dtypes get zeros.",
        "VALUE-1 DTYPE-1",
        lambda value, r: value if np.asarray(r.input).dtype == np.float64 else np.zeros_like(value),
    ),
    after(
        "zero-for-absent-weight",
        "Without a weight the loss is multiplied by 0.",
        "VALUE-1",
        lambda value, r: value if r.weight is not None or r.backward else np.zeros_like(value),
    ),
)

FAULTS: tuple[Fault, ...] = MARGIN + SINGLE_CLASS + CHEATS
