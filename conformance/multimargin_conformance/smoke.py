"""Is the adapter itself sane? Trivial valid calls, judged by their form alone: a wrong loss passes.

An adapter that fails here would make every other verdict meaningless, so it is looked at first and on its own.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multimargin_conformance.backend import Subject
from multimargin_conformance.calling import Caller
from multimargin_conformance.capabilities import ALL_DTYPES
from multimargin_conformance.judge import no_result
from multimargin_conformance.outcome import Observation, Raised, Returned
from multimargin_conformance.session import Session
from multimargin_reference.case import Case
from multimargin_reference.formats import DTYPES, HALVES

LOGITS = ([[0.5, 1.75, -0.25, 1.125], [2.25, 0.5, 2.75, -4.0]], [[3.0, -2.0, 5.5, 8.0], [-6.0, 1.5, 7.0, 4.0]], None)
TARGETS = ([1, 2], [1, 0], [0, 0])
DECLARE = "correct the adapter, or declare less in Capabilities"


@dataclass(frozen=True)
class Call:
    """One trivial valid call and the part of it that is asked for."""

    part: str
    case: Case

    @property
    def words(self) -> str:
        """The call as a user names it."""
        name = "forward" if self.part == "loss" else "backward"
        c = self.case
        return f"{name} of {c.dtype} {c.input.shape} with p = {c.p}, reduction {c.reduction!r}"


@dataclass(frozen=True)
class Probe:
    """One question to the adapter: `run` yields what is not sane: what, what was expected, what to do next."""

    name: str
    run: Callable[[Session], Iterator[str]]


@dataclass(frozen=True)
class Sanity:
    """What came of it: what is not sane ("" if nothing), and what was tried, in words."""

    broken: str
    tried: str


def smoke(subject: Subject, probes: Sequence[Probe] | None = None, caller: Caller | None = None) -> Sanity:
    """Return whether an adapter is sane, by the first thing that is not; never raises for what a backend does.

    caller: how it is called, where it runs in another process.
    """
    session = Session(subject) if caller is None else Session(subject, caller=caller)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        found = (message for probe in probes or PROBES for message in probe.run(session))
        return Sanity(next(found, ""), tried(subject))


def tried(subject: Subject) -> str:
    """Return in words what the probes try."""
    c, parts = subject.capabilities, "forward and backward" if subject.backward else "forward (no backward)"
    return (
        f"{parts}, {len(calls(subject))} calls: {', '.join(c.dtypes)}; p = {' and '.join(map(str, c.p))}; "
        f"{', '.join(c.reductions)}; {' and '.join(c.shapes)} input; its values were not judged"
    )


def calls(subject: Subject) -> list[Call]:
    """Return a trivial call for every combination that the backend declares."""
    c = subject.capabilities
    parts = ("loss", "gradient") if subject.backward else ("loss",)
    cases = [trivial(*options) for options in product(c.dtypes, c.p, c.reductions, c.shapes)]
    return [Call(part, case) for case in cases for part in parts]


def trivial(dtype: str, p: int, reduction: str, shape: str, number: int = 0) -> Case:
    """Return a valid call of small exact numbers; `number` 0 to 2 for calls that have nothing in common."""
    x = np.array(LOGITS[number] or np.zeros((2, 4)), dtype=DTYPES[dtype])
    y = np.array(TARGETS[number], dtype=np.int64)
    w = np.array([1.0, 2.0, 0.5, 4.0], dtype=DTYPES[dtype]) if number else None
    if shape == "unbatched":
        x, y = x[0], np.array(y[0])
    g = np.ones(y.shape if reduction == "none" else (), dtype=DTYPES[dtype])
    return Case(x, y, p, 1.0, w, reduction, g)


def _answers(session: Session) -> Iterator[str]:
    """Every declared combination is answered in the right form, and leaves its arguments as they were."""
    for call in calls(session.subject):
        observation = _asked(session, call)
        if _undeclared_half(session.subject, call, observation):
            continue
        if wrong := _wrong_form(call, observation):
            yield wrong


def _asked(session: Session, call: Call) -> Observation:
    """Ask for one answer; a backward may want grad_output in the shape of its own loss: a wrong one is its matter."""
    observation = session.function(call.part)(call.case)
    if call.part == "loss" or not isinstance(observation.outcome, Raised):
        return observation
    loss = session.forward(call.case).outcome
    if not isinstance(loss, Returned) or loss.value.shape == _loss_shape(call.case):
        return observation
    return session.backward(replace(call.case, grad_output=np.ones(loss.value.shape, dtype=call.case.input.dtype)))


def _undeclared_half(subject: Subject, call: Call, observation: Observation) -> bool:
    """Whether one that declares nothing refuses a half dtype, or widens it: the profile `half` alone asks for it."""
    if subject.capabilities.dtypes != ALL_DTYPES or call.case.dtype not in HALVES:
        return False
    match observation.outcome:
        case Raised():
            return True
        case Returned(value=value):
            return value.dtype in (np.float32, np.float64)
    return False


def _wrong_form(call: Call, observation: Observation) -> str:
    """Return what is wrong with an answer's form, "" if nothing is."""
    outcome = observation.outcome
    if observation.changed:
        return f"{call.words} changed its {' and '.join(observation.changed)}, but should leave it: copy it first"
    if not isinstance(outcome, Returned):
        return f"{call.words}: {no_result(call.part, outcome).message}: {DECLARE}"
    shape = call.case.input.shape if call.part == "gradient" else _loss_shape(call.case)
    value: NDArray[Any] = outcome.value
    if value.dtype != call.case.input.dtype:
        return f"{call.words} returned dtype {value.dtype}, but should return input's {call.case.dtype}: {DECLARE}"
    if np.squeeze(value).shape != np.squeeze(np.empty(shape)).shape:  # (1,) for (): the loss's matter (REDUCTION-4)
        return f"{call.words} returned shape {value.shape}, but should return {shape}: correct the adapter's result"
    if not np.isfinite(value.astype(np.float64)).all():
        return (
            f"{call.words} returned numbers that are not finite for small finite arguments: check how they are passed"
        )
    return ""


