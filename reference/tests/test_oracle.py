"""The oracle against a second derivation: the loss by sympy, the gradient as limits of difference quotients."""

from __future__ import annotations

import math
from fractions import Fraction
from random import Random
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import sympy

from multimargin_reference import enclosures, oracle
from multimargin_reference.case import Case
from multimargin_reference.formats import DTYPES

INF, NAN = math.inf, math.nan
STEP = Fraction(1, 1 << 12)  # smaller than the distance of any of the logits below from a kink
MARGINS = (1.0, 0.0, -0.5, 0.1, 0.75)
REDUCTIONS = ("none", "mean", "sum")
ONE_OF = "one of float16, bfloat16, float32, float64"


def rational(value: Fraction) -> sympy.Rational:
    return sympy.Rational(value.numerator, value.denominator)


def sympy_loss(
    rows: list[list[Fraction]], targets: list[int], p: int, margin: float, w: list[Fraction]
) -> list[Fraction]:
    """One loss a row, as the documentation writes it: w[y] max(0, margin - x[y] + x[i])**p summed over i != y, / C."""
    m, result = sympy.Rational(*margin.as_integer_ratio()), []
    for x, y in zip(rows, targets, strict=True):
        terms = [sympy.Max(0, m - rational(x[y]) + rational(v)) ** p for i, v in enumerate(x) if i != y]
        value = sympy.Rational(rational(w[y]) * sympy.Add(*terms) / len(x))
        result.append(Fraction(int(value.p), int(value.q)))
    return result


def reduced(losses: list[Fraction], reduction: str, g: list[Fraction]) -> Fraction:
    """The scalar whose gradient is asked for: the losses weighted with grad_output."""
    total = sum((loss * factor for loss, factor in zip(losses, g, strict=True)), Fraction(0))
    return total / len(losses) if reduction == "mean" else total


class Example:
    """A random call on a coarse grid, so that kinks are frequent and far apart."""

    def __init__(self, seed: int) -> None:
        random = Random(seed)
        n, c = random.randint(1, 3), random.randint(1, 6)
        self.p, self.margin, self.reduction = random.choice((1, 2)), random.choice(MARGINS), random.choice(REDUCTIONS)
        self.rows = [[Fraction(random.randint(-4, 4), 4) for _ in range(c)] for _ in range(n)]
        self.targets = [random.randrange(c) for _ in range(n)]
        self.weight = [Fraction(random.randint(-3, 6), 2) for _ in range(c)]
        self.g = [Fraction(random.randint(-4, 4), 2) for _ in range(n)]
        if self.reduction != "none":
            self.g = [self.g[0]] * n

    @property
    def arguments(self) -> dict[str, Any]:
        """What the oracle is called with."""
        return {
            "input": np.array(self.rows, np.float32),
            "target": np.array(self.targets),
            "p": self.p,
            "margin": self.margin,
            "weight": np.array(self.weight, np.float32),
            "reduction": self.reduction,
        }

    @property
    def grad_output(self) -> Any:
        """One factor a row for none, else a scalar."""
        return np.array(self.g if self.reduction == "none" else self.g[0], np.float32)

    def scalar(self, row: int, at: int, step: Fraction) -> Fraction:
        """The loss times grad_output with one logit moved."""
        rows = [list(x) for x in self.rows]
        rows[row][at] += step
        losses = sympy_loss(rows, self.targets, self.p, self.margin, self.weight)
        return reduced(losses, self.reduction, self.g)

    def one_sided(self, row: int, at: int, step: Fraction) -> Fraction:
        """The limit of the difference quotient: the loss is quadratic that near, so two quotients give it exactly."""
        here = self.scalar(row, at, Fraction(0))
        whole = (self.scalar(row, at, step) - here) / step
        half = (self.scalar(row, at, step / 2) - here) / (step / 2)
        return 2 * half - whole


