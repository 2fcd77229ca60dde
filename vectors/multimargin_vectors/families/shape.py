"""SHAPE and DTYPE: batches, single rows, empty batches, and unusual argument types."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np

from multimargin_reference.formats import HALVES
from multimargin_vectors.draft import SINGLE_AND_DOUBLE, Draft

REDUCTIONS = ("none", "mean", "sum")
ROW = [0.5, 1.75, -0.25, 1.125]
EMPTY: Any = np.zeros((0, 4))


def drafts() -> Iterator[Draft]:
    """Yield the drafts of this family."""
    for p, reduction in product((1, 2), REDUCTIONS):
        for y in (0, 3):
            yield Draft(
                ("SHAPE-2", "REDUCTION-4"),
                f"no batch, target {y}, p = {p}, {reduction}",
                ROW,
                y,
                p=p,
                reduction=reduction,
                flags=("unbatched",),
                gradient_clauses=("GRADIENT-10",),
            )
        yield Draft(
            ("SHAPE-1", "REDUCTION-4"),
            f"a batch of one row, p = {p}, {reduction}",
            [ROW],
            [1],
            p=p,
            reduction=reduction,
            flags=("unbatched",),
            gradient_clauses=("GRADIENT-10",),
        )
        square = [[0.25 * ((3 * i + 5 * r) % 9 - 4) for i in range(4)] for r in range(4)]
        yield Draft(
            ("SHAPE-1",),
            f"N = C, p = {p}, {reduction}",
            square,
            [2, 0, 3, 1],
            p=p,
            margin=1.125,
            reduction=reduction,
            flags=("rows-and-columns",),
            gradient_clauses=("GRADIENT-10",),
        )
        for rows, classes in ((2, 4), (4, 2), (8, 4)):
            grid = [[0.25 * ((3 * i + 5 * r) % 9 - 4) for i in range(classes)] for r in range(rows)]
            yield Draft(
                ("SHAPE-1",),
                f"{rows} rows of {classes} classes, p = {p}, {reduction}",
                grid,
                [(r * r + 1) % classes for r in range(rows)],
                p=p,
                margin=1.125,
                reduction=reduction,
                flags=("rows-and-columns",),
                gradient_clauses=("GRADIENT-10",),
            )
        yield Draft(
            ("SHAPE-3",),
            f"repeated targets, p = {p}, {reduction}",
            square,
            [2, 2, 2, 0],
            p=p,
            margin=1.125,
            w=[1.0, 0.25, 2.0, 4.0],
            reduction=reduction,
            flags=("rows-and-columns",),
            gradient_clauses=("GRADIENT-3",),
        )
    yield from _dtypes()
    yield from _empty()
    yield from _unusual()


def _dtypes() -> Iterator[Draft]:
    """The documented argument types, and the result's: the input's dtype and int64 targets, also large ones."""
    x = [[0.5, 1.75, -0.25, 1.125], [2.25, 0.5, 2.75, -4.0]]
    for clause, dtypes in (("DTYPE-1", SINGLE_AND_DOUBLE), ("DTYPE-2", HALVES)):
        for p, reduction, w in product((1, 2), REDUCTIONS, (None, [0.5, 2.0, 1.0, 4.0])):
            yield Draft(
                (clause,),
                f"the result has the input's dtype, p = {p}, {reduction}{', weighted' if w else ''}",
                x,
                [3, 1],
                p=p,
                w=w,
                margin=0.5,
                reduction=reduction,
                flags=("result-dtype",),
                gradient_clauses=("GRADIENT-10", clause),
                dtypes=dtypes,
            )
    for y, reduction in product(([0, 3], [2, 0]), REDUCTIONS):
        yield Draft(
            ("DTYPE-3",),
            f"int64 targets {y}, {reduction}",
            x,
            np.array(y, dtype=np.int64),
            margin=0.25,
            reduction=reduction,
            flags=("result-dtype",),
            gradient_clauses=("GRADIENT-3",),
        )


def _empty() -> Iterator[Draft]:
    target = np.zeros((0,), dtype=np.int64)
    gradient = ("SHAPE-9",)
    for weights in (None, [1.0, 2.0, 0.5, 4.0]):
        common: dict[str, Any] = {"w": weights, "flags": ("empty-batch",), "gradient_clauses": gradient}
        for p in (1, 2):
            with_weight = "with" if weights else "without"
            what = f"an empty batch {with_weight} weights, p = {p}"
            yield Draft(("SHAPE-6",), f"{what}, none", EMPTY, target, p=p, reduction="none", **common)
            yield Draft(("SHAPE-7",), f"{what}, sum", EMPTY, target, p=p, reduction="sum", **common)
            yield Draft(
                ("SHAPE-8",),
                f"{what}, mean",
                EMPTY,
                target,
                p=p,
                behaviour="mean of an empty batch",
                answers={"finite": "0", "nan": "NaN"},
                **common,
            )


def _unusual() -> Iterator[Draft]:
    """Argument types that the documentation neither asks for nor excludes: accepted (and right) or rejected."""
    x = [[0.5, 1.75, -0.25, 1.125], [2.25, 0.5, 2.75, -4.0]]
    yes_or_no = {"finite": "accepted", "rejected": "rejected"}
    common: dict[str, Any] = {
        "answers": yes_or_no,
        "flags": ("argument-types",),
        "gradient_clauses": ("DTYPE-4",),
        "dtypes": SINGLE_AND_DOUBLE,
    }
    for dtype in ("int32", "int16", "int8", "uint8", "uint16"):
        changes = {"target": np.array([1, 2], dtype=dtype)}
        for w in (None, [0.25, 2.0, 0.5, 8.0]):
            yield Draft(
                ("DTYPE-4",),
                f"{dtype} targets{', weighted' if w else ''}",
                x,
                [1, 2],
                w=w,
                behaviour=f"{dtype} targets",
                changes=changes,
                **common,
            )
    for reduction in REDUCTIONS:
        yield Draft(
            ("DTYPE-4",),
            f"p = 1.0, {reduction}",
            x,
            [1, 2],
            reduction=reduction,
            behaviour="p = 1.0",
            changes={"p": 1.0},
            **common,
        )
        yield Draft(
            ("DTYPE-4",),
            f"p = 2.0, {reduction}",
            x,
            [1, 2],
            p=2,
            reduction=reduction,
            behaviour="p = 2.0",
            changes={"p": 2.0},
            **common,
        )
        yield from _one_target(reduction)
    for dtype in SINGLE_AND_DOUBLE:
        other = "float64" if dtype == "float32" else "float32"
        weight = np.array([0.25, 2.0, 0.5, 8.0], dtype=other)
        yield Draft(
            ("DTYPE-4",),
            f"{other} weights on {dtype} logits",
            x,
            [1, 2],
            w=[0.25, 2.0, 0.5, 8.0],
            behaviour="weight of another dtype",
            changes={"weight": weight},
            **{**common, "dtypes": (dtype,)},
        )
    yield Draft(
        ("DTYPE-4",),
        "integer logits",
        [[1.0, 2.0, 0.0, 3.0]],
        [1],
        margin=0.5,
        g="absent",
        behaviour="integer logits",
        changes={"input": np.array([[1, 2, 0, 3]])},
        **{**common, "dtypes": ("float64",)},
    )


def _one_target(reduction: str) -> Iterator[Draft]:
    """(C,) logits with a (1,) target, (1, C) logits with a () target: `none` has the target's shape if accepted."""
    for dtype in SINGLE_AND_DOUBLE:
        row = np.array(ROW, dtype=dtype)
        calls: tuple[tuple[str, Any, Any, Any], ...] = (
            ("(C,) logits and a (1,) target", [ROW], [1], row),
            ("(1, C) logits and a () target", ROW, 1, row.reshape(1, -1)),
            ("a 0-d logit", [0.5], 0, np.array(0.5, dtype=dtype)),
        )
        for (name, x, y, called), p in product(calls, (1, 2)):
            yield Draft(
                ("DTYPE-4",),
                f"{name}, p = {p}, {reduction}",
                x,
                y,
                p=p,
                w=None if p == 1 or called.ndim == 0 else [0.5, 2.0, 0.25, 4.0],
                reduction=reduction,
                g="absent",
                behaviour=name,
                answers={"finite": "accepted", "rejected": "rejected"},
                changes={"input": called},
                dtypes=(dtype,),
                flags=("argument-types",),
            )
