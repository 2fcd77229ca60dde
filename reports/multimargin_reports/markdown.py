"""The report as Markdown: verdict, clause group x dtype, causes of failures, behaviours, accuracy, environment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tabulate import tabulate

from multimargin_reports.content import (
    Table,
    accuracy_table,
    behaviour_table,
    blocks,
    describe,
    foot,
    group_table,
    known_lines,
    number_rows,
    one_line,
    stale_lines,
    ulp_text,
)
from multimargin_reports.model import Report

SPECIAL = str.maketrans({c: f"\\{c}" for c in "\\`*_{}[]<>#|~"})


def render(report: Report) -> str:
    """Return the whole report as Markdown; text from the backend is escaped or quoted as code."""
    return "\n\n".join(part for part in _parts(report) if part) + "\n"


def write(report: Report, path: Path) -> None:
    """Write a Markdown file."""
    path.write_text(render(report), encoding="utf-8")


def _parts(report: Report) -> Iterator[str]:
    yield f"# {escaped(describe(report))}: profile {report.profile}"
    yield f"**{escaped(foot(report))}.**"
    yield f"{report.planned} checks in {report.duration_s:.1f} s."
    yield _table(group_table(report))
    if report.failures:
        yield "## Failures"
    yield from _failures(report)
    yield "\n".join(f"- {escaped(line)}" for line in (*known_lines(report), *stale_lines(report)))
    if report.behaviours:
        yield "## Behaviours\n\nWhere the specification leaves a choice, this is what the backend does."
        yield _table(behaviour_table(report))
    if report.accuracy:
        yield "## Accuracy\n\nErrors against the exact results in ULP, over the calls that round. Bias is never judged."
        yield _table(accuracy_table(report))
    yield "## Environment"
    yield _table(([[key, str(value)] for key, value in report.environment.items()], ["what", "version"]))


def _failures(report: Report) -> Iterator[str]:
    for number, block in enumerate(blocks(report), start=1):
        yield f"### {number}. {escaped(block.title)}"
        yield "\n".join(f"- {escaped(line)}" for line in (block.where, *block.equals, *block.clauses))
        failure = block.failure
        if failure is None:
            continue
        yield _code(failure.message)
        if rows := number_rows(failure.evidence):
            yield _table((rows, ["", "decimal", "hexadecimal", "bits"]))
            yield ulp_text(failure.evidence)
        if failure.snippet:
            yield _code(failure.snippet, "python")
        yield f"Replay: {code(failure.replay)}"


def escaped(text: str) -> str:
    """Return text that Markdown shows as it is, on one line."""
    return one_line(text).translate(SPECIAL)


def code(text: str) -> str:
    """Return text as code within a line; a fence longer than any in the text holds it."""
    plain = one_line(text)
    fence = "`" * (_longest(plain, "`") + 1)
    return f"{fence} {plain} {fence}" if "`" in plain else f"{fence}{plain}{fence}"


def _code(text: str, language: str = "text") -> str:
    lines = "\n".join(one_line(line) for line in text.strip().splitlines())
    fence = "`" * max(3, _longest(lines, "`") + 1)
    return f"{fence}{language}\n{lines}\n{fence}"


def _longest(text: str, mark: str) -> int:
    """Return the length of the longest run of a character."""
    longest = run = 0
    for character in text:
        run = run + 1 if character == mark else 0
        longest = max(longest, run)
    return longest


def _table(table: Table) -> str:
    rows, headers = table
    cells = [[escaped(cell) for cell in row] for row in rows]
    return tabulate(cells, headers=headers, tablefmt="github", disable_numparse=True)
