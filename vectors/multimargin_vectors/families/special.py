"""SPECIAL: infinities and NaN."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

from multimargin_vectors.draft import SINGLE_AND_DOUBLE, Draft

NAN, INF = float("nan"), float("inf")
REDUCTIONS = ("none", "mean", "sum")
ROW = [0.5, 1.75, -0.25, 1.125]


def drafts() -> Iterator[Draft]:
    """Yield the drafts of this family."""
    yield from _infinite()
    yield from _many_classes()
    yield from _signed_infinite()
    yield from _factors()
    yield from _undefined()
    yield from _margins()


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


def _many_classes() -> Iterator[Draft]:
    """Infinities and large values in rows that a vectorised path takes."""
    for classes, p in product((17, 33, 100), (1, 2)):
        masked = [-INF if k % 3 else 0.25 * (k % 7) - 40.0 for k in range(classes)]
        masked[1], masked[classes - 1] = -39.75, -40.5
        yield Draft(
            ("SPECIAL-1",),
            f"{classes} classes, most of them masked, p = {p}",
            [masked],
            [1],
            p=p,
            margin=1.125,
            gradient_clauses=("SPECIAL-1",),
            flags=("infinity",),
        )
        yield Draft(
            ("SPECIAL-2",),
            f"{classes} classes, one of them +inf, p = {p}",
            [[INF if k == classes - 2 else 0.25 * (k % 7) for k in range(classes)]],
            [3],
            p=p,
            margin=1.125,
            gradient_clauses=("SPECIAL-2",),
            flags=("infinity",),
        )
        yield Draft(
            ("VALUE-9",),
            f"{classes} classes, one of them large, p = {p}",
            [[2.0**20 if k == classes - 1 else 0.25 * (k % 7) for k in range(classes)]],
            [3],
            p=p,
            margin=1.125,
            gradient_clauses=("GRADIENT-11",),
            flags=("range",),
            dtypes=SINGLE_AND_DOUBLE,
        )


def _signed_infinite() -> Iterator[Draft]:
    """An infinite hinge or weight keeps the weight's sign; a NaN weight of an active row cannot be ignored."""
    for p, w in product((1, 2), ([-2.0, 1.0, 1.0, 1.0], [2.0, 1.0, 1.0, 1.0])):
        for x in ([[0.5, INF, -0.25, 1.125]], [[-INF, 0.5, -0.25, 1.125]]):
            yield Draft(
                ("SPECIAL-2",) if x[0][1] == INF else ("SPECIAL-4",),
                f"an infinite hinge times the weight {w[0]}, p = {p}, logits {x[0]}",
                x,
                [0],
                p=p,
                w=w,
                gradient_clauses=("SPECIAL-2",),
                flags=("infinity",),
            )
    for p, odd in product((1, 2), (INF, -INF, NAN)):
        yield Draft(
            ("WEIGHT-1",),
            f"the weight {odd} of an active row, p = {p}",
            [ROW, ROW],
            [0, 1],
            p=p,
            w=[odd, 1.0, 2.0, 4.0],
            reduction="none",
            gradient_clauses=("WEIGHT-1",),
            flags=("weight-class",),
        )
    for p, odd in product((1, 2), (INF, -INF, NAN)):
        yield Draft(
            ("VALUE-1",) if p == 1 else ("VALUE-2",),
            f"grad_output {odd} of one row, p = {p}",
            [ROW, ROW],
            [0, 0],
            p=p,
            g=[odd, 1.0],
            reduction="none",
            gradient_clauses=("GRADIENT-8", "GRADIENT-9"),
            flags=("grad-output",),
        )


def _factors() -> Iterator[Draft]:
    """Weights, factors and terms far from 1, in range all the same: nothing may clamp, drop or square them away."""
    for p, size in product((1, 2), (-50, -20, -12, 10)):
        common: dict[str, Any] = {"p": p, "wanted": "exact", "dtypes": SINGLE_AND_DOUBLE}
        yield Draft(
            ("WEIGHT-1",),
            f"the weight 2**{size}, p = {p}",
            [ROW],
            [0],
            w=[2.0**size, 1.0, 1.0, 1.0],
            flags=("weight-class",),
            gradient_clauses=("GRADIENT-7",),
            **common,
        )
    for p, g in product((1, 2), (2.0**-40, -(2.0**-30), -(2.0**-20), 64.0, 2.0**17, -(2.0**24))):
        yield Draft(
            ("VALUE-1",) if p == 1 else ("VALUE-2",),
            f"grad_output {g}, p = {p}",
            [ROW],
            [0],
            p=p,
            g=g,
            wanted="exact",
            dtypes=SINGLE_AND_DOUBLE,
            flags=("grad-output",),
            gradient_clauses=("GRADIENT-8",),
        )
    for dtype, size in (("float32", 70), ("float64", 600)):
        yield Draft(
            ("SPECIAL-6",),
            f"terms about 2**{size}: the square may overflow, its derivative may not",
            [[2.0**size, 3 * 2.0**size, 0.0, -(2.0**size)]],
            [2],
            p=2,
            margin=0.0,
            dtypes=(dtype,),
            flags=("overflow",),
            gradient_clauses=("SPECIAL-6",),
        )
    for size in (-60, -40, -20, 20, 40, 60):
        yield Draft(
            ("SPECIAL-6",) if size > 0 else ("VALUE-2",),
            f"terms about 2**{size}, p = 2",
            [[2.0**size, 3 * 2.0**size, 0.0, -(2.0**size)]],
            [2],
            p=2,
            margin=0.0,
            dtypes=SINGLE_AND_DOUBLE,
            flags=("range",),
            gradient_clauses=("GRADIENT-2",),
        )
    yield Draft(
        ("GRADIENT-2",),
        "a square below the subnormals, its derivative is not",
        [[2.0**-90, 3 * 2.0**-90, 0.0, -(2.0**-90)]],
        [2],
        p=2,
        margin=0.0,
        dtypes=("float32",),
        flags=("range",),
        gradient_clauses=("GRADIENT-2",),
        group="GRADIENT",
    )
    for margin in (1.0, -8.0, -1.0):
        yield Draft(
            ("VALUE-6",),
            f"all logits zero, margin {margin}",
            [[0.0] * 4] * 2,
            [0, 3],
            margin=margin,
            flags=("margin",),
            gradient_clauses=("GRADIENT-1",),
            wanted="exact",
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
        ("margin inf", INF, {"inf": "inf", "nan": "NaN", "finite": "finite gradient", "rejected": "rejected"}),
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
        answers={"inf": "inf", "nan": "NaN", "finite": "finite gradient", "rejected": "rejected"},
        gradient_clauses=("SPECIAL-8",),
        flags=("margin-not-finite",),
        dtypes=("float32",),
    )
