"""Ctrl-C ends what is waited for; what was found by then is written down whole."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from multimargin_conformance import check
from multimargin_conformance.interrupts import Interrupts
from multimargin_reference import multi_margin_loss
from multimargin_reports.logfile import read_log

OTHERS = signal.SIG_IGN


@pytest.fixture(autouse=True)
def usual() -> Iterator[None]:
    """Begin with Python's own handler, and leave the one there was."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) in (signal.default_int_handler, OTHERS)
    signal.signal(signal.SIGINT, before)


def test_an_interruption_comes_at_the_end_of_what_holds_it() -> None:
    done = []

    def write() -> None:
        signal.raise_signal(signal.SIGINT)
        done.append("written")

    with Interrupts() as interrupts:
        with pytest.raises(KeyboardInterrupt), interrupts.held():
            write()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert done == ["written"]


def test_a_hold_lets_one_through_where_it_is_allowed_only() -> None:
    with Interrupts() as interrupts:
        interrupts.hold()
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt), interrupts.allowed():
            pytest.fail("what was put off comes first")
        with pytest.raises(KeyboardInterrupt), interrupts.allowed():
            signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_someone_elses_handler_is_left_alone() -> None:
    signal.signal(signal.SIGINT, OTHERS)
    with Interrupts():
        assert signal.getsignal(signal.SIGINT) == OTHERS
    assert signal.getsignal(signal.SIGINT) == OTHERS


def test_what_is_being_written_down_is_written(tmp_path: Path) -> None:
    def progress(done: int, _: int) -> None:
        if done == 5:
            signal.raise_signal(signal.SIGINT)

    log = tmp_path / "report.jsonl"
    report = check(multi_margin_loss, profile="core", clause="VALUE-1", progress=progress, log=log)
    assert not report.complete
    assert report.counts["pass"] == 5
    assert report.counts["skip"] == report.planned - 5 > 0
    assert len(list(read_log(log).checks())) == report.planned


def test_an_interrupted_diagnosis_leaves_the_verdicts(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*_: Any) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("multimargin_conformance.runner._diagnosis", slow)
    report = check(multi_margin_loss, profile="core", clause="VALUE-1")
    assert report.counts == {"pass": report.planned, "fail": 0, "error": 0, "skip": 0}
    assert not report.complete
