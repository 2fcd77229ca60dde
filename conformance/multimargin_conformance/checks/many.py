"""PURITY over many calls: results held while hundreds of others are made, and equal calls with every option."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import product

import numpy as np

from multimargin_conformance.calling import ARGUMENTS, Arrays, Call
from multimargin_conformance.capabilities import REDUCTIONS
from multimargin_conformance.checks.contexts import contexts, valid
from multimargin_conformance.checks.item import Item, Scope
from multimargin_conformance.checks.layouts import every_other
from multimargin_conformance.judge import Finding, no_result
from multimargin_conformance.outcome import Observation, Returned
from multimargin_conformance.session import Result, Session, result_of
from multimargin_reference.case import Case
from multimargin_reference.formats import DTYPES
from multimargin_vectors.draft import uniform

HELD = 320  # results of all calls in turn, of a part and dtype: a ring, a pool or a slab of 300 shows
AGAIN = 320  # and as many of each of two: what is compiled anew for a call that is made often shows, if the call rounds
FEW = 300  # logits of that call
ADDED = (46, 19)  # rows and classes of another one, and a row more for each dtype and part after the first
SHAPES = ((130, 70), (300,))  # more than a block of rows, of classes, and no batch
BLOCKS = ((300, 60), (1, 5000), (310, 330))  # several blocks of rows, of classes, of both: sums that threads share
MORE_BLOCKS = ((100_003, 4), (2, 140_001))  # of the largest usual blocks too
STRIDED = (130, 60)  # with gaps in its arrays: a path of its own may add in another order
LARGE = ((300, 260), (70_001, 2), (3, 2100))  # results with memory of their own
LATER, MUCH, FEW_LATER = 9, 100_000, 3  # calls after one of up to so many logits, and after a larger one
MORE_OPTIONS = ((1, True), (0, False), (0, True))  # p - 1, and whether there are weights
STEPS = (1, 5, 7)  # of the rounds, in which every call is made once: prime to how many calls there are
CLAUSES = {
    "PURITY-2": ["every option again and again"],
    "PURITY-4": ["hundreds of results held", "large results held"],
}


def items(scope: Scope) -> Iterator[Item]:
    """Yield one item a clause, dtype and part."""
    for dtype in scope.dtypes:
        for part in ("loss", "gradient") if scope.gradient else ("loss",):
            small = [case for c in contexts() if not scope.capabilities.leaves_out(case := valid(c, dtype))]
            varied = [case for case in _varied(dtype) if not scope.capabilities.leaves_out(case)]
            if small:
                again = next((case for case in varied if case.input.size <= FEW and case.weight is not None), small[-1])
                batch = _added_up(dtype, part)
                rows = again if scope.capabilities.leaves_out(batch) else batch
                yield _item("PURITY-4", dtype, part, "held-by-hundreds", [*small, again, rows])
            large = [case for case in _large(dtype) if not scope.capabilities.leaves_out(case)]
            if large:
                yield _item("PURITY-4", dtype, part, "held-large", large)
            if varied and "run-to-run-variation" not in scope.capabilities.permissions:
                yield _item("PURITY-2", dtype, part, "every-option-again", varied)


def _item(clause: str, dtype: str, part: str, name: str, cases: list[Case]) -> Item:
    test = {"every-option-again": _repeated, "held-by-hundreds": _held, "held-large": _held_large}[name]

    def run(session: Session) -> Result:
        return result_of(test(session, part, cases))

    return Item(f"{clause}/{dtype}/{name}/{part}", clause, dtype, part, run, kind="many")


def _held(session: Session, part: str, cases: list[Case]) -> Finding | None:
    session.needs("held")
    *_, single, batch = cases
    calls = [cases[k % len(cases)] for k in range(HELD)] + AGAIN * [single] + AGAIN * [batch]
    again = {case.id: _copies(case, part) for case in (single, batch)}  # the alignment may choose an order
    kept: list[tuple[Observation, bytes]] = []
    first: dict[str, Observation] = {}
    is_repeatable = "run-to-run-variation" not in session.subject.capabilities.permissions
    for k, case in enumerate(calls):
        seen = session.kept(part, case, **again.get(case.id, {}))
        kept.append((seen, bits(seen)))
        if is_repeatable and not _alike(first.setdefault(case.id, seen), seen):
            message = f"{part} of call {k + 1} of {len(calls)} differs from that of an equal call before it"
            return Finding(message, {"part": part}, "PURITY-3", case)
    for k, (seen, before) in enumerate(kept):
        if bits(session.caller.now(seen)) != before:
            message = f"{part} of call {k + 1} of {len(calls)} changed in a later call, but should be left as it is"
            return Finding(message, {"part": part}, case=calls[k])
    return None


def _copies(case: Case, part: str) -> Arrays:
    arrays = {name: getattr(case, name) for name in ARGUMENTS[part]}
    return {name: np.array(array) for name, array in arrays.items() if array is not None}


def _alike(first: Observation, seen: Observation) -> bool:
    """Whether two equal calls gave the same numbers; an error is none."""
    a, b = first.outcome, seen.outcome
    return not (isinstance(a, Returned) and isinstance(b, Returned)) or np.array_equal(a.value, b.value)


def _held_large(session: Session, part: str, cases: list[Case]) -> Finding | None:
    session.needs("held")
    for case in cases:
        first = session.kept(part, case)
        before = bits(first)
        for later in range(LATER if case.input.size <= MUCH else FEW_LATER):
            session.function(part)(replace(case, input=case.input[::-1].copy(), margin=case.margin + 1 + later))
        if bits(session.caller.now(first)) != before:
            size = "x".join(str(n) for n in case.input.shape)
            return Finding(
                f"{part} of a {size} call changed in a later call, but should be left as it is", {"part": part}
            )
    return None


def _repeated(session: Session, part: str, cases: list[Case]) -> Finding | None:
    first: dict[int, bytes] = {}
    cases = [case for case in cases if session.fits(Call(part, case))]
    arrays = [{name: getattr(case, name) for name in ARGUMENTS[part]} for case in cases]
    layouts = [every_other if case.input.shape == STRIDED and session.offers("layouts") else np.array for case in cases]
    given = [
        {name: layout(array) for name, array in some.items() if array is not None}
        for layout, some in zip(layouts, arrays, strict=True)
    ]
    for turn, step in enumerate(STEPS):
        for _ in range(turn):  # what alternates from call to call must not keep in step
            session.function(part)(cases[0])
        for k in range(len(cases)):
            number = k * step % len(cases)
            outcome = session.function(part)(cases[number], **given[number]).outcome  # the same memory each time
            if not isinstance(outcome, Returned):
                return no_result(part, outcome)
            if first.setdefault(number, outcome.value.tobytes()) != outcome.value.tobytes():
                message = f"{part} differs between equal calls, but should have the same bits"
                return Finding(message, {"part": part})
    return None


def bits(seen: Observation) -> bytes:
    """Return a result's bits, none where there is no result."""
    return seen.outcome.value.tobytes() if isinstance(seen.outcome, Returned) else b""


