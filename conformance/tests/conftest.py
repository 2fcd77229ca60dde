"""New processes compute by NumPy in these tests unless one says otherwise: Numba takes each a second to start.

This process, which runs the tests of the other packages too, has the engine that it would have without them. Both
engines are compared in reference/tests, and checked by the whole suite in test_acceptance. A test that compares this
process with a new one, or is about the engine that users have, asks for `usual_engine`.
"""

from __future__ import annotations

import pytest

from multimargin_reference.engine import VARIABLE, engine

engine()  # chosen now, once for this process


@pytest.fixture(autouse=True)
def _numpy_in_new_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "numpy")


@pytest.fixture
def usual_engine(_numpy_in_new_processes: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """New processes have the engine that this one has."""
    monkeypatch.delenv(VARIABLE)
