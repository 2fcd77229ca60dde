"""`multimargin backends` and `multimargin clauses`."""

from __future__ import annotations

import click

from multimargin_conformance.cli.base import USAGE, Stop


@click.command()
def backends() -> None:
    """List the backends that a plain name finds."""
    from multimargin_conformance.adapters import names

    for name, text in sorted(names().items()):
        click.echo(f"{name:22} {text}")


@click.command()
@click.option("--group", default="", help="Only this group, such as GRADIENT.")
def clauses(group: str) -> None:
    """List the clauses of the specification, and how many vectors, checks and known faults each has."""
    from multimargin_conformance.clause_table import clauses_table
    from multimargin_reference.clauses import GROUPS

    if group and group.upper() not in GROUPS:
        raise Stop(f"--group {group!r}, but should be one of {', '.join(GROUPS)}", USAGE)
    click.echo(clauses_table(group.upper()))
