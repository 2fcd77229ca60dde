"""Every instance of a kernel that is made anew for each combination of options: small calls on the exact grid.

With a batch and without, every power, reduction, choice of weights and sign of the margin, with a class at z = 0 and
with none: the full product, of which a covering array has pairs or triples.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import product

import numpy as np

from multimargin_conformance.calling import Arrays
from multimargin_conformance.capabilities import REDUCTIONS
from multimargin_conformance.checks.item import Item, Scope
from multimargin_conformance.checks.single import exact_part
from multimargin_conformance.judge import judge
from multimargin_conformance.session import PASS, Result, Session, result_of
from multimargin_reference.case import Case
from multimargin_reference.expectation import Enclosures
from multimargin_reference.formats import DTYPES

LOGITS = ((0.5, 0.0, -1.5, 2.0), (1.0, -0.5, 1.5, -1.0))  # of two rows; the first one alone without a batch
TARGETS = (1, 0)
MARGINS = (1.0, 0.0, -0.25)
SHAPES = (1, 2)  # axes of the input
WEIGHTS = (2.0, 0.5, 1.0, 1.0)
CLAUSES = {"VALUE-1": ["every combination of options"], "GRADIENT-1": ["every combination of options"]}
CLAUSES |= {"VALUE-3": ["a tie in every combination"], "GRADIENT-4": ["a tie in every combination"]}


def items(scope: Scope) -> Iterator[Item]:
    """Yield one item a number of axes, dtype and part, with ties and without."""
    for dtype, axes, tied in product(scope.dtypes, SHAPES, (False, True)):
        cases = [case for case in calls(dtype, axes, tied) if not scope.capabilities.leaves_out(case)]
        for part in ("loss", "gradient") if scope.gradient else ("loss",):
            if cases:
                yield _item(dtype, axes, tied, part, cases)


def _item(dtype: str, axes: int, tied: bool, part: str, cases: list[Case]) -> Item:
    clause = {("loss", False): "VALUE-1", ("gradient", False): "GRADIENT-1", ("loss", True): "VALUE-3"}.get(
        (part, tied), "GRADIENT-4"
    )

    def run(session: Session) -> Result:
        for case in cases:
            observation = session.function(part)(case)
            if finding := judge(part, observation, _expectation(case, part), "exact grid: nothing rounds"):
                return result_of(replace(finding, case=case))
        return PASS

    def planned() -> list[tuple[Case, Arrays]]:
        return [(case, {}) for case in cases]

    id_ = f"{clause}/{dtype}/instances-of-{axes}-axes{'-tied' if tied else ''}/{part}"
    return Item(id_, clause, dtype, part, run, kind="instances", calls=planned)


@cache
def _expectation(case: Case, part: str) -> Enclosures:
    found = exact_part(case, part)
    assert found is not None
    return found


@cache
def calls(dtype: str, axes: int, tied: bool) -> tuple[Case, ...]:
    """Return the calls, of which ties are at the last class of each row."""
    kind, found = DTYPES[dtype], []
    for p, reduction, weighted, margin in product((1, 2), REDUCTIONS, (False, True), MARGINS):
        x, y = np.array(LOGITS), np.array(TARGETS)
        if tied:
            x[[0, 1], -1] = x[[0, 1], y] - margin
        x, y = (x.astype(kind), y) if axes == 2 else (x[0].astype(kind), y[0])
        weight = np.array(WEIGHTS, kind) if weighted else None
        grads = (
            np.array([-2.0, 0.5], kind)[: len(np.atleast_1d(y))].reshape(np.shape(y)) if reduction == "none" else -2.0
        )
        found.append(Case(x, np.asarray(y), p, margin, weight, reduction, np.asarray(grads, kind)))
    return tuple(found)
