"""The formats of a report, and `multimargin render`."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import click

from multimargin_conformance.cli.base import INVALID, USAGE, Stop

if TYPE_CHECKING:
    from multimargin_reports import Report

FILES = {  # what --format asks for, and the file that it is written to
    "json": "report.json",
    "html": "report.html",
    "junit": "report.xml",
    "markdown": "report.md",
    "badge": "badge.svg",
}
RENDERERS = {  # module and function of multimargin_reports, imported when it is asked for
    "json": "jsonfile:render",
    "html": "html:render",
    "junit": "junit:render",
    "markdown": "markdown:render",
    "badge": "badge:render",
    "shields": "badge:shields",
    "text": "terminal:render",
}
Render = Callable[["Report"], str]


def renderer(name: str) -> Render:
    """Return what renders a report in a format."""
    module, function = RENDERERS[name].split(":")
    found: Render = getattr(import_module(f"multimargin_reports.{module}"), function)
    return found


def writers(formats: str) -> dict[str, Render]:
    """Return the files to write and what renders them; JSON always. Raises Stop for a format that is not there."""
    chosen = dict.fromkeys(["json", *(name for name in formats.split(",") if name)])
    if unknown := [name for name in chosen if name not in FILES]:
        raise Stop(f"--format {unknown[0]!r}, but should be out of {', '.join(FILES)}, separated by commas", USAGE)
    return {FILES[name]: renderer(name) for name in chosen}


def opened(path: Path) -> Report:
    """Read a report, or the log of a run (report.jsonl). Raises Stop where it is none, or of a run that did not end."""
    from multimargin_reports import ReportFileError, read
    from multimargin_reports.logfile import read_log

    try:
        return read_log(path).report if path.suffix == ".jsonl" else read(path)
    except ReportFileError as error:
        raise Stop(str(error), INVALID) from error


@click.command()
@click.argument("report", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--format", "name", type=click.Choice(list(RENDERERS)), required=True, help="What to make of it.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="A file, in place of stdout.")
def render(report: Path, name: str, output: Path | None) -> None:
    """Write REPORT (report.json or report.jsonl) in another format: to stdout, or to a file."""
    text = renderer(name)(opened(report))
    if output is None:
        click.echo(text, nl=not text.endswith("\n"))
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Stop(f"--output {output}: {error.strerror}", USAGE) from error
    click.echo(f"wrote {output}")
