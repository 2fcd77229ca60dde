"""The loop: one request a line on stdin, one answer a line on what was stdout when the worker began."""

from __future__ import annotations

import argparse
import faulthandler
import json
import os
import select
import sys
import time
import warnings

import numpy as np

from .forking import fork_for_each
from .limits import limit
from .server import Server

CHUNK = 1 << 20  # bytes of one read
SPIN_S = 0.0002  # of looking again before waiting


def main(words: list[str]) -> None:
    """Serve the backend that the command line names until `stop` or the end of stdin."""
    parser = argparse.ArgumentParser(prog="worker")
    parser.add_argument("backend")
    parser.add_argument("--child", action="store_true", help="end when the process that started this one does")
    parser.add_argument("--memory", type=int, default=0, help="bytes, 0 for no limit")
    parser.add_argument("--path", action="append", default=[], help="append to the module search path")
    parser.add_argument("--forks", type=int, default=-1, help="a socket: serve in a copy of this process a request")
    given = parser.parse_args(words)
    limit(given.child, given.memory)
    sys.path.extend(given.path)
    if given.forks >= 0:
        fork_for_each(given.forks, given.backend)
        limit(given.child, 0)
    requests, answers = _own_descriptors()
    faulthandler.enable(all_threads=False)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # a backend's own warnings are no verdict
        serve(Server(given.backend), requests, answers)
    os._exit(0)  # what a backend registered to run at the end is no part of the run


def _own_descriptors() -> tuple[int, int]:
    """Move the pipes away from descriptors 0 and 1: a backend may print, in C too, and must not read requests."""
    requests, answers = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    os.set_blocking(requests, False)
    return requests, answers


class Reader:
    """Lines, and the bytes behind them; it looks for more a while before it waits, for to be woken takes long."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor, self._unread, self._scanned = descriptor, bytearray(), 0

    def line(self) -> bytes:
        """Return the next line with its end, less where the input ends."""
        while (end := self._unread.find(b"\n", self._scanned)) < 0:
            self._scanned = len(self._unread)
            if not self._more():
                return b""
        self._scanned = 0
        return self.bytes(end + 1)

    def bytes(self, count: int) -> bytes:
        """Return the next bytes, so many, fewer where the input ends."""
        while len(self._unread) < count and self._more():
            pass
        found = bytes(self._unread[:count])
        del self._unread[:count]
        return found

    def _more(self) -> bool:
        looked_since = time.perf_counter()
        while True:
            try:
                data = os.read(self._descriptor, CHUNK)
                self._unread += data
                return bool(data)
            except BlockingIOError:
                if time.perf_counter() - looked_since > SPIN_S:
                    select.select([self._descriptor], [], [])


def serve(server: Server, requests: int, answers: int) -> None:
    """Answer every line; a copy of this process that a backend forked off answers nothing."""
    owner, encode = os.getpid(), json.JSONEncoder(separators=(",", ":")).encode
    reader = Reader(requests)
    while line := reader.line():
        request = json.loads(line.decode())
        if "raw" in request:
            request["raw"] = reader.bytes(request["raw"])
        answer = server.answer(request)
        if os.getpid() != owner:
            os._exit(0)
        _write(answers, encode(answer).encode() + b"\n" + server.behind)
        if request.get("cmd") == "stop":
            return


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
