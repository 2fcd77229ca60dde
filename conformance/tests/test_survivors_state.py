"""Faults of state and memory on one path alone that passed once: each has a check that rejects it now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from multimargin_reference.known import MODEL, Request

Answer = Callable[[Request], Any]
AssertRejected = Callable[[str, str, Answer], None]


def options(r: Request) -> Any:
    return np.shape(r.input), np.asarray(r.input).dtype.name, r.p, r.margin, r.reduction


def logits_of_the_last_loss(where: Callable[[tuple[int, ...]], bool]) -> Answer:
    """Leave the logits in the object for the gradient, which takes them for its own if all options are the same."""
    saved = SimpleNamespace(options=None, input=None)

    def answer(r: Request) -> Any:
        if not r.backward:
            saved.options, saved.input = options(r), np.array(r.input)
        elif saved.options == options(r) and where(np.shape(r.input)):
            r = replace(r, input=saved.input)
        return MODEL.answer(r)

    return answer


def first_of_long_rows() -> Answer:
    """Find the workspace of long rows not yet written to."""
    seen = SimpleNamespace(calls=0)

    def answer(r: Request) -> Any:
        value = MODEL.answer(r)
        seen.calls += np.shape(r.input)[-1:] > (1024,)
        return value + value.dtype.type(1) if seen.calls == 1 and np.shape(r.input)[-1:] > (1024,) else value

    return answer


def kept(is_kept: Callable[[Request], bool]) -> Answer:
    """Answer some calls with one array for all of a shape and dtype, which the caller may write to."""
    known: dict[Any, Any] = {}

    def answer(r: Request) -> Any:
        value = np.array(MODEL.answer(r))
        return known.setdefault((value.shape, value.dtype.name), value) if is_kept(r) and not value.any() else value

    return answer


def shared_scratch(is_copied: Callable[[Request], bool]) -> Answer:
    """Copy the logits of some calls into memory that is kept for a shape and dtype, where threads meet."""
    scratch: dict[Any, Any] = {}

    def answer(r: Request) -> Any:
        if not is_copied(r) or not isinstance(r.input, np.ndarray) or not r.input.size:
            return MODEL.answer(r)
        copy = scratch.setdefault((r.input.shape, r.input.dtype.name), np.empty_like(r.input, order="C"))
        copy[...] = r.input
        return MODEL.answer(replace(r, input=copy))

    return answer


def packed_as_it_lies() -> Answer:
    """Pack logits that are not aligned in the order in which they lie."""

    def answer(r: Request) -> Any:
        x = r.input
        if isinstance(x, np.ndarray) and not x.flags.aligned:
            r = replace(r, input=x.ravel("K").reshape(x.shape))
        return MODEL.answer(r)

    return answer


def packed_once() -> Answer:
    """Keep a packed row for its address, as long as its ends are what they were."""
    last = SimpleNamespace(key=None, row=None)

    def answer(r: Request) -> Any:
        x = r.input
        if isinstance(x, np.ndarray) and x.shape[:1] == (1,) and x.size > 16 and x.strides[-1] != x.itemsize:
            key = x.ctypes.data, x.strides, x.shape, x.dtype.name, float(x[0, 0]), float(x[0, -1])
            if last.key != key:
                last.key, last.row = key, x.copy()
            r = replace(r, input=last.row)
        return MODEL.answer(r)

    return answer


def margin_of_the_first_dtype() -> Answer:
    """Keep each margin as the first gradient that has it rounds it."""
    known: dict[float, Any] = {}

    def answer(r: Request) -> Any:
        if r.backward and r.p == 1 and isinstance(r.margin, float) and np.isfinite(r.margin):
            r = replace(r, margin=float(known.setdefault(r.margin, np.asarray(r.input).dtype.type(r.margin))))
        return MODEL.answer(r)

    return answer


def read_only_once() -> Answer:
    """Keep what a logits' array holds that cannot be written to."""
    known: dict[int, Any] = {}

    def answer(r: Request) -> Any:
        x = r.input
        if isinstance(x, np.ndarray) and not x.flags.writeable and not r.backward:
            held, copy = known.setdefault(id(x), (x, x.copy()))
            r = replace(r, input=copy) if held is x else r
        return MODEL.answer(r)

    return answer


def targets_of_one_sum() -> Answer:
    """Keep targets for their number, ends, sum and exclusive or."""
    known: dict[Any, Any] = {}

    def answer(r: Request) -> Any:
        y = r.target
        if isinstance(y, np.ndarray) and y.ndim == 1 and y.size > 2 and y.dtype == np.int64:
            key = len(y), np.shape(r.input), y[0], y[-1], y.sum(), np.bitwise_xor.reduce(y)
            r = replace(r, target=known.setdefault(key, y.copy()))
        return MODEL.answer(r)

    return answer


SURVIVORS: dict[str, tuple[str, Callable[[], Answer]]] = {
    "logits of the last loss, no batch": ("PURITY-3", lambda: logits_of_the_last_loss(lambda shape: len(shape) == 1)),
    "logits of the last loss, long rows": ("PURITY-3", lambda: logits_of_the_last_loss(lambda s: s[-1] > 1024)),
    "logits of the last loss, many rows": ("PURITY-3", lambda: logits_of_the_last_loss(lambda s: s[0] > 1024)),
    "first call of long rows": ("PURITY-2", first_of_long_rows),
    "kept, of no rows": ("PURITY-4", lambda: kept(lambda r: np.size(r.target) == 0)),
    "kept, grad_output 0": ("PURITY-4", lambda: kept(lambda r: r.backward and not np.any(r.grad_output))),
    "scratch of squared means": (
        "PURITY-3",
        lambda: shared_scratch(lambda r: r.reduction == "mean" and r.p == 2 and not r.backward),
    ),
    "margin of the first dtype": ("PURITY-3", margin_of_the_first_dtype),
    "read-only logits kept": ("PURITY-3", read_only_once),
    "targets of one sum": ("PURITY-3", targets_of_one_sum),
    "packed as it lies": ("PURITY-5", packed_as_it_lies),
    "packed once": ("PURITY-3", packed_once),
}


@pytest.mark.parametrize("name", SURVIVORS)
def test_state_that_survived_is_rejected(name: str, assert_rejected: AssertRejected) -> None:
    clause, make = SURVIVORS[name]
    assert_rejected(name, clause, make())
