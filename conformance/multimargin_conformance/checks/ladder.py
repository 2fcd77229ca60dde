"""One call at every size at which a block, a tile, a vocabulary or an index type may end, along classes and along rows.

Few terms are active, at the ends, in the middle and at the edges of blocks, so that a bound of a few units holds at any
size and a single term that is lost, doubled or read elsewhere shows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from multimargin_conformance.calling import Arrays
from multimargin_conformance.checks.item import Item, Scope
from multimargin_conformance.checks.single import part_of
from multimargin_conformance.judge import judge
from multimargin_conformance.session import PASS, Result, Session, result_of
from multimargin_reference.case import Case
from multimargin_reference.expectation import Values
from multimargin_reference.few_enclosures import AnyEnclosures
from multimargin_reference.formats import DTYPES, HALVES
from multimargin_reference.grid_enclosure import grid_part, grid_values
from multimargin_vectors.splitmix import integers

FIRST = 41  # all smaller sizes have calls of their own (sizes)
WITH_NEIGHBOURS = 5001  # up to here, and at powers of two, also one less and one more
VOCABULARIES = (21841, 30522, 32000, 50257)
BLOCKS = (4, 8, 16, 32, 64, 128, 256, 512, 1024)
REDUCTIONS = ("none", "sum", "mean")
MARGINS = (1.0, 0.5, 2.0, 8.0)
WEIGHTS = (0.5, 2.0, 1.0, -1.0, 4.0)
GRADS = (1.0, -2.0, 0.5)
INACTIVE = -16.0
STREAM = 60_000  # where the random numbers of these calls begin
SCATTERED = 8  # active terms at random places
SHARED = 2**13  # the largest size of which both dtypes have a call in both directions
KEPT = 20_000  # logits of a call that is kept, with what is legal for it, for the next run
SHOWN = 4096  # logits of a call that a finding carries
CLAUSES = {"SHAPE-4": ["a ladder of sizes"], "SHAPE-5": ["a ladder of sizes"]}


def _sizes() -> tuple[int, ...]:
    powers = [2**k for k in range(5, 17)]
    round_ones = [3 * 2**k for k in range(4, 15)] + [5 * 2**k for k in range(3, 14)]
    round_ones += [m * 10**k for k in range(2, 5) for m in (1, 1.5, 2, 3, 4, 5, 6, 8)] + [100_000]
    near = [n for n in round_ones if n < WITH_NEIGHBOURS] + powers
    found = {int(n) for n in (*round_ones, *VOCABULARIES)} | {int(n) + d for n in near for d in (-1, 0, 1)}
    return tuple(sorted(n for n in found if n >= FIRST))


SIZES = _sizes()


@dataclass(frozen=True)
class Step:
    """One call: a place on the ladder, and whether it is the number of classes that is large or that of rows."""

    number: int
    tall: bool
    dtype: str

    @property
    def size(self) -> int:
        """C, or N."""
        return SIZES[self.number]

    @property
    def name(self) -> str:
        """The size in words."""
        return f"{self.size} {'rows' if self.tall else 'classes'}"

    @property
    def place(self) -> int:
        """Which options are in turn; the two dtypes have other ones."""
        return self.number + self.tall + 3 * (self.dtype == "float64")

    @property
    def p(self) -> int:
        """The power; which dtype has a large call hangs on the place too, but not on its second half."""
        return 1 + (self.place if self.size <= SHARED else self.place // 4) % 2

    @property
    def reduction(self) -> str:
        """The reduction."""
        return REDUCTIONS[(self.place // 2) % 3]

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the input: many rows of few classes, or one or two rows of many classes."""
        if self.tall:
            return self.size, 2 + 2 * (self.place % 2) if self.size < WITH_NEIGHBOURS else 2
        if self.place % 4 == 0:
            return (self.size,)
        return 2 if self.size < WITH_NEIGHBOURS else 1, self.size


def items(scope: Scope) -> Iterator[Item]:
    """Yield one item a direction, octave of sizes, dtype and part; no halves: their grids are too coarse for rows."""
    parts = ("loss", "gradient") if scope.gradient else ("loss",)
    for dtype, tall in product(scope.dtypes, (False, True)):
        for octave in range(FIRST.bit_length(), SIZES[-1].bit_length() + 1):
            places = [k for k, size in enumerate(SIZES) if size.bit_length() == octave]
            steps = [Step(k, tall, dtype) for k in places if _has_turn(k, tall, dtype, scope.dtypes)]
            steps = [s for s in steps if not scope.capabilities.leaves_out_options(s.p, s.reduction, s.shape)]
            if steps:
                yield from (_item(steps, 2 ** (octave - 1), part) for part in parts)


