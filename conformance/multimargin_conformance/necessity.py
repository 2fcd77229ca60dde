"""Which golden vector each clause cannot do without, in each dtype: a known fault lives when the vector is removed.

Real kernels exist once for each dtype, and once for each p, reduction and so on; so a known fault that is wrong in one
of them alone, and right elsewhere, is a known fault too. A cell (clause, dtype) is *needed* when such a fault is
rejected by one vector of the cell alone among all golden vectors. Otherwise it is listed as redundant, with the reason.

`python -m multimargin_conformance.needed [--check] [-j N]` writes or verifies needed_vectors.json.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from multimargin_conformance.capabilities import ALL_DTYPES
from multimargin_conformance.checks.item import Item
from multimargin_conformance.kills import faults_by_name, killed, mapped, rejecting, vector_items
from multimargin_reference.clauses import CLAUSES
from multimargin_reference.formats import HALVES
from multimargin_vectors import by_id

FILE = Path(str(files("multimargin_conformance") / "needed_vectors.json"))
FORMAT, VERSION = "multimargin-needed-vectors", 1
Cell = tuple[str, str]  # clause and dtype
Kills = Mapping[str, Sequence[str]]  # ids of the items that reject a fault, by its name

# Why a cell has no vector at all: what checks it instead. The longest key that begins a clause's id counts.
WITHOUT_VECTORS = {
    "PURITY": "no vector: it is about several calls or about memory, which generated calls check",
    "CLASS": "no vector: it is about the class and its integration, not about a call of the operator",
    "DTYPE-4": "no vector: unusual arguments are converted, or refused, before a kernel's dtype matters",
}


@dataclass(frozen=True)
class Need:
    """One cell: the vector that it needs and the fault that shows it, or why it is redundant.

    only: where alone the fault is wrong, a name in ONLY. vectors: how many vectors the cell has.
    """

    clause: str
    dtype: str
    vectors: int
    vector: str = ""
    part: str = ""
    fault: str = ""
    only: str = ""
    redundant: str = ""


def _kernel(item: Item) -> tuple[Any, ...]:
    case = by_id()[item.case].case
    weighted = case.weight is not None
    return (item.dtype, item.part, str(case.p), case.reduction, weighted, case.input.ndim)


# From the widest fault to the narrowest: what must be equal to the vector's call for the fault to be wrong.
ONLY: dict[str, Callable[[Item], tuple[Any, ...]]] = {
    "this dtype": lambda item: (item.dtype,),
    "this kernel": _kernel,  # dtype, loss or gradient, p, reduction, weights or not, batch or not
    "this shape": lambda item: (*_kernel(item), by_id()[item.case].case.input.shape),  # as compilers specialise
}


@cache
def items_by_id() -> dict[str, Item]:
    """Return the vector items by id."""
    return {item.id: item for item in vector_items()}


@cache
def cells() -> dict[Cell, tuple[Item, ...]]:
    """Return the items of every applicable cell; none where no vector speaks about it."""
    found: dict[Cell, list[Item]] = {
        (clause, dtype): [] for clause in CLAUSES for dtype in (HALVES if clause == "DTYPE-2" else ALL_DTYPES)
    }
    for item in vector_items():
        for clause in (item.clause, *item.also):
            found[clause, item.dtype].append(item)
    return {cell: tuple(items) for cell, items in found.items()}


def restricted(kills: Kills, only: str) -> dict[tuple[str, tuple[Any, ...]], list[Item]]:
    """Return, by fault and where alone it is wrong, the items that reject it."""
    found: dict[tuple[str, tuple[Any, ...]], list[Item]] = defaultdict(list)
    for fault, ids in kills.items():
        for item in map(items_by_id().__getitem__, ids):
            found[fault, ONLY[only](item)].append(item)
    return found


def needs(kills: Kills) -> list[Need]:
    """Return every cell's entry."""
    chosen = _chosen(kills)
    rest = [cell for cell, items in cells().items() if items and cell not in chosen]
    reasons = _reasons(kills, rest)
    return [
        chosen.get(cell) or Need(*cell, _count(items), redundant=reasons.get(cell) or without_vectors(cell))
        for cell, items in cells().items()
    ]


def _count(items: Iterable[Item]) -> int:
    return len({item.case for item in items})


def _chosen(kills: Kills) -> dict[Cell, Need]:
    """Return the needed cells, each by the widest fault; one that names the clause, or its group, goes first."""
    best: dict[Cell, tuple[Any, Need]] = {}
    for width, only in enumerate(ONLY):
        for (fault, _), items in restricted(kills, only).items():
            if len({item.case for item in items}) > 1:
                continue
            for item in items:
                for clause in (item.clause, *item.also):
                    cell = (clause, item.dtype)
                    need = Need(*cell, _count(cells()[cell]), item.case, item.part, fault, only)
                    rank = (width, _distance(fault, clause), fault, item.case, item.part)
                    best[cell] = min(best.get(cell, (rank, need)), (rank, need), key=lambda pair: pair[0])
    return {cell: need for cell, (_, need) in best.items()}


def _distance(fault: str, clause: str) -> int:
    named = faults_by_name()[fault].clauses
    return 0 if clause in named else 1 if clause.split("-")[0] in {c.split("-")[0] for c in named} else 2


