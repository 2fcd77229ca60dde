"""PURITY-3 right after another call: the same arrays with new contents, and a part after the other of the same.

Nothing is called in between, so that whatever a backend keeps of its last call is still there: by the identity of an
array, by its address, or in what forward leaves for backward.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multimargin_conformance.calling import ARGUMENTS
from multimargin_conformance.capabilities import Capabilities
from multimargin_conformance.checks.contexts import contexts, valid
from multimargin_conformance.checks.corners import STEPS
from multimargin_conformance.checks.item import Item, Scope
from multimargin_conformance.checks.layouts import every_other
from multimargin_conformance.checks.single import part_of
from multimargin_conformance.isolation.launch import ON_THE_HOST
from multimargin_conformance.judge import judge, judge_rejection
from multimargin_conformance.session import PASS, Result, Session, result_of
from multimargin_reference.case import Case
from multimargin_reference.exact_values import legal_values
from multimargin_reference.expectation import Values
from multimargin_reference.formats import DTYPES
from multimargin_vectors.draft import has_kink
from multimargin_vectors.splitmix import integers

SHAPES = ((2, 2), (4, 4), (2, 16))
LARGE = ((64, 64), (256, 512), (2, 2**15))  # few: of float32 and float64
MANY_ROWS = ((2048, 2),)  # of which a target is rewritten
LONG = ((1, 32), (1, 256), (4, 64), (512,))  # of which one number in the middle is another one
SINGLE, OTHERS = (4,), ((301,), (2, 1100), (1100, 2), (128, 128))  # after the other part: on paths of their own
WEIGHTS, GRADS = (2.0, 1.0, -0.5), (1.0, -2.0, 0.5)
MIDDLE = 4.0  # a logit above all others
STREAM = 85_000  # where the random numbers of these begin
CLAUSES = {
    "PURITY-3": ["rewritten arrays", "a gradient after a loss", "a loss after a gradient", "gradients after a loss"],
    "REJECT-3": ["a target rewritten to -1", "a target rewritten to -1 after the other part"],
}
OTHER = {"loss": "gradient", "gradient": "loss"}
Change = Callable[[Case], Case]
_KNOWN: dict[str, Values] = {}


def items(scope: Scope) -> Iterator[Item]:
    """Yield one item a dtype, part and layout, and one a dtype for gradients that follow losses."""
    for dtype in scope.dtypes:
        cases = [case for case in _cases(dtype) if not scope.capabilities.leaves_out(case)]
        if not cases:
            continue
        for part in ("loss", "gradient") if scope.gradient else ("loss",):
            for name, layout in LAYOUTS.items():
                large = [case for case in _drawn(dtype, LARGE) if not scope.capabilities.leaves_out(case)]
                long = [case for case in _drawn(dtype, LONG) if not scope.capabilities.leaves_out(case)]
                rewritten = [*cases, *(large if name == PLAIN else ())]
                yield _rewritten(dtype, part, name, layout, [*product(rewritten, (CONTENTS,)), *product(long, (ONE,))])
            rows = [case for case in _drawn(dtype, MANY_ROWS) if not scope.capabilities.leaves_out(case)]
            yield _invalid(dtype, part, cases + rows, after="", capabilities=scope.capabilities)
            if scope.gradient:
                yield _invalid(dtype, part, cases + rows, after=OTHER[part], capabilities=scope.capabilities)
        for part, alike in product(OTHER, (False, True)) if scope.gradient else ():
            others = [case for case in _others(dtype) if not scope.capabilities.leaves_out(case)]
            yield _after_other(dtype, part, cases + others, scope.capabilities, alike=alike)
        if scope.gradient:
            yield _again(dtype, cases, scope.capabilities)


@cache
def _cases(dtype: str) -> tuple[Case, ...]:
    return tuple(valid(c, dtype) for c in contexts() if c.shape in SHAPES and c.weighted)


@cache
def _others(dtype: str) -> tuple[Case, ...]:
    """Return calls of one row without a batch, with every option, and of a few larger shapes."""
    return (*(valid(c, dtype) for c in contexts() if c.shape == SINGLE), *_drawn(dtype, OTHERS))


@cache
def _drawn(dtype: str, shapes: tuple[tuple[int, ...], ...]) -> tuple[Case, ...]:
    """Return a call of each shape, none in halves; whatever is changed, none has a tie: the margin is an eighth."""
    if dtype not in STEPS:
        return ()
    kind, found = DTYPES[dtype], []
    for k, shape in enumerate(shapes):
        batch, classes = shape[:-1], shape[-1]
        x = (integers(STREAM + k, math.prod(shape), 8).reshape(shape) / 4).astype(kind)
        y, weight = np.arange(math.prod(batch)).reshape(batch) * 5 % classes, np.resize(WEIGHTS, classes).astype(kind)
        grads = np.resize(GRADS, batch).astype(kind)
        found.append(Case(x, y, 1 + k % 2, 0.125, weight, "none", grads))
    return tuple(found)


def _given(case: Case, part: str, layout: Callable[[Any], Any]) -> dict[str, NDArray[Any]]:
    arrays = {name: getattr(case, name) for name in ARGUMENTS[part]}
    return {name: layout(array) for name, array in arrays.items() if array is not None}


def _rewritten(
    dtype: str, part: str, name: str, layout: Callable[[Any], Any], cases: list[tuple[Case, Mapping[str, Change]]]
) -> Item:
    def run(session: Session) -> Result:
        if name != PLAIN:
            session.needs("layouts")
        for case, contents in cases:
            for argument in ARGUMENTS[part]:
                changed = contents[argument](case)
                if has_kink(changed):
                    continue  # ties have checks of their own (GRADIENT-4)
                arrays = _given(case, part, layout)
                session.function(part)(case, **arrays)
                _write(arrays[argument], getattr(changed, argument))
                observation = session.function(part)(changed, **arrays)
                why = f"the call before had the same arrays, with another {argument} in it"
                if finding := judge(part, observation, part_of(_expectation(changed), part), why):
                    return result_of(replace(finding, case=changed))
        return PASS

    return Item(f"PURITY-3/{dtype}/rewritten-{name}/{part}", "PURITY-3", dtype, part, run, kind="rewritten")


def _invalid(dtype: str, part: str, cases: list[Case], *, after: str, capabilities: Capabilities) -> Item:
    """A target that was valid a call ago is not any more: of the same part, with the same options and others; or of
    the other one, which is `after` then."""

    def run(session: Session) -> Result:
        on_the_host = session.subject.device in ON_THE_HOST
        changes = UNCHANGED if after else (*UNCHANGED, OPTIONS["p"], OPTIONS["margin"])
        for case, change in product(cases if on_the_host else cases[:1], changes if on_the_host else UNCHANGED):
            target = case.target.copy()
            target[-1] = -1
            changed = change(replace(case, target=target))
            if capabilities.leaves_out(change(case)):
                continue
            if on_the_host:
                arrays = _given(case, "gradient" if after else part, np.array)
                session.function(after or part)(case, **_of(after or part, arrays))
                arrays["target"][...] = target
                observation = session.function(part)(changed, **_of(part, arrays))
            else:  # the copies that a device gets take each other's place anyway
                observation = session.reject(part, changed, case)
            if finding := judge_rejection(observation, "REJECT-3"):
                return result_of(replace(finding, case=changed))
        return PASS

    id_ = f"REJECT-3/{dtype}/rewritten-target{f'-after-{after}' if after else ''}/{part}"
    return Item(id_, "REJECT-3", dtype, part, run, kind="rewritten")


def _after_other(dtype: str, part: str, cases: list[Case], capabilities: Capabilities, *, alike: bool) -> Item:
    """A gradient after a loss, or a loss after a gradient, is that of its own arguments.

    alike: the other part was just made of the very same arrays, of which one, if any, has new contents; otherwise only
    the input is the same array.
    """

    def run(session: Session) -> Result:
        for case in cases:
            for name, change in OPTIONS.items():
                if name == "weight" and case.weight is None:
                    continue
                changed = change(case)
                if capabilities.leaves_out(changed) or has_kink(changed):
                    continue
                arrays = _given(case, "gradient", np.array)
                session.function(OTHER[part])(case, **_of(OTHER[part], arrays))
                for key in arrays if alike else ("input",):
                    arrays[key][...] = getattr(changed, key)
                later = arrays if alike else _given(changed, "gradient", np.array) | {"input": arrays["input"]}
                observation = session.function(part)(changed, **_of(part, later))
                same = "arrays" if alike else "input array"
                why = f"the {OTHER[part]} before had the same {same}, and another {name}"
                if finding := judge(part, observation, part_of(_expectation(changed), part), why):
                    return result_of(replace(finding, case=changed))
        return PASS

    id_ = f"PURITY-3/{dtype}/{part}-after-{OTHER[part]}{'-of-the-same' if alike else ''}/{part}"
    return Item(id_, "PURITY-3", dtype, part, run, kind="rewritten")


def _again(dtype: str, cases: list[Case], capabilities: Capabilities) -> Item:
    """Gradients, one after another, of the very arrays that a loss was made of, with its reduction and the other one.

    A reduction that needs a grad_output of another shape is left out.
    """

    def run(session: Session) -> Result:
        for case in cases:
            others = ("none",) if case.reduction == "none" else ("mean", "sum")
            for of_loss, of_gradient in product(others, others):
                made = replace(case, reduction=of_loss), replace(case, reduction=of_gradient)
                if any(map(capabilities.leaves_out, made)):
                    continue
                arrays = _given(case, "gradient", np.array)
                for part, changed in zip(
                    ("loss", "gradient", "gradient", "loss"), (*made, made[1], made[0]), strict=True
                ):
                    observation = session.function(part)(changed, **_of(part, arrays))
                    why = f"the same arrays in a loss for {of_loss!r} and gradients for {of_gradient!r}"
                    if finding := judge(part, observation, part_of(_expectation(changed), part), why):
                        return result_of(replace(finding, case=changed))
        return PASS

    id_ = f"PURITY-3/{dtype}/gradients-after-a-loss/gradient"
    return Item(id_, "PURITY-3", dtype, "gradient", run, kind="rewritten")


def _read_only_view(array: NDArray[Any]) -> NDArray[Any]:
    """Return a view that cannot be written to of a copy that can."""
    view: NDArray[Any] = np.array(array)[...]
    view.flags.writeable = False
    return view


def _write(array: NDArray[Any], values: NDArray[Any]) -> None:
    """Write into an array's memory, of a view that is read-only too."""
    memory = array if array.flags.writeable or array.base is None else array.base
    memory[...] = values


