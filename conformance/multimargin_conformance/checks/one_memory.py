"""PURITY-5 for arguments that lie in one memory: side by side, or as views of one another.

Nothing but the memory is shared: every argument is only read. What is laid out anew by its owner, copied by its address
or taken for the other argument's buffer shows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from multimargin_conformance.calling import ARGUMENTS, Arrays
from multimargin_conformance.capabilities import REDUCTIONS
from multimargin_conformance.checks.item import Item, Scope
from multimargin_conformance.checks.single import part_of
from multimargin_conformance.judge import judge
from multimargin_conformance.session import PASS, Result, Session, result_of
from multimargin_reference.case import Case
from multimargin_reference.exact_values import legal_values
from multimargin_reference.expectation import Values
from multimargin_reference.formats import DTYPES
from multimargin_vectors.draft import has_kink

ALIGNED = 8  # bytes: where each column begins
WHY = "arguments are views of one memory"
CLAUSES = {"PURITY-5": ["arguments in one memory"]}


def items(scope: Scope) -> Iterator[Item]:
    """Yield one item a dtype and part."""
    for dtype in scope.dtypes:
        cases = [case for case in _cases(dtype) if not scope.capabilities.leaves_out(case)]
        for part in ("loss", "gradient") if scope.gradient else ("loss",):
            if cases:
                yield _item(dtype, part, cases)


def _item(dtype: str, part: str, cases: list[Case]) -> Item:
    def run(session: Session) -> Result:
        session.needs("layouts")
        for case in cases:
            for arrays in (_overlapping(case, part), _side_by_side(case, part), _in_a_table(case, part)):
                observation = session.function(part)(case, **arrays)
                if finding := judge(part, observation, part_of(_expectation(case), part), WHY):
                    return result_of(replace(finding, case=case))
        return PASS

    return Item(f"PURITY-5/{dtype}/one-memory/{part}", "PURITY-5", dtype, part, run, kind="layouts")


@cache
def _cases(dtype: str) -> tuple[Case, ...]:
    """Return a call of every power and reduction, with a batch and without one, whose weights are a row of the input.

    grad_output is the input's first column, or its first element.
    """
    powers_of_two = np.array(
        [[2.0, 1.0, 0.5, 4.0], [-1.0, 0.25, 2.0, 1.0], [0.5, -2.0, 1.0, 0.25], [4.0, 1.0, -0.5, 2.0]]
    )
    x = powers_of_two.astype(DTYPES[dtype])
    y = np.array([1, 3, 0, 2])
    found = []
    for p in (1, 2):
        for reduction in REDUCTIONS:
            g = x[:, 0] if reduction == "none" else x[0, 0].reshape(())
            found.append(Case(x, y, p, 0.375, x[0], reduction, g))
            found.append(Case(x[0], y[0].reshape(()), p, 0.375, x[0], reduction, x[0, 0].reshape(())))
    assert not any(map(has_kink, found))
    return tuple(found)


@cache
def _expectation(case: Case) -> Values:
    return legal_values(case)


def _overlapping(case: Case, part: str) -> Arrays:
    """Return fresh arguments, of which weight and grad_output are views of the input."""
    x = np.array(case.input)
    first = x if x.ndim == 1 else x[0]
    g = x[:, 0] if case.grad_output is not None and case.grad_output.ndim else first[0, ...]
    arrays: dict[str, Any] = {"input": x, "weight": first, "grad_output": g}
    return {name: array for name, array in arrays.items() if name in ARGUMENTS[part]}


def _side_by_side(case: Case, part: str) -> Arrays:
    """Return fresh arguments of numbers that are parts of one array, one after another."""
    given = {name: getattr(case, name) for name in ARGUMENTS[part] if name != "target"}
    memory = np.concatenate([np.ravel(array) for array in given.values()])
    arrays: Arrays = {}
    at = 0
    for name, array in given.items():
        arrays[name] = memory[at : at + array.size].reshape(array.shape)
        at += array.size
    return arrays


def _in_a_table(case: Case, part: str) -> Arrays:
    """Return fresh arguments of which each row's logits, target and grad_output are a row of one table in memory."""
    rows = case.target.size
    given = {name: getattr(case, name) for name in ARGUMENTS[part]}
    arrays: Arrays = {name: np.array(array) for name, array in given.items()}
    columns = {n: a.reshape(rows, -1) for n, a in given.items() if n != "weight" and a.size >= rows}
    ends = np.cumsum([0, *(-(-column[0].nbytes // ALIGNED) * ALIGNED for column in columns.values())])
    table = np.zeros((rows, int(ends[-1])), np.uint8)
    for (name, column), at in zip(columns.items(), ends, strict=False):
        strides = (table.strides[0], column.itemsize)
        view: Any = np.ndarray(column.shape, column.dtype, table, int(at), strides)
        view[...] = column
        row = view if name == "input" else view[:, 0]
        arrays[name] = row if case.input.ndim == 2 else row[0, ...]
    return arrays
