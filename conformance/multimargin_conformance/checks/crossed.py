"""Layouts crossed pairwise with every other option, on the exact grid: one result is legal, bit for bit.

The golden vectors cross all options but the memory layout, which they do not have. Here a second covering array has it
as one more factor: every pair of a layout and a value of any other option occurs in some call, in every dtype.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from multimargin_conformance.calling import ARGUMENTS, Arrays
from multimargin_conformance.checks.item import Item, Scope
from multimargin_conformance.checks.layouts import LAYOUTS, read_only
from multimargin_conformance.checks.single import part_of
from multimargin_conformance.judge import judge
from multimargin_conformance.session import Result, Session, result_of
from multimargin_reference.case import Case
from multimargin_reference.exact_values import exact_values, legal_values
from multimargin_reference.expectation import Values
from multimargin_vectors.families.covering import FACTORS, candidates, pairwise

ORDERS = {**LAYOUTS, "read-only": read_only}
STREAM = 20_000  # where the random numbers of these calls begin
CLAUSES = {"PURITY-5": ["layouts crossed with options"]}


@dataclass(frozen=True)
class Crossed:
    """One row of the covering array in one dtype."""

    number: int
    dtype: str

    @property
    def row(self) -> Mapping[str, Any]:
        """The values of all options, the layout among them."""
        return rows()[self.number]


def items(scope: Scope) -> Iterator[Item]:
    """Yield one item a row of the covering array, dtype and part."""
    for dtype in scope.dtypes:
        for number in range(len(rows())):
            crossed, row = Crossed(number, dtype), rows()[number]
            if not scope.capabilities.leaves_out_options(row["p"], row["reduction"], row["shape"]):
                yield from (_item(crossed, part) for part in (("loss", "gradient") if scope.gradient else ("loss",)))


@cache
def rows() -> list[dict[str, Any]]:
    """Return the covering array."""
    return pairwise({**FACTORS, "layout": tuple(ORDERS)})


def _item(crossed: Crossed, part: str) -> Item:
    def given() -> Arrays:
        case, order = call(crossed), ORDERS[crossed.row["layout"]]
        arrays = {name: getattr(case, name) for name in ARGUMENTS[part]}
        return {name: order(array) for name, array in arrays.items() if array is not None}

    def run(session: Session) -> Result:
        session.needs("layouts")
        case = call(crossed)
        expected = part_of(expectation(crossed), part)
        why = f"exact grid, arguments {crossed.row['layout']}"
        return result_of(judge(part, session.function(part)(case, **given()), expected, why))

    return Item(
        f"PURITY-5/{crossed.dtype}/crossed-{crossed.number}/{part}",
        "PURITY-5",
        crossed.dtype,
        part,
        run,
        kind="crossed",
        call=lambda: call(crossed),
        calls=lambda: [(call(crossed), given())],
        prepare=lambda: expectation(crossed),
    )


@cache
def expectation(crossed: Crossed) -> Values:
    """Return what is legal for a row's call."""
    return legal_values(call(crossed))


@cache
def call(crossed: Crossed) -> Case:
    """Make a row's call, on the widest grid on which nothing rounds; a few in bfloat16 have none."""
    drafted = candidates(crossed.row, crossed.dtype, STREAM + crossed.number)
    cases = [draft.case(crossed.dtype) for draft in drafted]
    return next((case for case in cases if exact_values(case) is not None), cases[-1])