def _of(part: str, arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return the arrays that a part is made of."""
    return {name: array for name, array in arrays.items() if name in ARGUMENTS[part]}


def _expectation(case: Case) -> Values:
    """Return what is legal for a call, made once a process."""
    if case.id not in _KNOWN:
        _KNOWN[case.id] = legal_values(case)
    return _KNOWN[case.id]


def _reversed(case: Case) -> Case:
    return replace(case, input=np.ascontiguousarray(case.input[..., ::-1]))


def _doubled(case: Case) -> Case:
    assert case.weight is not None
    return replace(case, weight=case.weight * 2)


def _other_factor(case: Case) -> Case:
    assert case.grad_output is not None
    return replace(case, grad_output=np.asarray(case.grad_output * -2, case.input.dtype))


def _next_targets(case: Case) -> Case:
    return replace(case, target=(case.target + 1) % case.input.shape[-1])


def _one(argument: str) -> Change:
    """Change one number: a logit and the weight, the target or the factor of the middle row."""

    def change(case: Case) -> Case:
        array: NDArray[Any] = getattr(case, argument).copy()
        row = np.atleast_1d(case.target).size // 2
        if argument == "input":
            array.reshape(-1, array.shape[-1])[row, array.shape[-1] // 2 + 1] = MIDDLE
        elif argument == "weight":
            array[case.target.reshape(-1)[row]] *= 2
        elif argument == "target":
            array.reshape(-1)[row] += 1 if array.reshape(-1)[row] + 1 < case.input.shape[-1] else -1
        else:
            array.reshape(-1)[row] *= -2
        changed: dict[str, Any] = {argument: array}
        return replace(case, **changed)

    return change


PLAIN = "plain"
LAYOUTS: dict[str, Callable[[Any], Any]] = {PLAIN: np.array, "with-gaps": every_other, "read-only": _read_only_view}
CONTENTS: dict[str, Change] = {
    "input": _reversed,
    "target": _next_targets,
    "weight": _doubled,
    "grad_output": _other_factor,
}
ONE: dict[str, Change] = {argument: _one(argument) for argument in CONTENTS}
UNCHANGED: tuple[Change, ...] = (lambda case: case,)
OPTIONS: dict[str, Change] = {
    "p": lambda case: replace(case, p=3 - case.p),
    "margin": lambda case: replace(case, margin=case.margin + 1.0),
    "input": _reversed,
    "target": _next_targets,
    "weight": _doubled,
    "grad_output": _other_factor,
}
