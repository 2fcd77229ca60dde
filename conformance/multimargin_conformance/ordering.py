"""In which order checks are run when the first failure ends the run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from multimargin_conformance.checks.item import Item

LONG = {"ladder", "many", "orders", "property", "threads"}  # kinds of which one check takes as long as many others
HELD_BACK = 2  # rounds


def breadth_first(items: Sequence[Item]) -> list[int]:
    """Return the places of all items in rounds: of each clause, dtype, part and kind one, one, two, four and so on.

    A mistake that one clause alone sees is found in the first rounds, wherever that clause stands in the specification.
    """
    seen: Counter[tuple[str, str, str, str]] = Counter()
    rounds = []
    for item in items:
        group = (item.clause, item.dtype, item.part, item.kind)
        rounds.append(seen[group].bit_length() + (HELD_BACK if item.kind in LONG else 0))
        seen[group] += 1
    return sorted(range(len(items)), key=lambda place: (rounds[place], place))
