"""Calls without rows that are made of others, and what is legal then: see changes.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from multimargin_conformance.checks.changes import LARGEST, NAN, Expected
from multimargin_reference.case import Case
from multimargin_reference.expectation import Enclosures

UNUSED = (None, np.inf, np.nan)  # the last class's weight, in turn; None leaves it as it is


def empty(reductions: tuple[str, ...]) -> Callable[[Case, str], Expected | None]:
    """Take all rows away; a class's weight may be anything then, and margins large."""

    def change(case: Case, part: str) -> Expected | None:
        if case.input.ndim == 1 or case.reduction not in reductions:
            return None
        g = case.grad_output
        g = g[:0] if g is not None and g.ndim else g
        turn, weight, margin = sum(case.input.shape) % len(UNUSED), case.weight, case.margin
        if weight is not None and UNUSED[turn] is not None:
            weight = weight.copy()
            weight[-1] = UNUSED[turn]
        elif weight is None and turn and case.dtype in LARGEST:
            margin = 2.0 ** LARGEST[case.dtype]
        called = replace(
            case, input=case.input[:0], target=case.target[:0], margin=margin, weight=weight, grad_output=g
        )
        shape = called.input.shape if part == "gradient" else called.target.shape if case.reduction == "none" else ()
        values = np.zeros(int(np.prod(shape)))
        also = {0: NAN} if part == "loss" and case.reduction == "mean" else {}
        return Expected(called, Enclosures(shape, case.dtype, values, values, values, also))

    return change
