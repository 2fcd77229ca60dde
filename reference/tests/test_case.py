"""A call's id: everything in it counts but its layout in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from multimargin_reference.case import Case

X = np.array([[0.5, -1.0, 2.0], [0.0, 0.25, 1.0]], np.float32)
CASE = Case(X, np.array([0, 2]), weight=np.ones(3, np.float32), grad_output=np.array(1, np.float32))


def test_an_id_stays_what_it_was() -> None:
    """Ids are in published vectors and reports."""
    assert CASE.id == "ef592af36ebcc370"
    assert replace(CASE, weight=None, grad_output=None).id == "5bf626b9611d4d05"


@pytest.mark.parametrize(
    "changes",
    [
        {"input": np.asfortranarray(X)},
        {"input": X[:, ::-1].copy()[:, ::-1]},
        {"input": X.astype(">f4"), "target": np.array([0, 2], ">i8")},
        {"weight": np.broadcast_to(np.float32(1), 3)},
    ],
    ids=["Fortran", "strides", "byte order", "broadcast"],
)
def test_layout_does_not_count(changes: dict[str, Any]) -> None:
    assert replace(CASE, **changes).id == CASE.id


@pytest.mark.parametrize(
    "changes",
    [
        {"input": X + 1},
        {"input": X.reshape(3, 2)},
        {"input": X.view(np.int32)},
        {"target": np.array([2, 0])},
        {"target": np.array([0, 2], np.int32)},
        {"p": 2},
        {"margin": 0.5},
        {"weight": None},
        {"weight": None, "grad_output": CASE.weight},
        {"reduction": "sum"},
        {"grad_output": None},
        {"grad_output": np.ones(1, np.float32)},
    ],
)
def test_everything_else_counts(changes: dict[str, Any]) -> None:
    assert replace(CASE, **changes).id != CASE.id
