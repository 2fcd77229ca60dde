"""Known faults of state: caches with incomplete keys, earlier calls remembered, threads mixed up."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from multimargin_reference.known.catalogue import Answer, Fault, stateful
from multimargin_reference.known.faults_memory import every
from multimargin_reference.known.model import MODEL, Request


def cached(key: Callable[[Request], Any], keep: Callable[[Request], Any] = lambda _r: None) -> Callable[[], Answer]:
    """Answer from a cache by an incomplete key; `keep` is held so that an identity in the key stays unique."""

    def start() -> Answer:
        answers: dict[Any, Any] = {}

        def answer(r: Request) -> Any:
            value = MODEL.answer(r)
            k = (r.backward, value.shape, value.dtype.name, key(r))
            return answers.setdefault(k, (value, keep(r)))[0].copy()

        return answer

    return start


def options(r: Request) -> Any:
    return (r.p, r.margin, r.reduction, r.weight is None)


def content(*arrays: Any) -> Any:
    return tuple(None if a is None else np.asarray(a).tobytes() for a in arrays)


def cached_argument(argument: str, least: int = 0) -> Callable[[], Answer]:
    """Keep a private copy of an argument of so many numbers by identity, so that a change in place goes unnoticed."""

    def start() -> Answer:
        copies: dict[int, Any] = {}

        def answer(r: Request) -> Any:
            array = getattr(r, argument)
            if array is None or np.size(array) < least:
                return MODEL.answer(r)
            kept = copies.setdefault(id(array), (array, np.array(array)))
            return MODEL.answer(replace(r, **{argument: kept[1]}))

        return answer

    return start


def first_of(argument: str, usable: Callable[[Any, Request], bool] = lambda _v, _r: True) -> Callable[[], Answer]:
    """Use the first value ever given for an argument, where it fits."""

    def start() -> Answer:
        kept: list[Any] = []

        def answer(r: Request) -> Any:
            right = MODEL.answer(r)
            value = getattr(r, argument)
            if not kept and value is not None and usable(value, r):
                kept.append(np.array(value) if argument in ("target", "weight") else value)
            if not kept or not usable(kept[0], r):
                return right
            return MODEL.answer(replace(r, **{argument: kept[0]}))

        return answer

    return start


def same_shape(kept: Any, r: Request) -> bool:
    return np.shape(kept) == np.shape(r.target) and bool(np.all(kept < np.shape(r.input)[-1]))


def weight_fits(kept: Any, r: Request) -> Any:
    return np.shape(kept) == np.shape(r.input)[-1:] and kept.dtype == r.input.dtype


def output_same(kept: Any, r: Request) -> bool:
    """Keep the caller's idea of the shape: only mean and sum can be exchanged."""
    return "none" not in (kept, r.reduction)


def saved_by_forward(*names: str) -> Callable[[], Answer]:
    """Let backward use what the latest forward of this shape saved, rather than its own arguments."""

    def start() -> Answer:
        saved: dict[Any, dict[str, Any]] = {}

        def answer(r: Request) -> Any:
            shape = (np.shape(r.input), np.shape(r.target), np.asarray(r.input).dtype.name, r.weight is None)
            right = MODEL.answer(r)
            if r.backward:
                return MODEL.answer(replace(r, **saved[shape])) if shape in saved else right
            saved[shape] = {
                n: np.array(getattr(r, n)) if isinstance(getattr(r, n), np.ndarray) else getattr(r, n) for n in names
            }
            return right

        return answer

    return start


def accumulating(which: bool) -> Callable[[], Answer]:
    """Add every result to the earlier ones of its shape, as a gradient buffer that is never zeroed."""

    def start() -> Answer:
        totals: dict[Any, Any] = {}

        def answer(r: Request) -> Any:
            value = MODEL.answer(r)
            if r.backward is not which:
                return value
            key = (value.shape, value.dtype.name)
            totals[key] = totals[key] + value if key in totals else value
            return totals[key].copy()

        return answer

    return start


def only_first_wrong() -> Answer:
    calls = SimpleNamespace(number=0)

    def answer(r: Request) -> Any:
        value = MODEL.answer(r)
        calls.number += 1
        return np.zeros_like(value) if calls.number == 1 else value

    return answer


def broken_after_rejection() -> Answer:
    """Answer NaN to the call that follows a rejected one."""
    state = SimpleNamespace(poisoned=False)

    def answer(r: Request) -> Any:
        poisoned, state.poisoned = state.poisoned, True
        value = MODEL.answer(r)
        state.poisoned = False
        return np.full_like(value, np.nan) if poisoned else value

    return answer


def validated_once() -> Answer:
    """Check the targets of the first call of a shape only; later ones are taken modulo C."""
    seen: set[Any] = set()

    def answer(r: Request) -> Any:
        key = (np.shape(r.input), np.shape(r.target))
        y = np.asarray(r.target)
        if key in seen and y.dtype == np.int64:
            return MODEL.answer(replace(r, target=y % np.shape(r.input)[-1]))
        value = MODEL.answer(r)
        seen.add(key)
        return value

    return answer


