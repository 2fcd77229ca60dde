"""Arguments close to 1, to 0 or to each other, and none of it: a shortcut that compares with a tolerance shows.

Each call has two classes, one of them active, so that the bound is a few units, and a step several times as large.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from typing import Any

import numpy as np

from multimargin_conformance.calling import Arrays
from multimargin_conformance.capabilities import REDUCTIONS
from multimargin_conformance.checks.item import Item, Scope
from multimargin_conformance.checks.single import part_of
from multimargin_conformance.judge import judge
from multimargin_conformance.session import PASS, Result, Session, result_of
from multimargin_reference.case import Case
from multimargin_reference.exact_values import legal_values
from multimargin_reference.expectation import Values
from multimargin_reference.formats import DTYPES

# Exponents of steps, each below a usual tolerance: 1e-3, 1e-4, 1e-5, 1e-6; for doubles 1e-8, 1e-9, 1e-10, 1e-12 too.
STEPS = {"float32": (-10, -14, -17, -20), "float64": (-10, -14, -17, -20, -27, -30, -34, -40)}
ROWS = 3
SMALL = (-27, -30, -34, -40)  # what is close to 0: a tolerance there is absolute
WHY = "close to another number, and not that number"
Make = Callable[[Case, float], Case]


@dataclass(frozen=True)
class Close:
    """What is close to what. clauses: of the loss and of the gradient, "" where it is not about it."""

    clauses: tuple[str, str]
    make: Make
    to_zero: bool = False


def items(scope: Scope) -> Iterator[Item]:
    """Yield one item a kind, dtype and part; halves have too few digits."""
    for dtype, (name, close) in product(scope.dtypes, KINDS.items()):
        cases = [case for case in calls(name, dtype) if not scope.capabilities.leaves_out(case)]
        for part, clause in zip(("loss", "gradient"), close.clauses, strict=True):
            if cases and clause and (part == "loss" or scope.gradient):
                yield _item(name, dtype, part, clause, cases)


def _item(name: str, dtype: str, part: str, clause: str, cases: list[Case]) -> Item:
    def run(session: Session) -> Result:
        for case in cases:
            if finding := judge(part, session.function(part)(case), part_of(_expectation(case), part), WHY):
                return result_of(replace(finding, case=case))
        return PASS

    def planned() -> list[tuple[Case, Arrays]]:
        return [(case, {}) for case in cases]

    def prepare() -> object:
        return [_expectation(case) for case in cases]

    id_ = f"{clause}/{dtype}/close-{name}/{part}"
    return Item(id_, clause, dtype, part, run, kind="close", calls=planned, prepare=prepare)


@cache
def _expectation(case: Case) -> Values:
    return legal_values(case)


@cache
def calls(name: str, dtype: str) -> tuple[Case, ...]:
    """Return the calls of one kind in one dtype: every step with both powers, and a reduction in turn."""
    close, found = KINDS[name], []
    steps = SMALL if close.to_zero else STEPS.get(dtype, ())
    for k, (exponent, p) in enumerate(product(steps if dtype in STEPS else (), (1, 2))):
        found.append(close.make(_usual(dtype, p, REDUCTIONS[(k // 2 + k % 2) % 3]), 2.0**exponent))
    return tuple(found)


def _usual(dtype: str, p: int, reduction: str) -> Case:
    """Return a call whose hinges are 1.5, 0.75 and 0.5, of as many rows."""
    kind = DTYPES[dtype]
    x = np.array([[0.0, 0.5], [-0.25, 0.0], [0.5, 0.0]], kind)
    grads = np.ones(ROWS if reduction == "none" else (), kind)
    return Case(x, np.array([0, 1, 0]), p, 1.0, np.ones(2, kind), reduction, grads)


def _array(case: Case, values: Any) -> Any:
    return np.asarray(values, np.float64).astype(case.input.dtype)


def _weights_near_one(case: Case, step: float) -> Case:
    return replace(case, weight=_array(case, [1 + step, 1 + step]))


def _weights_below_one(case: Case, step: float) -> Case:
    return replace(case, weight=_array(case, [1 - step, 1 - step]))


def _weights_near_each_other(case: Case, step: float) -> Case:
    return replace(case, weight=_array(case, [0.75, 0.75 * (1 + step)]))


def _weights_near_zero(case: Case, step: float) -> Case:
    return replace(case, weight=_array(case, [step, 3 * step]))


def _grads_near_one(case: Case, step: float) -> Case:
    return _with_grads(case, [1 + step] * ROWS)


def _grads_near_each_other(case: Case, step: float) -> Case:
    return _with_grads(case, [1.5, 1.5 * (1 + step), 1.5 * (1 - step)])


def _grads_near_zero(case: Case, step: float) -> Case:
    return _with_grads(case, [step, -step, 3 * step])


def _with_grads(case: Case, values: list[float]) -> Case:
    grads = _array(case, values)
    return replace(case, weight=None, grad_output=grads if case.reduction == "none" else np.array(grads[-1]))


def _margin_near_one(case: Case, step: float) -> Case:
    return replace(case, weight=None, margin=1 + step)


def _margin_near_zero(case: Case, step: float) -> Case:
    """The margin is all that there is of the hinges."""
    return replace(case, weight=None, margin=step, input=np.zeros_like(case.input))


def _logits_near_each_other(case: Case, step: float) -> Case:
    """The other class is above the target by a step, at margin 0; both are next to 1."""
    x = np.ones(case.input.shape)
    x[np.arange(ROWS), 1 - case.target] += step * np.array([1, 2, 3])
    return replace(case, weight=None, margin=0.0, input=_array(case, x))


def _logits_near_zero(case: Case, step: float) -> Case:
    x = np.zeros(case.input.shape)
    x[np.arange(ROWS), 1 - case.target] = step * np.array([1, 2, 3])
    return replace(case, weight=None, margin=0.0, input=_array(case, x))


KINDS = {
    "weights-near-one": Close(("WEIGHT-2", "GRADIENT-7"), _weights_near_one),
    "weights-below-one": Close(("WEIGHT-2", "GRADIENT-7"), _weights_below_one),
    "weights-near-each-other": Close(("WEIGHT-2", "GRADIENT-7"), _weights_near_each_other),
    "weights-near-zero": Close(("WEIGHT-2", "GRADIENT-7"), _weights_near_zero, to_zero=True),
    "grads-near-one": Close(("", "GRADIENT-8"), _grads_near_one),
    "grads-near-each-other": Close(("", "GRADIENT-8"), _grads_near_each_other),
    "grads-near-zero": Close(("", "GRADIENT-8"), _grads_near_zero, to_zero=True),
    "margin-near-one": Close(("VALUE-6", "GRADIENT-1"), _margin_near_one),
    "margin-near-zero": Close(("VALUE-6", "GRADIENT-1"), _margin_near_zero, to_zero=True),
    "logits-near-each-other": Close(("VALUE-1", "GRADIENT-1"), _logits_near_each_other),
    "logits-near-zero": Close(("VALUE-1", "GRADIENT-1"), _logits_near_zero, to_zero=True),
}
CLAUSES: dict[str, list[str]] = {}
for _name, _close in KINDS.items():
    for _clause in dict.fromkeys(filter(None, _close.clauses)):
        CLAUSES.setdefault(_clause, []).append(f"{_name.replace('-', ' ')}")
