"""Nothing that a backend does in its own process stops a run: the guilty case is named, and nothing else is lost."""

from __future__ import annotations

import json
import os
import sys
import time
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from multimargin_conformance import BackendNotStarted, check
from multimargin_conformance.calling import Call
from multimargin_conformance.isolation import Limits, echo_probe
from multimargin_conformance.isolation.caller import WorkerCaller
from multimargin_conformance.isolation.link import Request
from multimargin_conformance.isolation.pipeline import NOT_RUN
from multimargin_conformance.isolation.wire import run_text
from multimargin_conformance.session import Settled
from multimargin_reports import Report
from multimargin_vectors import by_id

ADAPTER = Path(__file__).parent / "adapters" / "faulty.py"
SOME = {"profile": "core", "dtypes": ["float64"], "select": f"VALUE-[127]/float64/{'[0-9a-f]' * 16}/loss"}
QUICK = Limits(timeout=1.0, start_timeout=30.0, memory=512 << 20)
MARK = "MULTIMARGIN_TEST_MARK"

VICTIM = {  # fault: what the failure of the guilty case says
    "segfault": "crashed: the process was ended by SIGSEGV",
    "segfault-buffered": "crashed: the process was ended by SIGSEGV, but",
    "abort": "ended by SIGABRT",
    "division": "ended by SIGFPE",
    "killed": "ended by SIGKILL",
    "exit-0": "ended with status 0",
    "exit-7": "ended with status 7",
    "exit-with-words": "ended with status 1",
    "spin": "no answer in 1 s",
    "sleep": "no answer in 1 s",
    "sleep-deaf": "no answer in 1 s",
    "stop-itself": "no answer in 1 s",
    "hog": "ended with status 1",
    "grandchild-then-exit": "ended with status 3",
    "garbage": "no JSON in UTF-8",
    "garbage-and-answer": "no JSON in UTF-8",
    "garbage-flood": "no JSON",
    "not-utf-8": "UTF-8",
    "empty-line": "no JSON",
    "zeros": "no JSON",
    "half-a-line": "ended with status 0",
    "list": "no JSON object",
    "nan": "NaN is no JSON",
    "deep": "no JSON",
    "huge-number": "no JSON",
    "too-long": "more than 8 MiB",
    "text-id": "whose id is no integer",
    "true-id": "whose id is no integer",
    "unread": "a line that it could not read (what is this)",
    "wrong-id": "an answer with id",
    "negative-id": "an answer with id -1",
    "twice": "a second answer",
    "out-of-order": "no answer in 1 s",
    "no-status": "whose status is no string",
    "unknown-status": "status 'fine'",
    "done": "status 'done'",
    "unsupported": "unsupported",
    "error": "what is that",
    "rejected": "raised E: \x1b[2J no",
    "rejected-silently": "without the error's type",
    "no-result": "no object with dtype",
    "result-is-text": "no object with dtype",
    "float32": "bytes",
    "object-dtype": "dtype object",
    "wrong-shape": "shape",
    "negative-shape": "no list of sizes",
    "text-shape": "no list of sizes",
    "huge-shape": "bytes",
    "short": "a result of 1 bytes",
    "no-hex": "no string of hexadecimal digits",
    "null-hex": "no string of hexadecimal digits",
    "raw-unasked": "raw '8' of a result of shape [], but should have at most 0",
    "raw-text": "raw '8' of a result of shape [], but should have at most 0",
    "no-elements": "neither in its hex nor behind the line",
    "closes-stdout": "closed its stdout",
}
HARMLESS = [
    "none",
    "two-writes",
    "fork",
    "grandchild",
    "stderr-flood",
    "late-in-time",
    "stop-hang",
    "stop-crash",
    "stop-deaf",
    "stop-garbage",
]
NOT_STARTED = {
    "start-exit": "no such device",
    "start-segfault": "SIGSEGV",
    "start-hang": "no answer in 1 s",
    "start-silent": "closed its stdout",
    "start-garbage": "no JSON",
    "start-refused": "no licence",
    "start-version-2": "speaks protocol 2, but should speak 1",
    "start-wrong-id": "id 9, but should be 0",
    "start-returned": "not as published: done",
    "start-capabilities": "$.capabilities",
    "start-dtype": "$.capabilities.dtypes[0]: 'int4'",
    "start-no-dtype": "dtypes",
    "start-feature": "$.features[0]",
    "start-more": "expected",
}


def spec(fault: str, victim: str, folder: Path) -> str:
    return f"cmd:{sys.executable} -I {ADAPTER} {fault} {victim} {folder / 'marker'}"


def digest(case: str) -> str:
    """Return what the adapter calls a request by."""
    body, _ = run_text(Call("loss", by_id()[case].case), frozenset(), {})
    return f"{zlib.crc32(json.dumps(json.loads('{' + body + '}'), sort_keys=True).encode()):08x}"


