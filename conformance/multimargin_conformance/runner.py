"""Run the checks on a backend and report what was found."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import multimargin_vectors
from multimargin_conformance.accuracy import accuracy, errors_by_group
from multimargin_conformance.backend import UNKNOWN, BackendNotStarted, Subject
from multimargin_conformance.calling import InProcess
from multimargin_conformance.capabilities import ALL_DTYPES, Capabilities, narrowed
from multimargin_conformance.cases import Named, UnknownCase, find_case
from multimargin_conformance.checks import plan
from multimargin_conformance.checks.item import EXAMPLES, Generated, Item, Scope
from multimargin_conformance.checks.properties import imported
from multimargin_conformance.checks.single import judge_call
from multimargin_conformance.diagnosis import Diagnosis, Failed, diagnose
from multimargin_conformance.environment import environment as environment_of
from multimargin_conformance.expectations import Entry, in_force, load, marked, stale, uses
from multimargin_conformance.interrupts import Interrupts
from multimargin_conformance.isolation import Limits, started
from multimargin_conformance.ordering import breadth_first, in_turn
from multimargin_conformance.profiles import PROFILES, claim, find_profile, scope_of
from multimargin_conformance.recording import Recorder, log_head, noted
from multimargin_conformance.session import Result, Session, Settled, result_of
from multimargin_conformance.shard_causes import leads
from multimargin_conformance.sharding import Shard, record, shard_of, share
from multimargin_conformance.timing import timed
from multimargin_conformance.verdicts import backend_data, behaviour, halves, not_run, verdict_of
from multimargin_reference.clauses import CLAUSES
from multimargin_reference.rejection import rejecting_clause
from multimargin_reports import Report, Verdict
from multimargin_reports.logfile import LogWriter

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Ran:
    """A check, what it found, and the verdict."""

    item: Item
    result: Result
    verdict: Verdict


def check(
    backend: Any,
    profile: str = "training",
    dtypes: Sequence[str] | None = None,
    fail_fast: bool = False,
    seed: int = 0,
    isolate: bool | None = None,
    *,
    only: Sequence[str] = (),
    select: str = "",
    clause: str = "",
    device: str = "",
    progress: Progress | None = None,
    expected_failures: Path | str | None = None,
    limits: Limits | None = None,
    shard: str = "",
    examples: int = EXAMPLES,
    huge: bool = False,
    log: Path | str | None = None,
) -> Report:
    """Check an implementation and return the report; never raises for what a live backend does.

    backend: a live object, or a string as on the command line. dtypes: out of the four names, to check fewer than the
    profile asks for. fail_fast: the first failure ends the run, the rest are skips; some of every kind of check are run
    before the rest, so that it comes soon. only: KEY=VALUE limits. select: a glob over check ids, clause: clause ids or
    globs, by commas; both narrow the run and the claim. isolate: in a process of its own (None: whatever is named by a
    string); limits: what that process may take.
    expected_failures: a file of known failures (expectations.py): they keep their verdicts, and do not count for
    report.as_expected. shard: part i/n of the run, for multimargin merge. seed, examples: of generated calls, so many
    of each property; huge: sizes that the oracle cannot reach too. log: a file to write what the backend answers to
    while the run goes on (report.jsonl), so that `multimargin judge` can judge it again.
    Raises ValueError for an unknown profile, dtype or limit, a wrong file of expected failures, or a live object with
    isolate=True; UnknownBackend or BackendNotStarted where a string does not lead to a backend.
    """
    found, generated = find_profile(profile), Generated(seed, examples, huge)
    part = shard_of(shard) if shard else None
    entries = load(expected_failures) if expected_failures is not None else ()
    likely = tuple(d for d in found.dtypes if d in (dtypes or ALL_DTYPES))
    guess = Scope(likely, found.gradient, Capabilities(), operator=found.operator, generated=generated)
    with Interrupts() as interrupts, np.errstate(all="ignore"):
        with started(backend, device, isolate, limits, _prepared(guess, select, clause, part)) as (declared, caller):
            if not (select or clause or fail_fast):  # most often the first failure comes before what needs it
                imported()
            under_test = replace(declared, capabilities=narrowed(declared.capabilities, only))
            entries = in_force(entries, under_test.device, under_test.version)
            scope = scope_of(found, under_test, dtypes, generated)
            planned = _selected(scope, select, clause)
            whole = plan(scope_of(found, declared, None, generated)) if entries else []
            places = share(planned, part) if part else range(len(planned))
            items = [planned[place] for place in places]
            began = time.perf_counter()
            recorder = Recorder(caller) if log is not None else None
            session = Session(under_test, caller=recorder or caller)
            environment = environment_of(under_test)
            writer = None
            if log is not None:
                head = {"profile": found.name, "planned": len(items), "environment": environment}
                writer = LogWriter(Path(log), {**head, **log_head(under_test, scope, caller.features)})
            with writer or nullcontext():
                order = breadth_first(items) if fail_fast else in_turn(items)
                note = noted(writer, recorder)
                ran, complete = _run(items, session, order, fail_fast, progress, interrupts, entries, note)
            session.caller = caller
            isolated = not isinstance(caller, InProcess)
            usual = complete and not (fail_fast or part or select or clause)
            timing: tuple[float, ...] = ()
            diagnosis = Diagnosis()
            try:
                with quiet(), interrupts.allowed():
                    timing = timed(session, scope) if usual else ()
                    diagnosis = _diagnosis(ran, session, scope) if complete and not fail_fast else diagnosis
            except KeyboardInterrupt:
                complete = False
        verdicts = [_shown(each, diagnosis, under_test, entries) for each in ran]
        own = {v.id: v.failure for v in (each.verdict for each in ran) if v.id in diagnosis.marks}
        entry_uses = uses(entries, verdicts, whole, everything)
        more = {"leads": leads(diagnosis, own), "entries": [asdict(use) for use in entry_uses]}
        kept = {"shard": {**_record(part, places, len(planned), session), **more}} if part else {}
        figures = accuracy(session.samples) if not fail_fast else ()
        observed = [behaviour(*key, answers) for key, answers in session.answers.items()]
        narrow = [f"only checks {text!r}" for text in (select, clause) if text]
        report = Report(
            backend=backend_data(under_test),
            profile=profile,
            claim=", ".join([claim(found, under_test, scope.dtypes), *narrow]),
            planned=len(items),
            verdicts=tuple(verdicts),
            behaviours=(*observed, *(() if part else halves(figures))),
            accuracy=figures,
            causes=diagnosis.causes,
            sentences={c: CLAUSES[c].sentence for c in dict.fromkeys(v.clause for v in verdicts)},
            complete=complete,
            environment=environment,
            options={
                "dtypes": list(scope.dtypes),
                **asdict(generated),
                "fail_fast": fail_fast,
                "only": list(only),
                "isolated": isolated,
                **kept,
            },
            duration_s=time.perf_counter() - began,
            timing=timing,
            stale=stale(entry_uses, verdicts) if not part else (),
        )
        if writer is not None:
            writer.end(report)
        return report


def not_started(backend: str, profile: str, error: BackendNotStarted) -> Report:
    """Return the report of a run that did not begin; it proves nothing."""
    return Report(
        backend={"name": backend, "version": UNKNOWN, "spec": backend},
        profile=find_profile(profile).name,
        claim=profile,
        planned=0,
        verdicts=(),
        complete=False,
        environment=environment_of(),
        not_started={"reason": str(error), "stderr": error.stderr},
    )


def _prepared(scope: Scope, select: str, clause: str, part: Shard | None) -> Iterator[object]:
    """Compute step by step what a run, or a part of it, will need, as far as it does not depend on the backend."""
    if not (select or clause):
        imported()
        yield None
    multimargin_vectors.load()
    yield None
    items = plan(scope, select, clause)
    for place in share(items, part) if part and items else range(len(items)):
        item = items[place]
        if item.prepare is not None:
            yield item.prepare()


def everything() -> list[Item]:
    """Return every check there is, whatever the backend and the profile."""
    return plan(Scope(ALL_DTYPES, True, Capabilities(), generated=Generated(huge=True)))


def _record(part: Shard, places: Sequence[int], planned: int, session: Session) -> dict[str, Any]:
    """Return what lets this part's report be merged with the others."""
    behaviours = [session.places[key] for key in session.answers]
    return record(part, places, planned, behaviours, errors_by_group(session.samples))


