"""torch.compile: what is found in it, that compiled code is what ran, and what becomes of a process that dies."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import multimargin_reference as reference
from multimargin_conformance import check
from multimargin_conformance.adapters import resolve
from multimargin_conformance.adapters.throwaway import Child
from multimargin_conformance.backend import BackendNotStarted, Subject
from multimargin_conformance.outcome import Crashed, Malformed, Outcome, Raised, Returned, TimedOut, observe
from multimargin_reports import Report

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inductor's own, as check() ignores them

AOT, INDUCTOR = "torch-compile-aot", "torch-compile"
KINK = {"input": np.array([[0.0, 1.0, 0.0, 0.5]]), "target": np.array([1]), "weight": None}
OPTIONS = {"p": 1, "margin": 1.0, "reduction": "mean"}


@cache
def started(name: str) -> Subject:
    if name == INDUCTOR and not any(map(shutil.which, (os.environ.get("CXX", ""), "g++", "clang++", "c++"))):
        pytest.skip("no C++ compiler, which inductor needs")
    return resolve(name)


@cache
def report(name: str, clause: str, **options: Any) -> Report:
    started(name)
    return check(name, clause=clause, **options)


def failed(found: Report) -> set[str]:
    return {v.clause for v in found.failures}


def answers(found: Report, behaviour: str, part: str = "loss") -> set[str]:
    return {a for b in found.behaviours if (b.name, b.part) == (behaviour, part) for a in b.answers}


def gradient(name: str, **replaced: Any) -> Outcome:
    given = {"grad_output": np.array(1.0), **KINK, **replaced}
    backward = started(name).backward
    assert backward is not None
    return observe(backward, given, OPTIONS).outcome


def loss(name: str, options: dict[str, Any] = OPTIONS, **replaced: Any) -> Outcome:
    return observe(started(name).forward, {**KINK, **replaced}, options).outcome


@pytest.mark.parametrize("name", [AOT, INDUCTOR])
def test_compiled_code_is_what_ran(name: str) -> None:
    x, y = torch.tensor(KINK["input"], requires_grad=True), torch.tensor(KINK["target"])
    torch.nn.functional.multi_margin_loss(x, y).backward()
    assert x.grad.tolist() == [[0, -0.25, 0, 0.25]]  # eager: 0 at the two kinks
    outcome = gradient(name)
    assert isinstance(outcome, Returned)
    assert outcome.value.tolist() == [[0.25, -0.75, 0.25, 0.25]]


@pytest.mark.parametrize("name", [AOT, INDUCTOR])
def test_one_graph_serves_many_sizes(name: str) -> None:
    from torch._dynamo.utils import counters

    def call(n: int, c: int, margin: float) -> None:
        x = np.linspace(-1, 1, n * c).reshape(n, c)
        outcome = loss(name, {**OPTIONS, "margin": margin}, input=x, target=np.zeros(n, np.int64))
        assert isinstance(outcome, Returned)

    call(3, 5, 1.0)
    before = counters["stats"]["unique_graphs"]
    for n in range(2, 7):
        call(n, 9 - n, 1.0)
    assert counters["stats"]["unique_graphs"] == before


def test_no_limit_of_graphs_is_reached() -> None:
    dtypes = (np.float32, np.float64)
    shapes = [(n, c) for n in (0, 1, 3) for c in (1, 4)]
    for dtype in dtypes:
        for shape in shapes:
            outcome = loss(AOT, input=np.zeros(shape, dtype), target=np.zeros(shape[0], np.int64))
            assert isinstance(outcome, Returned), outcome


def test_the_limits_hold_in_every_thread() -> None:
    def run() -> None:
        test_no_limit_of_graphs_is_reached()
        done.append(True)

    done: list[bool] = []
    torch._dynamo.reset()
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert done


def test_code_that_was_not_compiled_is_no_result() -> None:
    started(AOT)
    with torch.compiler.set_stance("force_eager"):
        outcome = loss(AOT)
    assert isinstance(outcome, Malformed)
    assert "uncompiled" in outcome.reason


def test_it_is_said_at_the_start_that_nothing_is_compiled() -> None:
    with torch.compiler.set_stance("force_eager"), pytest.raises(BackendNotStarted, match="TORCHDYNAMO_DISABLE"):
        resolve(AOT)


def test_the_switch_for_floats_is_put_back() -> None:
    gradient(AOT)
    assert "TENSORIFY_PYTHON_SCALARS" not in os.environ


def test_the_kink_and_the_shape_of_none_are_found() -> None:
    found = report(AOT, "GRADIENT-4,REDUCTION-4", dtypes=("float32",), select="/????????????????/")  # the vectors
    assert failed(found) == {"GRADIENT-4", "REDUCTION-4"}
    assert all("(1,), but should be ()" in str(v.failure) for v in found.failures if v.clause == "REDUCTION-4")
    assert found.counts["error"] == 0


@pytest.mark.parametrize("name", [AOT, INDUCTOR])
def test_targets_out_of_range_are_rejected(name: str) -> None:
    for target in (-1, 4, -100, 2**32 + 1):
        y = np.array([target])
        for outcome in (loss(name, target=y), gradient(name, target=y)):
            assert isinstance(outcome, Raised), (target, outcome)


def test_an_abort_under_inductor_is_a_crash_and_the_run_goes_on() -> None:
    x = np.zeros((64, 100), np.float32)
    outcome = loss(INDUCTOR, input=x, target=np.full(64, 100))
    assert isinstance(outcome, Crashed | Raised), outcome
    assert isinstance(loss(INDUCTOR), Returned)


FAKE = """
import os, time

