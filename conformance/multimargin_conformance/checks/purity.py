"""PURITY: what a call may do to its arguments, to earlier results and to later calls; and memory layouts.

All of these use calls on the exact grid, so that the order of summation, which may follow the layout, does not show.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

import multimargin_vectors
from multimargin_conformance.checks.item import Item, Scope
from multimargin_conformance.checks.layouts import FARTHER, LAYOUTS, OF_INPUT, READ_ONLY, UNALIGNED, constant
from multimargin_conformance.checks.single import legal_with, part_of
from multimargin_conformance.judge import Finding, judge, no_result
from multimargin_conformance.outcome import Observation, Returned
from multimargin_conformance.session import Result, Session, result_of
from multimargin_reference.case import Case
from multimargin_reference.exact_values import legal_values
from multimargin_reference.expectation import Enclosures, Values
from multimargin_vectors import Vector
from multimargin_vectors.draft import has_kink, uniform

CASES = 16  # vectors a check and dtype, spread over the exact ones
MANY = ((129, 5), (2, 1031), (3, 61), (1, 4099))  # rows and classes
REPEATS = 4
LATER = 18  # calls while a result is held: a ring of so many buffers shows

Test = Callable[[Session, Vector, str], Finding | None]


def items(scope: Scope) -> Iterator[Item]:
    """Yield one item a check, dtype, part and vector."""
    for dtype in scope.dtypes:
        for vector in chosen(scope, dtype):
            for part in ("loss", "gradient") if scope.gradient else ("loss",):
                for clause, test in TESTS.items():
                    yield _item(clause, dtype, vector, part, test)


def chosen(scope: Scope, dtype: str) -> list[Vector]:
    """Return vectors of the exact tier with several rows where possible, spread evenly over all there are."""
    vectors = [v for v in _exact_vectors(dtype) if not scope.capabilities.leaves_out(v.case)]
    step = max(1, len(vectors) // CASES)
    return vectors[::step][:CASES]


def _item(clause: str, dtype: str, vector: Vector, part: str, test: Test) -> Item:
    def run(session: Session) -> Result:
        return result_of(test(session, vector, part))

    known = PREPARED.get(clause)
    prepare = None if known is None else lambda: known(vector, part)
    return Item(f"{clause}/{dtype}/{vector.id}/{part}", clause, dtype, part, run, vector.id, prepare=prepare)


def expected_part(case: Vector | Values, part: str) -> Enclosures:
    """Return what is legal for the loss or the gradient of a vector, or of expected values."""
    values = case.expected if isinstance(case, Vector) else case
    assert isinstance(values, Values)
    return part_of(values, part)


def _arguments_unchanged(session: Session, vector: Vector, part: str) -> Finding | None:
    """PURITY-1: also for arguments that are views of a larger array."""
    session.needs("digests")
    around = _framed if session.offers("layouts") else _unframed
    arrays = {name: around(array) for name, array in _arrays(vector.case, part).items()}
    frames = {name: pair[0] for name, pair in arrays.items()}
    before = {name: frame.tobytes() for name, frame in frames.items()}
    observation = session.function(part)(vector.case, **{name: pair[1] for name, pair in arrays.items()})
    for name, frame in frames.items():
        if frame.tobytes() != before[name]:
            return Finding(f"the memory around {name} changed during the call, but should be left as it is")
    if finding := judge(part, observation, expected_part(vector, part), "arguments in the middle of a larger array"):
        return finding
    # what is changed and changed back shows by rounding, and what is written in another way by the signs of zeros
    many = _with_negative_zeros(_many_terms(vector.case))
    given = {name: np.array(array) for name, array in _arrays(many, part).items()}  # of one alignment
    rounding, again = (session.function(part)(many, **given) for _ in range(2))
    if rounding.changed:
        return judge(part, rounding, expected_part(vector, part), "arguments of many digits")
    if "run-to-run-variation" in session.subject.capabilities.permissions:
        return None
    return _differing(part, rounding, again)


def _differing(part: str, first: Observation, again: Observation) -> Finding | None:
    """Compare a call with the one before it: the first of its size may have found memory that was never written to."""
    values = []
    for outcome in (first.outcome, again.outcome):
        if not isinstance(outcome, Returned):
            return no_result(part, outcome)
        values.append(outcome.value.tobytes())
    if values[0] == values[1]:
        return None
    return Finding(f"{part} differs between equal calls, but should have the same bits", {"part": part}, "PURITY-2")


def _with_negative_zeros(case: Case) -> Case:
    """Return a call with a negative zero in every array of numbers but those that are single numbers."""
    arrays = {name: np.array(getattr(case, name)) for name in ("input", "weight", "grad_output")}
    changed: dict[str, Any] = {name: array for name, array in arrays.items() if array.dtype.kind != "O" and array.ndim}
    for array in changed.values():
        array.reshape(-1)[-1] = -0.0
    return replace(case, **changed)


def _repeatable(session: Session, vector: Vector, part: str) -> Finding | None:
    """PURITY-2: the same call gives the same bits, with other calls between."""
    case = _many_terms(vector.case)
    if "run-to-run-variation" in session.subject.capabilities.permissions:
        expected = expected_part(legal_with(session.subject.capabilities, case), part)
        return judge(part, session.function(part)(case), expected, "declared to vary")
    first = b""
    arrays = {name: np.array(a) for name, a in _arrays(case, part).items()}  # whose alignment may choose an order
    for number in range(1 + REPEATS):
        if number and not number % 2:  # not every time: what alternates from call to call must not keep in step
            session.function(part)(_disturbance(vector.case))
        outcome = session.function(part)(case, **arrays).outcome
        if not isinstance(outcome, Returned):
            return no_result(part, outcome)
        first = first if number else outcome.value.tobytes()
        if outcome.value.tobytes() != first:
            return Finding(f"{part} differs between equal calls, but should have the same bits", {"part": part})
    return None


@cache
def _many_terms(case: Case) -> Case:
    """Return a call with the case's options and many classes or rows, in which every order of summation rounds."""
    rows, terms = MANY[int(case.id[:4], 16) % len(MANY)]
    rows = rows if case.input.ndim == 2 else 1
    x = uniform(rows, (rows, terms)).astype(case.input.dtype)
    target = (np.resize(case.target, rows) * 7) % terms
    weight = None if case.weight is None else np.resize(case.weight, terms)
    if case.grad_output is not None and case.reduction == "none" and case.input.ndim == 2:
        case = replace(case, grad_output=np.resize(case.grad_output, rows))
    if case.input.ndim == 1:
        return replace(case, input=x[0], target=target[0], weight=weight)
    return replace(case, input=x, target=target, weight=weight)


