"""The causes of a run's failures, of those that its shards found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from multimargin_conformance.diagnosis import Diagnosis, Mark, Part, joined
from multimargin_reports import Cause, Failure, Report, Verdict


@dataclass(frozen=True)
class Lead:
    """What a shard keeps of a cause's first verdict: its mark, and its own failure before it was shrunk."""

    mark: Mark
    failure: Failure | None

    @classmethod
    def of(cls, data: Any) -> Lead:
        """Return what a report file has. Raises ValueError, TypeError or KeyError where that is not of this version."""
        mark = Mark(**data["mark"])
        texts = [mark.kind, mark.call, *mark.faults]
        if type(mark.faults) is not list or not all(type(text) is str for text in texts) or type(mark.cost) is not list:
            raise ValueError("a mark of other types")
        failure = None if data["failure"] is None else Failure(**data["failure"])
        if failure is not None and type(failure.message) is not str:
            raise ValueError("a failure without a message")
        return cls(mark, failure)


def leads(diagnosis: Diagnosis, own: Mapping[str, Failure | None]) -> list[dict[str, Any]]:
    """Return what a shard keeps of its causes, in their order. own: each first verdict's failure, not yet shrunk."""
    return [asdict(Lead(mark, own.get(id_))) for id_, mark in diagnosis.marks.items()]


def causes_of(
    reports: Sequence[Report], kept: Sequence[Sequence[Lead]], verdicts: Sequence[Verdict]
) -> tuple[tuple[Cause, ...], list[Verdict]]:
    """Return the causes of a whole run, and its verdicts: only the first of each cause is about its smallest call.

    kept: what each shard kept of its causes. verdicts: in the run's order.
    """
    order = {verdict.id: place for place, verdict in enumerate(verdicts)}
    clauses = {verdict.id: verdict.clause for verdict in verdicts}
    pairs = [pair for r, some in zip(reports, kept, strict=True) for pair in zip(r.causes, some, strict=True)]
    causes = joined([Part(cause, lead.mark) for cause, lead in pairs], order, clauses)
    first = {cause.verdicts[0] for cause in causes}
    again = {cause.verdicts[0]: lead.failure for cause, lead in pairs if cause.verdicts[0] not in first}
    return causes, [replace(v, failure=again[v.id]) if again.get(v.id) else v for v in verdicts]
