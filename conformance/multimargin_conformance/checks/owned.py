"""Whether a result is its owner's: what is written into it stays, and comes back from no later call (PURITY-4)."""

from __future__ import annotations

import zlib
from typing import TypeGuard

import numpy as np

from multimargin_conformance.judge import Finding
from multimargin_conformance.outcome import Observation, Outcome, Returned
from multimargin_conformance.session import Session
from multimargin_reference.case import Case
from multimargin_reference.formats import DTYPES

TWICE = 2  # a result is written to: memory that is not initialised may hold a number by chance


def of_its_owner(session: Session, case: Case, part: str) -> Finding | None:
    """A later call neither returns nor changes what an earlier result's owner wrote into it.

    What else may be wrong with either has checks of its own, such as memory that was never written to.
    """
    first = session.kept(part, case)
    if not has_numbers(first.outcome):
        return None
    for turn in range(TWICE):
        number = number_of(case, part, turn)
        session.caller.fill(first, number)
        if not turn and not is_written(session, first, number):
            return None
        outcome = session.function(part)(case).outcome
        if not has_numbers(outcome) or not (outcome.value.astype(np.float64) == number).any():
            return None if is_written(session, first, number) else overwritten_later(part)
    return Finding(f"{part} has what the caller wrote into an earlier result, but should not", {"part": part})


def number_of(case: Case, part: str, turn: int = 0) -> float:
    """Return what is written into a result of a call: every dtype holds it, and few other calls have the same."""
    digits = zlib.crc32(f"{case.id} {part} {turn}".encode())
    return float(np.ldexp(129 + digits % 127, digits // 127 % 8 - 4))


def has_numbers(outcome: Outcome) -> TypeGuard[Returned]:
    """Whether it is a result of a dtype that calls have."""
    return isinstance(outcome, Returned) and outcome.value.dtype.name in DTYPES


def overwritten_later(part: str) -> Finding:
    """Return the finding that a later call changed a result after its owner did."""
    return Finding(f"{part}: what its owner wrote into a result was overwritten by a later call", {"part": part})


def is_written(session: Session, seen: Observation, number: float) -> bool:
    """Whether a result holds what its owner wrote: one that is read-only, or was lost, does not."""
    outcome = session.caller.now(seen).outcome
    return isinstance(outcome, Returned) and bool((outcome.value.astype(np.float64) == number).all())
