"""The checks: what is planned for a backend, in the order in which it is run."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache, lru_cache
from types import ModuleType

import numpy as np

from multimargin_conformance.checks import (
    arguments,
    blocks,
    bulk,
    caches,
    close,
    corners,
    crossed,
    dense,
    digits,
    edges,
    effects,
    empty,
    first,
    held,
    huge,
    instances,
    integration,
    ladder,
    large_layouts,
    magnitudes,
    many,
    one_memory,
    patterns,
    properties,
    purity,
    recovery,
    rejections,
    rewritten,
    sizes,
    threads,
    unusual,
    vectors,
)
from multimargin_conformance.checks.item import Item, Scope
from multimargin_reference.clauses import CLAUSES, GROUPS

OPERATOR = (
    vectors,
    first,
    empty,
    arguments,
    unusual,
    rejections,
    instances,
    effects,
    sizes,
    ladder,
    blocks,
    corners,
    bulk,
    dense,
    many,
    crossed,
    patterns,
    magnitudes,
    digits,
    close,
    edges,
    huge,
    properties,
    purity,
    large_layouts,
    one_memory,
    held,
    caches,
    rewritten,
    recovery,
    threads,
)


def plan(scope: Scope, select: str = "", clause: str = "") -> list[Item]:
    """Return everything that will be run, each item one verdict, in the specification's order.

    select: a glob over ids; clause: globs over clauses, by commas, of which one of an item's has to match one.
    """
    more = _matching([*integration.items(scope)], select, clause)
    return [*_of_the_operator(replace(scope, integration=None), select, clause), *more]


@lru_cache(maxsize=16)
def _of_the_operator(scope: Scope, select: str, clause: str) -> Sequence[Item]:
    """Return what is planned without an integration: the same for every backend."""
    modules = [module for module in OPERATOR if scope.operator and _matched(spoken_about(module), clause)]
    order = {group: k for k, group in enumerate(GROUPS)}
    with np.errstate(all="ignore"):  # whatever the caller makes of overflow and underflow
        items = _matching([item for module in modules for item in module.items(scope)], select, clause)
        existing = [item for item in items if item.exists is None or item.exists()]
    return sorted(existing, key=lambda item: order[item.clause.split("-")[0]])


def _matching(items: Sequence[Item], select: str, clause: str) -> Sequence[Item]:
    if not (select or clause):
        return items
    wanted = _matched({name for item in items for name in (item.clause, *item.also)}, clause)
    return [i for i in items if wanted.intersection((i.clause, *i.also)) and fnmatch.fnmatchcase(i.id, f"*{select}*")]


def _matched(names: Iterable[str], clause: str) -> set[str]:
    globs = clause.split(",") if clause else ["*"]
    return {name for name in names if any(fnmatch.fnmatchcase(name, glob) for glob in globs)}


def spoken_about(module: ModuleType) -> Iterable[str]:
    """Return the clauses of a module's checks, also those that they speak about beside their own; vectors have any."""
    return CLAUSES if module is vectors else (*module.CLAUSES, *getattr(module, "ALSO", ()))


@cache
def clauses_checked() -> Mapping[str, list[str]]:
    """Return the ids of the checks by clause, for vectors and for the other checks."""
    return _merged((vectors.clauses(), *_others()))


@cache
def other_checks() -> Mapping[str, list[str]]:
    """Return the ids of the checks by clause, without the vectors."""
    return _merged(_others())


def _others() -> Iterable[Mapping[str, list[str]]]:
    return (module.CLAUSES for module in (*OPERATOR[1:], integration))


def _merged(sources: Iterable[Mapping[str, list[str]]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for source in sources:
        for clause, names in source.items():
            found.setdefault(clause, []).extend(names)
    return found
