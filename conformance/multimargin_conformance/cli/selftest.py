"""`multimargin selftest`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from multimargin_conformance.cli.base import CONFORMANT, NOT_CONFORMANT, USAGE, Stop, progress

if TYPE_CHECKING:
    from multimargin_conformance.matrix import Matrix
    from multimargin_conformance.selftest import Outcome


@click.command()
@click.option("--matrix", is_flag=True, help="Show every clause that rejects each fault; takes hours.")
@click.option("-j", "jobs", type=click.IntRange(1), default=1, show_default=True, help="Number of processes.")
@click.option("--output", type=click.Path(file_okay=False, path_type=Path), help="With --matrix: write it to DIR.")
def selftest(matrix: bool, jobs: int, output: Path | None) -> None:
    """Check the suite itself: all known faults must be rejected, no legal variant may be; takes minutes."""
    from multimargin_conformance.selftest import selftest as run

    if output is not None:
        if not matrix:
            raise Stop("--output writes the matrix: add --matrix", USAGE)
        _make(output)
    outcome = run(progress=progress(), jobs=jobs, matrix=matrix)
    if outcome.matrix is not None:
        _show(outcome.matrix, output)
    click.echo("\n".join(_lines(outcome)))
    sys.exit(CONFORMANT if outcome.passed else NOT_CONFORMANT)


def _lines(outcome: Outcome) -> list[str]:
    """Return what went wrong, and both rates."""
    lines = [f"MISSED {missed.fault.name}: {missed.fault.sentence}" for missed in outcome.missed]
    lines += [
        f"NOT FORESEEN {odd.fault.name}: caught by {odd.caught_by} only, named {' '.join(odd.fault.clauses)}"
        for odd in outcome.unforeseen
    ]
    lines += [f"IDLE {name}: rejects no known fault, so nothing shows that it can fail" for name in outcome.idle]
    lines += [f"ALIKE {' '.join(names)}: rejected by exactly the same items" for names in outcome.alike]
    lines += [f"FALSE ALARM {alarm.variant.name}: {alarm.message}" for alarm in outcome.false_alarms]
    caught, total = len(outcome.detections) - len(outcome.missed), len(outcome.detections)
    return [*lines, f"detection {caught} of {total}, false alarms {len(outcome.false_alarms)} of {outcome.variants}"]


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Stop(f"--output {folder}: {error.strerror}", USAGE) from error


def _show(matrix: Matrix, output: Path | None) -> None:
    from multimargin_conformance.matrix import as_json, as_markdown, as_text

    click.echo(as_text(matrix))
    for name, render in (("matrix.json", as_json), ("matrix.md", as_markdown)) if output else ():
        (output / name).write_text(render(matrix), encoding="utf-8")  # type: ignore[operator] # not None here
        click.echo(f"wrote {name} to {output}")