@pytest.fixture(scope="module")
def plan() -> list[str]:
    """The cases that the run makes, in order, each once."""
    cases = [v.case for v in check("reference", isolate=False, **SOME).verdicts]
    assert len(cases) == len(set(cases)) > 100
    return cases


@pytest.fixture
def left_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], list[str]]:
    """The command lines of processes that were started during the test and still run."""
    monkeypatch.setenv(MARK, str(tmp_path))
    return lambda: _running(str(tmp_path))


def _running(mark: str) -> list[str]:
    """Look a few times: a process that was killed takes a moment to end."""
    for _ in range(40):
        found = [line for pid in Path("/proc").iterdir() if pid.name.isdigit() and (line := _marked(pid, mark))]
        if not found:
            return []
        time.sleep(0.05)
    return found


def _marked(pid: Path, mark: str) -> str:
    try:
        environment = (pid / "environ").read_bytes().split(b"\0")
        ours = f"{MARK}={mark}".encode() in environment and int(pid.name) != os.getpid()
        return (pid / "cmdline").read_text().replace("\0", " ") if ours else ""
    except OSError:
        return ""


def failures(report: Report) -> dict[str, str]:
    assert report.valid
    assert report.counts["error"] == report.counts["skip"] == 0
    return {v.case: v.failure.message for v in report.failures if v.failure}


@pytest.mark.parametrize("fault", VICTIM)
def test_the_guilty_case_is_named_and_nothing_else_is_lost(
    fault: str, plan: list[str], tmp_path: Path, left_over: Callable[[], list[str]]
) -> None:
    victim = plan[70]  # past the first window of requests
    limits = replace(QUICK, timeout=20.0) if fault == "hog" else QUICK  # a machine may take a while to give memory
    found = failures(check(spec(fault, digest(victim), tmp_path), limits=limits, **SOME))
    assert list(found) == [victim]
    assert VICTIM[fault] in found[victim]
    assert left_over() == []


@pytest.mark.parametrize("fault", HARMLESS)
def test_what_is_harmless_costs_nothing(
    fault: str, plan: list[str], tmp_path: Path, left_over: Callable[[], list[str]]
) -> None:
    report = check(spec(fault, digest(plan[-1]), tmp_path), limits=QUICK, **SOME)
    assert failures(report) == {}
    assert report.conformant
    assert left_over() == []


@pytest.mark.parametrize("fault", NOT_STARTED)
def test_a_backend_that_does_not_start_is_said_to(
    fault: str, tmp_path: Path, left_over: Callable[[], list[str]]
) -> None:
    limits = Limits(start_timeout=1.0 if fault == "start-hang" else 30.0)
    with pytest.raises(BackendNotStarted) as caught:
        check(spec(fault, "-", tmp_path), limits=limits, **SOME)
    assert NOT_STARTED[fault] in str(caught.value)
    assert left_over() == []


@pytest.mark.parametrize(
    ("backend", "text"),
    [("cmd:/no/such/program", "No such file"), ("cmd:/", "Permission denied"), ("reference", "no/such/python")],
)
def test_a_command_that_cannot_run_is_said_to(backend: str, text: str) -> None:
    with pytest.raises(BackendNotStarted, match=text):
        check(backend, limits=Limits(python="" if backend.startswith("cmd") else "/no/such/python"), **SOME)


def test_a_crash_that_does_not_recur_is_charged_to_the_earliest_unanswered_case(
    plan: list[str], tmp_path: Path
) -> None:
    found = failures(check(spec("segfault-once", digest(plan[70]), tmp_path), limits=QUICK, **SOME))
    (case,) = found
    assert plan.index(case) <= 70
    assert "none of them did that again" in found[case]


def test_a_crash_after_the_answer_is_charged_to_the_next_case(plan: list[str], tmp_path: Path) -> None:
    found = failures(check(spec("segfault-after", digest(plan[70]), tmp_path), limits=QUICK, **SOME))
    assert list(found) == [plan[71]]


def test_a_process_that_reads_no_more_is_charged_to_the_next_case(plan: list[str], tmp_path: Path) -> None:
    found = failures(check(spec("closes-stdin", digest(plan[70]), tmp_path), limits=QUICK, **SOME))
    assert list(found) == [plan[71]]


def test_the_end_of_stderr_is_evidence(plan: list[str], tmp_path: Path) -> None:
    report = check(spec("exit-with-words", digest(plan[70]), tmp_path), limits=QUICK, **SOME)
    (failure,) = report.failures
    assert failure.failure is not None
    assert failure.failure.evidence["stderr"] == "the kernel gave up"


