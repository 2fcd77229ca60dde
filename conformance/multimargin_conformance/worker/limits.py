"""Limits that a process sets for itself before any backend is loaded, and the end that it shares with its parent.

Also a launcher for adapters in other languages: `python limits.py BYTES COMMAND ...`.
"""

from __future__ import annotations

import os
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h
SIGKILL = 9


def limit(parent: bool, memory: int) -> None:
    """parent: end with it where the system offers that (Linux). Refuse more than `memory` bytes (0: no limit).

    RLIMIT_DATA counts private writable memory alone: the address space that CUDA or V8 reserve is free.
    """
    if parent:
        _end_with_parent()
    if memory:
        _limit_memory(memory)


def _end_with_parent() -> None:
    """Where there is no such call, or the parent ended before it, the end of stdin says the same."""
    if sys.platform.startswith("linux"):
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)


def _limit_memory(memory: int) -> None:
    try:
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        most = memory if hard == resource.RLIM_INFINITY else min(memory, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (most, hard))
    except (ImportError, OSError, ValueError):
        pass  # a system without limits: the timeout remains


def launch(words: list[str]) -> None:
    """Become COMMAND; says on stderr why where it cannot be run, with the status that shells use."""
    memory, *command = words
    limit(True, int(memory))
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
        sys.exit(127)


if __name__ == "__main__":
    launch(sys.argv[1:])
