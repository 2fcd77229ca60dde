"""The checks: what is planned for a backend, in the order in which it is run."""

from __future__ import annotations

from multimargin_conformance.checks import empty, purity, threads, vectors
from multimargin_conformance.checks.item import Item, Scope


def plan(scope: Scope) -> list[Item]:
    """Return everything that will be run, each item one verdict."""
    return [*vectors.items(scope), *empty.items(scope), *purity.items(scope), *threads.items(scope)]


def clauses_checked() -> dict[str, list[str]]:
    """Return the ids of the checks by clause, for vectors and for the other checks."""
    found: dict[str, list[str]] = {}
    for source in (vectors.clauses(), empty.CLAUSES, purity.CLAUSES, threads.CLAUSES):
        for clause, names in source.items():
            found.setdefault(clause, []).extend(names)
    return found
