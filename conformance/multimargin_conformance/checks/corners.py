"""Many rows of many classes: one call of each size that is usual in training, or past a limit in both directions; and
of every number of rows with every number of classes, powers of two and a few more than those (windows).

Only terms in the corners, at the edges and in the middle are active, with digits that a narrower type does not have, so
that a part of the array that is left out, or computed otherwise beyond a number of elements, shows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import product

import numpy as np

from multimargin_conformance.calling import Arrays
from multimargin_conformance.capabilities import REDUCTIONS
from multimargin_conformance.checks.item import Item, Scope
from multimargin_conformance.judge import judge
from multimargin_conformance.session import PASS, Result, Session, result_of
from multimargin_reference.case import Case
from multimargin_reference.few_enclosures import AnyEnclosures
from multimargin_reference.formats import DTYPES
from multimargin_reference.grid_enclosure import grid_part

USUAL = tuple(size for size in product((32, 64, 100, 128, 256, 512), (10, 100, 1000)) if size != (512, 1000))
WIDE = ((16, 1025), (17, 1100))
PAST = ((17, 100), (33, 31), (257, 257), (1025, 33), (1100, 17), (2049, 9), (4097, 9))
TURNED = ((130, 130), (530, 140))
LARGEST = (300, 1000)
TILES = ((6, 8193), (9, 8200), (33, 2049), (40, 2100), (450, 1100))  # the second of usual tiles in both directions
VAST = (
    (2, 2**20 + 3),
    (65_537, 33),
    (262_147, 3),
    (131_072, 4),
    (1030, 1030),
)  # past what 16 bits count, and past 2**21 logits
FULL = ((1024, 8), (2048, 16), (4096, 8), (512, 64), (64, 512), (16, 2048), (8, 4096))  # tiles that are filled
BETWEEN = ((4, 70_001), (20, 9001), (40, 5003), (2100, 130), (4099, 110))  # many of one and some of the other
BOTH = ((257, 2051), (2051, 257), (70, 10_007), (33, 32_771), (512, 1000))  # many of one and more of the other
ONCE = (*VAST, *BOTH)  # each dtype has its own options, and one call
NAMED = (*USUAL, *WIDE, *PAST, *TURNED, LARGEST, *TILES, *VAST, *FULL, *BETWEEN, *BOTH)
MOST = 17  # the power of two up to which windows have logits; of few rows more, up to what 16 bits count
ONCE_MORE = 19  # and up to which one dtype has one each, uneven both ways
ADDED = {"float32": ((0, 0), (3, 5)), "float64": ((1, 0), (0, 3))}  # rows and classes of windows: whole, or uneven


def _windows(dtype: str) -> tuple[tuple[int, int], ...]:
    found = []
    for a, b in product(range(2, 18), range(1, 17)):
        added: tuple[tuple[int, int], ...] = ADDED[dtype]
        if a + b > MOST and a > 3:
            added = added[1:] if dtype == "float32" and a + b <= ONCE_MORE else ()
        found += [(2**a + rows, 2**b + classes) for rows, classes in added]
    return tuple(size for size in found if size not in NAMED)


WINDOWS = {dtype: _windows(dtype) for dtype in ADDED}
SIZES = (*NAMED, *WINDOWS["float32"], *WINDOWS["float64"])
INACTIVE = -16.0
STEPS = {"float32": 2.0**-12, "float64": 2.0**-23}  # between active terms from 2 to 4: their squares' sum is exact
TERMS = 8  # that are active
SHOWN = 4096  # logits of a call that a finding carries
NAMES = ("corners", "vast", "windows")
CLAUSES = {clause: ["corners of many rows and classes", "windows of sizes"] for clause in ("SHAPE-4", "SHAPE-5")}


@dataclass(frozen=True)
class Corner:
    """One call: a size, and how often its options have been turned."""

    number: int
    turn: int
    dtype: str

    @property
    def shape(self) -> tuple[int, int]:
        """(N, C)."""
        return SIZES[self.number]

    @property
    def place(self) -> int:
        """Which options are in turn."""
        return self.number + self.turn

    @property
    def options(self) -> tuple[int, str, bool]:
        """The power, the reduction, and whether there are weights; of vast calls, each dtype has its own."""
        if self.shape in ONCE:
            return ((1, "mean", False), (2, "none", True))[(ONCE.index(self.shape) + (self.dtype == "float64")) % 2]
        return 2 - self.turn % 2, REDUCTIONS[self.place % len(REDUCTIONS)], bool(self.place // 2 % 2)


def items(scope: Scope) -> Iterator[Item]:
    """Yield one item a name, dtype, half of the sizes and part; no halves: their grids are too coarse."""
    parts = ("loss", "gradient") if scope.gradient else ("loss",)
    for dtype, (clause, numbers), name in product(scope.dtypes, DIRECTIONS, NAMES):
        if dtype not in STEPS:
            continue
        corners = [Corner(n, t, dtype) for n in numbers if _is_for(n, dtype, name) for t in _turns(n)]
        leaves_out = scope.capabilities.leaves_out_options
        corners = [corner for corner in corners if not leaves_out(*corner.options[:2], corner.shape)]
        if corners:
            yield from (_item(clause, corners, part, name) for part in parts)


def _is_for(number: int, dtype: str, name: str) -> bool:
    """Return whether a size is one of a name's, in this dtype."""
    if number >= len(NAMED):
        return name == "windows" and SIZES[number] in WINDOWS[dtype]
    return name == ("vast" if SIZES[number] in ONCE else "corners")


