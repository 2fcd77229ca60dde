"""A run in progress: the backend, how it is called, and what has been observed so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multimargin_conformance.backend import Subject
from multimargin_conformance.judge import Finding
from multimargin_conformance.outcome import Observation, observe
from multimargin_reference.case import Case
from multimargin_reference.expectation import Enclosures

Arrays = dict[str, NDArray[Any] | None]


@dataclass(frozen=True)
class Result:
    """What one check found: a status, and the finding or the reason that goes with it."""

    status: str
    finding: Finding | None = None
    reason: str = ""


PASS = Result("pass")


def result_of(finding: Finding | None) -> Result:
    """Return a pass for no finding and a failure for one."""
    return PASS if finding is None else Result("fail", finding)


@dataclass(frozen=True)
class Sample:
    """A legal result that rounds, kept for the accuracy figures."""

    part: str
    case: Case
    expected: Enclosures
    result: NDArray[Any]


@dataclass
class Session:
    """The backend under test and what the checks have observed."""

    subject: Subject
    seed: int = 0
    samples: list[Sample] = field(default_factory=list)
    answers: dict[tuple[str, str, str, str], list[str]] = field(default_factory=dict)

    def forward(self, case: Case, **replaced: NDArray[Any] | None) -> Observation:
        """Call forward with fresh writable copies of the arguments, or with the arrays given instead."""
        return observe(
            self.subject.forward, self._arrays(case, ("input", "target", "weight"), replaced), _options(case)
        )

    def backward(self, case: Case, **replaced: NDArray[Any] | None) -> Observation:
        """Call backward in the same way."""
        assert self.subject.backward is not None
        names = ("grad_output", "input", "target", "weight")
        return observe(self.subject.backward, self._arrays(case, names, replaced), _options(case))

    def function(self, part: str) -> Callable[..., Observation]:
        """Return forward for the loss and backward for the gradient."""
        return self.forward if part == "loss" else self.backward

    def answered(self, behaviour: str, clause: str, part: str, dtype: str, answer: str) -> None:
        """Record an observed choice."""
        known = self.answers.setdefault((behaviour, clause, part, dtype), [])
        if answer not in known:
            known.append(answer)

    def _arrays(self, case: Case, names: tuple[str, ...], replaced: Mapping[str, NDArray[Any] | None]) -> Arrays:
        return {name: replaced[name] if name in replaced else _fresh(getattr(case, name)) for name in names}


def _fresh(array: NDArray[Any] | None) -> NDArray[Any] | None:
    return None if array is None else np.array(array, order="C")


def _options(case: Case) -> dict[str, Any]:
    return {"p": case.p, "margin": case.margin, "reduction": case.reduction}
