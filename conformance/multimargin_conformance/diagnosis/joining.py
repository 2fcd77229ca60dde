"""Which causes are one: within a run, where failures were grouped by what they look like, and between its shards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from multimargin_reference.known import FAULTS, Fault
from multimargin_reports import Cause

NAMED = 3  # known faults that are named for one cause


@dataclass(frozen=True)
class Mark:
    """What tells that two causes are one, and which of their first verdicts comes first.

    faults: the names of all known faults that give the same results. kind: what kind of failure it is. call: the
    smallest call without its dtype, "" where there is none. cost: how complicated the first verdict's own call is, as
    JSON data.
    """

    faults: list[str]
    kind: str
    call: str
    cost: Any


@dataclass(frozen=True)
class Part:
    """A cause, or what a shard has of one."""

    cause: Cause
    mark: Mark

    def is_one_with(self, other: Part) -> bool:
        """Whether both are one cause: of one known fault, or of none and of one kind or smallest call."""
        mine, theirs = self.mark, other.mark
        if mine.faults or theirs.faults:
            return bool(set(mine.faults) & set(theirs.faults))
        same_call = mine.call and mine.call == theirs.call
        return bool(same_call) or (mine.kind == theirs.kind and self.cause.title == other.cause.title)


def joined(parts: Iterable[Part], order: Mapping[str, int], clauses: Mapping[str, str]) -> tuple[Cause, ...]:
    """Return the causes that these are the parts of, the earliest first.

    order: the places of the failed verdicts in the whole run, by id. clauses: the clauses that they break.
    """

    def place(cause: Cause) -> int:
        return min(order[id_] for id_ in cause.verdicts)

    groups: list[list[Part]] = []
    for part in sorted(parts, key=lambda part: place(part.cause)):
        known = next((g for g in groups if any(part.is_one_with(other) for other in g)), None)
        if known is None:
            groups.append([part])
        else:
            known.append(part)
    return tuple(sorted((_cause(group, order, clauses) for group in groups), key=place))


def _cause(group: Sequence[Part], order: Mapping[str, int], clauses: Mapping[str, str]) -> Cause:
    """Return one cause of its parts; the simplest first verdict of the clause that it is about comes first."""
    shared = [name for name in group[0].mark.faults if all(name in part.mark.faults for part in group)]
    by_name = {fault.name: fault for fault in FAULTS}
    faults = [by_name[name] for name in shared or group[0].mark.faults[:1] if name in by_name]
    about = faults[0].clauses if faults else ()

    def rank(id_: str) -> tuple[int, int]:
        return (about.index(clauses[id_]) if clauses[id_] in about else len(about), order[id_])

    ids = sorted((id_ for part in group for id_ in part.cause.verdicts), key=lambda id_: order[id_])
    clause = clauses[min(ids, key=rank)]
    candidates = [part for part in group if clauses[part.cause.verdicts[0]] == clause] or list(group)
    lead = min(candidates, key=lambda part: (part.mark.cost, rank(part.cause.verdicts[0])))
    first = lead.cause.verdicts[0]
    title = f"equals: {faults[0].sentence}" if faults else lead.cause.title
    return Cause(title, (first, *(id_ for id_ in ids if id_ != first)), named(faults))


def named(faults: Sequence[Fault]) -> tuple[tuple[str, str], ...]:
    """Return name and sentence of the first few known faults."""
    return tuple((fault.name, fault.sentence) for fault in faults[:NAMED])
