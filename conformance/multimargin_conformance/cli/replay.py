"""`multimargin replay`."""

from __future__ import annotations

import sys

import click

from multimargin_conformance.cli.base import CONFORMANT, INVALID, NOT_CONFORMANT, Stop, started


@click.command()
@click.argument("case")
@click.option("--backend", required=True, help="The backend to run it on.")
@click.option("--device", default="", help="Device for torch backends.")
@click.option("--isolate/--no-isolate", default=None, help="Run it in a process of its own (the default) or not.")
@click.option("--python", default="", metavar="INTERPRETER", help="Run it under this Python (3.9+, NumPy).")
def replay(case: str, backend: str, device: str, isolate: bool | None, python: str) -> None:
    """Run one case again: a vector by its id or the start of it, a file, REPORT#id, or the id of a check."""
    from multimargin_conformance import replay as run
    from multimargin_conformance.isolation import Limits
    from multimargin_reports.content import one_line

    limits = Limits(python=python)
    verdicts = started(lambda: run(case, backend, device=device, isolate=isolate, limits=limits))
    for verdict in verdicts:
        text = verdict.failure.message if verdict.failure else verdict.reason
        click.echo(one_line(f"{verdict.status:5} {verdict.id} {text}".rstrip()))
    statuses = {verdict.status for verdict in verdicts}
    if not statuses:
        raise Stop(f"vector {case} is not for this backend: it declares other calls", INVALID)
    sys.exit(CONFORMANT if statuses == {"pass"} else INVALID if statuses & {"error", "skip"} else NOT_CONFORMANT)
