"""What a backend did with one call, as the part of an answer that says so."""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from .loading import text_of
from .places import place_of


class Outcome:
    """The answer to a call but for the result, and the memory that was returned (None where nothing was)."""

    def __init__(self, fields: dict[str, Any], value: Any = None) -> None:
        self.fields, self.value = fields, value


def options(request: dict[str, Any]) -> dict[str, Any]:
    """Return p, margin (from the bits of a float64) and reduction; p too may be the bits of one: NaN or infinite."""
    p = request["p"]
    p = _number(p["float64"]) if isinstance(p, dict) else p
    return {"p": p, "margin": _number(request["margin"]), "reduction": request["reduction"]}


def _number(bits: str) -> float:
    (value,) = struct.unpack("<d", bytes.fromhex(bits))
    return float(value)


def call(function: Callable[..., Any], arrays: dict[str, Any], given: dict[str, Any]) -> Outcome:
    """Call the backend; whatever it raises is an answer."""
    arrays = dict(arrays)
    weight = arrays.pop("weight")  # the only array that is passed by name, as in the published signature
    try:
        value = function(*arrays.values(), weight=weight, **given)
    except Exception as error:
        return Outcome(_concluded(error) or _rejected(error))
    except BaseException as error:  # SystemExit, or a panic of an extension: would have ended a process
        return _failed("crashed", type(error).__name__ + ": " + text_of(error))
    answer = _returned(value)
    given_arrays = {**arrays, "weight": weight}
    for name, array in given_arrays.items() if answer.value is not None and answer.value.size else ():
        if array is not None and np.may_share_memory(answer.value, array):
            return _failed("malformed", f"a view of {name}'s memory, but should be memory of its own")
    return answer


def _returned(value: Any) -> Outcome:
    if issubclass(type(value), np.ndarray):  # not isinstance: an object can lie about its class
        plain = np.ndarray.view(value, np.ndarray)  # the same memory, without a subclass's own methods
        if plain.dtype.kind not in "fV" or plain.dtype.names:
            return _failed("malformed", f"an array of dtype {plain.dtype}")
        return Outcome({"status": "returned"}, plain)
    if issubclass(type(value), np.generic):
        return _returned(np.asarray(value))
    kind = type(value)
    return _failed("malformed", f"{kind.__module__}.{kind.__qualname__}, but should be a NumPy array or scalar")


def _failed(kind: str, reason: str) -> Outcome:
    return Outcome({"status": "failed", "kind": kind, "reason": reason})


def _concluded(error: BaseException) -> dict[str, Any] | None:
    """Return what an adapter of multimargin knows of a call's outcome; None for any other error."""
    kinds = getattr(sys.modules.get("multimargin_conformance.outcome"), "Concluded", ())
    if not isinstance(error, kinds):
        return None
    known = error.outcome
    name = type(known).__name__
    if name == "Raised":
        return {"status": "rejected", "type": known.type, "message": known.message, "where": known.where}
    reason = known.reason if name != "TimedOut" else f"no answer in {known.seconds:g} s"
    return {"status": "failed", "kind": "malformed" if name == "Malformed" else "crashed", "reason": reason}


def _rejected(error: BaseException) -> dict[str, Any]:
    fields = {"status": "rejected", "type": type(error).__name__, "message": text_of(error)}
    where = place_of(error)
    return {**fields, "where": where} if where else fields