class Fake:  # the first target says what becomes of the process
    def forward(self, input, target, **options):
        what = int(target[0])
        if what == 1:
            print("about to abort", flush=True)
            os.abort()
        if what == 2:
            os._exit(3)
        if what == 3:
            time.sleep(600)
        if what == 4:
            raise IndexError("no class 4")
        if what == 5:
            return "text"
        assert options["margin"] != options["margin"] and options["weight"] is None
        return input * 2
"""


def outcome_of(child: Child, target: int, dtype: Any = np.float32) -> Outcome:
    def forward(input: Any, target: Any, *, weight: Any, **options: Any) -> Any:
        return child.call("forward", {"input": input, "target": target, "weight": weight}, options)

    arrays = {"input": np.array([[1, 3]]).astype(dtype), "target": np.array([target]), "weight": None}
    return observe(forward, arrays, {"p": 1, "margin": float("nan"), "reduction": "mean"}).outcome


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Child]:
    (tmp_path / "fake_backend.py").write_text(FAKE)
    monkeypatch.syspath_prepend(tmp_path)
    made = Child("fake_backend:Fake", call_s=5.0)
    yield made
    made.close()


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, ml_dtypes.bfloat16])
def test_results_come_back_from_a_throwaway_process(child: Child, dtype: Any) -> None:
    outcome = outcome_of(child, 0, dtype)
    assert isinstance(outcome, Returned)
    assert outcome.value.dtype == dtype
    assert outcome.value.tolist() == [[2, 6]]


def test_an_error_there_rejects_the_call(child: Child) -> None:
    outcome = outcome_of(child, 4)
    assert isinstance(outcome, Raised)
    assert (outcome.type, outcome.message) == ("IndexError", "no class 4")
    assert "fake_backend.py" in outcome.where


def test_what_is_no_array_there_is_malformed_here(child: Child) -> None:
    assert outcome_of(child, 5) == Malformed("builtins.str, but should be a NumPy array or scalar")


@pytest.mark.parametrize(
    ("target", "reason"), [(1, "ended by SIGABRT: about to abort"), (2, "ended with status 3")], ids=["abort", "exit"]
)
def test_a_death_is_a_crash_and_the_next_call_is_answered(child: Child, target: int, reason: str) -> None:
    assert outcome_of(child, target) == Crashed(reason)
    assert isinstance(outcome_of(child, 0), Returned)


def test_a_hang_times_out_and_the_next_call_is_answered(child: Child) -> None:
    child.call_s = 0.5
    assert outcome_of(child, 3) == TimedOut(0.5)
    child.call_s = 60
    assert isinstance(outcome_of(child, 0), Returned)


def test_a_process_that_does_not_start_is_a_crash(tmp_path: Path) -> None:
    outcome = outcome_of(Child(f"no_such_module_{tmp_path.name}:Fake"), 0)
    assert isinstance(outcome, Crashed)
    assert "did not start: ended with status 1: ModuleNotFoundError" in outcome.reason


def test_a_crash_is_no_rejection(child: Child) -> None:
    class Backend:
        def forward(self, input: Any, target: Any, *, weight: Any, **options: Any) -> Any:
            out_of_range = bool(((target < 0) | (target >= input.shape[-1])).any())
            if not out_of_range:
                return reference.multi_margin_loss(input, target, weight=weight, **options)
            return child.call("forward", {"input": input, "target": np.array([1]), "weight": weight}, options)

    found = check(Backend(), profile="core", clause="REJECT-3", fail_fast=True)
    assert failed(found) == {"REJECT-3"}
    assert "crashed: ended by SIGABRT: about to abort, but should raise an error" in str(found.failures[0].failure)
