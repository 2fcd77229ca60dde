"""PyTorch as it really is: exactly what is wrong with it is found, and nothing else."""

from __future__ import annotations

import os
from functools import cache

import pytest

from multimargin_conformance import check
from multimargin_reports import Report

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

pytestmark = pytest.mark.usefixtures("usual_engine")  # the drop-in has kernels where Numba is installed
SLOW = "MULTIMARGIN_SLOW" in os.environ
UNDEFINED = "SPECIAL-*,DTYPE-*"  # where behaviours are recorded


@cache
def report(name: str, profile: str, clause: str = "") -> Report:
    # in a process of their own: test_published, test_isolation
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MULTIMARGIN_CHECK_TARGETS", "1")  # as the adapter of the drop-in does, and leaves it
        few = name == "torch-decomposition" and not SLOW  # its many failures take long to explain
        dtypes, clause = (["float32"], "[!PS]*,SHAPE-[!45],SPECIAL-*") if few else (None, clause)
        return check(name, profile=profile, isolate=False, dtypes=dtypes, clause=clause)


def failed(found: Report) -> set[str]:
    return {v.clause for v in found.failures}


def answers(found: Report, behaviour: str, part: str = "loss") -> set[str]:
    return {a for b in found.behaviours if (b.name, b.part) == (behaviour, part) for a in b.answers}


def assert_every_check_ran(found: Report) -> None:
    assert found.valid
    assert found.counts["error"] == found.counts["skip"] == 0
    assert found.planned == found.counts["pass"] + found.counts["fail"]
    assert found.backend["version"] == torch.__version__


def test_eager_fails_on_empty_batches_and_nothing_else() -> None:
    """In this process; test_readme makes every check of `training` in one of its own."""
    found = report("torch", "training", "" if SLOW else "VALUE-*,SHAPE-[!45],GRADIENT-*,WEIGHT-*,PURITY-*")
    assert_every_check_ran(found)
    assert failed(found) == {"SHAPE-7", "SHAPE-8"}
    assert {(v.clause, v.dtype) for v in found.failures} == {
        (clause, dtype) for clause in ("SHAPE-7", "SHAPE-8") for dtype in ("float32", "float64")
    }


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_eager_returns_uninitialised_memory_each_time_it_is_asked(reduction: str, p: int, dtype: str) -> None:
    clause = {"sum": "SHAPE-7", "mean": "SHAPE-8"}[reduction]
    for _ in range(3):
        (verdict,) = check("torch", select=f"{clause}/{dtype}/repeated-{reduction}-p{p}", isolate=False).verdicts
        assert verdict.status == "fail"


def test_eager_is_not_asked_for_halves() -> None:
    found = check("torch", profile="full", clause="VALUE-1,GRADIENT-1")
    assert found.claim.startswith("full, float32 and float64 only")
    assert {v.dtype for v in found.verdicts} == {"float32", "float64"}


def test_eager_drops_nan() -> None:
    found = report("torch", "training", UNDEFINED)
    for behaviour in ("NaN at a non-target", "NaN at the target", "margin NaN", "inf - inf"):
        assert answers(found, behaviour) == answers(found, behaviour, "gradient") == {"dropped"}, behaviour


def test_eager_rejects_what_its_kernel_does_not_take() -> None:
    found = report("torch", "training", UNDEFINED)
    for behaviour in ("int32 targets", "weight of another dtype", "integer logits", "margin beyond the dtype"):
        assert answers(found, behaviour) == {"rejected"}, behaviour
    assert answers(found, "p = 1.0") == {"accepted"}


def test_the_decomposition_differs_at_the_kink_and_in_the_shape_of_none() -> None:
    assert {"GRADIENT-4", "REDUCTION-4"} <= failed(report("torch-decomposition", "training"))
    found = check("torch-decomposition", profile="full", clause="GRADIENT-4")
    assert not found.conformant
    kinks = [v for v in found.failures if v.clause == "GRADIENT-4"]
    assert {v.dtype for v in kinks} == {"float16", "bfloat16", "float32", "float64"}


def test_the_decomposition_is_wrong_in_nothing_else() -> None:
    found = report("torch-decomposition", "training")
    assert_every_check_ran(found)
    for verdict in found.failures:
        if verdict.clause.startswith("CLASS-"):
            continue  # what follows from it: test_class
        assert verdict.failure is not None
        message = verdict.failure.message
        shape = "loss.shape=(1,), but should be ()" in message or "Mismatch in shape" in message
        assert shape or verdict.clause == "GRADIENT-4", message


def test_the_decomposition_propagates_nan_and_accepts_more() -> None:
    found = report("torch-decomposition", "training")
    assert answers(found, "NaN at a non-target") == answers(found, "margin NaN") == {"propagated"}
    assert answers(found, "NaN at a non-target", "gradient") == {"dropped"}
    for behaviour in ("int32 targets", "weight of another dtype"):
        assert answers(found, behaviour) == {"accepted"}, behaviour
    assert answers(found, "margin beyond the dtype") == {"inf"}


def test_the_drop_in_is_conformant() -> None:
    """To training; its published report, which is tested too, is of `full`."""
    found = report("torch-reference", "training")
    assert_every_check_ran(found)
    assert found.conformant, found.failures[0]
    assert found.claim == "training"


def test_the_drop_in_is_conformant_on_a_gpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device is available")
    found = check("torch-reference", profile="full", device="cuda")
    assert found.conformant, found.failures[0]
    assert found.backend["device"] == "cuda"
