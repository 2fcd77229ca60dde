"""The suite checked against itself: every known fault rejected, every legal variant accepted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from multimargin_conformance.runner import check
from multimargin_reference.known import FAULTS, VARIANTS, Fault, Variant

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Detection:
    """What became of one known fault: the clause that caught it first ("" if none did).

    foreseen: whether it was one of the clauses that the fault names in advance.
    """

    fault: Fault
    caught_by: str
    foreseen: bool


@dataclass(frozen=True)
class FalseAlarm:
    """A legal variant that was rejected, and the first message."""

    variant: Variant
    message: str


@dataclass(frozen=True)
class Outcome:
    """Both rates, and what they are made of."""

    detections: tuple[Detection, ...]
    variants: int
    false_alarms: tuple[FalseAlarm, ...]

    @property
    def missed(self) -> tuple[Detection, ...]:
        """The faults that nothing caught."""
        return tuple(d for d in self.detections if not d.caught_by)

    @property
    def unforeseen(self) -> tuple[Detection, ...]:
        """The faults that only clauses caught which they do not name."""
        return tuple(d for d in self.detections if d.caught_by and not d.foreseen)

    @property
    def passed(self) -> bool:
        """Whether detection is complete and foreseen, and there is no false alarm."""
        return bool(self.detections) and not (self.missed or self.unforeseen or self.false_alarms)


def selftest(
    faults: Sequence[Fault] = FAULTS, variants: Sequence[Variant] = VARIANTS, progress: Progress | None = None
) -> Outcome:
    """Check every fault until it is caught and every variant to the end, on the profile `full`."""
    total, detections, alarms = len(faults) + len(variants), [], []
    for done, fault in enumerate(faults, start=1):
        detections.append(detect(fault))
        if progress:
            progress(done, total)
    for done, variant in enumerate(variants, start=len(faults) + 1):
        report = check(variant.make(), profile="full")
        if not report.conformant:
            broken = [v.failure.message for v in report.failures if v.failure]
            broken += [v.reason for v in report.verdicts if v.status == "error"]
            alarms.append(FalseAlarm(variant, next(iter(broken), "the run was not valid")))
        if progress:
            progress(done, total)
    return Outcome(tuple(detections), len(variants), tuple(alarms))


def detect(fault: Fault) -> Detection:
    """Check one fault: first by the clauses that it names, then by all."""
    named = check(fault.make(), profile="full", clause=",".join(fault.clauses), fail_fast=True)
    if named.failures:
        return Detection(fault, named.failures[0].clause, foreseen=True)
    report = check(fault.make(), profile="full", fail_fast=True)
    return Detection(fault, report.failures[0].clause if report.failures else "", foreseen=False)
