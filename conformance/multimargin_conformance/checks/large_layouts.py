"""PURITY-5 for large arguments, and for zero strides along more than a few rows or classes.

A kernel may copy what is small and walk over the rest, or cut it into tiles, each with an idea of its own of strides.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from itertools import product
from typing import Any

import numpy as np

from multimargin_conformance.calling import ARGUMENTS
from multimargin_conformance.capabilities import REDUCTIONS
from multimargin_conformance.checks import bulk, layouts
from multimargin_conformance.checks.changes import Expected, plain
from multimargin_conformance.checks.contexts import larger, many, valid
from multimargin_conformance.checks.corners import STEPS
from multimargin_conformance.checks.item import Item, Scope
from multimargin_conformance.checks.layouts import ALL, CLASSES, OF_INPUT, constant
from multimargin_conformance.judge import judge
from multimargin_conformance.session import PASS, Result, Session, result_of
from multimargin_reference.case import Case
from multimargin_reference.grid_enclosure import grid_part
from multimargin_vectors.draft import has_kink

LARGEST = (1100, 1000)  # past 2**20 logits
TALL = (100_003, 2)  # whose grad_output is long too, with gaps, and its targets
PLACES = (
    layouts.fortran,
    layouts.every_other,
    layouts.reversed_,
    layouts.padded,
    layouts.fortran_padded,
    layouts.rows_reversed,
    layouts.unaligned,
    layouts.in_records,
)
REPEATED = ((33, 35), (64, 64), (65, 66), (2, 300), (300, 3), (301,), (2, 1100), (1100, 2))  # of the larger contexts
CLAUSES = {
    "PURITY-5": ["many logits in every layout", "zero strides along many"],
    "PURITY-6": ["many logits in read-only memory"],
}


def items(scope: Scope) -> Iterator[Item]:
    """Yield one item a dtype and part of each; no halves: their grids are too coarse."""
    parts = ("loss", "gradient") if scope.gradient else ("loss",)
    dtypes = [dtype for dtype in scope.dtypes if dtype in STEPS]
    for (turn, dtype), part in product(enumerate(dtypes), parts):
        every = enumerate(_placed(dtype, turn))  # of which each of two dtypes has half
        chosen = [one for k, one in every if len(dtypes) == 1 or (k + k // len(PLACES)) % 2 == turn % 2]
        calls = [(made, place) for made, place in chosen if not _is_left_out(made, scope)]
        if calls:
            yield _item("PURITY-5", dtype, part, "many-logits-placed", calls)
        frozen = list({made.shape: (made, layouts.read_only) for made, _ in calls}.values())
        if frozen:
            yield _item("PURITY-6", dtype, part, "many-logits-read-only", frozen)
    for dtype, part in product(dtypes, parts):
        cases = [case for case in _repeated(dtype) if not scope.capabilities.leaves_out(case)]
        if cases:
            yield _zero_strides(dtype, part, cases)


def _is_left_out(made: bulk.Bulk, scope: Scope) -> bool:
    return bool(scope.capabilities.leaves_out_options(made.p, made.reduction, made.shape))


def _placed(dtype: str, turn: int) -> list[tuple[bulk.Bulk, layouts.Layout]]:
    """Return every size in every layout, and the largest in one; options take turns."""
    options = list(product(REDUCTIONS, (True, False), (2, 1)))
    found = []
    for k, (shape, place) in enumerate(product(bulk.SIZES, PLACES)):
        reduction, weighted, p = options[(k + k // len(PLACES) + 5 * turn) % len(options)]
        found.append((bulk.Bulk(k, shape, p, reduction, weighted, dtype), place))
    tall = (bulk.Bulk(turn, TALL, 1 + turn % 2, "none", True, dtype), layouts.every_other)
    return [*found, (bulk.Bulk(turn, LARGEST, 2, "mean", True, dtype), layouts.fortran), tall, tall]  # one dtype each


def _item(clause: str, dtype: str, part: str, name: str, calls: Sequence[tuple[bulk.Bulk, layouts.Layout]]) -> Item:
    def run(session: Session) -> Result:
        session.needs("raw")  # or the protocol's lines would be too long
        session.needs("layouts")
        for made, place in calls:
            case = bulk.call(made)
            case = case if part == "gradient" else replace(case, grad_output=None)
            arrays = {name: getattr(case, name) for name in ARGUMENTS[part]}
            observation = session.function(part)(case, **{n: place(a) for n, a in arrays.items() if a is not None})
            why = f"arguments {place.__name__.strip('_').replace('_', ' ')}, of {made.shape}"
            if finding := judge(part, observation, grid_part(case, part), why):
                return result_of(finding)
        return PASS

    return Item(f"{clause}/{dtype}/{name}/{part}", clause, dtype, part, run, kind="bulk")


def _zero_strides(dtype: str, part: str, cases: list[Case]) -> Item:
    def run(session: Session) -> Result:
        session.needs("layouts")
        for case, name in product(cases, (*ARGUMENTS[part], *OF_INPUT)):
            expected = None if getattr(case, name, case.input) is None else _constant(case, name, part)
            if expected is None:
                continue
            argument = "input" if name in OF_INPUT else name
            fresh: dict[str, Any] = {argument: np.array(getattr(case, argument))}  # no view of what others are given
            view = getattr(constant(replace(case, **fresh), name), argument)
            observation = session.function(part)(expected.case, **{argument: view})
            if finding := judge(part, observation, expected.values, f"{name}: a view whose elements repeat"):
                return result_of(finding)
        return PASS

    return Item(f"PURITY-5/{dtype}/zero-strides-along-many/{part}", "PURITY-5", dtype, part, run, kind="layouts")


@cache
def _constant(case: Case, name: str, part: str) -> Expected | None:
    """Return a call with one argument the same all along, None where it is, or where that makes a tie (GRADIENT-4).

    Where all of a row's logits are one, a margin makes all of its classes active.
    """
    repeated = constant(replace(case, margin=0.5) if name in (CLASSES, ALL) else case, name)
    return None if repeated is case or has_kink(repeated) else plain(repeated, part)


@cache
def _repeated(dtype: str) -> tuple[Case, ...]:
    some = [context for context in larger() if context.shape in REPEATED]
    return tuple(valid(context, dtype) for context in (*some, *many(dtype, (dtype,))))
