"""Failures grouped by what is probably their one cause, each with the smallest call that shows it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

from multimargin_conformance.backend import live
from multimargin_conformance.checks.item import Item, Scope
from multimargin_conformance.checks.single import judge_call
from multimargin_conformance.diagnosis.equals import Call, answer, best, is_right, like, same
from multimargin_conformance.diagnosis.joining import NAMED, Mark, Part, joined, named
from multimargin_conformance.diagnosis.shrink import cost, shrink
from multimargin_conformance.judge import Finding
from multimargin_conformance.session import Session, Settled
from multimargin_reference.case import Case
from multimargin_reference.clauses import CLAUSES
from multimargin_reference.exact_values import exact_values
from multimargin_reference.known import Fault
from multimargin_reference.rejection import rejecting_clause
from multimargin_reports import Cause
from multimargin_vectors import by_id
from multimargin_vectors.draft import has_kink

SECONDS = 15.0  # for all causes of a run together; of later ones the call is kept as it failed, and grouped plainly
CALLS = 3  # of a clause and dtype: failed ones that are compared with known faults, as many in a shard as in a run
PASSED = 2  # passed ones
LARGEST_JUDGED = 4096  # logits of a call that is judged again; what is legal for large ones takes seconds to find out
MOST_CAUSES = 12  # that are looked into; the failures that are left are grouped by their clauses
EXACT = ("exact", "rejection", "special")  # tiers whose results do not depend on the order of summation
CERTAIN = ("exact", "rejection")  # and those with one right answer
GENERATED = ("property", "orders")  # kinds of checks that draw their calls
LONGEST_TITLE = 80  # characters of a message


@dataclass(frozen=True)
class Failed:
    """A failed check and what was wrong."""

    item: Item
    finding: Finding

    @property
    def clause(self) -> str:
        """The clause that the failure breaks."""
        return self.finding.clause or self.item.clause

    @property
    def call(self) -> Case | None:
        """The call that failed: the check's own, or the one that it chose; None where it is more than a call."""
        return self.finding.case or (self.item.call() if self.item.call is not None else None)


@dataclass(frozen=True)
class Smallest:
    """The smallest call found that fails like the check, and what is wrong with it."""

    case: Case
    finding: Finding


@dataclass(frozen=True)
class Diagnosis:
    """The causes, and by the id of each cause's first verdict the smallest call, and what to know it by elsewhere."""

    causes: tuple[Cause, ...] = ()
    smallest: Mapping[str, Smallest] = field(default_factory=dict)
    marks: Mapping[str, Mark] = field(default_factory=dict)


@dataclass
class Work:
    """What is known about one run's failures while they are being sorted."""

    session: Session
    scope: Scope
    items: Sequence[Item]
    failed: Sequence[Failed]
    end: float

    @cached_property
    def calls(self) -> dict[str, Call]:
        """Failed calls whose results do not depend on rounding, made again, by check id; every clause has its share.

        One that is answered rightly when it is made alone says nothing: another call, or memory, was the matter there.
        """
        chosen = [f for f in self.failed if _comparable(f) and not _costs_a_process(f.finding)]
        made = {f.item.id: self._made(f.call, f.item.part) for f in _some(chosen, CALLS, lambda f: f.item)}
        return {id_: call for id_, call in made.items() if not is_right(call)}

    @cached_property
    def passed(self) -> list[Call]:
        """Calls that were answered rightly, made again."""
        wrong = {f.item.id for f in self.failed}
        right = [i for i in self.items if i.call and _tier(i) in CERTAIN and i.id not in wrong]
        return [self._made(item.call and item.call(), item.part) for item in _some(right, PASSED, lambda item: item)]

    def _made(self, case: Case | None, part: str) -> Call:
        assert case is not None
        return Call(case, part, self.session.function(part)(case).outcome)


T = TypeVar("T")


