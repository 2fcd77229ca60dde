"""Known faults of memory: arguments mutated, buffers reused, answers that vary."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from multimargin_reference.known.catalogue import Answer, Fault, stateful
from multimargin_reference.known.model import MODEL, Request

Change = Callable[[Any], None]


def mutating(
    argument: str, change: Callable[[Any, Request], None], backward: bool | None = None
) -> Callable[[], Answer]:
    """Answer rightly, then overwrite an argument where it is writable, in both kinds of call or in one."""

    def answer(r: Request) -> Any:
        value = MODEL.answer(r)
        array = getattr(r, argument)
        if isinstance(array, np.ndarray) and array.flags.writeable and backward in (None, r.backward):
            change(array, r)
        return value

    return lambda: answer


def set_to(number: float) -> Callable[[Any, Request], None]:
    def change(array: Any, _r: Request) -> None:
        array[...] = number

    return change


def multiply(array: Any, _r: Request) -> None:
    array *= array.dtype.type(0.5)


def advance(array: Any, _r: Request) -> None:
    array += 1


def subtract_margin(array: Any, r: Request) -> None:
    array -= array.dtype.type(r.margin)


def clip(array: Any, _r: Request) -> None:
    np.maximum(array, array.dtype.type(0), out=array)


def shift_and_restore(array: Any, _r: Request) -> None:
    """Add a constant and subtract it again, which loses small logits' last bits."""
    array += array.dtype.type(1)
    array -= array.dtype.type(1)


def normalise(array: Any, _r: Request) -> None:
    total = array.sum()
    if np.isfinite(total) and total != 0:
        array /= total


def sort(array: Any, _r: Request) -> None:
    array[...] = np.sort(array, axis=-1)


def aliased_gradient() -> Answer:
    """Write the gradient into the input and return the input."""

    def answer(r: Request) -> Any:
        value = MODEL.answer(r)
        if not r.backward or not isinstance(r.input, np.ndarray) or not r.input.flags.writeable:
            return value
        r.input[...] = value
        return r.input

    return answer


def one_buffer(which: bool | None = None) -> Answer:
    """Return the same array for every result of a shape and dtype, overwriting it."""
    buffers: dict[Any, Any] = {}

    def answer(r: Request) -> Any:
        value = MODEL.answer(r)
        if which is not None and r.backward is not which:
            return value
        buffer = buffers.setdefault((value.shape, value.dtype.name), value)
        buffer[...] = value
        return buffer

    return answer


def ring_of_buffers() -> Answer:
    """Return losses of 256 rows and more in one of eight arrays, in turn."""
    rings: dict[Any, list[Any]] = {}

    def answer(r: Request) -> Any:
        value = MODEL.answer(r)
        if r.backward or value.size < 256:
            return value
        ring = rings.setdefault((value.shape, value.dtype.name), [np.empty_like(value) for _ in range(8)])
        ring.append(ring.pop(0))
        ring[-1][...] = value
        return ring[-1]

    return answer


def one_workspace() -> Answer:
    """Return views of one workspace, whatever their shape."""
    workspace = SimpleNamespace(memory=np.zeros(0, np.uint8))

    def answer(r: Request) -> Any:
        value = MODEL.answer(r)
        if workspace.memory.size < value.nbytes:
            workspace.memory = np.zeros(value.nbytes, np.uint8)
        result = workspace.memory[: value.nbytes].view(value.dtype).reshape(value.shape)
        result[...] = value
        return result

    return answer


def late_write() -> Answer:
    """Overwrite the previous result with zeros when the next call is made."""
    last: list[Any] = []

    def answer(r: Request) -> Any:
        while last:
            last.pop()[...] = 0
        value = MODEL.answer(r)
        last.append(value)
        return value

    return answer


def every(count: int, first: int = 0) -> Callable[[], Answer]:
    """Return zeros in every `count`-th call."""

    def start() -> Answer:
        calls = SimpleNamespace(number=first)

        def answer(r: Request) -> Any:
            value = MODEL.answer(r)
            calls.number += 1
            return np.zeros_like(value) if calls.number % count == 0 else value

        return answer

    return start


