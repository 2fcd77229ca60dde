"""Cases by the names that users give: a vector's id or the start of it, a JSON file, or a verdict of a report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema

from multimargin_reference.case import Case
from multimargin_reports.jsonfile import full_ids
from multimargin_vectors import Vector, VectorFileError, by_id
from multimargin_vectors.calls import read_call

LARGEST_FILE = 64 << 20  # bytes of a call's file
LARGEST_REPORT = 256 << 20
MOST_NAMED = 3  # verdicts in a message
LONGEST_ID = 200  # characters of one that are printed
PARTS = ("loss", "gradient")

# What is read of a report, whatever version wrote it; the call is checked by itself.
VERDICTS = {
    "type": "object",
    "required": ["verdicts"],
    "properties": {
        "verdicts": {
            "type": "array",
            "items": {
                "type": ["string", "object"],
                "required": ["id"],
                "properties": {
                    "id": {"type": "string"},
                    "case": {"type": "string"},
                    "failure": {"type": "object", "properties": {"evidence": {"type": "object"}}},
                },
            },
        }
    },
}


class UnknownCase(LookupError):  # noqa: N818 (named for what the user sees)
    """A name that leads to no case, or to more than one: a usage error (exit status 2)."""


@dataclass(frozen=True, eq=False)
class Named:
    """A case that was found by its name.

    part: "loss" or "gradient" where the name says which of the two it is about, otherwise "". vector: the golden vector
    of this call, None where the call is not one. origin: where the case came from, in words. clause: the id of the
    clause that the name is about, "" where it is about none.
    """

    case: Case
    part: str
    vector: Vector | None
    origin: str
    clause: str = ""


def find_case(name: str) -> Named:
    """Return the case that a name stands for: REPORT#id, a JSON file, or a vector's id or the start of it.

    REPORT#id: a report's path and a verdict's id, or a part of it that no other verdict has. A file holds a call in the
    vectors' format, alone or as "call" of an object. Raises UnknownCase where the name leads to no case or to several,
    or to a file that cannot be read.
    """
    path, hash_mark, verdict = name.rpartition("#")
    if hash_mark and not Path(name).is_file():
        return _from_report(Path(path), verdict)
    if name and (Path(name).is_file() or name.endswith(".json")):
        return _from_file(Path(name))
    vector = find_vector(name)
    return Named(vector.case, "", vector, f"vector {vector.id}")


def find_vector(name: str) -> Vector:
    """Return the vector whose id starts with `name`. Raises UnknownCase where there is none, or more than one."""
    matching = [vector for key, vector in by_id().items() if name and key.startswith(name)]
    if len(matching) != 1:
        raise UnknownCase(
            f"{name!r} is the start of {len(matching)} vector ids, but should be of one (multimargin vectors list), a "
            "JSON file, or REPORT#id"
        )
    return matching[0]


def _from_file(path: Path) -> Named:
    data = _json(path, LARGEST_FILE)
    call = data["call"] if isinstance(data, dict) and "call" in data else data
    case = _call(call, str(path))
    return Named(case, "", by_id().get(case.id), f"file {path}")


def _from_report(path: Path, verdict: str) -> Named:
    """Return the smallest failing call of a verdict, or the vector that it ran."""
    data = _json(path, LARGEST_REPORT)
    if error := jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(VERDICTS).iter_errors(data)):
        raise UnknownCase(f"{path}: {error.json_path}: {error.message[:200]}, but should be a report.json")
    found = _verdict([_entry(v) for v in full_ids(data["verdicts"])], verdict, path)
    failure = found.get("failure", {})
    origin, part = f"verdict {_quoted(found)} of {path}", _part(found, failure)
    if failure.get("case"):
        case = _call(failure["case"], origin)
        clause = str(found["id"]).partition("/")[0]
        return Named(case, part, by_id().get(case.id), f"{origin}: its smallest failing call", clause)
    if not found.get("case"):
        raise UnknownCase(f"{origin} has no recorded call; run it again: multimargin check BACKEND -k {_quoted(found)}")
    if found["case"] not in by_id():
        raise UnknownCase(f"{origin}: its vector {found['case']!r} is not among the installed ones")
    vector = by_id()[found["case"]]
    return Named(vector.case, part, vector, f"{origin}: vector {vector.id}")


def _entry(verdict: str | dict[str, Any]) -> dict[str, Any]:
    """Return a verdict as an object with its case, which may be said by its id alone, CLAUSE/dtype/case/part."""
    id_ = verdict if isinstance(verdict, str) else verdict["id"]
    case = (*id_.split("/"), "", "", "")[2]
    return {"id": id_, "case": case if case in by_id() else "", **({} if isinstance(verdict, str) else verdict)}


def _verdict(verdicts: list[dict[str, Any]], name: str, path: Path) -> dict[str, Any]:
    """Return the one verdict that a name fits: exactly, as a part of its id, or as a part of the one failure's id."""
    parts = [v for v in verdicts if name and name in v["id"]]
    for fitting in ([v for v in parts if v["id"] == name], parts, [v for v in parts if v.get("failure")]):
        if len(fitting) == 1:
            return fitting[0]
    some = ", ".join(_quoted(v) for v in parts[:MOST_NAMED]) + (", ..." if len(parts) > MOST_NAMED else "")
    raise UnknownCase(
        f"{name!r} is a part of {len(parts)} verdict ids in {path}, but should be of one{f': {some}' if some else ''}"
    )


def _quoted(verdict: Mapping[str, Any]) -> str:
    """Return a verdict's id as a Python string: a report may come from anywhere, and its words reach a terminal."""
    return repr(verdict["id"][:LONGEST_ID])


def _part(verdict: Mapping[str, Any], failure: Mapping[str, Any]) -> str:
    """Return what the verdict is about: what its evidence says, or the last word of its id."""
    named = failure.get("evidence", {}).get("part") or verdict["id"].rpartition("/")[2]
    return str(named) if named in PARTS else ""


def _json(path: Path, largest: int) -> Any:
    """Return a file's data. Raises UnknownCase where it cannot be read, is too large or is not JSON."""
    try:
        if (size := path.stat().st_size) > largest:
            raise UnknownCase(f"{path} has {size} bytes, but should have at most {largest}")
        return json.loads(path.read_text(encoding="utf-8"), parse_constant=_not_json)
    except OSError as error:
        raise UnknownCase(f"{path}: {error.strerror or error}, but should be a readable file") from error
    except (ValueError, RecursionError) as error:
        raise UnknownCase(f"{path}: {error}, but should be JSON") from error


def _not_json(name: str) -> float:
    raise ValueError(f"{name} is not JSON: special numbers are written as strings")


def _call(data: Any, origin: str) -> Case:
    try:
        return read_call(data)
    except VectorFileError as error:
        raise UnknownCase(f"{origin}: {error}") from error
