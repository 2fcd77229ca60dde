"""Known faults with p and reduction of other types and of special values, which no golden vector can hold."""

from __future__ import annotations

from typing import Any

import numpy as np

from multimargin_reference.known.catalogue import Fault, before
from multimargin_reference.known.faults_validation import named, p_as, reduction_as
from multimargin_reference.validation import REDUCTIONS


def is_nan(p: Any) -> bool:
    return isinstance(p, float) and bool(np.isnan(p))


def is_infinite(p: Any) -> bool:
    return isinstance(p, float) and bool(np.isinf(p))


def nearly(p: Any) -> bool:
    """Compare as numbers of float32, or with a tolerance, would."""
    return isinstance(p, int | float) and bool(np.isclose(p, 1) or np.isclose(p, 2))


def from_other_type(value: Any) -> Any:
    """Make a change that takes a reduction that is not a string for `value(reduction)`."""
    return reduction_as(lambda reduction: None if isinstance(reduction, str) else value(reduction))


def by_prefix_of(reduction: Any) -> Any:
    """Take a string that starts with a reduction's name for that reduction."""
    return next((r for r in REDUCTIONS if isinstance(reduction, str) and reduction.startswith(r)), None)


FAULTS: tuple[Fault, ...] = (
    before("p-absent-means-one", "p = None acts as 1.", "REJECT-1", p_as(lambda p: p is None, lambda _p: 1)),
    before(
        "p-nan-accepted",
        "A range check by comparisons lets p = NaN through, which acts as 2.",
        "REJECT-1",
        p_as(is_nan, lambda _p: 2),
    ),
    before("p-infinite-accepted", "An infinite p acts as 2.", "REJECT-1", p_as(is_infinite, lambda _p: 2)),
    before(
        "p-text-accepted",
        "Any string acts as p = 1.",
        "REJECT-1",
        p_as(lambda p: isinstance(p, str), lambda _p: 1),
    ),
    before(
        "p-of-numpy-unchecked",
        "Only Python's numbers are checked: another p of a type of NumPy's acts as 1.",
        "REJECT-1",
        p_as(lambda p: isinstance(p, np.generic) and p not in (1, 2), lambda _p: 1),
    ),
    before(
        "p-within-a-tolerance",
        "A p within 1e-5 of 1 or 2 is rounded to it.",
        "REJECT-1",
        p_as(nearly, round),
    ),
    before(
        "reduction-absent-means-none",
        "The reduction None acts as 'none'.",
        "REJECT-2",
        from_other_type(lambda reduction: "none" if reduction is None else None),
    ),
    before(
        "reduction-number-means-sum",
        "Any number is taken for the last reduction of an enumeration.",
        "REJECT-2",
        from_other_type(lambda reduction: "sum" if isinstance(reduction, int) else None),
    ),
    before(
        "reduction-number-modulo-three",
        "A number is taken for the reduction at that place, modulo 3.",
        "REJECT-2",
        from_other_type(lambda reduction: REDUCTIONS[reduction % 3] if isinstance(reduction, int) else None),
    ),
    before(
        "reduction-synonyms-accepted",
        "'add' and 'total' act as 'sum', 'max' and 'prod' as 'none'.",
        "REJECT-2",
        named(add="sum", total="sum", max="none", prod="none"),
    ),
    before(
        "reduction-by-prefix",
        "Everything after a reduction's name is ignored.",
        "REJECT-2",
        reduction_as(by_prefix_of),
    ),
)

OTHER_NAMES: tuple[Fault, ...] = (
    before(
        "reduction-number-in-another-order",
        "The numbers 0, 1 and 2 name 'mean', 'sum' and 'none'.",
        "REJECT-2",
        from_other_type({0: "mean", 1: "sum", 2: "none"}.get),
    ),
    before(
        "reduction-old-name-means-sum",
        "'elementwise_mean', the old name of 'mean', is added up.",
        "REJECT-2",
        named(elementwise_mean="sum"),
    ),
)
