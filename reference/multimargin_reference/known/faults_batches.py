"""Known faults of unbatched, single-row and empty input."""

from __future__ import annotations

from typing import Any

import numpy as np

from multimargin_reference.known.catalogue import Fault, after, before, fault
from multimargin_reference.known.faults_shapes import reject
from multimargin_reference.known.model import MODEL, Array, Request, Work


def as_single_row(value: Any, r: Request) -> Any:
    return value.reshape(()) if value.shape == (1,) and not r.backward else value


def mean_over_classes_too(rows: Array, k: Work) -> Any:
    """Take the length of the first axis for N, which is C for an unbatched input."""
    first = max(1, k.input_shape[0])
    return rows.sum() / k.number(first) if k.reduction == "mean" else MODEL.reduced(rows, k)


def on_empty(reduction: str, answer: float) -> Any:
    """Make a change of the answer to an empty batch."""

    def change(value: Any, r: Request) -> Any:
        empty = np.shape(r.target) == (0,) and r.reduction == reduction and not r.backward
        return np.full_like(value, answer) if empty else value

    return change


def reject_empty(r: Request) -> Any:
    return np.shape(r.target) == (0,)


UNBATCHED = (
    before(
        "unbatched-rejected",
        "A (C,) input is rejected (PaddlePaddle, MindSpore).",
        "SHAPE-2",
        reject(lambda r: np.ndim(r.input) == 1, "2-D input only"),
    ),
    fault(
        "unbatched-divides-by-classes-again",
        "The mean over an unbatched input takes C for N.",
        "SHAPE-2 REDUCTION-2",
        reduce=mean_over_classes_too,
    ),
    after(
        "single-row-squeezed",
        "reduction = none of one row has shape () instead of (1,) (PyTorch 30826).",
        "REDUCTION-4 SHAPE-1",
        as_single_row,
    ),
    before(
        "single-row-rejected",
        "A batch of one row is rejected.",
        "SHAPE-1",
        reject(lambda r: np.shape(r.target) == (1,), "batch of one"),
    ),
    fault(
        "unbatched-gradient-two-dimensional",
        "The gradient of a (C,) input has shape (1, C).",
        "GRADIENT-10 SHAPE-2",
        finish_gradient=lambda d, k: d.astype(k.dtype),
    ),
)

EMPTY = (
    after(
        "empty-mean-garbage",
        "The mean of an empty batch is uninitialised memory (PyTorch on the CPU).",
        "SHAPE-8",
        on_empty("mean", 0.0429),
    ),
    after(
        "empty-sum-garbage",
        "The sum of an empty batch is uninitialised memory (PyTorch on the CPU).",
        "SHAPE-7",
        on_empty("sum", -9.875),
    ),
    after("empty-sum-nan", "The sum of an empty batch is NaN.", "SHAPE-7", on_empty("sum", np.nan)),
    after("empty-mean-infinite", "The mean of an empty batch is infinite.", "SHAPE-8", on_empty("mean", np.inf)),
    after("empty-mean-one", "The mean of an empty batch is 1.", "SHAPE-8", on_empty("mean", 1)),
    after(
        "empty-none-one-row",
        "reduction = none of an empty batch has one element.",
        "SHAPE-6",
        lambda v, _r: np.zeros((1,), v.dtype) if v.shape == (0,) else v,
    ),
    after(
        "empty-none-scalar",
        "reduction = none of an empty batch is a single zero.",
        "SHAPE-6",
        lambda v, _r: np.zeros((), v.dtype) if v.shape == (0,) else v,
    ),
    before(
        "empty-none-rejected",
        "An empty batch is rejected for reduction = none.",
        "SHAPE-6",
        reject(lambda r: reject_empty(r) and r.reduction == "none" and not r.backward, "empty batch"),
    ),
    before(
        "empty-sum-rejected",
        "An empty batch is rejected for reduction = sum.",
        "SHAPE-7",
        reject(lambda r: reject_empty(r) and r.reduction == "sum" and not r.backward, "empty batch"),
    ),
    before(
        "empty-mean-rejected",
        "An empty batch is rejected for reduction = mean.",
        "SHAPE-8",
        reject(lambda r: reject_empty(r) and r.reduction == "mean" and not r.backward, "empty batch"),
    ),
    before(
        "empty-gradient-rejected",
        "backward fails on an empty batch (PyTorch 146790, MindSpore).",
        "SHAPE-9",
        reject(lambda r: reject_empty(r) and r.backward, "empty batch"),
    ),
    after(
        "empty-gradient-flat",
        "The gradient of an empty batch has shape (0,).",
        "SHAPE-9",
        lambda v, _r: v.reshape(0) if v.ndim == 2 and not v.shape[0] else v,
    ),
    after(
        "empty-gradient-one-row",
        "The gradient of an empty batch has a row of zeros.",
        "SHAPE-9",
        lambda v, _r: np.zeros((1, v.shape[1]), v.dtype) if v.ndim == 2 and not v.shape[0] else v,
    ),
)

FAULTS: tuple[Fault, ...] = UNBATCHED + EMPTY
