"""General inputs, judged by the derived bounds: rounding, range, cancellation, and decisions near the kink."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from multimargin_vectors.draft import ALL, Draft, uniform
from multimargin_vectors.splitmix import integers

REDUCTIONS = ("none", "mean", "sum")
SHAPES = ((1, 3), (2, 5), (3, 10), (5, 2), (4, 7), (6, 6))
MARGINS = (1.0, 0.1, -0.3, 0.7, 2.5)


def drafts() -> Iterator[Draft]:
    """Yield the drafts of this family."""
    for number, (shape, p, reduction) in enumerate(product(SHAPES, (1, 2), REDUCTIONS)):
        yield _random(number, shape, p, reduction)
    yield from _offset()
    yield from _range()


def _random(number: int, shape: tuple[int, int], p: int, reduction: str) -> Draft:
    rows, classes = shape
    kind = number % 3
    weights = {0: None, 1: uniform(300 + number, (classes,), 0.1, 2.0), 2: uniform(400 + number, (classes,), -1.0, 1.0)}
    grads = uniform(500 + number, (rows,) if reduction == "none" else (), -2.0, 2.0)
    return Draft(
        ("VALUE-9",),
        f"random numbers, {shape}, p = {p}, {reduction}",
        uniform(100 + number, shape),
        integers(200 + number, rows, classes),
        p=p,
        margin=MARGINS[number % len(MARGINS)],
        w=weights[kind],
        reduction=reduction,
        g=grads if number % 2 else None,
        gradient_clauses=("GRADIENT-11",),
        flags=("rounding",),
    )


def _offset() -> Iterator[Draft]:
    """Logits that share a large offset: z is small and (nearly) exact, a sum of logits is not."""
    offsets = {"float16": (64.0, 512.0), "bfloat16": (16.0, 64.0), "float32": (1e3, 1e6), "float64": (1e6, 1e14)}
    for dtype in ALL:
        for number, (offset, p) in enumerate(product(offsets[dtype], (1, 2))):
            step = offset / 64 if dtype == "bfloat16" else offset / 512 if dtype == "float16" else 0.25
            x = offset + step * (integers(600 + number, 24, 9) - 4).reshape(3, 8)
            yield Draft(
                ("VALUE-9", "VALUE-1"),
                f"logits with the offset {offset}, p = {p}",
                np.asarray(x, dtype=np.float64),
                [0, 5, 2],
                p=p,
                margin=1.125 * step,
                reduction=REDUCTIONS[number % 3],
                gradient_clauses=("GRADIENT-11",),
                flags=("cancellation",),
                dtypes=(dtype,),
            )


def _range() -> Iterator[Draft]:
    """Magnitudes from far below to far above 1."""
    widths = {"float16": 6, "bfloat16": 30, "float32": 30, "float64": 200}
    for dtype in ALL:
        for number, (p, reduction) in enumerate(product((1, 2), REDUCTIONS)):
            exponents = uniform(700 + number, (3, 6), -widths[dtype] / p, widths[dtype] / p)
            signs = 1 - 2 * (integers(800 + number, 18, 2).reshape(3, 6))
            yield Draft(
                ("VALUE-9",),
                f"magnitudes between 2**-{widths[dtype] // p} and 2**{widths[dtype] // p}, p = {p}, {reduction}",
                np.exp2(np.rint(exponents)) * (1 + uniform(900 + number, (3, 6), 0.0, 1.0)) * signs,
                [1, 4, 0],
                p=p,
                margin=0.3,
                reduction=reduction,
                gradient_clauses=("GRADIENT-11",),
                flags=("range",),
                dtypes=(dtype,),
            )