@cache
def _added_up(dtype: str, part: str) -> Case:
    """Return a call of many digits of a shape that neither another check nor dtype has: how many calls it had counts.

    Each row's sum is seen in one dtype, that of all rows in others.
    """
    kind, (rows, classes) = DTYPES[dtype], ADDED
    rows += 2 * list(DTYPES).index(dtype) + (part == "gradient")
    x, y = uniform(390, (rows, classes)).astype(kind), np.arange(rows) * 5 % classes
    weight = uniform(391, (classes,), 0.5, 2.0).astype(kind)
    reduction = "none" if dtype == "float32" else "sum"
    grads = uniform(392, (rows,) if reduction == "none" else (), 0.5, 2.0).astype(kind)
    return Case(x, y, 2, 1.0, weight, reduction, grads)


@cache
def _varied(dtype: str) -> tuple[Case, ...]:
    """Return calls of many digits with every power, reduction and choice of weights: every order rounds."""
    kind, found = DTYPES[dtype], []
    # p = 2 first: a gradient for p = 1 adds up ones, so that what is different in the first call of a shape is the same
    options = list(product(SHAPES, (2, 1), REDUCTIONS, (False, True)))
    options += [(shape, 2 - k % 2, reduction, not k) for shape in BLOCKS for k, reduction in enumerate(REDUCTIONS)]
    options += [(shape, 1 + k, ("sum", "mean")[k], weighted) for shape in MORE_BLOCKS for k, weighted in MORE_OPTIONS]
    options += [(MORE_BLOCKS[0], 2, "none", True)]  # where the sum of all rows hides what a row's own differs by
    options += [(STRIDED, 2 - k % 2, reduction, not k) for k, reduction in enumerate(REDUCTIONS)]
    for k, (shape, p, reduction, weighted) in enumerate(options):
        x = uniform(400 + k, shape).astype(kind)
        y = (np.arange(int(np.prod(shape[:-1]))) * 7 % shape[-1]).reshape(shape[:-1])
        weight = uniform(500 + k, shape[-1:], 0.5, 2.0).astype(kind) if weighted else None
        grads = uniform(600 + k, shape[:-1] if reduction == "none" else (), 0.5, 2.0).astype(kind)
        found.append(Case(x, y, p, 1.0, weight, reduction, grads))
    return tuple(found)


@cache
def _large(dtype: str) -> tuple[Case, ...]:
    """Return calls whose loss or gradient is large."""
    kind, found = DTYPES[dtype], []
    for k, shape in enumerate(LARGE):
        x = np.resize(uniform(700 + k, (1009,)), shape).astype(kind)
        grads = np.ones(shape[0], kind)
        found.append(Case(x, np.arange(shape[0]) % shape[1], 1 + k % 2, 1.0, None, "none", grads))
    return tuple(found)
