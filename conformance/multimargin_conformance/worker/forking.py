"""Copies of a worker that has imported its framework and touched no device: each begins where a start would take long.

Messages come over a socket: `fork`, with the descriptors for stdin, stdout and stderr, is answered by the copy's
process id; `wait ID` by the status that it ended with, once it has.
"""

from __future__ import annotations

import os
import socket
import warnings

LONGEST = 64  # bytes of a message


def fork_for_each(descriptor: int, spec: str) -> None:
    """Answer messages until there are no more, then end; return in the copies alone, descriptors 0 to 2 in place."""
    _prepare(spec)
    with socket.socket(fileno=descriptor) as messages, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python warns of a fork where a library has threads
        while True:
            message, descriptors, _, _ = socket.recv_fds(messages, LONGEST, 3)
            if not message:
                os._exit(0)
            word, _, number = message.decode().partition(" ")
            if word == "wait":
                answer = os.waitpid(int(number), 0)[1]
            elif answer := os.fork():
                os.setpgid(answer, answer)  # here too: the group has to be there when the answer is
            else:
                break
            for one in descriptors:
                os.close(one)
            messages.send(str(answer).encode())
    os.setpgid(0, 0)
    for place, one in enumerate(descriptors):
        os.dup2(one, place)
        os.close(one)


def _prepare(spec: str) -> None:
    """Import what the backend is made with; where that fails, its start will say so."""
    try:
        from multimargin_conformance.adapters import prepare

        prepare(spec)
    except Exception:
        return
