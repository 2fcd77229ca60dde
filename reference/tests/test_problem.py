"""A case as exact numbers: its fields, and which terms are finite, infinite or undefined."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from multimargin_reference.case import Case
from multimargin_reference.formats import DTYPES, FLOAT16, FLOAT32
from multimargin_reference.problem import ONE, ZERO, Problem, problem, row_terms

INF, NAN = math.inf, math.nan


@pytest.mark.parametrize("dtype", DTYPES)
def test_fields(dtype: str) -> None:
    kind = DTYPES[dtype]
    x, w = np.array([[0.1, 0.5], [INF, 0.1], [0.1, 0.5]], kind), np.array([0.3, -2], kind)
    tenth, third = Fraction(float(x[0, 0])), Fraction(float(w[0]))
    case = Case(x, np.array([1, 0, 0]), 2, 0.7, w, "none", np.array([1, 0.1, 3], kind))
    made = problem(case)
    assert made.rows == ((tenth, Fraction(1, 2)), (INF, tenth), (tenth, Fraction(1, 2)))
    assert (made.targets, made.weights, made.grads) == ((1, 0, 0), (-2, third, third), (1, tenth, 3))
    assert (made.margin, made.p, made.reduction, made.flush) == (Fraction(0.7), 2, "none", False)
    assert made.format == case.format
    assert problem(case, format=FLOAT32, flush=True) == replace(made, format=FLOAT32, flush=True)
    plain = problem(Case(x[0], np.array(1)))
    assert (plain.rows, plain.targets, plain.weights, plain.grads) == (made.rows[:1], (1,), (ONE,), (ONE,))
    with pytest.raises(ValueError, match="p=3, but should be 1 or 2"):
        problem(replace(case, p=3))


def of_row(row: tuple[float, ...], margin: float = 1.0) -> Problem:
    """Exact numbers of one row, whose target is class 0."""
    return problem(Case(np.array([row], np.float16), np.array([0]), margin=margin))


def test_equal_logits_are_one_term() -> None:
    row = row_terms(of_row((0.5, 0.5, -1.0, 0.5, 0.25)), 0)
    assert {float(x): (float(t.z), t.e, t.count) for x, t in row.terms.items()} == {  # type: ignore[arg-type]
        0.5: (1, 0, 2),
        -1.0: (-0.5, 0, 1),
        0.25: (0.75, 0, 1),
    }
    assert row.own is not None
    assert (row.own.z, row.own.count) == (1, 1)
    assert [t.z for t in row.active] == [1, Fraction(3, 4)]


@pytest.mark.parametrize(
    ("row", "margin", "finite", "infinite", "undefined", "own"),
    [
        ((0.0, INF, 1.0, INF), 1.0, [1.0], {INF: 2}, [], True),
        ((0.0, -INF, 1.0), 1.0, [1.0], {}, [], True),
        ((0.0, NAN, 1.0), 1.0, [1.0], {}, [1], True),
        ((INF, INF, 1.0), 1.0, [], {}, [1], False),
        ((-INF, 0.0, 1.0, 1.0), 1.0, [], {0.0: 1, 1.0: 2}, [], False),
        ((NAN, 0.0, 1.0, 1.0), 1.0, [], {}, [1, 2], False),
        ((0.0, 1.0), INF, [], {1.0: 1}, [], False),
        ((0.0, 1.0), -INF, [], {}, [], False),
    ],
)
def test_terms_that_are_not_finite(
    row: tuple[float, ...],
    margin: float,
    finite: list[float],
    infinite: dict[float, int],
    undefined: list[int],
    own: bool,
) -> None:
    made = row_terms(of_row(row, margin), 0)
    assert list(made.terms) == finite
    assert made.infinite == infinite
    assert list(made.undefined.values()) == undefined
    assert (made.own is not None) == own


LARGEST = float(FLOAT16.largest)


@pytest.mark.parametrize(
    ("row", "margin", "judged"),
    [
        ((-LARGEST, -INF), 1.0, False),
        ((INF, LARGEST), 1.0, False),
        ((-LARGEST, -INF), 0.0, False),
        ((LARGEST, -INF), -1.0, False),
        ((LARGEST, -INF), 1.0, True),
        ((INF, -LARGEST), 1.0, True),
        ((INF, INF), 60000.0, True),
        ((-LARGEST, LARGEST), LARGEST, True),
    ],
)
def test_an_overflow_beside_an_infinity_is_not_judged(row: tuple[float, ...], margin: float, judged: bool) -> None:
    made = of_row(row, margin)
    if judged:
        row_terms(made, 0)
        return
    with pytest.raises(
        ValueError, match=f"^logits {row[0]} and {row[1]}: a first sum overflows beside an infinity, not"
    ):
        row_terms(made, 0)


def test_equal_rows_share_their_figures() -> None:
    x = np.array([[0.0, 1.0], [0.0, 1.0], [1.0, 0.0]], np.float32)
    figures = problem(Case(x, np.array([0, 0, 0]))).figures
    assert figures[0] is figures[1]
    assert figures[2] == row_terms(problem(Case(x, np.array([0, 0, 0]))), 2)
    other = problem(Case(x, np.array([0, 1, 0]))).figures
    assert other[0] != other[1]
    assert [row.own is not None and row.own.z for row in other] == [ONE] * 3
    assert ZERO not in [t.z for row in figures for t in row.active]
