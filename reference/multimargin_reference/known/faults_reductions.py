"""Known faults of reductions, result shapes and result dtypes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from multimargin_reference.known.catalogue import Fault, after, before, fault
from multimargin_reference.known.model import MODEL, Array, Request, Work


def instead(**others: str) -> Any:
    """Make a change that treats one reduction as another."""

    def change(rows: Array, k: Work) -> Any:
        return MODEL.reduced(rows, replace(k, reduction=others.get(k.reduction, k.reduction)))

    return change


def loss_as(shape: Any) -> Any:
    """Make an `after` change of the loss's shape: `shape(value, request)`."""
    return lambda value, r: value if r.backward else np.broadcast_to(value, shape(value, r)).copy()


def is_reduced(r: Request) -> Any:
    return r.reduction != "none"


def per_class(value: Any, r: Request) -> Any:
    """Spread each row's loss over its classes: (N, C) for none."""
    if r.backward or is_reduced(r):
        return value
    return np.repeat(np.asarray(value)[..., None], np.shape(r.input)[-1], axis=-1)


def square_when_weighted(value: Any, r: Request) -> Any:
    """Broadcast a column of weights with a row of losses; past 1024 rows that would only exhaust memory."""
    if r.backward or is_reduced(r) or r.weight is None or np.ndim(value) != 1 or value.size > 1024:
        return value
    return np.repeat(value[None, :], value.size, axis=0)


def column(value: Any, r: Request) -> Any:
    return value[:, None] if not r.backward and np.ndim(value) == 1 else value


def as_dtype(name: str, which: bool | None = None) -> Any:
    """Make an `after` change of the dtype, of the loss (False), the gradient (True) or both (None)."""
    return lambda value, r: value.astype(name) if which is None or r.backward is which else value


def gradient_as(dtypes: dict[str, str]) -> Any:
    return lambda value, r: value.astype(dtypes.get(value.dtype.name, value.dtype)) if r.backward else value


def mean_by(count: Any) -> Any:
    """Make a reduction whose mean divides by `count(rows, k)`."""
    return lambda rows, k: rows.sum() / k.number(count(rows, k)) if k.reduction == "mean" else MODEL.reduced(rows, k)


def plain(value: Any, r: Request) -> Any:
    """Make a Python float of the loss, a list of floats for none."""
    return value if r.backward else value.tolist()


def without_dtype(name: str) -> Any:
    def change(r: Request) -> Request:
        if np.asarray(r.input).dtype.name == name:
            raise TypeError(f"not implemented for {name}")
        return r

    return change


def only_int32(r: Request) -> Request:
    y = np.asarray(r.target)
    if y.dtype != np.int32:
        raise TypeError(f"target.dtype={y.dtype}, but should be int32")
    return replace(r, target=y.astype(np.int64))


VALUES = (
    fault(
        "mean-divides-by-classes",
        "The mean divides by C instead of N (torch/cunn 215).",
        "REDUCTION-2",
        batch=lambda k: k.number(k.classes),
    ),
    fault("mean-not-divided", "The mean is not divided by N.", "REDUCTION-2", reduce=instead(mean="sum")),
    fault("mean-unbiased", "The mean divides by N - 1.", "REDUCTION-2", batch=lambda k: k.number(max(1, k.rows - 1))),
    fault(
        "mean-of-active-rows",
        "The mean counts only rows whose loss is not 0.",
        "REDUCTION-2",
        reduce=mean_by(lambda rows, _k: max(1, np.count_nonzero(rows))),
    ),
    fault(
        "mean-divided-twice",
        "The mean divides by N twice.",
        "REDUCTION-2",
        reduce=mean_by(lambda _rows, k: max(1, k.rows) ** 2),
    ),
    fault(
        "mean-median",
        "The median of the rows is returned for their mean.",
        "REDUCTION-2",
        reduce=lambda rows, k: np.median(rows) if k.reduction == "mean" and k.rows else MODEL.reduced(rows, k),
    ),
    fault(
        "mean-first-row",
        "The mean is the first row's loss.",
        "REDUCTION-2",
        reduce=lambda rows, k: rows[0] if k.reduction == "mean" and k.rows else MODEL.reduced(rows, k),
    ),
    fault("sum-divided", "The sum is divided by N, as a mean.", "REDUCTION-3", reduce=instead(sum="mean")),
    fault(
        "sum-and-mean-swapped",
        "sum and mean are exchanged.",
        "REDUCTION-2 REDUCTION-3",
        reduce=instead(sum="mean", mean="sum"),
    ),
    fault(
        "none-divided-by-batch",
        "Rows of reduction = none carry the mean's 1/N.",
        "REDUCTION-1",
        reduce=lambda rows, k: rows / MODEL.batch(k) if k.reduction == "none" else MODEL.reduced(rows, k),
    ),
    fault(
        "none-cumulative",
        "Rows of reduction = none are running sums.",
        "REDUCTION-1",
        reduce=lambda rows, k: np.cumsum(rows, dtype=rows.dtype) if k.reduction == "none" else MODEL.reduced(rows, k),
    ),
    fault(
        "none-filled-with-mean",
        "Every row of reduction = none holds the mean.",
        "REDUCTION-1",
        reduce=lambda rows, k: (
            np.full_like(rows, rows.mean()) if k.reduction == "none" and k.rows else MODEL.reduced(rows, k)
        ),
    ),
)

