"""In which order checks are run: as planned, or the most telling ones first when the first failure ends the run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from multimargin_conformance.checks.first import KIND
from multimargin_conformance.checks.item import Item

# How many of the vectors one check takes as long as, by kind, 1 where it is none of these: measured, roughly.
TAKES = {
    "blocks": 16,
    "bulk": 256,
    "calls": 8,
    "close": 16,
    "contexts": 32,
    "corners": 512,
    "digits": 16,
    "edges": 16,
    "held": 128,
    "huge": 2048,
    "instances": 16,
    "ladder": 32,
    "layouts": 32,
    "magnitudes": 32,
    "many": 256,
    "orders": 128,
    "patterns": 32,
    "property": 16,
    "recovery": 64,
    "repeated": 64,
    "rewritten": 64,
    "threads": 512,
    "unusual": 64,
}
REJECTED = 4  # likewise, of contexts whose calls are to be rejected: they end soon


def in_turn(items: Sequence[Item]) -> list[int]:
    """Return the places of all items in their order, but that the first call of all comes first."""
    return sorted(range(len(items)), key=lambda place: (items[place].kind != KIND, place))


def breadth_first(items: Sequence[Item]) -> list[int]:
    """Return the places of all items in rounds: of each clause, part and kind one, two, four and so on.

    A mistake that one clause alone sees is found in the first rounds, wherever that clause stands in the specification.
    What takes as long as so many others comes so many times later.
    """
    seen: Counter[tuple[str, str, str]] = Counter()
    rounds = []
    for item in items:
        group = (item.clause, item.part, item.kind)
        seen[group] += 1
        rounds.append((seen[group] * takes(item)).bit_length())
    return sorted(range(len(items)), key=lambda place: (items[place].kind != KIND, rounds[place], place))


def takes(item: Item) -> int:
    """Return how long a check takes, in vectors."""
    rejected = item.kind == "contexts" and item.clause.startswith("REJECT")
    return REJECTED if rejected else TAKES.get(item.kind, 1)
