"""Known faults of what calls of different kinds share, and of paths for what is large or lies elsewhere in memory.

A buffer is shared by two functions or two dtypes, threads share one that only large calls need, and what is right for a
small contiguous call is wrong for a large, padded or read-only one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from multimargin_reference.known.catalogue import Answer, Fault, before, fault, stateful
from multimargin_reference.known.faults_conditional import Condition, is_unbatched, is_weighted, narrow
from multimargin_reference.known.faults_edges import unchecked_targets
from multimargin_reference.known.faults_layout import reading
from multimargin_reference.known.model import MODEL, Request, Work
from multimargin_reference.known.model import drop_target as left_out
from multimargin_reference.validation import Arguments, validate

HELD = 8  # results that a buffer may still be
Kind = Callable[[Request], bool]


def shape(r: Request) -> tuple[int, int]:
    """Return N and C; 1 for what there is not."""
    rows, classes = (1, 1, *np.shape(r.input))[-2:]
    return rows, classes


def overwritten(held: Kind, by: Kind) -> Callable[[], Answer]:
    """Write zeros into the latest results of one kind of call when another kind is made, also if that is rejected."""

    def start() -> Answer:
        results: list[Any] = []

        def answer(r: Request) -> Any:
            if by(r):
                for result in results:
                    result[...] = 0
                results.clear()
            value = MODEL.answer(r)
            if held(r):
                results[:] = [*results[1 - HELD :], value]
            return value

        return answer

    return start


def is_loss(r: Request) -> bool:
    return not r.backward


def is_gradient(r: Request) -> bool:
    return r.backward


def is_single(r: Request) -> bool:
    return np.asarray(r.input).dtype == np.float32


def is_double(r: Request) -> bool:
    return np.asarray(r.input).dtype == np.float64


def is_empty(r: Request) -> bool:
    return np.size(r.input) == 0


def is_out_of_range(r: Request) -> bool:
    y = np.asarray(r.target)
    return bool(y.dtype.kind == "i" and np.any(y >= shape(r)[1]))


def scratch_shared(when: Kind) -> Callable[[], Answer]:
    """Pass arguments through the object, where a call is of a kind, so that threads read each other's."""

    def start() -> Answer:
        scratch = SimpleNamespace(request=None)

        def answer(r: Request) -> Any:
            if not when(r):
                return MODEL.answer(r)
            scratch.request = r
            time.sleep(2e-5)
            return MODEL.answer(scratch.request)

        return answer

    return start


def error_flag_shared() -> Answer:
    """Leave in the object whether a target is out of range, and look there before answering."""
    state = SimpleNamespace(out_of_range=False)

    def answer(r: Request) -> Any:
        state.out_of_range = is_out_of_range(r)
        if state.out_of_range:
            state.message = "target out of range"
        if state.out_of_range:
            raise IndexError(state.message)
        return MODEL.answer(replace(r, target=np.minimum(r.target, shape(r)[1] - 1)) if is_valid_kind(r) else r)

    return answer


def is_valid_kind(r: Request) -> bool:
    return np.asarray(r.target).dtype == np.int64 and np.ndim(r.input) in (1, 2) and shape(r)[1] > 0


def is_wide(r: Request) -> bool:
    return shape(r)[1] > 4096


def is_tall(r: Request) -> bool:
    return shape(r)[0] > 4096


def is_padded(r: Request) -> bool:
    x = r.input
    if not isinstance(x, np.ndarray) or x.ndim != 2 or len(x) < 2:
        return False
    return bool(x.strides[1] == x.itemsize and x.strides[0] > x.itemsize * x.shape[1])


def is_unaligned(r: Request) -> bool:
    return isinstance(r.input, np.ndarray) and not r.input.flags.aligned


def is_read_only(r: Request) -> bool:
    return isinstance(r.input, np.ndarray) and not r.input.flags.writeable


def is_fortran(r: Request) -> bool:
    return isinstance(r.input, np.ndarray) and r.input.ndim == 2 and not r.input.flags.c_contiguous


def is_folded(r: Request) -> bool:
    w = r.weight
    return w is not None and np.ndim(w) == 2 and np.shape(w)[0] == 2 and np.size(w) == shape(r)[1]


