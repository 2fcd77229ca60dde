"""Many rows of many classes, every term active: an element that is lost inside a tile shows, wherever it is.

Of a loss for each row the enclosures are narrower than a term is large, and in float64 those of sums are too. A row of
active terms alone tempts to add up its logits and to take the target's away at once, which their size forbids.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from multimargin_conformance.checks.corners import STEPS
from multimargin_conformance.checks.item import Item, Scope
from multimargin_conformance.judge import judge
from multimargin_conformance.session import Result, Session, result_of
from multimargin_reference.case import Case
from multimargin_reference.formats import DTYPES
from multimargin_reference.grid_enclosure import grid_part

SIZES: tuple[tuple[int, ...], ...] = (
    (260, 2100),  # whole tiles on all sides of others, up to 64 x 512 and 512 x 64, as the next two
    (2100, 260),
    (2100, 600),
    (7, 17_000),  # long rows, many rows, and one row without a batch
    (17_000, 7),
    (17_000,),
)
OPTIONS = (  # power, reduction and whether there are weights, by size; of the first dtype and of the second
    (
        (2, "none", True),
        (1, "none", False),
        (2, "none", False),
        (1, "none", True),
        (2, "none", False),
        (1, "mean", False),
    ),
    (
        (1, "mean", False),
        (2, "sum", True),
        (1, "none", True),
        (2, "sum", False),
        (1, "mean", True),
        (2, "none", True),
    ),
)
WEIGHTS, GRADS = (1.0, 2.0, 0.5), (0.5, -1.0, 2.0)
LEAST, STEP, HINGES = 2.0, 0.25, 7  # of the hinges, none much less than others: 2, 2.25, up to 3.5
ADDED = {"float32": 2.0**18, "float64": 2.0**47}  # to every logit: no hinge rounds, but a sum of logits does
CLAUSES = {"SHAPE-4": ["every term of many active"], "SHAPE-5": ["every term of many active"]}


@dataclass(frozen=True)
class Dense:
    """One call to be made."""

    shape: tuple[int, ...]
    p: int
    reduction: str
    weighted: bool
    dtype: str


def items(scope: Scope) -> Iterator[Item]:
    """Yield one item a size, dtype and part; no halves: their grids are too coarse."""
    for turn, dtype in enumerate(dtype for dtype in scope.dtypes if dtype in STEPS):
        for shape, options in zip(SIZES, OPTIONS[turn], strict=True):
            dense = Dense(shape, *options, dtype)
            if not scope.capabilities.leaves_out_options(dense.p, dense.reduction, shape):
                yield from (_item(dense, part) for part in (("loss", "gradient") if scope.gradient else ("loss",)))


def _item(dense: Dense, part: str) -> Item:
    def run(session: Session) -> Result:
        session.needs("raw")  # or the protocol's lines would be too long
        case = call(dense)
        expected = grid_part(case, part)
        return result_of(judge(part, session.function(part)(case), expected, "every term is active"))

    rows, classes = (1, *dense.shape)[-2:]
    clause, size = "SHAPE-5" if rows > classes else "SHAPE-4", "x".join(map(str, dense.shape))
    return Item(f"{clause}/{dense.dtype}/dense-{size}/{part}", clause, dense.dtype, part, run, kind="bulk")


def call(dense: Dense) -> Case:
    """Return the call."""
    (rows, classes), kind = (1, *dense.shape)[-2:], DTYPES[dense.dtype]
    row, column = np.arange(rows)[:, None], np.arange(classes)
    x = (LEAST + STEP * ((3 * row + 5 * column + column // 7) % HINGES) - 1.0 + ADDED[dense.dtype]).astype(kind)
    y = np.arange(rows) * 7 % classes
    x[row[:, 0], y] = ADDED[dense.dtype]
    weight = np.resize(WEIGHTS, classes).astype(kind) if dense.weighted else None
    batch = dense.shape[:-1]
    g = np.resize(GRADS, batch if dense.reduction == "none" else ()).astype(kind)
    return Case(x.reshape(dense.shape), y.reshape(batch), dense.p, 1.0, weight, dense.reduction, g)
