"""`multimargin selftest`."""

from __future__ import annotations

import sys

import click

from multimargin_conformance.cli.base import CONFORMANT, NOT_CONFORMANT, progress


@click.command()
def selftest() -> None:
    """Check the suite itself: all known faults must be rejected, no legal variant may be; takes minutes."""
    from multimargin_conformance.selftest import selftest as run

    outcome = run(progress=progress())
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
