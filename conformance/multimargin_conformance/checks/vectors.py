"""Every golden vector on the backend: the loss or the rejection, and the gradient, are two verdicts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

import multimargin_vectors
from multimargin_conformance.calling import Arrays
from multimargin_conformance.checks.empty import calls_of_rounds, rounds
from multimargin_conformance.checks.item import Item, Scope
from multimargin_conformance.checks.single import in_range, is_refused, judge_refused, part_of
from multimargin_conformance.judge import Finding, judge
from multimargin_conformance.outcome import Observation, Returned
from multimargin_conformance.session import PASS, Result, Sample, Session, result_of
from multimargin_reference.case import Case
from multimargin_reference.expectation import Choice, Rejection, Values, expected_values
from multimargin_vectors import Vector
from multimargin_vectors.store import outlines

WHY = {
    "exact": "exact grid: nothing rounds",
    "sparse": "few active terms: a bound of a few units roundoff",
    "rounded": "derived bound on every legal evaluation",
    "special": "SPECIAL rules and derived bounds",
    "choice": "one of the permitted answers",
}
KINDS = {"exact": "exact-grid"}  # of check, where it is not the name of the vector's tier
MEASURED = ("rounded", "sparse")


def clauses() -> dict[str, list[str]]:
    """Return which clauses have vectors."""
    found: dict[str, list[str]] = {}
    for vector in outlines():
        for clause in (*vector.clauses, *vector.gradient_clauses):
            found.setdefault(clause, []).append(f"vector {vector.id}")
    return found


def items(scope: Scope) -> Iterator[Item]:
    """Yield the items of all vectors in scope."""
    for vector in multimargin_vectors.load():
        if vector.dtype in scope.dtypes and not scope.capabilities.leaves_out(vector.case):
            yield from vector_items(vector, scope)


def vector_items(vector: Vector, scope: Scope) -> Iterator[Item]:
    """Yield a vector's one or two items."""
    if vector.clauses:
        yield _item(vector, "loss", vector.clauses, scope)
    if vector.gradient_clauses and scope.gradient:
        yield _item(vector, "gradient", vector.gradient_clauses, scope)


def _item(vector: Vector, part: str, clauses: tuple[str, ...], scope: Scope) -> Item:
    clause, *also = clauses
    case = vector.case
    valid = in_range(case, vector.expected.clause) if isinstance(vector.expected, Rejection) else None

    def calls() -> list[tuple[Case, Arrays]]:
        return [(made, {}) for made in ([] if valid is None else [valid]) + calls_of_rounds(case, part)]

    def run(session: Session) -> Result:
        if isinstance(vector.expected, Rejection):
            return result_of(judge_refused(session, vector.case, part, vector.clauses[0]))
        results = (judged(session) for _ in rounds(session, vector.case, part))
        return next((result for result in results if result.status != "pass"), PASS)

    def judged(session: Session) -> Result:
        observation = session.function(part)(vector.case)
        if isinstance(vector.expected, Choice):
            return _judge_choice(session, vector, vector.expected, part, observation)
        return _judge_values(session, vector, part, observation, scope)

    name, kind = f"{clause}/{vector.dtype}/{vector.id}/{part}", KINDS.get(vector.tier, vector.tier)
    return Item(name, clause, vector.dtype, part, run, vector.id, tuple(also), kind, lambda: case, calls)


def _values(vector: Vector) -> Values:
    expected = vector.expected
    assert not isinstance(expected, Rejection)
    return expected.values if isinstance(expected, Choice) else expected


def _judge_values(session: Session, vector: Vector, part: str, observation: Observation, scope: Scope) -> Result:
    expected = part_of(_values(vector), part)
    if scope.widened:
        expected = expected.narrowed_to_widened()
    finding = judge(part, observation, expected, WHY[vector.tier])
    if finding and scope.flush:
        expected = part_of(expected_values(vector.case, flush=True), part)
        finding = judge(part, observation, expected, "with permission to flush subnormals")
    if finding is None and vector.tier in MEASURED:
        assert isinstance(observation.outcome, Returned)
        session.samples.append(Sample(part, vector.case, expected, observation.outcome.value))
    return result_of(finding)


def _judge_choice(session: Session, vector: Vector, choice: Choice, part: str, observation: Observation) -> Result:
    expected, clause = part_of(choice.values, part), vector.clauses[0]
    outcome = observation.outcome
    if "rejected" in choice.answers and is_refused(session, vector.case, part, observation):
        session.answered(choice.behaviour, clause, part, vector.dtype, choice.answers["rejected"])
        return PASS
    finding = judge(part, observation, expected, WHY["choice"])
    if finding is None:
        assert isinstance(outcome, Returned)
        kind = kind_of(outcome)
        if kind not in choice.answers:
            words = ", ".join(choice.answers.values())
            finding = Finding(f"{part} has a value of kind {kind}, but the permitted answers are: {words}")
        else:
            session.answered(choice.behaviour, clause, part, vector.dtype, choice.answers[kind])
    if finding is not None and finding.clause:  # shape and dtype of an unusual call are the choice's own clause
        finding = replace(finding, clause="" if finding.clause != "PURITY-1" else finding.clause)
    return result_of(finding)


def kind_of(outcome: Returned) -> str:
    """Return what is in a result: "nan", "inf" or "finite"."""
    values = outcome.value.astype(np.float64)
    return "nan" if np.isnan(values).any() else "inf" if np.isinf(values).any() else "finite"
