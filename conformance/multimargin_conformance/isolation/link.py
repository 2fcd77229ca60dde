"""One process and the requests that it has not answered yet."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from multimargin_conformance.isolation.forks import Forks
from multimargin_conformance.isolation.process import Ended, Late, Process, TooLong
from multimargin_conformance.isolation.validate import violation
from multimargin_conformance.isolation.wire import Broken, bytes_behind, parsed
from multimargin_conformance.outcome import LONGEST_MESSAGE

REMEMBERED = 256  # answered requests that a second answer is recognised for


@dataclass(eq=False)
class Request:
    """One request: its text without the head, what it is for, and the answer once it is there.

    place: of the item that it belongs to, -1 for none. key: the item's clause and dtype. tag: what the call was made
    from. keep: the result is held. raw: the bytes behind the line. answer: the fields, or the outcome that it is
    charged with.
    """

    cmd: str
    body: str
    place: int = -1
    key: tuple[str, str] = ("", "")
    tag: Any = None
    digests: dict[str, str] = field(default_factory=dict)
    keep: bool = False
    raw: bytes = b""
    answer: Any = None
    id: int = -1


class Trouble(Exception):  # noqa: N818 (named for what it is)
    """What ended a process's usefulness: "crashed", "late" or "malformed", why, and after how many seconds."""

    def __init__(self, kind: str, reason: str, stderr: str, seconds: float = 0.0) -> None:
        super().__init__(reason)
        self.kind, self.reason, self.stderr, self.seconds = kind, reason, stderr, seconds


class Link:
    """Requests out, answers in, in the order of the requests."""

    def __init__(self, command: Sequence[str], first_id: int, validate: bool, forks: Forks | None = None) -> None:
        """Start the process, or have it forked. Raises OSError."""
        self.process = Process(command if forks is None else forks.fork())
        self.next_id, self.validate = first_id, validate
        self.waiting: deque[Request] = deque()
        self.twice: list[Request] = []
        self._done: deque[Request] = deque(maxlen=REMEMBERED)
        self._since = time.monotonic()
        self._lines = 0

    def send(self, request: Request) -> None:
        """Queue a request. Raises AssertionError where it is validated and not as published."""
        request.id, self.next_id = self.next_id, self.next_id + 1
        body = f",{request.body}" if request.body else ""
        line = f'{{"id":{request.id},"cmd":"{request.cmd}"{body}}}'
        if self.validate and (wrong := violation(json.loads(line))):
            raise AssertionError(f"the suite's request {request.id} is not as published: {wrong}")
        if not self.waiting:
            self._since = time.monotonic()
        self.waiting.append(request)
        self.process.queue(line.encode() + b"\n" + request.raw)

    def receive(self, timeout: float) -> None:
        """Wait for the answer to the earliest request that waits for one. Raises Trouble."""
        deadline = self._since + timeout
        while True:
            try:
                line = self.process.line(deadline)
                self._lines += 1
                answer = parsed(line)
                count = bytes_behind(answer, bool(self.waiting and self.waiting[0].raw))
                raw = self.process.take(count, deadline) if count else b""
                if answer["id"] == 0 and answer["status"] == "error" and self.waiting[0].id != 0:
                    raise Broken(f"a line that it could not read ({str(answer.get('reason'))[:LONGEST_MESSAGE]})")
                if self._is_second(answer["id"]):
                    continue
                self._take(answer, raw)
                return
            except Ended:
                raise Trouble("crashed", self.process.reason(), self.process.stderr) from None
            except Late:
                self.process.kill()
                raise Trouble("late", f"no answer in {timeout:g} s", self.process.stderr, timeout) from None
            except (TooLong, Broken) as error:
                self.process.kill()
                raise Trouble("malformed", str(error) or "a line of more than 8 MiB", self.process.stderr) from None

    def _take(self, answer: dict[str, Any], raw: bytes) -> None:
        request = self.waiting[0]
        if answer["id"] != request.id:
            raise Broken(f"an answer with id {str(answer['id'])[:30]}, but should be {request.id}")
        if self.validate and (wrong := violation(answer)):
            raise Broken(f"line {self._lines} of the adapter, which is not as published: {wrong}")
        if raw:
            _put(answer, raw)
        self.waiting.popleft()
        request.answer = answer
        self._done.append(request)
        self._since = time.monotonic()

    def _is_second(self, number: int) -> bool:
        """Return whether an answer is for a request that has one; note that request."""
        if self.waiting and number >= self.waiting[0].id:
            return False
        for request in self._done:
            if request.id == number:
                if request not in self.twice:
                    self.twice.append(request)
                return True
        return False

    def forget(self) -> None:
        """Let no request that was sent belong to an item any more."""
        self.twice.clear()
        for request in (*self.waiting, *self._done):
            request.place = -1

    def kill(self) -> None:
        """End the process."""
        self.process.kill()


def _put(answer: dict[str, Any], raw: bytes) -> None:
    """Give the result the bytes that came behind its line."""
    result = answer.get("result")
    if type(result) is not dict or "hex" in result:
        raise Broken("bytes behind an answer whose result has its elements, or that has no result")
    result["raw"] = raw