def _selected(scope: Scope, select: str, clause: str) -> list[Item]:
    """Return the items that match. Raises ValueError where there are items and none matches."""
    chosen = plan(scope, select, clause)
    if not chosen and plan(scope):
        raise ValueError(f"no check matches id {select or '*'!r} and clause {clause or '*'!r}: see multimargin clauses")
    return chosen


def replay(
    case: str, backend: Any, *, device: str = "", isolate: bool | None = None, limits: Limits | None = None
) -> list[Verdict]:
    """Run one case again and return its verdicts.

    case: a vector's id or the start of it, a file, REPORT#id (`cases.find_case`), or the id of a check. Raises
    UnknownCase where there is no such case or check.
    """
    check_id = case.count("/") == 3 and case.split("/")[0] in CLAUSES
    named = None if check_id else find_case(case)
    with started(backend, device, isolate, limits) as (under_test, caller):
        items = list(_replayed(case, named, scope_of(PROFILES["full"], under_test)))
        session = Session(under_test, caller=caller)
        return [each.verdict for each in _run(items, session, range(len(items)), False, None, Interrupts())[0]]


def _replayed(case: str, named: Named | None, scope: Scope) -> Iterator[Item]:
    """Yield the checks that a case, or the id of a check, stands for."""
    if named is not None and named.vector is None:
        yield from _items_of(named, scope)
        return
    vector = named.vector.id if named is not None and named.vector is not None else ""
    part = named.part if named is not None else ""
    planned = plan(scope, select=vector, clause="" if vector else case.split("/")[0])  # a vector's id is in its checks'
    chosen = [i for i in planned if i.id == case or (vector and i.case == vector and part in ("", i.part))]
    if named is None and not chosen:
        raise UnknownCase(f"no check has the id {case!r}, or the backend declares that it is not for it")
    yield from chosen