def spread(values: Sequence[T], count: int) -> list[T]:
    """Return about `count` of the values, evenly spread."""
    return list(values[:: max(1, -(-len(values) // count))])


def _some(values: Sequence[T], count: int, item: Callable[[T], Item]) -> list[T]:
    """Return about `count` of the values for each clause and dtype of their items."""
    groups: dict[tuple[str, str], list[T]] = {}
    for value in values:
        groups.setdefault((item(value).clause, item(value).dtype), []).append(value)
    return [value for group in groups.values() for value in spread(group, count)]


def diagnose(session: Session, scope: Scope, items: Sequence[Item], failed: Sequence[Failed]) -> Diagnosis:
    """Sort failures into causes. items: everything that was run. failed: the failures that are not known ones."""
    work = Work(session, scope, items, failed, time.monotonic() + SECONDS)
    causes: dict[str, tuple[Part, Smallest | None]] = {}
    pending = list(failed)
    while pending:
        of_one_clause = [f for f in pending if f.clause == pending[0].clause]
        members, faults = _looked_into(work, pending) if len(causes) < MOST_CAUSES else (of_one_clause, [])
        taken = {f.item.id for f in members}
        pending = [f for f in pending if f.item.id not in taken]
        part, smallest = _cause(work, members, faults)
        causes[part.cause.verdicts[0]] = part, smallest
    order = {f.item.id: place for place, f in enumerate(failed)}
    found = joined([part for part, _ in causes.values()], order, {f.item.id: f.clause for f in failed})
    firsts = {cause.verdicts[0]: causes[cause.verdicts[0]] for cause in found}
    shrunk = {id_: smallest for id_, (_, smallest) in firsts.items() if smallest is not None}
    return Diagnosis(found, shrunk, {id_: part.mark for id_, (part, _) in firsts.items()})


def _looked_into(work: Work, pending: list[Failed]) -> tuple[list[Failed], list[Fault]]:
    """Return the first cause's failures; where the backend is called no more, they are grouped by what was found."""
    try:
        return _group(work, pending)
    except Settled:  # a process that was lost too often
        work.end = 0.0
        return _group(work, pending)


def _group(work: Work, pending: list[Failed]) -> tuple[list[Failed], list[Fault]]:
    """Return the failures that have the first one's cause, and the known faults that give the same results."""
    known = work.calls if time.monotonic() < work.end else {}
    first = next((f for f in pending if f.item.id in known), None)
    if first is not None:
        rest = {f.item.id for f in pending}
        calls = {key: call for key, call in work.calls.items() if key in rest}
        alike = [calls[f.item.id] for f in pending if _kind(f) == _kind(first) and f.item.id in calls]
        candidates = like(calls[first.item.id])
        for call in alike:  # a fault that explains one such call and not the next is none
            candidates = like(call, candidates)
        faults, _ = best(candidates, list(calls.values()), lambda: work.passed)
        if faults:
            return _members(work, pending, first, faults)
    lead = pending[0]
    return [f for f in pending if _kind(f) == _kind(lead)], []


def _members(work: Work, pending: list[Failed], first: Failed, faults: list[Fault]) -> tuple[list[Failed], list[Fault]]:
    """Return the failures that one of a few faults explains, and the faults, that one first.

    It is the first that explains all failures of the first one's kind, or the one that explains most.
    """
    kind, best_of = _kind(first), (faults[0], list[Failed]())
    for fault in faults[:NAMED]:
        members = [f for f in pending if _explained(work, f, fault)]
        if len(members) > len(best_of[1]):
            best_of = fault, members
        ids = {f.item.id for f in members}
        if all(f.item.id in ids for f in pending if _kind(f) == kind):
            break
    fault, members = best_of
    return _first_by_clause(members, fault), [fault, *(f for f in faults if f is not fault)]


def _explained(work: Work, failed: Failed, fault: Fault) -> bool:
    """Whether a fault does the same on a failed call, or fails the same check."""
    if call := work.calls.get(failed.item.id):
        return same(answer(fault, call.case, call.part).outcome, call.outcome)
    return failed.item.run(Session(live(fault.make()))).status == "fail"


def _first_by_clause(members: list[Failed], fault: Fault) -> list[Failed]:
    """Put the failures of the clauses that the fault breaks first: those are what it is about."""
    return sorted(members, key=lambda f: fault.clauses.index(f.clause) if f.clause in fault.clauses else 99)


def _kind(failed: Failed) -> tuple[str, ...]:
    """Return what kind of failure it is: of the same error, of one form clause, or of one clause and part."""
    finding, item = failed.finding, failed.item
    if "got" in finding.evidence:
        return ("values", item.clause, item.part)
    plain = re.sub(r"(?:/[\w.+-]+){2,}", "/#", finding.message.split(";")[0])  # a file may have another name each time
    text = re.sub(r"[-+]?\d[\d.e+-]*", "#", plain)[:120]
    return ("no value", text)


def _cause(work: Work, members: list[Failed], faults: list[Fault]) -> tuple[Part, Smallest | None]:
    """Make a cause of its failures; the one that shrinks best comes first."""
    lead = _representative(members)
    smallest = _shrunk(work, lead)
    ids = (lead.item.id, *(f.item.id for f in members if f is not lead))
    title = f"equals: {faults[0].sentence}" if faults else _title(lead)
    price = listed(cost(lead.call)) if lead.call is not None else []
    mark = Mark([fault.name for fault in faults], " ".join(_kind(lead)), _same_call(smallest), price)
    return Part(Cause(title, ids, named(faults)), mark), smallest


def _title(failed: Failed) -> str:
    """Return the clause, and what is wrong where it is not a value."""
    label = CLAUSES[failed.clause].label
    if "got" in failed.finding.evidence:
        return label
    message = failed.finding.message.split("; ")[0]
    return f"{label}: {message if len(message) <= LONGEST_TITLE else message[:LONGEST_TITLE] + '...'}"


def _representative(members: list[Failed]) -> Failed:
    """Return the failure with the simplest call, of the clause that comes first; a generated call comes last.

    What a check generates may be another call in another version, so that its id says less than that of a fixed one.
    """
    calls = [(f, f.call) for f in members if f.clause == members[0].clause]
    sized = [(f.item.kind in GENERATED, cost(call), k) for k, (f, call) in enumerate(calls) if call is not None]
    return calls[min(sized)[2]][0] if sized else members[0]


def _shrunk(work: Work, failed: Failed) -> Smallest | None:
    """Return the smallest call found in the time left that fails in the same way; None where it is no single call."""
    item, start = failed.item, failed.call
    if start is None:
        return None
    if _tier(item) == "choice" or _costs_a_process(failed.finding):
        return Smallest(start, failed.finding)
    kink = _kink(start)
    findings: dict[str, Finding] = {}

    def fails(case: Case) -> bool:
        if case.input.size > LARGEST_JUDGED:
            return False
        finding = _finding(work, case, item.part)
        if finding is None or _way(finding) != _way(failed.finding) or (_kink(case) and not kink):
            return False
        findings[case.id] = finding
        return True

    if start.input.size > LARGEST_JUDGED:
        findings[start.id] = failed.finding
    elif not fails(start):
        return None  # not every time, not in C order, or not alone
    smallest = shrink(start, fails, _row(start, failed.finding), work.end - time.monotonic())
    return Smallest(smallest, findings[smallest.id])


def _costs_a_process(finding: Finding) -> bool:
    """Whether a call ended its process or its time: it is not made again for the sake of an explanation."""
    return ": crashed: " in finding.message or ": no answer in " in finding.message


def _kink(case: Case) -> bool:
    """Whether a valid call has a z of 0: shrinking must not bring in what has clauses of its own."""
    return not rejecting_clause(case) and case.target.dtype.kind in "iu" and has_kink(case)


def _finding(work: Work, case: Case, part: str) -> Finding | None:
    try:
        return judge_call(work.session, case, part, work.scope)
    except (ArithmeticError, ValueError, TypeError, IndexError, Settled):  # no call at all, or one that is not made
        return None


def _way(finding: Finding) -> tuple[str, ...]:
    """Return in which way a result is wrong; shrinking must not slip from one to another."""
    if "got" in finding.evidence and "index" in finding.evidence:
        return ("value", "special" if isinstance(finding.evidence["got"]["value"], str) else "finite")
    return (re.sub(r"[^a-zA-Z :]", "", finding.message.split(",")[0])[:40],)


def _row(case: Case, finding: Finding) -> int:
    """Return a row that a failure is about."""
    index = finding.evidence.get("index", 0)
    per_row = case.input.shape[-1] if finding.evidence.get("part") == "gradient" and case.input.ndim == 2 else 1
    return int(index) // max(1, per_row)


def _comparable(failed: Failed) -> bool:
    """Whether a failed call's result does not depend on the order of summation."""
    item, chosen = failed.item, failed.finding.case
    if chosen is not None:
        return bool(rejecting_clause(chosen)) or exact_values(chosen) is not None
    return item.call is not None and bool(item.case) and _tier(item) in EXACT


def _tier(item: Item) -> str:
    return by_id()[item.case].tier if item.case else ""


def _same_call(smallest: Smallest | None) -> str:
    if smallest is None:
        return ""
    case = smallest.case
    arrays = (case.input, case.target, case.weight, case.grad_output)
    texts = [f"{a.shape}{a.tolist()}" if a is not None else "-" for a in arrays]
    return f"{texts}{case.p}{case.margin}{case.reduction}{smallest.finding.evidence.get('part')}"


def listed(value: Any) -> Any:
    """Return tuples as lists, as JSON has them."""
    return [listed(one) for one in value] if isinstance(value, tuple) else value
