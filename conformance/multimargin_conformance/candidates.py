"""Calls that a property failed with, as files: `multimargin replay` takes them, and they may become vectors."""

from __future__ import annotations

import json
from pathlib import Path

from multimargin_reports import Report, Verdict

FOLDER = "candidates"
KINDS = ("property-", "orders")  # how the names of the checks start that choose their own calls


def write(report: Report, folder: Path) -> list[Path]:
    """Write one file for each call that a property failed with; return them. Raises OSError."""
    found = [v for v in report.failures if v.failure is not None and v.failure.case and _is_generated(v)]
    paths = []
    for verdict in found:
        assert verdict.failure is not None
        (folder / FOLDER).mkdir(exist_ok=True)
        path = folder / FOLDER / f"{verdict.id.replace('/', '-')}.json"
        data = {"check": verdict.id, "message": verdict.failure.message, "call": verdict.failure.case}
        path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
        paths.append(path)
    return paths


def _is_generated(verdict: Verdict) -> bool:
    return verdict.id.split("/")[2].startswith(KINDS)
