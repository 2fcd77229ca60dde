"""Calls written out: the steps and the printed numbers are the oracle's, and every kind of call is explained."""

from __future__ import annotations

import math
import re
from fractions import Fraction
from itertools import product
from random import Random
from typing import Any

import numpy as np
import pytest

from multimargin_reference import Case, oracle
from multimargin_reference.derivation import ACTIVE, INACTIVE, KINK, TARGET, UNDEFINED, worked_out
from multimargin_reference.expectation import Choice, Rejection, expected_values
from multimargin_reference.explain import LARGEST_CALL, MOST_CLASSES, MOST_ROWS, explain
from multimargin_reference.explain_legal import GRID, UNDECIDABLE, special_clauses, width_in_ulp
from multimargin_reference.formats import DTYPES, FORMATS
from multimargin_reference.number_text import (
    approximate_decimal,
    bits_text,
    cell,
    exact_decimal,
    exact_text,
    float_text,
    fraction_text,
    hex_text,
)
from multimargin_reference.rejection import meaning, rejecting_clause

INF, NAN = math.inf, math.nan
OPTIONS = list(product(DTYPES, (1, 2), ("none", "mean", "sum"), (False, True), (False, True)))


def call(x: Any, y: Any, dtype: str = "float32", w: Any = None, g: Any = None, **options: Any) -> Case:
    def array(values: Any) -> Any:
        return None if values is None else np.array(values, dtype=DTYPES[dtype])

    return Case(array(x), np.array(y, dtype=np.int64), weight=array(w), grad_output=array(g), **options)


def drawn(dtype: str, p: int, reduction: str, weighted: bool, batched: bool, grid: bool, seed: int = 0) -> Case:
    """Return a call of random numbers: multiples of 1/4, or any."""
    random = Random(f"{dtype}{p}{reduction}{weighted}{batched}{grid}{seed}")

    def numbers(count: int) -> list[float]:
        return [random.randrange(-12, 13) / 4 if grid else random.gauss(0, 2) for _ in range(count)]

    n, c = random.randrange(1, MOST_ROWS + 1), random.randrange(1, 7)
    x: Any = [numbers(c) for _ in range(n)]
    y: Any = [random.randrange(c) for _ in range(n)]
    g: Any = numbers(n) if reduction == "none" else numbers(1)[0]
    if not batched:
        x, y, g = x[0], y[0], g[0] if reduction == "none" else g
    w = numbers(c) if weighted else None
    margin = 0.5 if grid else random.choice((0.1, -0.3, 1.0))
    return call(x, y, dtype, w, g, p=p, margin=margin, reduction=reduction)


def read(text: str) -> Fraction:
    """Read a number as `fraction_text` writes it."""
    found = re.fullmatch(r"(-?\d+)(?: \* 2\^(-?\d+))?(?: ?/ ?(\d+))?", text)
    assert found, text
    digits, exponent, divisor = found.groups()
    return Fraction(int(digits)) * Fraction(2) ** int(exponent or 0) / int(divisor or 1)


def flat(nested: Any) -> list[Any]:
    return [value for inner in nested for value in flat(inner)] if isinstance(nested, list) else [nested]


@pytest.mark.parametrize("grid", [True, False])
@pytest.mark.parametrize(("dtype", "p", "reduction", "weighted", "batched"), OPTIONS)
def test_the_steps_lead_to_the_oracles_numbers(
    dtype: str, p: int, reduction: str, weighted: bool, batched: bool, grid: bool
) -> None:
    for seed in range(3):
        case = drawn(dtype, p, reduction, weighted, batched, grid, seed)
        exact, rows = worked_out(case, most_rows=99)
        losses = flat(oracle.loss(case.input, case.target, **case.options))
        gradient = flat(oracle.gradient(case.grad_output, case.input, case.target, **case.options))
        if reduction == "none":
            assert [row.loss for row in rows] == [losses[row.index] for row in rows]
        else:
            total = sum(row.like * row.loss for row in rows)
            assert total / (len(exact.rows) if reduction == "mean" else 1) == losses[0]
        classes = case.input.shape[-1]
        for row in rows:
            assert [step.gradient for step in row.steps] == gradient[row.index * classes :][:classes]