def shared_scratch() -> Answer:
    """Keep the arguments in the object between two steps, so that threads read each other's."""
    scratch = SimpleNamespace(request=None)

    def answer(r: Request) -> Any:
        scratch.request = r
        time.sleep(2e-5)
        return MODEL.answer(scratch.request)

    return answer


CACHED = (
    stateful("cache-by-shape", "Results are cached by shape and options.", "PURITY-3", cached(options)),
    stateful(
        "cache-by-input-only",
        "Results are cached by the input's content alone.",
        "PURITY-3",
        cached(lambda r: content(r.input)),
    ),
    stateful(
        "cache-without-target",
        "The cache's key lacks the target.",
        "PURITY-3",
        cached(lambda r: (options(r), content(r.input, r.weight, r.grad_output))),
    ),
    stateful(
        "cache-without-weight",
        "The cache's key lacks the weight's content.",
        "PURITY-3",
        cached(lambda r: (options(r), content(r.input, r.target, r.grad_output))),
    ),
    stateful(
        "cache-without-margin",
        "The cache's key lacks the margin.",
        "PURITY-3",
        cached(lambda r: (r.p, r.reduction, content(r.input, r.target, r.weight, r.grad_output))),
    ),
    stateful(
        "cache-without-grad-output",
        "The cache's key lacks grad_output.",
        "PURITY-3",
        cached(lambda r: (options(r), content(r.input, r.target, r.weight))),
    ),
    stateful(
        "cache-by-sum",
        "The cache's key is a checksum, the input's sum.",
        "PURITY-3",
        cached(
            lambda r: (options(r), float(np.sum(r.input, dtype=np.float64)), content(r.target, r.weight, r.grad_output))
        ),
    ),
    stateful(
        "cache-by-identity",
        "Results are cached by the identity of the input.",
        "PURITY-3",
        cached(lambda r: (options(r), id(r.input), content(r.target, r.weight, r.grad_output)), lambda r: r.input),
    ),
    stateful(
        "cache-target-by-identity", "The target is copied once for each object.", "PURITY-3", cached_argument("target")
    ),
    stateful(
        "cache-weight-by-identity", "The weight is copied once for each object.", "PURITY-3", cached_argument("weight")
    ),
    stateful(
        "cache-large-input-by-identity",
        "Inputs of 4096 numbers and more are copied once for each object.",
        "PURITY-3",
        cached_argument("input", 4096),
    ),
)

REMEMBERED = (
    stateful(
        "first-margin-kept", "The first margin ever given is used for good.", "PURITY-3 VALUE-6", first_of("margin")
    ),
    stateful("first-p-kept", "The first p ever given is used for good.", "PURITY-3 VALUE-2", first_of("p")),
    stateful(
        "first-reduction-kept",
        "The first of mean and sum ever given is used for both.",
        "PURITY-3 REDUCTION-2 REDUCTION-3",
        first_of("reduction", output_same),
    ),
    stateful(
        "first-target-kept",
        "The first target is used wherever its shape fits.",
        "PURITY-3",
        first_of("target", same_shape),
    ),
    stateful(
        "first-weight-kept",
        "The first weight is used wherever it fits.",
        "PURITY-3 WEIGHT-1",
        first_of("weight", weight_fits),
    ),
    stateful(
        "backward-of-last-forward",
        "backward uses the input that the latest forward of this shape saved.",
        "PURITY-3",
        saved_by_forward("input"),
    ),
    stateful(
        "backward-target-of-last-forward",
        "backward uses the target that the latest forward saved.",
        "PURITY-3",
        saved_by_forward("target"),
    ),
    stateful(
        "backward-options-of-last-forward",
        "backward uses the p and margin that the latest forward saved.",
        "PURITY-3",
        saved_by_forward("p", "margin"),
    ),
    stateful(
        "loss-accumulates", "Losses of one shape add up from call to call.", "PURITY-3 PURITY-2", accumulating(False)
    ),
    stateful(
        "gradient-accumulates",
        "Gradients of one shape add up from call to call.",
        "PURITY-3 PURITY-2",
        accumulating(True),
    ),
    stateful(
        "first-call-zero", "The first call returns zeros.", "PURITY-3 PURITY-2 VALUE-1", lambda: only_first_wrong()
    ),
    stateful("second-call-zero", "Every second call returns zeros.", "PURITY-2 PURITY-3", every(2)),
    stateful("seventh-call-zero", "Every seventh call returns zeros.", "PURITY-2 PURITY-3", every(7)),
    stateful("hundredth-call-zero", "Every hundredth call returns zeros.", "PURITY-2 PURITY-3", every(100)),
    stateful(
        "broken-after-rejection", "The call after a rejected one returns NaN.", "PURITY-3", broken_after_rejection
    ),
    stateful(
        "validated-once",
        "Targets are checked in the first call of a shape only.",
        "PURITY-3 REJECT-3 REJECT-4",
        validated_once,
    ),
    stateful(
        "threads-share-scratch",
        "Arguments pass through the object, so threads read each other's.",
        "PURITY-3 PURITY-2",
        shared_scratch,
    ),
)

FAULTS: tuple[Fault, ...] = CACHED + REMEMBERED