def _turns(number: int) -> range:
    """Return the turns of the calls that a size has: four have every power, with weights and without."""
    size = SIZES[number]
    if number >= len(NAMED):
        return range(number % 2, number % 2 + 1)
    return range(4 if size in (*TURNED, *FULL) else 1 if size in ONCE else 1 + number % 2)


def _item(clause: str, corners: list[Corner], part: str, name: str) -> Item:
    dtype = corners[0].dtype

    def run(session: Session) -> Result:
        if name != "corners":
            session.needs("raw")  # or the protocol's lines would be too long
        for corner in corners:
            case = call(corner)
            why = f"few terms in the corners of {corner.shape}"
            if finding := judge(part, session.function(part)(case), expectation(corner, part), why):
                return result_of(replace(finding, case=case) if case.input.size <= SHOWN else finding)
        return PASS

    def calls() -> list[tuple[Case, Arrays]]:
        return [(call(corner), {}) for corner in corners]

    id_ = f"{clause}/{dtype}/{name}/{part}"
    kind = "windows" if name == "windows" else "corners"
    return Item(id_, clause, dtype, part, run, kind=kind, calls=calls if name == "corners" else None)


def expectation(corner: Corner, part: str) -> AnyEnclosures:
    """Return what is legal for the loss or the gradient of the call."""
    return grid_part(call(corner), part)


def call(corner: Corner) -> Case:
    """Return the call: its last class and its last row are active, alone together in one of four."""
    return _made(corner) if corner.number >= len(NAMED) else _kept(corner)


@cache
def _kept(corner: Corner) -> Case:
    return _made(corner)


def _made(corner: Corner) -> Case:
    rows, classes = corner.shape
    k, kind, (p, reduction, weighted) = corner.place, DTYPES[corner.dtype], corner.options
    margin = 0.0 if k % 4 == 0 else 1.0  # with which a target's own term is one too
    x = np.full((rows, classes), INACTIVE)
    y = np.full(rows, 1 + k % 2)
    places = [(rows - 1, classes - 1)]
    if k % 4 or corner.shape in ONCE:
        edges = product((rows - 1, 0, rows // 2), (classes - 1, 0, classes // 2))
        places = [place for place in edges if place[1] != 1 + k % 2][:TERMS]
    for j, place in enumerate(places):
        x[place] = 2.0 - margin + (2 * (7 * j + k) + 1) * STEPS[corner.dtype]
    x[np.arange(rows), y] = 0.0
    weight = np.full(classes, 2.0).astype(kind) if weighted else None
    grads = np.full(rows if reduction == "none" else (), 0.5).astype(kind)
    return Case(x.astype(kind), y, p, margin, weight, reduction, np.asarray(grads))


DIRECTIONS = (
    ("SHAPE-4", tuple(k for k, (rows, classes) in enumerate(SIZES) if classes >= rows)),
    ("SHAPE-5", tuple(k for k, (rows, classes) in enumerate(SIZES) if classes < rows)),
)
