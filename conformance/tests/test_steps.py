"""Threads that take turns at each step: what they share is found every time, and nothing of a run is left behind."""

from __future__ import annotations

import sys
import threading
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from multimargin_conformance import check
from multimargin_conformance.worker import steps
from multimargin_reference import multi_margin_loss, multi_margin_loss_backward

SHARED = """
import types
import numpy as np
from multimargin_reference import multi_margin_loss as loss, multi_margin_loss_backward as gradient
kept = {}
def forward(input, target, **o):
    mine = kept.setdefault((input.shape, input.dtype), np.empty_like(input))
    np.copyto(mine, input)
    return loss(mine, target, **o)
def backward(grad_output, input, target, **o):
    mine = kept.setdefault((input.shape, input.dtype), np.empty_like(input))
    np.copyto(mine, gradient(grad_output, input, target, **o))
    return mine.copy()
KERNEL = types.SimpleNamespace(forward=forward, backward=backward)
"""


class Right:
    """The reference's functions, and what the thread that called had for a tracer."""

    def __init__(self) -> None:
        self.tracers: list[Any] = []

    def forward(self, input: Any, target: Any, **options: Any) -> Any:
        self.tracers.append(sys.gettrace())
        return multi_margin_loss(input, target, **options)

    def backward(self, grad_output: Any, input: Any, target: Any, **options: Any) -> Any:
        return multi_margin_loss_backward(grad_output, input, target, **options)


@pytest.mark.parametrize("isolate", [False, True])
def test_a_buffer_for_each_shape_is_found_every_time(
    isolate: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shared_buffer.py").write_text(SHARED, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    for _ in range(3):
        report = check("py:shared_buffer:KERNEL", "training", select="threads-by-steps/", isolate=isolate)
        assert report.counts["fail"] == report.planned == 2


def test_a_right_implementation_passes_and_is_stepped_there_alone() -> None:
    before, right = sys.gettrace(), Right()
    assert check(right, "training", select="threads-by-steps").conformant
    assert steps.__name__ in map(_home, right.tracers)
    right.tracers.clear()
    assert check(right, "training", ["float64"], select="threads-one-shape").conformant
    assert steps.__name__ not in map(_home, right.tracers)
    assert sys.gettrace() is before


def _home(tracer: Any) -> str:
    return getattr(tracer, "__module__", "")


def test_after_so_many_steps_a_thread_runs_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "MOST", 10)
    before = sys.gettrace()
    with steps.Turns(1).taken():
        assert [_sum(100) for _ in range(3)] == [4950] * 3
        assert sys.gettrace() is None
    assert sys.gettrace() is before


def test_a_lock_of_the_implementation_ends_the_turns_and_not_the_calls() -> None:
    lock, turns, order = threading.Lock(), steps.Turns(2), []

    def work(name: str) -> None:
        with turns.taken():
            order.append(_locked(lock, name))

    both = [threading.Thread(target=work, args=(name,)) for name in "ab"]
    before = sys.getswitchinterval()
    with steps.switching(often=False):
        for thread in both:
            thread.start()
        for thread in both:
            thread.join(timeout=60)
        assert sys.getswitchinterval() < before
    assert sys.getswitchinterval() == before
    assert sorted(order) == ["a", "b"]


class Lazy:
    """What is computed once, under a lock that all instances share in Python 3.11."""

    @cached_property
    def total(self) -> int:
        """Something."""
        return _sum(5)


def test_the_lock_of_a_cached_property_is_passed_in_one_step(monkeypatch: pytest.MonkeyPatch) -> None:
    turns, ended, found = steps.Turns(2), [], []
    monkeypatch.setattr(turns, "_end", lambda: ended.append(True))

    def work() -> None:
        with turns.taken():
            found.extend(_totals(3))

    both = [threading.Thread(target=work) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join(timeout=60)
    assert (found, ended) == ([10] * 6, [])


def _totals(count: int) -> list[int]:
    return [Lazy().total for _ in range(count)]


def _locked(lock: Any, name: str) -> str:
    with lock:
        return name if _sum(50) else ""


def _sum(count: int) -> int:
    total = 0
    for k in range(count):
        total += k
    return total


def test_threads_take_turns_one_after_another_and_later_by_chance() -> None:
    turns, order = steps.Turns(2), []

    def work(name: str) -> None:
        with turns.taken():
            _noted(order, name, 400)

    both = [threading.Thread(target=work, args=(name,)) for name in "ab"]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join(timeout=60)
    first, later = order[:100], order[-100:]
    assert all(one != other for one, other in pairwise(first))
    assert any(one == other for one, other in pairwise(later))


def _noted(order: list[str], name: str, times: int) -> None:
    for _ in range(times):
        order.append(name)  # noqa: PERF401 (each is a turn)


def test_threads_begin_every_other_call_together() -> None:
    together, arrived, alone = steps.Together(3), [0], []

    def work() -> None:
        for step in (0, 1):
            arrived[0] += step == 0
            together.begin(step)
            if step == 0 and arrived[0] < 3:
                alone.append(step)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not alone


def test_a_thread_that_is_late_is_not_waited_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "LATE_S", 0.01)
    together = steps.Together(2)
    together.begin(0)
    monkeypatch.setattr(steps, "LATE_S", 60.0)
    together.begin(2)  # returns: the other one never came
