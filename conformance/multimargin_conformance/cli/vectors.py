"""`multimargin vectors`."""

from __future__ import annotations

import sys

import click

from multimargin_conformance.cli.base import CONFORMANT, NOT_CONFORMANT


@click.group()
def vectors() -> None:
    """Generate, verify or list the golden vectors."""


@vectors.command()
def generate() -> None:
    """Write the vectors and their manifest."""
    from multimargin_vectors.generate import write

    for name in write():
        click.echo(name)


@vectors.command()
def verify() -> None:
    """Regenerate the vectors and compare; exit 1 when a file differs."""
    from multimargin_vectors.generate import differences

    lines = differences()
    click.echo("\n".join(lines) or "vectors are current")
    sys.exit(NOT_CONFORMANT if lines else CONFORMANT)


@vectors.command("list")
@click.option("--clause", default="", help="Only vectors of this clause.")
def list_vectors(clause: str) -> None:
    """List the vectors: id, dtype, tier, clauses and what each is for."""
    from multimargin_vectors.store import outlines

    for v in outlines():
        named = (*v.clauses, *v.gradient_clauses)
        if not clause or clause in named:
            click.echo(f"{v.id} {v.dtype:8} {v.tier:9} {' '.join(named)}: {v.comment}")