def _has_turn(number: int, tall: bool, dtype: str, dtypes: tuple[str, ...]) -> bool:
    """Whether a dtype has a call of a size: of large ones, if both are checked, one along classes, one along rows."""
    if dtype in HALVES:
        return False
    other = {"float32": "float64", "float64": "float32"}[dtype]
    return other not in dtypes or SIZES[number] <= SHARED or (number + tall) % 2 == (dtype == "float64")


def _item(steps: list[Step], least: int, part: str) -> Item:
    clause, dtype = "SHAPE-5" if steps[0].tall else "SHAPE-4", steps[0].dtype

    def run(session: Session) -> Result:
        for step in steps:
            observation = session.function(part)(call(step))
            why = f"few terms among {step.name}"
            if finding := judge(part, observation, expectation(step, part), why):
                small = call(step).input.size <= SHOWN
                return result_of(replace(finding, case=call(step)) if small else finding)
        return PASS

    def calls() -> list[tuple[Case, Arrays]]:
        return [(call(step), {}) for step in steps]

    id_ = f"{clause}/{dtype}/ladder-from-{least}/{part}"
    return Item(id_, clause, dtype, part, run, kind="ladder", calls=calls)


def expectation(step: Step, part: str) -> AnyEnclosures:
    """Return what is legal for the loss or the gradient of a step's call."""
    if step.size * 2 <= KEPT:
        return part_of(_kept_expectation(step), part)
    return grid_part(call(step), part)


@cache
def _kept_expectation(step: Step) -> Values:
    return grid_values(call(step))


def call(step: Step) -> Case:
    """Return a step's call."""
    return _kept_call(step) if step.size * 2 <= KEPT else _made(step)


@cache
def _kept_call(step: Step) -> Case:
    return _made(step)


def _made(step: Step) -> Case:
    k, dtype = step.place, DTYPES[step.dtype]
    x, y = _tall(step) if step.tall else _wide(step)
    rows, classes = x.shape
    weight = _in_turn(WEIGHTS, classes).astype(dtype) if (k // 3) % 2 else None
    grads = _in_turn(GRADS, rows).reshape(step.shape[:-1]) if step.reduction == "none" else np.asarray(GRADS[k % 3])
    x, y = x.reshape(step.shape).astype(dtype), y.reshape(step.shape[:-1])
    return Case(x, y, step.p, MARGINS[k % len(MARGINS)], weight, step.reduction, grads.astype(dtype))


def _in_turn(values: tuple[float, ...], count: int) -> NDArray[np.float64]:
    """Return so many of the values, again and again: np.resize joins as many pieces, and takes longer."""
    return np.tile(values, -(-count // len(values)))[:count]


def _places(size: int, k: int) -> NDArray[np.int64]:
    """Return where terms are active: both ends, the middle, the edges of the last block of each width, and some."""
    edges = [place for block in BLOCKS for place in ((size // block) * block - 1, (size // block) * block)]
    middle = [size // 2 - 1, size // 2, size // 2 + 1, size // 4, size // 3]
    places = np.array([0, 1, 2, *edges, *middle, size - 3, size - 2, size - 1])
    places = np.concatenate([places, integers(STREAM + k, SCATTERED, size)])
    found: NDArray[np.int64] = np.unique(places[(places >= 0) & (places < size)])
    return found


def _wide(step: Step) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return one or two rows of many classes, and the targets."""
    k, (rows, classes) = step.place, (1, *step.shape)[-2:]
    margin = MARGINS[k % len(MARGINS)]
    x = np.full((rows, classes), INACTIVE)
    places = _places(classes, k)
    x[:, places] = 0.25 * (1 + np.arange(rows * len(places)).reshape(rows, -1) % 13) - margin
    ends = (0, classes - 1, classes // 2, int(places[k % len(places)]))
    y = np.array([ends[(k + j) % 4] for j in range(rows)]) if rows > 1 else integers(STREAM + 900 + k, 1, classes)
    x[np.arange(rows), y] = 0.0
    return x, y


def _tall(step: Step) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return many rows of few classes: all active where each has a result of its own, otherwise few of them."""
    k, (rows, classes) = step.place, step.shape
    margin = MARGINS[k % len(MARGINS)]
    y = integers(STREAM + 500 + k, rows, classes)
    active = np.arange(rows) if step.reduction == "none" else _places(rows, k)
    x = np.full((rows, classes), INACTIVE)
    x[active, (y[active] + 1) % classes] = 0.25 * (1 + np.arange(len(active)) % 61) - margin
    x[np.arange(rows), y] = 0.0
    return x, y
