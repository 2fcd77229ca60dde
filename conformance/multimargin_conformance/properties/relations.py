"""What holds between the losses, or the gradients, of two calls: no oracle is asked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import reject
from numpy.typing import NDArray

from multimargin_conformance.properties.drawing import STEP, Drawn, is_exact, with_logits
from multimargin_conformance.properties.engine import Calls
from multimargin_reference.case import Case


def only_if(condition: bool) -> None:
    """Let Hypothesis draw another value unless a condition holds; unlike its own `assume` it may be asked elsewhere."""
    if not condition:
        reject()


def classes_in_another_order(calls: Calls, drawn: Drawn, part: str) -> None:
    """The order of the classes does not matter."""
    case = drawn.case
    order = _order(drawn.more, case.input.shape[-1])
    place = np.argsort(order)
    weight = None if case.weight is None else case.weight[order]
    moved = replace(case, input=case.input[..., order], target=place[case.target], weight=weight)
    should = calls.part(part, case)
    should = should[..., order] if part == "gradient" else should
    calls.same(part, calls.part(part, moved), should, "the same classes in another order")


def rows_in_another_order(calls: Calls, drawn: Drawn, part: str) -> None:
    """The order of the rows does not matter."""
    case = drawn.case
    order = _order(drawn.more, len(case.input))
    should = calls.part(part, case)
    should = should[order] if should.ndim and (part == "gradient" or case.reduction == "none") else should
    calls.same(part, calls.part(part, _rows(case, order)), should, "the same rows in another order")


def rows_one_by_one(calls: Calls, drawn: Drawn, part: str) -> None:
    """Each row of a batch is what it is alone."""
    case = drawn.case
    together = calls.part(part, case)
    for k in range(len(case.input)):
        alone = calls.part(part, _rows(case, np.array([k])))
        calls.same(part, together[[k]], alone, f"row {k} of the batch is a batch of its own")


def equal_rows(calls: Calls, drawn: Drawn, part: str) -> None:
    """Equal rows have equal results, and the sum of a batch twice is twice its sum."""
    case = drawn.case
    twice = _rows(case, np.tile(np.arange(len(case.input)), 2))
    only_if(is_exact(twice))
    once, both = calls.part(part, case), calls.part(part, twice)
    if part == "gradient" or case.reduction == "none":
        factor = 0.5 if case.reduction == "mean" else 1.0
        calls.same(part, both, np.concatenate([once, once]) * factor, "every row twice")
    else:
        calls.same(part, both, once * (1 if case.reduction == "mean" else 2), "every row twice")


def reductions_agree(calls: Calls, drawn: Drawn, part: str) -> None:
    """The losses of `none` sum to `sum`, which is N times `mean`; so do the gradients of a grad_output of ones."""
    case = drawn.case
    rows = len(case.input)
    ones = {r: np.ones((rows,) if r == "none" else (), case.input.dtype) for r in ("none", "sum", "mean")}
    by_reduction = {r: replace(case, reduction=r, grad_output=g) for r, g in ones.items()}
    only_if(all(is_exact(c) for c in by_reduction.values()))
    results = {r: calls.part(part, c) for r, c in by_reduction.items()}
    total = results["none"].sum() if part == "loss" else results["none"]
    calls.same(part, results["sum"], np.asarray(total), "reduction='sum' of what 'none' returns")
    calls.same(part, results["mean"], np.asarray(total / rows), "reduction='mean' of what 'none' returns")


def linear_in_weight(calls: Calls, drawn: Drawn, part: str) -> None:
    """Weights of some classes and of the others add up; -2 times the weights is -2 times the result."""
    case = drawn.case
    assert case.weight is not None
    some = drawn.more[: len(case.weight)] % 2 == 1
    parts = [np.where(chosen, case.weight, np.zeros_like(case.weight)) for chosen in (some, ~some)]
    whole = calls.part(part, case)
    first, second = (calls.part(part, replace(case, weight=w)) for w in parts)
    calls.same(part, whole, first + second, "the sum of the results for two halves of the weights")
    doubled = replace(case, weight=(case.weight * -2).astype(case.weight.dtype))
    only_if(is_exact(doubled))
    calls.same(part, calls.part(part, doubled), whole * -2, "-2 times the weights")


def linear_in_grad_output(calls: Calls, drawn: Drawn, part: str) -> None:
    """Each row's gradient is its factor times that of a factor of 1."""
    case = drawn.case
    assert case.grad_output is not None
    ones = replace(case, grad_output=np.ones_like(case.grad_output))
    only_if(is_exact(ones))
    factor = case.grad_output.astype(np.float64).reshape(case.grad_output.shape + (1,) * bool(case.grad_output.ndim))
    calls.same(part, calls.part(part, case), calls.part(part, ones) * factor, "grad_output times the gradient for ones")


def powers_of_unit_hinges(calls: Calls, drawn: Drawn, part: str) -> None:
    """Where every hinge is 0 or 1, p = 2 gives the loss of p = 1, and twice its gradient."""
    case = drawn.case
    bits = np.resize(drawn.more, case.input.shape) % 2
    own = case.target[..., None]
    low = np.where(bits == 1, 1.0, -STEP) - case.margin  # z = 1, or below 0
    np.put_along_axis(low, own, 0.0, axis=-1)
    first = replace(case, p=1, input=low.astype(case.input.dtype))
    second = replace(first, p=2)
    only_if(is_exact(first) and is_exact(second))
    factor = 1 if part == "loss" else 2
    calls.same(part, calls.part(part, second), calls.part(part, first) * factor, "p = 2 of hinges that are 0 or 1")


