"""SHAPE-4 and SHAPE-5: sizes on either side of block and index-width boundaries, written as recipes.

Few classes are active, at the places where a block, a tail or an index breaks, so that one dropped, doubled or moved
class is far outside the bound whatever the size.
"""

from __future__ import annotations

from collections.abc import Iterator

from multimargin_vectors.arrays import Sparse
from multimargin_vectors.draft import ALL, SINGLE_AND_DOUBLE, Draft

INT64 = "int64"
CLASSES = (15, 16, 17, 31, 33, 63, 65, 127, 128, 129, 255, 256, 257, 511, 513, 1023, 1024, 1025, 2049, 4097)
MANY_CLASSES = (65535, 65536, 65537, 100000, 131072)
ROWS = (127, 128, 129, 255, 256, 257, 1023, 1024, 1025)
MANY_ROWS = (65535, 65536, 65537)
EDGES = (
    1,
    2,
    7,
    8,
    31,
    32,
    63,
    64,
    127,
    128,
    255,
    256,
    511,
    512,
    1023,
    1024,
    2047,
    2048,
    4095,
    4096,
    32768,
    65535,
    65536,
)


def drafts() -> Iterator[Draft]:
    """Yield the drafts of this family."""
    for number, classes in enumerate(CLASSES):
        yield _wide(classes, p=1 + number % 2, dtypes=ALL if classes < 2000 else SINGLE_AND_DOUBLE)
        yield _wide(classes, p=2 - number % 2, dtypes=SINGLE_AND_DOUBLE, first=True)
    for number, classes in enumerate(MANY_CLASSES):
        yield _wide(classes, p=1 + number % 2, dtypes=SINGLE_AND_DOUBLE)
    for number, rows in enumerate(ROWS):
        for reduction in ("none", "mean", "sum"):
            small = reduction != "none" or rows < 200
            yield _tall(rows, reduction, p=1 + number % 2, dtypes=ALL if small else SINGLE_AND_DOUBLE)
    for rows, reduction in zip(MANY_ROWS, ("none", "sum", "mean"), strict=True):
        yield _tall(rows, reduction, p=1)
    for classes in (128, 1024, 4096):
        yield _dense(classes)


def _spikes(size: int) -> dict[int, float]:
    """Return distinct exact heights at the last places and the boundaries."""
    places = sorted({e for e in (*EDGES, size - 1, size - 2, size // 2) if 0 < e < size})
    chosen = places if len(places) <= 6 else sorted({*places[-4:], places[0], places[len(places) // 2]})
    return {place: 0.25 * (1 + k) for k, place in enumerate(chosen)}


def _wide(classes: int, p: int, dtypes: tuple[str, ...], first: bool = False) -> Draft:
    """Two rows of many classes: background far below the margin, a few classes above it."""
    low, spikes = -32.0, _spikes(classes)
    target = 0 if first else classes - 1
    second = classes // 3
    at = {k: v for k, v in spikes.items() if k != target} | {target: 0.5}
    at |= {classes + k: v + 0.125 for k, v in spikes.items() if k != second} | {classes + second: -0.25}
    return Draft(
        ("SHAPE-4",),
        f"{classes} classes, few active, p = {p}, targets {target} and {second}",
        Sparse("float64", (2, classes), low, at),
        [target, second],
        p=p,
        margin=0.75,
        w=None if first else Sparse("float64", (classes,), 1.0, {target: 2.0, second: 0.5}),
        gradient_clauses=("SHAPE-4", "GRADIENT-3"),
        flags=("class-boundary",),
        dtypes=dtypes,
    )


def _tall(rows: int, reduction: str, p: int, dtypes: tuple[str, ...] = SINGLE_AND_DOUBLE) -> Draft:
    """Many rows of four classes, a few of them with a loss, each of its own size."""
    at: dict[int, float] = {}
    targets = {row: 1 + k % 3 for k, row in enumerate(_spikes(rows))}
    for k, row in enumerate(targets):
        at[4 * row] = -31.0 - 0.25 * k
        at[4 * row + targets[row]] = -32.0 - 0.5 * k
    return Draft(
        ("SHAPE-5", {"none": "REDUCTION-1", "mean": "REDUCTION-2", "sum": "REDUCTION-3"}[reduction]),
        f"{rows} rows, few with a loss, p = {p}, {reduction}",
        Sparse("float64", (rows, 4), 0.0, at),
        Sparse(INT64, (rows,), 0, dict(targets)),
        p=p,
        margin=-0.5,
        reduction=reduction,
        gradient_clauses=("SHAPE-5", "GRADIENT-9"),
        flags=("row-boundary",),
        dtypes=dtypes,
    )


def _dense(classes: int) -> Draft:
    """Every class active and exact: a dropped class shows whichever it is."""
    return Draft(
        ("SHAPE-4",),
        f"{classes} classes, all active",
        Sparse("float64", (1, classes), 0.25, {classes // 2: 0.5, classes - 1: 0.75, 0: 1.0}),
        [classes // 2],
        margin=1.0,
        gradient_clauses=("SHAPE-4", "GRADIENT-1"),
        flags=("class-boundary",),
        dtypes=SINGLE_AND_DOUBLE,
        wanted="exact",
    )