def _reasons(kills: Kills, wanted: Sequence[Cell]) -> dict[Cell, str]:
    """Return why cells are redundant: their vectors stand in for each other, or other clauses' do."""
    groups = restricted(kills, "this shape")
    found = {}
    for cell in wanted:
        own = {item.id for item in cells()[cell]}
        touched = {key: {i.id for i in items} for key, items in groups.items() if any(i.id in own for i in items)}
        alone = min((key for key, ids in touched.items() if ids <= own), default=None, key=str)
        count = _count(cells()[cell])
        if alone is not None:
            found[cell] = f"its {count} vectors stand in for each other: without all of them {alone[0]} lives"
        elif not touched:
            found[cell] = "no known fault is rejected by its vectors"
        else:
            cover = _cover(own, list(touched.values()))
            found[cell] = f"every fault that its {count} vectors reject, those of {', '.join(cover)} reject too"
    return found


def _cover(own: set[str], touched: Sequence[set[str]]) -> list[str]:
    """Return few clauses whose items, without the cell's own, reject every fault: the one that adds most, again."""
    by_clause: dict[str, set[int]] = defaultdict(set)
    for number, ids in enumerate(touched):
        for item in map(items_by_id().__getitem__, ids - own):
            for clause in (item.clause, *item.also):
                by_clause[clause].add(number)
    left, chosen = set(range(len(touched))), []
    while left:
        clause = max(sorted(by_clause), key=lambda name: len(by_clause[name] & left))
        chosen.append(clause)
        left -= by_clause[clause]
    return chosen


def without_vectors(cell: Cell) -> str:
    """Return why there is no vector for a cell. Raises LookupError where no reason is known."""
    keys = [key for key in WITHOUT_VECTORS if f"{cell[0]}-".startswith(f"{key}-")]
    if not keys:
        raise LookupError(f"{' '.join(cell)} has no vector and no reason in WITHOUT_VECTORS: add one of the two")
    return WITHOUT_VECTORS[max(keys, key=len)]


def rendered(found: Iterable[Need]) -> str:
    """Return the file's text, a cell a line; what is empty is left out."""
    lines = [json.dumps({k: v for k, v in vars(need).items() if v != ""}) for need in found]
    head = f'{{"format": "{FORMAT}", "version": {VERSION}, "cells": [\n'
    return head + ",\n".join(lines) + "\n]}\n"


def read(path: Path = FILE) -> list[Need]:
    """Return the entries on disk. Raises ValueError for another format."""
    data = json.loads(path.read_text(encoding="utf-8"))
    if (data.get("format"), data.get("version")) != (FORMAT, VERSION):
        raise ValueError(f"{path} is {data.get('format')} {data.get('version')}, but should be {FORMAT} {VERSION}")
    return [Need(**cell) for cell in data["cells"]]


def measured(jobs: int = 1, names: Sequence[str] | None = None) -> Kills:
    """Run every fault, or those named, on every golden vector: a second and a half each."""
    return dict(mapped(killed, list(faults_by_name()) if names is None else names, jobs))


def wrong_cells(found: Iterable[Need]) -> list[str]:
    """Return what does not fit the vectors and clauses that there are: cells missing, unknown, or counted wrongly."""
    listed = {(need.clause, need.dtype): need.vectors for need in found}
    actual = {cell: _count(items) for cell, items in cells().items()}
    differing = sorted(cell for cell in {*listed, *actual} if listed.get(cell) != actual.get(cell))
    return [
        f"{' '.join(cell)}: {listed.get(cell, 'no')} vectors listed, but there are {actual.get(cell, 'no')}"
        for cell in differing
    ]


def wrong_need(need: Need) -> str:
    """Return why a needed cell's entry is not true, "" where it is: its fault is run wherever it may be seen."""
    where, fault = f"{need.clause} {need.dtype}", faults_by_name().get(need.fault)
    own = [i for i in cells().get((need.clause, need.dtype), ()) if (i.case, i.part) == (need.vector, need.part)]
    if fault is None or not own or need.only not in ONLY:
        return f"{where}: no such fault, vector of this cell, or restriction: {need}: run make needed"
    key = ONLY[need.only]
    found = sorted({item.case for item in rejecting(fault, (i for i in vector_items() if key(i) == key(own[0])))})
    if found == [need.vector]:
        return ""
    names = f"{len(found)} vectors, {', '.join(found[:3])} among them" if found else "no vector"
    return f"{where}: {need.fault} is rejected by {names}, but should be by {need.vector} alone: run make needed"


def differences(jobs: int = 1) -> list[str]:
    """Return one line for everything in the file that is not true (any more); empty when it is current."""
    found = read()
    wrong = mapped(wrong_need, [need for need in found if need.vector], jobs)
    return [*wrong_cells(found), *filter(None, wrong)]


def summary(found: Sequence[Need]) -> str:
    """Return the numbers in one line."""
    needed = [sum(need.only == only for need in found) for only in ONLY]
    empty = sum(not need.vectors for need in found)
    return (
        f"{len(found)} cells, {empty} without vectors; {sum(needed)} needed ("
        f"{', '.join(f'{n} by a fault in {only}' for only, n in zip(ONLY, needed, strict=True))}), "
        f"{len(found) - sum(needed) - empty} redundant"
    )
