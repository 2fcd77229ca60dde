"""The report as text for a terminal: clause group x dtype, failures, behaviours, accuracy."""

from __future__ import annotations

from collections.abc import Iterator

from tabulate import tabulate

from multimargin_reports.content import (
    Block,
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
    printable,
    stale_lines,
    ulp_text,
)
from multimargin_reports.model import Report

MOST_FAILURES = 12  # causes printed in full; the JSON report has all
MOST_LINES = 20  # of one message


def render(report: Report) -> str:
    """Return the whole report as text."""
    head = f"{describe(report)}, profile {report.profile}: {report.planned} checks in {report.duration_s:.1f} s"
    tables = [_table(behaviour_table(report)), _table(accuracy_table(report))]
    expected = ["\n".join(lines) for lines in (known_lines(report), stale_lines(report))]
    parts = [head, _table(group_table(report)), *_failures(report), *expected, *tables, foot(report)]
    return printable("\n\n".join(part for part in parts if part))


def _table(table: Table) -> str:
    rows, headers = table
    return tabulate(rows, headers=headers, tablefmt="simple", disable_numparse=True) if rows else ""


def _failures(report: Report) -> Iterator[str]:
    found = blocks(report)
    for number, block in enumerate(found[:MOST_FAILURES], start=1):
        yield _block(block, f"{number} of {len(found)}")
    if len(found) > MOST_FAILURES:
        rest = ", ".join(one_line(block.title) for block in found[MOST_FAILURES:])
        yield f"and {len(found) - MOST_FAILURES} more causes: {rest}"


def _block(block: Block, number: str) -> str:
    lines = [f"FAIL {number}: {one_line(block.title)}: {block.where}"]
    lines += [f"  {one_line(text)}" for text in (*block.equals, *block.clauses)]
    if failure := block.failure:
        rows = number_rows(failure.evidence)
        lines += [f"  {one_line(line)}" for line in failure.message.splitlines()[:MOST_LINES]]
        lines += [f"  {line}" for line in tabulate(rows, tablefmt="plain", disable_numparse=True).splitlines()]
        lines += [f"  {words}"] if rows and (words := ulp_text(failure.evidence)) else []
        lines += [f"  call:   {one_line(failure.call)}"] if failure.call else []
        lines += [f"  replay: {one_line(failure.replay)}"]
        lines += ["  program:"] if failure.snippet else []
        lines += [f"    {one_line(line)}" for line in failure.snippet.splitlines()[:MOST_LINES]]
    return "\n".join(line.rstrip() for line in lines)
