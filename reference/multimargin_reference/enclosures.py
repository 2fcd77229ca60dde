"""Enclosures of a case: which results a legal implementation may return (SPEC.md, appendix A)."""

from __future__ import annotations

import math
from typing import Any

from multimargin_reference.case import Case
from multimargin_reference.formats import FLOAT32, HALVES, Format
from multimargin_reference.gradient_enclosure import gradient_rows
from multimargin_reference.interval import Interval, rounded_into
from multimargin_reference.loss_enclosure import loss_intervals
from multimargin_reference.problem import Problem, problem


def enclosure(case: Case, *, widened: bool = False, flush: bool = False) -> Any:
    """Return the loss's Interval, or a list of one a row for "none" with a batch.

    widened: for float16 and bfloat16, computing in float32 with one final rounding instead of in the dtype.
    flush: the implementation may flush subnormals to zero. Raises as `validate` does; ValueError for a margin that is
    not finite in the dtype (a behaviour, SPECIAL-8).
    """
    p, final = _prepared(case, widened, flush)
    intervals = [_finished(i, final) for i in loss_intervals(p)]
    return intervals if p.reduction == "none" and case.input.ndim == 2 else intervals[0]


def gradient_enclosure(case: Case, *, widened: bool = False, flush: bool = False) -> Any:
    """Return the gradient's Intervals as nested lists of input's shape, for the case's grad_output (1 when absent).

    Options and errors as for `enclosure`.
    """
    p, final = _prepared(case, widened, flush)
    rows = [_finished_row(row, final) for row in gradient_rows(p)]
    return rows if case.input.ndim == 2 else rows[0]


def in_domain(case: Case) -> bool:
    """Whether margin is within the dtype's finite range, so that it rounds to a finite number by any route."""
    return math.isfinite(case.margin) and abs(case.margin) <= case.format.largest


def _prepared(case: Case, widened: bool, flush: bool) -> tuple[Problem, Format | None]:
    if not in_domain(case):
        raise ValueError(f"margin={case.margin!r}, but should be finite in {case.dtype} to have an enclosure")
    wide = widened and case.dtype in HALVES
    return problem(case, format=FLOAT32 if wide else None, flush=flush), case.format if wide else None


def _finished(interval: Interval, final: Format | None) -> Interval:
    return rounded_into(interval, final) if final else interval


def _finished_row(row: list[Interval], final: Format | None) -> list[Interval]:
    """Finish each distinct interval once: equal logits share one, and a row may repeat it 100,000 times."""
    known = {id(i): i for i in row}
    finished = {key: _finished(i, final) for key, i in known.items()}
    return [finished[id(i)] for i in row]
