"""PURITY-3 from several threads: what one thread passes must not reach another one's result."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np

from multimargin_conformance.checks.item import Item, Scope
from multimargin_conformance.checks.purity import chosen, expected_part
from multimargin_conformance.judge import Finding, judge
from multimargin_conformance.session import Result, Session, result_of
from multimargin_vectors import Vector

THREADS = 4
ROUNDS = 12
SWITCH_INTERVAL_S = 1e-6  # between threads of one interpreter: short, so that calls interleave
CLAUSES = {"PURITY-3": ["calls from several threads"]}


def items(scope: Scope) -> Iterator[Item]:
    """Yield one item a dtype and part."""
    for dtype in scope.dtypes:
        for part in ("loss", "gradient") if scope.gradient else ("loss",):
            if vectors := chosen(scope, dtype):
                yield _item(dtype, part, vectors)


def _item(dtype: str, part: str, vectors: list[Vector]) -> Item:
    def run(session: Session) -> Result:
        with _switching_often(), ThreadPoolExecutor(THREADS) as pool:
            findings = list(pool.map(lambda k: _thread(session, vectors, part, k), range(THREADS)))
        return result_of(next((f for f in findings if f), None))

    return Item(f"PURITY-3/{dtype}/threads/{part}", "PURITY-3", dtype, part, run)


def _thread(session: Session, vectors: list[Vector], part: str, offset: int) -> Finding | None:
    """Call with every vector in turn, each thread beginning elsewhere."""
    with np.errstate(all="ignore"):  # the caller's settings do not reach a new thread
        for step in range(ROUNDS * len(vectors) // THREADS):
            vector = vectors[(step + offset * len(vectors) // THREADS) % len(vectors)]
            observation = session.function(part)(vector.case)
            why = f"{THREADS} threads call at once; vector {vector.id}"
            if finding := judge(part, observation, expected_part(vector, part), why):
                return finding
    return None


@contextmanager
def _switching_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
