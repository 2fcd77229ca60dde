"""Known faults of what is kept between a loss and a gradient of the same arrays, and of results in arguments' memory.

An implementation that remembers what its last call was given may be right for every call by itself.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from multimargin_reference.known.catalogue import Answer, Fault, stateful
from multimargin_reference.known.faults_beyond import is_gradient, is_loss, is_valid_kind, shape
from multimargin_reference.known.model import MODEL, Request, Work

OFTEN = 100  # calls of a shape, after which another order of summation is taken


def trusting(first: Callable[[Request], bool], later: Callable[[Request, Request], bool]) -> Callable[[], Answer]:
    """Clip the targets, unchecked, where the last call of the first kind had the same array for them."""

    def start() -> Answer:
        last: list[Request] = []

        def answer(r: Request) -> Any:
            given = r
            if last and is_valid_kind(r) and last[0].target is r.target and later(last[0], r):
                given = replace(r, target=np.clip(r.target, 0, shape(r)[1] - 1))
            value = MODEL.answer(given)
            if first(r):
                last[:] = [r]
            return value

        return answer

    return start


def has_other_options(last: Request, now: Request) -> bool:
    return not now.backward and (last.p, last.margin) != (now.p, now.margin)


def loss_reduction_kept() -> Answer:
    """Take the reduction of the last loss, mean or sum, for a gradient of the same arrays."""
    last: list[Request] = []

    def answer(r: Request) -> Any:
        if not r.backward:
            last[:] = [r]
        elif last and last[0].input is r.input and last[0].target is r.target and "none" not in (
            r.reduction, last[0].reduction,
        ):  # fmt: skip
            return MODEL.answer(replace(r, reduction=last[0].reduction))
        return MODEL.answer(r)

    return answer


def context_freed() -> Answer:
    """Raise in the second gradient of the input that the last loss had: what it left was used up."""
    left: list[Any] = []
    used: list[Any] = []

    def answer(r: Request) -> Any:
        value = MODEL.answer(r)
        if not r.backward:
            left[:], used[:] = [r.input], []
        elif left and left[0] is r.input:
            if used:
                raise RuntimeError("the saved logits have been freed")
            used.append(True)
        return value

    return answer


def loss_first() -> Answer:
    """Raise in a gradient before the first loss."""
    losses: list[bool] = []

    def answer(r: Request) -> Any:
        if not r.backward:
            losses[:] = [True]
        elif not losses:
            raise RuntimeError("there is no loss to differentiate")
        return MODEL.answer(r)

    return answer


def last_class_first(h: Any, _k: Work) -> Any:
    """Add up rows one class after another, from the last one on."""
    return np.cumsum(h[:, ::-1], axis=1)[:, -1] if h.size else h.sum(axis=1)


def another_order_when_often() -> Answer:
    """Take another order of summation, once a shape has come often."""
    seen: Counter[tuple[int, ...]] = Counter()
    turned = replace(MODEL, add=last_class_first)

    def answer(r: Request) -> Any:
        seen[np.shape(r.input)] += 1
        return (turned if seen[np.shape(r.input)] > OFTEN else MODEL).answer(r)

    return answer


def zero_factor_returned() -> Answer:
    """Return a grad_output of 0 itself, repeated, as the gradient."""

    def answer(r: Request) -> Any:
        value = MODEL.answer(r)
        g = r.grad_output
        if r.backward and isinstance(g, np.ndarray) and g.shape == () and g == 0 and g.dtype == value.dtype:
            return np.broadcast_to(g, value.shape)
        return value

    return answer


def zero_weights_returned() -> Answer:
    """Return weights that are all 0 as the gradient of one row, which is 0 then."""

    def answer(r: Request) -> Any:
        value = MODEL.answer(r)
        if r.backward and r.weight is not None and np.ndim(r.input) == 1 and not np.any(r.weight):
            return r.weight
        return value

    return answer


def weights_scaled_for_a_while() -> Answer:
    """Divide the weights by C in place, and put them back."""

    def answer(r: Request) -> Any:
        w = r.weight
        if isinstance(w, np.ndarray) and w.flags.writeable and w.shape == np.shape(r.input)[-1:] and not r.backward:
            kept = w.copy()
            w /= w.size
            try:
                return MODEL.answer(replace(r, weight=kept))
            finally:
                w[...] = kept
        return MODEL.answer(r)

    return answer


def scratch_of_both_parts() -> Answer:
    """Pass the logits through one buffer, which losses and gradients each lock for themselves."""
    locks, buffer = (threading.Lock(), threading.Lock()), [np.zeros(0)]

    def answer(r: Request) -> Any:
        with locks[r.backward]:
            buffer[0] = r.input
            time.sleep(1e-5)
            return MODEL.answer(replace(r, input=buffer[0]))

    return answer


def strided_weights_staged() -> Answer:
    """Copy weights with gaps into a buffer that all threads share."""
    buffer: list[Any] = [None]

    def answer(r: Request) -> Any:
        w = r.weight
        if not isinstance(w, np.ndarray) or w.flags.c_contiguous:
            return MODEL.answer(r)
        buffer[0] = w
        time.sleep(1e-5)
        return MODEL.answer(replace(r, weight=np.array(buffer[0])))

    return answer


FAULTS: tuple[Fault, ...] = (
    stateful(
        "target-unchecked-after-its-loss", "backward does not check targets that the last forward had.",
        "REJECT-3 REJECT-4", trusting(is_loss, lambda _, now: now.backward),
    ),
    stateful(
        "target-unchecked-after-its-gradient", "forward does not check targets that the last backward had.",
        "REJECT-3 REJECT-4", trusting(is_gradient, lambda _, now: not now.backward),
    ),
    stateful(
        "target-unchecked-for-other-options", "forward does not check the last targets again for another p or margin.",
        "REJECT-3 REJECT-4", trusting(is_loss, has_other_options),
    ),
    stateful(
        "gradient-reduced-like-the-loss", "backward takes forward's reduction for the same arrays.",
        "PURITY-3", loss_reduction_kept,
    ),
    stateful(
        "second-gradient-raises", "A second gradient after one loss of the same logits raises.", "PURITY-3",
        context_freed,
    ),
    stateful("gradient-before-any-loss-raises", "backward raises before the first forward.", "PURITY-3", loss_first),
    stateful(
        "another-order-after-100-calls", "After 100 calls of a shape rows are added up in another order.",
        "PURITY-2 PURITY-3", another_order_when_often,
    ),
    stateful(
        "zero-grad-output-returned", "A grad_output of 0 is returned, as a view, for the gradient.",
        "PURITY-4 GRADIENT-8",
        zero_factor_returned,
    ),
    stateful(
        "zero-weights-returned", "Weights of 0 are returned for the gradient of one row.",
        "PURITY-4 GRADIENT-7",
        zero_weights_returned,
    ),
    stateful(
        "weights-scaled-for-a-while", "forward divides the weights by C in place and puts them back.",
        "PURITY-3 PURITY-1", weights_scaled_for_a_while,
    ),
    stateful(
        "threads-share-scratch-of-both-parts", "A loss and a gradient share scratch space, each under its own lock.",
        "PURITY-3", scratch_of_both_parts,
    ),
    stateful(
        "threads-share-strided-weights", "Weights with gaps are copied into a buffer that threads share.", "PURITY-3",
        strided_weights_staged,
    ),
)  # fmt: skip