def is_minus_zero(r: Request) -> bool:
    g = r.grad_output
    return r.backward and np.ndim(g) == 0 and bool(np.signbit(g)) and float(g) == 0.0


def long_double_targets(r: Request) -> Request:
    y = np.asarray(r.target)
    return replace(r, target=y.astype(np.int64)) if y.dtype == np.longdouble else r


def unchecked_where_nothing_is_active(x: Any, y: Any, p: Any, margin: Any, weight: Any, reduction: Any) -> Arguments:
    """Leave the weight unchecked with a margin at which no class is active."""
    if float(margin) < -1e5 and weight is not None and np.ndim(x) in (1, 2):
        weight = np.ones(np.shape(x)[-1], np.asarray(x).dtype)
    return validate(x, y, p, margin, weight, reduction)


def lost_past_4096_classes(z: Any, k: Work) -> Any:
    """Make NaN of every infinity, and of NaN, past the first 4096 classes."""
    h = MODEL.hinge(z, k)
    far = ~np.isfinite(k.x) & (np.arange(k.classes) >= 4096)
    return np.where(far, k.number(np.nan), h)


def last_class_lost(when: Callable[[Work], bool]) -> Callable[[Any, Work], Any]:
    def drop(h: Any, k: Work) -> Any:
        h = left_out(h, k).copy()
        if h.size and when(k):
            h[-1, -1] = 0
        return h

    return drop


def zero_rows_past_32(array: Any) -> Any:
    """Read rows past the 32nd as zeros where all are one row."""
    values = np.array(array)
    if array.ndim == 2 and array.strides[0] == 0:
        values[32:] = 0
    return values


HELD_OVER = (
    stateful(
        "loss-overwritten-by-backward", "backward writes into the last losses.", "PURITY-4",
        overwritten(is_loss, is_gradient),
    ),
    stateful(
        "gradient-overwritten-by-forward", "forward writes into the last gradients.", "PURITY-4",
        overwritten(is_gradient, is_loss),
    ),
    stateful(
        "result-overwritten-by-rejection", "A call of targets out of range writes into the last results.", "PURITY-4",
        overwritten(lambda _: True, is_out_of_range),
    ),
    stateful(
        "single-result-overwritten-by-double", "A call in float64 writes into the last results in float32.", "PURITY-4",
        overwritten(is_single, is_double),
    ),
    stateful(
        "gradient-overwritten-by-a-large-call", "A call of more than 10000 logits writes into the last gradients.",
        "PURITY-4", overwritten(is_gradient, lambda r: np.size(r.input) > 10_000),
    ),
    stateful(
        "double-loss-overwritten-by-an-empty-batch", "An empty batch writes into the last losses in float64.",
        "PURITY-4", overwritten(lambda r: is_loss(r) and is_double(r), is_empty),
    ),
)  # fmt: skip

SHARED = (
    stateful(
        "threads-share-scratch-of-many-classes", "Threads share scratch space for losses of more than 4096 classes.",
        "PURITY-3", scratch_shared(lambda r: is_wide(r) and is_loss(r)),
    ),
    stateful(
        "threads-share-scratch-of-many-rows", "Threads share scratch space for gradients of more than 1024 rows.",
        "PURITY-3", scratch_shared(lambda r: shape(r)[0] > 1024 and is_gradient(r)),
    ),
    stateful(
        "threads-share-scratch-of-many-logits", "Threads share scratch space for more than 50000 logits.", "PURITY-3",
        scratch_shared(lambda r: np.size(r.input) > 50_000),
    ),
    stateful(
        "threads-share-an-error-flag", "One thread's target out of range is looked up by another.", "PURITY-3",
        error_flag_shared,
    ),
)  # fmt: skip

