"""In which order checks are run: as planned, or the most telling ones first when the first failure ends the run."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from multimargin_conformance.checks.first import KIND
from multimargin_conformance.checks.item import Item

# How many of the vectors one check takes as long as, by kind, 1 where it is none of these: measured, roughly; a part of
# that where few of them find much that nothing before them does.
TAKES = {
    "blocks": 16,
    "bulk": 256,
    "calls": 4,
    "close": 16,
    "contexts": 32,
    "corners": 512,
    "digits": 16,
    "edges": 16,
    "held": 32,
    "huge": 2048,
    "instances": 16,
    "ladder": 16,
    "layouts": 32,
    "magnitudes": 32,
    "many": 64,
    "orders": 32,
    "patterns": 32,
    "property": 16,
    "recovery": 32,
    "repeated": 16,
    "rewritten": 32,
    "threads": 256,
    "tiles": 4,
    "unusual": 16,
    "windows": 64,
}
NUMBER = re.compile(r"[\d.]+")
REJECTED = 8  # likewise, of contexts whose calls are to be rejected: they end soon


def in_turn(items: Sequence[Item]) -> list[int]:
    """Return the places of all items in their order, but that the first call of all comes first."""
    return sorted(range(len(items)), key=lambda place: (items[place].kind != KIND, place))


def breadth_first(items: Sequence[Item]) -> Sequence[int]:
    """Return the places of all items so that each sort of check has had about as much time as any other.

    A sort is what has the same clause, part and kind, and more narrowly the same name too, but for its numbers, where
    a check has one: the product of both times counts. A mistake that one sort alone sees is found early, wherever its
    clause stands in the specification; its second and third check wait for the first ones of others.
    """
    return _breadth_first(tuple((item.id, item.clause, item.part, item.kind, item.case) for item in items))


@lru_cache(maxsize=16)
def _breadth_first(named: tuple[tuple[str, str, str, str, str], ...]) -> tuple[int, ...]:
    """Return the places of checks of which no more is known than what orders them: an item holds an implementation."""
    spent: Counter[tuple[str, ...]] = Counter()
    turns = []
    for name, clause, part, kind, case in named:
        group = (clause, part, kind)
        sort = (*group, "" if case else NUMBER.sub("", name.split("/")[2]))
        spent[group] += _takes(kind, clause)
        spent[sort] += _takes(kind, clause)
        turns.append(spent[group] * spent[sort])
    return tuple(sorted(range(len(named)), key=lambda place: (named[place][3] != KIND, turns[place], place)))


def takes(item: Item) -> int:
    """Return how long a check takes, in vectors."""
    return _takes(item.kind, item.clause)


def _takes(kind: str, clause: str) -> int:
    rejected = kind == "contexts" and clause.startswith("REJECT")
    return REJECTED if rejected else TAKES.get(kind, 1)
