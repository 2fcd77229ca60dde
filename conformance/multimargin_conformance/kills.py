"""Which golden vectors reject which known faults: each vector's loss and gradient on a fresh backend, one at a time."""

from __future__ import annotations

import multiprocessing
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from typing import Any, TypeVar

import numpy as np

from multimargin_conformance.backend import Subject
from multimargin_conformance.capabilities import ALL_DTYPES, Capabilities
from multimargin_conformance.checks import vectors
from multimargin_conformance.checks.item import Item, Scope
from multimargin_conformance.session import Session
from multimargin_reference.known import FAULTS, Fault

EVERYTHING = Scope(ALL_DTYPES, True, Capabilities())
T = TypeVar("T")


@cache
def vector_items() -> tuple[Item, ...]:
    """Return the items of every golden vector, in every dtype and for both parts."""
    return tuple(vectors.items(EVERYTHING))


@cache
def faults_by_name() -> dict[str, Fault]:
    """Return the catalogue by name."""
    return {fault.name: fault for fault in FAULTS}


def session_of(fault: Fault) -> Session:
    """Return a session with a fresh backend of a fault: nothing that it remembers comes from another call."""
    backend = fault.make()
    return Session(Subject(backend.forward, backend.backward, fault.name, "", EVERYTHING.capabilities))


def rejecting(fault: Fault, items: Iterable[Item]) -> list[Item]:
    """Return the items that reject a fault, each run on a backend of its own. What an item raises is passed on."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return [item for item in items if item.run(session_of(fault)).status == "fail"]


def killed(name: str) -> tuple[str, list[str]]:
    """Return a fault's name and the ids of the vector items that reject it."""
    return name, [item.id for item in rejecting(faults_by_name()[name], vector_items())]


def mapped(function: Callable[[Any], T], values: Sequence[Any], jobs: int = 1) -> Iterator[T]:
    """Yield `function` of each value in order, in `jobs` processes; function and values must be importable by name."""
    if jobs == 1:
        yield from map(function, values)
        return
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(function, values)
