"""`multimargin backends` and `multimargin clauses`."""

from __future__ import annotations

import click


@click.command()
def backends() -> None:
    """List the backends that a plain name finds."""
    from multimargin_conformance.adapters import names

    for name, text in sorted(names().items()):
        click.echo(f"{name:22} {text}")


@click.command()
def clauses() -> None:
    """List the clauses of the specification."""
    from multimargin_reference.clauses import CLAUSES

    for clause in CLAUSES.values():
        click.echo(f"{clause.label:40} {clause.level:6} {clause.profile}")
