"""Known faults of careless keys and of what calls share: hashes, printed arrays, addresses, aliases, threads."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from multimargin_reference.known.catalogue import Answer, Fault, after, stateful
from multimargin_reference.known.faults_state import cached, content, options
from multimargin_reference.known.model import MODEL, Request

ARRAYS = ("input", "target", "weight", "grad_output")


def arrays(r: Request) -> tuple[Any, ...]:
    return tuple(None if (a := getattr(r, name)) is None else np.asarray(a) for name in ARRAYS)


def hashed(r: Request) -> Any:
    """Replace the options by their hash; Python gives -1 and -2 the same."""
    return (hash((r.p, r.margin, r.reduction)), content(*arrays(r)))


def printed(r: Request) -> Any:
    """Write the arrays as NumPy prints them, which leaves out the middle of long ones."""
    return (options(r), tuple(repr(a) for a in arrays(r)))


def ends(r: Request) -> Any:
    """Take 64 bytes from each end of each array."""
    return (options(r), tuple((b[:64], b[-64:]) for a in arrays(r) if a is not None for b in [a.tobytes()]))


def sampled(r: Request) -> Any:
    """Take every 16th element of each array."""
    return (options(r), tuple(a.reshape(-1)[::16].tobytes() for a in arrays(r) if a is not None))


def addresses(r: Request) -> Any:
    return (options(r), tuple(a.__array_interface__["data"][0] for a in arrays(r) if a is not None and a.ndim))


def by_values() -> Answer:
    """Answer from a cache by the arguments' values, whatever their dtype and shape."""
    answers: dict[Any, Any] = {}

    def answer(r: Request) -> Any:
        value = MODEL.answer(r)
        flat = tuple(None if a is None else tuple(a.astype(np.float64).reshape(-1).tolist()) for a in arrays(r))
        return answers.setdefault((r.backward, options(r), flat), value).copy()

    return answer


def input_when_equal(value: Any, r: Request) -> Any:
    """Return the input itself where the gradient equals it, as a copy that is saved."""
    x = r.input
    same = r.backward and isinstance(x, np.ndarray) and x.shape == value.shape and np.array_equal(x, value)
    return x if same else value


def shared_gradient() -> Answer:
    """Write every gradient into one array a shape before it is copied, so that threads return each other's."""
    buffers: dict[Any, Any] = {}

    def answer(r: Request) -> Any:
        value = MODEL.answer(r)
        if not r.backward:
            return value
        buffer = buffers.setdefault((value.shape, value.dtype.name), np.empty_like(value))
        buffer[...] = value
        time.sleep(2e-5)
        return buffer.copy()

    return answer


def shared_options() -> Answer:
    """Keep p, margin and reduction in the object between two steps, so that threads read each other's."""
    kept = SimpleNamespace(options={})

    def answer(r: Request) -> Any:
        kept.options = {"p": r.p, "margin": r.margin, "reduction": r.reduction}
        time.sleep(2e-5)
        return MODEL.answer(replace(r, **kept.options))

    return answer


def key(name: str, sentence: str, of: Callable[[Request], Any]) -> Fault:
    return stateful(name, sentence, "PURITY-3", cached(of))


KEYS = (
    key("cache-by-hash", "The cache's key is a hash of the options, which Python gives -1 and -2 alike.", hashed),
    key("cache-by-printed-arrays", "The cache's key is the arrays' printed form, without the middle.", printed),
    key("cache-by-ends", "The cache's key holds both ends of each array's memory.", ends),
    key("cache-by-sample", "The cache's key holds every 16th element of each array.", sampled),
    key("cache-by-address", "The cache's key holds the addresses of the arrays' memory.", addresses),
    stateful("cache-by-values", "The cache's key lacks the arrays' dtype and shape.", "PURITY-3", lambda: by_values()),
)

SHARED = (
    after(
        "gradient-is-input-when-equal",
        "A gradient that equals the input is returned as the input itself.",
        "PURITY-4",
        input_when_equal,
    ),
    stateful(
        "threads-share-gradient",
        "Gradients pass through one array a shape, so threads return each other's.",
        "PURITY-3",
        lambda: shared_gradient(),
    ),
    stateful(
        "threads-share-options",
        "The options pass through the object, so threads read each other's.",
        "PURITY-3",
        lambda: shared_options(),
    ),
)

FAULTS: tuple[Fault, ...] = KEYS + SHARED
