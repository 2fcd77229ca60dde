"""The log of a run: it is the report once it has its footer, and nothing before that or after an edit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from multimargin_reports import Failure, Report, ReportFileError, Verdict
from multimargin_reports.logfile import LogWriter, joined, read_log, schema

BACKEND = {"name": "kernel", "version": "1.2", "device": "cpu"}
SCOPE = {"dtypes": ["float32"], "gradient": True, "operator": True, "seed": 0, "examples": 4, "huge": False}
HEAD = {"backend": BACKEND, "profile": "training", "planned": 3, "scope": SCOPE, "features": [], "environment": {}}
PASSED = Verdict("VALUE-4/float32/0/loss", "VALUE-4", "target term", "MUST", "float32", "pass")
FAILED = replace(PASSED, id="VALUE-4/float32/1/loss", status="fail", failure=Failure("wrong", "f()", "replay"))
ANSWER = {"event": "call", "call": "l 0", "answer": {"kind": "returned", "dtype": "float32", "shape": [], "hex": "00"}}


def report(*verdicts: Verdict) -> Report:
    return Report(BACKEND, "training", "training", len(verdicts), verdicts)


def written(path: Path, found: Report, *, end: bool = True) -> Path:
    with LogWriter(path, HEAD) as writer:
        for verdict in found.verdicts:
            writer.check(verdict, [ANSWER])
    if end:
        writer.end(found)
    return path


def test_a_log_is_the_report(tmp_path: Path) -> None:
    found = report(PASSED, FAILED)
    log = read_log(written(tmp_path / "report.jsonl", found))
    assert log.report == found
    assert [line["calls"] for line in log.checks()] == [[ANSWER], [ANSWER]]


def test_every_line_is_what_the_schema_says(tmp_path: Path) -> None:
    path = written(tmp_path / "report.jsonl", report(PASSED, FAILED))
    for line in path.read_text(encoding="utf-8").splitlines():
        jsonschema.validate(json.loads(line), schema())


def test_a_verdict_that_changed_at_the_end_is_the_later_one(tmp_path: Path) -> None:
    path = tmp_path / "report.jsonl"
    with LogWriter(path, HEAD) as writer:
        writer.check(PASSED, [])
        writer.check(FAILED, [])
    later = report(replace(PASSED, status="fail", failure=Failure("late", "f()", "replay")), FAILED)
    writer.end(later)
    assert read_log(path).report == later


def test_without_a_footer_it_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "report.jsonl", report(PASSED, FAILED), end=False)
    with pytest.raises(ReportFileError, match="no footer: the run did not end, and its 2 of 3 checks prove nothing"):
        read_log(path)


def edited(path: Path, change: Any) -> Path:
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(change(lines)), encoding="utf-8")
    return path


EDITS: dict[str, tuple[Any, str]] = {
    "a verdict": (lambda lines: [line.replace('"fail"', '"pass"', 1) for line in lines], "."),
    "an answer": (lambda lines: [lines[0], lines[1].replace('"00"', '"01"'), *lines[2:]], "SHA-256"),
    "a line less": (lambda lines: [*lines[:1], *lines[2:]], "SHA-256"),
    "a line twice": (lambda lines: [*lines[:2], *lines[1:]], "second line"),
    "after the end": (lambda lines: [*lines, lines[1]], "follows the footer"),
    "cut short": (lambda lines: [*lines[:-1], lines[-1][:-9]], "cut short"),
    "no head": (lambda lines: lines[1:], "not the head"),
    "no lines": (lambda _: [], "not the head"),
    "another version": (lambda lines: [lines[0].replace('"version":1', '"version":2'), *lines[1:]], "not the head"),
    "no JSON": (lambda lines: [*lines[:1], "{\n", *lines[1:]], "line 2"),
    "no object": (lambda lines: [*lines[:1], "[]\n", *lines[1:]], "no object"),
    "NaN": (lambda lines: [*lines[:1], '{"id":NaN}\n', *lines[1:]], "not a finite number"),
    "deep": (lambda lines: [*lines[:1], "[" * 100_000 + "\n", *lines[1:]], "line 2"),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edited_log_is_refused(name: str, tmp_path: Path) -> None:
    change, message = EDITS[name]
    path = written(tmp_path / "report.jsonl", report(PASSED, FAILED))
    with pytest.raises(ReportFileError, match=message):
        read_log(edited(path, change))


def test_logs_of_parts_are_joined_with_their_references(tmp_path: Path) -> None:
    packed = {"kind": "returned", "dtype": "float32", "shape": [], "zlib": "eJw="}
    same = {"kind": "returned", "dtype": "float32", "shape": [], "same": 0}
    events = [{"event": "call", "call": "l 0", "answer": packed}, {"event": "threads", "answers": [[same], [packed]]}]
    parts = []
    for number, verdict in enumerate((PASSED, FAILED)):
        parts.append(tmp_path / f"{number}.jsonl")
        with LogWriter(parts[-1], HEAD) as writer:
            writer.check(verdict, events)
        writer.end(report(verdict))
    joined(tmp_path / "report.jsonl", report(PASSED, FAILED), parts)
    log = read_log(tmp_path / "report.jsonl")
    assert log.report == report(PASSED, FAILED)
    assert [line["calls"][1]["answers"][0][0]["same"] for line in log.checks()] == [0, 2]
