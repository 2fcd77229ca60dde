"""Verdicts, failures and behaviours as a report holds them, made of what the checks found."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from multimargin_conformance.backend import UNKNOWN, Subject
from multimargin_conformance.checks.item import Item
from multimargin_conformance.diagnosis import Smallest
from multimargin_conformance.diagnosis.snippet import snippet
from multimargin_conformance.judge import Finding, call_text
from multimargin_conformance.session import Result
from multimargin_reference.behaviours import meaning
from multimargin_reference.case import Case
from multimargin_reference.clauses import CLAUSES, Clause
from multimargin_reference.formats import HALVES
from multimargin_reports import Accuracy, Behaviour, Failure, Verdict
from multimargin_reports.model import replay_command
from multimargin_vectors import by_id
from multimargin_vectors.codec import call_to_json

GENERATED = ("property", "orders")  # kinds of checks whose calls are nowhere else
MOST_NOT_RUN = 2**15  # checks that were not run, of which is kept what is said of them
LARGEST_WRITTEN = 1024  # logits of a smallest call that is written into the report


def behaviour(name: str, clause: str, part: str, dtype: str, answers: Sequence[str]) -> Behaviour:
    """Return an observed choice with what its answers mean."""
    return Behaviour(name, clause, part, dtype, tuple(answers), {a: meaning(name, a) for a in answers})


def halves(figures: Sequence[Accuracy]) -> list[Behaviour]:
    """Return how each half is computed, as its results show: float32 inside with one rounding, or step by step."""
    answers = {(a.dtype, a.part): "in-dtype" if a.accuracy_class == "in-dtype" else "widened" for a in figures}
    return [
        behaviour("half precision", "DTYPE-2", part, dtype, [answer])
        for (dtype, part), answer in answers.items()
        if dtype in HALVES
    ]


def verdict_of(item: Item, result: Result, under_test: Subject, smallest: Smallest | None = None) -> Verdict:
    """Return the verdict of a check; a failure is about the smallest call where one is given."""
    finding = result.finding
    clause = CLAUSES[finding.clause if finding and finding.clause else item.clause]
    failure = None if finding is None else _failure(item, finding, clause, under_test, smallest)
    return Verdict(
        item.id, clause.id, clause.title, clause.level, item.dtype, result.status, item.case, result.reason, failure
    )


@lru_cache(maxsize=MOST_NOT_RUN)
def not_run(name: str, clause: str, dtype: str, case: str, reason: str) -> Verdict:
    """Return the verdict of a check that was not run: kept, for after an early failure that is most of them."""
    found = CLAUSES[clause]
    return Verdict(name, found.id, found.title, found.level, dtype, "skip", case, reason)


def _failure(item: Item, finding: Finding, clause: Clause, under_test: Subject, smallest: Smallest | None) -> Failure:
    """Say what is wrong with a check's own call, or with the smallest one that fails like it."""
    case = finding.case or (item.call() if item.call is not None else by_id()[item.case].case if item.case else None)
    source = f"case {item.case}" if item.case else ""
    if smallest is not None and case is not None:
        source = f"shrunk from {source or item.id}" if smallest.case.id != case.id else source
        case, finding = smallest.case, smallest.finding
    written = case is not None and (smallest is not None or item.kind in GENERATED)
    extra = _written_out(case, item, under_test) if written and case is not None else {}
    where = ", ".join(word for word in (clause.label, source, _described(under_test, item.dtype)) if word)
    call = call_text(case, item.part) if case is not None else ""
    return Failure(
        f"{finding.message} [{where}]",
        call,
        replay_command(vars(under_test), item.case or item.id),
        finding.evidence,
        **extra,
    )


def _written_out(case: Case, item: Item, under_test: Subject) -> dict[str, Any]:
    """Return a program that makes a call, and the call as data, for what is no plain vector."""
    vector = item.case if case.id == item.case else ""
    program = snippet(case, item.part, under_test.framework, under_test.source, vector, under_test.device)
    return {"snippet": program, "case": _case_data(case, item)}


def _case_data(case: Case, item: Item) -> dict[str, Any]:
    """Return a call as JSON data: by the id of the vector that it is, or written out where it is not too large."""
    if case.id == item.case or case.input.size > LARGEST_WRITTEN:
        return {}
    return call_to_json(case, {})


def _described(under_test: Subject, dtype: str) -> str:
    words = (under_test.name, under_test.version, under_test.device, dtype)
    return " ".join(word for word in words if word not in ("", UNKNOWN))


def backend_data(under_test: Subject) -> dict[str, Any]:
    """Return what a report says about the backend."""
    c = under_test.capabilities
    declared = {
        "dtypes": list(c.dtypes),
        "p": list(c.p),
        "reductions": list(c.reductions),
        "shapes": list(c.shapes),
        "gradient": under_test.backward is not None,
        "permissions": list(c.permissions),
    }
    named = {"name": under_test.name, "version": under_test.version, "device": under_test.device}
    elsewhere = {"python": under_test.python} if under_test.python else {}
    return {**named, "spec": under_test.spec, **elsewhere, "capabilities": declared}
