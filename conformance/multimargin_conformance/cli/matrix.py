"""`multimargin matrix`."""

from __future__ import annotations

from pathlib import Path

import click

from multimargin_conformance.cli.base import USAGE, Stop
from multimargin_conformance.cli.formats import opened


@click.command()
@click.argument("reports", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--format", "name", type=click.Choice(["markdown", "html"]), default="markdown", show_default=True)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="A file, in place of stdout.")
def matrix(reports: tuple[Path, ...], name: str, output: Path | None) -> None:
    """Show the REPORTS of many backends side by side: profiles, clauses, behaviours, accuracy, versions."""
    from multimargin_reports import matrix as writer

    text = (writer.html if name == "html" else writer.markdown)([opened(path) for path in reports])
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Stop(f"--output {output}: {error.strerror}", USAGE) from error
    click.echo(f"wrote {output}")