SHAPES = (
    after(
        "none-reduced",
        "reduction = none returns one number.",
        "REDUCTION-1 REDUCTION-4",
        lambda v, r: v if r.backward else np.asarray(v.sum(dtype=v.dtype)),
    ),
    after("none-per-class", "reduction = none returns (N, C).", "REDUCTION-1 REDUCTION-4", per_class),
    after("none-column", "reduction = none returns (N, 1).", "REDUCTION-4", column),
    after(
        "none-square-when-weighted",
        "With weights reduction = none returns (N, N) (PaddlePaddle 2.6.2).",
        "REDUCTION-4 WEIGHT-1",
        square_when_weighted,
    ),
    after(
        "none-unbatched-one-element",
        "reduction = none of a 0-d target has shape (1,) (PyTorch's decomposition).",
        "REDUCTION-4 SHAPE-2",
        loss_as(lambda v, r: v.shape if is_reduced(r) else v.shape or (1,)),
    ),
    after(
        "scalar-one-element",
        "mean and sum have shape (1,).",
        "REDUCTION-4",
        loss_as(lambda v, r: (1,) if is_reduced(r) else v.shape),
    ),
    after(
        "mean-keeps-dimensions",
        "mean has shape (1, 1).",
        "REDUCTION-4",
        loss_as(lambda v, r: (1, 1) if r.reduction == "mean" else v.shape),
    ),
    after(
        "sum-one-element",
        "sum alone has shape (1,).",
        "REDUCTION-4",
        loss_as(lambda v, r: (1,) if r.reduction == "sum" else v.shape),
    ),
    after(
        "scalar-broadcast-to-batch",
        "mean is repeated for every row.",
        "REDUCTION-4",
        loss_as(lambda v, r: np.shape(r.target) if r.reduction == "mean" else v.shape),
    ),
)

DTYPES = (
    after(
        "loss-always-float64", "The loss is float64 whatever the input's dtype.", "DTYPE-1", as_dtype("float64", False)
    ),
    after(
        "loss-always-float32", "The loss is float32 whatever the input's dtype.", "DTYPE-1", as_dtype("float32", False)
    ),
    after(
        "scalar-loss-float64",
        "mean and sum are accumulated and returned in float64.",
        "DTYPE-1",
        lambda v, r: v.astype(np.float64) if is_reduced(r) and not r.backward else v,
    ),
    after(
        "gradient-always-float64",
        "The gradient is float64 whatever the input's dtype.",
        "GRADIENT-10",
        as_dtype("float64", True),
    ),
    after(
        "gradient-always-float32",
        "The gradient is float32 whatever the input's dtype.",
        "GRADIENT-10",
        as_dtype("float32", True),
    ),
    after(
        "half-loss-float32",
        "Half-precision losses come back as float32.",
        "DTYPE-1 DTYPE-2",
        lambda v, r: v if r.backward or v.dtype.itemsize > 2 else v.astype(np.float32),
    ),
    after(
        "half-gradient-float32",
        "Half-precision gradients come back as float32.",
        "GRADIENT-10 DTYPE-2",
        gradient_as({"float16": "float32", "bfloat16": "float32"}),
    ),
    after(
        "bfloat16-as-float16",
        "bfloat16 bits are labelled float16.",
        "DTYPE-1 DTYPE-2",
        lambda v, _r: v.view(np.float16) if v.dtype.name == "bfloat16" else v,
    ),
    after("loss-python-numbers", "Python floats and lists come back instead of arrays.", "DTYPE-1", plain),
    after(
        "loss-integer",
        "The loss is rounded to an integer.",
        "DTYPE-1 VALUE-1",
        lambda v, r: (
            v if r.backward else np.nan_to_num(np.rint(v.astype(np.float64))).clip(-(2.0**62), 2.0**62).astype(np.int64)
        ),
    ),
    after("loss-nothing", "Nothing is returned.", "DTYPE-1 REDUCTION-4", lambda v, r: v if r.backward else None),
    after("gradient-nothing", "backward returns nothing.", "GRADIENT-10", lambda v, r: None if r.backward else v),
    after(
        "loss-complex",
        "The loss comes back as a complex number.",
        "DTYPE-1",
        lambda v, r: v if r.backward else v.astype(np.complex128),
    ),
    before("float64-rejected", "float64 input is rejected.", "DTYPE-1", without_dtype("float64")),
    before("float32-rejected", "float32 input is rejected.", "DTYPE-1", without_dtype("float32")),
    before("int64-rejected", "Only int32 targets are taken.", "DTYPE-3", only_int32),
)

FAULTS: tuple[Fault, ...] = VALUES + SHAPES + DTYPES
