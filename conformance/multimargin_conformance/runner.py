"""Run the checks on a backend and report what was found."""

from __future__ import annotations

import fnmatch
import os
import platform
import shlex
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

import multimargin_vectors.store
from multimargin_conformance.accuracy import accuracy
from multimargin_conformance.adapters import resolve
from multimargin_conformance.backend import UNKNOWN, Subject, distribution_version, live
from multimargin_conformance.capabilities import ALL_DTYPES, narrowed
from multimargin_conformance.cases import Named, UnknownCase, find_case
from multimargin_conformance.checks import plan
from multimargin_conformance.checks.item import Item, Scope
from multimargin_conformance.checks.single import judge_call
from multimargin_conformance.diagnosis import Diagnosis, Failed, Smallest, diagnose
from multimargin_conformance.diagnosis.snippet import snippet
from multimargin_conformance.judge import Finding, call_text
from multimargin_conformance.profiles import Profile, claim, find_profile
from multimargin_conformance.session import Result, Session, result_of
from multimargin_reference.behaviours import meaning
from multimargin_reference.case import Case
from multimargin_reference.clauses import CLAUSES, Clause
from multimargin_reference.formats import HALVES
from multimargin_reference.rejection import rejecting_clause
from multimargin_reports import Accuracy, Behaviour, Cause, Failure, Report, Verdict
from multimargin_vectors import by_id
from multimargin_vectors.codec import call_to_json

Progress = Callable[[int, int], None]
LARGEST_WRITTEN = 1024  # logits of a smallest call that is written into the report


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
) -> Report:
    """Check an implementation and return the report; never raises for what a live backend does.

    backend: a live object, or a string as on the command line. dtypes: out of the four names, to check fewer than the
    profile asks for. fail_fast: the first failure ends the run, the rest are skips. only: KEY=VALUE limits. select: a
    glob over check ids, clause: clause ids or globs, by commas; both narrow the run and the claim. isolate: None or
    False; worker processes are not part of this version.
    Raises ValueError for an unknown profile, dtype, limit or isolate=True; UnknownBackend or BackendNotStarted where a
    string does not lead to a backend.
    """
    found = find_profile(profile)
    if isolate:
        raise ValueError("isolate=True, but this version runs every backend in the calling process")
    under_test = resolve(backend, device=device) if isinstance(backend, str) else live(backend, device=device)
    under_test = replace(under_test, capabilities=narrowed(under_test.capabilities, only))
    chosen = _dtypes(found, under_test, dtypes)
    scope = Scope(chosen, found.gradient and under_test.backward is not None, under_test.capabilities, seed)
    items = _selected(plan(scope), select, clause)
    started = time.perf_counter()
    session = Session(under_test, seed)
    results, complete = _run(items, session, fail_fast, progress)
    causes, verdicts = _explained(items, results, session, scope, explain=complete and not fail_fast)
    figures = accuracy(session.samples) if not fail_fast else ()
    limits = [f"only checks {text!r}" for text in (select, clause) if text]
    return Report(
        backend=_backend(under_test),
        profile=profile,
        claim=", ".join([claim(found, under_test, chosen), *limits]),
        planned=len(items),
        verdicts=verdicts,
        causes=causes,
        sentences={c: CLAUSES[c].sentence for c in dict.fromkeys(v.clause for v in verdicts)},
        behaviours=(*(_behaviour(*key, answers) for key, answers in session.answers.items()), *_halves(figures)),
        accuracy=figures,
        complete=complete,
        environment=environment(),
        options={"dtypes": list(chosen), "seed": seed, "fail_fast": fail_fast, "only": list(only)},
        duration_s=time.perf_counter() - started,
    )


def _selected(items: Sequence[Item], select: str, clause: str) -> list[Item]:
    """Return the items whose id matches `select` and one of whose clauses matches one of the globs in `clause`."""
    globs = clause.split(",") if clause else ["*"]
    named = {name for item in items for name in (item.clause, *item.also)}
    wanted = {name for name in named if any(fnmatch.fnmatchcase(name, glob) for glob in globs)}
    chosen = [i for i in items if wanted.intersection((i.clause, *i.also)) and fnmatch.fnmatchcase(i.id, f"*{select}*")]
    if items and not chosen:
        raise ValueError(f"no check matches id {select or '*'!r} and clause {clause or '*'!r}: see multimargin clauses")
    return chosen


def replay(case: str, backend: Any, *, device: str = "") -> list[Verdict]:
    """Run one case again and return its verdicts.

    case: a vector's id or the start of it, a file, REPORT#id (`cases.find_case`), or the id of a check. Raises
    UnknownCase where there is no such case or check.
    """
    check_id = case.count("/") == 3 and case.split("/")[0] in CLAUSES
    named = None if check_id else find_case(case)
    under_test = resolve(backend, device=device) if isinstance(backend, str) else live(backend, device=device)
    scope = Scope(under_test.capabilities.dtypes, under_test.backward is not None, under_test.capabilities)
    if named is None:
        items = [i for i in plan(scope) if i.id == case]
    elif named.vector is not None:
        items = [i for i in plan(scope) if i.case == named.vector.id and named.part in ("", i.part)]
    else:
        items = list(_items_of(named, scope))
    if check_id and not items:
        raise UnknownCase(f"no check has the id {case!r}, or the backend declares that it is not for it")
    results = _run(items, Session(under_test), False, None)[0]
    return [_verdict(item, result, under_test) for item, result in zip(items, results, strict=True)]


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


