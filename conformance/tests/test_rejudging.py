"""A run judged again from its log: the same verdicts without the backend, and others where the oracle says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from multimargin_conformance import check
from multimargin_conformance.calling import Call
from multimargin_conformance.cli import INVALID, NOT_CONFORMANT, USAGE, main
from multimargin_conformance.outcome import (
    Crashed,
    Malformed,
    Observation,
    Outcome,
    Raised,
    Returned,
    TimedOut,
    Unsupported,
)
from multimargin_conformance.recording import Reading, Unrecorded, Writing
from multimargin_conformance.rejudging import Recorded, rejudge
from multimargin_reference.case import Case
from multimargin_reference.known import FAULTS, MODEL
from multimargin_reports.logfile import read_log

BY_NAME = {fault.name: fault for fault in FAULTS}
PART = "GRADIENT-4,PURITY-[134],REJECT-4,VALUE-1"


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, arguments)
    return result.exit_code, result.output


@pytest.mark.parametrize(
    "name",
    [
        "kink-full",
        "loss-buffer-reused",
        "input-overwritten-by-backward",
        "nan-instead-of-error",
        "threads-share-scratch",
        "results-from-a-slab",
    ],
)
def test_the_verdicts_of_a_log_are_those_of_the_run(name: str, tmp_path: Path) -> None:
    log = tmp_path / "report.jsonl"
    report = check(BY_NAME[name].make(), dtypes=["float32"], clause=PART, log=log)
    assert not report.conformant
    read = read_log(log)
    assert {v.id: v for v in read.report.verdicts} == {v.id: v for v in report.verdicts}  # in the order of the run
    assert len(read.report.verdicts) == report.planned
    found = rejudge(read)
    assert (found.judged, found.differences, found.left) == (report.planned, (), {})


@pytest.mark.parametrize(("options", "clauses"), [(["--isolate"], "PURITY-4,SHAPE-7"), (["-j", "2"], "SHAPE-[67]")])
def test_the_command_judges_what_a_worker_answered(options: list[str], clauses: str, tmp_path: Path) -> None:
    arguments = ["check", "reference", "--clause", clauses, "--output", str(tmp_path), *options]
    assert run(*arguments)[0] == 0
    for name in ("report.json", "report.jsonl"):
        status, text = run("judge", str(tmp_path / name))
        assert status == 0, text
        assert "0 are others than recorded" in text
    whole = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert {v.id for v in read_log(tmp_path / "report.jsonl").report.verdicts} >= {
        v for v in whole["verdicts"] if isinstance(v, str) and not v.startswith("/")
    }


def changed(log: Path, change: Any) -> None:
    """Edit a log's lines, and give it the footer that it would have had."""
    import hashlib

    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    change(lines)
    texts = [json.dumps(line, separators=(",", ":")) + "\n" for line in lines[:-1]]
    lines[-1]["sha256"] = hashlib.sha256("".join(texts).encode()).hexdigest()
    log.write_text("".join(texts) + json.dumps(lines[-1]) + "\n", encoding="utf-8")


def one_call(tmp_path: Path) -> Path:
    log = tmp_path / "report.jsonl"
    check(MODEL, clause="VALUE-8", log=log)
    return log


def test_another_answer_is_another_verdict(tmp_path: Path) -> None:
    log = one_call(tmp_path)

    def wrong(lines: list[dict[str, Any]]) -> None:
        answer = lines[1]["calls"][0]["answer"]
        answer["hex"] = np.frombuffer(bytes.fromhex(answer["hex"]), np.uint8)[::-1].tobytes().hex()

    changed(log, wrong)
    status, text = run("judge", str(log))
    assert status == NOT_CONFORMANT
    assert "recorded pass, today fail: loss" in text
    assert "1 are others than recorded" in text


def test_another_oracle_is_another_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing = check(BY_NAME["kink-full"].make(), clause="GRADIENT-4", log=tmp_path / "report.jsonl")
    monkeypatch.setattr("multimargin_conformance.checks.vectors.judge", lambda *_, **__: None)
    found = rejudge(read_log(tmp_path / "report.jsonl"))
    assert failing.failures
    assert {(d.recorded, d.today) for d in found.differences} == {("fail", "pass")}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda lines: lines[1]["calls"].clear(), "a call that was not made then"),
        (lambda lines: lines[1]["calls"][0].update(call="l 0"), "another call than was made then"),
        (lambda lines: lines[1]["calls"][0].update(event="now"), "another call than was made then"),
        (lambda lines: lines[1]["calls"][0].pop("answer"), "without its answer"),
        (lambda lines: lines[1]["calls"][0]["answer"].update(hex="zz"), "whose bytes cannot be read"),
        (lambda lines: lines[1]["calls"][0]["answer"].update(shape=[1 << 40]), "a result of 4 bytes, but shape"),
        (lambda lines: lines[1]["calls"][0].update(answer=3), "no object"),
        (lambda lines: lines[1].update(id="VALUE-8/float32/new/loss"), "of this version"),
    ],
)
def test_what_cannot_be_judged_is_said(change: Any, reason: str, tmp_path: Path) -> None:
    log = one_call(tmp_path)
    lines = log.read_text(encoding="utf-8").count("\n") - 2
    changed(log, change)
    found = rejudge(read_log(log))
    assert found.judged == lines - 1
    assert [len(ids) for why, ids in found.left.items() if reason in why] == [1]