def _stateless(session: Session, vector: Vector, part: str) -> Finding | None:
    """PURITY-3: an earlier call, or an earlier content of the same array, does not matter."""
    for name, changed in _one_changed(vector, part).items():
        if session.subject.capabilities.leaves_out(changed):
            continue  # such as another p where one alone is declared
        arrays = {key: array.copy() for key, array in _arrays(vector.case, part).items()}
        session.forward(vector.case, **{key: a for key, a in arrays.items() if key != "grad_output"})
        session.function(part)(vector.case, **arrays)
        if name in arrays:
            arrays[name][...] = getattr(changed, name)
        session.forward(_between(vector.case, session))
        observation = session.function(part)(changed, **arrays)
        expected = _changed_expectation(vector.id, part, name)
        if finding := judge(part, observation, expected, f"the same call with a new {name}, after another call"):
            return finding
    return None


def _between(case: Case, session: Session) -> Case:
    """Return another call, of the other power where that is declared."""
    other = replace(case, p=3 - case.p, margin=case.margin + 3)
    return replace(other, p=case.p) if session.subject.capabilities.leaves_out(other) else other


def _one_changed(vector: Vector, part: str) -> dict[str, Case]:
    """Return, by argument, the vector's call with another value of that argument; exact too."""
    case = vector.case
    changes = {
        "input": np.ascontiguousarray(case.input[..., ::-1]) * 2,
        "target": (case.target + 1) % case.input.shape[-1],
        "weight": None if case.weight is None else case.weight * 2,
        "grad_output": None if case.grad_output is None or part == "loss" else case.grad_output * -2,
        "margin": case.margin + 2,
        "p": 3 - case.p,
    }
    return {name: _replaced(case, name, value) for name, value in changes.items() if value is not None}