def noisy(size: float) -> Callable[[], Answer]:
    """Vary every answer by a relative error drawn anew each time."""

    def start() -> Answer:
        generator = np.random.default_rng(1)

        def answer(r: Request) -> Any:
            value = MODEL.answer(r)
            noise = 1 + size * np.finfo(np.float32).eps * generator.integers(-1, 2, size=value.shape)
            return (value.astype(np.float64) * noise).astype(value.dtype)

        return answer

    return start


def random_order() -> Answer:
    """Add up each row in an order drawn anew each time, as unordered atomic additions do."""
    generator = np.random.default_rng(2)

    def add(h: Any, k: Any) -> Any:
        order = generator.permutation(k.classes)
        return np.asarray(np.add.accumulate(h[:, order], axis=1)[:, -1])

    return replace(MODEL, add=add).answer


def occasionally_lost() -> Answer:
    """Lose one term at random in about one call in four, as an unguarded update does."""
    generator = np.random.default_rng(3)

    def add(h: Any, k: Any) -> Any:
        if h.size and generator.random() < 0.25:
            h[generator.integers(k.rows), generator.integers(k.classes)] = 0
        return MODEL.add(h, k)

    return replace(MODEL, add=add).answer


MUTATED = (
    stateful(
        "input-margin-subtracted",
        "The margin is subtracted from the input in place.",
        "PURITY-1",
        mutating("input", subtract_margin),
    ),
    stateful("input-clipped", "The hinge is taken in place of the input.", "PURITY-1", mutating("input", clip)),
    stateful("input-sorted", "The input's rows are sorted in place.", "PURITY-1", mutating("input", sort)),
    stateful(
        "input-shifted-and-restored",
        "The input is shifted by 1 and back, which loses small logits.",
        "PURITY-1",
        mutating("input", shift_and_restore),
    ),
    stateful(
        "input-overwritten-by-backward",
        "backward overwrites the input with zeros.",
        "PURITY-1",
        mutating("input", set_to(0), True),
    ),
    stateful(
        "input-holds-gradient",
        "backward writes the gradient into the input and returns that.",
        "PURITY-1",
        aliased_gradient,
    ),
    stateful("target-zeroed", "The target is overwritten with zeros.", "PURITY-1", mutating("target", set_to(0))),
    stateful(
        "target-advanced",
        "The target is incremented in place, as for 1-based indices.",
        "PURITY-1",
        mutating("target", advance, False),
    ),
    stateful(
        "target-changed-by-backward", "backward overwrites the target.", "PURITY-1", mutating("target", set_to(0), True)
    ),
    stateful(
        "weight-normalised", "The weight is divided by its sum in place.", "PURITY-1", mutating("weight", normalise)
    ),
    stateful(
        "weight-zeroed",
        "The weight is overwritten with zeros by the loss.",
        "PURITY-1",
        mutating("weight", set_to(0), False),
    ),
    stateful(
        "grad-output-scaled", "grad_output is multiplied in place.", "PURITY-1", mutating("grad_output", multiply, True)
    ),
    stateful(
        "grad-output-zeroed",
        "grad_output is overwritten with zeros.",
        "PURITY-1",
        mutating("grad_output", set_to(0), True),
    ),
)

REUSED = (
    stateful("result-buffer-reused", "Results of one shape share one buffer.", "PURITY-4", one_buffer),
    stateful("loss-buffer-reused", "Losses of one shape share one buffer.", "PURITY-4", lambda: one_buffer(False)),
    stateful(
        "gradient-buffer-reused", "Gradients of one shape share one buffer.", "PURITY-4", lambda: one_buffer(True)
    ),
    stateful("workspace-reused", "Results are views of one workspace.", "PURITY-4", one_workspace),
    stateful("ring-of-eight", "Losses of 256 rows and more take eight arrays in turn.", "PURITY-4", ring_of_buffers),
    stateful("result-zeroed-by-next-call", "A result is zeroed when the next call is made.", "PURITY-4", late_write),
)

VARYING = (
    stateful("varies-by-an-ulp", "Answers vary from call to call by an ULP of float32.", "PURITY-2", noisy(1)),
    stateful("varies-by-16-ulp", "Answers vary from call to call by up to 16 ULP of float32.", "PURITY-2", noisy(16)),
    stateful("varies-with-order", "Each call adds up in another order.", "PURITY-2", random_order),
    stateful("terms-lost-at-random", "One call in four loses a term.", "PURITY-2 VALUE-1", occasionally_lost),
)

FAULTS: tuple[Fault, ...] = MUTATED + REUSED + VARYING
