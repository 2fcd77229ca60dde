"""PURITY-3 from several threads: what one thread passes must not reach another one's result."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from multimargin_conformance import calling
from multimargin_conformance.calling import ARGUMENTS, Arrays
from multimargin_conformance.checks.item import Item, Scope
from multimargin_conformance.checks.layouts import every_other
from multimargin_conformance.checks.purity import chosen, expected_part
from multimargin_conformance.checks.sizes import call as planned_call
from multimargin_conformance.checks.sizes import expectation as plan_values
from multimargin_conformance.checks.sizes import plans
from multimargin_conformance.judge import Finding, judge
from multimargin_conformance.outcome import Observation
from multimargin_conformance.session import Result, Session, result_of
from multimargin_reference.case import Case
from multimargin_reference.expectation import Enclosures

THREADS = 4
ROUNDS = 8
FEW = 4  # calls of many rows
MANY_ROWS = (100, 10)  # likewise, whose arrays are views with gaps: a copy that is packed must be the call's own
ALIKE = (40, 40)  # of the sizes check: calls of one shape, in which a buffer that is kept for each shape shows
SINGLE = (1025,)  # likewise, without a batch
CLAUSES = {"PURITY-3": ["calls from several threads"]}


@dataclass(frozen=True)
class Call:
    """A call to be made again and again, and what is legal for it."""

    case: Case
    expected: Enclosures
    name: str
    given: Arrays = field(default_factory=dict)


def items(scope: Scope) -> Iterator[Item]:
    """Yield one item a dtype and part."""
    for dtype in scope.dtypes:
        for part in ("loss", "gradient") if scope.gradient else ("loss",):
            mixed = [Call(v.case, expected_part(v, part), f"vector {v.id}") for v in chosen(scope, dtype)]
            alike, single = (_of_shape(shape, dtype, scope, part) for shape in (ALIKE, SINGLE))
            for name, calls in (("threads", mixed), ("threads-one-shape", alike), ("threads-no-batch", single)):
                if calls:
                    yield _item(dtype, part, name, calls)
            if strided := [_with_gaps(call, part) for call in _of_shape(MANY_ROWS, dtype, scope, part)[:FEW]]:
                yield _item(dtype, part, "threads-strided", strided)


def _of_shape(shape: tuple[int, ...], dtype: str, scope: Scope, part: str) -> list[Call]:
    return [
        Call(case, expected_part(plan_values(plan), part), plan.name)
        for plan in plans(dtype)
        if plan.shape == shape and not scope.capabilities.leaves_out(case := planned_call(plan))
    ]


def _with_gaps(call: Call, part: str) -> Call:
    arrays = {name: getattr(call.case, name) for name in ARGUMENTS[part]}
    return replace(call, given={name: every_other(array) for name, array in arrays.items() if array is not None})


def _item(dtype: str, part: str, name: str, calls: list[Call]) -> Item:
    def run(session: Session) -> Result:
        session.needs("threads")
        if any(call.given for call in calls):
            session.needs("layouts")
        seen = session.caller.threads([calling.Call(part, c.case, c.given) for c in calls], THREADS, ROUNDS)
        return result_of(_first_finding(calls, seen, part))

    return Item(f"PURITY-3/{dtype}/{name}/{part}", "PURITY-3", dtype, part, run, kind="threads")


def _first_finding(calls: list[Call], seen: list[list[Observation]], part: str) -> Finding | None:
    """Judge everything that the threads saw."""
    for call, observations in zip(calls, seen, strict=True):
        why = f"{THREADS} threads call at once; {call.name}"
        for observation in observations:
            if finding := judge(part, observation, call.expected, why):
                return finding
    return None
