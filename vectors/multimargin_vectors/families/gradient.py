"""GRADIENT: every element, every reduction, the kink, and grad_output."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

from multimargin_vectors.draft import Draft

X = [[0.5, 1.75, -0.25, 1.125], [2.25, 0.5, 2.75, -4.0]]
REDUCTIONS = ("none", "mean", "sum")


def drafts() -> Iterator[Draft]:
    """Yield the drafts of this family; the loss of these calls is judged too."""
    for p, reduction, y in product((1, 2), REDUCTIONS, ((0, 0), (1, 2), (3, 1))):
        clause = "GRADIENT-1" if p == 1 else "GRADIENT-2"
        yield _draft(
            f"every element, p = {p}, {reduction}, targets {y}", (clause, "GRADIENT-3"), X, list(y), p, reduction
        )
        weights = [0.25, 2.0, -0.5, 8.0]
        name = f"weighted, p = {p}, {reduction}, targets {y}"
        yield _draft(name, ("GRADIENT-7", clause), X, list(y), p, reduction, w=weights)
    yield from _kinks()
    yield from _grad_outputs()


def _kinks() -> Iterator[Draft]:
    """z = 0 exactly: the gradient is 0 (strict z > 0)."""
    kinks: tuple[tuple[str, Any, list[int], float], ...] = (
        ("one tie", [[0.25, 1.25, 0.5, -0.75]], [1], 1.0),
        ("margin 1, two ties", [[1.0, 0.0, 0.0, 0.5]], [0], 1.0),
        ("all logits equal, margin 0", [[0.5, 0.5, 0.5, 0.5]], [2], 0.0),
        ("all logits zero, margin 0", [[0.0, 0.0], [0.0, 0.0]], [0, 1], 0.0),
        ("a negative margin", [[0.25, 0.75, -1.0, 2.5]], [0], -0.5),
        ("margin 0.375", [[1.0, 0.625, 2.0, 0.625]], [0], 0.375),
        ("ties in one row only", [[2.0, 1.0, 3.0, 1.0], [0.5, 0.25, 1.0, 0.125]], [0, 2], 1.0),
        ("one class above the tie", [[2.0, 1.0, 1.0625, 0.9375]], [0], 1.0),
    )
    for (name, x, y, margin), p, reduction in product(kinks, (1, 2), REDUCTIONS):
        draft = _draft(f"kink: {name}, p = {p}, {reduction}", ("GRADIENT-4",), x, y, p, reduction, margin=margin)
        yield draft
    for p, near in product((1, 2), (2.0**-4, 2.0**-6)):
        x = [[1.0, near, -near, 0.5], [0.5, 0.75, -0.5 + near, -0.5 - near]]
        yield _draft(f"{near} above and below the kink, p = {p}", ("GRADIENT-4",), x, [0, 0], p, "none")
    for (dtype, bits), p in product({"float16": 10, "float32": 23, "float64": 52}.items(), (1, 2)):
        near = 2.0**-bits
        name = f"the least step above and below the kink, p = {p}"
        yield _draft(name, ("GRADIENT-4",), [[1.0, near, -near, 0.5]], [0], p, "sum", dtypes=(dtype,))
    for p, g in product((1, 2), (-2.0, 0.5)):
        yield _draft(f"kink with grad_output {g}, p = {p}", ("GRADIENT-4",), kinks[1][1], [0], p, "mean", g=g)
        yield _draft(
            f"kink with weights, grad_output {g}, p = {p}",
            ("GRADIENT-4",),
            kinks[0][1],
            [1],
            p,
            "sum",
            g=g,
            w=[1, -4, 1, 2],
        )


def _grad_outputs() -> Iterator[Draft]:
    for p, reduction, factor in product((1, 2), ("mean", "sum"), (0.5, -1.0, -4.0, 0.0, 3.0)):
        yield _draft(f"grad_output {factor}, p = {p}, {reduction}", ("GRADIENT-8",), X, [1, 2], p, reduction, g=factor)
    for p, w in product((1, 2), (None, [0.5, 2.0, -1.0, 4.0])):
        what = "weighted, " if w else ""
        for g in ([1.0, -1.0], [0.5, 4.0], [0.0, 2.0], [-2.0, 0.0], [3.0, -0.25], [0.0, 0.0]):
            yield _draft(
                f"{what}grad_output {g} by row, p = {p}", ("GRADIENT-9", "GRADIENT-8"), X, [1, 2], p, "none", g=g, w=w
            )
        square = [[0.25 * ((3 * i + 5 * r) % 9 - 4) for i in range(4)] for r in range(4)]
        yield _draft(
            f"{what}grad_output by row, N = C, p = {p}",
            ("GRADIENT-9",),
            square,
            [2, 0, 3, 1],
            p,
            "none",
            g=[1.0, -2.0, 0.5, 4.0],
            w=w,
            margin=1.125,
        )
        yield _draft(f"{what}grad_output -2 without a batch, p = {p}", ("GRADIENT-8",), X[0], 1, p, "none", g=-2.0, w=w)
        yield _draft(f"{what}grad_output 0.5 without a batch, p = {p}", ("GRADIENT-8",), X[0], 3, p, "sum", g=0.5, w=w)


def _draft(comment: str, clauses: tuple[str, ...], x: Any, y: Any, p: int, reduction: str, **fields: Any) -> Draft:
    loss_clause = "VALUE-2" if p == 2 else "VALUE-1"
    flag = "kink" if clauses[0] == "GRADIENT-4" else "grad-output" if "g" in fields else "gradient"
    return Draft(
        (loss_clause,),
        comment,
        x,
        y,
        p=p,
        reduction=reduction,
        gradient_clauses=clauses,
        flags=(flag,),
        group="GRADIENT",
        **fields,
    )
