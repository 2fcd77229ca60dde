"""A backend in a process of its own, for the calls that can end a process; a new one is started after each death."""

from __future__ import annotations

import importlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from multimargin_conformance.outcome import (
    Concluded,
    Crashed,
    Malformed,
    Outcome,
    Raised,
    Returned,
    TimedOut,
    raised,
    returned,
)
from multimargin_reference.formats import DTYPES

START_S = 300.0  # importing a framework on a machine that is busy
CALL_S = 120.0  # a call may compile first
KINDS: dict[str, Callable[..., Outcome]] = {c.__name__: c for c in (Raised, Malformed, Crashed, TimedOut)}
LONGEST_REASON = 300  # characters of what a process last wrote that are kept


class Child:
    """A process that makes a backend and answers calls, one at a time; it is started by the first call.

    factory: module:attr of a callable that returns a backend. arguments: its arguments, strings.
    """

    def __init__(self, factory: str, *arguments: str, start_s: float = START_S, call_s: float = CALL_S) -> None:
        self.command = [sys.executable, "-m", __name__, factory, *arguments]
        self.start_s, self.call_s = start_s, call_s
        self._lock = threading.Lock()
        self._running: _Process | None = None

    def call(self, method: str, arrays: Mapping[str, NDArray[Any] | None], options: Mapping[str, Any]) -> Any:
        """Return what the backend's method returned there.

        Raises Concluded where it returned nothing: with Raised or Malformed, with Crashed where the process ended or
        did not start, with TimedOut where it did not answer in time.
        """
        request = {"method": method, "arrays": {k: _encoded(a) for k, a in arrays.items()}, "options": dict(options)}
        with self._lock:
            answer = self._answer(request)
        kind, content = answer["kind"], answer["content"]
        if kind == "Returned":
            return _decoded(content)
        raise Concluded(KINDS[kind](**content))

    def close(self) -> None:
        """End the process, if there is one."""
        with self._lock:
            self._end()

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            self._running = self._running or _Process(self.command, self.start_s)
            return self._running.ask(request, self.call_s)
        except TimeoutError:
            self._end()
            raise Concluded(TimedOut(self.call_s)) from None
        except EOFError as death:
            reason = self._running.last_words() if self._running else str(death)
            self._end()
            raise Concluded(Crashed(reason)) from None

    def _end(self) -> None:
        if self._running is not None:
            self._running.end()
        self._running = None


class _Process:
    """A started child; the pipes and the thread that reads them."""

    def __init__(self, command: list[str], start_s: float) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed by _end)
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, env=environment
        )
        self.end = weakref.finalize(self, _end, self._process, self._errors)
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=_read, args=(self._process.stdout, self._lines), daemon=True).start()
        try:
            self._line(start_s)
        except (TimeoutError, EOFError) as error:
            reason = self.last_words() if isinstance(error, EOFError) else f"no answer in {start_s:g} s"
            self.end()
            raise EOFError(f"the process for calls that can end one did not start: {reason}") from None

    def ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Return the answer to a request. Raises EOFError where the process died, TimeoutError after `seconds`."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request, default=np.generic.item).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            raise EOFError from None
        answer: dict[str, Any] = json.loads(self._line(seconds))
        return answer

    def last_words(self) -> str:
        """Return how the process ended and the last line that it wrote."""
        status = self._process.wait()
        how = f"ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return f"{how}: {last[:LONGEST_REASON]}" if last else how

    def _line(self, seconds: float) -> bytes:
        try:
            line = self._lines.get(timeout=seconds)
        except queue.Empty:
            raise TimeoutError from None
        if not line:
            raise EOFError
        return line


def _read(stream: IO[bytes], lines: queue.SimpleQueue[bytes]) -> None:
    """Pass lines on, and an empty one at the end."""
    for line in stream:
        lines.put(line)
    lines.put(b"")


def _end(process: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
    process.kill()
    process.wait()
    assert process.stdin is not None
    assert process.stdout is not None
    for stream in (process.stdin, process.stdout, errors):
        try:
            stream.close()
        except OSError:  # what is left in the buffer cannot be written any more
            continue


def _encoded(array: NDArray[Any] | None) -> dict[str, Any] | None:
    """Return an array as dtype, shape and the bytes in C order; strides do not travel."""
    if array is None:
        return None
    return {"dtype": array.dtype.name, "shape": array.shape, "hex": array.tobytes().hex()}


def _decoded(text: Mapping[str, Any] | None) -> NDArray[Any] | None:
    if text is None:
        return None
    dtype = DTYPES.get(text["dtype"]) or np.dtype(text["dtype"])  # np.dtype knows no bfloat16
    return np.frombuffer(bytes.fromhex(text["hex"]), dtype).reshape(text["shape"]).copy()


def _answered(backend: Any, request: Mapping[str, Any]) -> dict[str, Any]:
    """Make one call and return its outcome."""
    arrays = {name: _decoded(text) for name, text in request["arrays"].items()}
    weight = arrays.pop("weight", None)
    outcome: Outcome
    try:
        outcome = returned(getattr(backend, request["method"])(*arrays.values(), weight=weight, **request["options"]))
    except Concluded as concluded:
        outcome = concluded.outcome
    except Exception as error:
        outcome = raised(error)
    content = _encoded(outcome.value) if isinstance(outcome, Returned) else asdict(outcome)
    return {"kind": type(outcome).__name__, "content": content}


def main(factory: str, *arguments: str) -> None:
    """Answer requests from stdin until it ends; what a framework prints goes to stderr."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    module, _, attr = factory.partition(":")
    backend = getattr(importlib.import_module(module), attr)(*arguments)
    answers.write(b"ready\n")
    answers.flush()
    for line in sys.stdin.buffer:
        answers.write(json.dumps(_answered(backend, json.loads(line))).encode() + b"\n")
        answers.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
