"""What a backend answered, written down call by call, so that a run can be judged again without the backend."""

from __future__ import annotations

import base64
import hashlib
import math
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from multimargin_conformance.backend import Subject
from multimargin_conformance.calling import Arrays, Call, Caller
from multimargin_conformance.checks.item import Scope
from multimargin_conformance.isolation.wire import RESULT_DTYPES
from multimargin_conformance.outcome import (
    Crashed,
    Malformed,
    Observation,
    Outcome,
    Raised,
    Returned,
    TimedOut,
    Unsupported,
)
from multimargin_conformance.session import Result, Settled
from multimargin_conformance.verdicts import backend_data
from multimargin_reference.formats import dtype_name
from multimargin_reports import Verdict
from multimargin_reports.logfile import LogWriter

SHORT = 64  # bytes of a result that are written as hexadecimal digits
LEVEL = 1  # of compression: results are written while the backend waits
LARGEST = 1 << 30  # bytes of one result
KINDS: dict[str, type[Any]] = {
    "raised": Raised,
    "malformed": Malformed,
    "crashed": Crashed,
    "timed-out": TimedOut,
    "unsupported": Unsupported,
}
FIELDS = {"reason": "message", "stderr": "where", "type": "type", "message": "message", "where": "where"}
Event = dict[str, Any]
T = TypeVar("T")


class Unrecorded(ValueError):  # noqa: N818 (named for what was looked for)
    """A call that a log does not have at this place, or not in this form."""


class Writing:
    """Observations as JSON data; bytes that were written before are not written again."""

    def __init__(self) -> None:
        self._known: dict[bytes, int] = {}

    def answer(self, seen: Observation) -> dict[str, Any]:
        """Return one answer."""
        outcome = seen.outcome
        changed = {"changed": list(seen.changed)} if seen.changed else {}
        if isinstance(outcome, Returned):
            return {"kind": "returned", **self._array(outcome.value), **changed}
        kind = next(name for name, form in KINDS.items() if isinstance(outcome, form))
        return {"kind": kind, **{FIELDS.get(name, name): value for name, value in asdict(outcome).items()}, **changed}

    def _array(self, array: NDArray[Any]) -> dict[str, Any]:
        name = array.dtype.str if array.dtype.byteorder == ">" else dtype_name(array.dtype)
        data: dict[str, Any] = {"dtype": name, "shape": list(array.shape)}
        if name not in RESULT_DTYPES:
            return data  # no dtype that could be right: nothing looks at its values
        raw = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
        if len(raw) <= SHORT:
            return {**data, "hex": raw.hex()}
        digest = hashlib.sha256(raw).digest()
        if digest in self._known:
            return {**data, "same": self._known[digest]}
        self._known[digest] = len(self._known)
        return {**data, "zlib": base64.b64encode(zlib.compress(raw, LEVEL)).decode()}


class Reading:
    """Observations from JSON data, in the order in which they were written."""

    def __init__(self) -> None:
        self._known: list[bytes] = []

    def answer(self, data: Any) -> Observation:
        """Return one answer. Raises Unrecorded where the data is none."""
        if type(data) is not dict:
            raise Unrecorded("an answer that is no object")
        changed = data.get("changed", [])
        if type(changed) is not list or not all(type(name) is str for name in changed):
            raise Unrecorded("an answer whose changed arguments are no list of names")
        return Observation(self._outcome(data), tuple(changed))

    def _outcome(self, data: Mapping[str, Any]) -> Outcome:
        if data.get("kind") == "returned":
            return self._returned(data)
        form = KINDS.get(str(data.get("kind")))
        if form is None:
            raise Unrecorded(f"an answer of kind {str(data.get('kind'))[:60]!r}")
        given = {name: data[FIELDS.get(name, name)] for name in form.__annotations__ if FIELDS.get(name, name) in data}
        if not all(type(value) in (str, float, int) for value in given.values()):
            raise Unrecorded(f"an answer of kind {data['kind']!r} whose fields are neither text nor numbers")
        try:
            outcome: Outcome = form(**given)
        except TypeError as error:
            raise Unrecorded(f"an answer of kind {data['kind']!r} without its fields") from error
        return outcome

    def _returned(self, data: Mapping[str, Any]) -> Outcome:
        name, shape = data.get("dtype"), data.get("shape")
        if type(name) is not str or type(shape) is not list or any(type(n) is not int or n < 0 for n in shape):
            raise Unrecorded("a result without dtype and shape")
        if name not in RESULT_DTYPES:
            return Malformed(f"an array of dtype {name[:60]}")
        dtype = RESULT_DTYPES[name]
        size = math.prod(shape) * dtype.itemsize
        raw = self._bytes(data, size)
        if len(raw) != size:
            raise Unrecorded(f"a result of {len(raw)} bytes, but shape {shape} of {name} has {size}")
        return Returned(np.frombuffer(raw, dtype=dtype.newbyteorder("<")).astype(dtype).reshape(shape))

    def _bytes(self, data: Mapping[str, Any], size: int) -> bytes:
        if "zlib" not in data:
            return self._short_or_known(data)
        self._known.append(b"")  # it has its number, whatever becomes of it
        if size > LARGEST:
            raise Unrecorded(f"a result of {size} bytes, but at most {LARGEST} are read")
        try:
            packed = base64.b64decode(data["zlib"], validate=True)
            self._known[-1] = zlib.decompressobj().decompress(packed, size + 1)
        except (TypeError, ValueError, zlib.error) as error:
            raise Unrecorded(f"a result whose bytes cannot be read: {type(error).__name__}: {error}") from error
        return self._known[-1]

    def _short_or_known(self, data: Mapping[str, Any]) -> bytes:
        try:
            return self._known[data["same"]] if "same" in data else bytes.fromhex(data["hex"])
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise Unrecorded(f"a result whose bytes cannot be read: {type(error).__name__}: {error}") from error


