"""Every other format of one made-up report is kept in gold/, byte for byte; the page has a test of its own (test_html).

After a wanted change, write them again: MULTIMARGIN_GOLD=update python -m pytest reports/tests -k gold
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from multimargin_reports import Report, badge, compare, jsonfile, junit, markdown, matrix, terminal

FOLDER = Path(__file__).parent / "gold"
FORMATS: dict[str, Callable[[Report], str]] = {
    "report.json": jsonfile.render,
    "report.xml": junit.render,
    "report.md": markdown.render,
    "report.txt": terminal.render,
    "badge.svg": badge.render,
    "shields.json": badge.shields,
    "matrix.md": lambda report: matrix.markdown([report, replace(report, backend={"name": "other", "version": "1"})]),
    "diff.txt": lambda report: compare.render(compare.compare(passing(report), report)),
}


def passing(report: Report) -> Report:
    """Return the report of a run in which nothing failed."""
    verdicts = tuple(replace(v, status="pass", failure=None, known="") for v in report.verdicts)
    return replace(report, verdicts=verdicts, causes=(), complete=True, planned=len(verdicts))


@pytest.mark.parametrize("name", FORMATS)
def test_gold_of_every_format(name: str, everything: Report) -> None:
    shown = everything if name != "diff.txt" else replace(everything, complete=True, planned=len(everything.verdicts))
    text = FORMATS[name](shown)
    if os.environ.get("MULTIMARGIN_GOLD") == "update":
        (FOLDER / name).write_text(text, encoding="utf-8")
    assert text == (FOLDER / name).read_text(encoding="utf-8")


def test_what_every_failure_says_is_written_once(everything: Report) -> None:
    """The case, backend and dtype at the end of a message follow from the rest of the file."""
    backend = {"name": "kernel", "version": "unknown", "device": "cuda"}
    ends = {"a3f9c1e2b4d5f607": ", case a3f9c1e2b4d5f607, kernel cuda float32]", "": ", kernel cuda float32]"}
    for case, end in ends.items():
        failed = next(v for v in everything.verdicts if v.failure)
        assert failed.failure is not None
        failure = replace(failed.failure, message=f"loss = 1 [VALUE-4 target term{end}")
        name = case or "crossed-1"
        verdict = replace(failed, id=f"VALUE-4/float32/{name}/loss", dtype="float32", case=case, failure=failure)
        report = replace(everything, backend=backend, verdicts=(verdict,), causes=(), planned=1)
        text = jsonfile.render(report)
        assert "[VALUE-4 target term, *]" in text
        assert jsonfile.from_json(json.loads(text)).verdicts == report.verdicts
