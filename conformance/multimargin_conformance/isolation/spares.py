"""Processes that are started ahead, for calls of which each may end what its process is good for."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable

from multimargin_conformance.backend import BackendNotStarted
from multimargin_conformance.isolation.forks import Forks
from multimargin_conformance.isolation.launch import Begun, Opened
from multimargin_conformance.isolation.link import Link

MOST = 6  # at once: a device makes few contexts at the same time, and each takes of its memory
RETIRED = 4  # processes that may still be ending: a device takes its time to let go of one
PAUSES_S = (0.5, 1.0, 2.0, 4.0)  # before further attempts: other runs may hold the device's memory for a while


class Spares:
    """Processes like an opened one.

    The first is started when it is wanted, and most backends need no other. From the second on, some are started ahead,
    forked from one that has the framework, where the backend is a worker of ours and the system can do that.
    """

    def __init__(self, opened: Opened, most: int = 0) -> None:
        self._opened = opened
        self.most = most or max(1, min(MOST, (os.cpu_count() or 1) // 2))
        self._taken = 0
        self._forks: Forks | None = None
        self._begin: Callable[[], Begun] = opened.begin
        self._begun: deque[Begun] = deque()
        self._retired: deque[Link] = deque()

    def take(self, first_id: int) -> Link:
        """Return a process that was asked to start and did. Raises BackendNotStarted.

        Where one does not start, those that are ending or wait may hold the memory that it needs: they are ended, fewer
        are started ahead from then on, and it is tried again.
        """
        for pause in PAUSES_S:
            try:
                return self._started(first_id)
            except BackendNotStarted:
                self.most //= 2
                self._end_all()
                time.sleep(pause)
        return self._started(first_id)

    def retire(self, link: Link) -> None:
        """End a process, and do not wait for that unless too many are ending."""
        link.process.signal()
        self._retired.append(link)
        while self._retired and (self._retired[0].process.ended() or len(self._retired) > RETIRED):
            self._retired.popleft().kill()

    def close(self) -> None:
        """End every process that was not taken, or that was given back."""
        self._end_all()
        if self._forks is not None:
            self._forks.close()
            self._forks = None

    def _started(self, first_id: int) -> Link:
        if self._taken == 1 and self._forks is None:
            self._prepare()
        begun = self._begun.popleft() if self._begun else self._begin()
        while self._taken and len(self._begun) < self.most:
            self._begun.append(self._begin())
        link = begun.started()
        self._taken += 1
        link.next_id = max(link.next_id, first_id)
        return link

    def _end_all(self) -> None:
        for link in (*self._retired, *(begun.link for begun in self._begun)):
            link.kill()
        self._retired.clear()
        self._begun.clear()

    def _prepare(self) -> None:
        """Let further processes be forked, where that is possible."""
        if not self._opened.is_worker:
            return
        try:
            forks = self._forks = Forks(self._opened.command)
        except (OSError, AttributeError):  # Windows, macOS, an old Linux
            return

        def begin() -> Begun:
            try:
                return self._opened.begin(forks)
            except OSError:
                return self._opened.begin()

        self._begin = begin
