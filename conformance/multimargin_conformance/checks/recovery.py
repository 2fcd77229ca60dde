"""PURITY-3 right after a call that was rejected: a valid call has its own answer, whatever the call before was.

Nothing is called in between: what a rejection leaves behind may last for one call.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache

from multimargin_conformance.capabilities import Capabilities
from multimargin_conformance.checks.contexts import contexts, valid
from multimargin_conformance.checks.invalid import REASONS, UNUSED
from multimargin_conformance.checks.item import Item, Scope
from multimargin_conformance.checks.single import TARGET_RANGE, part_of
from multimargin_conformance.isolation.launch import ON_THE_HOST
from multimargin_conformance.judge import judge, judge_rejection
from multimargin_conformance.outcome import Raised, Returned
from multimargin_conformance.session import PASS, Result, Session, result_of
from multimargin_reference.case import Case
from multimargin_reference.exact_values import legal_values
from multimargin_reference.expectation import Values
from multimargin_reference.formats import DTYPES
from multimargin_reference.rejection import rejecting_clause

SHAPES = ((4,), (4, 4))
CLAUSES = {"PURITY-3": ["a valid call after a rejected one"]}


def items(scope: Scope) -> Iterator[Item]:
    """Yield one item a dtype and part: gradients for targets out of range alone, which backward rejects too."""
    for dtype in scope.dtypes:
        for part in ("loss", "gradient") if scope.gradient else ("loss",):
            if _pairs(dtype, part, scope.capabilities):
                yield _item(dtype, part, scope.capabilities)


def _item(dtype: str, part: str, capabilities: Capabilities) -> Item:
    def run(session: Session) -> Result:
        if session.subject.device not in ON_THE_HOST or session.subject.compiles:
            return Result("skip", reason="these calls may end a process that others need")
        for name, clause, invalid, case in _pairs(dtype, part, capabilities):
            rejected = session.function(part)(invalid)
            if not isinstance(rejected.outcome, Raised | Returned):  # there is nothing left to recover
                finding = judge_rejection(rejected, clause)
                return result_of(finding and replace(finding, case=invalid, clause=finding.clause or clause))
            observation = session.function(part)(case)
            why = f"right after a call that should be rejected: {name}"
            if finding := judge(part, observation, part_of(_expectation(case), part), why):
                return result_of(replace(finding, case=case))
        return PASS

    return Item(f"PURITY-3/{dtype}/after-rejection/{part}", "PURITY-3", dtype, part, run, kind="recovery")


@cache
def _pairs(dtype: str, part: str, capabilities: Capabilities) -> tuple[tuple[str, str, Case, Case], ...]:
    """Return, by reason and clause, an invalid call without a batch and one with, and the valid call behind it."""
    found = []
    kinds = [DTYPES[name] for name in capabilities.dtypes]
    for k, (name, (clause, change)) in enumerate(REASONS.items()):
        if (part == "gradient" and clause not in TARGET_RANGE) or (part == "loss" and name.endswith(UNUSED)):
            continue
        for shape in SHAPES:
            cases = [case for case in _valid(dtype, shape) if not capabilities.leaves_out(case)]
            if not cases:
                continue
            case = cases[k % len(cases)]
            invalid = change(case)
            known = invalid.target.dtype not in DTYPES.values() or invalid.target.dtype in kinds
            if known and rejecting_clause(invalid) == clause and not capabilities.leaves_out(invalid):
                found.append((name, clause, invalid, case))
    return tuple(found)


@cache
def _valid(dtype: str, shape: tuple[int, ...]) -> tuple[Case, ...]:
    return tuple(valid(context, dtype) for context in contexts() if context.shape == shape)


@cache
def _expectation(case: Case) -> Values:
    return legal_values(case)