OTHERS = (
    fault(
        "masks-past-4096-classes-nan",
        "An infinite logit past the first 4096 classes makes its row NaN.",
        "SPECIAL-1 SPECIAL-2",
        hinge=lost_past_4096_classes,
    ),
    before(
        "zero-strides-past-32-rows", "One row repeated more than 32 times is read as zeros from there.", "PURITY-5",
        reading("input", zero_rows_past_32),
    ),
    before(
        "long-double-targets-accepted", "Targets in long double are taken.", "REJECT-8", long_double_targets,
    ),
    fault(
        "weight-unchecked-where-nothing-is-active", "A weight's size is not checked with a margin below -1e5.",
        "REJECT-9 REJECT-10", validate=unchecked_where_nothing_is_active,
    ),
    before(
        "folded-weight-accepted", "A weight of shape (2, C / 2) is flattened.", "REJECT-10",
        lambda r: replace(r, weight=np.ravel(r.weight)) if is_folded(r) else r,
    ),
    before(
        "minus-zero-grad-output-is-one", "A grad_output of -0.0 counts as 1.", "GRADIENT-8",
        lambda r: replace(r, grad_output=np.ones_like(r.grad_output)) if is_minus_zero(r) else r,
    ),
    fault(
        "target-unchecked-read-only", "Targets that are read-only are clipped, not checked.", "REJECT-4 REJECT-3",
        validate=unchecked_targets(lambda _x, y, _w: not np.asarray(y).flags.writeable),
    ),
    fault(
        "last-of-three-classes-lost", "The last of three classes is lost in a batch of one with weights.",
        "SHAPE-4 VALUE-3 VALUE-4",
        drop_target=last_class_lost(lambda k: k.x.shape == (1, 3) and k.w is not None and len(k.input_shape) == 2),
    ),
    fault(
        "last-class-of-large-batches-lost", "The last class of 20 rows of more than 9000 classes is lost.", "SHAPE-4",
        drop_target=last_class_lost(lambda k: k.rows >= 20 and k.classes > 9000),
    ),
)  # fmt: skip

FAULTS: tuple[Fault, ...] = HELD_OVER + SHARED + OTHERS

NARROWED: tuple[tuple[str, str, str, str, tuple[Condition, ...]], ...] = (
    ("gradient-masked-nan", "masks-of-many-classes-nan", "The slope of a masked class is NaN past 4096 classes.",
     "SPECIAL-1", (is_wide,)),
    ("infinity-becomes-zero", "infinities-of-many-rows-zero", "Infinity becomes 0 in more than 4096 rows.",
     "SPECIAL-2", (is_tall,)),
    ("nan-poisons-batch", "nan-poisons-many-rows", "A NaN spreads to other rows in more than 4096 rows.",
     "SPECIAL-7", (is_tall,)),
    ("weight-by-one-hot", "unused-weights-of-many-classes", "Unused weights poison sums past 4096 classes.",
     "WEIGHT-4", (is_wide,)),
    ("gradient-subnormals-flushed", "small-gradients-of-many-classes-flushed",
     "Subnormal gradients are flushed past 4096 classes.", "SPECIAL-5", (is_wide,)),
    ("kink-full", "kink-in-padded-rows", "A tie is active where rows have a gap.", "GRADIENT-4", (is_padded,)),
    ("mask-becomes-zero", "masks-unaligned-zero", "A masked class counts as 0 where the input is unaligned.",
     "SPECIAL-1", (is_unaligned,)),
    ("input-fortran-as-c", "read-only-fortran-as-c", "A read-only input in Fortran order is read in C order.",
     "PURITY-6", (is_read_only,)),
    ("input-strides-ignored", "strides-of-many-classes-ignored", "The input's strides are ignored past 4096 classes.",
     "PURITY-5", (is_wide, is_unbatched)),
    ("target-strides-ignored", "target-strides-beside-fortran-ignored",
     "The target's stride is ignored where the input is not in C order and weights are given.", "PURITY-5",
     (is_fortran, is_weighted)),
)  # fmt: skip


def narrowed(faults: Iterable[Fault]) -> tuple[Fault, ...]:
    """Return the faults of large or placed calls that are others elsewhere; faults: those that they are made from."""
    catalogue = {one.name: one for one in faults}
    return tuple(
        narrow(catalogue[base], name, sentence, clauses, conditions)
        for base, name, sentence, clauses, conditions in NARROWED
    )
