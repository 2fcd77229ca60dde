"""Ties that are put into a call, and what is legal then: see changes.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from multimargin_conformance.checks.changes import (
    FAR,
    SMALLEST,
    Expected,
    not_a_number,
    others,
    plain,
    replaced,
    rows_of,
    some_zero_grad_output,
    stands_for,
    with_input,
)
from multimargin_reference.case import Case
from multimargin_vectors.families.covering import without_kinks


def ties(case: Case, part: str) -> Expected | None:
    """Put one class of every row at z = 0; where the margin is 0, all that is added up is -0 in calls with weights."""
    if case.input.shape[-1] < 2:
        return None
    x, y = rows_of(case)
    other, row = others(case)
    if case.margin == 0 and case.weight is not None:
        case = replace(case, margin=-0.0)
        x[row, y], x[row, other] = 0.0, -0.0
    else:
        x[row, other] = x[row, y] - case.margin
    return plain(with_input(case, x), part)


def all_tied(case: Case, part: str) -> Expected | None:
    """Put every class of every row but the target at z = 0, as where all logits are alike and the margin is 0."""
    if case.input.shape[-1] < 2:
        return None
    x, y = rows_of(case)
    row = np.arange(len(x))
    own = x[row, y].copy()
    x[:] = (own - case.margin)[:, None]
    x[row, y] = own
    return plain(with_input(case, x), part)


def ties_at_one_target(case: Case, part: str) -> Expected | None:
    """Put one class of every row at z = 0, and let all rows of a batch have the same target."""
    if len(np.atleast_1d(case.target)) < 2:
        return None
    y = np.full_like(case.target, case.input.shape[-1] // 2)
    moved = with_input(replace(case, target=y), without_kinks(rows_of(case)[0], y, float(case.margin)))
    tied = _tied(moved, part, float(case.margin))
    return None if tied is None else plain(tied, part)


def ties_beside_nan(case: Case, part: str) -> Expected | None:
    """Put one class of every row but the last at z = 0, and NaN at one of the last row."""
    tied = _tied(case, part, case.margin) if len(np.atleast_1d(case.target)) > 1 else None
    return None if tied is None else not_a_number(tied, part)


def ties_beside_zero_grad_output(case: Case, part: str) -> Expected | None:
    """Put one class of every row at z = 0, and let the last row's grad_output be 0."""
    tied = _tied(case, part, case.margin)
    return None if tied is None else some_zero_grad_output(tied, part)


def _tied(case: Case, part: str, margin: float) -> Case | None:
    """Return a call for p = 1 whose margin is another one, with one class of every row at z = 0; for the gradient."""
    if part == "loss" or case.p != 1 or case.input.shape[-1] < 2:
        return None
    x, y = rows_of(case)
    other, row = others(case)
    x[row, other] = x[row, y] - margin
    return with_input(replace(case, margin=margin), x)


def ties_at_large_margin(case: Case, part: str) -> Expected | None:
    """Put one class of every row at z = 0, where the margin is far larger than the other logits' differences."""
    tied = _tied(case, part, FAR * 4)
    return None if tied is None else plain(tied, part)


def subnormal_ties(case: Case, part: str) -> Expected | None:
    """Do that with logits and a margin that are all subnormal: what is active is the same."""
    tied = _tied(case, part, case.margin) if case.dtype in SMALLEST else None
    if tied is None:
        return None
    exponent = SMALLEST[case.dtype] + 3  # of the grid's step, a quarter, and one more
    x = np.ldexp(tied.input, exponent).astype(case.input.dtype)
    return stands_for(replace(tied, input=x, margin=float(np.ldexp(case.margin, exponent))), tied, part)


def ties_beside(value: float) -> Callable[[Case, str], Expected | None]:
    """Put one class of every row at z = 0, and an infinity at another one of the last row."""

    def change(case: Case, part: str) -> Expected | None:
        tied = _tied(case, part, case.margin) if case.input.shape[-1] > 2 else None
        return (
            None if tied is None else replaced(tied, part, ("a third, last row", value, float(np.copysign(FAR, value))))
        )

    return change