def test_checks_that_were_not_run_are_not_judged(tmp_path: Path) -> None:
    report = check(BY_NAME["kink-full"].make(), clause="GRADIENT-4", fail_fast=True, log=tmp_path / "report.jsonl")
    found = rejudge(read_log(tmp_path / "report.jsonl"))
    assert found.differences == ()
    assert len(found.left["not run then"]) == report.counts["skip"] > 0


def test_a_log_of_which_nothing_can_be_judged_proves_nothing(tmp_path: Path) -> None:
    log = one_call(tmp_path)
    changed(log, lambda lines: [line.update(id=f"VALUE-8/float32/{k}/loss") for k, line in enumerate(lines[1:-1])])
    status, text = run("judge", str(log))
    assert status == INVALID
    assert "proves nothing" in text


def test_a_report_without_its_log_is_refused(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text("{}", encoding="utf-8")
    status, text = run("judge", str(tmp_path / "report.json"))
    assert status == USAGE
    assert "is in the log that check --output writes" in text


OUTCOMES: dict[str, Outcome] = {
    "a number": Returned(np.asarray(1.5, np.float32)),
    "special numbers": Returned(np.array([np.nan, -0.0, np.inf, -np.inf, 5e-324])),
    "many numbers": Returned(np.arange(600, dtype=np.float64).reshape(20, 30)),
    "big-endian": Returned(np.arange(40).astype(">f4")),
    "nothing": Returned(np.zeros((0, 3), np.float32)),
    "an error": Raised("ValueError", "p \x00 \ud800", "file:1"),
    "no result": Malformed("a list"),
    "the end": Crashed("signal 11", "stderr"),
    "no answer": TimedOut(3.0, "stderr"),
    "not supported": Unsupported("no"),
}


@pytest.mark.parametrize("name", OUTCOMES)
def test_an_answer_is_read_as_it_was(name: str) -> None:
    outcome = OUTCOMES[name]
    writing, reading = Writing(), Reading()
    for _ in range(2):  # the second time by reference to the first
        data = json.loads(json.dumps(writing.answer(Observation(outcome, ("input",)))))
        again = reading.answer(data)
        assert again.changed == ("input",)
        if isinstance(outcome, Returned):
            assert isinstance(again.outcome, Returned)
            assert again.outcome.value.dtype == outcome.value.dtype
            assert again.outcome.value.shape == outcome.value.shape
            assert again.outcome.value.tobytes() == outcome.value.tobytes()
        else:
            assert again.outcome == outcome


def test_a_small_file_does_not_become_a_large_array() -> None:
    import base64
    import zlib

    bomb = base64.b64encode(zlib.compress(bytes(1 << 24))).decode()
    data = {"kind": "returned", "dtype": "float32", "shape": [2], "zlib": bomb}
    with pytest.raises(Unrecorded, match="a result of 9 bytes"):
        Reading().answer(data)


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        {"kind": "returned"},
        {"kind": "returned", "dtype": "float32", "shape": [-1], "hex": ""},
        {"kind": "returned", "dtype": "float32", "shape": [1], "same": 7},
        {"kind": "raised"},
        {"kind": "raised", "type": [], "message": {}},
        {"kind": "raised", "type": "E", "message": "m", "changed": [1]},
    ],
)
def test_data_that_is_no_answer_is_said(data: Any) -> None:
    with pytest.raises(Unrecorded):
        Reading().answer(data)


def test_an_answer_that_nobody_asked_for_still_counts_for_references() -> None:
    """What a check no longer asks for may hold the bytes that a later answer refers to."""
    caller, writing = Recorded(frozenset()), Writing()
    value = Observation(Returned(np.arange(100.0)))
    case = Case(np.zeros((1, 2)), np.zeros(1, np.int64))
    first, second = ({"event": "call", "call": f"l {case.id}", "answer": writing.answer(value)} for _ in range(2))
    caller.begin([first])
    caller.begin([second])
    outcome = caller.call(Call("loss", case)).outcome
    assert isinstance(outcome, Returned)
    assert outcome.value.tobytes() == np.arange(100.0).tobytes()
