"""What a backend did with one call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multimargin_conformance.worker.places import place_of

LONGEST_MESSAGE = 500  # characters of an error's text that are kept


@dataclass(frozen=True, eq=False)
class Returned:
    """A result; `value` is the very memory that was returned, so that later changes to it can be seen.

    owner: what was returned: memory may be used again once nobody holds that.
    """

    value: NDArray[Any]
    owner: Any = field(default=None, repr=False)


@dataclass(frozen=True)
class Raised:
    """An error, which rejects the call."""

    type: str
    message: str
    where: str = ""


VIEW = "a view of "  # how the reason begins where a result is in an argument's memory (PURITY-4)


@dataclass(frozen=True)
class Malformed:
    """Something that is no result: not an array or NumPy scalar, or in the memory of an argument."""

    reason: str


@dataclass(frozen=True)
class Crashed:
    """The end of the process, or the attempt to end it. stderr: the last that it wrote there, where it is known."""

    reason: str
    stderr: str = ""


@dataclass(frozen=True)
class TimedOut:
    """No answer in time. stderr: the last that the process wrote there, where it is known."""

    seconds: float
    stderr: str = ""


@dataclass(frozen=True)
class Unsupported:
    """A call that the backend declared not to support."""

    reason: str


Outcome = Returned | Raised | Malformed | Crashed | TimedOut | Unsupported


class Concluded(Exception):  # noqa: N818 (no error of the implementation's own, so never a rejection)
    """What an adapter raises when it knows a call's outcome otherwise, such as from a process of its own."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome)
        self.outcome = outcome


@dataclass(frozen=True)
class Observation:
    """An outcome and the names of the arguments that the call changed. held: how a worker calls the result."""

    outcome: Outcome
    changed: tuple[str, ...] = field(default=())
    held: int | None = None


def observe(
    function: Callable[..., Any], arrays: dict[str, NDArray[Any] | None], options: dict[str, Any]
) -> Observation:
    """Call a backend in this process and look at its answer and at the arguments afterwards.

    Raises KeyboardInterrupt alone; everything else that the backend does is an outcome.
    """
    before = [_state(a) for a in arrays.values()]
    outcome = _call(function, arrays, options)
    if isinstance(outcome, Returned) and (name := shared(outcome.value, arrays)):
        outcome = Malformed(f"{VIEW}{name}'s memory, but should be memory of its own")
    after = [_state(a) for a in arrays.values()]
    if after == before:
        return Observation(outcome)
    return Observation(
        outcome, tuple(name for name, *states in zip(arrays, before, after, strict=True) if states[0] != states[1])
    )


def _call(function: Callable[..., Any], arrays: dict[str, NDArray[Any] | None], options: dict[str, Any]) -> Outcome:
    def call() -> Any:
        given = dict(arrays)
        weight = given.pop("weight")  # the only array that is passed by name, as in the published signature
        return function(*given.values(), weight=weight, **options)

    return attempt(call)


def attempt(call: Callable[[], Any]) -> Outcome:
    """Make a call; everything that it does is an outcome. Raises KeyboardInterrupt alone.

    NumPy's settings for floating-point errors, all of them ignored, are the call's own: it may leave others behind.
    """
    try:
        with np.errstate(all="ignore"):
            value = call()
    except KeyboardInterrupt:
        raise
    except Concluded as concluded:
        return concluded.outcome
    except Exception as error:
        return raised(error)
    except BaseException as error:  # SystemExit, or a panic of an extension: would have ended a process
        return Crashed(f"{type(error).__name__}: {text_of(error)}")
    return returned(value)


def shared(value: NDArray[Any], arrays: dict[str, NDArray[Any] | None]) -> str:
    """Return the argument whose memory a result is in, "" for none: a change to it would change the result."""
    if not value.size:
        return ""
    return next((name for name, a in arrays.items() if a is not None and np.may_share_memory(value, a)), "")


def returned(value: Any) -> Outcome:
    """Return what a backend's return value amounts to."""
    if issubclass(type(value), np.ndarray):  # not isinstance: an object can lie about its class
        plain = np.ndarray.view(value, np.ndarray)  # the same memory, without a subclass's own methods
        return Returned(plain, value) if plain.dtype.kind in "fV" else Malformed(f"an array of dtype {plain.dtype}")
    if issubclass(type(value), np.generic):
        return Returned(np.asarray(value))
    return Malformed(f"{type(value).__module__}.{type(value).__qualname__}, but should be a NumPy array or scalar")


def raised(error: BaseException) -> Raised:
    """Return an error as an outcome, with the place it came from."""
    return Raised(type(error).__name__, text_of(error), place_of(error))


def text_of(error: BaseException) -> str:
    """Return an error's text, shortened; a backend's own exception class may fail to print in any way."""
    try:
        return str(error)[:LONGEST_MESSAGE]
    except BaseException:
        return "(the error's text could not be read)"


def _state(array: NDArray[Any] | None) -> Any:
    """Return everything about an array that a call could change for its owner."""
    return None if array is None else (array.dtype, array.shape, array.flags.writeable, array.tobytes())
