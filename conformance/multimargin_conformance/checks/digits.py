"""Calls in which every number has digits that a narrower dtype does not have, at the sizes that choose a kernel's path.

What is read, kept or multiplied in a narrower dtype shows at any of them: logits, weights, margin and grad_output. Up
to MOST logits are dense; beyond, few terms of each row are active, so that a bound of a few units holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multimargin_conformance.calling import ARGUMENTS, Arrays
from multimargin_conformance.capabilities import REDUCTIONS
from multimargin_conformance.checks.item import Item, Scope
from multimargin_conformance.checks.layouts import LAYOUTS, UNALIGNED, in_records, read_only
from multimargin_conformance.checks.single import part_of
from multimargin_conformance.judge import Finding, judge, passes_surely
from multimargin_conformance.outcome import Observation, Returned
from multimargin_conformance.session import PASS, Result, Session, result_of
from multimargin_reference.case import Case
from multimargin_reference.expectation import Values, expected_values
from multimargin_reference.formats import DTYPES, HALVES
from multimargin_vectors.draft import uniform
from multimargin_vectors.splitmix import integers

SHAPES = (
    (9,),
    (2, 9),
    (5, 13),
    (2, 50),
    (16, 16),
    (17, 40),
    (32, 32),
    (300, 3),
    (16, 128),
    (2, 1200),
    (2100,),
    (64, 64),
    (3, 5000),
)
FEW = ((9,), (9, 11), (2060, 3), (2, 5000))  # of halves, for which the exact rules decide
STRIDED = ((2, 1100), (1100, 3))
MOST = 1100  # logits of a dense call
INACTIVE = -16.0
MARGINS = (0.7, 1.3, -0.3)
OPTIONS = tuple(product((1, 2), (False, True)))
MOST_KEPT = 1024  # results that were judged
WHY = "derived bound on every legal evaluation"
STREAM = 70_000  # where the random numbers of these calls begin
CLAUSES = {
    "VALUE-9": ["calls of many digits"],
    "GRADIENT-11": ["calls of many digits"],
    "PURITY-5": ["calls of many digits in every layout"],
}


@dataclass(frozen=True)
class Plan:
    """One call to be made: hashable, so that it is made once a process."""

    number: int
    shape: tuple[int, ...]
    p: int
    weighted: bool
    dtype: str


def items(scope: Scope) -> Iterator[Item]:
    """Yield one item a power, choice of weights, dtype and part, and one a shape that is tried in every layout."""
    parts = ("loss", "gradient") if scope.gradient else ("loss",)
    for dtype, part in product(scope.dtypes, parts):
        for k, (p, weighted) in enumerate(OPTIONS):
            shapes = FEW if dtype in HALVES else SHAPES
            plans = [Plan(k + 4 * j, shape, p, weighted, dtype) for j, shape in enumerate(shapes)]
            plans = [plan for plan in plans if not scope.capabilities.leaves_out(call(plan))]
            if plans:
                yield _item(plans, part, scope)
        for j, shape in enumerate(STRIDED if dtype not in HALVES else ()):
            plan = Plan(501 + j, shape, 1 + j % 2, True, dtype)
            if not scope.capabilities.leaves_out(call(plan)):
                yield _in_every_layout(plan, part, scope)


def _item(plans: list[Plan], part: str, scope: Scope) -> Item:
    clause, dtype = "VALUE-9" if part == "loss" else "GRADIENT-11", plans[0].dtype

    def run(session: Session) -> Result:
        for plan in plans:
            if finding := _judged(session, plan, part, scope):
                return result_of(replace(finding, case=call(plan)))
        return PASS

    def calls() -> list[tuple[Case, Arrays]]:
        return [(call(plan), {}) for plan in plans]

    name = f"digits-p{plans[0].p}{'-weighted' if plans[0].weighted else ''}"
    return Item(f"{clause}/{dtype}/{name}/{part}", clause, dtype, part, run, kind="digits", calls=calls)


def _in_every_layout(plan: Plan, part: str, scope: Scope) -> Item:
    arrays = {name: getattr(call(plan), name) for name in ARGUMENTS[part]}

    def given() -> list[Arrays]:
        orders = (*LAYOUTS.values(), *UNALIGNED.values(), read_only, in_records)
        return [{name: order(a) for name, a in arrays.items() if a is not None} for order in orders]

    def run(session: Session) -> Result:
        session.needs("layouts")
        for replaced in given():
            if finding := _judged(session, plan, part, scope, replaced):
                return result_of(finding)
        return PASS

    def calls() -> list[tuple[Case, Arrays]]:
        return [(call(plan), replaced) for replaced in given()]

    size = "x".join(str(n) for n in plan.shape)
    id_ = f"PURITY-5/{plan.dtype}/digits-in-layouts-{size}/{part}"
    return Item(id_, "PURITY-5", plan.dtype, part, run, kind="digits", calls=calls)


def _judged(session: Session, plan: Plan, part: str, scope: Scope, given: Arrays | None = None) -> Finding | None:
    """Judge a planned call, made with its own arrays or with others in their place."""
    observation = session.function(part)(call(plan), **(given or {}))
    outcome = observation.outcome
    if isinstance(outcome, Returned) and not observation.changed and not scope.widened:
        result = outcome.value
        if _is_legal(plan, part, scope.flush, result.dtype, result.shape, result.tobytes()):
            return None
    enclosures = part_of(expectation(plan, scope.flush), part)
    return judge(part, observation, enclosures.narrowed_to_widened() if scope.widened else enclosures, WHY)


@cache
def expectation(plan: Plan, flush: bool) -> Values:
    """Return what is legal for a planned call, by the exact rules: they take a second for some."""
    return expected_values(call(plan), flush=flush)


@lru_cache(MOST_KEPT)
def _is_legal(plan: Plan, part: str, flush: bool, dtype: np.dtype[Any], shape: tuple[int, ...], result: bytes) -> bool:
    """Return whether a result is surely legal: the same one is met in every layout, and again in the next backend."""
    array = np.frombuffer(result, dtype).reshape(shape)
    return passes_surely(part, Observation(Returned(array)), call(plan), flush=flush)


@cache
def call(plan: Plan) -> Case:
    """Make a planned call."""
    k, dtype, classes = STREAM + 10 * plan.number, DTYPES[plan.dtype], plan.shape[-1]
    rows = plan.shape[0] if len(plan.shape) == 2 else 1
    y = integers(k, rows, classes)
    y[0] = classes - 1
    x = _logits(k, rows, classes, y)
    weight = uniform(k + 3, (classes,), 0.5, 2.0).astype(dtype) if plan.weighted else None
    reduction = REDUCTIONS[(plan.number // 4 + plan.number) % len(REDUCTIONS)]
    grads = uniform(k + 4, plan.shape[:-1] if reduction == "none" else (), 0.5, 2.0).astype(dtype)
    margin = MARGINS[plan.number % len(MARGINS)]
    x, y = x.reshape(plan.shape).astype(dtype), y.reshape(plan.shape[:-1])
    return Case(x, y, plan.p, margin, weight, reduction, np.asarray(grads))


def _logits(stream: int, rows: int, classes: int, y: NDArray[np.int64]) -> NDArray[np.float64]:
    if rows * classes <= MOST:
        return uniform(stream + 1, (rows, classes), -2.0, 2.0)
    x: NDArray[np.float64] = INACTIVE + uniform(stream + 1, (rows, classes), -2.0, 2.0)
    active = np.unique([0, 1, classes // 3, classes // 2, classes - 2, classes - 1])
    x[:, active] = uniform(stream + 2, (rows, len(active)), 0.0, 2.0)
    x[np.arange(rows), y] = uniform(stream + 5, (rows,), -1.0, 0.0)
    return x
