"""The clause table: the single source of every normative statement. SPEC.md is generated from it (`spec`)."""

from __future__ import annotations

from multimargin_reference.clause_table import arguments, gradient, reject, special, state, value
from multimargin_reference.clause_table.model import Clause

ROWS: tuple[Clause, ...] = (
    *value.CLAUSES,
    *arguments.CLAUSES,
    *gradient.CLAUSES,
    *special.CLAUSES,
    *reject.CLAUSES,
    *state.CLAUSES,
)
CLAUSES: dict[str, Clause] = {clause.id: clause for clause in ROWS}
GROUPS: tuple[str, ...] = tuple(dict.fromkeys(clause.group for clause in CLAUSES.values()))

__all__ = ["CLAUSES", "GROUPS", "ROWS", "Clause"]
