"""The ladder of sizes, the edges of a dtype, and many calls: what they cover, and that each sees what it is for."""

from __future__ import annotations

import numpy as np
import pytest

from multimargin_conformance import Capabilities, check
from multimargin_conformance.calling import LONGEST_LINE
from multimargin_conformance.checks import corners, edges, ladder, many, plan, thread_calls
from multimargin_conformance.checks.contexts import many as many_classes
from multimargin_conformance.checks.contexts import valid
from multimargin_conformance.checks.effects import EFFECTS
from multimargin_conformance.checks.item import Scope
from multimargin_reference.exact_values import exact_values
from multimargin_reference.expectation import Values, expected_values
from multimargin_reference.formats import HALVES
from multimargin_reference.known import FAULTS
from multimargin_vectors.draft import has_kink

BY_NAME = {fault.name: fault for fault in FAULTS}
TRAINING = Scope(("float32", "float64"), True, Capabilities())
SEEN = {
    "class-lost-at-50257": "ladder",
    "row-lost-at-6144": "ladder",
    "infinities-not-cancelled": "edge-both-infinities",
    "weighted-subnormals-flushed": "edge-smallest-gradient",
    "kink-past-256-classes": "edge-many-ties",
    "last-bit-ignored": "edge-last-bit",
    "hinge-by-absolute-value": "edge-largest",
    "results-from-a-slab": "held-by-hundreds",
    "order-random-on-one-path": "every-option-again",
    "target-unchecked-past-256": "large-target",
    "target-unchecked-strided": "strided-target",
    "empty-batch-unchecked": "empty-p=3",
}


@pytest.mark.parametrize("name", SEEN)
def test_each_kind_of_check_sees_a_fault(name: str) -> None:
    report = check(BY_NAME[name].make(), profile="training", select=SEEN[name])
    assert {v.clause for v in report.failures} & set(BY_NAME[name].clauses)


def test_how_often_a_shape_came_is_counted_anew_in_each_dtype() -> None:
    often = BY_NAME["another-order-after-100-calls"].make()  # which rounding to a half, the first dtype, hides
    report = check(often, profile="full", select="*/held-by-hundreds/loss")
    assert {v.clause for v in report.failures} == {"PURITY-3"}


def test_the_ladder_has_both_directions_at_every_size() -> None:
    for dtypes in (("float32", "float64"), ("float32",), ("float64",)):
        met = {
            (case.input.shape[-1] if "SHAPE-4" in item.id else len(case.input), item.clause)
            for item in ladder.items(Scope(dtypes, True, Capabilities()))
            for case, _ in item.calls()  # type: ignore[misc] # every item of the ladder lists its calls
        }
        assert met == {(size, clause) for size in ladder.SIZES for clause in ("SHAPE-4", "SHAPE-5")}


@pytest.mark.parametrize("tall", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_ladder_is_judged_as_by_the_general_enclosures(dtype: str, tall: bool) -> None:
    for number in (0, 5, 11, 17):
        step = ladder.Step(number, tall, dtype)
        case = ladder.call(step)
        general = expected_values(case)
        assert general.gradient is not None
        for part, enclosures in (("loss", general.loss), ("gradient", general.gradient)):
            fast = ladder.expectation(step, part)
            assert np.all(fast.lo <= enclosures.lo)
            assert np.all(fast.hi >= enclosures.hi)
        assert not has_kink(case)


def test_a_term_that_is_lost_leaves_the_enclosure_at_every_size() -> None:
    """The share of the smallest active term is far above the width."""
    for number in range(len(ladder.SIZES)):
        case = ladder.call(ladder.Step(number, tall=False, dtype="float32"))
        expected = ladder.expectation(ladder.Step(number, tall=False, dtype="float32"), "loss")
        width = float((expected.hi - expected.lo).max())
        weights = 1.0 if case.weight is None else 0.5
        assert width < 0.5 * weights * 0.25**case.p / case.input.shape[-1] / max(1, np.size(case.target))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("name", edges.EDGES)
def test_every_edge_has_calls_with_a_legal_result(name: str, dtype: str) -> None:
    cases = edges.calls(name, dtype)
    if name in ("many-ties", "all-active") and dtype in HALVES:
        assert not cases  # the divisor is too large for exact results
        return
    if name == "smallest-of-five" and dtype in HALVES:
        assert not cases  # halves have too few subnormals
        return
    if name == "margin-rounded" and dtype in ("bfloat16", "float64"):
        assert not cases  # float64 holds every margin, and bfloat16's steps are too coarse
        return
    powers = (
        (1,) if name in ("smallest-of-five", "subnormal-margin", "largest-margin", "large-logits") else (1, 2)
    )  # others' squares are 0 or infinite
    powers = (2,) if name == "steepest-slopes" else powers  # for p = 1 a slope is 1
    assert len({case.id for case in cases}) == len(cases) >= 6
    assert {(case.p, case.reduction) for case in cases} >= {(p, r) for p in powers for r in ("none", "sum")}
    for case in cases:
        strict, flushed = (edges.expectation(case.id, name, dtype, flush) for flush in (False, True))
        assert isinstance(strict, Values)
        assert isinstance(flushed, Values)


def test_a_square_that_is_subnormal_may_be_flushed_where_that_is_declared() -> None:
    """What a backend in float16 that flushes was wrongly accused of."""
    (case,) = [
        c
        for c in edges.calls("last-bit", "float16")
        if (c.p, c.margin, c.reduction, c.weight is None) == (2, 0.0, "none", True)
    ]
    strict, flushed = (edges.expectation(case.id, "last-bit", "float16", flush).loss for flush in (False, True))
    zeros = np.zeros(strict.shape, np.float16)
    assert strict.outside(zeros).any()
    assert not flushed.outside(zeros).any()


def test_calls_that_are_repeated_round_in_every_order() -> None:
    assert all(exact_values(case) is None for dtype in TRAINING.dtypes for case in many._varied(dtype))


def test_calls_that_need_no_raw_arrays_fit_into_a_line() -> None:
    usual = [shape for shape in corners.NAMED if shape not in corners.ONCE]
    together = thread_calls.THREADS * sum(rows * classes for rows, classes in thread_calls.SEVERAL)  # all in one line
    logits = max(*(rows * classes for rows, classes in usual), together)
    assert 2 * 8 * logits < LONGEST_LINE - 2**18  # hexadecimal digits of float64, and what is beside them


@pytest.mark.parametrize("part", ["loss", "gradient"])
def test_what_is_put_into_many_classes_is_past_the_first_blocks(part: str) -> None:
    for context in many_classes("float32", ("float32",)):
        changed = EFFECTS["masked"].change(valid(context, "float32"), part)
        assert changed is not None
        row, place = np.argwhere(np.isinf(np.atleast_2d(changed.case.input)))[-1]
        assert max(row, place) > 4096 or min(row, place) >= 127


@pytest.mark.parametrize(
    "capabilities",
    [Capabilities(p=(1,), reductions=("mean",)), Capabilities(shapes=("unbatched",)), Capabilities(p=(2,))],
)
def test_no_check_of_arguments_elsewhere_makes_no_call(capabilities: Capabilities) -> None:
    for item in plan(Scope(TRAINING.dtypes, True, capabilities)):
        if "/placed-" in item.id:
            assert item.calls is not None
            assert item.calls()
