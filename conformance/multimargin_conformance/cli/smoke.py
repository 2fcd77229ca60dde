"""`multimargin smoke`."""

from __future__ import annotations

import sys

import click

from multimargin_conformance.cli.base import CONFORMANT, NOT_CONFORMANT, NOT_STARTED, USAGE, Stop


@click.command()
@click.argument("backend")
@click.option("--device", default="", help="Device for torch backends, such as cuda.")
@click.option("--python", default="", metavar="INTERPRETER", help="Run BACKEND under this Python (3.9+, NumPy).")
def smoke(backend: str, device: str, python: str) -> None:
    """Say whether the adapter of BACKEND itself is sane; its loss's values are not judged.

    Prints one line. Exit status: 0 sane, 1 broken, 3 broken: it cannot be started.
    """
    from multimargin_conformance import BackendNotStarted, UnknownBackend
    from multimargin_conformance.isolation import Limits, echo_probe, started
    from multimargin_conformance.smoke import Sanity
    from multimargin_conformance.smoke import smoke as run
    from multimargin_reports.content import one_line

    try:
        echoed = echo_probe(backend, device) if backend.startswith("cmd:") else None
        with started(backend, device, None, Limits(python=python)) as (subject, caller):
            sanity = Sanity(echoed, "") if echoed else run(subject, caller=caller)
    except (UnknownBackend, ValueError) as error:
        raise Stop(str(error), USAGE) from error
    except BackendNotStarted as error:
        _end(f"the adapter is broken: it cannot be started, but should be: {one_line(str(error))}", NOT_STARTED)
    if sanity.broken:
        _end(f"the adapter is broken: {one_line(sanity.broken)}", NOT_CONFORMANT)
    _end(f"the adapter is sane: {one_line(f'{subject.name}: {sanity.tried}')}", CONFORMANT)


def _end(line: str, status: int) -> None:
    click.echo(" ".join(line.split()))
    sys.exit(status)
