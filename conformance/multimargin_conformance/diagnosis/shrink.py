"""The smallest call that still fails: one row, then few classes, then plain options, then simple numbers."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multimargin_reference.case import Case

SIMPLE = (0.0, 1.0, -1.0, 2.0, 0.5)
LIMIT = 400  # calls that are tried for one failure
SECONDS = 3.0  # for one failure, at most: a slow implementation, or large calls that cannot be made smaller
LARGEST = 64  # elements of an argument up to which its numbers are made simpler

Fails = Callable[[Case], bool]
Cost = tuple[Any, ...]


def shrink(case: Case, fails: Fails, row: int = 0, seconds: float = SECONDS) -> Case:
    """Return the simplest call found that still fails, `case` itself where none is simpler.

    fails: whether a call fails in the same way. row: a row that is known to be wrong. seconds: that are left.
    """
    calls, end = 0, time.monotonic() + min(SECONDS, seconds)
    best, progress = case, True
    while progress:
        progress = False
        for candidate in candidates(best, row):
            if calls >= LIMIT or time.monotonic() > end:
                return best
            if cost(candidate) >= cost(best):
                continue
            calls += 1
            if fails(candidate):
                best, progress, row = candidate, True, 0
                break
    return best


def candidates(case: Case, row: int = 0) -> Iterator[Case]:
    """Yield calls that may be simpler, the largest steps first."""
    if case.input.ndim == 2 and case.target.shape == case.input.shape[:1]:
        yield from _fewer_rows(case, row)
    if case.input.ndim and case.target.dtype.kind in "iu":
        yield from _fewer_classes(case)
    yield from _plain_options(case)
    yield from _simple_numbers(case)


def cost(case: Case) -> Cost:
    """Return what makes a call complicated, in order of weight."""
    rows, classes = (1, *case.input.shape)[-2:] if case.input.ndim else (1, 1)
    options = (case.weight is not None, case.reduction != "mean", case.p != 1, _digits(case.margin - 1))
    arrays = [a for a in (case.input, case.weight, case.grad_output) if a is not None and a.size <= LARGEST]
    numbers = sum(_digits(v) for a in arrays for v in a.astype(np.float64).reshape(-1).tolist())
    return rows, classes, options, numbers, int(case.target.sum()) if case.target.dtype.kind in "iu" else 0


def _digits(value: float) -> int:
    """Return how much there is to read: nothing for zero, more for fractions, signs and specials."""
    if not math.isfinite(value):
        return 40
    return 0 if value == 0 else len(f"{value!r}".removesuffix(".0"))


def _fewer_rows(case: Case, row: int) -> Iterator[Case]:
    rows = len(case.input)
    if rows > 1:
        yield rows_of(case, [row] if row < rows else [0])
        for part in _parts(rows):
            yield rows_of(case, part)


def _parts(count: int) -> Iterator[list[int]]:
    """Yield halves, then what is left without one of up to sixteen blocks, then single ones for few."""
    yield list(range(count // 2))
    yield list(range(count // 2, count))
    blocks = min(count, 16)
    edges = [count * k // blocks for k in range(blocks + 1)]
    for start, end in pairwise(edges):
        yield [*range(start), *range(end, count)]
    if count <= 32:
        yield from ([k] for k in range(count))


def rows_of(case: Case, kept: list[int]) -> Case:
    """Return the call with some of its rows."""
    g = case.grad_output
    if g is not None and g.ndim == 1 and len(g) == len(case.input):
        g = g[kept]
    return replace(case, input=case.input[kept], target=case.target[kept], grad_output=g)


def _fewer_classes(case: Case) -> Iterator[Case]:
    classes = case.input.shape[-1]
    if classes <= 1 or (case.weight is not None and case.weight.shape != (classes,)):
        return
    used = {int(y) for y in case.target.reshape(-1)}
    inside = sorted(y for y in used if 0 <= y < classes)
    if len(inside) <= 8:
        others = [i for i in range(classes) if i not in used]
        if inside:
            yield classes_of(case, inside)
        for i in others[:16]:
            yield classes_of(case, sorted([*inside, i]))
    for part in _parts(classes):
        if set(inside) <= set(part):
            yield classes_of(case, part)


def classes_of(case: Case, kept: list[int]) -> Case:
    """Return the call with some of its classes; targets keep their class, those outside stay as far outside."""
    classes, place = case.input.shape[-1], {i: k for k, i in enumerate(kept)}
    moved = [place.get(y, y if y < 0 else y - classes + len(kept)) for y in case.target.reshape(-1).tolist()]
    target = np.array(moved, dtype=case.target.dtype).reshape(case.target.shape)
    weight = None if case.weight is None else case.weight[kept]
    return replace(case, input=case.input[..., kept], target=target, weight=weight)


def _plain_options(case: Case) -> Iterator[Case]:
    if case.weight is not None:
        yield replace(case, weight=None)
        yield replace(case, weight=np.ones_like(case.weight))
    if case.reduction in ("none", "sum") and case.target.size:  # an empty batch has rules by reduction
        g = case.grad_output
        yield replace(case, reduction="mean", grad_output=None if g is None else np.array(g.reshape(-1)[:1].sum()))
    if case.p != 1:
        yield replace(case, p=1)
    for margin in (1.0, 0.0, float(round(case.margin)) if math.isfinite(case.margin) else 1.0):
        yield replace(case, margin=margin)


def _simple_numbers(case: Case) -> Iterator[Case]:
    """Yield calls with simpler numbers: all of an argument at once, then one after the other."""
    for name in ("grad_output", "weight", "input"):
        array: NDArray[Any] | None = getattr(case, name)
        if array is None or array.size > LARGEST or not array.size:
            continue
        for values in _simpler(array):
            change: dict[str, Any] = {name: values}
            yield replace(case, **change)
    if case.target.dtype.kind in "iu" and case.target.size == 1 and case.input.ndim:
        yield from _first_target(case)


def _first_target(case: Case) -> Iterator[Case]:
    """Yield the call with the target's class and class 0 exchanged."""
    y, classes = int(case.target.reshape(-1)[0]), case.input.shape[-1]
    if 0 < y < classes:
        order = list(range(classes))
        order[0], order[y] = y, 0
        weight = None if case.weight is None or case.weight.shape != (classes,) else case.weight[order]
        yield replace(case, input=case.input[..., order], target=np.zeros_like(case.target), weight=weight)


def _simpler(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    yield np.zeros_like(array)
    yield np.ones_like(array)
    wide = array.astype(np.float64)
    with np.errstate(all="ignore"):
        yield np.where(np.isfinite(wide), np.rint(wide), wide).astype(array.dtype)
    for k, old in enumerate(wide.reshape(-1).tolist()):
        for value in _values(old):
            changed = array.copy()
            changed.reshape(-1)[k] = value
            yield changed


def _values(old: float) -> Iterator[float]:
    """Yield simpler numbers than `old`; special ones only become finite."""
    yield from SIMPLE
    if math.isfinite(old) and old:
        yield float(round(old)) if abs(old) < 2**53 else old
        power = 2.0 ** math.floor(math.log2(abs(old)))
        yield math.copysign(power, old)
        yield math.copysign(power * (1 + math.floor((abs(old) / power - 1) * 8) / 8), old)
