"""Processes forked from one that has imported the framework already: a start costs what the device takes, no more."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Sequence
from typing import IO

FIRST_S = 180.0  # for the framework to be imported
LONGEST = 64  # bytes of an answer


class Forks:
    """A worker that forks copies of itself (`worker.forking`). Raises OSError where the system cannot do that."""

    def __init__(self, command: Sequence[str]) -> None:
        os.close(os.pidfd_open(os.getpid()))  # how the end of a process is seen that is no child of this one
        self._messages, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._messages.settimeout(FIRST_S)
        with theirs:
            self._process = subprocess.Popen(
                [*command, "--forks", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )

    def fork(self) -> Forked:
        """Return a copy that serves its stdin. Raises OSError."""
        pipes = [os.pipe() for _ in range(3)]
        (stdin, to), (of, stdout), (err, stderr) = pipes
        try:
            socket.send_fds(self._messages, [b"fork"], [stdin, stdout, stderr])
            pid = self._answer()
        except OSError:
            for one in (to, of, err):
                os.close(one)
            raise
        finally:
            for one in (stdin, stdout, stderr):
                os.close(one)
        return Forked(self, pid, (to, of, err))

    def wait(self, pid: int) -> int:
        """Return the status that a copy ended with, 0 where it cannot be known any more."""
        try:
            self._messages.send(f"wait {pid}".encode())
            return self._answer()
        except OSError:
            return 0

    def close(self) -> None:
        """End the worker; its copies end with it."""
        self._messages.close()
        self._process.kill()
        self._process.wait()

    def _answer(self) -> int:
        """Return the next answer. Raises OSError where the worker ended or does not answer."""
        answer = self._messages.recv(LONGEST)
        if not answer:
            raise ConnectionError("the process that forks ended")
        return int(answer)


class Forked:
    """What `process.Process` needs of a subprocess.Popen."""

    def __init__(self, forks: Forks, pid: int, pipes: tuple[int, int, int]) -> None:
        self._forks, self.pid, self.returncode = forks, pid, 0
        self._waited = False
        self.stdin: IO[bytes] = os.fdopen(pipes[0], "wb", 0)
        self.stdout: IO[bytes] = os.fdopen(pipes[1], "rb", 0)
        self.stderr: IO[bytes] = os.fdopen(pipes[2], "rb", 0)

    def wait(self) -> int:
        """Wait for the end, and return what subprocess.Popen.wait does."""
        if not self._waited:
            self.returncode, self._waited = os.waitstatus_to_exitcode(self._forks.wait(self.pid)), True
        return self.returncode
