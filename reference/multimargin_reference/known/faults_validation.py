"""Known faults of validation apart from the target's: p, reduction, weight, input, and errors turned into answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from multimargin_reference.known.catalogue import Fault, before, stateful
from multimargin_reference.known.faults_targets import blank
from multimargin_reference.known.model import MODEL, Array, Request, Work
from multimargin_reference.validation import REDUCTIONS

REJECTIONS = (ValueError, TypeError, IndexError)


def valid_p(p: Any) -> bool:
    return isinstance(p, int | float | np.number) and p in (1, 2)


def real_p(p: Any) -> bool:
    return isinstance(p, int | float | np.number) and bool(np.isfinite(p))


def general_power(fits: Callable[[Any], Any]) -> Any:
    """Answer for any other exponent where `fits(p)`, as a general power."""

    def answer(r: Request) -> Any:
        if valid_p(r.p) or not real_p(r.p) or not fits(r.p):
            return MODEL.answer(r)

        def power(h: Array, k: Work) -> Any:
            return np.where(h > 0, h ** k.number(r.p), k.number(0))

        def slope(z: Array, k: Work) -> Any:
            return k.number(r.p) * abs(z) ** k.number(r.p - 1)

        return replace(MODEL, power=power, slope=slope).answer(replace(r, p=1))

    return lambda: answer


def p_as(fits: Callable[[Any], Any], value: Callable[[Any], Any]) -> Any:
    """Make a change that takes another p for a valid one where `fits(p)`."""
    return lambda r: r if valid_p(r.p) or not fits(r.p) else replace(r, p=value(r.p))


def reduction_as(value: Callable[[Any], Any]) -> Any:
    """Make a change that takes an unknown reduction for `value(reduction)`, None where that is not possible."""

    def change(r: Request) -> Request:
        known = isinstance(r.reduction, str) and r.reduction in REDUCTIONS
        taken = None if known else value(r.reduction)
        return r if taken is None else replace(r, reduction=taken)

    return change


def by_prefix(reduction: Any) -> Any:
    matches = [name for name in REDUCTIONS if isinstance(reduction, str) and name[0] == reduction[:1]]
    return matches[0] if matches else None


def without_case(reduction: Any) -> Any:
    folded = str(reduction).strip().lower()
    return folded if folded in REDUCTIONS and folded != reduction and isinstance(reduction, str) else None


def named(**names: str) -> Any:
    return reduction_as(lambda reduction: names.get(reduction) if isinstance(reduction, str) else None)


def weight_as(fits: Callable[[Array, int], bool], repair: Callable[[Array, int], Any]) -> Any:
    """Make a change of a weight of the wrong shape where `fits(weight, C)`."""

    def change(r: Request) -> Request:
        shape = np.shape(r.input)
        if (
            r.weight is None
            or not shape
            or np.shape(r.weight) == shape[-1:]
            or not fits(np.asarray(r.weight), shape[-1])
        ):
            return r
        return replace(r, weight=repair(np.asarray(r.weight), shape[-1]))

    return change


def padded(w: Array, size: int) -> Array:
    return np.concatenate([w, np.ones(size - w.size, w.dtype)])


def covering_targets(r: Request) -> Request:
    """Accept a weight that has an entry for every target used."""
    w, size = None if r.weight is None else np.asarray(r.weight), np.shape(r.input)[-1:]
    y = np.asarray(r.target)
    if w is None or w.ndim != 1 or w.shape == size or not y.size or y.dtype.kind != "i" or not 0 <= y.max() < w.size:
        return r
    return replace(r, weight=np.resize(w, size))


def as_many_as_rows(r: Request) -> Request:
    """Check the weight's size against N, then use it by class as far as it goes."""
    rows, size = np.shape(r.target), np.shape(r.input)[-1:]
    if r.weight is None or np.shape(r.weight) == size:
        return r
    return replace(r, weight=np.resize(np.asarray(r.weight), size)) if np.shape(r.weight) == rows and rows[0] else r


def no_classes(fits: Callable[[tuple[int, ...]], bool], number: float) -> Any:
    """Answer a number where there are no classes and `fits(input.shape)`."""

    def answer(r: Request) -> Any:
        shape = np.shape(r.input)
        right_target = np.shape(r.target) == shape[:-1]
        return blank(r, number) if 0 in shape[-1:] and fits(shape) and right_target else MODEL.answer(r)

    return lambda: answer


def flattening(rows: Callable[[Request], Request | None]) -> Any:
    """Answer for an input of higher rank by the batch that `rows(request)` makes of it, None where it makes none."""

    def answer(r: Request) -> Any:
        flat = rows(r) if np.ndim(r.input) > 2 and 0 not in np.shape(r.input) else None
        if flat is None:
            return MODEL.answer(r)
        value = MODEL.answer(
            replace(
                flat,
                grad_output=None
                if not r.backward
                else np.reshape(r.grad_output, np.shape(flat.target) if r.reduction == "none" else ()),
            )
        )
        return value.reshape(np.shape(r.input)) if r.backward else value

    return lambda: answer


