"""`multimargin check`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from multimargin_conformance.cli.base import CONFORMANT, INVALID, NOT_CONFORMANT, USAGE, Stop, progress, started

if TYPE_CHECKING:
    from multimargin_reports import Report


@click.command()
@click.argument("backend")
@click.option("--profile", default="training", show_default=True, help="core, training, half, torch or full.")
@click.option("--dtype", "dtypes", multiple=True, help="Check this dtype only; repeatable.")
@click.option("--only", multiple=True, metavar="KEY=VALUE", help="Limit to p=, reduction=, dtype= or shape=.")
@click.option("--device", default="", help="Device for torch backends, such as cuda.")
@click.option("-k", "select", default="", metavar="GLOB", help="Only checks whose id matches.")
@click.option("--clause", default="", metavar="ID", help="Only checks of this clause; globs and commas work.")
@click.option("--seed", default=0, show_default=True, help="Seed, recorded in the report.")
@click.option("--isolate/--no-isolate", default=None, help="This version runs every backend in this process.")
@click.option("-x", "fail_fast", is_flag=True, help="Stop at the first failure.")
@click.option(
    "--expected-failures",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A TOML file of known failures; see multimargin update-expectations.",
)
@click.option("--output", type=click.Path(file_okay=False, path_type=Path), help="Write report.json to this folder.")
@click.option("--format", "formats", default="json", show_default=True, help="json or json,markdown, with --output.")
def check(backend: str, output: Path | None, formats: str, dtypes: tuple[str, ...], **options: Any) -> None:
    """Check BACKEND clause by clause.

    BACKEND is a shipped name (multimargin backends), py:module:attr or torch:module:attr.
    """
    from multimargin_conformance import check as run
    from multimargin_reports import terminal

    writers = _writers(formats)
    if output is not None:
        _make(output)
    report = started(lambda: run(backend, dtypes=dtypes or None, progress=progress(), **options))
    click.echo(terminal.render(report))
    if output is not None:
        for name, write in writers.items():
            write(report, output / name)
            click.echo(f"wrote {output / name}")
    sys.exit(_status(report))


def _status(report: Report) -> int:
    if not report.valid or not report.planned:
        return INVALID
    return CONFORMANT if report.as_expected else NOT_CONFORMANT


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Stop(f"--output {folder}: {error.strerror}", USAGE) from error


def _writers(formats: str) -> dict[str, Callable[[Report, Path], None]]:
    """Return the files to write and what writes them; JSON always. Raises Stop for a format that is not there."""
    from multimargin_reports import markdown, write

    known = {"json": ("report.json", write), "markdown": ("report.md", markdown.write)}
    chosen = ["json", *(name for name in formats.split(",") if name and name != "json")]
    if unknown := [name for name in chosen if name not in known]:
        raise Stop(f"--format {unknown[0]!r}, but should be out of {', '.join(known)}, separated by commas", USAGE)
    return dict(known[name] for name in chosen)
