"""A run in progress: the backend, how it is called, and what has been observed so far."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from multimargin_conformance.backend import Subject
from multimargin_conformance.calling import ARGUMENTS, LONGEST_LINE, Call, Caller, InProcess
from multimargin_conformance.judge import Finding
from multimargin_conformance.outcome import Observation
from multimargin_reference.case import Case
from multimargin_reference.expectation import Enclosures


@dataclass(frozen=True)
class Result:
    """What one check found: a status, and the finding or the reason that goes with it."""

    status: str
    finding: Finding | None = None
    reason: str = ""


PASS = Result("pass")
BESIDE = 2048  # bytes of a call in a line, at most, beside its arrays' elements


class Settled(Exception):  # noqa: N818 (not an error: a result that needs no further calls)
    """Ends an item with a result, from wherever it is known."""

    def __init__(self, result: Result) -> None:
        super().__init__(result.reason)
        self.result = result


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
    samples: list[Sample] = field(default_factory=list)
    answers: dict[tuple[str, str, str, str], list[str]] = field(default_factory=dict)
    place: int = 0  # of the item that runs
    places: dict[tuple[str, str, str, str], int] = field(default_factory=dict)  # where each answer came first
    shrinks: bool = True  # whether a property's failure is made smaller
    caller: Caller = field(default=None)  # type: ignore[assignment] # the subject's own functions, unless given

    def __post_init__(self) -> None:
        if self.caller is None:
            self.caller = InProcess(self.subject)

    def forward(self, case: Case, **replaced: NDArray[Any] | None) -> Observation:
        """Call forward with fresh writable copies of the arguments, or with the arrays given instead."""
        return self._called(Call("loss", case, replaced))

    def backward(self, case: Case, **replaced: NDArray[Any] | None) -> Observation:
        """Call backward in the same way."""
        return self._called(Call("gradient", case, replaced))

    def function(self, part: str) -> Callable[..., Observation]:
        """Return forward for the loss and backward for the gradient."""
        return self.forward if part == "loss" else self.backward

    def answered(self, behaviour: str, clause: str, part: str, dtype: str, answer: str) -> None:
        """Record an observed choice."""
        key = (behaviour, clause, part, dtype)
        known = self.answers.setdefault(key, [])
        self.places.setdefault(key, self.place)
        if answer not in known:
            known.append(answer)

    def kept(self, part: str, case: Case, **replaced: NDArray[Any] | None) -> Observation:
        """Make a call whose result will be looked at again, or overwritten, through the caller."""
        return self._called(Call(part, case, replaced, keep=True))

    def threads(self, calls: Sequence[Call], threads: int, rounds: int) -> list[list[Observation]]:
        """Make the calls from several threads, `rounds` times in each; they are all sent in one line."""
        if sum(map(_digits, calls)) > LONGEST_LINE:
            self.needs("long-lines")
        return self.caller.threads(calls, threads, rounds)

    def fits(self, call: Call) -> bool:
        """Return whether a call can be made: without the feature raw all elements are digits in one line."""
        return self.offers("raw") or _digits(call) <= LONGEST_LINE

    def _called(self, call: Call) -> Observation:
        if not self.fits(call):
            self.needs("raw")
        return self.caller.call(call)

    def reject(self, part: str, case: Case, valid: Case | None, **given: NDArray[Any] | None) -> Observation:
        """Make a call that should be rejected, after a valid one. given: arrays in place of the call's own."""
        return self.caller.reject(None if valid is None else Call(part, valid), Call(part, case, given))

    def reject_further(self, part: str, case: Case, valid: Case, **given: NDArray[Any] | None) -> Observation | None:
        """Make such calls where the one before left its process fit for a valid one; None where it did not."""
        return self.caller.reject_further(Call(part, valid), Call(part, case, given))

    def needs(self, feature: str) -> None:
        """End the item as skipped where the adapter does not offer a feature of the protocol."""
        if feature not in self.caller.features:
            raise Settled(Result("skip", reason=f"the adapter does not offer {feature} (PROTOCOL.md)"))

    def offers(self, feature: str) -> bool:
        """Return whether the adapter offers a feature of the protocol."""
        return feature in self.caller.features


def _digits(call: Call) -> int:
    """Return how long a call is in a line of the protocol, two digits a byte, or somewhat more."""
    arrays = (call.given[name] if name in call.given else getattr(call.case, name) for name in ARGUMENTS[call.part])
    return BESIDE + 2 * sum(array.nbytes for array in arrays if array is not None)