def _loss_shape(case: Case) -> tuple[int, ...]:
    return case.target.shape if case.reduction == "none" else ()


def _repeats(session: Session) -> Iterator[str]:
    """The same call gives the same bits twice, another call in between."""
    if "run-to-run-variation" in session.subject.capabilities.permissions:
        return
    for call in calls(session.subject):
        first = _bits(_asked(session, call))
        session.forward(_other(call.case, 1))
        second = _bits(_asked(session, call))
        if first != second:
            yield (
                f"{call.words} gave two answers to the same call, but should give the same bits: look for state that "
                "is kept, or memory that is not initialised; or declare the permission run-to-run-variation"
            )


def _bits(observation: Observation) -> bytes:
    outcome = observation.outcome
    return outcome.value.tobytes() if isinstance(outcome, Returned) else b""


def _related(session: Session) -> Iterator[str]:
    """Three calls with nothing in common do not all get the same loss."""
    for call in calls(session.subject):
        if call.part != "loss":
            continue
        answers = {_bits(session.forward(_other(call.case, number))) for number in range(len(LOGITS))}
        if len(answers) == 1 and answers != {b""}:
            yield (
                f"{call.words} gave the same answer to {len(LOGITS)} very different calls, but should depend on its "
                "arguments: check that they reach the implementation"
            )


def _other(case: Case, number: int) -> Case:
    shape = "batched" if case.input.ndim == 2 else "unbatched"
    return trivial(case.dtype, int(case.p), case.reduction, shape, number)


PROBES = (
    Probe("answers in the right form", _answers),
    Probe("gives the same answer twice", _repeats),
    Probe("answers what it is asked", _related),
)
