"""Infinities that are put into a call, and what is legal then: see changes.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from multimargin_conformance.checks.changes import FAR, NAN, Expected, plain, replaced, rows_of, stands_for, with_input
from multimargin_reference.case import Case
from multimargin_reference.expectation import Enclosures


def masked(case: Case, part: str) -> Expected | None:
    """Put -inf at one class of every row."""
    return replaced(case, part, ("another, every row", -np.inf, -FAR))


def all_masked(case: Case, part: str) -> Expected | None:
    """Put -inf at every class but the target, in the first row."""
    return replaced(case, part, ("all others, first row", -np.inf, -FAR))


def wholly_masked(case: Case, part: str) -> Expected | None:
    """Put -inf at every class of the first row, as padding does: its loss is 0 or NaN, the others are what they are.

    Not for the gradient of p = 1, which may take what is NaN as active.
    """
    x, y = rows_of(case)
    if case.reduction != "none" or min(x.shape) < 2 or (part == "gradient" and case.p == 1):
        return None
    meant = x.copy()
    x[0], meant[0], meant[0, y[0]] = -np.inf, -FAR, 0.0
    expected = stands_for(with_input(case, x), with_input(case, meant), part)
    if expected is None:
        return None
    places = range(x.shape[1] if part == "gradient" else 1)
    return replace(expected, values=replace(expected.values, also=dict.fromkeys(places, NAN)))


def infinite_target(case: Case, part: str) -> Expected | None:
    """Put +inf at the last row's target."""
    return replaced(case, part, ("target, last row", np.inf, FAR))


def masked_infinite_target(case: Case, part: str) -> Expected | None:
    """Put +inf at the last row's target and -inf at another of its classes: nothing is compared with either."""
    return replaced(case, part, ("target, last row", np.inf, FAR), ("another, last row", -np.inf, -FAR))


def infinite(case: Case, part: str) -> Expected | None:
    """Put +inf at a class of the last row, whose loss is then infinite."""
    return _endless(case, part, ("another, last row", np.inf, FAR))


def infinite_twice(case: Case, part: str) -> Expected | None:
    """Put +inf at two classes of the last row."""
    return _endless(case, part, ("two others, last row", np.inf, FAR)) if case.input.shape[-1] > 2 else None


def infinite_loss(case: Case, part: str) -> Expected | None:
    """Put -inf at the last row's target, whose loss is then infinite."""
    return _endless(case, part, ("target, last row", -np.inf, -FAR))


def infinite_beside_masked(case: Case, part: str) -> Expected | None:
    """Put +inf and -inf at two classes of the last row."""
    placed = ("another, last row", np.inf, FAR), ("a third, last row", -np.inf, -FAR)
    return _endless(case, part, *placed) if case.input.shape[-1] > 2 else None


def infinite_twice_over(case: Case, part: str) -> Expected | None:
    """Put -inf at the last row's target and +inf at another of its classes."""
    return _endless(case, part, ("target, last row", -np.inf, -FAR), ("another, last row", np.inf, FAR))


def infinite_among_masked(case: Case, part: str) -> Expected | None:
    """Put +inf at a class of the last row, and -inf at one of every other row."""
    placed = ("another, last row", np.inf, FAR), ("another, all but the last row", -np.inf, -FAR)
    return _endless(case, part, *placed) if len(np.atleast_1d(case.target)) > 1 else None


def _endless(case: Case, part: str, *placed: tuple[str, float, float]) -> Expected | None:
    """Return a call whose last row has an infinite hinge, and for p = 2 the infinite slopes of SPECIAL-2 and 4."""
    w = 1.0 if case.weight is None else float(case.weight[np.atleast_1d(case.target)[-1]])
    expected = replaced(case, part, *placed) if w else None
    if expected is None or (part == "gradient" and case.p == 1):
        return expected
    values = expected.values
    lo, hi, nearest = values.lo.copy(), values.hi.copy(), values.nearest.copy()
    if part == "loss":
        places, ends = np.array([len(lo) - 1]), np.array([np.copysign(np.inf, w)])  # of the last row, or of all
    else:
        places, ends = _infinite_slopes(expected.case, w)
    for array in (lo, hi, nearest):
        array[places] = ends
    return replace(expected, values=replace(values, lo=lo, hi=hi, nearest=nearest))


