"""`multimargin scaffold`."""

from __future__ import annotations

from pathlib import Path

import click

from multimargin_conformance.cli.base import USAGE, Stop
from multimargin_conformance.scaffolding import TEMPLATES


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--language", required=True, type=click.Choice(list(TEMPLATES)), help="What the adapter is written in.")
@click.option("--force", is_flag=True, help="Write into a folder that is not empty, replacing files of the same names.")
def scaffold(folder: Path, language: str, force: bool) -> None:
    """Write an adapter to DIR that speaks the stdio protocol, with the loss left to fill in."""
    from multimargin_conformance.scaffolding import ScaffoldError
    from multimargin_conformance.scaffolding import scaffold as write
    from multimargin_reports.content import one_line

    try:
        paths = write(language, folder, force)
    except ScaffoldError as error:
        raise Stop(one_line(str(error)), USAGE) from error
    for path in paths:
        click.echo(one_line(f"wrote {path}"))
    template = TEMPLATES[language]
    for step in (template.build, f'multimargin smoke "cmd:{template.run}"', f'multimargin check "cmd:{template.run}"'):
        if step:
            click.echo(one_line(f"next, in {folder}: {step}"))
