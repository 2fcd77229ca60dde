"""What makes a valid call invalid: every reason to reject, and the clause that names it (see rejections.py)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from multimargin_reference.case import Case
from multimargin_reference.formats import DTYPES

FIRST, MIDDLE, LAST = 0, 1, 2
UNUSED = "-unused"  # how reasons end that are of the gradient alone
UNKNOWN = ("average", "", "MEAN", "sum ", "SUM", "NONE", "None", "batchmean", "sum_over_batch_size")  # some are others'
Change = Callable[[Case], Case]


def _target(value: int | None, place: int, offset: int = 0) -> Change:
    """Put a target into one row: a value, counted from C, or added to what is there."""

    def change(case: Case) -> Case:
        y = np.atleast_1d(case.target).copy()
        if not y.size:
            return case
        row = (0, len(y) // 2, len(y) - 1)[place]
        y[row] = y[row] + offset if value is None else value + offset * case.input.shape[-1]
        return replace(case, target=y.reshape(case.target.shape))

    return change


def _narrow(dtypes: tuple[type[np.integer[Any]], ...], change: Change) -> Change:
    """Change a call and give its targets in one of the dtypes that hold them, each in turn."""

    def changed(case: Case) -> Case:
        case = change(case)
        holding = [dtype for dtype in dtypes if case.target.size and np.iinfo(dtype).max >= case.target.max()]
        turn = case.input.size + int(case.p) + (case.weight is not None)
        return replace(case, target=case.target.astype(holding[turn % len(holding)])) if holding else case

    return changed


def _targets(change: Callable[[Any, int], Any]) -> Change:
    """Replace the targets by what `change` makes of them and of N."""
    return lambda case: replace(case, target=change(case.target, len(np.atleast_1d(case.target))))


def _targets_for(count: Callable[[int, int], int | tuple[int, ...]]) -> Change:
    """Repeat the targets until there are as many as `count` makes of N and C, or its shape is filled."""

    def change(case: Case) -> Case:
        rows, classes = (1, *case.input.shape)[-2:]
        return replace(case, target=np.resize(case.target, count(rows, classes)))

    return change


def _weight(change: Callable[[int], tuple[int, ...]]) -> Change:
    """Give a weight of ones in the shape that `change` makes of C."""
    return lambda case: replace(case, weight=np.ones(change(case.input.shape[-1]), case.input.dtype))


def _other_weight(change: Callable[[int], tuple[int, ...]]) -> Change:
    """Give such a weight of another dtype than the logits'."""

    def changed(case: Case) -> Case:
        other = np.float32 if case.dtype == "float64" else np.float64
        return replace(case, weight=np.ones(change(case.input.shape[-1]), other))

    return changed


def _one_target(classes: int, offset: int) -> Change:
    """Put a target of shape (1,) beside one row without a batch, or () beside a batch of one: out of range."""

    def changed(case: Case) -> Case:
        if case.target.size != 1:
            return case
        wrong = np.full((1,) if case.input.ndim == 1 else (), classes * case.input.shape[-1] + offset)
        return replace(case, target=wrong)

    return changed


def _no_axis(target: int, weights: int = 0) -> Change:
    """Give one logit without an axis, beside a target without one, in place of one row."""

    def changed(case: Case) -> Case:
        if case.target.size != 1:
            return case
        weight = np.ones(weights, case.input.dtype) if weights else None
        return replace(case, input=np.zeros((), case.input.dtype), target=np.array(target), weight=weight)

    return changed


def _option(**values: Any) -> Change:
    return lambda case: replace(case, **values)


def _input(change: Callable[[Any], Any]) -> Change:
    return lambda case: replace(case, input=change(case.input))


