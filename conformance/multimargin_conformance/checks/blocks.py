"""What lies at the edges of blocks of classes: a term beside the target, masks, NaN; one row a place, each by itself.

A call for each width of a block has two blocks and a few classes more. Few terms of a row are active, so that a single
one that is lost, doubled or read elsewhere shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from multimargin_conformance.calling import Arrays
from multimargin_conformance.checks.item import Item, Scope
from multimargin_conformance.judge import judge
from multimargin_conformance.session import PASS, Result, Session, result_of
from multimargin_reference.case import Case
from multimargin_reference.expectation import Enclosures
from multimargin_reference.formats import DTYPES, HALVES
from multimargin_reference.grid_enclosure import grid_part

WIDTHS = tuple(2**k for k in range(3, 14))
REST = 3  # classes after the last whole block
RAW = 2048  # the width from which a call is too long for a line of the protocol
MARGIN, INACTIVE, ACTIVE = 1.0, -16.0, 13
WEIGHTS = (0.5, 2.0, 1.0, -1.0, 4.0)
GRADS = (1.0, -2.0, 0.5)
NAN = frozenset({"nan"})
WHY = "few terms near the edges of blocks"
CLAUSES = {
    "SHAPE-4": ["a term beside the target at a block's edge"],
    "SPECIAL-1": ["masks at a block's edges"],
    "SPECIAL-7": ["NaN at a block's edges"],
}


@dataclass(frozen=True)
class Row:
    """Where one row has its target, its active terms, and what is in other classes instead of a number."""

    target: int
    active: tuple[int, ...]
    masked: tuple[int, ...] = ()
    nan: int | None = None


def _beside(width: int) -> Iterator[Row]:
    """Yield a row for each target near the end of a block and each of few classes near it, its only active one."""
    for edge in (width, 2 * width):
        for target in range(edge - 3, edge + 2):
            near = {target - 1, target + 1, edge - 1, edge} - {target}
            yield from (Row(target, (active,)) for active in sorted(near))


def _masked(width: int) -> Iterator[Row]:
    """Yield rows of which the second block, or its edges, are masked, with active terms inside it and elsewhere."""
    first, last, end = width, 2 * width - 1, 2 * width + REST - 1
    inside = first + width // 3
    for masked in ((first, last), (first,), (last,), (0, first - 1), (first, first + 1, last - 1, last), (end,)):
        yield Row(1, (inside,), masked)
        yield Row(inside, (2, inside + 1, last + 1), masked)
    block = tuple(range(first, last + 1))
    yield Row(1, (inside,), tuple(k for k in block if k != inside))
    yield Row(inside, (0, first - 1, last + 1), tuple(k for k in block if k != inside))
    yield Row(1, (0, first - 1, last + 1, end), block)


def _not_numbers(width: int) -> Iterator[Row]:
    """Yield rows with NaN at the edges of blocks and in the middle, and active terms in each block and after them."""
    first, last, end = width, 2 * width - 1, 2 * width + REST - 1
    for k, place in enumerate((0, 1, first - 1, first, first + 1, first + width // 2, last, last + 1, end)):
        target = (3, last - 2)[k % 2]
        yield Row(target, tuple(c for c in (2, first - 2, first + 2, last - 1, end - 1) if c != place), nan=place)


@dataclass(frozen=True)
class Kind:
    """A name, the clause that it is about, and the rows for each width."""

    name: str
    clause: str
    rows: Callable[[int], Iterator[Row]]


KINDS = (
    Kind("beside-target", "SHAPE-4", _beside),
    Kind("masked-blocks", "SPECIAL-1", _masked),
    Kind("nan-in-blocks", "SPECIAL-7", _not_numbers),
)


def items(scope: Scope) -> Iterator[Item]:
    """Yield one item a kind, width, dtype and part; no halves, and each width in one dtype if both are checked."""
    dtypes = [dtype for dtype in scope.dtypes if dtype not in HALVES]
    parts = ("loss", "gradient") if scope.gradient else ("loss",)
    for k, dtype in enumerate(dtypes):
        for kind, width in product(KINDS, WIDTHS[k :: len(dtypes)]):
            if not scope.capabilities.leaves_out(_call(kind, width, dtype)):
                yield from (_item(kind, width, dtype, part) for part in parts)


def _item(kind: Kind, width: int, dtype: str, part: str) -> Item:
    def run(session: Session) -> Result:
        if width >= RAW:
            session.needs("raw")
        case = _call(kind, width, dtype)
        finding = judge(part, session.function(part)(case), _expectation(kind, width, dtype, part), WHY)
        if not finding:
            return PASS
        return result_of(replace(finding, case=case) if width < RAW else finding)

    def calls() -> list[tuple[Case, Arrays]]:
        return [(_call(kind, width, dtype), {})]

    id_ = f"{kind.clause}/{dtype}/{kind.name}-of-{width}/{part}"
    return Item(id_, kind.clause, dtype, part, run, kind="blocks", calls=None if width >= RAW else calls)


@cache
def _call(kind: Kind, width: int, dtype: str) -> Case:
    rows, k, of = list(kind.rows(width)), WIDTHS.index(width), DTYPES[dtype]
    x = np.full((len(rows), 2 * width + REST), INACTIVE)
    for number, row in enumerate(rows):
        x[number, list(row.active)] = 0.25 * (1 + (number + np.arange(len(row.active))) % ACTIVE) - MARGIN
        x[number, row.target] = 0.0
        x[number, list(row.masked)] = -np.inf
        if row.nan is not None:
            x[number, row.nan] = np.nan
    y = np.array([row.target for row in rows])
    weight = np.resize(WEIGHTS, x.shape[1]).astype(of) if k % 2 else None
    return Case(x.astype(of), y, 1 + k // 2 % 2, MARGIN, weight, "none", np.resize(GRADS, len(rows)).astype(of))


@cache
def _expectation(kind: Kind, width: int, dtype: str, part: str) -> Enclosures:
    """Return what is legal: masks are inactive; a NaN is dropped, or makes the loss of its row NaN.

    In the gradient the NaN's element and the target's are concerned, and for p = 1 the NaN may be taken as active.
    """
    case = _call(kind, width, dtype)
    dropped = _instead(case, INACTIVE, part)
    places = [(number, row.target, row.nan) for number, row in enumerate(kind.rows(width)) if row.nan is not None]
    if not places:
        return dropped
    if part == "loss":
        return replace(dropped, also=dict.fromkeys((number for number, _, _ in places), NAN))
    lo, hi = dropped.lo, dropped.hi
    if case.p == 1:
        counted = _instead(case, ACTIVE, part)
        lo, hi = np.minimum(lo, counted.lo), np.maximum(hi, counted.hi)
    classes = case.input.shape[1]
    own = (number * classes + place for number, *pair in places for place in pair)
    return replace(dropped, lo=lo, hi=hi, also=dict.fromkeys(own, NAN))


def _instead(case: Case, value: float, part: str) -> Enclosures:
    """Return what is legal for a call with a value in place of each NaN, and masks as inactive logits."""
    x: NDArray[np.float64] = np.nan_to_num(case.input.astype(np.float64), nan=value, neginf=INACTIVE)
    return grid_part(replace(case, input=x.astype(case.input.dtype)), part).full()
