"""VALUE and REDUCTION: what the loss is, on grids where nothing rounds."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from multimargin_vectors.draft import ALL, Draft

ROW = [0.5, 1.75, -0.25, 1.125]  # for margin 1 and target 0 every term is active
MIXED = [2.25, 0.5, 3.75, -4.0]  # some terms inactive
BATCH = [ROW, MIXED, [-1.5, 0.25, 1.75, -0.5], [3.5, 3.25, -2.0, 0.75]]
REDUCTIONS = ("none", "mean", "sum")


def drafts() -> Iterator[Draft]:
    """Yield the drafts of this family."""
    yield from _hinge()
    yield from _power()
    yield from _target_term()
    yield from _divisor()
    yield from _margins()
    yield from _single_class()
    yield from _precision()
    yield from _reductions()
    yield Draft(
        ("VALUE-8",),
        "the documentation's own example",
        [[0.1, 0.2, 0.4, 0.8]],
        [3],
        gradient_clauses=("GRADIENT-1",),
        flags=("documentation",),
    )


def _hinge() -> Iterator[Draft]:
    g = ("GRADIENT-1", "GRADIENT-3")
    for y in range(4):
        yield Draft(
            ("VALUE-1",), f"hinge sum, target {y}", [ROW], [y], flags=("hinge-sum",), gradient_clauses=g, wanted="exact"
        )
    inactive = ("GRADIENT-5", "GRADIENT-1")
    for y in range(4):
        for p in (1, 2):
            yield Draft(
                ("VALUE-3",),
                f"some terms inactive, p = {p}, target {y}",
                [MIXED],
                [y],
                p=p,
                flags=("hinge-not-clipped",),
                gradient_clauses=inactive,
            )
    for p, reduction in product((1, 2), REDUCTIONS):
        yield Draft(
            ("VALUE-3",),
            f"no term active, p = {p}, {reduction}",
            [[8.0, 0.5, -3.0, 2.0], [-5.0, 9.0, 1.0, -2.0]],
            [0, 1],
            p=p,
            reduction=reduction,
            flags=("hinge-not-clipped",),
            gradient_clauses=("GRADIENT-5",),
        )


def _power() -> Iterator[Draft]:
    g = ("GRADIENT-2", "GRADIENT-3")
    for y, reduction in product(range(4), REDUCTIONS):
        yield Draft(
            ("VALUE-2",),
            f"squared hinge, target {y}, {reduction}",
            [ROW, MIXED],
            [y, 3 - y],
            p=2,
            reduction=reduction,
            flags=("power",),
            gradient_clauses=g,
        )


def _target_term() -> Iterator[Draft]:
    """margin ** p must not be subtracted: margins below zero and far above the logits show it."""
    for p, margin in product((1, 2), (-1.0, -0.5, 0.25, 2.0, 16.0, 1024.0)):
        yield Draft(
            ("VALUE-4", "VALUE-6"),
            f"the target's term is left out, margin {margin}, p = {p}",
            [[0.5, -1.0, 2.0, 0.0]],
            [0],
            p=p,
            margin=margin,
            flags=("target-term",),
            gradient_clauses=("GRADIENT-3",),
        )
    for p in (1, 2):
        yield Draft(
            ("VALUE-4",),
            f"another class has the target's logit, p = {p}",
            [[0.5, 0.5, 2.0, 0.5], [1.25, -0.5, 0.75, 1.25]],
            [1, 3],
            p=p,
            margin=0.75,
            flags=("target-term",),
            gradient_clauses=("GRADIENT-3",),
        )
    big = {"float32": 2.0**22, "float64": 2.0**50, "float16": 2.0**9, "bfloat16": 2.0**6}
    for dtype, margin in big.items():
        yield Draft(
            ("VALUE-4",),
            "a margin as large as the precision allows: subtracting it afterwards cancels",
            [[3.0, 0.0]],
            [0],
            margin=margin,
            reduction="sum",
            dtypes=(dtype,),
            flags=("target-term",),
            gradient_clauses=("GRADIENT-3",),
            wanted="exact",
        )


def _divisor() -> Iterator[Draft]:
    for classes, reduction in product((2, 4, 8, 16), REDUCTIONS):
        x = [[0.25 * ((5 * i + 3 * r) % 7 - 3) for i in range(classes)] for r in range(2)]
        yield Draft(
            ("VALUE-5",),
            f"division by C = {classes}, {reduction}",
            x,
            [classes - 1, 0],
            margin=1.125,
            reduction=reduction,
            flags=("divisor",),
            gradient_clauses=("GRADIENT-6",),
        )
    for classes, p in product((3, 5, 6, 7, 10, 12), (1, 2)):
        x = [[0.25 * ((5 * i + 3 * r) % 11 - 5) for i in range(classes)] for r in range(3)]
        yield Draft(
            ("VALUE-5",),
            f"division by C = {classes}, which rounds, p = {p}",
            x,
            [classes - 1, 0, 1],
            p=p,
            margin=1.125,
            flags=("divisor", "scaling-rounds"),
            gradient_clauses=("GRADIENT-6", "GRADIENT-11"),
        )


def _margins() -> Iterator[Draft]:
    for p, margin, reduction in product((1, 2), (1.0, 0.5, 0.0, -0.5, -2.0, 3.0, 0.375), ("mean", "none")):
        yield Draft(
            ("VALUE-6",),
            f"margin {margin}, p = {p}, {reduction}",
            [[0.75, 1.0625, -0.1875, 2.3125], [0.5625, -1.3125, 1.8125, 0.3125]],
            [0, 2],
            p=p,
            margin=margin,
            reduction=reduction,
            flags=("margin",),
            gradient_clauses=("GRADIENT-1" if p == 1 else "GRADIENT-2", "GRADIENT-5"),
        )
    for p, margin in product((1, 2), (0.1, 0.7, -0.3, 1 / 3, 1e-3, 1.0000000001, 12345.678)):
        yield Draft(
            ("VALUE-6", "VALUE-9"),
            f"margin {margin!r} is not a binary number, p = {p}",
            [[0.75, 1.0625, -0.1875, 2.3125], [0.5625, -1.3125, 1.8125, 0.3125]],
            [0, 2],
            p=p,
            margin=margin,
            flags=("margin", "margin-rounds"),
            gradient_clauses=("GRADIENT-11",),
        )


def _single_class() -> Iterator[Draft]:
    for p, margin, reduction in product((1, 2), (1.0, -1.0, 0.0, 5.5), REDUCTIONS):
        yield Draft(
            ("VALUE-7",),
            f"one class: the loss is 0, margin {margin}, p = {p}, {reduction}",
            [[0.5], [-3.0]],
            [0, 0],
            p=p,
            margin=margin,
            reduction=reduction,
            flags=("single-class",),
            gradient_clauses=("GRADIENT-3",),
            wanted="exact",
        )
    yield Draft(
        ("VALUE-7",), "one class, no batch", [2.5], 0, flags=("single-class",), gradient_clauses=("GRADIENT-3",)
    )


def _precision() -> Iterator[Draft]:
    """Exact results that need nearly all bits of the dtype: a narrower computation cannot give them."""
    bits = {"float16": 9, "bfloat16": 6, "float32": 21, "float64": 50}
    for (dtype, b), y, p in product(bits.items(), (0, 1), (1, 2)):
        b = b if p == 1 else b // 2
        x = [[1.0 + 2.0**-b, 2.0, 0.5 + 3 * 2.0**-b, 1.0 - 2.0**-b], [0.25, 2.0**-b, 1.0, 1.5 - 2.0**-b]]
        yield Draft(
            ("VALUE-9", "DTYPE-1"),
            f"an exact result that needs {dtype}'s bits, p = {p}, target {y}",
            x,
            [y, 1 - y],
            p=p,
            reduction="none",
            dtypes=(dtype,),
            flags=("narrow-computation",),
            gradient_clauses=("GRADIENT-11",),
        )


def _reductions() -> Iterator[Draft]:
    for clause, reduction in (("REDUCTION-1", "none"), ("REDUCTION-2", "mean"), ("REDUCTION-3", "sum")):
        for rows, p in product((1, 2, 4), (1, 2)):
            yield Draft(
                (clause, "REDUCTION-4") if rows > 1 else ("REDUCTION-4", clause),
                f"{reduction} of {rows} rows, p = {p}",
                BATCH[:rows],
                [3, 0, 1, 2][:rows],
                p=p,
                reduction=reduction,
                flags=("reduction",),
                gradient_clauses=("GRADIENT-6", "GRADIENT-10"),
            )
        yield Draft(
            ("REDUCTION-5", clause),
            f"{reduction} of rows of very different size",
            [[0.0, 32.0], [0.0, 0.25], [0.0, -8.0], [0.0, 0.5]],
            [0, 0, 0, 0],
            margin=0.25,
            reduction=reduction,
            dtypes=ALL,
            flags=("reduction",),
            gradient_clauses=("GRADIENT-6",),
        )
    for rows in (3, 5, 6, 7):
        x = [[0.25 * ((5 * i + 3 * r) % 11 - 5) for i in range(4)] for r in range(rows)]
        yield Draft(
            ("REDUCTION-2", "REDUCTION-5"),
            f"mean of {rows} rows, which rounds",
            x,
            [(r * r) % 4 for r in range(rows)],
            margin=1.125,
            flags=("reduction", "scaling-rounds"),
            gradient_clauses=("GRADIENT-6",),
        )
