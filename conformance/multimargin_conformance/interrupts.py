"""When Ctrl-C may end a run: while something is waited for, not while what was found is being written down."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupts:
    """Puts SIGINT off while it is held; a handler of someone else's is left alone.

    In a `with`: KeyboardInterrupt is raised as usual until `hold`, and then no more.
    """

    def __init__(self) -> None:
        self._held = self._pending = self._ours = False

    def __enter__(self) -> Interrupts:
        usual = threading.current_thread() is threading.main_thread()
        if usual and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._heard)
            self._ours = True
        return self

    def __exit__(self, *_: object) -> None:
        if self._ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def hold(self) -> None:
        """Put every further one off, to the end of the `with`."""
        self._held = True

    @contextmanager
    def held(self) -> Iterator[None]:
        """Put one off to the end of a few statements."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
            if self._pending:
                self._pending = False
                raise KeyboardInterrupt

    @contextmanager
    def allowed(self) -> Iterator[None]:
        """Let one through in the midst of a hold. Raises KeyboardInterrupt."""
        try:
            self._held = False
            if self._pending:
                raise KeyboardInterrupt
            yield
        finally:
            self._held, self._pending = True, False

    def _heard(self, _number: int, _frame: FrameType | None) -> None:
        if not self._held:
            raise KeyboardInterrupt
        self._pending = True
