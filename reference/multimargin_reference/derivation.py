"""A valid call worked out step by step in exact numbers: every term, row sum, division and gradient element.

The formula once more, apart from `oracle`, with its intermediate numbers kept; equal to the oracle by test.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from multimargin_reference.arithmetic import Real, product, total
from multimargin_reference.case import Case
from multimargin_reference.problem import ZERO, Problem, problem

TARGET, ACTIVE, KINK, INACTIVE, UNDEFINED = "target", "active", "kink", "inactive", "undefined"


@dataclass(frozen=True)
class Step:
    """One class of a row: z = margin - x[y] + x[i], what becomes of it, and its gradient element.

    state: TARGET, ACTIVE (z > 0), KINK (z = 0), INACTIVE (z < 0) or UNDEFINED (NaN). power: z ** p, weighted: times
    w[y]; slope: p * z ** (p - 1); all 0 unless ACTIVE. gradient: for the target minus the sum of the others.
    """

    i: int
    x: Real
    z: Real
    state: str
    power: Real
    weighted: Real
    slope: Real
    gradient: Real


@dataclass(frozen=True)
class RowSteps:
    """One row: its steps, their sum, and the sum divided by C. like: how many rows of the batch are equal to it."""

    index: int
    target: int
    logit: Real  # x[y]
    weight: Real  # w[y]
    grad_output: Real
    steps: tuple[Step, ...]
    sum: Real
    loss: Real
    like: int = 1

    def count(self, state: str) -> int:
        """How many classes are in a state."""
        return sum(step.state == state for step in self.steps)


def worked_out(case: Case, most_rows: int) -> tuple[Problem, list[RowSteps]]:
    """Return a valid case's exact numbers and the steps of its first `most_rows` different rows.

    Raises as `validation.validate` does.
    """
    exact = problem(case)
    first, like = _different_rows(case)
    return exact, [_row(exact, i, like[k]) for k, i in enumerate(first[:most_rows])]


def _different_rows(case: Case) -> tuple[list[int], list[int]]:
    """Return where each different row (logits, target, grad_output) comes first, and how often it comes."""
    x, y = np.atleast_2d(case.input), np.atleast_1d(case.target)
    g = np.zeros(len(y)) if case.grad_output is None else np.broadcast_to(case.grad_output, y.shape)
    keys = [(row.tobytes(), int(t), factor.tobytes()) for row, t, factor in zip(x, y, g, strict=True)]
    counts = Counter(keys)
    first = {key: i for i, key in reversed(list(enumerate(keys)))}
    return sorted(first.values()), [counts[keys[i]] for i in sorted(first.values())]


def _row(exact: Problem, index: int, like: int) -> RowSteps:
    logits, y, w, g = exact.rows[index], exact.targets[index], exact.weights[index], exact.grads[index]
    factor = product(g, Fraction(1, exact.divisor))
    known: dict[int, Step] = {}  # equal logits are one object (`problem`)
    steps = []
    for i, x in enumerate(logits):
        if i == y or id(x) not in known:
            step = _step(exact, i, y, x, logits[y], w, factor)
            known |= {} if i == y else {id(x): step}
        else:
            same = known[id(x)]
            step = Step(i, x, same.z, same.state, same.power, same.weighted, same.slope, same.gradient)
        steps.append(step)
    own = -total([step.gradient for step in steps if step.state == ACTIVE])
    steps[y] = Step(y, logits[y], steps[y].z, TARGET, ZERO, ZERO, ZERO, own)
    added = total([step.weighted for step in steps if step.state == ACTIVE])
    return RowSteps(index, y, logits[y], w, g, tuple(steps), added, product(added, Fraction(1, len(logits))), like)


def _step(exact: Problem, i: int, y: int, x: Real, xy: Real, w: Real, factor: Real) -> Step:
    z = total([exact.margin, -xy, x])
    state = TARGET if i == y else UNDEFINED if z != z else ACTIVE if z > 0 else KINK if z == 0 else INACTIVE
    if state != ACTIVE:
        return Step(i, x, z, state, ZERO, ZERO, ZERO, ZERO)
    power = product(*[z] * exact.p)
    slope = product(Fraction(exact.p), *[z] * (exact.p - 1))
    return Step(i, x, z, state, power, product(w, *[z] * exact.p), slope, product(factor, w, slope))
