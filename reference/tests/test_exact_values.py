"""The exact grid by doubles: the same point as the general enclosures, or no answer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from multimargin_reference.case import Case
from multimargin_reference.exact_values import exact_values, legal_values
from multimargin_reference.expectation import Enclosures, expected_values
from multimargin_reference.formats import DTYPES

SHAPES = ((1, 2), (2, 4), (4, 4), (3, 4), (2, 3), (8, 2), (4,))
MARGINS = (1.0, 0.5, 0.0, -0.75, 0.1, 2.0**-40, 1024.0, float("inf"))
WEIGHTS = ((1.0, 2.0, 0.5), (-1.0, 0.0, 4.0), (0.0,), (3.0, 1.0), (2.0**-100, 2.0**60))
GRADS = ((1.0,), (-2.0, 0.0, 0.5), (0.1,), (2.0**-130, 1.0), (float("nan"), 1.0))


def drawn(rng: np.random.Generator, dtype: str) -> Case:
    shape = SHAPES[rng.integers(len(SHAPES))]
    levels, step = int(rng.choice([2, 4, 16, 2**10, 2**23])), 2.0 ** int(rng.choice([-2, -1, 0, 3, -30, -140, 100]))
    x = rng.integers(-levels, levels, shape) * step
    y = rng.integers(0, shape[-1], shape[:-1])
    w = np.resize(WEIGHTS[rng.integers(len(WEIGHTS))], shape[-1]) if rng.integers(2) else None
    reduction = ("none", "mean", "sum")[rng.integers(3)]
    g = np.resize(GRADS[rng.integers(len(GRADS))], shape[:-1] if reduction == "none" else ())
    kind = DTYPES[dtype]
    with np.errstate(over="ignore"):
        w = None if w is None else w.astype(kind)
        return Case(x.astype(kind), y, int(rng.integers(1, 3)), MARGINS[rng.integers(8)], w, reduction, g.astype(kind))


def same(a: Enclosures | None, b: Enclosures | None) -> bool:
    assert a is not None
    assert b is not None
    points = np.array_equal(a.lo, b.lo) and np.array_equal(a.hi, b.hi) and np.array_equal(a.nearest, b.nearest)
    return points and a.shape == b.shape and a.dtype == b.dtype and a.exact and b.exact


@pytest.mark.parametrize("dtype", DTYPES)
def test_whatever_is_recognised_is_the_one_legal_result(dtype: str) -> None:
    rng = np.random.default_rng(7)
    recognised = 0
    for _ in range(800):
        case = drawn(rng, dtype)
        found = exact_values(case)
        if found is None:
            continue
        recognised += 1
        for flush in (False, True):
            general = expected_values(case, flush=flush)
            assert same(found.loss, general.loss)
            assert same(found.gradient, general.gradient)
    assert recognised > 20


def test_what_may_round_is_left_to_the_general_rules() -> None:
    x, y = np.array([[0.0, 0.5, 1.0, 0.25]], np.float32), np.array([0])
    exact = Case(x, y, grad_output=np.array(1, np.float32))
    assert exact_values(exact) is not None
    rounding = (
        replace(exact, margin=0.1),
        replace(exact, input=x[:, :3]),
        replace(exact, input=x * 2.0**30),
        replace(exact, weight=np.full(4, 3, np.float32)),
        replace(exact, grad_output=np.array(np.nan, np.float32)),
        replace(exact, input=np.array([[np.inf, 0, 0, 0]], np.float32)),
        replace(exact, input=x[:0], target=y[:0]),
    )
    assert [exact_values(case) for case in rounding] == [None] * len(rounding)


def test_legal_values_are_there_for_both() -> None:
    case = Case(np.array([[0.0, 0.5, 1.0]], np.float32), np.array([0]))
    assert exact_values(case) is None
    point = np.array([0.75])
    exact = legal_values(replace(case, input=case.input[:, :2]))
    assert same(exact.loss, Enclosures((), "float32", point, point, point))
    assert not legal_values(case).loss.exact
