"""A child process with lines in and out: deadlines, bounded memory, the end of its stderr, and no orphans."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Sequence

from multimargin_conformance.calling import LONGEST_LINE
from multimargin_conformance.isolation.forks import Forked

STDERR_KEPT = 8192  # bytes
CHUNK = 1 << 18
PIPE = 1 << 20  # bytes that a pipe is to hold, where the system can be asked
SPIN_S = 0.0002  # of looking again before waiting
TICK_S = 0.05  # between looks at a process that no descriptor stands for
LEAVE_S = 2.0  # for a process that was asked to end, or closed its stdout


class Ended(Exception):  # noqa: N818 (named for what happened)
    """The process ended, or closed its stdout."""


class Late(Exception):  # noqa: N818
    """The deadline passed."""


class TooLong(Exception):  # noqa: N818
    """A line without an end."""


class Process:
    """A command in a session and process group of its own, or a process that was forked into a group of its own."""

    def __init__(self, command: Sequence[str] | Forked) -> None:
        """Start it. Raises OSError where that is not possible."""
        self._child = command if isinstance(command, Forked) else _started(command)
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        assert self._child.stderr is not None
        self._in, self._out, self._err = (
            f.fileno() for f in (self._child.stdin, self._child.stdout, self._child.stderr)
        )
        self._pid = self._child.pid
        self._exit = _pidfd(self._pid)
        self._unsent, self._unread, self._stderr = bytearray(), bytearray(), bytearray()
        self._scanned = 0  # how much of _unread is known to hold no end of a line
        self._over = False
        self._poll = select.poll()
        for descriptor in (self._in, self._out, self._err):
            os.set_blocking(descriptor, False)
        for descriptor in (self._in, self._out):
            _enlarge(descriptor)
        for descriptor in (self._out, self._err, *([self._exit] if self._exit is not None else [])):
            self._poll.register(descriptor, select.POLLIN)

    @property
    def stderr(self) -> str:
        """The last that the process wrote to stderr."""
        return self._stderr.decode("utf-8", "replace").strip()

    def queue(self, line: bytes) -> None:
        """Queue a line to be sent."""
        self._unsent += line

    def flush(self) -> None:
        """Send as much as the pipe takes at once; the rest goes while a line is waited for."""
        self._write()

    def said_something(self) -> bool:
        """Return whether there is anything to read."""
        return bool(self._poll.poll(0))

    @property
    def is_silent(self) -> bool:
        """Whether there is no line, and nothing that can be moved now."""
        return self._unread.find(b"\n", self._scanned) < 0 and not self._over and not self._poll.poll(0)

    def line(self, deadline: float) -> bytes:
        """Return the next line without its end. Raises Ended, Late or TooLong; deadline: in time.monotonic()."""
        while True:
            end = self._unread.find(b"\n", self._scanned)
            if end >= 0:
                found = bytes(self._unread[:end])
                del self._unread[: end + 1]
                self._scanned = 0
                return found
            self._scanned = len(self._unread)
            if self._scanned > LONGEST_LINE:
                raise TooLong
            if self._over:
                raise Ended
            self._wait(deadline)

    def take(self, count: int, deadline: float) -> bytes:
        """Return the next bytes, so many. Raises Ended or Late."""
        while len(self._unread) < count:
            if self._over:
                raise Ended
            self._wait(deadline)
        found = bytes(self._unread[:count])
        del self._unread[:count]
        return found

    def reason(self) -> str:
        """End the process and everything it started; return how it ended, in words."""
        ended_alone = self._waited(LEAVE_S)
        self.kill()
        code = self._child.returncode
        if not ended_alone:
            return "it closed its stdout and went on"
        if code < 0:
            return f"the process was ended by {_signal_name(-code)}"
        return f"the process ended with status {code}"

    def leave(self) -> None:
        """Close stdin, give the process a moment to end, then end it."""
        with contextlib.suppress(OSError):
            self._child.stdin.close()  # type: ignore[union-attr]
        self._waited(LEAVE_S)
        self.kill()

    def signal(self) -> None:
        """Tell the process and its group to end at once; `kill` is still to come."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._pid, signal.SIGKILL)

    def kill(self) -> None:
        """End the process and its group at once."""
        self.signal()
        self._child.wait()
        self._read(self._err, self._note)
        for stream in (self._child.stdin, self._child.stdout, self._child.stderr):
            with contextlib.suppress(OSError):
                stream.close()  # type: ignore[union-attr]
        if self._exit is not None:
            os.close(self._exit)
            self._exit = None

    def _wait(self, deadline: float) -> None:
        """Move bytes until something happened. Raises Late."""
        now = time.monotonic()
        left, spin_until = deadline - now, now + SPIN_S
        while not (events := self._poll.poll(0)) and time.monotonic() < spin_until:
            _let_others_run()  # to be woken takes longer than most answers
        wait = max(0.0, left) if self._exit is not None else min(max(0.0, left), TICK_S)
        events = events or self._poll.poll(wait * 1000 + 1 if wait else 0)
        if not events and left <= 0:
            raise Late
        ready = {descriptor for descriptor, _ in events}
        if self._in in ready:
            self._write()
        if self._err in ready and not self._read(self._err, self._note):
            self._poll.unregister(self._err)
        if self._out in ready:
            self._over = not self._read(self._out, self._unread.extend)
        if (not events or self._exit in ready) and self.ended():  # a child of it may keep its stdout open
            while self._read(self._out, self._unread.extend) and len(self._unread) <= LONGEST_LINE:
                if not select.select([self._out], [], [], 0)[0]:
                    break
            self._over = True

    def ended(self) -> bool:
        """Return whether the process has ended, and leave it to be waited for: until then its group is its own."""
        if self._exit is not None and not select.select([self._exit], [], [], 0)[0]:
            return False
        if isinstance(self._child, Forked):  # no child of this process: nothing but its descriptor tells
            return True
        if not hasattr(os, "waitid"):  # macOS before Python 3.13
            return self._child.poll() is not None
        return os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None

    def _waited(self, seconds: float) -> bool:
        """Give the process time to end; return whether it did."""
        limit = time.monotonic() + seconds
        pause = 0.001
        while not self.ended():
            if time.monotonic() > limit:
                return False
            self._read(self._out, lambda _data: None)
            self._read(self._err, self._note)
            time.sleep(pause)
            pause = min(pause * 2, TICK_S)
        return True

    def _write(self) -> None:
        while self._unsent:
            try:
                del self._unsent[: os.write(self._in, self._unsent[:CHUNK])]
            except BlockingIOError:
                self._poll.register(self._in, select.POLLOUT)
                return
            except OSError:  # it reads no more: its stdout will say why
                self._unsent.clear()
        with contextlib.suppress(KeyError, FileNotFoundError):
            self._poll.unregister(self._in)

    def _read(self, descriptor: int, take: Callable[[bytes], object]) -> bool:
        """Take what is there; return False at its end."""
        try:
            data = os.read(descriptor, CHUNK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        take(data)
        return bool(data)

    def _note(self, data: bytes) -> None:
        self._stderr += data
        del self._stderr[:-STDERR_KEPT]


def _started(command: Sequence[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        start_new_session=True,
    )


def _pidfd(pid: int) -> int | None:
    """Return a descriptor that becomes readable at the process's end, None where the system has none."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None


def _enlarge(pipe: int) -> None:
    """Let a pipe hold more, so that a large call takes fewer turns; Linux alone knows how."""
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import fcntl

        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE)


_let_others_run: Callable[[], None] = getattr(os, "sched_yield", lambda: None)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
