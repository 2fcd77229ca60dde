"""Faults that need two things at once and passed once: each has a check that rejects it now."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from multimargin_conformance import check
from multimargin_reference.known import MODEL, Custom, Request

Answer = Callable[[Request], Any]
AssertRejected = Callable[[str, str, Answer], None]
Where = Callable[[int, int], bool]


def whole_margin(change: Callable[[int], Any]) -> Answer:
    """Change a margin that is an int."""

    def answer(r: Request) -> Any:
        return MODEL.answer(replace(r, margin=float(change(r.margin))) if type(r.margin) is int else r)

    return answer


def nothing(is_lost: Callable[[Request], bool], answer_of: Callable[[Any], Any]) -> Answer:
    """Answer some losses of no rows otherwise."""

    def answer(r: Request) -> Any:
        value = MODEL.answer(r)
        empty = not r.backward and np.ndim(r.input) == 2 and not len(r.input)
        return answer_of(value) if empty and is_lost(r) else value

    return answer


def has_odd_weights(r: Request) -> bool:
    return r.weight is not None and not np.isfinite(np.asarray(r.weight)).all()


def nan_for(value: Any) -> Any:
    return np.full_like(value, np.nan)


def refuse(value: Any) -> Any:
    raise ValueError(f"refused where {value} is right")


def repeated_is_one(r: Request) -> Any:
    """Take a grad_output that repeats in memory for 1, in float32 with p = 2 and weights."""
    g = r.grad_output
    repeats = isinstance(g, np.ndarray) and g.ndim == 1 and g.size > 1 and g.strides == (0,)
    if repeats and r.p == 2 and r.weight is not None and np.asarray(r.input).dtype == np.float32:
        r = replace(r, grad_output=np.ones_like(g))
    return MODEL.answer(r)


def halved(where: Where, dtype: str, p: int, reduction: str, *, weighted: bool, backward: bool = False) -> Answer:
    """Halve what one set of options gives at some sizes, (N, C)."""

    def answer(r: Request) -> Any:
        value, shape = MODEL.answer(r), np.shape(r.input)
        given = np.asarray(r.input).dtype.name, r.p, r.reduction, r.weight is not None, r.backward
        is_it = given == (dtype, p, reduction, weighted, backward) and len(shape) == 2 and where(*shape)
        return value / value.dtype.type(2) if is_it else value

    return answer


def narrow_targets(dtype: str, change: Callable[[Any, int], Any]) -> Answer:
    """Accept targets of another dtype, changed where they are out of range."""

    def answer(r: Request) -> Any:
        y = np.asarray(r.target)
        if y.dtype == dtype:
            r = replace(r, target=change(y.astype(np.int64), np.shape(r.input)[-1]))
        return MODEL.answer(r)

    return answer


def ignored_beside_nan(r: Request) -> Any:
    """Leave rows with NaN out before targets are validated."""
    x, y = np.asarray(r.input), np.asarray(r.target)
    if x.ndim == 2 and y.shape == x.shape[:1] and np.isnan(x).any():
        y = np.where(np.isnan(x).any(axis=1) & (y == -100), 0, y)
        r = replace(r, target=y)
    return MODEL.answer(r)


def in_other_threads(change: Callable[[Any], Any]) -> Answer:
    """Change results in all threads but the one that made the object."""
    own = threading.get_ident()

    def answer(r: Request) -> Any:
        value = MODEL.answer(r)
        return value if threading.get_ident() == own else change(value)

    return answer


def flushed(value: Any) -> Any:
    return np.where(np.abs(value) < np.finfo(value.dtype).tiny, 0, value).astype(value.dtype)


def trapped(value: Any) -> Any:
    if np.isinf(value).any():
        raise FloatingPointError
    return value


def sign_of_zero(r: Request) -> Any:
    """Take z = -0 for active, having asked for the sign bit."""
    if r.backward and r.margin == 0 and np.signbit(r.margin) and np.ndim(r.input) == 2 and len(r.input):
        x = np.array(r.input)
        own = x[np.arange(len(x)), np.asarray(r.target)][:, None]
        x[(x == 0) & np.signbit(x) & (own == 0) & ~np.signbit(own)] = np.finfo(x.dtype).tiny
        r = replace(r, input=x)
    return MODEL.answer(r)


def reversed_weights(r: Request) -> Any:
    """Read weights from where they begin, whatever their stride's sign."""
    w = r.weight
    return MODEL.answer(
        replace(r, weight=w[::-1]) if isinstance(w, np.ndarray) and min(w.strides, default=0) < 0 else r
    )


