"""`multimargin diff`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from multimargin_conformance.cli.base import CONFORMANT, INVALID, NOT_CONFORMANT
from multimargin_conformance.cli.formats import opened

REPORT = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("old", type=REPORT)
@click.argument("new", type=REPORT)
def diff(old: Path, new: Path) -> None:
    """Say what is different in the report NEW; status 1 where something is worse than in OLD."""
    from multimargin_reports.compare import compare, render

    found = compare(opened(old), opened(new))
    click.echo(render(found))
    if found.reason:
        sys.exit(INVALID)
    sys.exit(NOT_CONFORMANT if found.regressions else CONFORMANT)