@pytest.mark.parametrize("grid", [True, False])
@pytest.mark.parametrize(("dtype", "p", "reduction", "weighted", "batched"), OPTIONS)
def test_the_printed_numbers_are_the_oracles(
    dtype: str, p: int, reduction: str, weighted: bool, batched: bool, grid: bool
) -> None:
    case = drawn(dtype, p, reduction, weighted, batched, grid)
    text, fmt = explain(case), FORMATS[dtype]
    losses = flat(oracle.loss(case.input, case.target, **case.options))
    assert [read(n) for n in re.findall(r"exactly: ([^=\n]*?)(?: =.*)?$", text, re.M)] == losses
    rounded = re.findall(rf"rounded to {dtype}: \S+ = (\S+) \(bits 0x(\w+)\)", text)
    assert [Fraction(float.fromhex(h)) for h, _ in rounded] == [fmt.round(v) for v in losses]
    kept = [np.frombuffer(bytes.fromhex(bits)[::-1], dtype=DTYPES[dtype])[0] for _, bits in rounded]
    assert [Fraction(float(v)) for v in kept] == [fmt.round(v) for v in losses]
    gradient = flat(oracle.gradient(case.grad_output, case.input, case.target, **case.options))
    own = [gradient[i * case.input.shape[-1] + int(y)] for i, y in enumerate(np.atleast_1d(case.target))]
    printed = [read(n) for n in re.findall(r"h\[y\] = -\(.*\) = ([^=\n]*?)(?: =.*)?$", text, re.M)]
    assert printed == own
    hexadecimal = [line.split() for line in text.partition("the gradient by")[2].splitlines()]
    faces = [word for line in hexadecimal for word in line if word.startswith(("0x", "-0x"))]
    assert [Fraction(float.fromhex(word)) for word in faces] == [fmt.round(v) for v in gradient]


def test_a_call_is_written_out() -> None:
    text = explain(call([[0.5, 0.25, 1, -2], [1, 0, 0, 0.5]], [0, 0], "float32", [2, 1, 1, 1], 1, reduction="mean"))
    for line in (
        "row 0: target y = 0, x[y] = 1/2 = 0.5, w[y] = 2",
        "    0     0.5     1            -  the target: left out (VALUE-4)",
        "    1    0.25  0.75          1.5  active: z > 0",
        "    3      -2  -1.5            -  inactive: z < 0",
        "    1       0    0            -  kink: z = 0 counts nothing (VALUE-3)",
        "  sum = 3/2 + 3 = 9/2 = 4.5",
        "  divided by C = 4: 9/8 = 1.125",
        "reduction 'mean': the rows' losses added up and divided by N = 2: (9/8 + 1/4) / 2",
        "  loss, exactly: 11/16 = 0.6875",
        "  rounded to float32: 0.6875 = 0x1.6p-1 (bits 0x3f300000)",
        "  legal: 0.6875, 0 ULP wide",
        f"  why: {GRID}",
        "row 0: h[i] = slope * grad_output * w[y] / 8 = slope * 1 * 2 / 8",
        "  h[y] = -(1/4 + 1/4) = -1/2 = -0.5",
    ):
        assert line in text.splitlines(), line
    assert "0 (GRADIENT-4)" in text


def test_without_grad_output_there_is_no_gradient() -> None:
    assert "gradient" not in explain(call([[0, 1]], [0]))


def test_without_a_weight_none_is_shown() -> None:
    assert "w[y]" not in explain(call([[0, 1]], [0], g=1))


@pytest.mark.parametrize(
    ("x", "y", "states"),
    [
        ([1, 0, 0.5, -1], 0, [TARGET, KINK, ACTIVE, INACTIVE]),
        ([1, NAN, INF, -INF], 0, [TARGET, UNDEFINED, ACTIVE, INACTIVE]),
        ([INF, INF, 0, -INF], 0, [TARGET, UNDEFINED, INACTIVE, INACTIVE]),
        ([0, -INF], 1, [ACTIVE, TARGET]),
    ],
)
def test_states(x: Any, y: int, states: list[str]) -> None:
    _, (row,) = worked_out(call(x, y), 9)
    assert [step.state for step in row.steps] == states
    assert row.count(ACTIVE) == states.count(ACTIVE)


