"""SPECIAL: subnormals and huge values of each dtype."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from multimargin_reference.formats import FORMATS
from multimargin_vectors.draft import ALL, Draft

INF = float("inf")
REDUCTIONS = ("none", "mean", "sum")


def drafts() -> Iterator[Draft]:
    """Yield the drafts of this family."""
    for dtype in ALL:
        yield from _subnormal(dtype)
        yield from _subnormal_weight(dtype)
        yield from _huge(dtype)


def _subnormal(dtype: str) -> Iterator[Draft]:
    """Results and arguments below the smallest normal number, exact all the same."""
    eta = float(FORMATS[dtype].eta)
    for margin, reduction in product((0.0, 8 * eta), REDUCTIONS):
        yield Draft(
            ("SPECIAL-5",),
            f"subnormal logits, margin {margin}, {reduction}",
            [[8 * eta, 24 * eta, -8 * eta, 40 * eta], [16 * eta, 0.0, -8 * eta, 48 * eta]],
            [0, 2],
            margin=margin,
            reduction=reduction,
            dtypes=(dtype,),
            flags=("subnormal",),
            gradient_clauses=("SPECIAL-5",),
            wanted="exact",
        )
    yield Draft(
        ("SPECIAL-5",),
        "a subnormal difference of normal logits",
        [[float(FORMATS[dtype].smallest_normal), float(FORMATS[dtype].smallest_normal) + 4 * eta]],
        [0],
        margin=0.0,
        reduction="sum",
        dtypes=(dtype,),
        flags=("subnormal",),
        gradient_clauses=("SPECIAL-5",),
        wanted="exact",
    )
    yield Draft(
        ("GRADIENT-8",),
        "a subnormal grad_output",
        [[0.5, 1.5, -0.25, 1.25]],
        [0],
        g=16 * eta,
        dtypes=(dtype,),
        flags=("subnormal",),
        gradient_clauses=("SPECIAL-5", "GRADIENT-8"),
        wanted="exact",
    )


def _subnormal_weight(dtype: str) -> Iterator[Draft]:
    """A weight below the smallest normal number, and terms that bring the result back into range."""
    eta = float(FORMATS[dtype].eta)
    yield Draft(
        ("SPECIAL-5",),
        "a subnormal weight",
        [[0.0, 64.0, 128.0, -32.0]],
        [0],
        margin=0.0,
        w=[16 * eta, 1.0, 1.0, 1.0],
        dtypes=(dtype,),
        flags=("subnormal",),
        gradient_clauses=("SPECIAL-5",),
        wanted="exact",
    )


def _huge(dtype: str) -> Iterator[Draft]:
    """Large values whose intermediate results are all finite: infinity or NaN here is an early overflow."""
    top = float(FORMATS[dtype].largest)
    half = 2.0 ** (FORMATS[dtype].emax - 2)
    for reduction in REDUCTIONS:
        yield Draft(
            ("SPECIAL-6",),
            f"a large logit, {reduction}",
            [[0.0, half, -half, -top]],
            [0],
            margin=0.0,
            reduction=reduction,
            dtypes=(dtype,),
            flags=("overflow",),
            gradient_clauses=("SPECIAL-6",),
        )
    square = 2.0 ** ((FORMATS[dtype].emax - 1) // 2 - 1)
    for reduction in REDUCTIONS:
        yield Draft(
            ("SPECIAL-6",),
            f"a large square, {reduction}",
            [[0.0, square, -square, 0.75 * square]],
            [0],
            p=2,
            margin=0.0,
            reduction=reduction,
            dtypes=(dtype,),
            flags=("overflow",),
            gradient_clauses=("SPECIAL-6",),
        )
    yield Draft(
        ("SPECIAL-6",),
        "every legal evaluation overflows: the loss is infinite",
        [[-top, top]],
        [0],
        reduction="sum",
        dtypes=(dtype,),
        flags=("overflow",),
        gradient_clauses=("SPECIAL-6",),
    )
    if dtype in ("float32", "float64"):
        for p in (1, 2):
            yield Draft(
                ("SPECIAL-6", "VALUE-1"),
                f"masking by the most negative finite number, p = {p}",
                [[0.5, -top, -0.25, 1.125], [0.25, 1.0, -top, -top]],
                [0, 1],
                p=p,
                dtypes=(dtype,),
                flags=("overflow",),
                gradient_clauses=("GRADIENT-5",),
            )
