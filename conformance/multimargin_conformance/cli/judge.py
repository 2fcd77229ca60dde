"""`multimargin judge`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from multimargin_conformance.cli.base import CONFORMANT, INVALID, NOT_CONFORMANT, USAGE, Stop

if TYPE_CHECKING:
    from multimargin_conformance.rejudging import Rejudged

MOST = 20  # differences that are printed
MOST_NAMED = 3  # ids of checks that cannot be judged


@click.command()
@click.argument("report", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def judge(report: Path) -> None:
    """Judge a run again, by what the backend answered then and today's oracle; the backend is not needed.

    REPORT is the log report.jsonl, or the report.json that it lies beside. Status 1: another verdict than recorded.
    """
    from multimargin_conformance.rejudging import rejudge
    from multimargin_reports import ReportFileError
    from multimargin_reports.logfile import read_log

    log = report if report.suffix == ".jsonl" else report.with_suffix(".jsonl")
    if not log.is_file():
        raise Stop(f"{log} is not there: what the backend answered is in the log that check --output writes", USAGE)
    try:
        found = rejudge(read_log(log))
    except ReportFileError as error:
        raise Stop(str(error), INVALID) from error
    _show(found)
    if not found.judged:
        raise Stop("no verdict could be judged again: this proves nothing", INVALID)
    sys.exit(NOT_CONFORMANT if found.differences else CONFORMANT)


def _show(found: Rejudged) -> None:
    from multimargin_reports.content import one_line

    for difference in found.differences[:MOST]:
        click.echo(f"OTHER {one_line(str(difference))}")
    if len(found.differences) > MOST:
        click.echo(f"and {len(found.differences) - MOST} more")
    for reason, ids in found.left.items():
        named = ", ".join(one_line(id_) for id_ in ids[:MOST_NAMED])
        click.echo(
            f"{len(ids)} not judged again, {one_line(reason)}: {named}{', ...' if len(ids) > MOST_NAMED else ''}"
        )
    click.echo(f"{found.judged} verdicts judged again, {len(found.differences)} are others than recorded")