@pytest.mark.parametrize(
    ("clauses", "x", "options"),
    [
        ([], [[0.0, 1.0]], {}),
        (["SPECIAL-1"], [[0, 1, -INF]], {}),
        (["SPECIAL-2"], [[0, INF]], {}),
        (["SPECIAL-3"], [[INF, 1]], {}),
        (["SPECIAL-4"], [[-INF, 1]], {}),
        (["SPECIAL-5"], [[0, 2.0**-140]], {"margin": 0.0}),
        (["SPECIAL-6"], [[0, 3e38, 3e38]], {"p": 2}),
        (["SPECIAL-7"], [[0, NAN, 1]], {}),
        (["SPECIAL-3", "SPECIAL-8"], [[INF, INF, 0]], {}),
        (["SPECIAL-2", "SPECIAL-8"], [[0, INF]], {"w": [0, 1]}),
        (["SPECIAL-8"], [[0, 1]], {"w": [1, NAN]}),
        (["SPECIAL-8"], [[0, 1]], {"margin": INF}),
        (["SPECIAL-8"], [[0, 1]], {"margin": 1e39}),
    ],
)
def test_special_clauses_are_quoted(clauses: list[str], x: Any, options: dict[str, Any]) -> None:
    case = call(x, [0], g=1, reduction="sum", **options)
    values = expected_values(case) if math.isfinite(case.margin) and case.margin < 1e38 else None
    assert special_clauses(case, values) == clauses
    text = explain(case)
    assert [line.split()[0] for line in text.splitlines() if line.startswith("SPECIAL-")] == clauses
    assert ("legal: not defined" in text) is (values is None)


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (call([[0, 0.5, -3, -3]], [0]), GRID),
        (call([[0, -5]], [0]), "no term can be active: adding zeros never rounds"),
        (call([[0, 0.5, -3, -3]], [0], margin=0.1), "margin is no float32 number"),
        (call([[0, 1e-9, -3, -3]], [0]), "1 of 1 sums margin - x[y] + x[i] may round"),
        (call([[0, 0.5, 1]], [0]), "1 / 3 is no float32 number"),
        (call([[0, 0.5, 1 / 3, 0.25]], [0], p=2), "the squares may round"),
        (call([[0, 0.5, 1, -5]], [0], w=[0.3, 1, 1, 1]), "products with w[y] may round"),
        (call([[0, 0.5, 1]], [0]), "2 terms may be added in any order: 1 rounding;"),
        (call([[0, 0.5, 1 / 3]], [0], "float16"), "computing in float16 itself is legal"),
        (call([[0, INF]], [0]), "infinite or undefined numbers decide, whatever rounds"),
        (call([[0, 3e38, 3e38]], [0], p=2), "at or beyond the overflow threshold (SPECIAL-6)"),
        (call(np.zeros((0, 2)), []), "a sum of nothing rounds nowhere"),
        (call([[0.1, 0]], [0], margin=float(np.float32(0.1)) * (1 + 2**-40), g=1), UNDECIDABLE),
    ],
)
def test_the_width_has_a_reason(case: Case, reason: str) -> None:
    assert any(reason in line for line in explain(case).splitlines() if line.startswith("  why: "))


def test_the_grid_is_claimed_only_where_one_answer_is_legal() -> None:
    claimed = 0
    for options in OPTIONS:
        case = drawn(*options, grid=True)
        values, text = expected_values(case), explain(case)
        wide = bool(np.any(values.loss.lo < values.loss.hi))
        assert values.gradient is not None
        wide = wide and bool(np.any(values.gradient.lo < values.gradient.hi))
        whole = text.count(GRID) == text.count("  why: ")
        assert not (whole and wide)
        claimed += whole
    assert claimed > 10


