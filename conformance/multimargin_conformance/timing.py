"""How long a backend takes for a fixed set of calls, several times over: reported, and compared by `diff`."""

from __future__ import annotations

import time

from multimargin_conformance.checks.contexts import contexts, valid
from multimargin_conformance.checks.item import Scope
from multimargin_conformance.checks.ladder import SIZES, Step, call
from multimargin_conformance.outcome import Returned
from multimargin_conformance.session import Session, Settled
from multimargin_reference.case import Case

SLOW_S = 2.0  # of a round
ROUNDS = 7  # enough to see how much one round differs from the next
SMALL, LARGE = 18, (1024, 8192, 32768)  # calls of few numbers; sizes of the others, along classes and along rows
DTYPE = "float32"


def timed(session: Session, scope: Scope) -> tuple[float, ...]:
    """Return the seconds of each round, sorted; nothing where float32 is not checked, or a call fails or is slow.

    A round is every call once, for the loss, and for the gradient where there is one; one more comes first and does not
    count. The time is the backend's and that of what carries the calls there, in this process or through a worker.
    """
    if DTYPE not in scope.dtypes or not scope.operator:
        return ()
    cases = [case for case in _cases() if not scope.capabilities.leaves_out(case)]
    seconds: list[float] = []
    for _ in range(1 + ROUNDS if cases else 0):
        took = _round(session, scope, cases)
        if took is None or took > SLOW_S:
            return ()
        seconds.append(took)
    return tuple(sorted(seconds[1:]))


def _round(session: Session, scope: Scope, cases: list[Case]) -> float | None:
    """Return how long a round takes, None where some call does not return; it ends with a call that is slow."""
    functions = [session.forward, *([session.backward] if scope.gradient else [])]
    began = time.perf_counter()
    try:
        for case in cases:
            for function in functions:
                if not isinstance(function(case).outcome, Returned):
                    return None
            if time.perf_counter() - began > SLOW_S:
                break
    except Settled:  # a process that was lost too often
        return None
    return time.perf_counter() - began


def _cases() -> list[Case]:
    steps = [Step(SIZES.index(size), tall, DTYPE) for size in LARGE for tall in (False, True)]
    return [*(valid(context, DTYPE) for context in contexts()[::3][:SMALL]), *(call(step) for step in steps)]
