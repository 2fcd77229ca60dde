"""REJECT-1 and REJECT-2 with values that no golden vector can hold: other types, NaN, infinities.

Only what the clauses' sentences say is asked for. True and 1.0 are 1 (DTYPE-4 leaves them open) and are not passed.
Other names of what is valid, such as PyTorch's numbers of the reductions, may be rejected or mean just that.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np

from multimargin_conformance.checks.item import Item, Scope
from multimargin_conformance.judge import Finding, judge, judge_rejection
from multimargin_conformance.outcome import Raised
from multimargin_conformance.session import PASS, Result, Session, result_of
from multimargin_reference.case import Case
from multimargin_reference.exact_values import legal_values
from multimargin_reference.formats import DTYPES
from multimargin_reference.rejection import rejecting_clause

NAN, INF = float("nan"), float("inf")
P: tuple[Any, ...] = (
    None,
    "",
    "mean",
    1 + 2.0**-40,
    2 - 2.0**-40,
    1 + 2.0**-52,
    2 + 2.0**-51,
    5,
    8,
    10,
    1e9,
    1e300,
    -2,
    -0.0,
    3.0,
    2**8 + 1,
    2**16 + 1,
    2**16 + 2,
    2**31,
    2**32 + 1,
    2**32 + 2,
    2**64 + 1,
    np.int64(3),
    np.int32(0),
    np.float32(1.5),
    np.float64(2.5),
    False,
    "p",
    "0",
    "3",
    "1.5",
    "2.5",
    NAN,
    INF,
    -INF,
)
P_OBJECTS: tuple[Any, ...] = (Fraction(3, 2), 1 + 2j, [1.5], np.array(1.5))  # that the protocol has no words for
REDUCTION: tuple[Any, ...] = (
    None,
    "Mean",
    "MEAN",
    " mean",
    "mean\n",
    "means",
    "nonexistent",
    "sum,mean",
    "avg",
    "0",
    "1",
    3,
    7,
    -1,
    "s",
    "m",
    "no",
    "add",
    "total",
    "max",
    "min",
    "prod",
    "median",
    "batch_mean",
    "mean_batch",
    "weighted_mean",
    "none_",
    "Sum",
    "sums",
    "mean\0",
    "elementwise_sum",
    "\u017fum",  # becomes "sum" where a text is folded or put in its usual form
    0.5,
)
OTHER_NAMES: tuple[tuple[str, Any, Any], ...] = (  # an argument, its value, and what is meant where it is accepted
    ("p", "1", 1),
    ("p", "2", 2),
    ("p", "one", 1),
    ("p", "two", 2),
    ("reduction", 0, "none"),
    ("reduction", 1, "mean"),
    ("reduction", 2, "sum"),
    ("reduction", "elementwise_mean", "mean"),
)
CLAUSES = {
    "REJECT-1": ["p of other types"],
    "REJECT-2": ["reductions of other types"],
    "REJECT-8": ["targets of the widest floating dtype"],
}


def items(scope: Scope) -> Iterator[Item]:
    """Yield one item a dtype, argument and value."""
    for dtype in scope.dtypes:
        if not calls(scope, dtype):
            continue
        yield _objects(scope, dtype)
        for p in P:
            yield _rejecting(scope, "REJECT-1", dtype, "p", p)
        for reduction in REDUCTION:
            yield _rejecting(scope, "REJECT-2", dtype, "reduction", reduction)
        yield _widest_targets(scope, dtype)
        for argument, value, meant in OTHER_NAMES:
            if meant in (scope.capabilities.p if argument == "p" else scope.capabilities.reductions):
                yield _other_name(scope, dtype, argument, value, meant)


def _widest_targets(scope: Scope, dtype: str) -> Item:
    def run(session: Session) -> Result:
        widest = np.longdouble if session.offers("memory") else np.float64  # the protocol has no wider one
        for case in calls(scope, dtype):
            changed = replace(case, target=case.target.astype(widest))
            if rejecting_clause(changed) != "REJECT-8":
                continue  # no rows: what is not there may have any dtype
            if finding := judge_rejection(session.forward(changed), "REJECT-8"):
                message = f"targets in {changed.target.dtype}: {finding.message}; input.shape={case.input.shape}"
                return result_of(replace(finding, message=message))
        return PASS

    return Item(f"REJECT-8/{dtype}/arguments-widest-targets/loss", "REJECT-8", dtype, "loss", run)


def calls(scope: Scope, dtype: str) -> list[Case]:
    """Return valid calls on paths that may validate on their own: a batch, weights, one row alone, no rows."""
    kind = DTYPES[dtype]
    x = np.array([[0.5, 1.75, -0.25], [2.25, 0.5, 2.75]], kind)
    c = scope.capabilities
    batch = Case(x, np.array([1, 2]), p=c.p[-1], reduction=c.reductions[-1])
    found = (
        batch,
        replace(batch, p=c.p[0], weight=np.array([1.0, 2.0, 0.5], kind), reduction=c.reductions[0]),
        replace(batch, input=x[0], target=np.array(1)),
        replace(batch, input=x[:0], target=np.zeros(0, np.int64), reduction=c.reductions[0]),
    )
    return [case for case in found if not c.leaves_out(case)]


def _rejecting(scope: Scope, clause: str, dtype: str, argument: str, value: Any) -> Item:
    replaced: dict[str, Any] = {argument: value}

    def run(session: Session) -> Result:
        if not _has_usual_type(argument, value):
            session.needs("types")
        return result_of(_accepted(session, scope, clause, dtype, replaced))

    return Item(_id(clause, dtype, argument, value), clause, dtype, "loss", run)


def _objects(scope: Scope, dtype: str) -> Item:
    """Return an item of values for p that are no plain numbers; what cannot be sent to a process is a float there."""

    def run(session: Session) -> Result:
        values = P_OBJECTS if session.offers("memory") else (1.5,)
        found = (_accepted(session, scope, "REJECT-1", dtype, {"p": value}) for value in values)
        return result_of(next((finding for finding in found if finding), None))

    return Item(f"REJECT-1/{dtype}/arguments-p-of-other-types/loss", "REJECT-1", dtype, "loss", run)


def _accepted(session: Session, scope: Scope, clause: str, dtype: str, replaced: dict[str, Any]) -> Finding | None:
    """Return what is wrong with the first call that is not rejected for an argument."""
    ((argument, value),) = replaced.items()
    for case in calls(scope, dtype):
        session.forward(case)  # a valid call of these shapes comes first: what was fine before proves nothing
        if finding := judge_rejection(session.forward(replace(case, **replaced)), clause):
            message = f"{argument}={value!r}: {finding.message}; input.shape={case.input.shape}"
            return Finding(message, finding.evidence, finding.clause)
    return None


def _has_usual_type(argument: str, value: Any) -> bool:
    """Whether a language that fixes the types of arguments can be given the value: a finite number, or a text."""
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return number if argument == "p" else isinstance(value, str)


def _id(clause: str, dtype: str, argument: str, value: Any) -> str:
    """Return an item's id, in which the value is written without quotes, blanks and glob characters."""
    return f"{clause}/{dtype}/arguments-{argument}={re.sub(r'[^A-Za-z0-9.+-]', '_', repr(value))}/loss"


def _other_name(scope: Scope, dtype: str, argument: str, value: Any, meant: Any) -> Item:
    """Another name of a valid value: an error, or the result of what it names."""
    clause = "REJECT-1" if argument == "p" else "REJECT-2"
    asked: dict[str, Any] = {argument: value}
    usual: dict[str, Any] = {argument: meant}

    def run(session: Session) -> Result:
        if argument == "p" or not _has_usual_type(argument, value):
            session.needs("types")
        for case in calls(scope, dtype):
            named = replace(case, **usual)
            if not case.target.size or scope.capabilities.leaves_out(named):
                continue  # what an empty batch gives has clauses of its own
            observation = session.forward(replace(case, **asked))
            if isinstance(observation.outcome, Raised) and not observation.changed:
                continue
            why = f"an error, or the result for {argument}={meant!r}"
            if finding := judge("loss", observation, legal_values(named).loss, why):
                return result_of(Finding(f"{argument}={value!r}: {finding.message}", finding.evidence))
        return PASS

    return Item(_id(clause, dtype, argument, value), clause, dtype, "loss", run)