def _images(*axes: int) -> Change:
    """Give each row so many places, with a target each, as losses of pixels have them: (N, C, ...) with (N, ...)."""

    def changed(case: Case) -> Case:
        rows, y = np.atleast_2d(case.input), np.atleast_1d(case.target)
        more = tuple(range(-len(axes), 0))
        x = np.broadcast_to(np.expand_dims(rows, more), (*rows.shape, *axes)).copy()
        return replace(case, input=x, target=np.broadcast_to(np.expand_dims(y, more), (len(y), *axes)).copy())

    return changed


def _worthless(change: Change) -> Change:
    """Change a call whose weights are all 0, so that nothing that its targets stand for is added up."""
    return lambda case: replace(change(case), weight=np.zeros(case.input.shape[-1], case.input.dtype))


def _beside(value: float, change: Change) -> Change:
    """Change a call whose last row has a NaN, or an infinity."""

    def changed(case: Case) -> Case:
        x = case.input.copy()
        x[..., 0].reshape(-1)[-1:] = value
        return replace(change(case), input=x)

    return changed


def _at_margin(margin: float, change: Change) -> Change:
    """Change a call in which every class is active, or none is."""
    return lambda case: replace(change(case), margin=margin)


def _beside_nan_weight(change: Change) -> Change:
    """Change a call whose first class has NaN for its weight."""

    def changed(case: Case) -> Case:
        weight = np.ones(case.input.shape[-1], case.input.dtype)
        weight[0] = np.nan
        return replace(change(case), weight=weight)

    return changed


def _unused(change: Change) -> Change:
    """Change a call whose grad_output is 0, so that the gradient is 0 whatever its targets stand for."""

    def changed(case: Case) -> Case:
        assert case.grad_output is not None
        return replace(change(case), grad_output=np.zeros_like(case.grad_output))

    return changed


def _no_classes(target: Callable[[Any], Any] = np.zeros_like, weights: int = 0) -> Change:
    """Take all classes away, beside targets that `target` makes of those of the call, and so many weights, if any."""

    def changed(case: Case) -> Case:
        weight = None if case.weight is None else np.ones(weights, case.input.dtype)
        return replace(case, input=case.input[..., :0], target=target(case.target), weight=weight)

    return changed


