"""Every size class with every combination of p, reduction and weights: what is right when small and wrong when large.

The calls are made here, not stored: random numbers on a grid that uses nearly all bits of the dtype, judged by the fast
enclosures of grids. Margin, targets, grad_output, density and memory layout take turns. Whole vectors of classes beside
rows that are no whole tiles, and the sizes of tiles, come as plain copies in which every row and class counts: what is
written for one size alone has a path of its own for each option.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from multimargin_conformance.calling import ARGUMENTS, Arrays
from multimargin_conformance.checks.item import Item, Scope
from multimargin_conformance.checks.layouts import LAYOUTS, Layout, read_only
from multimargin_conformance.judge import Finding, judge
from multimargin_conformance.session import Result, Session, result_of
from multimargin_reference.case import Case
from multimargin_reference.expectation import Values
from multimargin_reference.formats import DTYPES
from multimargin_reference.grid_enclosure import grid_values
from multimargin_vectors.families.covering import without_kinks
from multimargin_vectors.splitmix import integers, words

WIDE = ((1, 17), (2, 17), (3, 33), (3, 48), (4, 65), (3, 100), (3, 129), (5, 257), (3, 513), (2, 1000), (3, 1025))
TALL = ((17, 3), (33, 4), (65, 5), (100, 10), (129, 4), (257, 3), (1025, 2), (2049, 4))
SQUARE = ((17, 17), (40, 40), (65, 65))
SINGLE = ((3,), (4,), (17,), (65,), (129,), (1025,))
EVERY = tuple((2, classes) for classes in range(1, 41))
EVERY_ROW = tuple((rows, 3) for rows in range(1, 41))
ALONE = tuple(shape for classes in range(1, 10) for shape in ((1, classes), (classes,)))
HUGE = ((2, 4099), (1, 70001), (65600, 2))
LARGE = (
    (65600, 4),
    (100, 130),
    (300, 300),
    (4099, 3),
    (3001, 4),
    (200, 3),
    (260, 800),
    (513, 521),
)  # both sizes past 99, past 512, and more than 2**18 logits
UNEVEN = 63  # rows: no whole tiles of 2 to 32
WHOLE = (8, 12, 20, 24, 28, 40, 48, 80, 96, 112, 160, 192, 224, 320, 384, 768, 1000)  # classes: whole vectors
TILES = (16, 32, 64, 128, 256, 512, 1024)  # classes, each of which a kernel may be written for
WHOLE_ROWS = (32, 64, 128, 256, 512)
BLOCKS_OF_ROWS = (96, 192, 384, 768, 1536, 2000, 3072, 6144, 20_000)  # two and more whole blocks of 48 to 10,000
SINGLE_CLASS = ((9, 1), (300, 1))  # whose gradient still has two axes
CROSSED = ((64, 64), (16, 1000), (16, 1024), (128, 100), (256, 256), (512, 512), (2, 70001))
CROSSED_SINGLE = ((32,), (64,), (96,), (100,), (512,), (1000,), (1024,))
REDUCTIONS = ("none", "mean", "sum")
MARGINS = (1.0, 0.5, 2.0, -0.75, 8.0, 0.0, -8.0)
GRADS: tuple[tuple[float, ...], ...] = (
    (1.0,),
    (-2.0,),
    (0.5, -1.0, 4.0),
    (-0.25, 65536.0, 1.0, -4.0, 2.0),
    (2.0**-30, -1.0, 0.0),
)
WEIGHTS: tuple[tuple[float, ...], ...] = ((0.5, 2.0, 1.0, 4.0), (-1.0, 0.25, 1.0), (0.0, 1.0, 2.0, -0.5, 8.0))
FULL_WEIGHTS = ((0.5, 2.0, 1.0), (-1.0, 0.25, 4.0))  # another one at an index that wraps at a power of two
ORDERS: tuple[tuple[str, Layout | None], ...] = (("", None), *LAYOUTS.items(), ("read-only", read_only))
BITS = {("float32", 1): 20, ("float32", 2): 20, ("float64", 1): 32, ("float64", 2): 18}
OF_LAYOUT = {"read-only": "PURITY-6"}  # clauses; PURITY-5 of the others
CLAUSES = {clause: ["sizes crossed with options", "sizes of tiles with options"] for clause in ("SHAPE-4", "SHAPE-5")}
ALSO = ("VALUE-9", "GRADIENT-11", "GRADIENT-9")  # what a wrong result breaks too


@dataclass(frozen=True)
class Plan:
    """One call to be made: hashable, so that it and its expectation are made once a process."""

    number: int
    shape: tuple[int, ...]
    p: int
    reduction: str
    weighted: bool
    dtype: str
    full: bool = False  # whether the arguments are plain copies, in which every row and class counts

    @property
    def size(self) -> str:
        """The shape in words."""
        return "x".join(str(n) for n in self.shape)

    @property
    def order(self) -> tuple[str, Layout | None]:
        """The memory layout whose turn it is, and its name."""
        return ORDERS[0 if self.full else self.number % len(ORDERS)]

    @property
    def name(self) -> str:
        """A readable, unique name."""
        return f"{self.size}-p{self.p}-{self.reduction}{'-weighted' if self.weighted else ''}-{self.number}"


def items(scope: Scope) -> Iterator[Item]:
    """Yield one item a call and part."""
    for dtype in scope.dtypes:
        for plan in plans(dtype):
            if not scope.capabilities.leaves_out_options(plan.p, plan.reduction, plan.shape):
                yield from (_item(plan, part) for part in (("loss", "gradient") if scope.gradient else ("loss",)))


@cache
def plans(dtype: str) -> tuple[Plan, ...]:
    """Return the calls of one dtype, none for halves: their grids are too coarse for sizes like these."""
    if (dtype, 1) not in BITS:
        return ()
    crossed = product((*WIDE, *TALL, *SQUARE, *SINGLE), (1, 2), REDUCTIONS, (False, True))
    rows = [(shape, p, reduction, weighted) for shape, p, reduction, weighted in crossed]
    rows += [(shape, 1 + k % 2, REDUCTIONS[k % 3], k % 4 < 2) for k, shape in enumerate(EVERY)]
    rows += [(shape, 2 - k % 2, REDUCTIONS[(k + 1) % 3], k % 4 >= 2) for k, shape in enumerate(EVERY)]
    rows += [(shape, 1, REDUCTIONS[k % 3], k % 2 == 0) for k, shape in enumerate(HUGE)]
    for j, reduction in enumerate(("none", "mean")):
        rows += [(shape, 1 + (k + j) % 2, reduction, (k + j) % 4 < 2) for k, shape in enumerate(EVERY_ROW)]
    rows += [(shape, 2 - k % 2, REDUCTIONS[k % 3], k % 2 == 1) for k, shape in enumerate(LARGE)]
    alone = product(enumerate(ALONE), enumerate(((1, True), (2, True), (1, False))))
    rows += [(shape, p, REDUCTIONS[(k + j) % 3], weighted) for (k, shape), (j, (p, weighted)) in alone]
    plain = _of_tiles(dtype == "float64")
    return tuple(Plan(k, *row, dtype, k >= len(rows)) for k, row in enumerate([*rows, *plain]))


def _of_tiles(turn: bool) -> list[tuple[tuple[int, ...], int, str, bool]]:
    """Return what is asked of the sizes of tiles: every option, in two dtypes taken together, of what is crossed."""
    options = list(product((1, 2), REDUCTIONS, (False, True)))
    half = [(p, reduction, weighted) for k, (p, reduction, weighted) in enumerate(options) if (k + k // 2) % 2 == turn]
    crossed = product((*((UNEVEN, classes) for classes in TILES), *CROSSED), half)
    found: list[tuple[tuple[int, ...], int, str, bool]] = [(shape, *half[k]) for k, shape in enumerate(SINGLE_CLASS)]
    found += [(shape, *row) for shape, row in crossed]
    found += [(shape, *row) for shape, row in product(CROSSED_SINGLE, options)]
    few = (*((UNEVEN, classes) for classes in WHOLE), *((rows, UNEVEN) for rows in WHOLE_ROWS))
    found += [(shape, *half[(k + j) % len(half)]) for k, shape in enumerate(few) for j in (0, 3)]
    found += [((rows, 3), p, "none", True) for rows, p in product(BLOCKS_OF_ROWS, (1, 2))]
    return found


def _item(plan: Plan, part: str) -> Item:
    tall = len(plan.shape) == 2 and plan.shape[0] > plan.shape[1]
    clause = "SHAPE-5" if tall else "SHAPE-4"
    also = ALSO[1:] if part == "gradient" else ALSO[:1]

    def calls() -> list[tuple[Case, Arrays]]:
        return [(call(plan), _ordered(plan, part))]

    def run(session: Session) -> Result:
        case, expected = call(plan), expectation(plan)
        enclosures = expected.loss if part == "loss" else expected.gradient
        assert enclosures is not None

        def judged(arrays: Arrays) -> Finding | None:
            return judge(part, session.function(part)(case, **arrays), enclosures, f"a grid of {plan.name}")

        replaced = _ordered(plan, part)
        finding = judged(replaced)
        if finding and replaced and not judged({}) and judged(replaced):
            message = f"{finding.message}; arguments {plan.order[0]}: of plain copies the result is right"
            finding = replace(finding, message=message, clause=OF_LAYOUT.get(plan.order[0], "PURITY-5"))
        return result_of(finding)

    kind = "tiles" if plan.full else "sizes"
    name = f"{clause}/{plan.dtype}/{kind}-{plan.size}-{plan.number}/{part}"
    return Item(
        name,
        clause,
        plan.dtype,
        part,
        run,
        also=also,
        kind=kind,
        call=lambda: call(plan),
        calls=calls,
        prepare=lambda: expectation(plan),
    )


def _ordered(plan: Plan, part: str) -> Arrays:
    """Return the arguments in the memory layout whose turn it is; none where they are to be plain copies."""
    (_, order), case = plan.order, call(plan)
    given = {name: getattr(case, name) for name in ARGUMENTS[part]}
    return {name: order(array) for name, array in given.items() if order is not None and array is not None}


@cache
def expectation(plan: Plan) -> Values:
    """Return what is legal for a planned call."""
    return grid_values(call(plan))


@cache
def call(plan: Plan) -> Case:
    """Make a planned call: logits, and so every z, on the grid."""
    k, dtype = plan.number, DTYPES[plan.dtype]
    rows = plan.shape[0] if len(plan.shape) == 2 else 1
    classes = plan.shape[-1]
    target = integers(5000 + k, rows, classes) if k % 5 else np.full(rows, classes - 1)
    x = _logits(plan, rows, classes)
    if plan.full:
        target = np.where(np.arange(rows) % 2, target, classes - 1 - np.arange(rows) % min(classes, 16))
    x[np.arange(rows), target] += 0.25 * (1 + k % 3)
    margins, weights, grads = (MARGINS[:-1], FULL_WEIGHTS, GRADS[:-1]) if plan.full else (MARGINS, WEIGHTS, GRADS)
    margin = margins[k % len(margins)]
    if plan.full:
        x = without_kinks(x, target, margin)
    weight = np.resize(weights[k % len(weights)], classes).astype(dtype) if plan.weighted else None
    shape = plan.shape[:-1] if plan.reduction == "none" else ()
    g = np.resize(grads[(k // 2) % len(grads)], shape).astype(dtype)
    x, y = x.reshape(plan.shape).astype(dtype), target.reshape(plan.shape[:-1])
    return Case(x, y, plan.p, margin, weight, plan.reduction, g)


def _logits(plan: Plan, rows: int, classes: int) -> NDArray[np.float64]:
    """Return multiples of the grid's step in [-2, 2)."""
    bits = BITS[plan.dtype, plan.p]
    raw = (words(9000 + plan.number, rows * classes) >> np.uint64(64 - bits)).astype(np.float64)
    grid: NDArray[np.float64] = (raw - 2.0 ** (bits - 1)) * 2.0 ** (2 - bits)
    return grid.reshape(rows, classes)
