"""REJECT: calls that an implementation must refuse with an error."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np

from multimargin_reference.formats import HALVES
from multimargin_vectors.arrays import Sparse
from multimargin_vectors.draft import SINGLE_AND_DOUBLE, Draft

X = [[0.5, 1.75, -0.25], [2.25, 0.5, 2.75], [-1.5, 0.25, 1.75], [3.5, 3.25, -2.0]]
Y = [1, 2, 0, 1]
REDUCTIONS = ("none", "mean", "sum")
FAR = (255, 256, 257, 32769, 65536, 65537, 2**31, 2**32, 2**32 + 1, 2**33 + 2, 2**63 - 1)


def drafts() -> Iterator[Draft]:
    """Yield the drafts of this family."""
    for p in (0, 3, -1, 4, 1.5, 2.5, 1.99, 0.5):
        for reduction in ("mean", "none"):
            yield _reject("REJECT-1", f"p = {p}, {reduction}", X, Y, p=p, reduction=reduction)
    for reduction in ("average", "MEAN", "", "Sum", "batchmean", "mean "):
        yield _reject("REJECT-2", f"reduction {reduction!r}", X, Y, reduction=reduction)
    yield from _targets()
    yield from _target_shapes()
    yield from _weights()
    yield from _inputs()
    yield from _in_every_context()
    yield from _in_halves()


def _targets() -> Iterator[Draft]:
    """One bad target in an otherwise valid batch, in every row and in some bare rows."""
    rows, w = len(X), [1.0, 2.0, 0.5]
    for bad, row in product((-1, -2, -3, -4, -100), range(rows)):
        yield _reject("REJECT-3", f"target {bad} in row {row}", X, _with(row, bad), reduction=REDUCTIONS[row % 3])
    for bad, row in product((3, 4, 5, 8, 100), range(rows)):
        yield _reject(
            "REJECT-4", f"target {bad} of 3 classes in row {row}", X, _with(row, bad), reduction=REDUCTIONS[row % 3]
        )
    for bad, row in product(FAR, (0, rows - 1)):
        yield _reject("REJECT-5", f"target {bad} in row {row}", X, _with(row, bad))
    for bad, row in product((-(2**63), -(2**32), -(2**32) + 1, -256, -65535), (0, rows - 1)):
        yield _reject("REJECT-5", f"target {bad} in row {row}", X, _with(row, bad))
    for clause, bad in (("REJECT-3", -1), ("REJECT-4", 3), ("REJECT-5", 2**32)):
        for reduction in REDUCTIONS:
            yield _reject(clause, f"target {bad} without a batch, {reduction}", X[0], bad, reduction=reduction)
        yield _reject(clause, f"target {bad} in a batch of one", X[:1], [bad])
        yield _reject(clause, f"target {bad}, weighted", X, [0, 1, 2, bad], w=w)
        yield _reject(clause, f"target {bad}, p = 2", X, [0, 1, 2, bad], p=2)
        yield _reject(clause, f"target {bad} in every row", X, [bad] * rows)
    yield from _long_batches()
    yield _reject("REJECT-4", "target 1 of one class", [[0.5], [1.5]], [0, 1])
    yield _reject("REJECT-3", "target -1 of one class", [[0.5], [1.5]], [0, -1])


def _long_batches() -> Iterator[Draft]:
    """One bad target in a batch that is checked in blocks, if it is."""
    for rows, place in ((33, 32), (65, 64), (129, 128), (257, 200), (1025, 1024), (5000, 2500), (5000, 4999)):
        for clause, bad in (("REJECT-3", -1), ("REJECT-4", 3)):
            x = Sparse("float64", (rows, 3), 0.25, {1: 0.5})
            yield _reject(
                clause, f"target {bad} in row {place} of {rows}", x, Sparse("int64", (rows,), 1, {place: bad})
            )


def _with(row: int, bad: int) -> list[int]:
    return [bad if i == row else y for i, y in enumerate(Y)]


def _target_shapes() -> Iterator[Draft]:
    integers: Any = np.int64
    counts: tuple[tuple[str, Any, Any], ...] = (
        ("one target too many", X, [*Y, 0]),
        ("one target too few", X, Y[:-1]),
        ("one target for four rows", X, [1]),
        ("no target for four rows", X, np.zeros((0,), dtype=integers)),
        ("twice as many targets", X, Y + Y),
        ("as many targets as classes", X, [0, 1, 2]),
        ("two targets without a batch", X[0], [1, 2]),
        ("as many targets as classes without a batch", X[0], [0, 1, 2]),
        ("a target for an empty batch", np.zeros((0, 3)), [0]),
    )
    ranks: tuple[tuple[str, Any, Any], ...] = (
        ("targets (N, 1)", X, [[y] for y in Y]),
        ("targets (1, N)", X, [Y]),
        ("targets (N, C)", X, np.eye(4, 3, dtype=integers)),
        ("a 0-d target for four rows", X, 1),
        ("targets (1, 1) without a batch", X[0], [[1]]),
        ("targets (2, 2) for four rows", X, [Y[:2], Y[2:]]),
    )
    for name, x, y in counts:
        yield _reject("REJECT-6", name, x, y)
        yield _reject("REJECT-6", f"{name}, none", x, y, reduction="none")
    for name, x, y in ranks:
        yield _reject("REJECT-7", name, x, y)
        yield _reject("REJECT-7", f"{name}, none", x, y, reduction="none")
    for dtype in SINGLE_AND_DOUBLE:
        yield _reject("REJECT-8", f"{dtype} targets", X, Y, changes={"target": np.array(Y, dtype=dtype)})
        fraction = np.array([0.5, 1.5, 1.0, 0.25], dtype=dtype)
        yield _reject("REJECT-8", f"fractional {dtype} targets", X, Y, changes={"target": fraction})
        yield _reject(
            "REJECT-8", f"a {dtype} target without a batch", X[0], 1, changes={"target": np.array(1, dtype=dtype)}
        )


def _weights() -> Iterator[Draft]:
    sizes: tuple[tuple[str, list[float]], ...] = (
        ("one weight too few", [1.0, 2.0]),
        ("one weight too many", [1.0, 2.0, 0.5, 1.0]),
        ("one weight for three classes", [2.0]),
        ("no weight at all", []),
        ("twice as many weights", [1.0, 2.0, 0.5, 1.0, 2.0, 0.5]),
    )
    low = [0, 0, 1, 0]  # targets that a short weight still covers
    for (name, w), p in product(sizes, (1, 2)):
        yield _reject("REJECT-9", f"{name}, p = {p}", X, low, p=p, w=np.array(w, dtype=np.float64))
        yield _reject("REJECT-9", f"{name} without a batch, p = {p}", X[0], 0, p=p, w=np.array(w, dtype=np.float64))
    yield _reject("REJECT-9", "a weight a row", [[0.5, 1.0], [1.5, 0.0], [0.25, 2.0]], [0, 1, 0], w=[1.0, 2.0, 4.0])
    ranks: tuple[tuple[str, Any], ...] = (
        ("weights (1, C)", [[1.0, 2.0, 0.5]]),
        ("weights (C, 1)", [[1.0], [2.0], [0.5]]),
        ("a 0-d weight", 2.0),
        ("weights (N, C)", [[1.0, 2.0, 0.5]] * 4),
    )
    for name, weights in ranks:
        yield _reject("REJECT-10", name, X, low, w=weights)
        yield _reject("REJECT-10", f"{name}, sum", X, low, w=weights, reduction="sum")


def _inputs() -> Iterator[Draft]:
    no_target = np.zeros((0,), dtype=np.int64)
    for reduction in REDUCTIONS:
        yield _reject("REJECT-11", f"no classes, {reduction}", np.zeros((2, 0)), [0, 0], reduction=reduction)
        yield _reject("REJECT-11", f"no classes, no batch, {reduction}", np.zeros((0,)), 0, reduction=reduction)
        yield _reject(
            "REJECT-11", f"no classes and no rows, {reduction}", np.zeros((0, 0)), no_target, reduction=reduction
        )
    cube = np.arange(12.0).reshape(2, 2, 3) / 4
    ranks: tuple[tuple[str, Any, Any], ...] = (
        ("input (2, 2, 3), target (2,)", cube, [0, 1]),
        ("input (2, 2, 3), target (2, 2)", cube, [[0, 1], [1, 0]]),
        ("input (2, 3, 4), target (2, 4)", np.arange(24.0).reshape(2, 3, 4) / 4, np.ones((2, 4), dtype=np.int64)),
        ("input (1, 2, 3), target (2,)", cube[:1], [0, 1]),
        ("input (2, 3, 1), target (2,)", cube[0].reshape(2, 3, 1), [0, 0]),
        ("input (1, 1, 2, 3), target (2,)", cube[:1].reshape(1, 1, 2, 3), [0, 1]),
    )
    for name, x, y in ranks:
        yield _reject("REJECT-12", name, x, y)
        yield _reject("REJECT-12", f"{name}, none", x, y, reduction="none")


def _in_every_context() -> Iterator[Draft]:
    """Each kind of mistake in calls that have a path of their own: no rows, one row, one class, N = C, weights, ..."""
    empty = np.zeros((0,), dtype=np.int64)
    contexts: tuple[tuple[str, Any, Any, dict[str, Any]], ...] = (
        ("no rows", np.zeros((0, 3)), empty, {}),
        ("one row", X[:1], [1], {"reduction": "none"}),
        ("one class", [[0.5], [1.5]], [0, 0], {"reduction": "sum"}),
        ("N = C", X[:3], [1, 2, 0], {}),
        ("no batch", X[0], 1, {}),
        ("one class, no batch", [0.5], 0, {}),
        ("one row of one class", [[0.5]], [0], {"reduction": "none"}),
        ("weighted", X, Y, {"w": [1.0, 2.0, 0.5]}),
        ("weighted, p = 2, none", X, Y, {"w": [1.0, 2.0, 0.5], "p": 2, "reduction": "none"}),
        ("p = 2, sum", X, Y, {"p": 2, "reduction": "sum"}),
        ("none", X, Y, {"reduction": "none"}),
    )
    for name, x, y, options in contexts:
        classes = np.shape(x)[-1]
        without_p = {k: v for k, v in options.items() if k != "p"}
        for p in (3, 0, 1.5, 257, 1.0000001, 2**32 + 1):
            yield _reject("REJECT-1", f"{name}: p = {p}", x, y, p=p, **without_p)
        for reduction in ("average", "m", "mea", "none mean"):
            yield _reject("REJECT-2", f"{name}: {reduction!r}", x, y, **{**options, "reduction": reduction})
        for size in (classes + 1, classes + 7, 2 * classes, 3 * classes):
            yield _reject("REJECT-9", f"{name}: {size} weights", x, y, **{**options, "w": np.ones(size)})
        yield _reject("REJECT-10", f"{name}: weights (1, C)", x, y, **{**options, "w": np.ones((1, classes))})
        floats: Any = np.array(y, dtype=np.float64)
        for dtype in ("float16", "float32") if np.size(y) else ():  # an empty target may have any dtype, as in NumPy
            changes = {"target": floats.astype(dtype)}
            yield _reject("REJECT-8", f"{name}: {dtype} targets", x, y, changes=changes, **options)
        if np.size(y):
            last = np.array(y).reshape(-1)
            for clause, bad in (("REJECT-3", -1), ("REJECT-4", classes), ("REJECT-5", 2**32)):
                last[-1] = bad
                yield _reject(clause, f"{name}: target {bad}", x, last.reshape(np.shape(y)).copy(), **options)
    yield _reject("REJECT-6", "two targets for one row", X[:1], [1, 2])
    yield _reject("REJECT-6", "no target for one row, none", X[:1], empty, reduction="none")
    yield _reject("REJECT-7", "targets (0, 1) for no rows", np.zeros((0, 3)), np.zeros((0, 1), dtype=np.int64))
    yield _reject("REJECT-12", "input (0, 2, 3)", np.zeros((0, 2, 3)), empty)
    for bad, dtype in ((-1, "int32"), (3, "int32"), (3, "uint8"), (-1, "int8")):
        clause = "REJECT-3" if bad < 0 else "REJECT-4"
        target = np.array([1, 2, 0, bad], dtype=dtype)
        yield _reject(clause, f"{dtype} target {bad}", X, Y, changes={"target": target})
    for classes in (17, 65, 129):
        for clause, bad in (("REJECT-3", -1), ("REJECT-4", classes), ("REJECT-5", 256 + classes // 2)):
            x = Sparse("float64", (2, classes), 0.25, {1: 0.5})
            yield _reject(clause, f"target {bad} of {classes} classes", x, [0, bad])


def _in_halves() -> Iterator[Draft]:
    """Each kind of mistake once or twice in the halves, whose kernels are others."""
    low, cube = [0, 0, 1, 0], np.arange(12.0).reshape(2, 2, 3) / 4
    floats = {"target": np.array(Y, dtype=np.float32)}
    calls: tuple[tuple[str, str, Any, Any, dict[str, Any]], ...] = (
        ("REJECT-1", "p = 3", X, Y, {"p": 3}),
        ("REJECT-1", "p = 1.5, none", X, Y, {"p": 1.5, "reduction": "none"}),
        ("REJECT-2", "reduction 'average'", X, Y, {"reduction": "average"}),
        ("REJECT-3", "target -1 in row 3", X, _with(3, -1), {}),
        ("REJECT-3", "target -100 without a batch, none", X[0], -100, {"reduction": "none"}),
        ("REJECT-4", "target 3 of 3 classes in row 0", X, _with(0, 3), {}),
        ("REJECT-4", "target 3 of 3 classes in row 2, p = 2, weighted", X, _with(2, 3), {"p": 2, "w": [1.0, 2.0, 0.5]}),
        ("REJECT-5", "target 2**32 + 1 in row 1", X, _with(1, 2**32 + 1), {}),
        ("REJECT-5", "target 256 without a batch", X[0], 256, {}),
        ("REJECT-6", "one target for four rows", X, [1], {}),
        ("REJECT-6", "one target too many, none", X, [*Y, 0], {"reduction": "none"}),
        ("REJECT-7", "targets (N, 1)", X, [[y] for y in Y], {}),
        ("REJECT-7", "a 0-d target for four rows, none", X, 1, {"reduction": "none"}),
        ("REJECT-8", "float32 targets", X, Y, {"changes": floats}),
        ("REJECT-9", "one weight too few", X, low, {"w": [1.0, 2.0]}),
        ("REJECT-9", "one weight too many without a batch", X[0], 0, {"w": [1.0, 2.0, 0.5, 1.0]}),
        ("REJECT-10", "weights (1, C)", X, low, {"w": [[1.0, 2.0, 0.5]]}),
        ("REJECT-10", "a 0-d weight, sum", X, low, {"w": 2.0, "reduction": "sum"}),
        ("REJECT-11", "no classes", np.zeros((2, 0)), [0, 0], {}),
        ("REJECT-11", "no classes, no batch, none", np.zeros((0,)), 0, {"reduction": "none"}),
        ("REJECT-12", "input (2, 2, 3), target (2,)", cube, [0, 1], {}),
        ("REJECT-12", "input (2, 2, 3), target (2, 2), none", cube, [[0, 1], [1, 0]], {"reduction": "none"}),
    )
    for clause, comment, x, y, fields in calls:
        yield _reject(clause, comment, x, y, dtypes=HALVES, **fields)


def _reject(
    clause: str, comment: str, x: Any, y: Any, *, dtypes: tuple[str, ...] = SINGLE_AND_DOUBLE, **fields: Any
) -> Draft:
    """Return a call to be rejected; a target's range is checked by backward too, where it is a call of its own."""
    if clause in ("REJECT-3", "REJECT-4", "REJECT-5"):
        fields["gradient_clauses"] = (clause,)
    else:
        fields["g"] = "absent"
    return Draft((clause,), comment, x, y, dtypes=dtypes, flags=(FLAGS[clause],), **fields)


FLAGS = {
    "REJECT-1": "bad-option",
    "REJECT-2": "bad-option",
    "REJECT-3": "target-range",
    "REJECT-4": "target-range",
    "REJECT-5": "target-narrowed",
    "REJECT-6": "target-shape",
    "REJECT-7": "target-shape",
    "REJECT-8": "target-type",
    "REJECT-9": "weight-shape",
    "REJECT-10": "weight-shape",
    "REJECT-11": "input-shape",
    "REJECT-12": "input-shape",
}
