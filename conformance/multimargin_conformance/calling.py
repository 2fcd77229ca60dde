"""How the checks' calls reach a backend: in this process, or through a worker (isolation)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from multimargin_conformance.backend import Subject
from multimargin_conformance.outcome import Observation, Returned, observe
from multimargin_conformance.worker.steps import Together, Turns, switching

if TYPE_CHECKING:
    from multimargin_conformance.session import Result
    from multimargin_reference.case import Case

Arrays = dict[str, NDArray[Any] | None]
ARGUMENTS = {"loss": ("input", "target", "weight"), "gradient": ("grad_output", "input", "target", "weight")}
FEATURES = frozenset({"digests", "held", "layouts", "long-lines", "raw", "threads", "types"})  # of the protocol
LONGEST_LINE = 8 << 20  # bytes of it
T = TypeVar("T")


@dataclass(frozen=True)
class Call:
    """One call of a backend.

    part: "loss" or "gradient". case: what is called. given: the arrays that a check handed over in place of the case's.
    keep: the result will be looked at again.
    """

    part: str
    case: Case
    given: Mapping[str, NDArray[Any] | None] = field(default_factory=dict)
    keep: bool = False

    def arrays(self) -> Arrays:
        """Return the arguments that are arrays, as in the signature: what was given, or fresh writable copies."""
        case, given = self.case, self.given
        found: Arrays = {}
        for name in ARGUMENTS[self.part]:
            if name in given:
                found[name] = given[name]
            else:
                array = getattr(case, name)
                found[name] = None if array is None else np.array(array, order="C")
        return found

    @property
    def options(self) -> dict[str, Any]:
        """The arguments that are none."""
        return {"p": self.case.p, "margin": self.case.margin, "reduction": self.case.reduction}


class Caller(Protocol):
    """What makes calls, and reports what became of them and of the memory that they touched."""

    @property
    def features(self) -> frozenset[str]:
        """What can be observed beyond results, out of FEATURES."""

    def call(self, call: Call) -> Observation:
        """Make one call."""

    def reject(self, valid: Call | None, call: Call) -> Observation:
        """Make a valid call first, then one that may leave its process unfit for others; return the second."""

    def reject_further(self, valid: Call, call: Call) -> Observation | None:
        """Do the same, but return None, and make no second call, where the process is unfit for the first by now."""

    def now(self, observation: Observation) -> Observation:
        """Return an observation with the result as it is now."""

    def fill(self, observation: Observation, value: float) -> None:
        """Overwrite every element of a result, as its owner may."""

    def write(self, arrays: Arrays) -> None:
        """Let what was written into arrays that were handed over reach the backend's memory."""

    def threads(self, calls: Sequence[Call], threads: int, rounds: int) -> list[list[Observation]]:
        """Make the calls from several threads, each of them `rounds` times; return what was seen, by call."""

    def ahead(self, items: Sequence[T]) -> Iterable[T]:
        """Yield a run's items, in order, each when it is about to run; one run begins after another's end."""

    def settle(self, result: Result) -> Result:
        """Return an item's result, or the failure that its calls amount to whatever the item made of them."""

    def late(self) -> Mapping[int, Result]:
        """Return, at the end of a run, the failures that became known after an item's result, by its place."""

    def close(self) -> None:
        """Let go of everything; no call follows."""


class InProcess:
    """Calls in this process."""

    features = FEATURES | {"memory"}  # the same process's

    def __init__(self, subject: Subject) -> None:
        self.subject = subject

    def call(self, call: Call) -> Observation:
        """Make one call; the result is the very memory that was returned."""
        function = self.subject.forward if call.part == "loss" else self.subject.backward
        assert function is not None
        return observe(function, call.arrays(), call.options)

    def reject(self, valid: Call | None, call: Call) -> Observation:
        """Make both calls."""
        if valid is not None:
            self.call(valid)
        return self.call(call)

    def reject_further(self, valid: Call, call: Call) -> Observation | None:
        """Make the second call where the first gives a result."""
        return self.call(call) if isinstance(self.call(valid).outcome, Returned) else None

    def now(self, observation: Observation) -> Observation:
        """Return the observation: it holds the memory itself."""
        return observation

    def fill(self, observation: Observation, value: float) -> None:
        """Overwrite the result where it can be written to."""
        outcome = observation.outcome
        if isinstance(outcome, Returned) and outcome.value.flags.writeable:
            outcome.value[...] = np.asarray(value).astype(outcome.value.dtype)

    def write(self, arrays: Arrays) -> None:
        """Do nothing: the backend had the arrays themselves."""

    def threads(self, calls: Sequence[Call], threads: int, rounds: int) -> list[list[Observation]]:
        """Make every call in turn, each thread beginning elsewhere; in a single round they take turns at each step."""
        seen: list[list[Observation]] = [[] for _ in calls]
        turns, together = Turns(threads), Together(threads)

        def work(offset: int) -> None:
            stepping = turns.taken() if rounds == 1 else nullcontext()
            with np.errstate(all="ignore"), stepping:  # the caller's settings do not reach a new thread
                for step in range(rounds * len(calls) // threads):
                    if rounds > 1:
                        together.begin(step)
                    place = (step + offset * len(calls) // threads) % len(calls)
                    seen[place].append(self.call(calls[place]))

        with switching(often=rounds > 1), ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, range(threads)))
        return seen

    def ahead(self, items: Sequence[T]) -> Iterator[T]:
        """Yield the items."""
        yield from items

    def settle(self, result: Result) -> Result:
        """Return the result."""
        return result

    def late(self) -> Mapping[int, Result]:
        """Return nothing."""
        return {}

    def close(self) -> None:
        """Do nothing."""
