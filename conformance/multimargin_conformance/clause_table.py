"""The table of clauses. Its numbers are in a file, since to count vectors, checks and faults takes longer than to read.

The file is generated: `python -m multimargin_conformance.faults`.
"""

from __future__ import annotations

import json
from pathlib import Path

from tabulate import tabulate

from multimargin_reference.clauses import CLAUSES

NUMBERS = Path(__file__).with_name("clause_numbers.json")  # by clause: of vectors, of other checks and of known faults
HEADERS = ("clause", "level", "profile", "vectors", "checks", "known faults")


def clauses_table(group: str = "") -> str:
    """Return the clauses, of one group or all, with the number of vectors, other checks and known faults of each."""
    numbers = json.loads(NUMBERS.read_text(encoding="utf-8"))
    rows = [[c.label, c.level, c.profile, *numbers[c.id]] for c in CLAUSES.values() if group in ("", c.group)]
    return tabulate(rows, headers=HEADERS, tablefmt="simple")
