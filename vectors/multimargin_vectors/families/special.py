"""SPECIAL: infinities, NaN, subnormals and huge values."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from multimargin_reference.formats import FORMATS
from multimargin_vectors.draft import ALL, SINGLE_AND_DOUBLE, Draft

NAN, INF = float("nan"), float("inf")
REDUCTIONS = ("none", "mean", "sum")
ROW = [0.5, 1.75, -0.25, 1.125]


def drafts() -> Iterator[Draft]:
    """Yield the drafts of this family."""
    yield from _infinite()
    yield from _undefined()
    yield from _margins()
    for dtype in ALL:
        yield from _subnormal(dtype)
        yield from _huge(dtype)


def _infinite() -> Iterator[Draft]:
    for p, reduction, w in product((1, 2), REDUCTIONS, (None, [0.5, 2.0, 1.0, 4.0])):
        what = f"p = {p}, {reduction}{', weighted' if w else ''}"
        common = {"p": p, "w": w, "reduction": reduction, "flags": ("infinity",)}
        yield Draft(
            ("SPECIAL-1",),
            f"masked classes, {what}",
            [[0.5, -INF, -0.25, 1.125], [-INF, 0.75, -INF, -INF]],
            [0, 1],
            gradient_clauses=("SPECIAL-1",),
            **common,  # type: ignore[arg-type]
        )
        yield Draft(
            ("SPECIAL-1",),
            f"the first class masked, {what}",
            [[-INF, 0.5, 0.25, 1.125], [-INF, 0.75, -INF, 1.25]],
            [1, 3],
            gradient_clauses=("SPECIAL-1",),
            **common,  # type: ignore[arg-type]
        )
        yield Draft(
            ("SPECIAL-2",),
            f"+inf at a non-target, {what}",
            [[0.5, INF, -0.25, 1.125], ROW],
            [0, 1],
            gradient_clauses=("SPECIAL-2",),
            **common,  # type: ignore[arg-type]
        )
        yield Draft(
            ("SPECIAL-3",),
            f"+inf at the target, {what}",
            [[INF, 0.5, -0.25, 1.125], ROW],
            [0, 1],
            gradient_clauses=("SPECIAL-3",),
            **common,  # type: ignore[arg-type]
        )
        yield Draft(
            ("SPECIAL-4",),
            f"-inf at the target, {what}",
            [ROW, [0.5, -INF, -0.25, 1.125]],
            [0, 1],
            gradient_clauses=("SPECIAL-4",),
            **common,  # type: ignore[arg-type]
        )


def _undefined() -> Iterator[Draft]:
    """NaN, inf - inf, zero times infinity: dropped or propagated, nothing else."""
    drop = {"finite": "dropped", "nan": "propagated"}
    cases = (
        ("NaN at a non-target", [[0.5, NAN, -0.25, 1.125], ROW], None, None, "SPECIAL-7"),
        ("NaN at the target", [[NAN, 0.5, -0.25, 1.125], ROW], None, None, "SPECIAL-7"),
        ("inf - inf", [[INF, INF, -0.25, 1.125], ROW], None, None, "SPECIAL-8"),
        ("-inf - (-inf)", [[0.5, 1.75, -0.25, 1.125], [-INF, -INF, -INF, -INF]], None, None, "SPECIAL-8"),
    )
    for (name, x, w, g, clause), p, reduction in product(cases, (1, 2), ("none", "mean")):
        yield Draft(
            (clause,),
            f"{name}, p = {p}, {reduction}",
            x,
            [0, 0],
            p=p,
            w=w,
            g=g,
            reduction=reduction,
            behaviour=name,
            answers=drop,
            gradient_clauses=(clause,),
            flags=("nan" if clause == "SPECIAL-7" else "undefined-form",),
        )
    for p in (1, 2):
        yield Draft(
            ("SPECIAL-8",),
            f"zero weight times an infinite hinge, p = {p}",
            [[0.5, INF, -0.25, 1.125], ROW],
            [0, 1],
            p=p,
            w=[0.0, 1.0, 2.0, 4.0],
            reduction="none",
            behaviour="zero weight times an infinite hinge",
            answers={"finite": "0", "nan": "NaN"},
            gradient_clauses=("SPECIAL-8",),
            flags=("undefined-form",),
        )
    yield Draft(
        ("SPECIAL-2",),
        "zero grad_output times an infinite derivative",
        [[0.5, INF, -0.25, 1.125]],
        [0],
        p=2,
        g=0.0,
        behaviour="zero grad_output times an infinite derivative",
        answers={"inf": "loss inf", "finite": "0", "nan": "NaN"},
        gradient_clauses=("SPECIAL-8",),
        flags=("undefined-form",),
    )


def _margins() -> Iterator[Draft]:
    """A margin that is not a finite number of the dtype."""
    margins = (
        ("margin NaN", NAN, {"finite": "dropped", "nan": "propagated", "rejected": "rejected"}),
        ("margin inf", INF, {"inf": "inf", "finite": "finite gradient", "rejected": "rejected"}),
        ("margin -inf", -INF, {"finite": "0", "rejected": "rejected"}),
    )
    for (name, margin, answers), p in product(margins, (1, 2)):
        if p == 2 and margin == INF:
            continue  # the gradient is infinite or, by keep-and-cancel, NaN: nothing to tell right from wrong by
        yield Draft(
            ("SPECIAL-8",),
            f"{name}, p = {p}",
            [ROW],
            [0],
            p=p,
            margin=margin,
            behaviour=name,
            answers=answers,
            gradient_clauses=("SPECIAL-8",),
            flags=("margin-not-finite",),
            dtypes=SINGLE_AND_DOUBLE,
        )
    yield Draft(
        ("SPECIAL-8",),
        "a margin beyond float32",
        [ROW],
        [0],
        margin=2e39,
        behaviour="margin beyond the dtype",
        answers={"inf": "inf", "finite": "finite gradient", "rejected": "rejected"},
        gradient_clauses=("SPECIAL-8",),
        flags=("margin-not-finite",),
        dtypes=("float32",),
    )


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