def _dtypes(profile: Profile, under_test: Subject, dtypes: Sequence[str] | None) -> tuple[str, ...]:
    for name in dtypes or ():
        if name not in ALL_DTYPES:
            raise ValueError(f"dtype {name!r}, but should be one of {', '.join(ALL_DTYPES)}")
    wanted = profile.dtypes if dtypes is None else tuple(d for d in profile.dtypes if d in dtypes)
    return tuple(d for d in wanted if d in under_test.capabilities.dtypes)


def _run(
    items: Sequence[Item], session: Session, fail_fast: bool, progress: Progress | None
) -> tuple[list[Result], bool]:
    """Run the items in order; return their results, and False when the user interrupted the run."""
    results: list[Result] = []
    stopped, complete = "", True
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # a backend's own warnings are no verdict, whatever the caller made of warnings
        for item in items:
            try:
                result = Result("skip", reason=stopped) if stopped else _guarded(item, session)
            except KeyboardInterrupt:
                stopped, complete = "not run: interrupted", False
                result = Result("skip", reason=stopped)
            results.append(result)
            if fail_fast and result.status == "fail":
                stopped = "not run: an earlier check failed"
            if progress:
                progress(len(results), len(items))
    return results, complete


def _guarded(item: Item, session: Session) -> Result:
    """Run one item; what goes wrong here is the suite's own fault, since backends' errors are outcomes."""
    try:
        return item.run(session)
    except Exception as error:
        return Result("error", reason=f"the suite itself failed: {type(error).__name__}: {error}")


def _behaviour(name: str, clause: str, part: str, dtype: str, answers: Sequence[str]) -> Behaviour:
    return Behaviour(name, clause, part, dtype, tuple(answers), {a: meaning(name, a) for a in answers})


def _halves(figures: Sequence[Accuracy]) -> list[Behaviour]:
    """Return how each half is computed, as its results show: float32 inside with one rounding, or step by step."""
    answers = {(a.dtype, a.part): "in-dtype" if a.accuracy_class == "in-dtype" else "widened" for a in figures}
    return [
        _behaviour("half precision", "DTYPE-2", part, dtype, [answer])
        for (dtype, part), answer in answers.items()
        if dtype in HALVES
    ]


def _explained(
    items: Sequence[Item], results: Sequence[Result], session: Session, scope: Scope, *, explain: bool
) -> tuple[tuple[Cause, ...], tuple[Verdict, ...]]:
    """Return the causes of the failures, and all verdicts; each cause's first failure is about its smallest call."""
    pairs = list(zip(items, results, strict=True))
    failed = [Failed(item, result.finding) for item, result in pairs if result.finding]
    diagnosis = Diagnosis()
    if explain and failed:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            diagnosis = diagnose(session, scope, items, failed)
    smallest = diagnosis.smallest
    verdicts = (_verdict(item, result, session.subject, smallest.get(item.id)) for item, result in pairs)
    return diagnosis.causes, tuple(verdicts)


def _verdict(item: Item, result: Result, under_test: Subject, smallest: Smallest | None = None) -> Verdict:
    finding = result.finding
    clause = CLAUSES[finding.clause if finding and finding.clause else item.clause]
    failure = None if finding is None else _failure(item, finding, clause, under_test, smallest)
    return Verdict(
        item.id, clause.id, clause.title, clause.level, item.dtype, result.status, item.case, result.reason, failure
    )


def _failure(item: Item, finding: Finding, clause: Clause, under_test: Subject, smallest: Smallest | None) -> Failure:
    """Say what is wrong with a check's own call, or with the smallest one that fails like it."""
    case = item.call() if item.call is not None else by_id()[item.case].case if item.case else None
    source = f"case {item.case}" if item.case else ""
    extra: dict[str, Any] = {}
    if smallest is not None and case is not None:
        source = f"shrunk from {source or item.id}" if smallest.case.id != case.id else source
        case, finding = smallest.case, smallest.finding
        vector = item.case if case.id == item.case else ""
        program = snippet(case, item.part, under_test.framework, under_test.source, vector, under_test.device)
        extra = {"snippet": program, "case": _case_data(case, item)}
    where = ", ".join(word for word in (clause.label, source, _described(under_test, item.dtype)) if word)
    call = call_text(case, item.part) if case is not None else ""
    return Failure(f"{finding.message} [{where}]", call, _replay(item, under_test), finding.evidence, **extra)


def _case_data(case: Case, item: Item) -> dict[str, Any]:
    """Return a call as JSON data: by the id of the vector that it is, or written out where it is not too large."""
    if case.id == item.case or case.input.size > LARGEST_WRITTEN:
        return {}
    return call_to_json(case, {})


def _described(under_test: Subject, dtype: str) -> str:
    words = (under_test.name, under_test.version, under_test.device, dtype)
    return " ".join(word for word in words if word not in ("", UNKNOWN))


def _replay(item: Item, under_test: Subject) -> str:
    """Return what runs a check again: on the command line, or in Python for a live object."""
    name = item.case or item.id
    if not under_test.spec:
        return f"multimargin_conformance.replay({name!r}, backend)"
    device = f" --device {under_test.device}" if under_test.device else ""
    return f"multimargin replay {shlex.quote(name)} --backend {shlex.quote(under_test.spec)}{device}"


def _backend(under_test: Subject) -> dict[str, Any]:
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
    return {**named, "spec": under_test.spec, "capabilities": declared}


def environment() -> dict[str, Any]:
    """Return what the run depended on."""
    return {
        "multimargin": distribution_version("multimargin"),
        "vectors_sha256": multimargin_vectors.store.manifest_sha256(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "ml_dtypes": distribution_version("ml_dtypes"),
        "system": platform.platform(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
    }