def _infinite_slopes(case: Case, w: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return where the gradient for p = 2 is infinite in the last row, flat, and with which sign."""
    x, y = rows_of(case)
    assert case.grad_output is not None
    sign = np.copysign(np.inf, w * float(case.grad_output.reshape(-1)[-1]))
    with np.errstate(invalid="ignore"):  # at the target itself
        z = case.margin - x[-1, y[-1]] + x[-1]
    at = np.flatnonzero(np.isposinf(z) & (np.arange(len(z)) != y[-1]))
    first = x.size - x.shape[1]
    return first + np.append(at, y[-1]), np.append(np.full(len(at), sign), -sign)


def grad_output(value: float, *, by_row: bool) -> Callable[[Case, str], Expected | None]:
    """Put NaN or inf into the last row's grad_output, other rows have what they had; or into the only one there is.

    What is active has the value times its slope. What is not has 0, or NaN where it is multiplied; then the target's
    element, a sum, may be NaN too.
    """

    def change(case: Case, part: str) -> Expected | None:
        g = case.grad_output
        expected = plain(case, part) if part == "gradient" and g is not None and bool(g.ndim) is by_row else None
        if g is None or expected is None:
            return None
        g, (x, y) = g.copy(), rows_of(case)
        slopes = np.sign(g.reshape(-1)[-1]) * expected.values.nearest.reshape(x.shape)
        g.reshape(-1)[-1:] = value
        reached = np.arange(len(x))[:, None] >= (len(x) - 1 if by_row else 0)
        own = np.arange(x.shape[1]) == y[:, None]
        return Expected(replace(case, grad_output=g), _multiplied(expected.values, value, reached, slopes, own))

    return change


def used_weight(value: float) -> Callable[[Case, str], Expected | None]:
    """Put NaN or an infinity at the weight of the last active row's target, and so of every row with that target.

    The loss of an active row has the value's sign or is NaN, that of another is 0 or NaN; so is a sum with any of them.
    """

    def change(case: Case, part: str) -> Expected | None:
        if case.weight is None:
            return None
        x, y = rows_of(case)
        own = np.arange(x.shape[1]) == y[:, None]
        active = ((x > x[own][:, None] - case.margin) & ~own).any(axis=1)
        used, weight = y[np.flatnonzero(active)[-1] if active.any() else -1], case.weight.copy()
        weight[used] = 1
        expected = plain(replace(case, weight=weight), part)
        if expected is None:
            return None
        weight[used] = value
        reached, slopes, sums = y == used, active.astype(np.float64), y == used
        if part == "gradient":
            reached, slopes, sums = reached[:, None], expected.values.nearest.reshape(x.shape), own
        elif case.reduction != "none":
            reached, slopes, sums = (a.any(keepdims=True) for a in (reached, reached & active, reached))
        return Expected(replace(case, weight=weight), _multiplied(expected.values, value, reached, slopes, sums))

    return change


def _multiplied(
    values: Enclosures, value: float, reached: NDArray[np.bool_], slopes: NDArray[np.float64], sums: NDArray[np.bool_]
) -> Enclosures:
    """Return what is legal once what is `reached` is multiplied by NaN or an infinity. slopes: its sign, or 0.

    What is 0 stays 0 or is NaN; so may be what is added up of zeros too (`sums`).
    """
    active = reached & (slopes != 0)
    infinite = np.copysign(np.inf, np.sign(value) * slopes)
    lo, hi = (  # nothing but NaN is legal between inf and -inf
        np.where(active, nothing if np.isnan(value) else infinite, end.reshape(active.shape)).reshape(-1)
        for nothing, end in ((np.inf, values.lo), (-np.inf, values.hi))
    )
    also = dict.fromkeys(np.flatnonzero(reached & (~active | sums | np.isnan(value))).tolist(), NAN)
    return replace(values, lo=lo, hi=hi, also=also)


def single(value: float) -> Callable[[Case, str], Expected | None]:
    """Put an infinity into the last row where there is one class: what is not compared with anything costs nothing."""

    def change(case: Case, part: str) -> Expected | None:
        if case.input.shape[-1] != 1:
            return None
        x, _ = rows_of(case)
        x[-1] = value
        return stands_for(with_input(case, x), case, part)

    return change
