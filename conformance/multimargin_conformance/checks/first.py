"""PURITY-3 in the first call of all: a gradient is asked for before any loss, so that nothing is kept from one.

It is run before all other checks; in a run that is selected or shared out, others may come before it.
"""

from __future__ import annotations

from collections.abc import Iterator

from multimargin_conformance.calling import Arrays
from multimargin_conformance.checks.contexts import contexts, valid
from multimargin_conformance.checks.item import Item, Scope
from multimargin_conformance.checks.single import part_of
from multimargin_conformance.judge import judge
from multimargin_conformance.session import Result, Session, result_of
from multimargin_reference.case import Case
from multimargin_reference.exact_values import legal_values

KIND = "first"
CLAUSES = {"PURITY-3": ["a gradient before any loss"]}


def items(scope: Scope) -> Iterator[Item]:
    """Yield the item, of the first dtype."""
    if not scope.gradient or not scope.dtypes:
        return
    dtype = scope.dtypes[0]
    cases = [case for c in contexts() if not scope.capabilities.leaves_out(case := valid(c, dtype))]
    if not cases:
        return
    case = cases[len(cases) // 2]

    def run(session: Session) -> Result:
        expected = part_of(legal_values(case), "gradient")
        return result_of(judge("gradient", session.backward(case), expected, "asked for before any loss"))

    def calls() -> list[tuple[Case, Arrays]]:
        return [(case, {})]

    yield Item(f"PURITY-3/{dtype}/gradient-first/gradient", "PURITY-3", dtype, "gradient", run, kind=KIND, calls=calls)
