"""The fast judge beside the golden vectors: the same verdicts, on their enclosures and on what faults return.

A spread by default; every vector, every known fault and every legal variant with MULTIMARGIN_SLOW=1.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from multimargin_conformance.checks.single import part_of
from multimargin_conformance.judge import judge, passes_surely
from multimargin_conformance.outcome import Observation, Raised, Returned, observe
from multimargin_reference.case import Case
from multimargin_reference.expectation import Enclosures, Values
from multimargin_reference.fast_call import INSIDE, OUTSIDE, UNDECIDED
from multimargin_reference.fast_judge import decide
from multimargin_reference.formats import DTYPES
from multimargin_reference.known import FAULTS, MODEL, VARIANTS, Backend, Fault, Variant
from multimargin_vectors import Vector, load

SLOW = "MULTIMARGIN_SLOW" in os.environ
PARTS = ("loss", "gradient")
STEP = 31  # of the vectors that a backend is asked about


@cache
def vectors() -> tuple[tuple[Vector, Values], ...]:
    """Every vector that has values, and what they are."""
    return tuple((v, v.expected) for v in load() if isinstance(v.expected, Values))


def probes(expected: Enclosures) -> Iterator[NDArray[Any]]:
    """Yield results at the ends, right beyond them, between and far away."""
    dtype = DTYPES[expected.dtype or "float64"]
    lo, hi, nearest = (a.astype(dtype).reshape(expected.shape) for a in (expected.lo, expected.hi, expected.nearest))
    with np.errstate(all="ignore"):
        yield from (
            lo,
            hi,
            nearest,
            np.nextafter(lo, np.array(-np.inf, dtype)),
            np.nextafter(hi, np.array(np.inf, dtype)),
        )
        yield (nearest.astype(np.float64) * 0.75).astype(dtype)
        yield from (np.full_like(nearest, value) for value in (0, np.nan, np.inf, -np.inf))


def decided(case: Case, part: str, result: NDArray[Any]) -> Any:
    """Return the decisions about a loss or a gradient."""
    return decide(case, result).loss if part == "loss" else decide(case, gradient=result).gradient


def agrees(case: Case, part: str, observation: Observation, expected: Enclosures) -> bool:
    """Whether no decision about a result of the right form is wrong."""
    outcome = observation.outcome
    if not isinstance(outcome, Returned) or outcome.value.shape != expected.shape:
        return True
    found, bad = decided(case, part, outcome.value), expected.outside(outcome.value)
    return not (((found == INSIDE) & bad) | ((found == OUTSIDE) & ~bad)).any()


def compared(case: Case, part: str, expected: Enclosures) -> tuple[int, int, int]:
    """Return how many decisions are wrong, how many nearest results are undecided, and how many there are."""
    wrong = undecided = 0
    for number, result in enumerate(probes(expected)):
        found = decided(case, part, result)
        bad = expected.outside(result)
        wrong += int((((found == INSIDE) & bad) | ((found == OUTSIDE) & ~bad)).sum())
        undecided += int((found == UNDECIDED).sum()) if number == 2 else 0
    return wrong, undecided, expected.lo.size


@pytest.mark.parametrize("tier", ["exact", "rounded", "sparse", "special"])
def test_no_decision_about_a_vector_is_wrong(tier: str) -> None:
    chosen = [(v, values) for v, values in vectors() if v.tier == tier]
    if not SLOW:
        chosen = [(v, values) for v, values in chosen if v.case.input.size < 10_000][::4]
    sums = np.zeros(3, np.int64)
    for vector, values in chosen:
        for part in PARTS if values.gradient else PARTS[:1]:
            sums += compared(vector.case, part, part_of(values, part))
    wrong, undecided, total = sums.tolist()
    assert wrong == 0
    assert tier == "special" or undecided <= total * 0.01


def returned(backend: Backend, case: Case, part: str) -> Observation:
    """Call a backend as the suite does."""
    arrays = {"input": case.input, "target": case.target, "weight": case.weight}
    if part == "gradient":
        arrays = {"grad_output": case.grad_output, **arrays}
    function = backend.forward if part == "loss" else backend.backward
    options = {"p": case.p, "margin": case.margin, "reduction": case.reduction}
    return observe(function, arrays, options)


KNOWN: list[tuple[int, Fault | Variant]] = list(enumerate([*FAULTS, *VARIANTS]))


@pytest.mark.parametrize(("number", "known"), KNOWN if SLOW else KNOWN[::16], ids=lambda k: getattr(k, "name", ""))
def test_a_fault_or_variant_gets_the_same_verdict(number: int, known: Fault | Variant) -> None:
    backend = known.make()
    small = [(v, values) for v, values in vectors() if v.case.input.size <= 2000]
    for vector, values in small[number % STEP :: STEP]:  # others for every backend
        for part in PARTS if values.gradient else PARTS[:1]:
            observation, expected = returned(backend, vector.case, part), part_of(values, part)
            finding = judge(part, observation, expected, "")
            assert not (finding and passes_surely(part, observation, vector.case))
            assert agrees(vector.case, part, observation, expected)


def test_what_is_no_result_of_the_right_form_is_left_to_the_judge() -> None:
    case = Case(np.array([[0.0, 0.5, -2.0]], np.float32), np.array([0]), grad_output=np.array(1, np.float32))
    good = returned(MODEL, case, "loss")
    assert isinstance(good.outcome, Returned)
    assert passes_surely("loss", good, case)
    value = good.outcome.value
    for outcome in (Raised("ValueError", ""), Returned(value.astype(np.float64)), Returned(value.reshape(1))):
        assert not passes_surely("loss", Observation(outcome), case)
    assert not passes_surely("loss", Observation(good.outcome, ("input",)), case)
    assert not passes_surely("gradient", good, Case(case.input, case.target))
    assert passes_surely("gradient", returned(MODEL, case, "gradient"), case)
