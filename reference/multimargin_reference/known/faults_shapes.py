"""Known faults of rows and classes: tails, index widths, transposition, copied rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from multimargin_reference.known.catalogue import Fault, before, fault
from multimargin_reference.known.model import MODEL, Array, Request, Work


def classes_where(keep: Any) -> Any:
    """Make a drop_target step that also drops the classes where `keep(i, C)` is false."""
    return lambda h, k: np.where(keep(np.arange(k.classes), k.classes), MODEL.drop_target(h, k), k.number(0))


def rows_where(keep: Any) -> Any:
    """Make a row sum that leaves zero in the rows where `keep(n, N)` is false."""
    return lambda h, k: np.where(keep(k.row, k.rows), MODEL.add(h, k), k.number(0))


def target_logit_at(index: Any) -> Any:
    """Make a difference step that reads the true class's logit at `index(k)`, taken modulo the whole buffer."""

    def step(k: Work) -> Any:
        flat = k.x.reshape(-1)
        own = flat[index(k) % max(1, flat.size)] if flat.size else flat
        return (k.margin - own[:, None]) + k.x

    return step


def at(y: Any, k: Work) -> Array:
    return np.asarray(k.row * k.classes + y)


def wrapped(value: Array, dtype: Any) -> Array:
    return value.astype(dtype).astype(np.int64)


def first_of_same_target(k: Work) -> Array:
    """Index, for each row, the first row that has its target."""
    _, first, inverse = np.unique(k.y, return_index=True, return_inverse=True)
    return np.asarray(first[inverse])


def transposed_if_square(k: Work) -> Any:
    x = k.x.T if k.rows == k.classes else k.x
    return (k.margin - x[k.row, k.y][:, None]) + x


def scattered_once(d: Array, k: Work) -> Array:
    """Lose the target's element of every row but the last of those that share a target."""
    sums = -d.sum(axis=1)
    last = {int(y): n for n, y in enumerate(k.y)}
    for y, n in last.items():
        d[n, y] = sums[n]
    return d


def reject(wrong: Any, message: str) -> Any:
    """Make a change that rejects the request where `wrong(request)`."""

    def change(r: Request) -> Request:
        if wrong(r):
            raise ValueError(message)
        return r

    return change


def duplicated(r: Request) -> bool:
    y = np.asarray(r.target).reshape(-1)
    return np.unique(y).size < y.size


CLASSES = (
    fault(
        "class-first-skipped",
        "The loop over classes starts at 1.",
        "VALUE-1 SHAPE-4",
        drop_target=classes_where(lambda i, _c: i > 0),
    ),
    fault(
        "class-last-skipped",
        "The loop over classes ends at C - 2.",
        "VALUE-1 SHAPE-4",
        drop_target=classes_where(lambda i, c: i < c - 1),
    ),
    fault(
        "class-tail-of-4-dropped",
        "Classes past the last whole vector of 4 are dropped.",
        "SHAPE-4",
        drop_target=classes_where(lambda i, c: i < max(c - c % 4, 4)),
    ),
    fault(
        "class-tail-of-32-dropped",
        "Classes past the last whole warp of 32 are dropped.",
        "SHAPE-4",
        drop_target=classes_where(lambda i, c: i < max(c - c % 32, 32)),
    ),
    fault(
        "class-tail-of-128-dropped",
        "Classes past the last whole block of 128 are dropped.",
        "SHAPE-4",
        drop_target=classes_where(lambda i, c: i < max(c - c % 128, 128)),
    ),
    fault(
        "class-tail-of-256-dropped",
        "Classes past the last whole block of 256 are dropped.",
        "SHAPE-4",
        drop_target=classes_where(lambda i, c: i < max(c - c % 256, 256)),
    ),
    fault(
        "classes-past-1024-ignored",
        "A block of 1024 threads sees one class each and no more.",
        "SHAPE-4",
        drop_target=classes_where(lambda i, _c: i < 1024),
    ),
    fault(
        "classes-past-65536-ignored",
        "The class counter has 16 bits and stops.",
        "SHAPE-4",
        drop_target=classes_where(lambda i, _c: i < 65536),
    ),
    fault(
        "class-block-edge-counted-twice",
        "The first class of each further block of 128 is counted twice.",
        "SHAPE-4",
        drop_target=lambda h, k: (
            MODEL.drop_target(h, k)
            * np.where((np.arange(k.classes) % 128 == 0) & (np.arange(k.classes) > 0), k.number(2), 1)
        ),
    ),
    fault(
        "target-in-int8",
        "The target is kept in a signed byte, so from 128 classes on another logit is read.",
        "SHAPE-4",
        difference=target_logit_at(lambda k: at(wrapped(k.y, np.int8), k)),
    ),
    fault(
        "target-in-uint8",
        "The target is kept in a byte, so from 256 classes on another logit is read.",
        "SHAPE-4",
        difference=target_logit_at(lambda k: at(k.y & 0xFF, k)),
    ),
    fault(
        "target-in-int16",
        "The target is kept in 16 signed bits, so from 32768 classes on another logit is read.",
        "SHAPE-4",
        difference=target_logit_at(lambda k: at(wrapped(k.y, np.int16), k)),
    ),
    fault(
        "target-in-uint16",
        "The target is kept in 16 bits, so from 65536 classes on another logit is read.",
        "SHAPE-4",
        difference=target_logit_at(lambda k: at(k.y & 0xFFFF, k)),
    ),
    fault(
        "target-in-float16",
        "The target passes through float16, so odd classes above 2048 are rounded.",
        "SHAPE-4",
        difference=target_logit_at(
            lambda k: at(np.minimum(k.y.astype(np.float16).astype(np.float64), k.classes - 1).astype(np.int64), k)
        ),
    ),
    fault(
        "target-clamped-at-255",
        "Targets above 255 act as 255.",
        "SHAPE-4",
        difference=target_logit_at(lambda k: at(np.minimum(k.y, 255), k)),
    ),
)