def test_the_width_in_ulp() -> None:
    case = call([[0, 0.5, 1]], [0])
    loss = expected_values(case).loss
    width = width_in_ulp(loss, 0)
    assert width is not None
    assert width == (loss.hi[0] - loss.lo[0]) / 2.0**-23
    assert width > 1
    assert f"{width} ULP wide" in explain(case)
    assert width_in_ulp(expected_values(call([[0, INF]], [0])).loss, 0) is None


def test_halves_have_two_enclosures() -> None:
    assert "; computed in float32 with one final rounding: only " in explain(call([[0, 0.3, 1 / 3]], [0], "bfloat16"))
    assert "one final rounding" not in explain(call([[0, 0.3, 1 / 3]], [0], "float32"))


def test_an_empty_batch_is_explained() -> None:
    empty = np.zeros((0, 3))
    assert "0 and NaN are both legal (SHAPE-8)" in explain(call(empty, [], g=1))
    assert "0 (SHAPE-7)" in explain(call(empty, [], g=1, reduction="sum"))
    assert "there is none" in explain(call(empty, [], g=[], reduction="none"))


def test_long_calls_are_shortened() -> None:
    x = np.full((50, 4000), -19.0)
    x[:, 3] = -9.0
    x[:, ::100] = 0.5
    x[:, 0] = np.arange(50) / 64
    text = explain(call(x, [3] * 50, g=1, margin=0.0))
    assert len(text.splitlines()) < 40 + 2 * MOST_ROWS * (MOST_CLASSES + 6)
    assert f"and {50 - MOST_ROWS} more rows" in text
    assert "and 3988 more classes: 29 active, 3959 inactive" in text
    assert max(map(len, text.splitlines())) < 400


def test_kinks_keep_their_place_among_many_active_classes() -> None:
    text = explain(call([[0, *[1] * 30, *[0] * 30]], [0], margin=0.0))
    assert (text.count("active: z > 0"), text.count("kink: z = 0")) == (8, 3)
    assert "and 49 more classes: 22 active, 27 kink" in text


def test_equal_rows_are_written_once() -> None:
    text = explain(call([[0, 1], [0, 1], [0, 3]], [0, 0, 0], reduction="sum"))
    assert "(1 more such row)" in text
    assert "2 * 1 + 2" in text
    assert text.count("\nrow ") == 2


def test_a_call_that_is_too_large_is_refused() -> None:
    with pytest.raises(ValueError, match="should have at most"):
        explain(Case(np.zeros((1, LARGEST_CALL + 1), dtype=np.float32), np.array([0])))


VALID: dict[str, Any] = {"input": np.zeros((3, 2)), "target": np.array([0, 1, 0]), "p": 1, "reduction": "mean"}


@pytest.mark.parametrize(
    ("clause", "changes"),
    [
        ("", {}),
        ("", {"p": 1.0}),
        ("", {"target": np.array([0, 1, 0], dtype=np.int8)}),
        ("", {"input": np.zeros((1, 2)), "target": np.array(0)}),
        ("", {"input": np.zeros(2), "target": np.array([1])}),
        ("", {"input": np.zeros((0, 2)), "target": np.zeros(0)}),
        ("REJECT-1", {"p": 1.99}),
        ("REJECT-2", {"reduction": "average"}),
        ("REJECT-3", {"target": np.array([0, -1, 0])}),
        ("REJECT-4", {"target": np.array([0, 2, 0])}),
        ("REJECT-5", {"target": np.array([0, 2**32 + 1, 0])}),
        ("REJECT-6", {"target": np.array([0, 1])}),
        ("REJECT-7", {"target": np.array([[0], [1], [0]])}),
        ("REJECT-7", {"target": np.array(0)}),
        ("REJECT-8", {"target": np.array([0.0, 1.0, 0.0])}),
        ("REJECT-9", {"weight": np.ones(3)}),
        ("REJECT-10", {"weight": np.ones((1, 2))}),
        ("REJECT-10", {"weight": np.array(1.0)}),
        ("REJECT-11", {"input": np.zeros((3, 0))}),
        ("REJECT-12", {"input": np.zeros((3, 2, 2))}),
    ],
)
def test_the_clause_that_rejects(clause: str, changes: dict[str, Any]) -> None:
    case = Case(**(VALID | changes))
    assert rejecting_clause(case) == clause
    text = explain(case)
    assert ("MUST BE REJECTED: " + clause in text) is bool(clause)
    assert ("exactly:" in text) is not bool(clause)


