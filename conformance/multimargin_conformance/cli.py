"""The `multimargin` command: a thin layer over the packages, which are imported only when a command needs them."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from multimargin_reports import Report

CONFORMANT, NOT_CONFORMANT, USAGE, NOT_STARTED, INVALID = range(5)


class Stop(click.ClickException):
    """End with one clear line on stderr and an exit status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(" ".join(message.split()))
        self.exit_code = status  # type: ignore[misc] # click declares it on the class


class Guarded(click.Group):
    """A group whose unexpected errors end with the status for an invalid run: Python's own would read as a verdict."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an error of the suite itself is printed in full."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except Exception as error:
            traceback.print_exc()
            raise Stop(f"the suite itself failed: {type(error).__name__}: {error}", INVALID) from error


@click.group(cls=Guarded, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="multimargin")
def main() -> None:
    """Specification, oracle, vectors and conformance checks for MultiMarginLoss.

    Exit status: 0 conformant, 1 not conformant, 2 usage, 3 the backend could not be started, 4 the run is invalid.
    """


@main.command()
@click.argument("backend")
@click.option("--profile", default="training", show_default=True, help="core, training, half or full.")
@click.option("--dtype", "dtypes", multiple=True, help="Check this dtype only; repeatable.")
@click.option("--only", multiple=True, metavar="KEY=VALUE", help="Limit to p=, reduction=, dtype= or shape=.")
@click.option("--device", default="", help="Device for torch backends, such as cuda.")
@click.option("-k", "select", default="", metavar="GLOB", help="Only checks whose id matches.")
@click.option("--clause", default="", metavar="ID", help="Only checks of this clause; globs and commas work.")
@click.option("--seed", default=0, show_default=True, help="Seed, recorded in the report.")
@click.option("--isolate/--no-isolate", default=None, help="This version runs every backend in this process.")
@click.option("-x", "fail_fast", is_flag=True, help="Stop at the first failure.")
@click.option("--output", type=click.Path(file_okay=False, path_type=Path), help="Write report.json to this folder.")
def check(backend: str, output: Path | None, dtypes: tuple[str, ...], **options: Any) -> None:
    """Check BACKEND clause by clause.

    BACKEND is a shipped name (multimargin backends), py:module:attr or torch:module:attr.
    """
    from multimargin_reports import terminal

    if output is not None:
        _make(output)
    report = _checked(backend, dtypes=dtypes or None, progress=_progress(), **options)
    click.echo(terminal.render(report))
    if output is not None:
        _write(report, output)
    sys.exit(_status(report))


def _checked(backend: str, **options: Any) -> Report:
    from multimargin_conformance import BackendNotStarted, UnknownBackend
    from multimargin_conformance import check as run

    try:
        return run(backend, **options)
    except (UnknownBackend, ValueError) as error:
        raise Stop(str(error), USAGE) from error
    except BackendNotStarted as error:
        raise Stop(f"the backend could not be started: {error}", NOT_STARTED) from error


def _status(report: Report) -> int:
    if not report.valid or not report.planned:
        return INVALID
    return CONFORMANT if report.conformant else NOT_CONFORMANT


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Stop(f"--output {folder}: {error.strerror}", USAGE) from error


def _write(report: Report, folder: Path) -> None:
    from multimargin_reports import write

    write(report, folder / "report.json")
    click.echo(f"wrote {folder / 'report.json'}")


def _progress() -> Any:
    """Return a progress callback for a terminal, None for a pipe."""
    if not sys.stderr.isatty():
        return None

    def show(done: int, planned: int) -> None:
        if done % 100 == 0 or done == planned:
            click.echo(f"\r{done}/{planned}" if done < planned else "\r\033[K", nl=False, err=True)

    return show


@main.command()
@click.argument("case")
@click.option("--backend", required=True, help="The backend to run it on.")
@click.option("--device", default="", help="Device for torch backends.")
def replay(case: str, backend: str, device: str) -> None:
    """Run one vector again. CASE is its id, or the start of it."""
    from multimargin_conformance import BackendNotStarted, UnknownBackend
    from multimargin_conformance import replay as run
    from multimargin_reports.terminal import one_line

    try:
        verdicts = run(case, backend, device=device)
    except KeyError as error:
        raise Stop(str(error.args[0]), USAGE) from error
    except UnknownBackend as error:
        raise Stop(str(error), USAGE) from error
    except BackendNotStarted as error:
        raise Stop(f"the backend could not be started: {error}", NOT_STARTED) from error
    for verdict in verdicts:
        text = verdict.failure.message if verdict.failure else verdict.reason
        click.echo(one_line(f"{verdict.status:5} {verdict.id} {text}".rstrip()))
    statuses = {verdict.status for verdict in verdicts}
    if not statuses:
        raise Stop(f"vector {case} is not for this backend: it declares other calls", INVALID)
    sys.exit(CONFORMANT if statuses == {"pass"} else INVALID if statuses & {"error", "skip"} else NOT_CONFORMANT)


@main.command()
def backends() -> None:
    """List the backends that a plain name finds."""
    from multimargin_conformance.adapters import names

    for name, text in sorted(names().items()):
        click.echo(f"{name:22} {text}")


@main.command()
def clauses() -> None:
    """List the clauses of the specification."""
    from multimargin_reference.clauses import CLAUSES

    for clause in CLAUSES.values():
        click.echo(f"{clause.label:40} {clause.level:6} {clause.profile}")


@main.command()
def selftest() -> None:
    """Check the suite itself: all known faults must be rejected, no legal variant may be; takes minutes."""
    from multimargin_conformance.selftest import selftest as run

    outcome = run(progress=_progress())
    for missed in outcome.missed:
        click.echo(f"MISSED {missed.fault.name}: {missed.fault.sentence}")
    for odd in outcome.unforeseen:
        click.echo(
            f"NOT FORESEEN {odd.fault.name}: caught by {odd.caught_by} only, named {' '.join(odd.fault.clauses)}"
        )
    for alarm in outcome.false_alarms:
        click.echo(f"FALSE ALARM {alarm.variant.name}: {alarm.message}")
    caught, total = len(outcome.detections) - len(outcome.missed), len(outcome.detections)
    click.echo(f"detection {caught} of {total}, false alarms {len(outcome.false_alarms)} of {outcome.variants}")
    sys.exit(CONFORMANT if outcome.passed else NOT_CONFORMANT)


@main.group()
def vectors() -> None:
    """Generate, verify or list the golden vectors."""


@vectors.command()
def generate() -> None:
    """Write the vectors and their manifest."""
    from multimargin_vectors.generate import write

    for name in write():
        click.echo(name)


@vectors.command()
def verify() -> None:
    """Regenerate the vectors and compare; exit 1 when a file differs."""
    from multimargin_vectors.generate import differences

    lines = differences()
    click.echo("\n".join(lines) or "vectors are current")
    sys.exit(1 if lines else 0)


@vectors.command("list")
@click.option("--clause", default="", help="Only vectors of this clause.")
def list_vectors(clause: str) -> None:
    """List the vectors: id, dtype, tier, clauses and what each is for."""
    from multimargin_vectors import load

    for v in load():
        named = (*v.clauses, *v.gradient_clauses)
        if not clause or clause in named:
            click.echo(f"{v.id} {v.dtype:8} {v.tier:9} {' '.join(named)}: {v.comment}")


if __name__ == "__main__":
    main()
