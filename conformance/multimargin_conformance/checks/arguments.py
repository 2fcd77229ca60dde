"""REJECT-1 and REJECT-2 with values that no golden vector can hold: other types, NaN, infinities.

Only what the clauses' sentences say is asked for. True and 1.0 are 1 (DTYPE-4 leaves them open) and are not passed;
neither are the numbers 0 to 2 as reductions, which name the three in PyTorch's own enumeration.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from multimargin_conformance.checks.item import Item, Scope
from multimargin_conformance.judge import Finding, judge, judge_rejection
from multimargin_conformance.outcome import Raised
from multimargin_conformance.session import PASS, Result, Session, result_of
from multimargin_reference.case import Case
from multimargin_reference.exact_values import legal_values
from multimargin_reference.formats import DTYPES

NAN, INF = float("nan"), float("inf")
P = (
    None,
    "",
    "one",
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
    2**31,
    2**32 + 2,
    2**64 + 1,
    NAN,
    INF,
    -INF,
)
REDUCTION = (
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
)
TEXTS = {"1": 1, "2": 2}  # text is no number: rejected, or taken for the number that it names
CLAUSES = {"REJECT-1": ["p of other types"], "REJECT-2": ["reductions of other types"]}


def items(scope: Scope) -> Iterator[Item]:
    """Yield one item a dtype, argument and value."""
    for dtype in scope.dtypes:
        if not calls(scope, dtype):
            continue
        for p in P:
            yield _rejecting(scope, "REJECT-1", dtype, "p", p)
        for reduction in REDUCTION:
            yield _rejecting(scope, "REJECT-2", dtype, "reduction", reduction)
        for text, number in TEXTS.items():
            if number in scope.capabilities.p:
                yield _text(scope, dtype, text, number)


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
        for case in calls(scope, dtype):
            session.forward(case)  # a valid call of these shapes comes first: what was fine before proves nothing
            if finding := judge_rejection(session.forward(replace(case, **replaced)), clause):
                message = f"{argument}={value!r}: {finding.message}; input.shape={case.input.shape}"
                return result_of(Finding(message, finding.evidence, finding.clause))
        return PASS

    return Item(_id(clause, dtype, argument, value), clause, dtype, "loss", run)


def _has_usual_type(argument: str, value: Any) -> bool:
    """Whether a language that fixes the types of arguments can be given the value: a finite number, or a text."""
    number = isinstance(value, int | float) and math.isfinite(value)
    return number if argument == "p" else isinstance(value, str)


def _id(clause: str, dtype: str, argument: str, value: Any) -> str:
    """Return an item's id, in which the value is written without quotes, blanks and glob characters."""
    return f"{clause}/{dtype}/arguments-{argument}={re.sub(r'[^A-Za-z0-9.+-]', '_', repr(value))}"


def _text(scope: Scope, dtype: str, text: str, number: int) -> Item:
    """A string that names a valid p: an error, or that p's result."""

    def run(session: Session) -> Result:
        session.needs("types")
        for case in calls(scope, dtype):
            if not case.target.size:
                continue  # what an empty batch gives has clauses of its own
            asked: Any = text
            observation = session.forward(replace(case, p=asked))
            if isinstance(observation.outcome, Raised) and not observation.changed:
                continue
            expected = legal_values(replace(case, p=number)).loss
            why = f"p={text!r}: an error, or the result for p = {number}"
            if finding := judge("loss", observation, expected, why):
                return result_of(finding)
        return PASS

    return Item(_id("REJECT-1", dtype, "p", text), "REJECT-1", dtype, "loss", run)
