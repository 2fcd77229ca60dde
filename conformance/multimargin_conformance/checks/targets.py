"""Patterns of targets that are put into a call, and what is legal then: see changes.py."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from multimargin_conformance.checks.changes import Expected, plain, rows_of, with_input
from multimargin_reference.case import Case
from multimargin_vectors.families.covering import without_kinks


def increasing(case: Case, part: str) -> Expected | None:
    """Let targets increase by one from row to row, up to the last class: kernels take that for a diagonal."""
    rows, classes = (1, *case.input.shape)[-2:]
    if not 2 < rows <= classes:
        return None
    y = np.arange(classes - rows, classes)
    x = without_kinks(rows_of(case)[0], y, float(case.margin))
    return plain(with_input(replace(case, target=y), x), part)


def same_target(case: Case, part: str) -> Expected | None:
    """Let every row's target be class 0."""
    return _with_targets(case, np.zeros(case.target.size, np.int64), part)


def sorted_targets(case: Case, part: str) -> Expected | None:
    """Let targets rise from row to row, several rows to a class where there are fewer classes."""
    rows, classes = (1, *case.input.shape)[-2:]
    return _with_targets(case, np.arange(rows) * min(rows, classes) // rows, part)


def falling_targets(case: Case, part: str) -> Expected | None:
    """Let targets fall from row to row, from the last class on."""
    rows, classes = (1, *case.input.shape)[-2:]
    return _with_targets(case, classes - 1 - np.arange(rows) * min(rows, classes) // rows, part)


def _with_targets(case: Case, y: NDArray[np.int64], part: str) -> Expected | None:
    if case.target.size < 2 or np.array_equal(case.target, y):
        return None
    x, before = rows_of(case)
    rows = np.arange(len(x))
    x[rows, y], x[rows, before] = x[rows, before], x[rows, y]  # so that as few terms are active
    x = without_kinks(x, y, float(case.margin))
    return plain(with_input(replace(case, target=y), x), part)
