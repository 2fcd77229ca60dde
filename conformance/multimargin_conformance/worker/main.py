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
from collections.abc import Iterator

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


def _lines(requests: int) -> Iterator[bytes]:
    """Yield lines until the end; looks for more a while before it waits, since to be woken takes longer than a call."""
    unread = b""
    looked_since = time.perf_counter()
    while True:
        try:
            data = os.read(requests, CHUNK)
        except BlockingIOError:
            if time.perf_counter() - looked_since > SPIN_S:
                select.select([requests], [], [])
            continue
        if not data:
            return
        *lines, unread = (unread + data).split(b"\n") if b"\n" in data else (unread + data,)
        yield from lines
        looked_since = time.perf_counter()


def serve(server: Server, requests: int, answers: int) -> None:
    """Answer every line; a copy of this process that a backend forked off answers nothing."""
    owner, encode = os.getpid(), json.JSONEncoder(separators=(",", ":")).encode
    for line in _lines(requests):
        request = json.loads(line.decode())
        answer = server.answer(request)
        if os.getpid() != owner:
            os._exit(0)
        _write(answers, encode(answer).encode() + b"\n")
        if request.get("cmd") == "stop":
            return


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
