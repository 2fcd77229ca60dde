"""The log of a run, report.jsonl: a head, a line for each check as it is run, and a footer (log.schema.json).

A line holds the verdict and what the backend answered, so that the run can be judged again without it. The footer holds
the rest of the report; a file without one is of a run that did not end, and proves nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import jsonschema

from multimargin_reports.jsonfile import ReportFileError, finite, from_json, to_json, verdict_data
from multimargin_reports.model import Report, Verdict

FORMAT, VERSION = "multimargin-log", 1
LARGEST_FILE = 4 << 30  # bytes
LARGEST_LINE = 256 << 20
OWN = ("format", "version", "planned")  # of one log's head


@dataclass(frozen=True)
class Log:
    """A log that was read to its end. head: what was known before the run. path: where the lines are."""

    path: Path
    head: Mapping[str, Any]
    report: Report

    def checks(self) -> Iterator[Mapping[str, Any]]:
        """Yield the lines of the checks, in the order in which they were run."""
        return (data for data in _lines(self.path) if "id" in data)


class LogWriter:
    """Writes a log while the run goes on; without `end` it stays without a footer.

    The file is open from the beginning to the end of a `with`, and once more for the footer.
    """

    def __init__(self, path: Path, head: Mapping[str, Any]) -> None:
        self._path = path
        self._file: BinaryIO = path.open("wb")
        self._digest = hashlib.sha256()
        self._written: dict[str, str] = {}
        self._backend: Mapping[str, Any] = head["backend"]
        self._line({"format": FORMAT, "version": VERSION, **head})

    def __enter__(self) -> LogWriter:
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> None:
        self._file.close()

    def check(self, verdict: Verdict, calls: Sequence[Any]) -> None:
        """Write what a check found. calls: what the backend answered, as JSON data."""
        data = self._data(verdict)
        self._written[verdict.id] = _text(data)
        self._line({**data, "calls": calls} if calls else data)

    def copy(self, line: Mapping[str, Any]) -> None:
        """Write a check's line of another log of the same run."""
        self._written[line["id"]] = _text(_bare(line))
        self._line(line)

    def end(self, report: Report) -> None:
        """Write the footer: the report without its verdicts, and those that are others now than when they were run."""
        data = to_json(report)
        del data["verdicts"]
        shown = [self._data(verdict) for verdict in report.verdicts]
        later = [one for one in shown if _text(one) != self._written.get(one["id"])]
        with self._path.open("ab") as self._file:
            self._line({"end": True, "sha256": self._digest.hexdigest(), "report": data, "later": later})

    def _data(self, verdict: Verdict) -> dict[str, Any]:
        data = verdict_data(verdict, self._backend)
        return {"id": data, "status": verdict.status} if isinstance(data, str) else data

    def _line(self, data: Mapping[str, Any]) -> None:
        line = _text(data).encode() + b"\n"
        self._digest.update(line)
        self._file.write(line)
        self._file.flush()


def joined(path: Path, report: Report, parts: Sequence[Path]) -> None:
    """Write the log of a whole run out of those of its parts, one part after another."""
    before = 0  # answers whose bytes stand in the log so far
    logs = [read_log(part) for part in parts]
    with LogWriter(path, {k: v for k, v in logs[0].head.items() if k not in OWN} | {"planned": report.planned}) as all_:
        for log in logs:
            with_bytes = 0
            for line in log.checks():
                for answer in _answers(line.get("calls", [])):
                    with_bytes += "zlib" in answer
                    if "same" in answer:
                        answer["same"] += before
                all_.copy(line)
            before += with_bytes
    all_.end(report)


def _answers(events: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for event in events:
        yield from ([event["answer"]] if "answer" in event else [])
        yield from (answer for some in event.get("answers", []) for answer in some)


def _bare(line: Mapping[str, Any]) -> dict[str, Any]:
    """Return a check's line without its calls."""
    return {key: value for key, value in line.items() if key != "calls"}


def _text(data: Any) -> str:
    return json.dumps(data, separators=(",", ":"), allow_nan=False)


def read_log(path: Path) -> Log:
    """Read a log. Raises ReportFileError where it has no footer, was changed, or is none of this version."""
    if path.stat().st_size > LARGEST_FILE:
        raise ReportFileError(f"{path} has {path.stat().st_size} bytes, but should have at most {LARGEST_FILE}")
    lines = _lines(path)
    head = next(lines, {})
    if head.get("format") != FORMAT or head.get("version") != VERSION:
        raise ReportFileError(f"{path}: its first line is not the head of a {FORMAT} of version {VERSION}")
    verdicts: dict[str, Mapping[str, Any]] = {}
    footer: Mapping[str, Any] = {}
    for number, data in enumerate(lines, start=2):
        kind = "footer" if "end" in data else "check"
        if footer:
            raise ReportFileError(f"{path}: line {number}: something follows the footer")
        bare = _bare(data)  # who reads the calls, looks at them
        _validate(bare, kind, f"{path}: line {number}")
        if kind == "footer":
            footer = data
        elif data["id"] in verdicts:
            raise ReportFileError(f"{path}: line {number}: a second line of {data['id'][:200]!r}")
        else:
            verdicts[data["id"]] = bare
    if not footer:
        raise ReportFileError(
            f"{path} has no footer: the run did not end, and its {len(verdicts)} of {head.get('planned', '?')} checks "
            "prove nothing; run it again"
        )
    if _digest(path) != footer["sha256"]:
        raise ReportFileError(f"{path}: its SHA-256 is not the one that its footer has: the file was edited")
    verdicts.update((one["id"], one) for one in footer["later"])
    try:
        return Log(path, head, from_json({**footer["report"], "verdicts": list(verdicts.values())}))
    except ReportFileError as error:
        raise ReportFileError(f"{path}: {error}") from error


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines as objects. Raises ReportFileError."""
    with path.open("rb") as file:
        for number in range(1, 1 << 62):
            line = file.readline(LARGEST_LINE)
            if not line:
                return
            if not line.endswith(b"\n"):
                raise ReportFileError(f"{path}: line {number} is cut short: the run did not end; run it again")
            try:
                data = json.loads(line, parse_float=finite, parse_constant=finite)
            except (ValueError, RecursionError) as error:
                raise ReportFileError(f"{path}: line {number}: {error}") from error
            if type(data) is not dict:
                raise ReportFileError(f"{path}: line {number} is no object")
            yield data


def _digest(path: Path) -> str:
    """Return the SHA-256 of all lines but the last."""
    digest, before = hashlib.sha256(), b""
    with path.open("rb") as file:
        for line in file:
            digest.update(before)
            before = line
    return digest.hexdigest()


def schema() -> dict[str, Any]:
    """Return the published JSON Schema of a log's lines."""
    data: dict[str, Any] = json.loads((files("multimargin_reports") / "log.schema.json").read_text(encoding="utf-8"))
    return data


@cache
def _validator(kind: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator({"$ref": f"#/$defs/{kind}", "$defs": schema()["$defs"]})


def _validate(data: Mapping[str, Any], kind: str, where: str) -> None:
    if error := jsonschema.exceptions.best_match(_validator(kind).iter_errors(data)):
        raise ReportFileError(f"{where}: {error.json_path}: {error.message[:200]}")
