"""`multimargin merge`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from multimargin_conformance.cli.base import USAGE, Stop
from multimargin_conformance.cli.formats import writers


@click.command()
@click.argument("reports", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--output", type=click.Path(file_okay=False, path_type=Path), help="Write report.json to this folder.")
@click.option(
    "--format", "formats", default="json", show_default=True, help="With --output: json,html,junit,markdown,badge."
)
def merge(reports: tuple[Path, ...], output: Path | None, formats: str) -> None:
    """Make one report of the REPORTS of all shards of a run."""
    from multimargin_conformance.cli.check import finish, make
    from multimargin_conformance.sharding import MergeError
    from multimargin_conformance.sharding import merge as merged
    from multimargin_reports import read
    from multimargin_reports.jsonfile import ReportFileError

    writers(formats)
    if output is not None:
        make(output)
    try:
        report = merged([read(path) for path in reports])
    except (MergeError, ReportFileError) as error:
        raise Stop(str(error), USAGE) from error
    sys.exit(finish(report, output, formats))
