"""WEIGHT: which weight, where it is applied, and what it never does."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from multimargin_vectors.draft import Draft

X = [[0.5, 1.75, -0.25, 1.125], [2.25, 0.5, 2.75, -4.0]]
REDUCTIONS = ("none", "mean", "sum")
NAN, INF = float("nan"), float("inf")


def drafts() -> Iterator[Draft]:
    """Yield the drafts of this family."""
    g = ("GRADIENT-7", "GRADIENT-3")
    for p, reduction in product((1, 2), REDUCTIONS):
        yield Draft(
            ("WEIGHT-1", "WEIGHT-2") if p == 1 else ("WEIGHT-2", "WEIGHT-1"),
            f"the target's class weighs, p = {p}, {reduction}",
            X,
            [1, 2],
            p=p,
            w=[0.25, 2.0, 0.5, 8.0],
            reduction=reduction,
            flags=("weight-class",),
            gradient_clauses=g,
        )
        yield Draft(
            ("WEIGHT-3", "WEIGHT-2"),
            f"a negative weight, p = {p}, {reduction}",
            X,
            [0, 2],
            p=p,
            w=[-0.5, 1.0, 2.0, 4.0],
            reduction=reduction,
            flags=("weight-sign",),
            gradient_clauses=g,
        )
        yield Draft(
            ("WEIGHT-3",),
            f"a zero weight, p = {p}, {reduction}",
            X,
            [3, 0],
            p=p,
            w=[1.0, 2.0, 4.0, 0.0],
            reduction=reduction,
            flags=("weight-sign",),
            gradient_clauses=g,
        )
        yield Draft(
            ("WEIGHT-5",),
            f"weights do not normalise, p = {p}, {reduction}",
            X,
            [1, 1],
            p=p,
            w=[1.0, 4.0, 0.5, 2.0],
            reduction=reduction,
            flags=("weight-normalises",),
            gradient_clauses=g,
        )
        yield Draft(
            ("WEIGHT-5", "WEIGHT-1"),
            f"all weights equal, p = {p}, {reduction}",
            X,
            [0, 3],
            p=p,
            w=[2.0, 2.0, 2.0, 2.0],
            reduction=reduction,
            flags=("weight-normalises",),
            gradient_clauses=g,
        )
        yield Draft(
            ("WEIGHT-1",),
            f"the target is not the largest logit, p = {p}, {reduction}",
            X,
            [0, 1],
            p=p,
            w=[0.25, 2.0, 0.5, 8.0],
            reduction=reduction,
            flags=("weight-class",),
            gradient_clauses=g,
        )
        yield Draft(
            ("WEIGHT-1", "SHAPE-2"),
            f"weights without a batch, p = {p}, {reduction}",
            X[0],
            2,
            p=p,
            w=[0.25, 2.0, 0.5, 8.0],
            reduction=reduction,
            flags=("weight-class",),
            gradient_clauses=g,
        )
        yield Draft(
            ("WEIGHT-5", "WEIGHT-3"),
            f"a zero weight counts as a row, p = {p}, {reduction}",
            [*X, X[0], X[1]],
            [0, 1, 3, 0],
            p=p,
            w=[2.0, 1.0, 4.0, 0.0],
            reduction=reduction,
            flags=("weight-normalises",),
            gradient_clauses=g,
        )
    for weights in ([-1.0, -2.0], [0.0, 0.0], [-0.25, 4.0]):
        for p in (1, 2):
            yield Draft(
                ("WEIGHT-3",),
                f"weights {weights}, p = {p}",
                [[1.5, 2.25], [0.25, -0.5], [3.5, 0.75], [-1.25, 0.5]],
                [0, 1, 1, 0],
                p=p,
                w=weights,
                flags=("weight-sign",),
                gradient_clauses=g,
            )
    for p in (1, 2):
        yield Draft(
            ("WEIGHT-1", "VALUE-9"),
            f"weights that are not binary numbers, p = {p}",
            X,
            [1, 2],
            p=p,
            w=[0.1, 0.7, 1.3, 3.3],
            flags=("weight-class",),
            gradient_clauses=g,
        )
    for number, (p, reduction) in enumerate(product((1, 2), REDUCTIONS)):
        for x, y in ((X, [1, 3]), (X[0], 2)):
            yield Draft(
                ("VALUE-9", "WEIGHT-1"),
                f"weights and grad_output that are not binary numbers, {len(x)} numbers, p = {p}, {reduction}",
                x,
                y,
                p=p,
                w=[0.1, 0.7, 1.3, 3.3],
                g=0.1 + number,
                reduction=reduction,
                flags=("weight-class",),
                gradient_clauses=("GRADIENT-11", "GRADIENT-7", "GRADIENT-8"),
            )
    yield from _unused()


def _unused() -> Iterator[Draft]:
    """Weights of classes that are no row's target; the rows here have active terms."""
    for p, reduction, odd in product((1, 2), ("none", "mean"), (NAN, INF, -INF, 2.0**12)):
        yield Draft(
            ("WEIGHT-4",),
            f"an unused class's weight is {odd}, p = {p}, {reduction}",
            X,
            [1, 2],
            p=p,
            w=[odd, 0.5, 2.0, odd],
            reduction=reduction,
            flags=("weight-unused",),
            gradient_clauses=g_unused(),
        )
    for odd, name in ((NAN, "NaN"), (INF, "infinite")):
        yield Draft(
            ("SPECIAL-8",),
            f"a row without active terms whose weight is {name}",
            [[8.0, 0.5], [0.25, 1.0]],
            [0, 1],
            w=[odd, 2.0],
            reduction="none",
            behaviour=f"{name} weight on an inactive row",
            answers={"finite": "0", "nan": "NaN"},
            gradient_clauses=("SPECIAL-8",),
            flags=("undefined-form",),
        )


def g_unused() -> tuple[str, ...]:
    """The gradient's clauses for unused weights."""
    return ("WEIGHT-4", "GRADIENT-7")
