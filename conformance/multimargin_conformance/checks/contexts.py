"""Contexts: what a call is like apart from what it is about. A mistake may be made on one path of a kernel alone.

Every pair of values of shape, reduction, weights, power and margin occurs, and every triple but those of shape and
margin: a mistake that needs three of them to be so is met whatever it is about. Kernels choose their path by size too:
`larger` has sizes that are a block and a remainder, several blocks, or ordinary in training, with and without weights;
`many` has few calls, past the sizes from which kernels take other paths: many classes, many rows, and both.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from multimargin_conformance.capabilities import REDUCTIONS
from multimargin_reference.case import Case
from multimargin_reference.formats import DTYPES
from multimargin_vectors.families.covering import without_kinks
from multimargin_vectors.splitmix import integers

SHAPES = ((4,), (1, 4), (4, 1), (2, 2), (4, 4), (8, 4), (2, 16), (2, 256), (256, 4))
LARGER = (
    (7,),
    (16,),
    (301,),
    (2, 5),
    (3, 7),
    (5, 4),
    (7, 3),
    (10, 10),
    (16, 16),
    (33, 35),
    (2, 300),
    (300, 3),
    (512, 4),
    (2, 1100),
    (2, 2048),
    (1100, 2),
    (1,),
    (3, 3),
    (5, 5),
    (65, 66),
    (17, 1030),
    (3,),
    (5,),
    (1, 2),
    (1, 3),
    (1, 1),
    (64, 64),
)
MANY = ((4, 2**15), (2**14, 4), (2**14,), (128, 256))  # powers of two: what is divided by them stays exact
FEWER = ((2, 2**14), (2**14, 2), (2**10,), (128, 256))  # of what is asked of these too, but costs more there
ORDINARY = ((7,), (3, 7), (10, 10), (33, 35))
MARGINS = (1.0, -0.75, 0.0, 0.5)
WEIGHTS = ((0.5, 2.0, 1.0), (-1.0, 1.0, 2.0), (1.0, 0.0, 4.0))
GRADS = ((1.0,), (-2.0, 0.5), (0.5, 1.0, -1.0))
STREAM = 30_000  # where the random numbers of these calls begin


@dataclass(frozen=True)
class Context:
    """One row of the covering array."""

    number: int
    shape: tuple[int, ...]
    reduction: str
    weighted: bool
    p: int
    margin: float

    @property
    def rows(self) -> int:
        """N, 1 without a batch."""
        return self.shape[0] if len(self.shape) == 2 else 1

    @property
    def classes(self) -> int:
        """C."""
        return self.shape[-1]


@cache
def contexts() -> tuple[Context, ...]:
    """Return the covering array: shape x reduction x weights in full, p and margin so that these triples are there."""
    found: list[Context] = []
    for i, shape in enumerate(SHAPES):
        for j, reduction in enumerate(REDUCTIONS):
            for k, weighted in enumerate((False, True)):
                margin = MARGINS[(i // 2 + j + k) % len(MARGINS)]
                found.append(Context(len(found), shape, reduction, weighted, 1 + (i + j + k) % 2, margin))
    return tuple(found)


@cache
def larger() -> tuple[Context, ...]:
    """Return two contexts for each of the larger shapes: with weights and without, of another reduction and margin."""
    found: list[Context] = []
    for i, shape in enumerate(LARGER):
        for k, weighted in enumerate((True, False)):
            number, reduction = len(contexts()) + len(found), REDUCTIONS[(i + 2 * k) % len(REDUCTIONS)]
            found.append(Context(number, shape, reduction, weighted, 1 + (i // 3 + k) % 2, MARGINS[(i + k) % 4]))
    return tuple(found)


def chosen(dtype: str, dtypes: tuple[str, ...]) -> tuple[Context, ...]:
    """Return the contexts of one dtype out of those that are checked: every other one, so that all have each.

    A pair of shape and reduction is met in one dtype of two; where one dtype alone is checked it has all contexts.
    """
    if len(dtypes) == 1:
        return contexts()
    turn = dtypes.index(dtype) % 2
    return tuple(c for c in contexts() if (SHAPES.index(c.shape) // 2 + REDUCTIONS.index(c.reduction)) % 2 == turn)


def chosen_larger(dtype: str, dtypes: tuple[str, ...]) -> tuple[Context, ...]:
    """Return few larger contexts of one dtype out of those that are checked: one for each of the ordinary shapes."""
    return tuple(c for c in larger()[dtypes.index(dtype) % 2 :: 2] if c.shape in ORDINARY)


@cache
def turned(dtype: str, dtypes: tuple[str, ...]) -> tuple[Context, ...]:
    """Return all contexts, with the other power in every other dtype: shape, reduction, weights and power in full."""
    turn = dtypes.index(dtype) % 2
    return tuple(replace(c, p=3 - c.p) if turn else c for c in (*contexts(), *larger()))


@cache
def many(dtype: str, dtypes: tuple[str, ...], shapes: tuple[tuple[int, ...], ...] = MANY) -> tuple[Context, ...]:
    """Return one context with weights for each shape of many, of another power and reduction in every other dtype."""
    turn = dtypes.index(dtype) % 2
    first = len(contexts()) + len(larger())
    return tuple(
        Context(first + k, shape, REDUCTIONS[(k - turn) % 3], True, 1 + (k + turn) % 2, MARGINS[(k + 1) % 4])
        for k, shape in enumerate(shapes)
    )


@cache
def valid(context: Context, dtype: str) -> Case:
    """Return a context's valid call: on the exact grid, with few logits near the margin, none at the kink.

    Of the larger ones the first row's last class is active; of many classes, targets are past the middle.
    Sizes that are no powers of two, as some larger ones, leave the grid by their division alone.
    """
    c, kind = context, DTYPES[dtype]
    numbers = integers(STREAM + c.number, c.rows * c.classes, 8).reshape(c.rows, c.classes)
    x = np.where(np.arange(c.classes) < 4, (numbers - 4) * 0.5, -8.0)
    if c.shape in LARGER:
        y = integers(STREAM + 500 + c.number, c.rows, c.classes)
        y[0] %= max(1, c.classes - 1)
        x[0, -1] = 3.0  # active: what is past the end of a vector loop counts
        x[np.arange(c.rows), y] = (numbers[np.arange(c.rows), y] - 4) * 0.5
    elif c.shape in (*MANY, *FEWER):
        # what is put beside it lies past a block's end too; its weight is not 0 where there is no other row
        y = (c.classes * 5 // 8 + 1 + np.arange(c.rows)) % c.classes
        x[np.arange(c.rows), y] = 0.5
    else:
        y = integers(STREAM + 500 + c.number, c.rows, min(c.classes, 4))
    x = without_kinks(x, y, c.margin)
    weight = np.resize(WEIGHTS[c.number % len(WEIGHTS)], c.classes).astype(kind) if c.weighted else None
    shape = c.shape[:-1] if c.reduction == "none" else ()
    grads = np.resize(GRADS[c.number % len(GRADS)], shape).astype(kind)
    x, y = x.reshape(c.shape).astype(kind), y.reshape(c.shape[:-1])
    return Case(x, y, c.p, c.margin, weight, c.reduction, grads)
