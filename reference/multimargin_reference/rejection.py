"""Which REJECT clause an invalid call breaks, and which valid call an unusual one stands for (DTYPE-4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multimargin_reference.case import Case
from multimargin_reference.formats import DTYPES
from multimargin_reference.validation import REDUCTIONS

FAR = 128  # classes past the last one from which a target is "far above C" (REJECT-5)
FLOATING = "fcV"  # dtype kinds; bfloat16 is "V"

Rule = tuple[str, Callable[[Case], bool]]


def rejecting_clause(case: Case) -> str:
    """Return the id of the REJECT clause that a call breaks, the first of several, "" if it breaks none."""
    return next((clause for clause, broken in RULES if broken(case)), "")


def meaning(case: Case) -> Case:
    """Return the valid call that an unusual one stands for where an implementation accepts it (DTYPE-4).

    Such as int32 targets, p = 1.0, a (1,) target beside (C,) logits, or a weight of another dtype; other
    calls are unchanged.
    """
    x = case.input if case.input.dtype in DTYPES.values() else case.input.astype(np.float64)
    x = x.reshape(1) if x.ndim == 0 else x
    integers = case.target.dtype.kind in "iu" or not case.target.size
    y = case.target.astype(np.int64) if integers else case.target
    y = y.reshape(x.shape[:-1]) if x.ndim in (1, 2) and y.size == (1 if x.ndim == 1 else len(x)) else y
    w = None if case.weight is None else case.weight.astype(x.dtype)
    g, shape = case.grad_output, y.shape if case.reduction == "none" else ()
    g = g.astype(x.dtype).reshape(shape) if g is not None and g.size == np.empty(shape).size else g
    return replace(case, input=x, target=y, p=int(case.p), weight=w, grad_output=g)


def _too_many_axes(case: Case) -> bool:
    return case.target.ndim > 1 or (case.target.ndim == 0 and case.input.ndim == 2 and len(case.input) != 1)


def _wrong_count(case: Case) -> bool:
    rows = len(case.input) if case.input.ndim == 2 else 1
    return case.target.ndim == 1 and len(case.target) != rows


def _has_integers(target: NDArray[Any]) -> bool:
    return target.size > 0 and target.dtype.kind in "iu"


def _lowest(case: Case) -> int:
    """The smallest target, 0 where there is none."""
    return int(case.target.min()) if _has_integers(case.target) else 0


def _classes(case: Case) -> int:
    return int(case.input.shape[-1]) if case.input.ndim else 1


def _highest(case: Case) -> int:
    """How far the largest target is past the last class; negative for valid targets."""
    return (int(case.target.max()) if _has_integers(case.target) else -1) - _classes(case)


RULES: tuple[Rule, ...] = (
    ("REJECT-1", lambda case: case.p not in (1, 2)),
    ("REJECT-2", lambda case: case.reduction not in REDUCTIONS),
    ("REJECT-12", lambda case: case.input.ndim > 2),
    ("REJECT-11", lambda case: _classes(case) == 0),
    ("REJECT-8", lambda case: bool(case.target.size) and case.target.dtype.kind in FLOATING),
    ("REJECT-7", _too_many_axes),
    ("REJECT-6", _wrong_count),
    ("REJECT-3", lambda case: _lowest(case) < 0),
    ("REJECT-4", lambda case: 0 <= _highest(case) < FAR),
    ("REJECT-5", lambda case: _highest(case) >= FAR),
    ("REJECT-10", lambda case: case.weight is not None and case.weight.ndim != 1),
    ("REJECT-9", lambda case: case.weight is not None and case.weight.shape != (_classes(case),)),
)