def call_name(call: Call) -> str:
    """Return what tells calls apart in a log: l or g, for loss or gradient, and the case's id."""
    return f"{call.part[0]} {call.case.id}"


class Recorder:
    """A caller that writes down what another one sees."""

    def __init__(self, inner: Caller) -> None:
        self.inner = inner
        self._writing = Writing()
        self._events: list[Event] = []

    @property
    def features(self) -> frozenset[str]:
        """What can be observed beyond results."""
        return self.inner.features

    def taken(self) -> list[Event]:
        """Return what was written down since the last time."""
        events, self._events = self._events, []
        return events

    def call(self, call: Call) -> Observation:
        """Make one call."""
        try:
            seen = self.inner.call(call)
        except Settled as settled:
            self._settled(settled.result)
            raise
        self._events.append({"event": "call", "call": call_name(call), "answer": self._writing.answer(seen)})
        return seen

    def reject(self, valid: Call | None, call: Call) -> Observation:
        """Make both calls; the second one is written down."""
        try:
            seen = self.inner.reject(valid, call)
        except Settled as settled:
            self._settled(settled.result)
            raise
        self._events.append({"event": "reject", "call": call_name(call), "answer": self._writing.answer(seen)})
        return seen

    def reject_further(self, valid: Call, call: Call) -> Observation | None:
        """Make both calls where the process is fit for them; the second is written down, or that it was not made."""
        try:
            seen = self.inner.reject_further(valid, call)
        except Settled as settled:
            self._settled(settled.result)
            raise
        answer = {} if seen is None else {"answer": self._writing.answer(seen)}
        self._events.append({"event": "reject", "call": call_name(call), **answer})
        return seen

    def now(self, observation: Observation) -> Observation:
        """Look at a result again."""
        seen = self.inner.now(observation)
        self._events.append({"event": "now", "answer": self._writing.answer(seen)})
        return seen

    def threads(self, calls: Sequence[Call], threads: int, rounds: int) -> list[list[Observation]]:
        """Make calls from several threads."""
        try:
            seen = self.inner.threads(calls, threads, rounds)
        except Settled as settled:
            self._settled(settled.result)
            raise
        answers = [[self._writing.answer(one) for one in some] for some in seen]
        self._events.append({"event": "threads", "answers": answers})
        return seen

    def fill(self, observation: Observation, value: float) -> None:
        """Overwrite a result."""
        self.inner.fill(observation, value)

    def write(self, arrays: Arrays) -> None:
        """Let what was written into arrays reach the backend."""
        self.inner.write(arrays)

    def ahead(self, items: Sequence[T]) -> Iterable[T]:
        """Yield the items as the other caller does."""
        return self.inner.ahead(items)

    def settle(self, result: Result) -> Result:
        """Return the item's result; one that its process decided is written down."""
        settled = self.inner.settle(result)
        if settled is not result:
            self._settled(settled)
        return settled

    def late(self) -> Mapping[int, Result]:
        """Return what became known at the end."""
        return self.inner.late()

    def close(self) -> None:
        """Close the other caller."""
        self.inner.close()

    def _settled(self, result: Result) -> None:
        message = result.finding.message if result.finding else result.reason
        self._events.append({"event": "settled", "status": result.status, "message": message})


def log_head(under_test: Subject, scope: Scope, features: frozenset[str]) -> dict[str, Any]:
    """Return what a log says before the run: what `rejudging` plans the same checks from."""
    checked = {"dtypes": list(scope.dtypes), "gradient": scope.gradient, "operator": scope.operator}
    return {
        "backend": backend_data(under_test),
        "scope": {**checked, **asdict(scope.generated)},
        "features": sorted(features),
    }


def noted(writer: LogWriter | None, recorder: Recorder | None) -> Callable[[Verdict], None]:
    """Return what is done with each verdict as soon as it is there: written down, where there is a log."""
    if writer is None or recorder is None:
        return lambda _: None
    return lambda verdict: writer.check(verdict, recorder.taken())
