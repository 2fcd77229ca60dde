"""Exact grids crossed pairwise: every pair of options occurs together in some vector, in every dtype."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multimargin_vectors.draft import ALL, Draft
from multimargin_vectors.splitmix import integers

FACTORS: dict[str, tuple[Any, ...]] = {
    "p": (1, 2),
    "margin": (1.0, 0.5, 0.0, -0.5, 2.0, 0.75, 4.0),
    "weight": ("none", "powers", "negative", "zero", "ones"),
    "reduction": ("none", "mean", "sum"),
    "shape": ((1, 2), (2, 4), (4, 2), (4, 4), (1, 8), (8, 2), (2, 1), (4,), (2,), (8, 8), (2, 16)),
    "target": ("first", "last", "spread", "repeated"),
    "grad_output": ("one", "negative", "mixed", "fraction"),
}
LEVELS = {"float16": (12, 6, 3), "bfloat16": (6, 3, 2), "float32": (4096, 1024, 24), "float64": (2**20, 2**12, 24)}


def drafts() -> Iterator[Draft]:
    """Yield one draft a row of the covering array and dtype."""
    for number, row in enumerate(pairwise(FACTORS)):
        for dtype in ALL:
            yield _draft(row, dtype, number)


def pairwise(factors: Mapping[str, tuple[Any, ...]]) -> list[dict[str, Any]]:
    """Return rows that cover every pair of values of two factors, greedily and deterministically."""
    names = list(factors)
    missing = {
        (a, i, b, j) for a, b in combinations(names, 2) for i in range(len(factors[a])) for j in range(len(factors[b]))
    }
    rows = []
    while missing:
        a, i, b, j = min(missing)
        row = {a: i, b: j}
        for name in names:
            if name not in row:
                row[name] = max(range(len(factors[name])), key=lambda k: (_gain(missing, row, name, k, names), -k))
        missing -= {(a, row[a], b, row[b]) for a, b in combinations(names, 2)}
        rows.append({name: factors[name][row[name]] for name in names})
    return rows


def _gain(missing: set[tuple[str, int, str, int]], row: dict[str, int], name: str, k: int, names: list[str]) -> int:
    """How many missing pairs value k of `name` would cover with the values already chosen."""
    order = {n: i for i, n in enumerate(names)}
    pairs = ((name, k, o, v) if order[name] < order[o] else (o, v, name, k) for o, v in row.items())
    return sum(pair in missing for pair in pairs)


def _draft(row: Mapping[str, Any], dtype: str, number: int) -> Draft:
    """Return the row in one dtype: with the widest grid for which nothing rounds, if there is one."""
    drafted = list(candidates(row, dtype, number))
    return next((d for d in drafted if d.vectors()[0].tier == "exact"), drafted[-1])


def candidates(row: Mapping[str, Any], dtype: str, number: int) -> Iterator[Draft]:
    """Yield drafts of a row in one dtype, from the widest grid to the narrowest; number: of the random stream."""
    return (_with_levels(row, dtype, number, levels) for levels in LEVELS[dtype])


def _with_levels(row: Mapping[str, Any], dtype: str, number: int, levels: int) -> Draft:
    shape, p = row["shape"], row["p"]
    x = _logits(shape, number, levels)
    y = _targets(row["target"], shape, number)
    x = without_kinks(x, y, row["margin"])
    w = _weights(row["weight"], shape[-1], dtype)
    g = _grads(row["grad_output"], y.shape if row["reduction"] == "none" else ())
    options = ", ".join(f"{k} {v}" for k, v in row.items())
    return Draft(
        ("VALUE-1" if p == 1 else "VALUE-2",),
        f"covering array: {options}",
        x,
        y,
        p=p,
        margin=row["margin"],
        w=w,
        reduction=row["reduction"],
        g=g,
        gradient_clauses=("GRADIENT-1" if p == 1 else "GRADIENT-2",),
        flags=("options-crossed",),
        dtypes=(dtype,),
    )


def _logits(shape: tuple[int, ...], number: int, levels: int) -> NDArray[np.float64]:
    """Random multiples of 1/4 around zero, `levels` of them."""
    k = integers(1000 + number, int(np.prod(shape)), levels) - levels // 2
    return np.multiply(k, 0.25, dtype=np.float64).reshape(shape)


def _targets(kind: str, shape: tuple[int, ...], number: int) -> NDArray[np.int64]:
    classes, rows = shape[-1], shape[0] if len(shape) == 2 else 1
    pattern = {
        "first": np.zeros(rows, dtype=np.int64),
        "last": np.full(rows, classes - 1, dtype=np.int64),
        "spread": np.arange(1, rows + 1, dtype=np.int64) * 3 % classes,
        "repeated": np.full(rows, integers(number, 1, classes)[0]),
    }[kind]
    return pattern if len(shape) == 2 else pattern.reshape(())


def without_kinks(x: NDArray[np.float64], y: NDArray[np.int64], margin: float) -> NDArray[np.float64]:
    """Move logits off z = 0, which has a family of its own (GRADIENT-4)."""
    rows, targets = np.atleast_2d(x).copy(), np.atleast_1d(y)[:, None]
    z = margin - np.take_along_axis(rows, targets, axis=1) + rows
    rows[(z == 0) & (np.arange(rows.shape[1]) != targets)] += 0.25
    return rows.reshape(x.shape)


def _weights(kind: str, classes: int, dtype: str) -> list[float] | None:
    # bfloat16 has 8 bits in all: weights of different size leave too few for the logits
    spread = [1.0, 2.0] if dtype == "bfloat16" else [0.5, 2.0, 1.0, 4.0]
    tables = {"powers": spread, "negative": [-1.0, 1.0], "zero": [0.0, 1.0], "ones": [1.0]}
    return None if kind == "none" else [tables[kind][i % len(tables[kind])] for i in range(classes)]


def _grads(kind: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    table = {"one": [1.0], "negative": [-2.0], "mixed": [1.0, -1.0, 0.0, 2.0], "fraction": [0.5, 0.25]}[kind]
    count = int(np.prod(shape))
    return np.array([table[i % len(table)] for i in range(count)]).reshape(shape)