def _items_of(named: Named, scope: Scope) -> Iterator[Item]:
    """Yield the checks of a case that is no vector: its loss, and its gradient where it has a grad_output."""
    case, dtype = named.case, named.case.dtype if named.case.dtype in ALL_DTYPES else "float64"
    given = ("loss", "gradient") if case.grad_output is not None and scope.gradient else ("loss",)
    for part in given:
        if named.part in ("", part):
            usual = rejecting_clause(case) or {"loss": "VALUE-9", "gradient": "GRADIENT-11"}[part]
            clause = named.clause if named.clause in CLAUSES else usual
            yield Item(
                id=f"{clause}/{dtype}/{case.id}/{part}",
                clause=clause,
                dtype=dtype,
                part=part,
                run=lambda session, part=part: result_of(judge_call(session, case, part, scope)),  # type: ignore[misc]
                call=lambda: case,
            )


def _run(
    items: Sequence[Item],
    session: Session,
    order: Sequence[int],
    fail_fast: bool,
    progress: Progress | None,
    interrupts: Interrupts,
    entries: Sequence[Entry] = (),
    noted: Callable[[Verdict], None] = lambda _: None,
) -> tuple[list[Ran], bool]:
    """Run the items in an order; return what they found by place, and False when the user interrupted the run.

    Interruptions are held from then on.
    """
    ran: dict[int, Ran] = {}
    stopped, complete = "", True

    def settled(place: int, found: Ran) -> None:
        ran[place] = found
        noted(found.verdict)
        if progress:
            progress(len(ran), len(items))

    with quiet():
        try:
            for place, item in zip(order, session.caller.ahead([items[place] for place in order]), strict=True):
                session.place = place
                found = _ran(item, _guarded(item, session), session, entries)
                with interrupts.held():
                    settled(place, found)
                if fail_fast and found.result.status == "fail" and not found.verdict.known:
                    stopped = "not run: an earlier check failed"
                    break
            interrupts.hold()
        except KeyboardInterrupt:
            interrupts.hold()
            stopped, complete = "not run: interrupted", False
    skipped = Result("skip", reason=stopped)
    for place in order[len(ran) :]:
        item = items[place]
        settled(place, Ran(item, skipped, not_run(item.id, item.clause, item.dtype, item.case, stopped)))
    for turn, result in ({} if stopped else session.caller.late()).items():
        ran[order[turn]] = _ran(items[order[turn]], result, session, entries)
    return [ran[place] for place in range(len(items))], complete


def _ran(item: Item, result: Result, session: Session, entries: Sequence[Entry]) -> Ran:
    return Ran(item, result, marked(verdict_of(item, result, session.subject), entries))


def run_some(items: Sequence[Item], session: Session) -> Iterator[Verdict]:
    """Yield the verdicts of some of a run's checks, as they are run; raises KeyboardInterrupt alone."""
    for item in session.caller.ahead(items):
        with quiet():
            verdict = verdict_of(item, _guarded(item, session), session.subject)
        yield verdict


def late_verdicts(items: Sequence[Item], session: Session) -> dict[str, Verdict]:
    """Return, after all of some checks, the verdicts of those that turned out to be failures later, by id."""
    late = session.caller.late()
    return {items[place].id: verdict_of(items[place], result, session.subject) for place, result in late.items()}


@contextmanager
def quiet() -> Iterator[None]:
    """Ignore warnings: a backend's own are no verdict, whatever the caller made of warnings."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


def _guarded(item: Item, session: Session) -> Result:
    """Run one item; what goes wrong here is the suite's own fault, since backends' errors are outcomes."""
    try:
        return session.caller.settle(_result(item, session))
    except Exception as error:
        return Result("error", reason=f"the suite itself failed: {type(error).__name__}: {error}")


def _result(item: Item, session: Session) -> Result:
    try:
        return item.run(session)
    except Settled as settled:
        return settled.result


def _diagnosis(ran: Sequence[Ran], session: Session, scope: Scope) -> Diagnosis:
    """Look into the failures that were not expected."""
    failed = [Failed(r.item, r.result.finding) for r in ran if r.result.finding and not r.verdict.known]
    if not failed:
        return Diagnosis()
    with quiet():
        return diagnose(session, scope, [r.item for r in ran], failed)


def _shown(ran: Ran, diagnosis: Diagnosis, under_test: Subject, entries: Sequence[Entry]) -> Verdict:
    """Return a verdict; the first one of each cause is about the smallest call."""
    smallest = diagnosis.smallest.get(ran.item.id)
    return ran.verdict if smallest is None else marked(verdict_of(ran.item, ran.result, under_test, smallest), entries)
