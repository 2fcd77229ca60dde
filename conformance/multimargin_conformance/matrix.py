"""The fault x clause matrix: every clause that rejects each known fault, not only the first."""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from tabulate import tabulate

from multimargin_conformance.checks import clauses_checked, integration, plan
from multimargin_conformance.checks.item import Item
from multimargin_conformance.kills import EVERYTHING, faults_by_name, session_of
from multimargin_reference.clauses import CLAUSES, GROUPS

FORMAT, VERSION = "multimargin-selftest-matrix", 1


@dataclass(frozen=True)
class Row:
    """One known fault: the clauses that it names, and by clause how many checks reject it."""

    fault: str
    named: tuple[str, ...]
    rejected_by: Mapping[str, int]

    @property
    def foreseen(self) -> bool:
        """Whether a clause that the fault names rejects it."""
        return not set(self.named).isdisjoint(self.rejected_by)

    def of_group(self, group: str) -> int:
        """How many checks of a clause group reject it."""
        return sum(n for clause, n in self.rejected_by.items() if CLAUSES[clause].group == group)


@dataclass(frozen=True)
class Matrix:
    """All rows, and what they say about each clause that has checks."""

    rows: tuple[Row, ...]

    @property
    def clauses(self) -> list[str]:
        """The clauses that have checks on calls of the operator, in the specification's order."""
        checked = clauses_checked().keys() - integration.CLAUSES.keys()
        return [clause for clause in CLAUSES if clause in checked]

    def rejecting(self, clause: str) -> list[Row]:
        """Return the faults that a clause rejects."""
        return [row for row in self.rows if clause in row.rejected_by]

    def alone(self, clause: str) -> list[Row]:
        """Return the faults that no other clause rejects."""
        return [row for row in self.rows if set(row.rejected_by) == {clause}]

    @property
    def unneeded(self) -> list[str]:
        """The clauses without which every fault would still be rejected."""
        return [clause for clause in self.clauses if not self.alone(clause)]


def row(name: str) -> Row:
    """Run every check in every dtype on a known fault, on one backend, as a check of `full` does."""
    fault = faults_by_name()[name]
    session = session_of(fault)
    found: Counter[str] = Counter()
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for item in _planned():
            result = item.run(session)
            session.samples.clear()
            if result.finding is not None:
                found[result.finding.clause or item.clause] += 1
    return Row(name, fault.clauses, dict(found))


@cache
def _planned() -> tuple[Item, ...]:
    return tuple(plan(EVERYTHING))


def as_json(matrix: Matrix) -> str:
    """Return the matrix as JSON, one fault or clause a line."""
    faults = [
        {"fault": r.fault, "named": r.named, "foreseen": r.foreseen, "rejected_by": r.rejected_by} for r in matrix.rows
    ]
    clauses = [
        {"clause": c, "faults": len(matrix.rejecting(c)), "alone": [r.fault for r in matrix.alone(c)]}
        for c in matrix.clauses
    ]
    head = {"format": FORMAT, "version": VERSION}
    return f'{json.dumps(head)[:-1]}, "faults": [\n{_lines(faults)}\n], "clauses": [\n{_lines(clauses)}\n]}}\n'


def _lines(values: Sequence[Any]) -> str:
    return ",\n".join(json.dumps(value) for value in values)


def as_markdown(matrix: Matrix) -> str:
    """Return the matrix as Markdown: fault x clause group, and the clauses."""
    groups = [group for group in GROUPS if any(CLAUSES[c].group == group for c in matrix.clauses)]
    faults = [
        [r.fault, " ".join(r.named), "yes" if r.foreseen else "no", *(r.of_group(g) or "" for g in groups)]
        for r in matrix.rows
    ]
    parts = (
        "# Known faults and the clauses that reject them",
        "How many checks of each clause group reject each fault.",
        tabulate(faults, ["fault", "names", "foreseen", *groups], tablefmt="github"),
        "How many faults each clause rejects, and how many no other clause does.",
        tabulate(_clause_rows(matrix), ["clause", "faults", "alone"], tablefmt="github"),
    )
    return "\n\n".join(parts) + "\n"


def _clause_rows(matrix: Matrix) -> list[list[Any]]:
    return [[CLAUSES[c].label, len(matrix.rejecting(c)), len(matrix.alone(c))] for c in matrix.clauses]


def as_text(matrix: Matrix) -> str:
    """Return what a terminal shows: a line a fault, a table of the clauses, the clauses that no fault needs."""
    faults = (
        f"{r.fault}: {', '.join(f'{c} {n}' for c, n in sorted(r.rejected_by.items())) or 'MISSED'}"
        f"{'' if r.foreseen else ' (not foreseen)'}"
        for r in matrix.rows
    )
    table = tabulate(_clause_rows(matrix), ["clause", "faults", "alone"])
    unneeded = "clauses that no fault needs: " + (" ".join(matrix.unneeded) or "none")
    return "\n".join((*faults, "", table, "", unneeded))