REASONS: dict[str, tuple[str, Change]] = {
    **{f"p={p}": ("REJECT-1", _option(p=p)) for p in (0, 3, -1, 1.5, 1.99, 2.5)},
    **{f"reduction-{k}": ("REJECT-2", _option(reduction=r)) for k, r in enumerate(UNKNOWN)},
    "target-negative-first": ("REJECT-3", _target(-1, FIRST)),
    "target-negative-middle": ("REJECT-3", _target(-1, MIDDLE)),
    "target-negative-last": ("REJECT-3", _target(-1, LAST)),
    "target-minus-classes": ("REJECT-3", _target(0, FIRST, -1)),
    "target-minus-100": ("REJECT-3", _target(-100, LAST)),
    "target-classes-first": ("REJECT-4", _target(0, FIRST, 1)),
    "target-classes-middle": ("REJECT-4", _target(0, MIDDLE, 1)),
    "target-classes-last": ("REJECT-4", _target(0, LAST, 1)),
    "target-past-classes": ("REJECT-4", _target(1, LAST, 1)),
    "target-negative-narrow": ("REJECT-3", _narrow((np.int8, np.int16, np.int32), _target(-1, LAST))),
    "target-classes-narrow": (
        "REJECT-4",
        _narrow((np.int8, np.uint8, np.int16, np.uint16, np.int32), _target(0, LAST, 1)),
    ),
    "target-negative-worthless": ("REJECT-3", _worthless(_target(-1, LAST))),
    "target-classes-worthless": ("REJECT-4", _worthless(_target(0, LAST, 1))),
    f"target-negative{UNUSED}": ("REJECT-3", _unused(_target(-1, LAST))),
    f"target-classes{UNUSED}": ("REJECT-4", _unused(_target(0, FIRST, 1))),
    "target-classes-beside-nan": ("REJECT-4", _beside(np.nan, _target(0, LAST, 1))),
    "target-negative-beside-nan": ("REJECT-3", _beside(np.nan, _target(-100, LAST))),
    "target-classes-beside-infinity": ("REJECT-4", _beside(-np.inf, _target(0, LAST, 1))),
    "target-negative-beside-infinity": ("REJECT-3", _beside(np.inf, _target(-1, FIRST))),
    "target-negative-at-any-margin": ("REJECT-3", _at_margin(1e4, _target(-1, LAST))),
    "target-classes-at-no-margin": ("REJECT-4", _at_margin(-1e4, _target(0, LAST, 1))),
    "target-classes-beside-nan-weight": ("REJECT-4", _beside_nan_weight(_target(0, FIRST, 1))),
    "target-wraps-at-8-bits": ("REJECT-5", _target(None, FIRST, 2**8)),
    "target-wraps-at-16-bits": ("REJECT-5", _target(None, LAST, 2**16)),
    "target-wraps-at-24-bits": ("REJECT-5", _target(None, LAST, 2**24)),
    "target-wraps-at-48-bits": ("REJECT-5", _target(None, FIRST, 2**48)),
    "target-wraps-at-32-bits": ("REJECT-5", _target(None, FIRST, 2**32)),
    "target-wraps-at-32-bits-last": ("REJECT-5", _target(None, LAST, 2**32)),
    "target-wraps-at-53-bits": ("REJECT-5", _target(None, MIDDLE, 2**53)),
    "target-wraps-at-62-bits": ("REJECT-5", _target(None, LAST, 2**62)),
    "target-largest": ("REJECT-5", _target(2**63 - 1, MIDDLE)),
    "targets-more": ("REJECT-6", _targets(lambda y, n: np.resize(y, n + 1))),
    "targets-twice": ("REJECT-6", _targets(lambda y, n: np.resize(y, 2 * n))),
    "targets-fewer": ("REJECT-6", _targets(lambda y, n: np.resize(y, n)[: n - 1])),
    "targets-two-more": ("REJECT-6", _targets(lambda y, n: np.resize(y, n + 2))),
    "targets-three-times": ("REJECT-6", _targets(lambda y, n: np.resize(y, 3 * n))),
    "targets-half": ("REJECT-6", _targets(lambda y, n: np.resize(y, n)[: n // 2])),
    "targets-two": ("REJECT-6", _targets(lambda y, _: np.resize(y, 2))),
    "targets-as-classes": ("REJECT-6", _targets_for(lambda _, c: c)),
    "targets-as-logits": ("REJECT-6", _targets_for(lambda n, c: n * c)),
    "targets-more-int32": ("REJECT-6", _targets(lambda y, n: np.resize(y, n + 1).astype(np.int32))),
    "targets-fewer-int32": ("REJECT-6", _targets(lambda y, n: np.resize(y, n)[: n - 1].astype(np.int32))),
    "targets-one": ("REJECT-6", _targets(lambda y, _: np.resize(y, 1))),
    "targets-none": ("REJECT-6", _targets(lambda y, n: np.resize(y, n)[:0])),
    "targets-column": ("REJECT-7", _targets(lambda y, n: np.resize(y, (n, 1)))),
    "targets-row": ("REJECT-7", _targets(lambda y, n: np.resize(y, (1, n)))),
    "targets-row-of-classes": ("REJECT-7", _targets_for(lambda _, c: (1, c))),
    "targets-with-two-more-axes": ("REJECT-7", _targets(lambda y, n: np.resize(y, (n, 1, 1)))),
    "targets-with-three-more-axes": ("REJECT-7", _targets(lambda y, n: np.resize(y, (n, 1, 1, 1)))),
    "targets-scalar": ("REJECT-7", _targets(lambda y, _: np.resize(y, ()))),
    "targets-float32": ("REJECT-8", _targets(lambda y, _: y.astype(np.float32))),
    "targets-float64": ("REJECT-8", _targets(lambda y, _: y.astype(np.float64))),
    "targets-float16": ("REJECT-8", _targets(lambda y, _: y.astype(np.float16))),
    "targets-bfloat16": ("REJECT-8", _targets(lambda y, _: y.astype(DTYPES["bfloat16"]))),
    "targets-at-no-margin": ("REJECT-8", _at_margin(-1e6, _targets(lambda y, _: y.astype(np.float64)))),
    "targets-more-at-no-margin": ("REJECT-6", _at_margin(-1e6, _targets(lambda y, n: np.resize(y, n + 1)))),
    "weight-longer": ("REJECT-9", _weight(lambda c: (c + 1,))),
    "weight-shorter": ("REJECT-9", _weight(lambda c: (c - 1,))),
    "weight-twice": ("REJECT-9", _weight(lambda c: (2 * c,))),
    "weight-two-shorter": ("REJECT-9", _weight(lambda c: (max(0, c - 2),))),
    "weight-single": ("REJECT-9", _weight(lambda _: (1,))),
    "weight-empty": ("REJECT-9", _weight(lambda _: (0,))),
    "weight-row": ("REJECT-10", _weight(lambda c: (1, c))),
    "weight-column": ("REJECT-10", _weight(lambda c: (c, 1))),
    "weight-square": ("REJECT-10", _weight(lambda c: (c, min(c, 64)))),
    "weight-with-two-more-axes": ("REJECT-10", _weight(lambda c: (1, 1, c))),
    "weight-scalar": ("REJECT-10", _weight(lambda _: ())),
    "weight-folded": ("REJECT-10", _weight(lambda c: (2, c // 2))),
    "weight-longer-at-no-margin": ("REJECT-9", _at_margin(-1e6, _weight(lambda c: (c + 1,)))),
    "weight-row-at-no-margin": ("REJECT-10", _at_margin(-1e6, _weight(lambda c: (1, c)))),
    "weight-longer-of-another-dtype": ("REJECT-9", _other_weight(lambda c: (c + 1,))),
    "weight-single-of-another-dtype": ("REJECT-9", _other_weight(lambda _: (1,))),
    "weight-row-of-another-dtype": ("REJECT-10", _other_weight(lambda c: (1, c))),
    "one-target-negative": ("REJECT-3", _one_target(0, -1)),
    "one-target-classes": ("REJECT-4", _one_target(1, 0)),
    "no-axis-target-negative": ("REJECT-3", _no_axis(-1)),
    "no-axis-target-classes": ("REJECT-4", _no_axis(1)),
    "no-axis-weight-longer": ("REJECT-9", _no_axis(0, weights=2)),
    "no-classes": ("REJECT-11", _no_classes()),
    "no-classes-no-targets": ("REJECT-11", _no_classes(lambda _: np.zeros(0, np.int64))),
    "no-classes-one-target": ("REJECT-11", _no_classes(lambda y: np.zeros(() if y.ndim else 1, np.int64))),
    "no-classes-weighted": ("REJECT-11", _no_classes(weights=3)),
    "input-of-rank-3": ("REJECT-12", _input(lambda x: x[None] if x.ndim == 2 else x[None, None])),
    "input-of-rank-4": ("REJECT-12", _input(lambda x: x[None, None] if x.ndim == 2 else x[None, None, None])),
    "input-of-rank-5": ("REJECT-12", _input(lambda x: x[(None,) * (5 - x.ndim)])),
    "input-with-a-last-axis": ("REJECT-12", _input(lambda x: x[..., None] if x.ndim == 2 else x[:, None, None])),
    "input-with-two-last-axes": (
        "REJECT-12",
        _input(lambda x: x[..., None, None] if x.ndim == 2 else x[:, None, None, None]),
    ),
    "input-with-a-middle-axis": ("REJECT-12", _input(lambda x: x[:, None] if x.ndim == 2 else x[:, None, None])),
    "input-of-images": ("REJECT-12", _images(2, 2)),
    "input-of-images-of-one": ("REJECT-12", _images(1, 1)),
    "input-of-series": ("REJECT-12", _images(2)),
}
