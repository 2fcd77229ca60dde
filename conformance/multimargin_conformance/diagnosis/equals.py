"""Which known faults an implementation is like: the same results, call by call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from multimargin_conformance.backend import live
from multimargin_conformance.outcome import Observation, Outcome, Raised, Returned
from multimargin_conformance.session import Session
from multimargin_reference.case import Case
from multimargin_reference.known import FAULTS, MODEL, Fault


@dataclass(frozen=True)
class Call:
    """A call and what the implementation under test did with it."""

    case: Case
    part: str
    outcome: Outcome


@cache
def _session(name: str) -> Session:
    return Session(live(_by_name()[name].make()))


@cache
def _by_name() -> dict[str, Fault]:
    return {fault.name: fault for fault in FAULTS}


def like(call: Call, faults: Sequence[Fault] = FAULTS) -> list[Fault]:
    """Return the faults that do with a call what the implementation did."""
    return [fault for fault in faults if same(answer(fault, call.case, call.part).outcome, call.outcome)]


def is_right(call: Call) -> bool:
    """Whether a call was answered as a right implementation answers it."""
    return same(_right().function(call.part)(call.case).outcome, call.outcome)


@cache
def _right() -> Session:
    return Session(live(MODEL))


def answer(fault: Fault, case: Case, part: str) -> Observation:
    """Return what a known fault does with a call."""
    return _session(fault.name).function(part)(case)


def same(first: Outcome, second: Outcome) -> bool:
    """Whether two outcomes are one to a user: both errors, or the same shape, dtype and numbers (-0 = +0)."""
    if isinstance(first, Returned) and isinstance(second, Returned):
        a, b = first.value, second.value
        return a.shape == b.shape and a.dtype == b.dtype and bool(np.array_equal(_wide(a), _wide(b), equal_nan=True))
    return isinstance(first, Raised) and isinstance(second, Raised)


def _wide(
    array: np.ndarray[tuple[int, ...], np.dtype[np.generic]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return array.astype(np.float64)


def best(
    candidates: Sequence[Fault], failed: Sequence[Call], passed: Callable[[], Sequence[Call]]
) -> tuple[list[Fault], int]:
    """Return the faults that explain most failed calls and contradict no passed one, and how many they explain."""
    counts = {f.name: sum(same(answer(f, c.case, c.part).outcome, c.outcome) for c in failed) for f in candidates}
    for count in sorted(set(counts.values()), reverse=True):
        kept = [f for f in candidates if counts[f.name] == count]
        kept = [f for f in kept if all(same(answer(f, c.case, c.part).outcome, c.outcome) for c in passed())]
        if kept:
            return kept, count
    return [], 0
