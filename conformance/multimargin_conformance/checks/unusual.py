"""DTYPE-4 on calls that are large enough, or whose values are, for a mistake to show: an error, or the right result.

An index that is computed in the targets' dtype wraps; logits that are subtracted in their own do; a weight of another
dtype has digits, and may be another one in the next call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from multimargin_conformance.calling import ARGUMENTS, Arrays
from multimargin_conformance.checks.item import Item, Scope
from multimargin_conformance.checks.layouts import every_other
from multimargin_conformance.checks.single import judge_call, part_of
from multimargin_conformance.judge import Finding, judge
from multimargin_conformance.outcome import Raised
from multimargin_conformance.session import PASS, Result, Session, result_of
from multimargin_reference.case import Case
from multimargin_reference.exact_values import legal_values
from multimargin_reference.formats import DTYPES
from multimargin_reference.rejection import meaning
from multimargin_vectors.draft import uniform

NARROW = {"int8": (40, 128), "uint8": (40, 250), "int16": (300, 200), "int32": (2, 2**17)}  # of targets; N and C
OTHER = {"float32": np.float64, "float64": np.float32}
STRIDED = "-strided"
FAR = np.float32(np.inf)
CLAUSES = {"DTYPE-4": ["narrow targets", "integer logits", "weights of another dtype"]}
Judge = Callable[[Session, Case, str, Scope, Arrays], Finding | None]


def items(scope: Scope) -> Iterator[Item]:
    """Yield one item a dtype, part and kind of unusual argument."""
    for dtype in scope.dtypes:
        for name, (make, _) in UNUSUAL.items():
            found = [case for case in make(dtype) if not scope.capabilities.leaves_out(meaning(case))]
            for part in ("loss", "gradient") if scope.gradient and found else ("loss",) if found else ():
                yield _item(name, dtype, part, found, scope)


def _item(name: str, dtype: str, part: str, cases: list[Case], scope: Scope) -> Item:
    strided, test = name.endswith(STRIDED), UNUSUAL[name][1]

    def given(case: Case) -> Arrays:
        arrays = {key: getattr(case, key) for key in ARGUMENTS[part]} if strided else {}
        return {key: every_other(array) for key, array in arrays.items() if array is not None}

    def run(session: Session) -> Result:
        if strided:
            session.needs("layouts")
        for case in cases:
            if finding := test(session, case, part, scope, given(case)):
                return result_of(finding)
        return PASS

    def calls() -> list[tuple[Case, Arrays]]:
        return [(case, given(case)) for case in cases]

    return Item(f"DTYPE-4/{dtype}/unusual-{name}/{part}", "DTYPE-4", dtype, part, run, kind="unusual", calls=calls)


def _in_any_dtype(session: Session, case: Case, part: str, _: Scope, given: Arrays) -> Finding | None:
    """Judge an answer of any floating dtype, computed in whichever: what is right in float32, and a place around it."""
    observation = session.function(part)(case, **given)
    outcome = observation.outcome
    if isinstance(outcome, Raised) and not observation.changed:
        return None
    arrays = {name: getattr(case, name) for name in ("input", "weight", "grad_output")}
    usual: dict[str, Any] = {name: None if a is None else a.astype(np.float32) for name, a in arrays.items()}
    expected = part_of(legal_values(replace(case, **usual)), part)
    lo, hi = (np.nextafter(ends.astype(np.float32), end) for ends, end in ((expected.lo, -FAR), (expected.hi, FAR)))
    around = replace(expected, dtype=None, lo=lo.astype(np.float64), hi=hi.astype(np.float64))
    return judge(part, observation, around, "the call in float32, whatever the answer's dtype")


@cache
def _narrow_targets(dtype: str) -> tuple[Case, ...]:
    """Rows and classes enough that row * C + target passes every narrow dtype's end but int32's.

    And targets that a narrower dtype, or one of the other kind, does not hold.
    """
    kind, found = DTYPES[dtype], []
    for k, (narrow, (rows, classes)) in enumerate(NARROW.items()):
        x = np.where(np.arange(classes) < 4, 0.5 * (np.arange(rows * classes).reshape(rows, -1) % 7), -8.0)
        y = (np.arange(rows) * 3 + classes // 2 + 5) % classes
        x[y >= 4, y[y >= 4]] = 0.0  # few terms are active, whatever the target
        y = y.astype(narrow)
        found.append(Case(x.astype(kind), y, 1 + k % 2, 0.75, None, "none", np.ones(rows, kind)))  # no ties
    return tuple(found)


@cache
def _integer_logits(dtype: str) -> tuple[Case, ...]:
    """Logits at the ends of an integer dtype: what is right is exact in every floating one."""
    if dtype != "float64":
        return ()
    rows = {"uint8": [[0, 255], [5, 0], [200, 3]], "int8": [[-128, 127], [127, -128], [100, -100]]}
    return tuple(
        Case(np.array(x, integer), np.zeros(3, np.int64), 1, 1.0, None, "none", np.ones(3))
        for integer, x in rows.items()
    )


@cache
def _other_weights(dtype: str) -> tuple[Case, ...]:
    """Weights of the other dtype, one call after another with other ones; all numbers are float32's."""
    kind, found = DTYPES[dtype], []
    x = uniform(800, (3, 5), -2.0, 2.0).astype(np.float32)
    for k in range(4 if dtype in OTHER else 0):
        weight = uniform(810 + k, (5,), 0.5, 2.0).astype(np.float32).astype(OTHER[dtype])
        found.append(Case(x.astype(kind), np.array([0, 4, 2]), 1 + k % 2, 1.0, weight, "sum", np.ones((), kind)))
    return tuple(found)


UNUSUAL: dict[str, tuple[Callable[[str], tuple[Case, ...]], Judge]] = {
    "narrow-targets": (_narrow_targets, judge_call),
    f"narrow-targets{STRIDED}": (_narrow_targets, judge_call),
    "integer-logits": (_integer_logits, _in_any_dtype),
    "other-weights": (_other_weights, _in_any_dtype),
}