def leading(r: Request) -> Request | None:
    x, y = np.asarray(r.input), np.asarray(r.target)
    return (
        replace(r, input=x.reshape(-1, x.shape[-1]), target=y.reshape(-1)) if y.size * x.shape[-1] == x.size else None
    )


def classes_second(r: Request) -> Request | None:
    x, y = np.asarray(r.input), np.asarray(r.target)
    if y.shape != x.shape[:1] + x.shape[2:]:
        return None
    return replace(r, input=np.moveaxis(x, 1, -1).reshape(-1, x.shape[1]), target=y.reshape(-1))


def squeezed(r: Request) -> Request | None:
    x = np.asarray(r.input)
    shape = tuple(n for n in x.shape[:-1] if n != 1)
    return (
        replace(r, input=x.reshape(*(shape or (1,)), x.shape[-1]), target=np.asarray(r.target).reshape(-1))
        if len(shape) < 2 and np.size(r.target) == (shape or (1,))[0]
        else None
    )


def first_matrix(r: Request) -> Request | None:
    x, y = np.asarray(r.input), np.asarray(r.target)
    x = x.reshape(-1, *x.shape[-2:])[0]
    return replace(r, input=x, target=y.reshape(-1)[: x.shape[0]]) if y.size >= x.shape[0] and not r.backward else None


def rescuing(number: float | None) -> Any:
    """Answer with a number, or None, whenever the model rejects."""

    def answer(r: Request) -> Any:
        try:
            return MODEL.answer(r)
        except REJECTIONS:
            return None if number is None else blank(r, number)

    return lambda: answer


def returning_error() -> Any:
    def answer(r: Request) -> Any:
        try:
            return MODEL.answer(r)
        except REJECTIONS as error:
            return error

    return answer


EVERY_REJECTION = "REJECT-1 REJECT-2 REJECT-3 REJECT-4 REJECT-6 REJECT-8 REJECT-9"

P = (
    stateful("p-any-power", "Every p is taken as a general power.", "REJECT-1", general_power(lambda _p: True)),
    stateful(
        "p-three-accepted", "p = 3 is computed as a cube (PaddlePaddle).", "REJECT-1", general_power(lambda p: p == 3)
    ),
    stateful(
        "p-fraction-accepted",
        "p = 1.5 is computed as a power (PaddlePaddle).",
        "REJECT-1",
        general_power(lambda p: p == 1.5),
    ),
    stateful(
        "p-positive-integers-accepted",
        "Every positive whole p is accepted.",
        "REJECT-1",
        general_power(lambda p: p > 0 and p == int(p)),
    ),
    stateful(
        "p-between-accepted", "Every p from 1 to 2 is accepted.", "REJECT-1", general_power(lambda p: 1 <= p <= 2)
    ),
    before(
        "p-truncated",
        "p is truncated, so 1.99 acts as 1 (PyTorch's ATen level).",
        "REJECT-1",
        p_as(lambda p: real_p(p) and int(p) in (1, 2), int),
    ),
    before("p-other-means-one", "Any other p acts as 1.", "REJECT-1", p_as(lambda _p: True, lambda _p: 1)),
    before("p-other-means-two", "Any p but 1 acts as 2.", "REJECT-1", p_as(lambda _p: True, lambda _p: 2)),
    before("p-zero-accepted", "p = 0 acts as 1.", "REJECT-1", p_as(lambda p: real_p(p) and p == 0, lambda _p: 1)),
    before(
        "p-negative-accepted",
        "p = -1 and -2 act as their absolute value.",
        "REJECT-1",
        p_as(lambda p: real_p(p) and p in (-1, -2), abs),
    ),
    before(
        "p-at-most-two-accepted",
        "Only p > 2 is rejected; anything below acts as 1.",
        "REJECT-1",
        p_as(lambda p: real_p(p) and p < 2, lambda _p: 1),
    ),
)

REDUCTION = (
    before(
        "reduction-unknown-means-mean",
        "An unknown reduction acts as mean.",
        "REJECT-2",
        reduction_as(lambda _r: "mean"),
    ),
    before(
        "reduction-unknown-means-none",
        "An unknown reduction acts as none.",
        "REJECT-2",
        reduction_as(lambda _r: "none"),
    ),
    before(
        "reduction-unknown-means-sum", "An unknown reduction acts as sum.", "REJECT-2", reduction_as(lambda _r: "sum")
    ),
    before("reduction-case-ignored", "'Mean' and 'SUM' are accepted.", "REJECT-2", reduction_as(without_case)),
    before(
        "reduction-by-first-letter", "The reduction is told by its first letter.", "REJECT-2", reduction_as(by_prefix)
    ),
    before(
        "reduction-batchmean-accepted",
        "'batchmean' is accepted, as by another loss.",
        "REJECT-2",
        named(batchmean="mean"),
    ),
    before(
        "reduction-empty-accepted",
        "An empty string or None acts as mean.",
        "REJECT-2",
        reduction_as(lambda name: None if name else "mean"),
    ),
)

