"""Threads that begin together, or take turns at each operation of Python code, so that whatever they share shows.

Left alone, a thread runs for thousands of operations before another has its turn, and a buffer that all of them use is
mostly read again in time.
"""

from __future__ import annotations

import dis
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, cached_property
from pathlib import Path
from random import Random
from types import CodeType, FrameType
from typing import Any

MOST = 4000  # operations of a thread; after them it runs on: what compiles something first would take minutes
EVEN = 1000  # operations of all that take turns one after another; from then on it is by chance whose turn it is
PATIENCE_S = 0.1  # for a turn: who has it may wait for a lock that another one holds, and then all run on
LATE_S = 1.0  # for the others to begin: once one of them is later, all go on alone
SWITCH_INTERVAL_S = 1e-6  # between threads of one interpreter that do not take turns: short, so that calls interleave
ALONE = (  # operations, by how their names begin: of the thread's own names, constants, stack and place
    "LOAD_FAST",
    "STORE_FAST",
    "LOAD_CONST",
    "LOAD_SMALL_INT",
    "PUSH_NULL",
    "COPY",
    "SWAP",
    "RESUME",
    "NOP",
    "PRECALL",
    "KW_NAMES",
    "JUMP_FORWARD",
    "JUMP_BACKWARD",
    "POP_JUMP",
    "POP_TOP",
    "RETURN",
    "BUILD_TUPLE",
    "BUILD_SLICE",
    "UNPACK_SEQUENCE",
    "IS_OP",
    "MAKE_FUNCTION",
    "LOAD_CLOSURE",
)
# of functools, where all instances share a lock: threads in step would wait for it
LOCKING = getattr(cached_property.__get__, "__code__", None) if hasattr(cached_property(len), "lock") else None
OWN = str(Path(__file__).resolve().parents[1]) + os.sep  # the suite's own code is left alone


@cache
def _alone(code: CodeType) -> frozenset[int]:
    """Return where code does what no other thread can see, such as to move a name's value to the stack.

    When that is done, before another thread's operations or after them, makes no difference to any.
    """
    return frozenset(i.offset for i in dis.get_instructions(code) if i.opname.startswith(ALONE))


@contextmanager
def switching(often: bool) -> Iterator[None]:
    """Switch often between threads from now on, or once they take no turns any more; as before at the end."""
    before = sys.getswitchinterval()
    if often:
        sys.setswitchinterval(SWITCH_INTERVAL_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


@contextmanager
def _on_one_processor() -> Iterator[None]:
    """Keep this thread, and those that its code starts, on one processor where the system lets it.

    Of threads that take turns one runs at a time: to wake one on another processor takes ten times as long.
    """
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    allowed = os.sched_getaffinity(0)
    with suppress(OSError):
        os.sched_setaffinity(0, {sorted(allowed)[os.getpid() % len(allowed)]})
    try:
        yield
    finally:
        with suppress(OSError):
            os.sched_setaffinity(0, allowed)


class Together:
    """So many threads that begin every other call at once, for as long as none keeps the rest waiting."""

    def __init__(self, threads: int) -> None:
        self._barrier = threading.Barrier(threads)

    def begin(self, step: int) -> None:
        """Wait for the other threads before an even step."""
        if step % 2 == 0:
            with suppress(threading.BrokenBarrierError):
                self._barrier.wait(LATE_S)


class Turns:
    """So many threads, of which one runs at a time, for one operation.

    At first all are at the same place of the same code, later as far apart as chance has it, the same chance each time.
    """

    def __init__(self, threads: int) -> None:
        self._random = Random(threads)
        self._turns = 0
        self._lock = threading.Lock()
        self._waiting: deque[threading.Lock] = deque()
        self._running = threads
        self._free = False

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Take turns with the other threads before each operation of the functions that this one calls."""
        left = MOST
        whole: FrameType | None = None  # that is one operation, with all that it calls

        def trace(frame: FrameType, event: str, _argument: Any) -> Callable[..., Any] | None:
            nonlocal left, whole
            if whole is not None:
                whole = None if frame is whole and event == "return" else whole
                return trace if frame is whole else None
            if frame.f_code.co_filename.startswith(OWN):
                return None
            if frame.f_code is LOCKING:
                whole = frame
                frame.f_trace_lines = False
                return trace
            left -= 1
            if left < 0 or self._free:
                sys.settrace(None)
                return None
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
            if event == "opcode" and frame.f_lasti not in _alone(frame.f_code):
                self._wait()
            return trace

        before = sys.gettrace()
        with _on_one_processor():
            self._wait()  # for all to be there
            sys.settrace(trace)
            try:
                yield
            finally:
                sys.settrace(before)
                self._leave()

    def _wait(self) -> None:
        """Let the others have their turns."""
        mine = threading.Lock()
        mine.acquire()
        with self._lock:
            if self._free:
                return
            self._waiting.append(mine)
            self._running -= 1
            self._next()
        if not mine.acquire(timeout=PATIENCE_S):
            self._end()

    def _next(self) -> None:
        """Let the thread run that has waited longest, or later any that waits, once none does."""
        if self._running <= 0 and self._waiting:
            self._running += 1
            self._turns += 1
            if self._turns > EVEN:
                self._waiting.rotate(self._random.randrange(len(self._waiting)))
            self._waiting.popleft().release()

    def _leave(self) -> None:
        with self._lock:
            self._running -= 1
            self._next()

    def _end(self) -> None:
        """Let all threads run on."""
        sys.setswitchinterval(SWITCH_INTERVAL_S)  # until `switching` ends
        with self._lock:
            self._free = True
            while self._waiting:
                self._waiting.popleft().release()
