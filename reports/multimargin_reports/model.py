"""What a conformance run found, as data: rendered, compared and judged again without the backend."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

FORMAT = "multimargin-report"
FORMAT_VERSION = 1
STATUSES = ("pass", "fail", "error", "skip")


@dataclass(frozen=True)
class Failure:
    """Why one verdict is a failure, in words and in numbers.

    evidence: got and expected as decimals, hexadecimal floats and bits, first bad index, signed ULP error: JSON data.
    replay: the command that runs the check again. The first failure of a cause is about the smallest call that still
    fails: `case` is that call as JSON (the golden vectors' form), `snippet` a program that makes it.
    """

    message: str
    call: str
    replay: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    case: Mapping[str, Any] = field(default_factory=dict)
    snippet: str = ""


def replay_command(backend: Mapping[str, Any], name: str) -> str:
    """Return what runs a check or a case again: on the command line, or in Python for a live object.

    backend: its `spec`, `device` and `python`, as in Report.backend. name: the case's id, or the check's where it has
    no case.
    """
    if not backend.get("spec"):
        return f"multimargin_conformance.replay({name!r}, backend)"
    device = f" --device {backend['device']}" if backend.get("device") else ""
    python = f" --python {shlex.quote(backend['python'])}" if backend.get("python") else ""
    return f"multimargin replay {shlex.quote(name)} --backend {shlex.quote(backend['spec'])}{device}{python}"


@dataclass(frozen=True)
class Verdict:
    """The outcome of one check on one case. `clause` is the id of the clause that it speaks about.

    known: for a failure that was expected, why, who looks after it and where; "" otherwise.
    """

    id: str
    clause: str
    title: str
    level: str
    dtype: str
    status: str
    case: str = ""
    reason: str = ""
    failure: Failure | None = None
    known: str = ""

    @property
    def label(self) -> str:
        """Clause id and title, as printed everywhere."""
        return f"{self.clause} {self.title}"

    @property
    def group(self) -> str:
        """Clause group."""
        return self.clause.split("-")[0]


@dataclass(frozen=True)
class Cause:
    """Failures that have one reason, as far as can be seen.

    title: what it probably is. equals: known faults (name and sentence) that give the same results. verdicts: ids of
    the failed verdicts; the failure of the first holds the smallest call.
    """

    title: str
    verdicts: tuple[str, ...]
    equals: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Behaviour:
    """An observed choice where the specification leaves one. meanings: by answer, what it means for a user."""

    name: str
    clause: str
    part: str  # "loss" or "gradient"
    dtype: str
    answers: tuple[str, ...]
    meanings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Accuracy:
    """Errors of one dtype's results against the exact values, over the calls that round; ulp figures in ULP."""

    dtype: str
    part: str
    count: int
    largest_ulp: float
    median_ulp: float
    correctly_rounded: float  # share of results
    bound_used: float  # the largest fraction of the enclosure used
    bias_ulp: float  # mean signed error
    accuracy_class: str
    signed_ulp: tuple[float, ...] = ()  # quantiles of the signed error: 0, 1, 5, 25, 50, 75, 95, 99, 100 %
    histogram: tuple[tuple[float, int], ...] = ()  # the middle of a bin of signed errors, and how many are in it
    by_classes: tuple[tuple[int, int, float, float], ...] = ()  # C, results, largest error, largest bound


@dataclass(frozen=True)
class Report:
    """A whole run.

    causes: the failures, grouped. sentences: by clause id, what the specification says. stale: one line for each
    expected failure that no longer fails. timing: seconds of each round of a fixed set of calls. not_started: for a
    backend that could not be started, the reason and the end of its stderr; such a report is incomplete.
    """

    backend: Mapping[str, Any]
    profile: str
    claim: str
    planned: int
    verdicts: tuple[Verdict, ...]
    behaviours: tuple[Behaviour, ...] = ()
    accuracy: tuple[Accuracy, ...] = ()
    causes: tuple[Cause, ...] = ()
    sentences: Mapping[str, str] = field(default_factory=dict)
    complete: bool = True
    environment: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    duration_s: float = 0.0
    timing: tuple[float, ...] = ()
    stale: tuple[str, ...] = ()
    not_started: Mapping[str, str] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, int]:
        """How many verdicts of each status there are."""
        found = Counter(v.status for v in self.verdicts)
        return {status: found[status] for status in STATUSES}

    @property
    def valid(self) -> bool:
        """Whether every planned check has its verdict and the suite itself did not break."""
        return self.complete and self.planned == len(self.verdicts) and self.counts["error"] == 0

    @property
    def failures(self) -> tuple[Verdict, ...]:
        """The failed verdicts."""
        return tuple(v for v in self.verdicts if v.status == "fail")

    @property
    def conformant(self) -> bool:
        """Whether the run is complete, something passed, and no MUST failed."""
        return self.valid and self.counts["pass"] > 0 and not any(v.level == "MUST" for v in self.failures)

    @property
    def as_expected(self) -> bool:
        """Whether the run is complete and not empty, every failed MUST is known, and no expectation is stale."""
        unknown = any(v.level == "MUST" and not v.known for v in self.failures)
        seen = self.counts["pass"] > 0 or any(v.known for v in self.failures)
        return self.valid and seen and not unknown and not self.stale
