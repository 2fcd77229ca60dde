"""What tests of the vectorized functions share: both engines."""

from __future__ import annotations

import pytest

from multimargin_reference import engine, vectorized


@pytest.fixture(params=["numpy", "numba"])
def each_engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a test once with each engine."""
    if request.param == "numba":
        pytest.importorskip("numba")
    monkeypatch.setenv(engine.VARIABLE, request.param)
    monkeypatch.setattr(vectorized, "engine", engine.engine.__wrapped__)
