"""What every command shares: exit statuses, one-line errors, progress."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

CONFORMANT, NOT_CONFORMANT, USAGE, NOT_STARTED, INVALID = range(5)

T = TypeVar("T")


class Stop(click.ClickException):
    """End with one clear line on stderr and an exit status."""

    def __init__(self, message: str, status: int) -> None:
        from multimargin_reports.content import printable

        super().__init__(printable(" ".join(message.split())))
        self.exit_code = status  # type: ignore[misc] # click declares it on the class


def started(run: Callable[[], T]) -> T:
    """Run what takes a backend or a case by name; one that is not there, or does not start, is a Stop."""
    from multimargin_conformance import BackendNotStarted, UnknownBackend, UnknownCase

    try:
        return run()
    except (UnknownBackend, UnknownCase, ValueError) as error:
        raise Stop(str(error), USAGE) from error
    except KeyboardInterrupt as error:
        raise Stop("interrupted before there was anything to report", INVALID) from error
    except BackendNotStarted as error:
        raise Stop(f"the backend could not be started: {error}", NOT_STARTED) from error


def progress() -> Any:
    """Return a progress callback for a terminal, None for a pipe."""
    if not sys.stderr.isatty():
        return None

    def show(done: int, planned: int) -> None:
        if done % 100 == 0 or done == planned:
            click.echo(f"\r{done}/{planned}" if done < planned else "\r\033[K", nl=False, err=True)

    return show
