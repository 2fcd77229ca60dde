"""The calls that CLASS is checked with: few, small and on the exact grid, away from the kink unless named for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from multimargin_reference.case import Case
from multimargin_reference.formats import DTYPES

LOGITS = ((0.5, 0.25, 1, -2), (0.25, 1, 0.5, 2), (1, 0.25, -0.5, 0.5), (-1, 3, 0.25, 0))
TARGETS = (0, 1, 0, 2)
WEIGHTS = (2, 1, 4, -1)
UPSTREAM = (1, -2, 0.5, 3)
MARGIN = 1.125  # on the grid of eighths, while the logits are on that of quarters: no z is 0


def batched(dtype: str, *, p: int = 1, weighted: bool = True, reduction: str = "none", margin: float = MARGIN) -> Case:
    """Return four rows of four classes; grad_output is -2 for mean and sum."""
    kind = DTYPES[dtype]
    upstream = UPSTREAM if reduction == "none" else -2
    weight = np.array(WEIGHTS, kind) if weighted else None
    return Case(
        np.array(LOGITS, kind), np.array(TARGETS), p, margin, weight, reduction, grad_output=np.array(upstream, kind)
    )


def unbatched(dtype: str, *, p: int = 1, weighted: bool = True, reduction: str = "none") -> Case:
    """Return the first row with a 0-d target."""
    case = batched(dtype, p=p, weighted=weighted, reduction=reduction)
    upstream = np.array(-2, DTYPES[dtype])
    return replace(case, input=case.input[0], target=np.array(TARGETS[0]), grad_output=upstream)


def plain(dtype: str) -> Case:
    """Return the batch with every option at its default."""
    return batched(dtype, weighted=False, reduction="mean", margin=1.0)


def at_the_kink(dtype: str, p: int = 1, reduction: str = "mean") -> Case:
    """Return two rows where z = 0 at two classes of the first and one of the second."""
    kind = DTYPES[dtype]
    logits = np.array([[1, 0, 0, 0.5], [0.5, 0, -0.5, 1]], kind)
    upstream = np.array(UPSTREAM[:2] if reduction == "none" else -2, kind)
    return Case(logits, np.array([0, 0]), p, 1.0, None, reduction, grad_output=upstream)


def inactive(dtype: str, p: int = 1) -> Case:
    """Return the batch with logits so far apart that no term is active."""
    case = batched(dtype, p=p, reduction="mean")
    logits = np.full_like(case.input, -4)
    logits[np.arange(len(TARGETS)), TARGETS] = 4
    return replace(case, input=logits)


def ones(case: Case) -> Case:
    """Return the case with a grad_output of ones."""
    assert case.grad_output is not None
    return replace(case, grad_output=np.ones_like(case.grad_output))


def scaled(case: Case, factor: float) -> Case:
    """Return the case with grad_output multiplied."""
    assert case.grad_output is not None
    return replace(case, grad_output=(case.grad_output * factor).astype(case.input.dtype))


CALLS: dict[str, Callable[[str], Case]] = {  # every option at work, over a batch and one row
    "batched-none-p1": batched,
    "batched-mean-p2": lambda dtype: batched(dtype, p=2, reduction="mean"),
    "batched-sum-p1": lambda dtype: batched(dtype, weighted=False, reduction="sum"),
    "unbatched-none-p2": lambda dtype: unbatched(dtype, p=2),
}