def _replaced(case: Case, name: str, value: Any) -> Case:
    change: dict[str, Any] = {name: value}
    return replace(case, **change)


@cache
def _changed_expectation(vector_id: str, part: str, name: str) -> Enclosures:
    return expected_part(legal_values(_one_changed(multimargin_vectors.by_id()[vector_id], part)[name]), part)


def _result_stays(session: Session, vector: Vector, part: str) -> Finding | None:
    """PURITY-4: a returned result is the caller's: later calls do not change it, nor does it change later calls."""
    arrays = {name: array.copy() for name, array in _arrays(vector.case, part).items()}
    session.needs("held")
    first = session.kept(part, vector.case, **arrays)
    for _ in range(LATER):
        session.function(part)(_disturbance(vector.case))
    for array in arrays.values():
        array[...] = 1
    session.caller.write({**arrays})
    later = session.caller.now(first)
    if finding := judge(part, later, expected_part(vector, part), "looked at again after another call"):
        return finding
    session.caller.fill(first, 77)
    again = session.function(part)(vector.case)
    finding = judge(part, again, expected_part(vector, part), "after the caller overwrote an earlier result")
    return finding or _not_an_argument(session, vector.case, part)


def _not_an_argument(session: Session, case: Case, part: str) -> Finding | None:
    """Zeros for logits, all of them inactive: the gradient equals the input, and must not be the input itself."""
    zeros = replace(case, input=np.zeros_like(case.input), margin=-1.0)
    arrays = {name: array.copy() for name, array in _arrays(zeros, part).items()}
    first = session.function(part)(zeros, **arrays)
    arrays["input"][...] = 1
    shape = case.input.shape if part == "gradient" else case.target.shape if case.reduction == "none" else ()
    zero = np.zeros(int(np.prod(shape)))
    expected = Enclosures(shape, case.dtype, zero, zero, zero)
    finding = judge(part, first, expected, "zeros, after the input was overwritten")
    return finding or (_not_the_grad_output(session, case) if part == "gradient" else None)


def _not_the_grad_output(session: Session, case: Case) -> Finding | None:
    """One class and zeros for grad_output: the gradient has its values, and its memory must not be the same."""
    kind, zero = case.input.dtype, np.zeros(3)
    one = replace(case, input=zero.astype(kind)[:, None], target=np.zeros(3, np.int64), weight=None, reduction="none")
    one = replace(one, grad_output=zero.astype(kind))
    if session.subject.capabilities.leaves_out(one):
        return None
    arrays = {name: array.copy() for name, array in _arrays(one, "gradient").items()}
    first = session.function("gradient")(one, **arrays)
    arrays["grad_output"][...] = 1
    expected = Enclosures((3, 1), case.dtype, zero, zero, zero)
    return judge("gradient", first, expected, "zeros, after grad_output was overwritten")


def _layout(session: Session, vector: Vector, part: str) -> Finding | None:
    """PURITY-5: strides, order, direction and alignment of the arguments do not matter."""
    session.needs("layouts")
    for name, layout in {**LAYOUTS, **UNALIGNED, **FARTHER}.items():
        arrays = {key: layout(array) for key, array in _arrays(vector.case, part).items()}
        observation = session.function(part)(vector.case, **arrays)
        if finding := judge(part, observation, expected_part(vector, part), f"arguments {name}"):
            return finding
    return _zero_strides(session, vector, part)