def shifted_rows(calls: Calls, drawn: Drawn, part: str) -> None:
    """Adding a number to all logits of a row changes nothing."""
    case = drawn.case
    shift = (np.resize(drawn.more, case.input.shape[:-1]) % 9 - 4.0) * STEP
    moved = replace(case, input=(case.input.astype(np.float64) + shift[..., None]).astype(case.input.dtype))
    only_if(is_exact(moved))
    calls.same(part, calls.part(part, moved), calls.part(part, case), "logits shifted row by row")


def classes_far_below(calls: Calls, drawn: Drawn, part: str) -> None:
    """As many classes again, far below the margin, only halve the result."""
    case = drawn.case
    far = np.full_like(case.input, float(case.input.astype(np.float64).min()) - abs(case.margin) - STEP)
    weight = None if case.weight is None else np.concatenate([case.weight, case.weight])
    wider = replace(case, input=np.concatenate([case.input, far], axis=-1), weight=weight)
    only_if(is_exact(wider))
    should = calls.part(part, case) / 2
    if part == "gradient":
        should = np.concatenate([should, np.zeros_like(should)], axis=-1)
    calls.same(part, calls.part(part, wider), should, "as many classes again, far below the margin")


def monotone_in_margin(calls: Calls, drawn: Drawn, part: str) -> None:
    """A larger margin gives no smaller loss, for weights that are not negative."""
    case = drawn.case
    more = with_logits(replace(case, margin=case.margin + STEP * (1 + int(drawn.more[0]) % 4)), case.input)
    only_if(is_exact(more) and np.array_equal(more.input, case.input))
    calls.at_least(part, calls.part(part, more), calls.part(part, case), "a larger margin")


def monotone_in_logits(calls: Calls, drawn: Drawn, part: str) -> None:
    """Raising a logit gives no smaller loss, and raising the target's no larger one."""
    case = drawn.case
    base, k = calls.part(part, case), int(drawn.more[0]) % case.input.size
    x = case.input.astype(np.float64).copy()
    x.reshape(-1)[k] += STEP * (1 + int(drawn.more[1]) % 8)
    raised = replace(case, input=x.astype(case.input.dtype))
    only_if(is_exact(raised))
    row, column = divmod(k, case.input.shape[-1])
    is_target = int(np.atleast_1d(case.target)[row]) == column
    result = calls.part(part, raised)
    if is_target:
        calls.at_least(part, base, result, "before the target's logit was raised")
    else:
        calls.at_least(part, result, base, "another class's logit raised")


def convex(calls: Calls, drawn: Drawn, part: str) -> None:
    """Between two calls the loss is at most the mean of theirs, for weights that are not negative."""
    case = drawn.case
    step = _steps(drawn.more, case)
    ends = [replace(case, input=(case.input.astype(np.float64) + s).astype(case.input.dtype)) for s in (step, -step)]
    only_if(all(is_exact(end) for end in ends))
    middle, *outer = (calls.part(part, c) for c in (case, *ends))
    calls.at_least(part, outer[0], 2 * middle - outer[1], "the end of a segment, by its middle and its other end")


def subgradient(calls: Calls, drawn: Drawn, _part: str) -> None:
    """The gradient is a slope that the loss is nowhere below, and the loss itself where no hinge changes side."""
    case = replace(drawn.case, grad_output=np.ones((), drawn.case.input.dtype))
    step = _steps(drawn.more, case)
    moved = replace(case, input=(case.input.astype(np.float64) + step).astype(case.input.dtype))
    only_if(is_exact(moved) and is_exact(case))
    slope = calls.gradient(case)
    bound = calls.loss(case) + (slope * step).sum()
    result = calls.loss(moved)
    calls.at_least("loss", result, np.asarray(bound), "the loss elsewhere, by its gradient here")
    if case.p == 1 and np.array_equal(_active(case), _active(moved)):
        calls.same("loss", result, np.asarray(bound), "no hinge changes side: the loss is linear, by its gradient")


def gradient_sums_to_zero(calls: Calls, drawn: Drawn, part: str) -> None:
    """Over the classes of a row the gradient sums to zero."""
    gradient = calls.part(part, drawn.case)
    y = drawn.case.target[..., None]
    others = gradient.copy()
    np.put_along_axis(others, y, 0.0, axis=-1)
    own = np.take_along_axis(gradient, y, axis=-1)
    calls.same(part, own, -others.sum(axis=-1, keepdims=True), "the target's element is minus the sum of the others")


def _order(more: NDArray[np.uint8], count: int) -> NDArray[np.int64]:
    """Return a permutation."""
    return np.argsort(np.resize(more, count), kind="stable")


def _rows(case: Case, rows: NDArray[np.int64]) -> Case:
    g = case.grad_output
    per_row: dict[str, Any] = {} if g is None or not g.ndim else {"grad_output": g[rows]}
    return replace(case, input=case.input[rows], target=case.target[rows], **per_row)


def _steps(more: NDArray[np.uint8], case: Case) -> NDArray[np.float64]:
    return np.asarray((np.resize(more, case.input.shape) % 5 - 2.0) * STEP)


def _active(case: Case) -> NDArray[np.bool_]:
    x = np.atleast_2d(case.input).astype(np.float64)
    rows, y = np.arange(len(x)), np.atleast_1d(case.target)
    active: NDArray[np.bool_] = case.margin - x[rows, y][:, None] + x > 0
    active[rows, y] = False
    return active
