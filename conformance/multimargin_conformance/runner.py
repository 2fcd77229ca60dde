"""Run the checks on a backend and report what was found."""

from __future__ import annotations

import fnmatch
import os
import platform
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

import multimargin_vectors.store
from multimargin_conformance.accuracy import accuracy
from multimargin_conformance.adapters import resolve
from multimargin_conformance.backend import UNKNOWN, Subject, distribution_version, live
from multimargin_conformance.capabilities import ALL_DTYPES, narrowed
from multimargin_conformance.cases import find_vector
from multimargin_conformance.checks import plan
from multimargin_conformance.checks.item import Item, Scope
from multimargin_conformance.judge import call_text
from multimargin_conformance.profiles import Profile, claim, find_profile, scope_of
from multimargin_conformance.session import Result, Session
from multimargin_reference.clauses import CLAUSES
from multimargin_reports import Behaviour, Failure, Report, Verdict
from multimargin_vectors import by_id

Progress = Callable[[int, int], None]


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
    scope = scope_of(found, under_test, chosen, seed)
    items = _selected(plan(scope), select, clause)
    started = time.perf_counter()
    session = Session(under_test, seed)
    verdicts, complete = _run(items, session, fail_fast, progress)
    limits = [f"only checks {text!r}" for text in (select, clause) if text]
    return Report(
        backend=_backend(under_test),
        profile=profile,
        claim=", ".join([claim(found, under_test, chosen), *limits]),
        planned=len(items),
        verdicts=tuple(verdicts),
        behaviours=tuple(Behaviour(*key, tuple(answers)) for key, answers in session.answers.items()),
        accuracy=accuracy(session.samples) if not fail_fast else (),
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
    """Run one vector, named by its id or the start of it; return its verdicts. Raises UnknownCase for no such id."""
    vector = find_vector(case)
    under_test = resolve(backend, device=device) if isinstance(backend, str) else live(backend, device=device)
    scope = Scope((vector.dtype,), under_test.backward is not None, under_test.capabilities)
    items = [i for i in plan(scope) if i.case == vector.id]
    return _run(items, Session(under_test), False, None)[0]


def _dtypes(profile: Profile, under_test: Subject, dtypes: Sequence[str] | None) -> tuple[str, ...]:
    for name in dtypes or ():
        if name not in ALL_DTYPES:
            raise ValueError(f"dtype {name!r}, but should be one of {', '.join(ALL_DTYPES)}")
    wanted = profile.dtypes if dtypes is None else tuple(d for d in profile.dtypes if d in dtypes)
    return tuple(d for d in wanted if d in under_test.capabilities.dtypes)


def _run(
    items: Sequence[Item], session: Session, fail_fast: bool, progress: Progress | None
) -> tuple[list[Verdict], bool]:
    """Run the items in order; return their verdicts, and False when the user interrupted the run."""
    verdicts: list[Verdict] = []
    stopped, complete = "", True
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # a backend's own warnings are no verdict, whatever the caller made of warnings
        for item in items:
            try:
                result = Result("skip", reason=stopped) if stopped else _guarded(item, session)
            except KeyboardInterrupt:
                stopped, complete = "not run: interrupted", False
                result = Result("skip", reason=stopped)
            verdicts.append(_verdict(item, result, session.subject))
            if fail_fast and result.status == "fail":
                stopped = "not run: an earlier check failed"
            if progress:
                progress(len(verdicts), len(items))
    return verdicts, complete


def _guarded(item: Item, session: Session) -> Result:
    """Run one item; what goes wrong here is the suite's own fault, since backends' errors are outcomes."""
    try:
        return item.run(session)
    except Exception as error:
        return Result("error", reason=f"the suite itself failed: {type(error).__name__}: {error}")


def _verdict(item: Item, result: Result, under_test: Subject) -> Verdict:
    finding = result.finding
    clause = CLAUSES[finding.clause if finding and finding.clause else item.clause]
    failure = None
    if finding is not None:
        where = [clause.label, *([f"case {item.case}"] if item.case else []), _described(under_test, item.dtype)]
        call = call_text(by_id()[item.case].case, item.part) if item.case else ""
        failure = Failure(f"{finding.message} [{', '.join(where)}]", call, _replay(item, under_test), finding.evidence)
    return Verdict(
        item.id, clause.id, clause.title, clause.level, item.dtype, result.status, item.case, result.reason, failure
    )


def _described(under_test: Subject, dtype: str) -> str:
    words = (under_test.name, under_test.version, under_test.device, dtype)
    return " ".join(word for word in words if word not in ("", UNKNOWN))


def _replay(item: Item, under_test: Subject) -> str:
    device = f" --device {under_test.device}" if under_test.device else ""
    if not under_test.spec:
        return (
            f"multimargin_conformance.replay({item.case!r}, backend)"
            if item.case
            else (f"multimargin_conformance.check(backend, profile='full', select={item.id!r})")
        )
    if item.case:
        return f"multimargin replay {item.case} --backend {under_test.spec}{device}"
    return f"multimargin check {under_test.spec} --profile full -k '{item.id}'{device}"


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
