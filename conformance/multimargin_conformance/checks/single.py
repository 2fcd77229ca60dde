"""One call, judged by what is legal for it: for calls that are no vectors, such as shrunk ones and files."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np

from multimargin_conformance.calling import Arrays
from multimargin_conformance.capabilities import Capabilities
from multimargin_conformance.checks.empty import rounds
from multimargin_conformance.checks.item import Scope
from multimargin_conformance.judge import Finding, judge, judge_rejection, passes_surely
from multimargin_conformance.outcome import Observation, Raised
from multimargin_conformance.session import Session
from multimargin_reference.case import Case
from multimargin_reference.exact_values import exact_gradient, exact_values, legal_values
from multimargin_reference.expectation import Enclosures, Values, expected_values
from multimargin_reference.rejection import meaning, rejecting_clause

MOST_KEPT = 64  # calls of which is kept what is legal
TARGET_RANGE = ("REJECT-3", "REJECT-4", "REJECT-5")


def judge_call(session: Session, case: Case, part: str, scope: Scope, given: Arrays | None = None) -> Finding | None:
    """Make one call and judge its loss or gradient ("loss" or "gradient"); None when it is legal.

    A call of unusual types (DTYPE-4) may be rejected, or means what the usual call means. given: arrays that are handed
    over in place of the call's own.
    """
    usual = meaning(case)
    findings = (_judged(session, case, usual, part, scope, given or {}) for _ in rounds(session, usual, part))
    return next((finding for finding in findings if finding), None)


def _judged(session: Session, case: Case, usual: Case, part: str, scope: Scope, given: Arrays) -> Finding | None:
    if clause := rejecting_clause(usual):
        return judge_refused(session, case, part, clause)
    observation = session.function(part)(case, **given)
    if usual.id != case.id and is_refused(session, case, part, observation, given):
        return None
    enclosures = exact_part(usual, part)
    if enclosures is None:
        if not scope.widened and passes_surely(part, observation, usual, flush=scope.flush):
            return None
        enclosures = part_of(_expected(case, scope.flush), part)
        if scope.widened:
            enclosures = enclosures.narrowed_to_widened()
    why = "exact grid: nothing rounds" if enclosures.exact else "derived bound on every legal evaluation"
    return judge(part, observation, enclosures, why)


def exact_part(case: Case, part: str, *, subnormal: bool = False) -> Enclosures | None:
    """Return the one legal loss or gradient of a valid call, None where something may round: see `exact_values`."""
    if part == "gradient":
        return exact_gradient(case, subnormal=subnormal)
    values = exact_values(replace(case, grad_output=None), subnormal=subnormal)
    return None if values is None else values.loss


def legal_with(capabilities: Capabilities, case: Case) -> Values:
    """Return what a backend that declared these capabilities may return for a valid case: some may flush subnormals."""
    flush = "flush-subnormals" in capabilities.permissions
    return exact_values(case) or _expected(case, flush) if flush else legal_values(case)


@lru_cache(MOST_KEPT)
def _expected(case: Case, flush: bool) -> Values:
    """Return what is legal for the usual call by the exact rules: they take seconds for the largest calls."""
    return expected_values(meaning(case), flush=flush)


def is_refused(session: Session, case: Case, part: str, observation: Observation, given: Arrays | None = None) -> bool:
    """Whether a call of unusual types was rejected: its gradient too where its loss is, which alone has to say so.

    SPEC.md, section 1: a gradient has the arguments of a loss, and repeats the rejections of the target's values alone.
    """
    if observation.changed:
        return False
    if isinstance(observation.outcome, Raised) or part == "loss":
        return isinstance(observation.outcome, Raised)
    arrays = {name: array for name, array in (given or {}).items() if name != "grad_output"}
    return isinstance(session.forward(case, **arrays).outcome, Raised)


def judge_refused(session: Session, case: Case, part: str, clause: str) -> Finding | None:
    """Judge a call that must be rejected."""
    return judge_rejection(session.reject(part, case, in_range(case, clause)), clause)


def in_range(case: Case, clause: str) -> Case | None:
    """Return the valid call that comes before one with a target out of range: a shape that was fine proves nothing."""
    if clause not in TARGET_RANGE:
        return None
    return replace(case, target=np.clip(case.target, 0, (case.input.shape or (1,))[-1] - 1))


def part_of(values: Values, part: str) -> Enclosures:
    """Return what is legal for the loss or the gradient."""
    expected = values.loss if part == "loss" else values.gradient
    assert expected is not None
    return expected
