"""The checks: what is planned for a backend, in the order in which it is run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache, lru_cache

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
from multimargin_reference.clauses import GROUPS

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


def plan(scope: Scope) -> list[Item]:
    """Return everything that will be run, each item one verdict, in the specification's order."""
    return list(_of_the_operator(scope) if scope.integration is None else _planned(scope))


@lru_cache(maxsize=16)
def _of_the_operator(scope: Scope) -> list[Item]:
    """Return what is planned without an integration: the same for every backend."""
    return _planned(scope)


def _planned(scope: Scope) -> list[Item]:
    modules = (*(OPERATOR if scope.operator else ()), integration)
    with np.errstate(all="ignore"):  # whatever the caller makes of overflow and underflow
        items = [item for module in modules for item in module.items(scope)]
    order = {group: k for k, group in enumerate(GROUPS)}
    return sorted(items, key=lambda item: order[item.clause.split("-")[0]])


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