WEIGHT = (
    before(
        "weight-longer-accepted",
        "Surplus weights are ignored.",
        "REJECT-9",
        weight_as(lambda w, size: w.ndim == 1 and w.size > size, lambda w, size: w[:size]),
    ),
    before(
        "weight-shorter-padded",
        "Missing weights are taken to be 1.",
        "REJECT-9",
        weight_as(lambda w, size: w.ndim == 1 and w.size < size, padded),
    ),
    before(
        "weight-single-broadcast",
        "A weight of one element serves every class.",
        "REJECT-9",
        weight_as(lambda w, _c: w.shape == (1,), lambda w, size: np.repeat(w, size)),
    ),
    before(
        "weight-size-unchecked",
        "The weight's size is not checked and its memory is read in a circle.",
        "REJECT-9",
        weight_as(lambda w, _c: w.ndim == 1 and w.size > 0, np.resize),
    ),
    before(
        "weight-empty-means-none",
        "An empty weight acts as none.",
        "REJECT-9",
        weight_as(lambda w, _c: w.shape == (0,), lambda _w, _c: None),
    ),
    before(
        "weight-checked-by-lookup", "A weight that covers the targets in use is accepted.", "REJECT-9", covering_targets
    ),
    before("weight-checked-against-rows", "A weight of N elements is accepted.", "REJECT-9", as_many_as_rows),
    before(
        "weight-row-flattened",
        "A weight of shape (1, C) is flattened.",
        "REJECT-10",
        weight_as(lambda w, size: w.shape == (1, size), lambda w, _c: w.reshape(-1)),
    ),
    before(
        "weight-column-flattened",
        "A weight of shape (C, 1) is flattened.",
        "REJECT-10",
        weight_as(lambda w, size: w.shape == (size, 1), lambda w, _c: w.reshape(-1)),
    ),
    before(
        "weight-scalar-accepted",
        "A 0-d weight serves every class.",
        "REJECT-10",
        weight_as(lambda w, _c: w.ndim == 0, np.repeat),
    ),
    before(
        "weight-matrix-accepted",
        "The first row of a weight of shape (N, C) is used.",
        "REJECT-10",
        weight_as(lambda w, size: w.ndim == 2 and w.shape[-1] == size and w.shape[0] > 0, lambda w, _c: w[0]),
    ),
)

INPUT = (
    stateful("no-classes-zero", "An input without classes gives 0.", "REJECT-11", no_classes(lambda _s: True, 0)),
    stateful("no-classes-nan", "An input without classes gives NaN.", "REJECT-11", no_classes(lambda _s: True, np.nan)),
    stateful(
        "no-classes-no-rows-accepted",
        "An input of shape (0, 0) is accepted as an empty batch.",
        "REJECT-11",
        no_classes(lambda s: s == (0, 0), 0),
    ),
    stateful(
        "no-classes-unbatched-accepted",
        "An input of shape (0,) gives 0.",
        "REJECT-11",
        no_classes(lambda s: s == (0,), 0),
    ),
    stateful(
        "no-classes-batched-accepted",
        "An input of shape (N, 0) gives 0.",
        "REJECT-11",
        no_classes(lambda s: len(s) == 2, 0),
    ),
    stateful(
        "rank-3-leading-flattened",
        "The leading axes of an input of rank 3 or more are flattened.",
        "REJECT-12",
        flattening(leading),
    ),
    stateful(
        "rank-3-classes-second",
        "An input of shape (N, C, d) has its classes on axis 1, as for cross entropy.",
        "REJECT-12",
        flattening(classes_second),
    ),
    stateful(
        "rank-3-squeezed", "Axes of length 1 are squeezed from an input of rank 3.", "REJECT-12", flattening(squeezed)
    ),
    stateful(
        "rank-3-first-matrix",
        "Only the first matrix of an input of rank 3 is used.",
        "REJECT-12",
        flattening(first_matrix),
    ),
)

ANSWERS = (
    stateful("nan-instead-of-error", "Every invalid call gives NaN.", EVERY_REJECTION, rescuing(np.nan)),
    stateful("zero-instead-of-error", "Every invalid call gives zero.", EVERY_REJECTION, rescuing(0)),
    stateful("nothing-instead-of-error", "Every invalid call returns None.", EVERY_REJECTION, rescuing(None)),
    stateful("error-returned", "The error is returned instead of raised.", EVERY_REJECTION, returning_error),
)

FAULTS: tuple[Fault, ...] = P + REDUCTION + WEIGHT + INPUT + ANSWERS
