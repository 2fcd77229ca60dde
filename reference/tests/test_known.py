"""The model and every legal variant against exact arithmetic, and the catalogue's own consistency."""

from __future__ import annotations

import functools
import itertools
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from multimargin_reference.formats import DTYPES
from multimargin_reference.known import FAULTS, MODEL, VARIANTS, Backend

P = (1, 2)
REDUCTIONS = ("none", "mean", "sum")
MARGINS = (1.0, 0.5, -0.5, 0.0)
SHAPES = ((2, 4), (4, 2), (1, 8), (2, 1), (4,))
BACKENDS = {"model": MODEL} | {v.name: v.make() for v in VARIANTS}


def exact_loss(x: list[list[Fraction]], y: list[int], p: int, margin: Fraction, w: list[Fraction]) -> list[Fraction]:
    """Compute each row's loss in rational numbers."""
    losses = []
    for row, t in zip(x, y, strict=True):
        terms = [max(Fraction(0), margin - row[t] + row[i]) ** p for i in range(len(row)) if i != t]
        losses.append(w[t] * sum(terms, Fraction(0)) / len(row))
    return losses


def exact_gradient(
    g: list[Fraction], x: list[list[Fraction]], y: list[int], p: int, margin: Fraction, w: list[Fraction]
) -> list[list[Fraction]]:
    """Compute each row's gradient in rational numbers; `g` is one factor a row."""
    rows = []
    for scale, row, t in zip(g, x, y, strict=True):
        z = [margin - row[t] + v for v in row]
        d = [scale * w[t] * (1 if p == 1 else 2 * v) / len(row) if v > 0 else Fraction(0) for v in z]
        d[t] = -sum((v for i, v in enumerate(d) if i != t), Fraction(0))
        rows.append(d)
    return rows


def fractions(values: Any) -> Any:
    return [fractions(v) for v in values] if isinstance(values, list) else Fraction(values)


def grid_case(dtype: str, shape: tuple[int, ...], seed: int) -> dict[str, Any]:
    """Draw a case on which nothing rounds, not even in bfloat16 in any order."""
    draw = np.random.default_rng(seed)
    kind = DTYPES[dtype]
    return {
        "input": (draw.integers(0, 3, shape) / 2).astype(kind),
        "target": np.asarray(draw.integers(0, shape[-1], shape[:-1]), np.int64),
        "weight": draw.choice([1.0, -1.0, 2.0], shape[-1]).astype(kind),
        "rows": draw.choice([1.0, -1.0, 2.0], shape[:-1]).astype(kind),
    }


def expected(case: dict[str, Any], p: int, margin: float, weighted: bool, reduction: str) -> tuple[Any, Any, Any]:
    """Return grad_output and the exact loss and gradient, as arrays of the case's dtype."""
    x, y, kind = case["input"], case["target"], case["input"].dtype
    g = case["rows"] if reduction == "none" else np.asarray(-2.0, kind)
    rows = fractions(np.atleast_2d(x).astype(float).tolist())
    targets = np.atleast_1d(y).tolist()
    w = fractions(case["weight"].astype(float).tolist()) if weighted else [Fraction(1)] * x.shape[-1]
    loss = exact_loss(rows, targets, p, Fraction(margin), w)
    count = len(rows) if reduction == "mean" else 1
    per_row = [v / count for v in fractions(np.broadcast_to(g, y.shape).astype(float).reshape(-1).tolist())]
    gradient = exact_gradient(per_row, rows, targets, p, Fraction(margin), w)
    total = np.reshape([float(v) for v in loss], y.shape) if reduction == "none" else float(sum(loss) / count)
    return (
        g,
        np.asarray(total).astype(kind),
        np.reshape([[float(v) for v in r] for r in gradient], x.shape).astype(kind),
    )


@functools.cache
def grid(dtype: str) -> list[tuple[Any, ...]]:
    """Return every combination as (case, keywords, grad_output, loss, gradient)."""
    cases = []
    combinations = itertools.product(SHAPES, P, MARGINS, (False, True), REDUCTIONS)
    for seed, (shape, p, margin, weighted, reduction) in enumerate(combinations):
        case = grid_case(dtype, shape, seed)
        keywords = {"p": p, "margin": margin, "reduction": reduction, "weight": case["weight"] if weighted else None}
        cases.append((case, keywords, *expected(case, p, margin, weighted, reduction)))
    return cases


def check_agreement(
    backend: Backend, case: dict[str, Any], keywords: dict[str, Any], g: Any, loss: Any, gradient: Any
) -> None:
    got = backend.forward(case["input"], case["target"], **keywords)
    assert (got.dtype, got.shape) == (loss.dtype, loss.shape)
    assert np.array_equal(got, loss), (keywords, got, loss)
    slope = backend.backward(g, case["input"], case["target"], **keywords)
    assert (slope.dtype, slope.shape) == (gradient.dtype, gradient.shape)
    assert np.array_equal(slope, gradient), (keywords, slope, gradient)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", BACKENDS)
def test_exact_grid(name: str, dtype: str) -> None:
    for case in grid(dtype):
        check_agreement(BACKENDS[name], *case)


def test_names_are_unique() -> None:
    names = [known.name for known in (*FAULTS, *VARIANTS)]
    assert len(set(names)) == len(names)
    assert all(known.make().name == known.name for known in (*FAULTS, *VARIANTS))


def test_sentences_are_sentences() -> None:
    for known in (*FAULTS, *VARIANTS):
        assert known.sentence.endswith("."), known.name
        assert ". " not in known.sentence, known.name


def test_sentences_are_unique() -> None:
    sentences = [fault.sentence for fault in FAULTS]
    assert len(set(sentences)) == len(sentences)


def test_every_fault_names_clauses() -> None:
    for fault in FAULTS:
        assert fault.clauses, fault.name
        assert len(set(fault.clauses)) == len(fault.clauses), fault.name
        assert all(clause in CLAUSES for clause in fault.clauses), fault.name


def test_every_clause_has_a_fault() -> None:
    assert {clause for fault in FAULTS for clause in fault.clauses} == CLAUSES


def test_instances_share_nothing() -> None:
    for fault in FAULTS:
        assert fault.make() is not fault.make(), fault.name


GROUPS = {
    "VALUE": 9,
    "WEIGHT": 5,
    "REDUCTION": 5,
    "SHAPE": 9,
    "DTYPE": 4,
    "GRADIENT": 11,
    "SPECIAL": 7,
    "REJECT": 12,
    "PURITY": 6,
}
CLAUSES = {f"{group}-{number}" for group, count in GROUPS.items() for number in range(1, count + 1)}
