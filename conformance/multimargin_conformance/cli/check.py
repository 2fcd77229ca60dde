"""`multimargin check`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from multimargin_conformance.cli.base import CONFORMANT, INVALID, NOT_CONFORMANT, USAGE, Stop, progress, started
from multimargin_conformance.cli.formats import opened, writers

if TYPE_CHECKING:
    from multimargin_reports import Report

LOG = "report.jsonl"


@click.command()
@click.argument("backend")
@click.option("--profile", default="training", show_default=True, help="core, training, half, torch or full.")
@click.option("--dtype", "dtypes", multiple=True, help="Check this dtype only; repeatable.")
@click.option("--only", multiple=True, metavar="KEY=VALUE", help="Limit to p=, reduction=, dtype= or shape=.")
@click.option("--device", default="", help="Device for torch backends, such as cuda.")
@click.option("-k", "select", default="", metavar="GLOB", help="Only checks whose id matches.")
@click.option("--clause", default="", metavar="ID", help="Only checks of this clause; globs and commas work.")
@click.option("--seed", default=0, show_default=True, help="Seed of generated calls, recorded in the report.")
@click.option(
    "--examples",
    type=click.IntRange(1, 1_000_000),
    default=4,
    show_default=True,
    metavar="N",
    help="Generated calls of each property.",
)
@click.option("--huge", is_flag=True, help="Sizes that the oracle cannot reach too: gigabytes, with --no-isolate.")
@click.option("--isolate/--no-isolate", default=None, help="Run BACKEND in a process of its own (the default) or not.")
@click.option("--python", default="", metavar="INTERPRETER", help="Run BACKEND under this Python (3.9+, NumPy).")
@click.option("--timeout", default=30.0, show_default=True, metavar="S", help="Seconds for one call.")
@click.option("-j", "jobs", type=click.IntRange(1, 256), default=1, metavar="N", help="So many processes at once.")
@click.option("--shard", default="", metavar="I/N", help="Part I of N of the run, for multimargin merge.")
@click.option("--validate-protocol", "validate", is_flag=True, help="Check every line against the published schema.")
@click.option("-x", "fail_fast", is_flag=True, help="Stop at the first failure.")
@click.option(
    "--expected-failures",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A TOML file of known failures; see multimargin update-expectations.",
)
@click.option(
    "--baseline",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="An earlier report: status 0 where nothing is worse than in it.",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write report.json and the log report.jsonl to this folder.",
)
@click.option(
    "--format", "formats", default="json", show_default=True, help="With --output: json,html,junit,markdown,badge."
)
def check(
    backend: str, output: Path | None, formats: str, baseline: Path | None, dtypes: tuple[str, ...], **options: Any
) -> None:
    """Check BACKEND clause by clause.

    BACKEND is a shipped name (multimargin backends), py:, torch: or jax:module:attr, where a file's path will do for
    the module (py:kernels/mine.py:Kernel), array-api:MODULE, or cmd:./adapter (PROTOCOL.md).
    """
    writers(formats)  # a format that is not there is said before the run, not after it
    old = opened(baseline) if baseline is not None else None
    if output is not None:
        make(output)
    log = output / LOG if output is not None else None
    options |= {"dtypes": dtypes or None, "log": None if log is None else str(log)}
    report = started(lambda: _run_or_say_why(backend, options, output, formats))
    status = finish(report, output, formats)
    if log is not None and log.is_file():
        click.echo(f"wrote {log}")
    sys.exit(status if old is None else compared(old, report, status))


def compared(old: Report, report: Report, status: int) -> int:
    """Print what is different from the baseline; return the exit status."""
    from multimargin_reports.compare import compare, render

    found = compare(old, report)
    click.echo(f"\n{render(found)}")
    if found.reason:
        return INVALID
    return status if status == INVALID else NOT_CONFORMANT if found.regressions else CONFORMANT


def _run_or_say_why(backend: str, options: dict[str, Any], output: Path | None, formats: str) -> Report:
    """Run the checks; what kept the backend from starting is written down where results go."""
    from multimargin_conformance import BackendNotStarted

    try:
        return _run(backend, options)
    except BackendNotStarted as error:
        if output is not None:
            from multimargin_conformance.runner import not_started

            _write(not_started(backend, options["profile"], error), output, formats)
        raise


def finish(report: Report, output: Path | None, formats: str = "json") -> int:
    """Print a report and write it in the formats asked for; return the exit status."""
    from multimargin_reports import terminal

    click.echo(terminal.render(report))
    if output is not None:
        _write(report, output, formats)
    return _status(report)


def _write(report: Report, output: Path, formats: str) -> None:
    from multimargin_conformance import candidates

    for name, render in writers(formats).items():
        (output / name).write_text(render(report), encoding="utf-8")
        click.echo(f"wrote {output / name}")
    if paths := candidates.write(report, output):
        click.echo(f"wrote {len(paths)} calls that failed to {paths[0].parent}: multimargin replay makes one again")


def _run(backend: str, options: dict[str, Any]) -> Report:
    """Run the checks, in as many processes as were asked for."""
    from multimargin_conformance import check as run
    from multimargin_conformance.isolation import Limits
    from multimargin_conformance.isolation.parallel import check_in_parallel

    limits = Limits(**{name: options.pop(name) for name in ("timeout", "python", "validate")})
    jobs = options.pop("jobs")
    if options["expected_failures"] is not None:
        options["expected_failures"] = str(options["expected_failures"])
    if jobs == 1:
        return run(backend, limits=limits, progress=progress(), **options)
    if options.pop("shard"):
        raise ValueError("-j with --shard, but a shard is one process's part")
    return check_in_parallel(backend, jobs, options, limits)


def _status(report: Report) -> int:
    if not report.valid or not report.planned:
        return INVALID
    return CONFORMANT if report.as_expected else NOT_CONFORMANT


def make(folder: Path) -> None:
    """Make the folder for results before a run, not after it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Stop(f"--output {folder}: {error.strerror}", USAGE) from error
