"""In which order checks are run: as planned, or the most telling ones first when the first failure ends the run."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path

from multimargin_conformance.checks.first import KIND
from multimargin_conformance.checks.item import Item

COSTS = Path(__file__).with_name("check_costs.json")  # names of sorts by cost, as scripts/costs.py measured them
HUGE = 2048  # what a check of sizes costs that the oracle cannot reach: it is not measured
NUMBER = re.compile(r"[\d.]+")


def in_turn(items: Sequence[Item]) -> list[int]:
    """Return the places of all items in their order, but that the first call of all comes first."""
    return sorted(range(len(items)), key=lambda place: (items[place].kind != KIND, place))


def breadth_first(items: Sequence[Item]) -> Sequence[int]:
    """Return the places of all items so that those come first that soonest find what none before them did.

    A sort is what has the same clause, part, kind and, where it is no vector, name but for its numbers. The first ones
    of all sorts come before second ones, wherever their clauses stand in the specification, and the second one of a
    sort when others' first ones do that take four times as long: what takes longer looks at more.
    """
    return _breadth_first(tuple((item.id, item.clause, item.part, item.kind, item.case) for item in items))


@lru_cache(maxsize=16)
def _breadth_first(named: tuple[tuple[str, str, str, str, str], ...]) -> tuple[int, ...]:
    """Return the places of checks of which no more is known than what orders them: an item holds an implementation."""
    before: Counter[tuple[str, str, str]] = Counter()
    turns = []
    for id_, clause, part, kind, case in named:
        name = _name(id_, kind, case)
        sort = (clause, part, name)
        before[sort] += 1
        turns.append(before[sort] * math.sqrt(_cost(name, kind)))
    return tuple(sorted(range(len(named)), key=lambda place: (named[place][3] != KIND, turns[place], place)))


def sort_of(item: Item) -> str:
    """Return the kind of a check and, where it is no vector, its name but for its numbers."""
    return _name(item.id, item.kind, item.case)


def _name(id_: str, kind: str, case: str) -> str:
    return f"{kind}/{'' if case else NUMBER.sub('', id_.split('/')[2])}"


def _cost(name: str, kind: str) -> int:
    return costs().get(name, HUGE if kind == "huge" else 1)


@cache
def costs() -> dict[str, int]:
    """Return how long a check of each sort takes, in vectors, as far as that was measured."""
    measured: dict[str, list[str]] = json.loads(COSTS.read_text(encoding="utf-8"))
    return {name: int(cost) for cost, names in measured.items() for name in names}
