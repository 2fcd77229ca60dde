"""Contexts, and what is put into them: which options meet, and that every reason and effect has calls."""

from __future__ import annotations

from itertools import combinations, product
from types import SimpleNamespace

import numpy as np
import pytest

from multimargin_conformance import check
from multimargin_conformance.capabilities import ALL_DTYPES, Capabilities
from multimargin_conformance.checks import crossed, effects, plan, rejections
from multimargin_conformance.checks.changes import STEPS
from multimargin_conformance.checks.contexts import FEWER, MANY, MARGINS, SHAPES, contexts, many, turned, valid
from multimargin_conformance.checks.effects import EFFECTS
from multimargin_conformance.checks.invalid import REASONS
from multimargin_conformance.checks.item import Scope
from multimargin_conformance.kills import faults_by_name, session_of
from multimargin_reference.exact_values import exact_values
from multimargin_reference.known import MODEL

VALUES = {
    "shape": SHAPES,
    "reduction": ("none", "mean", "sum"),
    "weighted": (False, True),
    "p": (1, 2),
    "margin": MARGINS,
}
PARTS = ("loss", "gradient")
MISSING = {"shape", "margin"}  # triples of both are not all there
TRAINING = Scope(("float32", "float64"), True, Capabilities())


@pytest.mark.parametrize("count", [2, 3])
def test_every_pair_and_most_triples_of_options_meet(count: int) -> None:
    for names in combinations(VALUES, count):
        met = {tuple(getattr(context, name) for name in names) for context in contexts()}
        if count == 2 or not set(names) >= MISSING:
            assert met == set(product(*(VALUES[name] for name in names)))


def test_two_dtypes_have_shape_reduction_weights_and_power_in_full() -> None:
    both = [c for dtype in TRAINING.dtypes for c in turned(dtype, TRAINING.dtypes) if c.shape in SHAPES]
    assert len({(c.shape, c.reduction, c.weighted, c.p) for c in both}) == 9 * 3 * 2 * 2


@pytest.mark.parametrize("shapes", [MANY, FEWER])
def test_no_call_of_many_has_a_result_of_zeros_alone(shapes: tuple[tuple[int, ...], ...]) -> None:
    for dtype in TRAINING.dtypes:
        for context in many(dtype, TRAINING.dtypes, shapes):
            values = exact_values(valid(context, dtype))
            assert values is not None, context
            assert values.loss.lo.any(), context


@pytest.mark.parametrize("dtype", ALL_DTYPES)
def test_the_valid_calls_are_on_the_exact_grid(dtype: str) -> None:
    exact = [exact_values(valid(context, dtype)) is not None for context in contexts()]
    assert sum(exact) >= {"bfloat16": 20, "float16": 40}.get(dtype, 54)


def test_every_reason_and_every_effect_has_calls() -> None:
    items = (*rejections.items(TRAINING), *effects.items(TRAINING))
    planned = {(name, i.dtype) for i in items if (name := i.id.split("/")[2]).startswith("contexts")}
    assert planned == {(f"contexts-{name}", dtype) for name in (*REASONS, *EFFECTS) for dtype in TRAINING.dtypes}


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("dtype", TRAINING.dtypes)
@pytest.mark.parametrize("name", ["subnormal", "large"])
def test_scaled_results_are_as_small_or_as_large_as_they_are_said_to_be(name: str, dtype: str, part: str) -> None:
    info = np.finfo(dtype)
    made = effects.Made(name, dtype, part, TRAINING.dtypes, Capabilities()).calls
    assert len(made) >= 54
    sizes = [np.abs(expected.values.nearest) for expected in made]
    sizes = [size[size > 0] for size in sizes if size.any()]  # not those of one class, or without an active term
    assert len(sizes) >= 45
    most = max(expected.case.input.size for expected in made)  # which a mean is divided by
    for size in sizes:
        assert size.min() < info.smallest_normal if name == "subnormal" else size.max() > info.max / 2**STEPS / most


def test_nearly_every_crossed_call_is_on_the_exact_grid() -> None:
    for dtype in ALL_DTYPES:
        calls = [crossed.call(crossed.Crossed(k, dtype)) for k in range(len(crossed.rows()))]
        assert sum(exact_values(case) is not None for case in calls) >= len(calls) - 8


def test_pairs_with_a_layout_all_occur() -> None:
    for name, values in crossed.FACTORS.items():
        met = {(row["layout"], row[name]) for row in crossed.rows()}
        assert met == set(product(crossed.ORDERS, values))


def test_what_is_not_declared_is_left_out() -> None:
    one = Scope(("float32",), True, Capabilities(p=(2,), reductions=("sum",), shapes=("unbatched",)))
    session = session_of(SimpleNamespace(name="model", make=lambda: MODEL))
    left_out = 0
    for item in (*rejections.items(one), *effects.items(one), *crossed.items(one)):
        if item.exists is None or item.exists():
            assert item.run(session).status == "pass"
        else:
            left_out += 1
            assert item.prepare is not None
            assert not item.prepare()
    assert left_out > 10


def test_a_buffer_of_zeros_that_is_used_again_is_seen() -> None:
    report = check(faults_by_name()["loss-buffer-reused-on-one-path"].make(), fail_fast=True, clause="PURITY-4")
    assert "what its owner wrote into a result was overwritten" in str(report.failures[0].failure)


def test_what_is_handed_over_in_place_of_copies_is_an_array_never_a_number_of_numpys() -> None:
    placed = 0
    for item in plan(TRAINING):
        for _, given in item.calls() if item.calls is not None else ():
            assert all(array is None or isinstance(array, np.ndarray) for array in given.values()), item.id
            placed += bool(given)
    assert placed > 1000
