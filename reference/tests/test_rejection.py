"""Which clause an invalid call breaks, and the valid call that an unusual one stands for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from multimargin_reference.case import Case
from multimargin_reference.rejection import FAR, meaning, rejecting_clause

CASE = Case(np.zeros((3, 2), np.float32), np.array([0, 1, 0]))
ROW = {"input": np.zeros(2, np.float32), "target": np.array(1)}
NUMBER = {"input": np.zeros((), np.float32), "target": np.array(0)}


@pytest.mark.parametrize(
    ("clause", "changes"),
    [
        ("", {}),
        ("", ROW),
        ("", NUMBER),
        ("", {"p": 2.0}),
        ("", {"input": np.zeros((0, 1), np.float32), "target": np.zeros(0)}),
        ("", {"input": np.zeros((0, 1), np.float32), "target": np.zeros(0, np.int64)}),
        ("", {"input": np.zeros((1, 2)), "target": np.array(1)}),
        ("", ROW | {"target": np.array([1])}),
        ("", {"target": np.array([0, 1, 1], np.uint8)}),
        ("", {"target": np.array([False, True, False])}),
        ("", {"input": np.zeros((1, 1)), "target": np.array([True])}),
        ("", {"weight": np.ones(2)}),
        ("", NUMBER | {"weight": np.ones(1)}),
        ("REJECT-1", {"p": 1.5}),
        ("REJECT-2", {"reduction": "average"}),
        ("REJECT-3", {"target": np.array([0, -1, 0])}),
        ("REJECT-3", ROW | {"target": np.array(-1)}),
        ("REJECT-4", {"target": np.array([0, 2, 0])}),
        ("REJECT-4", {"target": np.array([0, 2 + FAR - 1, 0])}),
        ("REJECT-4", NUMBER | {"target": np.array(1)}),
        ("REJECT-5", {"target": np.array([2, 2 + FAR, 0])}),
        ("REJECT-5", {"target": np.array([0, 255, 0], np.uint8)}),
        ("REJECT-6", {"target": np.array([0, 1])}),
        ("REJECT-6", ROW | {"target": np.array([0, 1])}),
        ("REJECT-6", ROW | {"target": np.zeros(0, np.int64)}),
        ("REJECT-7", {"target": np.array(0)}),
        ("REJECT-7", {"target": np.array([[0], [1], [0]])}),
        ("REJECT-7", {"input": np.zeros((1, 2)), "target": np.array([[1]])}),
        ("REJECT-8", {"target": np.array([0.0, 1.0, 0.0])}),
        ("REJECT-9", {"weight": np.ones(3)}),
        ("REJECT-9", NUMBER | {"weight": np.ones(2)}),
        ("REJECT-10", {"weight": np.ones((1, 2))}),
        ("REJECT-11", {"input": np.zeros((3, 0))}),
        ("REJECT-12", {"input": np.zeros((3, 2, 2))}),
        ("REJECT-1", {"p": 3, "reduction": "average", "target": np.array([0, 2, 0])}),
    ],
)
def test_the_first_clause_that_a_call_breaks(clause: str, changes: dict[str, Any]) -> None:
    assert rejecting_clause(replace(CASE, **changes)) == clause


INT64, F32, F64 = np.int64, np.float32, np.float64


@pytest.mark.parametrize(
    ("changes", "meant"),
    [
        ({}, {}),
        ({"p": 1.0}, {"p": 1}),
        ({"target": np.array([0, 1, 1], np.int8)}, {"target": np.array([0, 1, 1])}),
        ({"target": np.array([0, 1, 1], np.uint64)}, {"target": np.array([0, 1, 1])}),
        ({"target": np.array([[0], [1], [1]])}, {"target": np.array([0, 1, 1])}),
        ({"input": np.zeros((0, 2), F32), "target": np.zeros(0)}, {"target": np.zeros(0, INT64)}),
        (ROW | {"target": np.array([1])}, ROW),
        (NUMBER, {"input": np.zeros(1, F32), "target": np.array(0)}),
        ({"input": np.zeros((1, 2), F32), "target": np.array(1)}, {"target": np.array([1])}),
        ({"input": np.ones((3, 2), np.int32)}, {"input": np.ones((3, 2), F64)}),
        ({"weight": np.array([0.5, 2])}, {"weight": np.array([0.5, 2], F32)}),
        ({"grad_output": np.array([2.0])}, {"grad_output": np.array(2, F32)}),
        (
            {"grad_output": np.array([[1.0, 2, 3]]), "reduction": "none"},
            {"grad_output": np.array([1, 2, 3], F32)},
        ),
        # what stands for nothing valid stays as it is
        ({"target": np.array([0.0, 1, 1])}, {}),
        ({"target": np.array([0, 1])}, {}),
        (ROW | {"target": np.array([0, 1])}, {}),
        ({"input": np.zeros((3, 2, 2), F32), "target": np.array([[0], [1], [1]])}, {}),
        ({"grad_output": np.ones(3)}, {}),
        ({"grad_output": np.ones(2), "reduction": "none"}, {}),
    ],
)
def test_what_a_call_stands_for(changes: dict[str, Any], meant: dict[str, Any]) -> None:
    unusual = replace(CASE, **changes)
    usual = meaning(unusual)
    assert usual.id == replace(unusual, **meant).id
    assert type(usual.p) is int