ROWS = (
    fault(
        "offset-in-int16",
        "The offset n C + y is kept in 16 signed bits (PyTorch 190139 did so in 32 bits).",
        "SHAPE-5 SHAPE-4",
        difference=target_logit_at(lambda k: wrapped(at(k.y, k), np.int16)),
    ),
    fault(
        "offset-in-uint16",
        "The offset n C + y is kept in 16 bits.",
        "SHAPE-5 SHAPE-4",
        difference=target_logit_at(lambda k: at(k.y, k) & 0xFFFF),
    ),
    fault(
        "offset-of-first-row",
        "The true class's logit is always read from the first row.",
        "SHAPE-1",
        difference=target_logit_at(lambda k: k.y),
    ),
    fault(
        "offset-with-rows-for-classes",
        "The offset is n N + y instead of n C + y.",
        "SHAPE-1",
        difference=target_logit_at(lambda k: k.row * k.rows + k.y),
    ),
    fault(
        "row-first-copied-to-last",
        "The last row gets the first row's loss.",
        "SHAPE-1 SHAPE-5",
        add=lambda h, k: (
            np.where((k.row == k.rows - 1), MODEL.add(h, k)[:1], MODEL.add(h, k)) if k.rows else MODEL.add(h, k)
        ),
    ),
    fault(
        "row-last-dropped",
        "The last row of a batch is never computed.",
        "SHAPE-1 SHAPE-5",
        add=rows_where(lambda n, size: n < max(1, size - 1)),
    ),
    fault(
        "row-first-dropped",
        "The loop over rows starts at 1 when there is more than one.",
        "SHAPE-1",
        add=rows_where(lambda n, size: (n > 0) | (size == 1)),
    ),
    fault(
        "row-odd-dropped",
        "The last row of an odd batch is dropped by a kernel that takes two rows at a time.",
        "SHAPE-5",
        add=rows_where(lambda n, size: n < max(1, size - size % 2)),
    ),
    fault(
        "row-tail-of-32-dropped",
        "Rows past the last whole block of 32 are dropped.",
        "SHAPE-5",
        add=rows_where(lambda n, size: n < max(size - size % 32, 32)),
    ),
    fault(
        "row-tail-of-128-dropped",
        "Rows past the last whole block of 128 are dropped.",
        "SHAPE-5",
        add=rows_where(lambda n, size: n < max(size - size % 128, 128)),
    ),
    fault(
        "rows-past-255-ignored",
        "The row counter has 8 bits and stops.",
        "SHAPE-5",
        add=rows_where(lambda n, _s: n < 255),
    ),
    fault(
        "rows-past-1024-ignored",
        "One block of 1024 threads sees one row each and no more.",
        "SHAPE-5",
        add=rows_where(lambda n, _s: n < 1024),
    ),
    fault(
        "rows-past-65535-ignored",
        "The grid's second dimension ends at 65535 rows.",
        "SHAPE-5",
        add=rows_where(lambda n, _s: n < 65535),
    ),
    fault(
        "row-reversed",
        "Per-row losses come in reversed order.",
        "REDUCTION-1 SHAPE-1",
        add=lambda h, k: MODEL.add(h, k)[::-1],
    ),
    fault(
        "row-batch-count-in-8-bits",
        "N is kept in a byte, so the mean over 256 rows divides by 1.",
        "SHAPE-5 REDUCTION-2",
        batch=lambda k: k.number(max(1, k.rows & 0xFF)),
    ),
    fault("square-transposed", "A batch with N = C is read transposed.", "SHAPE-1", difference=transposed_if_square),
    fault(
        "row-of-same-target-copied",
        "Rows that share a target all get the first one's loss.",
        "SHAPE-3",
        add=lambda h, k: MODEL.add(h, k)[first_of_same_target(k)],
    ),
    fault(
        "gradient-scatter-collides",
        "Rows that share a target race for one target element, and only the last is written "
        "(PyTorch 84202, a sibling operator).",
        "SHAPE-3 GRADIENT-3",
        target_gradient=scattered_once,
    ),
    before(
        "target-duplicates-rejected",
        "A batch in which a target occurs twice is rejected.",
        "SHAPE-3",
        reject(duplicated, "targets repeat"),
    ),
    before(
        "square-rejected",
        "A batch with N = C is rejected as ambiguous.",
        "SHAPE-1",
        reject(lambda r: np.ndim(r.input) == 2 and np.shape(r.input)[0] == np.shape(r.input)[1] > 1, "ambiguous"),
    ),
)

FAULTS: tuple[Fault, ...] = CLASSES + ROWS
