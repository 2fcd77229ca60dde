"""The JSON report: report.json, described by report.schema.json."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema

from multimargin_reports.model import (
    FORMAT,
    FORMAT_VERSION,
    Accuracy,
    Behaviour,
    Cause,
    Failure,
    Report,
    Verdict,
    replay_command,
)

LARGEST_FILE = 256 << 20  # bytes
NAMED = ("clause", "dtype", "case")  # of a verdict, where its id does not say so
WHOSE = ", *]"  # the end of a failure's message, where it says the case, the backend and the dtype


class ReportFileError(ValueError):
    """A report file that is not what this version reads; the message says where and why."""


def schema() -> dict[str, Any]:
    """Return the published JSON Schema of a report."""
    data: dict[str, Any] = json.loads((files("multimargin_reports") / "report.schema.json").read_text(encoding="utf-8"))
    return data


def to_json(report: Report) -> dict[str, Any]:
    """Return a report as JSON data, without what follows from the rest.

    A passed verdict is its id alone: clause, dtype and case are parts of it. Others name these where they differ, and
    their replay command where it is not the usual one. See `full_ids` for what ids are shortened to.
    """
    return {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "backend": dict(report.backend),
        "profile": report.profile,
        "claim": report.claim,
        "conformant": report.conformant,
        "complete": report.complete,
        "counts": {"planned": report.planned, **report.counts},
        "duration_s": round(report.duration_s, 3),
        **({"timing_s": [round(seconds, 6) for seconds in report.timing]} if report.timing else {}),
        "environment": dict(report.environment),
        "options": dict(report.options),
        "behaviours": [{**asdict(b), "answers": list(b.answers)} for b in report.behaviours],
        "accuracy": [_accuracy_to_json(a) for a in report.accuracy],
        "causes": [_cause_to_json(c) for c in report.causes],
        "clauses": {v.clause: _clause_to_json(report, v) for v in report.verdicts},
        "stale": list(report.stale),
        **({"not_started": dict(report.not_started)} if report.not_started else {}),
        "verdicts": _short_ids([verdict_data(v, report.backend) for v in report.verdicts]),
    }


def _short_ids(verdicts: Sequence[dict[str, Any] | str]) -> list[dict[str, Any] | str]:
    """Leave out of the id of a passed verdict what it has in common with the verdict before; see `full_ids`."""
    found: list[dict[str, Any] | str] = []
    before: list[str] = []
    for verdict in verdicts:
        parts = (verdict if isinstance(verdict, str) else verdict["id"]).split("/", 2)
        if isinstance(verdict, str) and len(parts) == 3 and parts[:1] == before[:1]:
            found.append(f"/{parts[2]}" if parts[:2] == before[:2] else f"//{parts[1]}/{parts[2]}")
        else:
            found.append(verdict)
        before = parts
    return found


def full_ids(verdicts: Sequence[dict[str, Any] | str]) -> list[dict[str, Any] | str]:
    """Return a report file's verdicts with whole ids.

    "/name/part" has CLAUSE/dtype, and "//dtype/name/part" has CLAUSE, from the verdict before it.
    """
    found: list[dict[str, Any] | str] = []
    before: list[str] = []
    for verdict in verdicts:
        text = verdict if isinstance(verdict, str) else verdict["id"]
        if text.startswith("//"):
            text = "/".join(before[:1]) + text[1:]
        elif text.startswith("/"):
            text = "/".join(before[:2]) + text
        found.append(text if isinstance(verdict, str) else verdict)
        before = text.split("/", 2)
    return found


def _clause_to_json(report: Report, verdict: Verdict) -> dict[str, str]:
    return {"title": verdict.title, "level": verdict.level, "sentence": report.sentences.get(verdict.clause, "")}


def _cause_to_json(cause: Cause) -> dict[str, Any]:
    return {"title": cause.title, "verdicts": list(cause.verdicts), "equals": [list(pair) for pair in cause.equals]}


def verdict_data(verdict: Verdict, backend: Mapping[str, Any]) -> dict[str, Any] | str:
    """Return a verdict as JSON data: its id alone where it passed. backend: as in Report.backend."""
    usual = _passed(verdict.id, verdict.title, verdict.level)
    if usual == verdict:
        return verdict.id
    named = {key: value for key in NAMED if (value := getattr(verdict, key)) != getattr(usual, key)}
    said = {key: value for key in ("reason", "known") if (value := getattr(verdict, key))}
    data = {"id": verdict.id, **named, "status": verdict.status, **said}
    return data if verdict.failure is None else {**data, "failure": _failure_to_json(verdict, verdict.failure, backend)}


def _failure_to_json(verdict: Verdict, failure: Failure, backend: Mapping[str, Any]) -> dict[str, Any]:
    data = {key: value for key, value in asdict(failure).items() if value or key in ("message", "call")}
    if failure.message.endswith(end := _whose(backend, verdict)):
        data["message"] = failure.message.removesuffix(end) + WHOSE
    if failure.replay == _replay(verdict.id, verdict.case, backend):
        del data["replay"]
    return data


def _whose(backend: Mapping[str, Any], verdict: Verdict) -> str:
    """Return how a message ends that says which case, backend and dtype it is about."""
    words = [word for key in ("name", "version", "device") if (word := backend.get(key, "")) not in ("", "unknown")]
    case = f", case {verdict.case}" if verdict.case else ""
    return f"{case}, {' '.join([*words, verdict.dtype])}]"


def _replay(id_: str, case: str, backend: Mapping[str, Any]) -> str:
    return replay_command(backend, case or id_)


def _passed(id_: str, title: str, level: str) -> Verdict:
    """Return the passed verdict that an id CLAUSE/dtype/name/part stands for; a name of 16 digits is a case."""
    clause, dtype, name = (*id_.split("/"), "", "", "")[:3]
    case = name if re.fullmatch("[0-9a-f]{16}", name) else ""
    return Verdict(id_, clause, title, level, dtype, "pass", case)


def from_json(data: Mapping[str, Any]) -> Report:
    """Return a report from JSON data. Raises ReportFileError where the schema or the counts do not fit."""
    try:
        jsonschema.validate(data, schema())
    except jsonschema.ValidationError as error:
        raise ReportFileError(f"{error.json_path}: {error.message[:200]}") from error
    report = Report(
        backend=data["backend"],
        profile=data["profile"],
        claim=data["claim"],
        planned=data["counts"]["planned"],
        verdicts=tuple(_verdict_from_json(v, data["clauses"], data["backend"]) for v in full_ids(data["verdicts"])),
        behaviours=tuple(Behaviour(**{**b, "answers": tuple(b["answers"])}) for b in data["behaviours"]),
        accuracy=tuple(_accuracy_from_json(a) for a in data["accuracy"]),
        causes=tuple(_cause_from_json(c) for c in data["causes"]),
        sentences={name: clause["sentence"] for name, clause in data["clauses"].items() if clause["sentence"]},
        complete=data["complete"],
        environment=data["environment"],
        options=data["options"],
        duration_s=data["duration_s"],
        timing=tuple(data.get("timing_s", ())),
        stale=tuple(data.get("stale", ())),
        not_started=data.get("not_started", {}),
    )
    if {"planned": report.planned, **report.counts} != data["counts"] or report.conformant != data["conformant"]:
        raise ReportFileError("counts or conformant do not fit the verdicts: the file was edited or cut short")
    return report


def _accuracy_to_json(figures: Accuracy) -> dict[str, Any]:
    rows = {name: [list(row) for row in getattr(figures, name)] for name in ("histogram", "by_classes")}
    return {**asdict(figures), "signed_ulp": list(figures.signed_ulp), **rows}


def _accuracy_from_json(data: Mapping[str, Any]) -> Accuracy:
    rows = {name: tuple(tuple(row) for row in data.get(name, ())) for name in ("histogram", "by_classes")}
    return Accuracy(**{**data, "signed_ulp": tuple(data["signed_ulp"]), **rows})


def _cause_from_json(data: Mapping[str, Any]) -> Cause:
    name_and_sentence = tuple((name, sentence) for name, sentence in data["equals"])
    return Cause(data["title"], tuple(data["verdicts"]), name_and_sentence)


def _verdict_from_json(
    data: Mapping[str, Any] | str, clauses: Mapping[str, Any], backend: Mapping[str, Any]
) -> Verdict:
    id_ = data if isinstance(data, str) else data["id"]
    name = id_.split("/", 1)[0] if isinstance(data, str) else data.get("clause", id_.split("/", 1)[0])
    if name not in clauses:
        raise ReportFileError(f"a verdict is about clause {name!r}, which is not among the report's clauses")
    passed = _passed(id_, clauses[name]["title"], clauses[name]["level"])
    if isinstance(data, str):
        return passed
    usual, failure = replace(passed, **{key: data[key] for key in NAMED if key in data}), None
    if "failure" in data:
        failure = Failure(**{"replay": _replay(id_, usual.case, backend), **data["failure"]})
        if failure.message.endswith(WHOSE):
            whole = failure.message.removesuffix(WHOSE) + _whose(backend, usual)
            failure = replace(failure, message=whole)
    said = {key: data[key] for key in ("reason", "known") if key in data}
    return replace(usual, status=data["status"], failure=failure, **said)


def render(report: Report) -> str:
    """Return the text of a report file: one verdict a line, and one line for everything else of one kind."""
    data = to_json(report)
    verdicts = ",\n".join(_compact(v) for v in data.pop("verdicts"))
    head = "".join(f'"{key}": {_compact(value)},\n' for key, value in data.items())
    return f'{{\n{head}"verdicts": [\n{verdicts}\n]}}\n'


def write(report: Report, path: Path) -> None:
    """Write a report file."""
    path.write_text(render(report), encoding="utf-8")


def _compact(data: Any) -> str:
    return json.dumps(data, separators=(",", ":"), allow_nan=False)


def read(path: Path) -> Report:
    """Read a report file. Raises ReportFileError where it is not a report of this version."""
    if path.stat().st_size > LARGEST_FILE:
        raise ReportFileError(f"{path} has {path.stat().st_size} bytes, but should have at most {LARGEST_FILE}")
    try:
        text = path.read_text(encoding="utf-8")
        return from_json(json.loads(text, parse_float=finite, parse_constant=finite))
    except (ValueError, RecursionError) as error:
        raise ReportFileError(f"{path}: {error}") from error


def finite(text: str) -> float:
    """Return a number of a JSON file. Raises ValueError for NaN and infinities, which JSON has not."""
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text} is not a finite number")
    return number
