"""The kill matrix: every clause and every check that rejects each known fault, not only the first."""

from __future__ import annotations

import gc
import hashlib
import json
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
from tabulate import tabulate

from multimargin_conformance.checks import clauses_checked, integration, plan
from multimargin_conformance.checks.item import Item
from multimargin_conformance.kills import EVERYTHING, faults_by_name, session_of
from multimargin_conformance.ordering import in_turn
from multimargin_reference.clauses import CLAUSES, GROUPS
from multimargin_reference.known import ALIKE

FORMAT, VERSION = "multimargin-selftest-matrix", 2


@dataclass(frozen=True)
class Row:
    """One known fault: the clauses that it names, and how many items reject it, by clause and by check.

    also: where no item of a clause that it names rejects it, the named clauses that a rejecting item is about as well.
    digest: of the ids of those items, the same for faults that the same items reject.
    """

    fault: str
    named: tuple[str, ...]
    rejected_by: Mapping[str, int]
    by_check: Mapping[str, int] = field(default_factory=dict)
    digest: str = ""
    also: tuple[str, ...] = ()

    @property
    def foreseen(self) -> bool:
        """Whether a clause that the fault names rejects it."""
        return not set(self.named).isdisjoint((*self.rejected_by, *self.also))

    def of_group(self, group: str) -> int:
        """How many checks of a clause group reject it."""
        return sum(n for clause, n in self.rejected_by.items() if CLAUSES[clause].group == group)


@dataclass(frozen=True)
class Matrix:
    """All rows, and what they say about each clause that has checks."""

    rows: tuple[Row, ...]
    checks: tuple[str, ...] = ()  # all that were run, where all known faults were

    @property
    def clauses(self) -> list[str]:
        """The clauses that have checks on calls of the operator, in the specification's order."""
        checked = clauses_checked().keys() - integration.CLAUSES.keys()
        return [clause for clause in CLAUSES if clause in checked]

    def rejecting(self, clause: str) -> list[Row]:
        """Return the faults that a clause rejects."""
        return [row for row in self.rows if clause in row.rejected_by]

    def killed_by(self, check: str) -> list[Row]:
        """Return the faults that a check rejects."""
        return [row for row in self.rows if check in row.by_check]

    def alone(self, clause: str) -> list[Row]:
        """Return the faults that no other clause rejects."""
        return [row for row in self.rows if set(row.rejected_by) == {clause}]

    @property
    def idle(self) -> list[str]:
        """The clauses and the checks that reject no fault: what cannot fail proves nothing. Of all faults only."""
        if not self.checks:
            return []
        seen = {name for row in self.rows for name in (*row.rejected_by, *row.by_check)}
        return [name for name in (*self.clauses, *self.checks) if name not in seen]

    @property
    def alike(self) -> list[tuple[str, ...]]:
        """The faults that exactly the same items reject, and of which that is not explained (known.ALIKE)."""
        groups: dict[str, list[str]] = {}
        for row in self.rows:
            groups.setdefault(row.digest or row.fault, []).append(row.fault)
        known = [set(names) for names in ALIKE]
        return [tuple(names) for names in groups.values() if len(names) > 1 and not any(set(names) <= k for k in known)]

    @property
    def unneeded(self) -> list[str]:
        """The clauses without which every fault would still be rejected."""
        return [clause for clause in self.clauses if not self.alone(clause)]


def row(name: str) -> Row:
    """Run every check in every dtype on a known fault, on one backend, as a check of `full` does."""
    found = _row(name)
    gc.collect()  # what a fault keeps of its calls, up to gigabytes: its class is made anew and refers to itself
    return found


def _row(name: str) -> Row:
    fault = faults_by_name()[name]
    session = replace(session_of(fault), shrinks=False)
    found: Counter[str] = Counter()
    checks: Counter[str] = Counter()
    rejecting: list[str] = []
    about: set[str] = set()
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for item in (_planned()[place] for place in in_turn(_planned())):
            result = item.run(session)
            session.samples.clear()
            if result.finding is not None:
                found[result.finding.clause or item.clause] += 1
                checks[check_of(item)] += 1
                rejecting.append(item.id)
                about.update((item.clause, *item.also))
    digest = hashlib.sha256("\n".join(rejecting).encode()).hexdigest()[:16]
    also = () if found.keys() & set(fault.clauses) else tuple(c for c in fault.clauses if c in about)
    return Row(name, fault.clauses, dict(found), dict(checks), digest, also)


def check_of(item: Item) -> str:
    """Return the name of the check that an item belongs to: what would be one test if it were written by hand."""
    name = item.id.split("/")[2]
    if item.kind in ("edges", "many", "property") or name.startswith("pair-"):
        return name
    if item.kind == "calls":
        return f"{item.clause} calls" if item.case else name.partition("=")[0]
    return item.kind


def all_checks() -> tuple[str, ...]:
    """Return the names of all checks, in the order in which they are run."""
    return tuple(dict.fromkeys(check_of(item) for item in _planned()))


@cache
def _planned() -> tuple[Item, ...]:
    return tuple(plan(EVERYTHING))


def as_json(matrix: Matrix) -> str:
    """Return the matrix as JSON, one fault or clause a line."""
    faults = [
        {
            "fault": r.fault,
            "named": r.named,
            "foreseen": r.foreseen,
            "rejected_by": r.rejected_by,
            **({"also": r.also} if r.also else {}),
            "by_check": r.by_check,
            "digest": r.digest,
        }
        for r in matrix.rows
    ]
    clauses = [
        {"clause": c, "faults": len(matrix.rejecting(c)), "alone": [r.fault for r in matrix.alone(c)]}
        for c in matrix.clauses
    ]
    checks = [{"check": c, "faults": len(matrix.killed_by(c))} for c in matrix.checks]
    head = json.dumps({"format": FORMAT, "version": VERSION})[:-1]
    parts = (
        f'"{name}": [\n{_lines(v)}\n]' for name, v in (("faults", faults), ("clauses", clauses), ("checks", checks))
    )
    return f"{head}, {', '.join(parts)}}}\n"


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
        "How many faults each clause rejects, and those that no other clause does.",
        tabulate(_clause_rows(matrix), ["clause", "faults", "alone"], tablefmt="github"),
        "How many faults each check rejects.",
        tabulate([[c, len(matrix.killed_by(c))] for c in matrix.checks], ["check", "faults"], tablefmt="github"),
    )
    return "\n\n".join(parts) + "\n"


def _clause_rows(matrix: Matrix) -> list[list[Any]]:
    return [
        [CLAUSES[c].label, len(matrix.rejecting(c)), " ".join(r.fault for r in matrix.alone(c))] for c in matrix.clauses
    ]


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
