"""Many logits, rows or classes with every power, reduction and weights: what is done beyond a size, for some options.

Few terms are active, at the ends and in the middle, with digits that a narrower type does not have.
Targets, weights and grad_output are others from row to row. Each of several dtypes has half of the options, and all of
them where rows and classes are both many, or more than 16 bits count: what a kernel does there may be for one alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multimargin_conformance.capabilities import REDUCTIONS
from multimargin_conformance.checks.corners import INACTIVE, SHOWN, STEPS
from multimargin_conformance.checks.item import Item, Scope
from multimargin_conformance.judge import judge
from multimargin_conformance.session import PASS, Result, Session, result_of
from multimargin_reference.case import Case
from multimargin_reference.formats import DTYPES
from multimargin_reference.grid_enclosure import grid_part

HALVED = ((9001,), (259, 267))
FULL = ((2, 65_537), (65_539, 2), (10_007, 10), (1030, 130), (259, 1030), (33, 8200))
SIZES = (*HALVED, *FULL)
MARGINS = (1.0, 0.0, -0.75, 0.5)
WEIGHTS = (1.0, 2.0, -1.0)
GRADS = (0.5, -1.0, 2.0)
Place = tuple[int, int]
CLAUSES = {
    "SHAPE-4": ["many logits with every option"],
    "SHAPE-5": ["many logits with every option"],
    "GRADIENT-4": ["a tie among many logits"],
}


@dataclass(frozen=True)
class Bulk:
    """One call to be made. number: of its options. tied: whether one more class is at z = 0."""

    number: int
    shape: tuple[int, ...]
    p: int
    reduction: str
    weighted: bool
    dtype: str
    tied: bool = False

    @property
    def parity(self) -> int:
        """Which half of the options this is of: every two of them occur together in each."""
        return (self.p + REDUCTIONS.index(self.reduction) + self.weighted) % 2

    @property
    def margin(self) -> float:
        """Taken in turn."""
        return MARGINS[self.number % len(MARGINS)]


def items(scope: Scope) -> Iterator[Item]:
    """Yield one item a dtype, size and part; no halves: their grids are too coarse."""
    dtypes = [dtype for dtype in scope.dtypes if dtype in STEPS]
    for (turn, dtype), shape in product(enumerate(dtypes), SIZES):
        options = enumerate(product((1, 2), REDUCTIONS, (False, True)))
        planned = [Bulk(k, shape, *chosen, dtype) for k, chosen in options]
        planned = [b for b in planned if len(dtypes) == 1 or shape in FULL or b.parity == turn]
        planned = [b for b in planned if not scope.capabilities.leaves_out_options(b.p, b.reduction, shape)]
        if planned:
            yield _item(planned, "loss")
        if planned and scope.gradient:
            yield _item(planned, "gradient")
        if (tied := [replace(b, tied=True) for b in planned if b.p == 1]) and scope.gradient:
            yield _item(tied, "gradient")  # the slope of p = 2 is 0 there


def _item(planned: list[Bulk], part: str) -> Item:
    shape, dtype, tied = planned[0].shape, planned[0].dtype, planned[0].tied

    def run(session: Session) -> Result:
        session.needs("raw")  # or the protocol's lines would be too long
        for bulk in planned:
            case = call(bulk)
            expected = grid_part(case, part)
            if finding := judge(part, session.function(part)(case), expected, f"few terms of {shape}"):
                return result_of(replace(finding, case=case) if case.input.size <= SHOWN else finding)
        return PASS

    clause = "GRADIENT-4" if tied else "SHAPE-5" if len(shape) == 2 and shape[0] > shape[1] else "SHAPE-4"
    name = "x".join(str(n) for n in shape) + ("-tied" if tied else "")
    return Item(f"{clause}/{dtype}/bulk-{name}/{part}", clause, dtype, part, run, kind="bulk")


def call(bulk: Bulk) -> Case:
    """Return the call."""
    kind, rows, classes = DTYPES[bulk.dtype], (1, *bulk.shape)[-2], bulk.shape[-1]
    x, y, tie = _logits(bulk.shape, bulk.margin, bulk.dtype)
    if bulk.tied:
        x = x.copy()
        x.reshape(rows, classes)[tie] = -bulk.margin
    weight = _in_turn(WEIGHTS, classes, bulk).astype(kind) if bulk.weighted else None
    batch = bulk.shape[:-1] if bulk.reduction == "none" else ()
    g = _in_turn(GRADS, math.prod(batch), bulk).astype(kind).reshape(batch)
    return Case(x, y.reshape(bulk.shape[:-1]), bulk.p, bulk.margin, weight, bulk.reduction, g)


def _in_turn(values: tuple[float, ...], count: int, bulk: Bulk) -> NDArray[np.float64]:
    """Return so many values, one after another and again from the first, each call's from another one on."""
    return np.array(values)[(np.arange(count) + bulk.number) % len(values)]


@cache
def _logits(shape: tuple[int, ...], margin: float, dtype: str) -> tuple[NDArray[Any], NDArray[np.int64], Place]:
    """Return logits, (N,) targets, and the place of a tie.

    Four terms' squares, times any weights, have a sum that is exact in doubles.
    """
    rows, classes = (1, *shape)[-2:]
    middle, half = rows // 2, classes // 2
    active = ((rows - 1, classes - 1), (0, half), (middle, 0), (min(middle + 1, rows - 1), half + classes % 2))
    tie = (max(middle - 1, 0), half - 1)
    x, y = np.full((rows, classes), INACTIVE), np.arange(rows) * 7 % classes
    for k, row in enumerate(sorted({row for row, _ in (*active, tie)})):
        taken = {column for at, column in (*active, tie) if at == row}
        y[row] = min(set(range(min(k, classes - 2), classes)) - taken)
    for k, place in enumerate(active):
        x[place] = 2.0 - margin + (2 * (7 * k + 3) + 1) * STEPS[dtype]
    x[np.arange(rows), y] = 0.0
    return x.reshape(shape).astype(DTYPES[dtype]), y, tie
