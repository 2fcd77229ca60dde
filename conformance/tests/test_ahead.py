"""What is done before its turn: the calls that a worker is sent early, and what is computed while it answers."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from multimargin_conformance.backend import subject
from multimargin_conformance.calling import Call, InProcess
from multimargin_conformance.capabilities import Capabilities
from multimargin_conformance.checks import plan
from multimargin_conformance.checks.item import Item, Scope
from multimargin_conformance.isolation import opened
from multimargin_conformance.isolation.caller import WorkerCaller
from multimargin_conformance.outcome import Observation
from multimargin_conformance.session import PASS, Result, Session
from multimargin_reference.case import Case
from multimargin_reference.known import MODEL

SCOPE = Scope(("float32",), True, Capabilities())
CASE = Case(np.array([[0.5, 0.25]]), np.array([0]))
SLOW = (
    "import time\nfrom multimargin_reference import multi_margin_loss\n"
    "def forward(*given, **options):\n    time.sleep(0.2)\n    return multi_margin_loss(*given, **options)\n"
)


class Noting(InProcess):
    """Note what is called."""

    def __init__(self) -> None:
        super().__init__(subject(MODEL))
        self.made: list[tuple[str, str, list[str]]] = []

    def call(self, call: Call) -> Observation:
        self.made.append((call.part, call.case.id, sorted(call.given)))
        return super().call(call)


@pytest.mark.parametrize("first", range(4))
def test_the_calls_that_a_check_lists_are_those_that_it_makes(first: int) -> None:
    caller, listed = Noting(), 0
    session = Session(caller.subject, caller=caller)
    groups: dict[tuple[str, str, str], Item] = {}
    for item in plan(SCOPE)[first:]:
        groups.setdefault((item.clause, item.part, item.id.split("/")[2].split("-")[0] if not item.case else ""), item)
    for item in groups.values():
        if item.calls is None:
            continue
        caller.made.clear()
        assert item.run(session) == PASS
        expected = [(item.part, case.id, sorted(given)) for case, given in item.calls()]
        assert caller.made == expected, item.id
        listed += 1
    assert listed > 40


def item(name: str, run: Any, prepare: Any = None) -> Item:
    return Item(f"VALUE-1/float64/{name}/loss", "VALUE-1", "float64", "loss", run, prepare=prepare)


def test_later_checks_are_prepared_while_a_worker_computes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "slow_kernel.py").write_text(SLOW, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    prepared: list[tuple[str, float]] = []
    answered: list[float] = []

    def run(session: Session) -> Result:
        session.forward(replace(CASE))
        answered.append(time.perf_counter())
        return PASS

    def note(name: str) -> Any:
        return lambda: prepared.append((name, time.perf_counter()))

    caller = WorkerCaller(opened("py:slow_kernel:forward"))
    try:
        session = Session(caller.opened.subject, caller=caller)
        items = [item(name, run, note(name)) for name in ("first", "second", "third")]
        for each in caller.ahead(items):
            each.run(session)
    finally:
        caller.close()
    assert [name for name, _ in prepared] == ["second", "third"]  # the first one's time had come
    assert all(at < answered[0] for _, at in prepared)