@pytest.mark.parametrize("seed", range(60))
def test_loss_equals_sympy(seed: int) -> None:
    example = Example(seed)
    losses = sympy_loss(example.rows, example.targets, example.p, example.margin, example.weight)
    expected: Any = (
        losses if example.reduction == "none" else reduced(losses, example.reduction, [Fraction(1)] * len(losses))
    )
    assert oracle.loss(**example.arguments) == expected


@pytest.mark.parametrize("seed", range(60))
def test_gradient_is_the_one_sided_limit_nearer_to_zero(seed: int) -> None:
    """Away from kinks, and for p = 2 everywhere, both limits are the same; at a kink the term counts as inactive."""
    example = Example(seed)
    gradient = oracle.gradient(example.grad_output, **example.arguments)
    for row, x in enumerate(example.rows):
        for at in range(len(x)):
            limits = [example.one_sided(row, at, step) for step in (-STEP, STEP)]
            assert gradient[row][at] == min(limits, key=abs)
            assert example.p == 1 or limits[0] == limits[1]


def test_the_examples_above_meet_kinks() -> None:
    kinks = 0
    for seed in range(60):
        e = Example(seed)
        m = Fraction(e.margin)
        for x, y in zip(e.rows, e.targets, strict=True):
            kinks += sum(m - x[y] + v == 0 and i != y for i, v in enumerate(x)) if e.p == 1 else 0
    assert kinks > 10


def test_example_of_the_documentation() -> None:
    x = [[0.1, 0.2, 0.4, 0.8]]
    value = oracle.loss(x, [3])
    assert value == sum(1 - Fraction(0.8) + Fraction(v) for v in (0.1, 0.2, 0.4)) / 4
    assert np.float32(float(oracle.loss(np.array(x, np.float32), [3]))) == np.float32(0.325)


def test_margin_is_an_exact_double() -> None:
    x = np.zeros((1, 2), np.float32)
    assert oracle.loss(x, [0], margin=0.1) == Fraction(0.1) / 2
    assert oracle.loss(x, [0], margin=np.float16(0.1)) == Fraction(float(np.float16(0.1))) / 2  # type: ignore[arg-type]
    assert oracle.loss(x, [0], margin=1) == Fraction(1, 2)


@pytest.mark.parametrize("dtype", DTYPES)
def test_arrays_of_every_dtype(dtype: str) -> None:
    x = np.array([[0.1, 0.7, 0.3]], DTYPES[dtype])
    a, b, c = (Fraction(float(v)) for v in x[0])
    assert oracle.loss(x, [1], reduction="none") == [(1 - b + a + 1 - b + c) / 3]
    assert oracle.gradient(np.ones((), DTYPES[dtype]), x, [1]) == [[Fraction(1, 3), Fraction(-2, 3), Fraction(1, 3)]]


def test_array_likes_and_scalars() -> None:
    eighth = ml_dtypes.bfloat16(0.125)
    scalars = [eighth, ml_dtypes.bfloat16(0.5)]
    for x in (scalars, tuple(scalars), np.array(scalars)):
        assert oracle.loss(x, 0, reduction="none") == Fraction(11, 16)
    assert oracle.loss([0, 1], 0, p=2) == 2
    assert oracle.loss([[0, 1]], np.array([0]), weight=[2, 1], reduction="sum") == 2
    assert oracle.gradient(1, [[0.0, 1.0]], [0]) == [[Fraction(-1, 2), Fraction(1, 2)]]
    assert oracle.gradient(np.float64(2.0), [0.0, 1.0], 0) == [-1, 1]


@pytest.mark.parametrize("dtype", DTYPES)
def test_numbers_take_the_dtype_of_input(dtype: str) -> None:
    kind = DTYPES[dtype]
    x, target = np.array([[0, 1], [1, 0]], kind), np.array([0, 0])
    tenth = Fraction(float(np.array(0.1, kind)))
    for weight in ([0.1, 1], (0.1, 1.0), np.array([0.1, 1], kind)):
        assert oracle.loss(x, target, weight=weight, reduction="none") == [tenth, 0]
    half = Fraction(1, 2)
    for g in ([0.1, 2], np.array([0.1, 2], kind)):
        assert oracle.gradient(g, x, target, reduction="none") == [[-tenth * half, tenth * half], [0, 0]]
    for number in (2, 2.0, np.array(2, kind)):
        assert oracle.gradient(number, x, target, reduction="sum")[0] == [-1, 1]
    assert oracle.loss(x, target, p=np.int64(2), margin=np.float32(0.5), reduction="sum") == Fraction(9, 8)  # type: ignore[arg-type]


