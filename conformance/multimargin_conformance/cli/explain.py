"""`multimargin explain`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from multimargin_conformance.cli.base import USAGE, Stop, started

if TYPE_CHECKING:
    from multimargin_conformance.cases import Named

CLAUSE = re.compile(r"[A-Za-z]+-[0-9]+")


@click.command()
@click.argument("name", metavar="CASE|CLAUSE")
def explain(name: str) -> None:
    """Write a case out, or say all about a clause.

    CASE: a vector's id or the start of it, a JSON file with a call, or REPORT#id. Every term, sum and division of the
    loss and its gradient is written out, exact and rounded. CLAUSE: a clause such as GRADIENT-4, or a group: GRADIENT.
    The id of a check, as a report has it, is the case of its vector; where it makes calls of its own, its clause.
    """
    from multimargin_reports.content import printable

    click.echo(printable(_clause(name) or _check(name) or _case(name)))


def _check(name: str) -> str:
    """Return what there is about a check by its id, CLAUSE/dtype/case/part, "" for other names."""
    clause, *rest = name.split("/")
    if not CLAUSE.fullmatch(clause) or len(rest) < 2 or Path(name).exists():
        return ""
    from multimargin_vectors import by_id

    if rest[1] in by_id():
        return _case(rest[1])
    where = f"multimargin explain REPORT#{name} writes its smallest failing call out, where it failed"
    return f"{_clause(clause)}\n\n{name} makes calls of its own: {where}."


def _clause(name: str) -> str:
    """Return a clause's or a group's text, "" for other names. A clause that is not there is a Stop."""
    from multimargin_reference.clauses import CLAUSES, GROUPS

    wanted = name.upper()
    if wanted in GROUPS:
        from multimargin_conformance.clause_text import group_text

        return group_text(wanted)
    if not CLAUSE.fullmatch(name):
        return ""
    if wanted not in CLAUSES:
        raise Stop(f"no clause {name!r}, but should be one that `multimargin clauses` lists", USAGE)
    from multimargin_conformance.clause_text import clause_text

    return clause_text(CLAUSES[wanted])


def _case(name: str) -> str:
    from multimargin_conformance.cases import find_case
    from multimargin_reference.explain import explain as written_out

    named = started(lambda: find_case(name))
    expected = None if named.vector is None else named.vector.expected
    return "\n".join([*_head(named), "", started(lambda: written_out(named.case, expected))])


def _head(named: Named) -> list[str]:
    """Return where the case came from, and what its vector says about it."""
    from multimargin_conformance.judge import call_text
    from multimargin_reference.clauses import CLAUSES

    lines = [named.origin + (f", about the {named.part}" if named.part else "")]
    if named.vector is not None:
        vector = named.vector
        lines.append(f"vector {vector.id}, tier {vector.tier}: {vector.comment}")
        for part, clauses in (("loss", vector.clauses), ("gradient", vector.gradient_clauses)):
            if clauses:
                lines.append(f"{part}: checks {', '.join(CLAUSES[clause].label for clause in clauses)}")
    parts = [named.part] if named.part else ["loss", *(["gradient"] if named.case.grad_output is not None else [])]
    return [*lines, *(call_text(named.case, part) for part in parts)]
