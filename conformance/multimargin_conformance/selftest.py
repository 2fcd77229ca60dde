"""The suite checked against itself: every known fault rejected, every legal variant accepted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from multimargin_conformance import matrix as matrices
from multimargin_conformance.kills import mapped
from multimargin_conformance.matrix import Matrix, Row
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
    matrix: Matrix | None = None

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
        """Whether detection is complete and foreseen, there is no false alarm, and every check can fail."""
        return bool(self.detections) and not (
            self.missed or self.unforeseen or self.false_alarms or self.idle or self.alike
        )

    @property
    def idle(self) -> list[str]:
        """The clauses and checks that reject no fault; known with the matrix."""
        return self.matrix.idle if self.matrix is not None else []

    @property
    def alike(self) -> list[tuple[str, ...]]:
        """The faults that the same items reject, without an explanation; known with the matrix."""
        return self.matrix.alike if self.matrix is not None else []


def selftest(
    faults: Sequence[Fault] = FAULTS,
    variants: Sequence[Variant] = VARIANTS,
    progress: Progress | None = None,
    *,
    jobs: int = 1,
    matrix: bool = False,
) -> Outcome:
    """Check every fault until it is caught and every variant to the end, on the profile `full`.

    jobs: number of processes; with more than one, faults and variants are looked up in the catalogue by name. matrix:
    run every check on every fault, which takes ten times as long.
    """
    counted = _Counted(len(faults) + len(variants), progress)
    names = [fault.name for fault in faults]
    if matrix:
        found = Matrix(
            tuple(counted.each(mapped(matrices.row, names, jobs))), matrices.all_checks() if faults is FAULTS else ()
        )
        detections = [_detection(fault, row) for fault, row in zip(faults, found.rows, strict=True)]
    elif jobs > 1:
        caught = counted.each(mapped(_detect_named, names, jobs))
        detections = [Detection(fault, *answer) for fault, answer in zip(faults, caught, strict=True)]
    else:
        detections = list(counted.each(map(detect, faults)))
    run = map(accuse, variants) if jobs == 1 else mapped(_accuse_named, [v.name for v in variants], jobs)
    alarms = [FalseAlarm(v, message) for v, message in zip(variants, counted.each(run), strict=True) if message]
    return Outcome(tuple(detections), len(variants), tuple(alarms), found if matrix else None)


def detect(fault: Fault) -> Detection:
    """Check one fault: first by the clauses that it names, then by all."""
    named = check(fault.make(), profile="full", clause=",".join(fault.clauses), fail_fast=True)
    if named.failures:
        return Detection(fault, named.failures[0].clause, foreseen=True)
    report = check(fault.make(), profile="full", fail_fast=True)
    clause = report.failures[0].clause if report.failures else ""
    return Detection(fault, clause, foreseen=clause in fault.clauses)  # some show after more calls than one clause has


def accuse(variant: Variant) -> str:
    """Return the first thing that a check of a legal variant found wrong, "" where it is accepted."""
    report = check(variant.make(), profile="full", fail_fast=True)
    if report.conformant:
        return ""
    broken = [v.failure.message for v in report.failures if v.failure]
    broken += [v.reason for v in report.verdicts if v.status == "error"]
    return next(iter(broken), "the run was not valid")


def _detect_named(name: str) -> tuple[str, bool]:
    found = detect(next(fault for fault in FAULTS if fault.name == name))
    return found.caught_by, found.foreseen


def _accuse_named(name: str) -> str:
    return accuse(next(variant for variant in VARIANTS if variant.name == name))


def _detection(fault: Fault, row: Row) -> Detection:
    """Read a row of the matrix: a clause that the fault names comes first."""
    named = [clause for clause in fault.clauses if clause in row.rejected_by]
    return Detection(fault, next(iter([*named, *row.rejected_by]), ""), row.foreseen)


class _Counted:
    """A progress callback that is called for each thing done."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self._done, self._total, self._progress = 0, total, progress

    def each(self, results: Iterator[Any]) -> Iterator[Any]:
        """Pass results on, counting them."""
        for result in results:
            self._done += 1
            if self._progress:
                self._progress(self._done, self._total)
            yield result