SURVIVORS: dict[str, tuple[str, Callable[[], Answer]]] = {
    "whole margin in 8 bits": ("DTYPE-4", lambda: whole_margin(lambda m: (m + 128) % 256 - 128)),
    "whole margin in 32 bits": ("DTYPE-4", lambda: whole_margin(lambda m: m % 2**32)),
    "whole margin without its sign": ("DTYPE-4", lambda: whole_margin(abs)),
    "whole margin as a flag": ("DTYPE-4", lambda: whole_margin(bool)),
    "no rows, odd weights, sum": ("SHAPE-7", lambda: nothing(has_odd_weights, nan_for)),
    "no rows, odd weights, none": ("SHAPE-6", lambda: nothing(has_odd_weights, refuse)),
    "no rows, large margin": ("SHAPE-7", lambda: nothing(lambda r: abs(r.margin) > 1e10, nan_for)),
    "repeated grad_output": ("PURITY-5", lambda: repeated_is_one),
    "4097 rows of 5, usual options": (
        "SHAPE-5",
        lambda: halved(lambda n, c: n > 4096 and c > 4, "float32", 1, "mean", weighted=False),
    ),
    "32 rows of 4096, usual options": (
        "SHAPE-4",
        lambda: halved(lambda n, c: n >= 32 and c >= 4096, "float32", 1, "mean", weighted=False, backward=True),
    ),
    "64 rows of 8192, float64": (
        "SHAPE-4",
        lambda: halved(lambda n, c: n >= 64 and c >= 8192, "float64", 1, "mean", weighted=False),
    ),
    "128 rows of 1000, of each row": (
        "SHAPE-4",
        lambda: halved(lambda n, c: n >= 128 and c >= 1000, "float64", 1, "none", weighted=False),
    ),
    "1025 rows of 100, weighted mean": (
        "SHAPE-5",
        lambda: halved(lambda n, c: n > 1024 and c >= 100, "float32", 1, "mean", weighted=True),
    ),
    "65537 rows, of each row": (
        "SHAPE-5",
        lambda: halved(lambda n, _: n > 65_536, "float64", 1, "none", weighted=True),
    ),
    "2 rows of 65537, sum": (
        "SHAPE-4",
        lambda: halved(lambda n, c: n > 1 and c > 65_536, "float32", 1, "sum", weighted=False),
    ),
    "int16 targets wrap": ("REJECT-3", lambda: narrow_targets("int16", lambda y, c: np.where(y < 0, y % c, y))),
    "uint16 targets clipped": ("REJECT-4", lambda: narrow_targets("uint16", lambda y, c: np.minimum(y, c - 1))),
    "ignored beside NaN": ("REJECT-3", lambda: ignored_beside_nan),
    "subnormals in other threads": ("PURITY-3", lambda: in_other_threads(flushed)),
    "infinities in other threads": ("PURITY-3", lambda: in_other_threads(trapped)),
    "sign of zero": ("GRADIENT-4", lambda: sign_of_zero),
}


@pytest.mark.parametrize("name", SURVIVORS)
def test_what_survived_is_rejected(name: str, assert_rejected: AssertRejected) -> None:
    clause, make = SURVIVORS[name]
    assert_rejected(name, clause, make())


def test_sizes_name_the_layout_where_it_alone_is_at_fault() -> None:
    report = check(
        Custom("reversed weights", reversed_weights), profile="training", select="/sizes-17x", dtypes=["float32"]
    )
    assert report.counts["fail"]
    assert {verdict.clause for verdict in report.failures} == {"PURITY-5"}
    assert all("of plain copies the result is right" in v.failure.message for v in report.failures if v.failure)