def _zero_strides(session: Session, vector: Vector, part: str) -> Finding | None:
    """One argument at a time is a broadcast view, so that each row still has a result of its own."""
    for name in _broadcast(vector, part):
        case = constant(vector.case, name)
        argument = "input" if name in OF_INPUT else name
        observation = session.function(part)(case, **{argument: getattr(case, argument)})
        expected = _constant_expectation(vector.id, part, name)
        if finding := judge(part, observation, expected, f"{name} with zero strides"):
            return finding
    return None


def _broadcast(vector: Vector, part: str) -> list[str]:
    more = [name for name in OF_INPUT if not has_kink(constant(vector.case, name))]
    return [*_arrays(vector.case, part), *more]


@cache
def _constant_expectation(vector_id: str, part: str, name: str) -> Enclosures:
    return expected_part(legal_values(constant(multimargin_vectors.by_id()[vector_id].case, name)), part)


def _read_only(session: Session, vector: Vector, part: str) -> Finding | None:
    """PURITY-6: arguments that cannot be written to are accepted, wherever they are in memory."""
    session.needs("layouts")
    for name, layout in READ_ONLY.items():
        arrays = {key: layout(array) for key, array in _arrays(vector.case, part).items()}
        observation = session.function(part)(vector.case, **arrays)
        if finding := judge(part, observation, expected_part(vector, part), f"arguments {name}"):
            return finding
    return None


def _arrays(case: Case, part: str) -> dict[str, NDArray[Any]]:
    names = ("input", "target", "weight") if part == "loss" else ("grad_output", "input", "target", "weight")
    return {name: array for name in names if (array := getattr(case, name)) is not None}


def _disturbance(case: Case) -> Case:
    """Return another valid call of the same shapes, exact too: logits reversed along classes, targets rotated."""
    target = (case.target + 1) % case.input.shape[-1]
    return replace(case, input=np.ascontiguousarray(case.input[..., ::-1]), target=target)


@cache
def _exact_vectors(dtype: str) -> tuple[Vector, ...]:
    """Return the vectors to choose from; z = 0, in calls made from them too, has its own checks (GRADIENT-4)."""
    crossed = (v for v in multimargin_vectors.load() if v.tier == "exact" and v.flags == ("options-crossed",))
    return tuple(v for v in crossed if v.dtype == dtype and not any(has_kink(case) for case in _derived(v)))


def _derived(vector: Vector) -> list[Case]:
    """Return every call that the checks make from a vector."""
    changed = _one_changed(vector, "gradient")
    names = [name for name in ("input", "target") if name in changed]
    return [_disturbance(vector.case), *changed.values(), *(constant(vector.case, name) for name in names)]


def _framed(array: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return an array with a border of ones, and the view of its middle that holds the values."""
    frame = np.ones([n + 2 for n in array.shape], dtype=array.dtype)
    middle = frame[tuple(slice(1, -1) for _ in array.shape)] if array.ndim else frame[...]
    middle[...] = array
    return frame, middle


def _unframed(array: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return a copy as its own frame."""
    copy = array.copy()
    return copy, copy


TESTS: dict[str, Test] = {
    "PURITY-1": _arguments_unchanged,
    "PURITY-2": _repeatable,
    "PURITY-3": _stateless,
    "PURITY-4": _result_stays,
    "PURITY-5": _layout,
    "PURITY-6": _read_only,
}
PREPARED: dict[str, Callable[[Vector, str], object]] = {
    "PURITY-3": lambda vector, part: [_changed_expectation(vector.id, part, n) for n in _one_changed(vector, part)],
    "PURITY-5": lambda vector, part: [_constant_expectation(vector.id, part, n) for n in _broadcast(vector, part)],
}
CLAUSES = {clause: [(test.__doc__ or "").split(":", 1)[1].strip()] for clause, test in TESTS.items()}