def test_a_known_rejection_names_its_clause() -> None:
    case = Case(**(VALID | {"target": np.array([0, -300, 0])}))
    assert "MUST BE REJECTED: REJECT-5 far target" in explain(case, Rejection("REJECT-5"))
    assert "here: target[1]=-300, but should be in [0, 2)" in explain(case)


@pytest.mark.parametrize(
    "changes",
    [
        {"target": np.array([0, 1, 0], dtype=np.uint8)},
        {"input": np.zeros((1, 2)), "target": np.array(0)},
        {"input": np.zeros(2), "target": np.array([1])},
        {"input": np.zeros((3, 2), dtype=np.int64)},
        {"input": np.zeros(()), "target": np.array(0)},
        {"weight": np.ones(2, dtype=np.float32)},
    ],
)
def test_an_unusual_call_is_explained_by_what_it_stands_for(changes: dict[str, Any]) -> None:
    case = Case(**(VALID | changes))
    usual = meaning(case)
    oracle.loss(usual.input, usual.target, **usual.options)
    assert "UNUSUAL: " in explain(case)
    assert "exactly:" in explain(case)
    assert "UNUSUAL" not in explain(usual)


def test_a_grad_output_that_does_not_fit_is_no_reject_clause() -> None:
    assert "No REJECT clause names it" in explain(call([[0, 1]], [0], g=[1, 2, 3], reduction="none"))


def test_a_choice_names_its_answers() -> None:
    case = call([[0, NAN]], [0])
    text = explain(case, Choice("NaN somewhere", {"finite": "dropped", "nan": "propagated"}, expected_values(case)))
    assert "A CHOICE: NaN somewhere" in text
    assert "'dropped', 'propagated'" in text


NUMBERS = [
    Fraction(0),
    Fraction(3, 8),
    Fraction(-1, 3),
    Fraction(0.1),
    Fraction(10**30),
    Fraction(1, 10**30),
    Fraction(2**200, 3),
    Fraction(-7, 3 * 2**150),
    Fraction(1e300) ** 2,
    Fraction(5e-324) ** 2,
    Fraction(123456789, 2**20),
    Fraction(-(3**120), 2**10),
    Fraction(2, 3**90),
]


@pytest.mark.parametrize("value", NUMBERS)
def test_exact_numbers_read_back(value: Fraction) -> None:
    assert read(fraction_text(value)) == value
    assert read(exact_text(value).split(" = ")[0]) == value
    decimal = exact_decimal(value)
    assert not decimal or Fraction(decimal) == value
    assert abs(Fraction(approximate_decimal(value)) - value) <= abs(value) / 10**16
    assert len(cell(value)) <= 40
    shown = cell(value)
    assert shown.startswith("about ") or read_any(shown) == value


def read_any(text: str) -> Fraction:
    return Fraction(text) if re.fullmatch(r"-?\d+\.\d+", text) else read(text)


def test_infinities_and_nan_are_words() -> None:
    for value in (INF, -INF, NAN):
        assert fraction_text(value) == exact_text(value) == cell(value) == exact_decimal(value) == str(value)
    assert bits_text(-NAN, "float32") == bits_text(NAN, "float32") == "0x7fc00000"
    assert hex_text(INF) == "inf"


@pytest.mark.parametrize("value", [0.0, -0.0, 1.0, 0.1, -2.5, 5e-324, 1.7e308, 1e-40, 3e5])
def test_floats_read_back(value: float) -> None:
    assert float.fromhex(hex_text(value)) == value
    assert float(float_text(value, "float64")) == value
    assert np.array(value).tobytes()[::-1].hex() == bits_text(value, "float64")[2:]
