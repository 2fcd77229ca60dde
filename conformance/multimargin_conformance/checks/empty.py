"""SHAPE-7 and SHAPE-8 again and again: uninitialised memory is right by luck now and then."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np

from multimargin_conformance.checks.item import Item, Scope
from multimargin_conformance.judge import Finding, judge
from multimargin_conformance.session import PASS, Result, Session, result_of
from multimargin_reference.case import Case
from multimargin_reference.expectation import Enclosures
from multimargin_reference.formats import DTYPES

ROUNDS = 40
FEWER = 12  # rounds of a call that is about something else too, such as a vector
CLAUSES = {"SHAPE-7": ["empty batch, repeated"], "SHAPE-8": ["empty batch, repeated"]}


def items(scope: Scope) -> Iterator[Item]:
    """Yield one item a dtype, reduction and p."""
    if "batched" not in scope.capabilities.shapes:
        return
    for dtype in scope.dtypes:
        for clause, reduction in (("SHAPE-7", "sum"), ("SHAPE-8", "mean")):
            for p in scope.capabilities.p:
                if reduction in scope.capabilities.reductions:
                    yield _item(clause, dtype, reduction, p)


def again(case: Case, part: str) -> bool:
    """Whether a call is the loss of an empty batch, which may be right by luck."""
    return part == "loss" and case.input.ndim == 2 and not case.target.size and case.reduction != "none"


def rounds(session: Session, case: Case, part: str, most: int = FEWER) -> Iterator[int]:
    """Yield once, and for the loss of an empty batch again and again, with memory used and freed before each time."""
    many = again(case, part)
    for number in range(most if many else 1):
        if many:
            _dirty(session, case, number)
        yield number


def calls_of_rounds(case: Case, part: str) -> list[Case]:
    """Return the calls that are made where one is made in each of the rounds."""
    if not again(case, part):
        return [case]
    return [made for number in range(FEWER) for made in (_before(case, number), case)]


def _item(clause: str, dtype: str, reduction: str, p: int) -> Item:
    def run(session: Session) -> Result:
        empty = Case(np.zeros((0, 4), DTYPES[dtype]), np.zeros(0, np.int64), p=p, reduction=reduction)
        for number in rounds(session, empty, "loss", ROUNDS):
            finding = judge("loss", session.forward(empty), _expected(dtype, reduction), "an empty batch")
            if finding:
                again = f"{finding.message}; call {number + 1} of {ROUNDS}, between calls that use and free memory"
                return result_of(Finding(again, finding.evidence, finding.clause))
        return PASS

    return Item(f"{clause}/{dtype}/repeated-{reduction}-p{p}", clause, dtype, "loss", run, kind="repeated")


def _expected(dtype: str, reduction: str) -> Enclosures:
    zero = np.zeros(1)
    also = {0: frozenset({"nan"})} if reduction == "mean" else {}
    return Enclosures((), dtype, zero, zero, zero, also)


def _dirty(session: Session, case: Case, number: int) -> None:
    """Leave freed memory behind that does not hold zeros: a call with a loss, and buffers of small sizes."""
    session.forward(_before(case, number))
    buffers = [np.full(size, 1.2345 + number, np.float64) for size in range(1, 33)]
    del buffers


def _before(case: Case, number: int) -> Case:
    return _with_a_loss(case.dtype, case.reduction, int(case.p), number)


@cache
def _with_a_loss(dtype: str, reduction: str, p: int, number: int) -> Case:
    x = np.full((2, 4), 1.5 + number % 7, DTYPES[dtype])
    x[:, 0] = 0.25
    return Case(x, np.zeros(2, np.int64), p=p, reduction=reduction)