def test_after_three_timeouts_the_rest_of_a_clause_and_dtype_is_not_run(tmp_path: Path) -> None:
    limits = Limits(timeout=0.3)
    report = check(spec("always-sleeps", "-", tmp_path), limits=limits, **{**SOME, "select": "VALUE-[17]/float64/*"})
    assert report.valid
    assert report.counts["fail"] == report.planned
    for clause in ("VALUE-1", "VALUE-7"):
        messages = [v.failure.message for v in report.verdicts if v.clause == clause and v.failure]
        assert all("no answer in 0.3 s" in m for m in messages[:3])
        assert len(messages) > 3
        assert all(f"not run: 3 earlier calls of {clause} in float64" in m for m in messages[3:])


def test_a_process_that_cannot_be_started_again_fails_the_rest(plan: list[str], tmp_path: Path) -> None:
    found = failures(check(spec("restart-exit", digest(plan[70]), tmp_path), limits=QUICK, **SOME))
    assert set(plan[71:]) <= set(found)
    assert "could not be started again" in found[plan[-1]]
    assert "only once" in found[plan[-1]]


def test_a_backend_that_never_answers_is_given_up(tmp_path: Path) -> None:
    report = check(
        spec("always-exits", "-", tmp_path),
        limits=QUICK,
        **{**SOME, "select": f"VALUE-*/float64/{'[0-9a-f]' * 16}/loss"},
    )
    found = failures(report)
    assert len(found) == report.planned > 300
    assert sum("ended with status 9" in message for message in found.values()) == 25
    assert sum("none had answered a call" in message for message in found.values()) == report.planned - 25


def test_what_an_adapter_does_not_offer_is_skipped_with_the_reason(tmp_path: Path) -> None:
    options = {"profile": "core", "dtypes": ["float64"], "clause": "PURITY-*,SHAPE-4"}
    limits = replace(QUICK, timeout=20.0)  # 100,003 rows without NumPy
    report = check(spec("none", "-", tmp_path), limits=limits, **options)
    assert report.conformant, report.failures[0]
    statuses = {c: {v.status for v in report.verdicts if v.clause == c} for c in {v.clause for v in report.verdicts}}
    skipped = {"PURITY-1", "PURITY-4", "PURITY-5", "PURITY-6"}
    assert {clause for clause, found in statuses.items() if found == {"skip"}} == skipped
    assert (statuses["PURITY-2"], statuses["SHAPE-4"]) == ({"pass"}, {"pass", "skip"})  # lines have a longest
    reasons = {v.reason for v in report.verdicts if v.status == "skip"}
    features = ("digests", "held", "layouts", "raw", "threads")
    assert reasons == {f"the adapter does not offer {name} (PROTOCOL.md)" for name in features}


def test_fail_fast_stops_and_sends_no_more(plan: list[str], tmp_path: Path) -> None:
    report = check(spec("segfault", digest(plan[3]), tmp_path), limits=QUICK, fail_fast=True, **SOME)
    assert report.verdicts[3].status == "fail"
    assert report.counts["fail"] == 1
    assert report.counts["skip"] > len(plan) / 2


def test_validation_finds_nothing_in_a_right_adapter_and_names_what_is_wrong(plan: list[str], tmp_path: Path) -> None:
    limits = Limits(timeout=1.0, validate=True)
    assert check(spec("none", "-", tmp_path), limits=limits, **SOME).conformant
    found = failures(check(spec("done", digest(plan[70]), tmp_path), limits=limits, **SOME))
    assert list(found) == [plan[70]]
    assert "not as published: $: Additional properties are not allowed ('result' was unexpected)" in found[plan[70]]


@pytest.mark.parametrize(("fault", "text"), [("none", None), ("echo-quiets", "0001"), ("echo-forgets-sign", "8000")])
def test_echo_judges_the_adapter(fault: str, text: str | None, tmp_path: Path) -> None:
    sentence = echo_probe(spec(fault, "-", tmp_path))
    assert (sentence is None) if text is None else (sentence is not None and text in sentence)


def test_a_call_that_was_given_up_while_it_was_waited_for_is_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """An earlier call of its clause was one too many: that the call has no answer is not the backend's."""
    caller = WorkerCaller.__new__(WorkerCaller)
    reasons = iter(["", "20 earlier calls of REJECT-4 in float32 ended the process"])
    request = Request("run", "")
    caller.pipeline = SimpleNamespace(  # type: ignore[assignment]
        exhausted=lambda _key: next(reasons), wait=lambda waiting: setattr(waiting, "answer", NOT_RUN)
    )
    caller.key = ("REJECT-4", "float32")
    monkeypatch.setattr(caller, "_sent_ahead", lambda _call: request)
    with pytest.raises(Settled) as caught:
        caller.call(Call("loss", next(iter(by_id().values())).case))
    assert caught.value.result.finding is not None
    assert caught.value.result.finding.message == "not run: 20 earlier calls of REJECT-4 in float32 ended the process"
