"""`multimargin update-expectations`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from multimargin_conformance.cli.base import INVALID, USAGE, Stop

if TYPE_CHECKING:
    from multimargin_conformance.expectations import Entry
    from multimargin_reports import Report

FILE = click.Path(dir_okay=False, path_type=Path)


@click.command("update-expectations")
@click.argument("report", type=FILE)
@click.option("--output", type=FILE, help="Write this file; without it the text is printed.")
@click.option("--keep", type=FILE, help="Keep this file's entries; by default those of --output, where it exists.")
@click.option("--owner", default="", help="Who looks after the new entries.")
@click.option("--link", default="", help="Where they are discussed.")
@click.option("--reason", default="", help="Why they fail.")
def update_expectations(report: Path, output: Path | None, keep: Path | None, **words: str) -> None:
    """Write the expected failures of REPORT, a report.json, for check --expected-failures.

    There is one entry a failed clause, by dtype and by part (loss, gradient) where not all of them fail. Entries of an
    earlier file stay as they are; those that the report shows to be stale are left out. Without --owner, --link and
    --reason a new entry says TODO there, which check refuses: fill it in. Comments of the earlier file are not kept.
    """
    from multimargin_conformance.expectations_update import to_toml, update

    given = {key: value for key, value in words.items() if value.strip()}
    found = _read(report)
    if not found.valid:
        raise Stop(f"{report}: the run is not complete: run it again to the end", INVALID)
    old = _kept(keep or (output if output and output.exists() else None))
    try:
        result = update(found, old, **given)
    except ValueError as error:
        raise Stop(str(error), USAGE) from error
    for line in result.dropped:
        click.echo(f"left out: {line}", err=True)
    _put(to_toml(result), output)
    if output is not None:
        click.echo(f"wrote {output}: {len(result.kept)} entries kept, {len(result.added)} added")


def _read(path: Path) -> Report:
    from multimargin_reports import read

    try:
        return read(path)
    except (OSError, ValueError) as error:
        raise Stop(f"REPORT {path}: {error}", USAGE) from error


def _kept(path: Path | None) -> tuple[Entry, ...]:
    from multimargin_conformance.expectations import load

    try:
        return load(path) if path is not None else ()
    except ValueError as error:
        raise Stop(str(error), USAGE) from error


def _put(text: str, path: Path | None) -> None:
    try:
        click.echo(text, nl=False) if path is None else path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Stop(f"--output {path}: {error.strerror}", USAGE) from error
