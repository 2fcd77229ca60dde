"""SHAPE-4 and SHAPE-5 past the sizes that the oracle reaches (`--huge`): a call is compared with small calls.

The logits are on the exact grid and few are active, so that the results of a huge call are, to the bit, those of its
rows one by one, or of the call without the classes that are far below the margin. Sizes go past 2**24 elements, where a
float32 counts no further, and past 2**31 elements, where a 32-bit offset wraps, as far as the memory suffices.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from multimargin_conformance.checks.item import Item, Scope
from multimargin_conformance.checks.single import part_of
from multimargin_conformance.judge import Finding, judge, judge_form, subscript
from multimargin_conformance.outcome import Returned
from multimargin_conformance.session import Result, Session, result_of
from multimargin_reference.case import Case
from multimargin_reference.exact_values import legal_values
from multimargin_reference.expectation import Enclosures
from multimargin_reference.formats import DTYPES, HALVES
from multimargin_vectors.splitmix import integers

COPIES = 8  # of the logits that must fit in memory: the call's own, the gradient, and what a backend makes of them
LOW = -64.0  # far below the margin
FEW = 64  # classes that are not
PATTERN = 61  # rows that are repeated: no divisor of what an index wraps at
CLAUSES = {"SHAPE-4": ["huge sizes"], "SHAPE-5": ["huge sizes"]}


@dataclass(frozen=True)
class Size:
    """A huge call of `rows` x `classes`; one of them is few."""

    clause: str
    rows: int
    classes: int

    @property
    def name(self) -> str:
        """A readable, unique name."""
        return f"{self.rows}x{self.classes}"


SIZES = (
    Size("SHAPE-4", 2, 2**24),
    Size("SHAPE-4", 3, 2**25),
    Size("SHAPE-5", 2**24 + 3, 2),
    Size("SHAPE-5", 2**21 + 3, 2**10),
)


def items(scope: Scope) -> Iterator[Item]:
    """Yield one item a dtype, size and part, where huge calls were asked for."""
    c = scope.capabilities
    if not scope.generated.huge or "batched" not in c.shapes or "none" not in c.reductions:
        return
    for dtype in scope.dtypes:
        for size in SIZES if dtype not in HALVES else ():
            for part in ("loss", "gradient") if scope.gradient else ("loss",):
                yield _item(size, dtype, part, c.p[-1])


def _item(size: Size, dtype: str, part: str, p: int) -> Item:
    def run(session: Session) -> Result:
        if not session.offers("memory"):
            return Result("skip", reason="calls of this size are made in one process only: add --no-isolate")
        needed = COPIES * size.rows * size.classes * DTYPES[dtype].itemsize
        if needed > _memory():
            return Result("skip", reason=f"{needed >> 30} GiB of memory are needed, and {_memory() >> 30} are there")
        compare = _tall if size.rows > size.classes else _wide
        return result_of(compare(session, size, dtype, part, p))

    name = f"{size.clause}/{dtype}/huge-{size.name}/{part}"
    return Item(name, size.clause, dtype, part, run, kind="huge")


def _memory() -> int:
    """Return the bytes of memory that are free, 0 where the system does not say."""
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return 0


def _tall(session: Session, size: Size, dtype: str, part: str, p: int) -> Finding | None:
    """A few rows again and again: each has the result that it has among those few."""
    few = _call(PATTERN, size.classes, dtype, p)
    times = -(-size.rows // PATTERN)
    huge = Case(
        np.tile(few.input, (times, 1))[: size.rows],
        np.tile(few.target, times)[: size.rows],
        p,
        few.margin,
        few.weight,
        "none",
        np.tile(_factors(few), times)[: size.rows],
    )
    result, finding = _result(session, huge, part)
    if result is None:
        return finding
    expected = _expected(few, part)
    width = PATTERN * (few.input.shape[1] if part == "gradient" else 1)
    flat = result.reshape(-1)
    whole = flat[: len(flat) // width * width].reshape(-1, width)
    should = expected.lo.astype(result.dtype)
    wrong = np.flatnonzero((whole != should).any(axis=1))
    place = int(wrong[0]) * width if wrong.size else len(whole) * width
    return _finding(part, flat[place : place + width], should, place, result.shape)


def _wide(session: Session, size: Size, dtype: str, part: str, p: int) -> Finding | None:
    """Few classes near the margin among many far below it: the result is that of the few, rescaled."""
    few = _call(size.rows, FEW, dtype, p)
    places = np.unique(np.concatenate([np.arange(FEW // 2), size.classes - 1 - np.arange(FEW // 2)]))
    x = np.full((size.rows, size.classes), LOW, few.input.dtype)
    x[:, places] = few.input
    huge = Case(x, places[few.target], p, few.margin, None, "none", _factors(few))
    few = replace(few, weight=None)
    result, finding = _result(session, huge, part)
    if result is None:
        return finding
    should = (_expected(few, part).lo * (FEW / size.classes)).astype(result.dtype)
    if part == "loss":
        return _finding(part, result, should, 0, result.shape)
    if finding := _finding(part, result[:, places].reshape(-1), should, 0, (size.rows, FEW)):
        return finding
    others = np.count_nonzero(result) - np.count_nonzero(result[:, places])
    return Finding(f"gradient: {others} elements of classes far below the margin are not 0") if others else None


def _call(rows: int, classes: int, dtype: str, p: int) -> Case:
    """Return a call on the exact grid, off the kink."""
    kind = DTYPES[dtype]
    x = (integers(rows * classes, rows * classes, 16).reshape(rows, classes) - 8) * 0.5
    target = integers(rows, rows, classes)
    weight = np.resize(np.array([1.0, 2.0, 0.5, -4.0]), classes)
    return Case(x.astype(kind), target, p, 0.75, weight.astype(kind), "none")


def _factors(case: Case) -> NDArray[np.floating]:
    return np.resize(np.array([1.0, -2.0, 0.5, 4.0]), len(case.input)).astype(case.input.dtype)


def _expected(few: Case, part: str) -> Enclosures:
    values = legal_values(replace(few, grad_output=_factors(few)))
    return part_of(values, part)


def _result(session: Session, case: Case, part: str) -> tuple[NDArray[np.floating] | None, Finding | None]:
    """Return a result of the right form, or what is wrong with it."""
    observation = session.function(part)(case)
    shape, none = case.target.shape if part == "loss" else case.input.shape, np.zeros(0)
    any_values = Enclosures(shape, case.dtype, none, none, none)
    if isinstance(observation.outcome, Returned) and not observation.changed:
        finding = judge_form(part, observation.outcome.value, any_values)
        return (None, finding) if finding else (observation.outcome.value, None)
    return None, judge(part, observation, any_values, "")


def _finding(
    part: str, got: NDArray[np.floating], should: NDArray[np.floating], start: int, shape: tuple[int, ...]
) -> Finding | None:
    """Return the first element of a stretch that is not what it should be, in the whole result's subscript."""
    wrong = np.flatnonzero(got != should[: len(got)])
    if not wrong.size:
        return None
    k = int(wrong[0])
    place = subscript(start + k, shape)
    return Finding(f"{part}{place} = {got[k]}, but should be {should[k]}, as in a small call", {"part": part})