def test_shapes() -> None:
    x = np.zeros((2, 4))
    assert oracle.loss(x, [0, 1], reduction="none") == [Fraction(3, 4)] * 2
    assert oracle.loss(x[0], 0, reduction="none") == Fraction(3, 4)
    assert oracle.loss(np.zeros((3, 1)), [0] * 3, reduction="none") == [0, 0, 0]
    empty = np.zeros((0, 4)), np.zeros(0, np.int64)
    assert oracle.loss(*empty, reduction="none") == []
    assert oracle.loss(*empty, reduction="sum") == oracle.loss(*empty) == 0
    assert oracle.gradient(1.0, *empty) == []


@pytest.mark.parametrize(
    ("row", "y", "p", "expected", "gradient"),
    [
        ([0.0, -INF, 1.0], 0, 1, Fraction(2, 3), [Fraction(-1, 3), 0, Fraction(1, 3)]),
        ([0.0, INF, -5.0], 0, 1, INF, [Fraction(-1, 3), Fraction(1, 3), 0]),
        ([0.0, INF, -5.0], 0, 2, INF, [-INF, INF, 0]),
        ([INF, 0.0, 1.0], 0, 2, 0, [0, 0, 0]),
        ([-INF, 0.0, 1.0], 0, 1, INF, [Fraction(-2, 3), Fraction(1, 3), Fraction(1, 3)]),
        ([0.0, NAN, 1.0], 0, 1, Fraction(2, 3), [Fraction(-1, 3), 0, Fraction(1, 3)]),
        ([NAN, 0.0, 1.0], 0, 2, 0, [0, 0, 0]),
        ([INF, INF, 0.0], 0, 1, 0, [0, 0, 0]),
        ([-INF, -INF, -INF], 0, 1, 0, [0, 0, 0]),
    ],
)
def test_special_values(row: list[float], y: int, p: int, expected: Any, gradient: list[Any]) -> None:
    assert oracle.loss([row], [y], p=p) == expected
    assert oracle.gradient(1.0, [row], [y], p=p) == [gradient]


def test_special_weights_and_margins() -> None:
    assert oracle.loss([[0.0, 0.0]], [0], margin=NAN) == 0
    assert oracle.loss([[0.0, 0.0]], [0], margin=INF) == INF
    assert oracle.loss([[0.0, 0.0]], [0], weight=[1.0, NAN]) == Fraction(1, 2)  # of a class that is no target
    assert oracle.loss([[0.0, -5.0]], [0], weight=[NAN, 1.0]) == 0  # of an inactive row
    assert oracle.loss([[1.0, 0.0]], [0], weight=[NAN, 1.0]) == 0  # of a row on the kink
    assert oracle.loss([[0.0, 0.0]], [0], weight=[-INF, 1.0]) == -INF
    assert math.isnan(oracle.loss([[0.0, INF]], [0], weight=[0.0, 1.0]))
    assert math.isnan(oracle.loss([[0.0, INF], [INF, 0.0]], [0, 1], weight=[1.0, -1.0]))


def test_enclosures_are_those_of_their_module() -> None:
    case = Case(np.array([[0.1, 0.7, 0.3]], np.float32), np.array([1]), grad_output=np.array(1, np.float32))
    assert oracle.enclosure(case) == enclosures.enclosure(case)
    assert oracle.gradient_enclosure(case) == enclosures.gradient_enclosure(case)


