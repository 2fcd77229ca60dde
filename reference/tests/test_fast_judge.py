"""The fast judge is never wrong, and leaves little undecided; more calls with MULTIMARGIN_SLOW=1."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from multimargin_reference import fast_judge
from multimargin_reference.case import Case
from multimargin_reference.expectation import Enclosures, Values, expected_values
from multimargin_reference.fast_call import INSIDE, OUTSIDE, UNDECIDED
from multimargin_reference.fast_judge import decide, legal, outside, surely_legal
from multimargin_reference.formats import DTYPES, FORMATS, Format
from multimargin_reference.vectorized import multi_margin_loss, multi_margin_loss_backward

CALLS = 400 if "MULTIMARGIN_SLOW" in os.environ else 12  # of each dtype and kind
SHAPES = ((1, 2), (2, 4), (4, 4), (3, 5), (2, 3), (7,), (3, 10), (5, 1), (8, 8))
MARGINS = (1.0, 0.5, 0.0, -0.75, 0.1, 3.0)
KINDS = ("normal", "range", "small", "grid", "exponents", "kinks", "cancelling", "wide-grid")
WEIGHTS = ("none", "normal", "powers", "positive", "negative")
Array = NDArray[Any]


def logits(rng: np.random.Generator, kind: str, fmt: Format, shape: tuple[int, ...]) -> Any:
    x, u = rng.standard_normal(shape), float(fmt.u)
    match kind:
        case "range":
            return x * float(fmt.largest) ** rng.uniform(0, 1)
        case "small":
            return x * float(fmt.smallest_normal) ** rng.uniform(0, 1.05)
        case "grid":
            return rng.integers(-6, 7, shape) / 4
        case "exponents":
            return np.sign(x) * np.exp2(rng.uniform(fmt.emin - fmt.precision, fmt.emax, shape))
        case "kinks":
            return np.round(x) + rng.choice([-1, 0, 1], shape) * u * rng.choice([1, 2, 4])
        case "cancelling":
            return x + 1000
        case "wide-grid":
            half = 2 ** (fmt.precision - 2)
            return rng.integers(-half, half, shape) * 2.0 ** rng.choice([-2, 0, -fmt.precision, 3])
    return x


def weights(rng: np.random.Generator, kind: str, fmt: Format, classes: int) -> Any:
    match kind:
        case "normal":
            return rng.standard_normal(classes)
        case "powers":
            return rng.choice([0, 1.0, 0.5, -2], classes)
        case "positive":
            return np.abs(rng.standard_normal(classes)) * float(fmt.largest) ** rng.choice([0, 0.5, -0.5])
        case "negative":
            return -np.abs(rng.standard_normal(classes))
    return None


def drawn(rng: np.random.Generator, kind: str, dtype: str) -> Case:
    """A call with its logits of one kind and everything else of any."""
    fmt, to = FORMATS[dtype], DTYPES[dtype]
    shape = SHAPES[rng.integers(len(SHAPES))]
    reduction = ("none", "mean", "sum")[rng.integers(3)]
    g = rng.standard_normal(shape[:-1] if reduction == "none" else ())
    g = g * 0 + rng.integers(2) if rng.integers(3) == 0 else g * float(fmt.largest) ** rng.choice([0, 0, 0.9, -0.9])
    w = weights(rng, WEIGHTS[rng.integers(len(WEIGHTS))], fmt, shape[-1])
    margin = MARGINS[rng.integers(len(MARGINS))] * (float(fmt.smallest_normal) ** 0.9 if kind == "small" else 1)
    with np.errstate(over="ignore", under="ignore"):
        x = logits(rng, kind, fmt, shape).astype(to)
        if rng.integers(12) == 0:
            x.reshape(-1)[rng.integers(x.size)] = rng.choice([np.inf, -np.inf, np.nan])
        w = None if w is None else w.astype(to)
        y = rng.integers(0, shape[-1], shape[:-1])
        return Case(x, y, int(rng.integers(1, 3)), margin, w, reduction, np.asarray(g).astype(to))


def probes(expected: Enclosures, dtype: str) -> Iterator[Array]:
    """Yield results at the ends of an enclosure, next to them on either side, between, far away, and special ones."""
    to = DTYPES[dtype]
    up, down = np.array(np.inf, to), np.array(-np.inf, to)
    with np.errstate(all="ignore"):
        lo, hi, nearest = (a.astype(to).reshape(expected.shape) for a in (expected.lo, expected.hi, expected.nearest))
        for end in (lo, hi, nearest):
            yield from (end, np.nextafter(end, up), np.nextafter(end, down))
        yield (expected.lo / 2 + expected.hi / 2).astype(to).reshape(expected.shape)
        yield (nearest.astype(np.float64) / 2).astype(to)
        for value in (0.0, np.nan, np.inf, -np.inf):
            yield np.full(expected.shape, value, to)


def wrong(decided: Array | None, expected: Enclosures | None, result: Array) -> int:
    """Count the decisions that the exact rules contradict."""
    assert decided is not None
    assert expected is not None
    bad = expected.outside(result)
    return int((((decided == INSIDE) & bad) | ((decided == OUTSIDE) & ~bad)).sum())


def expected_or_none(case: Case, flush: bool) -> Values | None:
    try:
        return expected_values(case, flush=flush)
    except ValueError:  # not judged
        return None


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_no_decision_is_wrong(kind: str, dtype: str) -> None:
    rng = np.random.default_rng([KINDS.index(kind), list(DTYPES).index(dtype)])
    for i in range(CALLS):
        case, flush = drawn(rng, kind, dtype), i % 4 == 0
        expected = expected_or_none(case, flush)
        if expected is None:
            continue
        assert expected.gradient is not None
        for loss, gradient in zip(probes(expected.loss, dtype), probes(expected.gradient, dtype), strict=True):
            decided = decide(case, loss, gradient, flush=flush)
            assert wrong(decided.loss, expected.loss, loss) == 0
            assert wrong(decided.gradient, expected.gradient, gradient) == 0


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("shape", [(64, 10), (8, 16), (4, 1000), (1, 32768)], ids=str)
def test_ordinary_results_are_all_decided(shape: tuple[int, int], p: int, dtype: str) -> None:
    rng = np.random.default_rng(0)
    x, w = (a.astype(DTYPES[dtype]) for a in (rng.standard_normal(shape), rng.uniform(0.5, 2, shape[1])))
    g = rng.standard_normal(shape[0]).astype(x.dtype)
    case = Case(x, rng.integers(0, shape[1], shape[0]), p, weight=w, reduction="none", grad_output=g)
    loss = multi_margin_loss(x, case.target, p=p, weight=w, reduction="none")
    gradient = multi_margin_loss_backward(g, x, case.target, p=p, weight=w, reduction="none")
    assert surely_legal(case, loss, gradient)
    doubled = decide(case, loss * 4, gradient * 4)
    assert doubled.undecided == 0
    if shape[1] < 1000 or dtype not in ("float16", "bfloat16"):
        assert doubled.loss is not None
        np.testing.assert_array_equal(doubled.loss == OUTSIDE, loss != 0)
    special = decide(case, loss * np.inf, gradient * np.nan)
    assert special.loss is not None
    assert special.gradient is not None
    if dtype != "float16":
        assert (special.loss == OUTSIDE).all()
        assert (special.gradient == OUTSIDE).all()


def row(values: list[float], dtype: str = "float32", **options: Any) -> Case:
    """A call of one row whose target is class 0."""
    x = np.array([values], DTYPES[dtype])
    return Case(x, np.array([0]), grad_output=np.array(1, x.dtype), **options)


@pytest.mark.parametrize(
    ("case", "results"),
    [
        (row([0.0, -0.1], margin=0.1), {0.5: INSIDE, -0.5: OUTSIDE, 0.0: INSIDE, -0.25: OUTSIDE}),  # undecidable sign
        (row([0.0, 0.5, 1.0, 0.25]), {0.25: INSIDE, 0.25000003: OUTSIDE, 0.0: OUTSIDE}),  # the exact grid
        (row([0.0, 0.5, -2.0]), {1 / 3: INSIDE, 0.3333337: OUTSIDE}),
        (row([0.0, -5.0, -5.0]), {-0.0: INSIDE, 1e-45: OUTSIDE, np.nan: OUTSIDE}),
        (row([0.0, 1e38], p=2), {np.nan: OUTSIDE}),
        (row([0.0, np.inf]), {0.5: UNDECIDED}),
    ],
)
def test_an_element(case: Case, results: dict[float, int]) -> None:
    for value, should in results.items():
        gradient = np.zeros(case.input.shape, np.float32)
        gradient[0, 1] = value
        decided = decide(case, gradient=gradient).gradient
        assert decided is not None
        assert decided[1] == should, value


NARROW = np.full(600, 2.0**-7, DTYPES["bfloat16"])


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize(
    "case",
    [
        row([0.0] * 600, "bfloat16"),  # an error bound above the loss: its largest term is the lower end
        row([0.0] * 600, "bfloat16", weight=-3 * NARROW),
        row([0.0] * 9 + [2.0], "bfloat16", margin=0.1),
        row([0.0, -0.1], "float16", margin=0.1),  # hinges smaller than their own error: zero is the lower end
        row([0.0, -0.1, -0.1], margin=0.1, weight=np.full(3, -1, np.float32)),
        row([0.0, 2.0**24 - 1, 1.0, -5.0], margin=0.0),  # a sum of 2**24 units, or two more, of the exact grid
        row([0.0, 2.0**24 - 1, 3.0, -5.0], margin=0.0),
        row([0.0, 2.0**53 - 1, 1.0, -5.0], "float64", margin=0.0),
        row([0.0, 2.0**53 - 1, 3.0, -5.0], "float64", margin=0.0),
        row([0.0, 2.0**-520, -1.0, -1.0], "float64", margin=0.0),
        row([1.0, 0.0, -1.7e308, 0.25], "float64"),
        row([0.0, 65504.0, 1.0, -5.0], "float16", margin=0.0),
        row([0.0, 1e38, -1.0], margin=0.0),  # an overflow is near
        row([0.0, 1.0, -1.0], margin=0.0, weight=np.full(3, 1e38, np.float32)),
    ],
    ids=[f"case{i}" for i in range(14)],
)
def test_where_another_rule_takes_over(case: Case, p: int) -> None:
    case = replace(case, p=p)
    expected = expected_values(case)
    assert expected.gradient is not None
    for loss, gradient in zip(probes(expected.loss, case.dtype), probes(expected.gradient, case.dtype), strict=True):
        for sign in (1, -1):
            decided = decide(case, sign * loss, sign * gradient)
            assert wrong(decided.loss, expected.loss, sign * loss) == 0
            assert wrong(decided.gradient, expected.gradient, sign * gradient) == 0


def test_a_certain_overflow_may_be_infinite() -> None:
    case = row([0.0, 3e38, 3e38], margin=0.0)
    assert legal(case, np.array(np.inf, np.float32))
    decided = decide(replace(case, p=2), np.array(np.inf, np.float32)).loss
    assert decided is not None
    assert decided[0] == INSIDE


def test_the_exact_rules_are_asked_only_where_nothing_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Case] = []

    def recorded(case: Case, *, flush: bool = False) -> Values:
        asked.append(case)
        return expected_values(case, flush=flush)

    monkeypatch.setattr(fast_judge, "expected_values", recorded)
    plain, infinite = row([0.0, 0.5, -2.0]), row([0.0, np.inf])
    good, bad = np.array(0.5, np.float32), np.array(0.6, np.float32)
    assert legal(plain, good)
    assert not legal(plain, bad)
    assert [mask.tolist() for mask in outside(plain, bad) if mask is not None] == [[True]]
    assert not asked
    assert not legal(infinite, good)
    assert legal(infinite, np.array(np.inf, np.float32))
    assert [mask.tolist() for mask in outside(infinite, good) if mask is not None] == [[True]]
    assert len(asked) == 3
    assert not surely_legal(infinite, np.array(np.inf, np.float32))


def test_what_cannot_be_decided() -> None:
    empty = Case(np.zeros((0, 3), np.float32), np.zeros(0, np.int64))
    assert decide(empty, np.array(np.nan, np.float32)).undecided == 1
    assert decide(row([0.0, 1.0], margin=np.inf), np.array(1, np.float32)).undecided == 1
    with pytest.raises(ValueError, match=r"loss.shape=\(2,\), but should be \(\)"):
        decide(row([0.0, 1.0]), np.zeros(2, np.float32))
    with pytest.raises(ValueError, match="without grad_output"):
        decide(replace(row([0.0, 1.0]), grad_output=None), gradient=np.zeros((1, 2), np.float32))
