"""New processes compute by NumPy in these tests unless one says otherwise: Numba takes each a second to start.

This process, which runs the tests of the other packages too, has the engine that it would have without them. Both
engines are compared in reference/tests, and checked by the whole suite in test_acceptance. A test that compares this
process with a new one, or is about the engine that users have, asks for `usual_engine`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from multimargin_conformance import check
from multimargin_conformance.cli import main
from multimargin_conformance.expectations import Entry
from multimargin_conformance.expectations_update import Update, to_toml
from multimargin_reference.engine import VARIABLE, engine
from multimargin_reference.known import Custom, Request

KERNELS = """
from multimargin_reference import multi_margin_loss
version = "2.13.0+cpu"
def right(input, target, **options):
    return multi_margin_loss(input, target, **options)
def wrong(input, target, **options):
    return multi_margin_loss(input, target, **options) + (input.shape[-1] == 1)
"""

engine()  # chosen now, once for this process


@pytest.fixture(autouse=True)
def _numpy_in_new_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "numpy")


@pytest.fixture
def usual_engine(_numpy_in_new_processes: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """New processes have the engine that this one has."""
    monkeypatch.delenv(VARIABLE)


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., Path]:
    """Write a file of expected failures with these tables."""

    def written(*tables: dict[str, str], name: str = "e.toml") -> Path:
        path = tmp_path / name
        who = {
            "owner": "Ann",
            "link": "https://example.org/1",
            "reason": "a known fault",
            "number": 1,
            "file": "e.toml",
        }
        entries = tuple(Entry(**{**who, **table}) for table in tables)  # type: ignore[arg-type]
        path.write_text(to_toml(Update(entries, (), (), ())), encoding="utf-8")
        return path

    return written


@pytest.fixture
def run_kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run the command where there are py:expkernels:right and :wrong (VALUE-7)."""
    (tmp_path / "expkernels.py").write_text(KERNELS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "expkernels", raising=False)
    return lambda *words: CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture
def assert_rejected() -> Callable[[str, str, Callable[[Request], Any]], None]:
    """Assert that the checks of a clause reject a backend of this name that answers so."""

    def judged(name: str, clause: str, answer: Callable[[Request], Any]) -> None:
        of_both = {"PURITY-2": "PURITY-1/*"}  # a check of both clauses
        select = of_both.get(clause, f"{clause}/*")
        report = check(Custom(name, answer), profile="training", select=select, fail_fast=True)
        assert report.counts["error"] == 0
        assert clause in {verdict.clause for verdict in report.failures}

    return judged