def test_strictly_greater_than_zero() -> None:
    assert oracle.gradient(1.0, [[1.0, 0.0]], [0]) == [[0, 0]]
    assert oracle.gradient(1.0, [[1.0, 2.0**-52]], [0]) == [[Fraction(-1, 2), Fraction(1, 2)]]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"p": 3}, ValueError, "p=3, but should be 1 or 2"),
        ({"p": 1.5}, ValueError, "p=1.5, but should be 1 or 2"),
        ({"p": "1"}, ValueError, "p='1', but should be 1 or 2"),
        ({"margin": "1"}, TypeError, "margin='1', but should be a real number"),
        ({"reduction": "max"}, ValueError, "reduction='max', but should be 'none', 'mean' or 'sum'"),
        ({"input": np.zeros((1, 2, 3))}, ValueError, "input.shape=(1, 2, 3), but should be (N, C) or (C,)"),
        ({"input": 1.0}, ValueError, "input.shape=(), but should be (N, C) or (C,)"),
        ({"input": np.zeros((2, 0))}, ValueError, "input.shape=(2, 0), but should have at least one class"),
        ({"input": np.zeros((2, 3), np.int32)}, TypeError, f"input.dtype=int32, but should be {ONE_OF}"),
        ({"input": [[False, True], [True, True]]}, TypeError, f"input.dtype=bool, but should be {ONE_OF}"),
        ({"input": np.int64(1)}, TypeError, f"input.dtype=int64, but should be {ONE_OF}"),
        ({"target": [0]}, ValueError, "target.shape=(1,), but should be (2,) for input.shape=(2, 3)"),
        ({"target": [[0, 0]]}, ValueError, "target.shape=(1, 2), but should be (2,) for input.shape=(2, 3)"),
        ({"target": [0.0, 1.0]}, TypeError, "target.dtype=float64, but should be int64"),
        ({"target": [0, 3]}, IndexError, "target[1]=3, but should be in [0, 3)"),
        ({"input": np.zeros(3), "target": 3}, IndexError, "target[0]=3, but should be in [0, 3)"),
        ({"target": [-1, 0]}, IndexError, "target[0]=-1, but should be in [0, 3)"),
        ({"target": [0, 2**32 + 1]}, IndexError, "target[1]=4294967297, but should be in [0, 3)"),
        ({"weight": [1.0, 1.0]}, ValueError, "weight.shape=(2,), but should be (3,)"),
        ({"input": np.zeros(3), "target": 0, "weight": [1.0]}, ValueError, "weight.shape=(1,), but should be (3,)"),
        ({"weight": [[1.0, 1.0, 1.0]]}, ValueError, "weight.shape=(1, 3), but should be (3,)"),
        ({"weight": np.ones(3, np.int64)}, TypeError, f"weight.dtype=int64, but should be {ONE_OF}"),
        ({"weight": np.ones(3, np.float32)}, TypeError, "weight.dtype=float32, but should be input's float64"),
    ],
)
def test_rejections(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    call: dict[str, Any] = {"input": np.zeros((2, 3)), "target": [0, 1], **arguments}
    with pytest.raises(error) as caught:
        oracle.loss(**call)
    assert str(caught.value) == message
    with pytest.raises(error):
        oracle.gradient(1.0, **call)


@pytest.mark.parametrize(
    ("grad_output", "reduction", "error", "message"),
    [
        (np.ones(2, np.float32), "none", TypeError, "grad_output.dtype=float32, but should be input's float64"),
        (np.ones(3), "none", ValueError, "grad_output.shape=(3,), but should be the loss's (2,)"),
        (np.ones(2), "mean", ValueError, "grad_output.shape=(2,), but should be the loss's ()"),
        (1.0, "none", ValueError, "grad_output.shape=(), but should be the loss's (2,)"),
        (np.array(1), "mean", TypeError, "grad_output.dtype=int64, but should be input's float64"),
        (True, "mean", TypeError, "grad_output.dtype=bool, but should be input's float64"),
        ("1", "mean", TypeError, "grad_output.dtype=<U1, but should be input's float64"),
    ],
)
def test_rejected_grad_output(grad_output: Any, reduction: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        oracle.gradient(grad_output, np.zeros((2, 3)), [0, 1], reduction=reduction)
    assert str(caught.value) == message
