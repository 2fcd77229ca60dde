"""Known faults of the checks of the target's count, rank and dtype."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from multimargin_reference.known.catalogue import Fault, before
from multimargin_reference.known.model import Array, Request


def reshaping(fits: Callable[[Array, tuple[int, ...]], bool], repair: Callable[[Array, tuple[int, ...]], Any]) -> Any:
    """Make a change of the target where `fits(target, input.shape)` and the shapes disagree."""

    def change(r: Request) -> Request:
        y, shape = np.asarray(r.target), np.shape(r.input)
        if len(shape) != 2 or y.shape == shape[:1] or not fits(y, shape):
            return r
        return replace(r, target=repair(y, shape))

    return change


def padded(y: Array, shape: tuple[int, ...]) -> Array:
    return np.concatenate([y, np.zeros(shape[0] - y.size, y.dtype)])


def fewer_rows(r: Request) -> Request:
    """Compute as many rows as both arguments have."""
    y, x = np.asarray(r.target), np.asarray(r.input)
    if x.ndim != 2 or y.ndim != 1 or y.size >= x.shape[0]:
        return r
    g = np.asarray(r.grad_output) if r.backward else None
    return replace(r, input=x[: y.size], grad_output=g if g is None or g.ndim == 0 else g[: y.size])


def casting(fits: Callable[[Array], Any]) -> Any:
    """Make a change that casts floating targets where `fits(y)`."""

    def change(r: Request) -> Request:
        y = np.asarray(r.target)
        return replace(r, target=y.astype(np.int64)) if y.dtype.kind == "f" and np.all(fits(y)) else r

    return change


SHAPE = (
    before(
        "target-count-broadcast",
        "A single target serves every row (PyTorch 30824).",
        "REJECT-6",
        reshaping(lambda y, _s: y.shape == (1,), lambda y, s: np.repeat(y, s[0])),
    ),
    before(
        "target-count-longer",
        "Surplus targets are ignored.",
        "REJECT-6",
        reshaping(lambda y, s: y.ndim == 1 and y.size > s[0], lambda y, s: y[: s[0]]),
    ),
    before(
        "target-count-shorter-padded",
        "Missing targets are taken to be 0.",
        "REJECT-6",
        reshaping(lambda y, s: y.ndim == 1 and y.size < s[0], padded),
    ),
    before("target-count-shorter-fewer-rows", "Rows without a target are left out.", "REJECT-6", fewer_rows),
    before(
        "target-scalar-for-batch",
        "A 0-d target serves a batch of several rows.",
        "REJECT-6 REJECT-7",
        reshaping(lambda y, s: y.ndim == 0 and s[0] > 1, lambda y, s: np.repeat(y, s[0])),
    ),
    before(
        "target-column-flattened",
        "A target of shape (N, 1) is flattened.",
        "REJECT-7",
        reshaping(lambda y, s: y.shape == (s[0], 1), lambda y, _s: y.reshape(-1)),
    ),
    before(
        "target-row-flattened",
        "A target of shape (1, N) is flattened.",
        "REJECT-7",
        reshaping(lambda y, s: y.shape == (1, s[0]), lambda y, _s: y.reshape(-1)),
    ),
    before(
        "target-any-rank-flattened",
        "Any target with N elements is flattened.",
        "REJECT-7",
        reshaping(lambda y, s: y.size == s[0] and y.ndim > 1, lambda y, _s: y.reshape(-1)),
    ),
    before(
        "targets-of-rank-4-accepted",
        "Targets with three more axes are flattened.",
        "REJECT-7",
        reshaping(lambda y, s: y.ndim == 4 and y.size == s[0], lambda y, _s: y.reshape(-1)),
    ),
    before(
        "target-one-hot-accepted",
        "An integer target of shape (N, C) is taken for one-hot rows.",
        "REJECT-7",
        reshaping(lambda y, s: y.shape == s and s[1] > 0, lambda y, _s: y.argmax(axis=1)),
    ),
)

DTYPE = (
    before(
        "target-floating-truncated", "Floating targets are truncated.", "REJECT-8", casting(lambda y: np.isfinite(y))
    ),
    before(
        "target-whole-floats-accepted",
        "Floating targets without a fraction are accepted.",
        "REJECT-8",
        casting(lambda y: y == np.trunc(y)),
    ),
    before(
        "target-float64-accepted",
        "float64 targets are truncated, others rejected.",
        "REJECT-8",
        casting(lambda y: np.isfinite(y) & (y.dtype == np.float64)),
    ),
)

FAULTS: tuple[Fault, ...] = SHAPE + DTYPE
