"""What results are compared with: the enclosures and the exact results, as arrays on the dtype's grid."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from multimargin_reference import oracle
from multimargin_reference.case import Case
from multimargin_reference.enclosures import enclosure, gradient_enclosure, in_domain
from multimargin_reference.expectation import Enclosures, exact_results, expected_values
from multimargin_reference.formats import DTYPES, HALVES
from multimargin_reference.interval import Interval, rounded_into

INF, NAN = math.inf, math.nan


def flat(nested: Any) -> Iterator[Any]:
    """Every item of nested lists, in order."""
    for item in nested if isinstance(nested, list) else [nested]:
        yield from flat(item) if isinstance(item, list) else [item]


def drawn(seed: int, dtype: str) -> Case:
    """A batch or a row, weighted or not, with a special value now and then."""
    rng, kind = np.random.default_rng(seed), DTYPES[dtype]
    shape = ((3, 4), (4,), (2, 3), (1, 2))[seed % 4]
    x = rng.standard_normal(shape).astype(kind)
    reduction = ("none", "mean", "sum")[seed % 3]
    w = rng.standard_normal(shape[-1]).astype(kind) if seed % 2 else None
    g = np.asarray(rng.standard_normal(shape[:-1] if reduction == "none" else ())).astype(kind)
    special = seed % 5
    if special < 2:
        x.reshape(-1)[rng.integers(x.size)] = (INF, NAN)[special]
    if special == 2 and w is not None:
        w[rng.integers(len(w))] = INF
    if special == 3:
        g.reshape(-1)[:1] = NAN
    y = rng.integers(0, shape[-1], shape[:-1])
    return Case(x, np.asarray(y), int(rng.integers(1, 3)), 0.7, w, reduction, g if seed % 7 else None)


def ends(interval: Interval, case: Case) -> tuple[float, float]:
    """The interval's ends on the dtype's grid; an infinity alone, or an empty interval, where nothing finite is."""
    if interval.lo is None or interval.hi is None:
        only = interval.also & {"inf", "-inf"}
        return (float(*only), float(*only)) if len(only) == 1 else (INF, -INF)
    return float(case.format.ceil(interval.lo)), float(case.format.floor(interval.hi))


def assert_are(found: Enclosures, case: Case, rule: Any, results: Any, shape: tuple[int, ...], flush: bool) -> None:
    intervals = list(flat(rule(case, flush=flush)))
    assert (found.shape, found.dtype) == (shape, case.dtype)
    np.testing.assert_array_equal(np.stack([found.lo, found.hi]).T, [ends(i, case) for i in intervals])
    np.testing.assert_array_equal(found.nearest, [float(case.format.round(v)) for v in flat(results)])
    assert found.also == {k: i.also for k, i in enumerate(intervals) if i.also}
    assert not np.signbit(found.lo[found.lo == 0]).any()
    assert not np.signbit(found.hi[found.hi == 0]).any()
    wide = case.dtype in HALVES and not found.exact
    assert (found.wide_lo is not None) == (found.wide_hi is not None) == wide
    if found.wide_lo is not None and found.wide_hi is not None:
        widened = list(flat(rule(case, widened=True, flush=flush)))
        pairs = np.stack([found.wide_lo, found.wide_hi]).T
        np.testing.assert_array_equal(pairs, [ends(i, case) for i in widened])


@pytest.mark.parametrize("flush", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_expected_values(dtype: str, flush: bool) -> None:
    for seed in range(24):
        check(drawn(seed, dtype), flush)


def check(case: Case, flush: bool) -> None:
    """Compare with the enclosures and the oracle, number by number."""
    found = expected_values(case, flush=flush)
    loss = oracle.loss(case.input, case.target, **case.options)
    shape = case.target.shape if case.reduction == "none" else ()
    assert_are(found.loss, case, enclosure, loss, shape, flush)
    assert (found.gradient is None) == (case.grad_output is None)
    if case.grad_output is not None and found.gradient is not None:
        gradient = oracle.gradient(case.grad_output, case.input, case.target, **case.options)
        assert_are(found.gradient, case, gradient_enclosure, gradient, case.input.shape, flush)
        # a NaN equals only itself here
        assert [str(v) for v in exact_results(case)[1]] == [str(v) for v in flat(gradient)]
    else:
        assert exact_results(case)[1] == []
    assert [str(v) for v in exact_results(case)[0]] == [str(v) for v in flat(loss)]


def made(lo: list[float], hi: list[float], **more: Any) -> Enclosures:
    """Enclosures of a float32 vector."""
    return Enclosures((len(lo),), "float32", np.array(lo), np.array(hi), np.array(lo), **more)


def test_outside() -> None:
    also = {1: frozenset({"nan", "inf"}), 2: frozenset({"0"}), 3: frozenset({"-inf"}), 4: frozenset({"inf"})}
    found = made([1, 1, 1, INF, 1], [2, 2, 2, -INF, 2], also=also)
    for inside in ([1, 2, 0, -INF, 1.5], [1.5, NAN, -0.0, -INF, INF], [2, INF, 1, -INF, 2]):
        assert found.outside(np.array(inside, np.float32)).tolist() == [False] * 5
    assert found.outside(np.array([0.5, 3, -1, INF, -INF])).tolist() == [True] * 5
    assert found.outside(np.array([NAN, -INF, NAN, 0, NAN])).tolist() == [True] * 5
    assert found.outside(np.array([[1, 1, 3, -INF, 1]], DTYPES["bfloat16"])).tolist() == [
        False,
        False,
        True,
        False,
        False,
    ]


def test_outside_widened() -> None:
    narrow = made([0, 0, 0], [4, 4, 4], also={2: frozenset({"nan"})})
    widened = made([0, 0, 0], [4, 4, 4], also=narrow.also, wide_lo=np.full(3, 1.0), wide_hi=np.full(3, 2.0))
    for result, plain, wide in (
        ([1, 2, NAN], [False] * 3, [False] * 3),
        ([0, 3, 1.5], [False] * 3, [True, True, False]),
        ([5, INF, 0.5], [True, True, False], [True, True, True]),
    ):
        assert widened.outside(np.array(result)).tolist() == plain
        assert widened.outside_widened(np.array(result)).tolist() == wide
        assert narrow.outside_widened(np.array(result)).tolist() == plain
        assert widened.narrowed_to_widened().outside(np.array(result)).tolist() == wide
    assert narrow.narrowed_to_widened() is narrow


@pytest.mark.parametrize(
    ("margin", "dtype", "finite"),
    [
        (65504.0, "float16", True),
        (-65504.0, "float16", True),
        (65505.0, "float16", False),
        (-65505.0, "float16", False),
        (65505.0, "bfloat16", True),
        (INF, "float64", False),
        (NAN, "float32", False),
    ],
)
def test_a_margin_is_finite_in_the_dtype_or_there_is_no_enclosure(margin: float, dtype: str, finite: bool) -> None:
    case = Case(np.zeros((1, 2), DTYPES[dtype]), np.array([0]), margin=margin)
    assert in_domain(case) is finite
    for rule in (enclosure, gradient_enclosure):
        if finite:
            rule(case)
        else:
            with pytest.raises(ValueError, match=f"^margin={margin}, but should be finite in {dtype} to have an encl"):
                rule(case)


def test_a_row_has_no_batch_axis() -> None:
    x, y = np.array([0.1, 0.7, 0.3], np.float32), np.array(1)
    case, batch = Case(x, y, reduction="none"), Case(x[None], y[None], reduction="none")
    assert [enclosure(case)] == enclosure(batch)
    assert [gradient_enclosure(case)] == gradient_enclosure(batch)
    assert enclosure(Case(x[None], y[None])) == enclosure(case)


@pytest.mark.parametrize("rule", [enclosure, gradient_enclosure])
def test_in_the_dtype_or_widened(rule: Any) -> None:
    x = np.array([[0.1, 0.7, 0.3, 0.5, 0.9]], np.float16)
    case = Case(x, np.array([1]), margin=0.7, grad_output=np.array(0.3, np.float16))
    plain, narrow, widened = (list(flat(rule(case, **o))) for o in ({}, {"widened": False}, {"widened": True}))
    assert plain == narrow != widened
    assert plain == list(flat(rule(case, flush=False))) != list(flat(rule(case, flush=True)))
    assert not all(case.format.represents(end) for i in plain for end in (i.lo, i.hi))
    single = replace(case, input=x.astype(np.float32), grad_output=np.array(case.grad_output, np.float32))
    assert widened == [rounded_into(i, case.format) for i in flat(rule(single))]
    full = replace(case, input=x.astype(np.float64), grad_output=np.array(0.3))
    assert rule(full, widened=True) == rule(full)


def test_flushing_reaches_widened_halves() -> None:
    """bfloat16 has float32's exponents: what float32 flushes can be seen."""
    x = np.array([[0.0, 2.0**-126, 3 * 2.0**-127]], DTYPES["bfloat16"])
    case = Case(x, np.array([0]), margin=0.0, grad_output=np.array(1, x.dtype))
    check(case, True)
    kept, flushed = (expected_values(case, flush=flush).loss.wide_lo for flush in (False, True))
    assert kept is not None
    assert flushed is not None
    assert flushed[0] < kept[0]
