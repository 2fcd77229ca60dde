"""Every reason to reject a call in every context: what is checked on one path may be forgotten on another.

The golden vectors have each invalid argument in a few calls; here it is put into the valid call of every context, with
the arguments in other places of memory too, into calls of many classes or rows, and into an empty batch.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain, product
from typing import Any

import numpy as np

from multimargin_conformance.calling import ARGUMENTS, Arrays
from multimargin_conformance.capabilities import REDUCTIONS, Capabilities
from multimargin_conformance.checks.contexts import chosen, chosen_larger, valid
from multimargin_conformance.checks.invalid import REASONS, UNUSED
from multimargin_conformance.checks.item import Item, Scope
from multimargin_conformance.checks.layouts import every_other, padded, read_only, reversed_
from multimargin_conformance.checks.single import TARGET_RANGE, in_range
from multimargin_conformance.isolation.launch import ON_THE_HOST
from multimargin_conformance.judge import judge_rejection
from multimargin_conformance.outcome import Observation, Raised
from multimargin_conformance.session import PASS, Result, Session, result_of
from multimargin_reference.case import Case
from multimargin_reference.formats import DTYPES
from multimargin_reference.rejection import meaning, rejecting_clause

CONTEXTS, STRIDED = "contexts", "strided"
PLACES = (every_other, reversed_, read_only, padded)
LARGE = ((2, 300), (3, 2057), (300, 3), (2057, 2), (300,))
LARGEST = (((1, 70_001), "mean"), ((70_001, 2), "sum"))  # more than 16 bits count
LONG = 10_000  # logits; beyond, only the targets' values are put to the test
ODD_MARGINS = (float("nan"), float("inf"), float("-inf"), -1e30)
ODD_LOGITS = (float("nan"), float("inf"), float("-inf"))
INTEGERS = 16  # logits of calls that are made of integers too
SHOWN = 4096  # logits of a call that a finding carries
HALF_TARGETS = (DTYPES["float16"], DTYPES["bfloat16"])


def items(scope: Scope) -> Iterator[Item]:
    """Yield one item a reason, kind of valid call, dtype and part."""
    for dtype, kind in product(scope.dtypes, VALID):
        for name, (clause, _) in REASONS.items():
            for part in _parts(name, clause, scope):
                yield _item(Made(name, kind, dtype, scope.dtypes, scope.capabilities), clause, part)


def _parts(name: str, clause: str, scope: Scope) -> tuple[str, ...]:
    if not scope.gradient or clause not in TARGET_RANGE:
        return ("loss",)
    return ("gradient",) if name.endswith(UNUSED) else ("loss", "gradient")


@dataclass(frozen=True)
class Made:
    """The invalid calls of one reason in one dtype, out of those that are checked."""

    name: str
    kind: str  # of the valid calls: a key of VALID
    dtype: str
    dtypes: tuple[str, ...]
    capabilities: Capabilities

    @property
    def calls(self) -> list[Case]:
        """One a valid call of which it makes no valid or unusual one, made once a process."""
        return _calls(self)

    def has_calls(self) -> bool:
        """Return whether there is a call at all; to make them all takes longer than to plan everything else."""
        return _has_calls(self)

    def has(self, kind: Any) -> bool:
        """Whether the backend declares a dtype: an adapter need not know what it does not offer."""
        return kind in [DTYPES[name] for name in self.capabilities.dtypes]

    def given(self, case: Case, part: str) -> Arrays:
        """Return what is handed over in place of a call's own arrays."""
        if self.kind != STRIDED:
            return {}
        layout = PLACES[int(case.id[:2], 16) % len(PLACES)]
        arrays = {name: getattr(case, name) for name in ARGUMENTS[part]}
        return {name: layout(array) for name, array in arrays.items() if array is not None}


@cache
def _calls(made: Made) -> list[Case]:
    return list(_made(made))


@cache
def _has_calls(made: Made) -> bool:
    return next(_made(made), None) is not None


def _made(made: Made) -> Iterator[Case]:
    clause, change = REASONS[made.name]
    valid_cases = VALID[made.kind](made.dtype, made.dtypes)
    changed = (change(case) for case in valid_cases if case.input.size <= LONG or clause in TARGET_RANGE)
    few = [case for case in valid_cases if case.input.size <= INTEGERS] if made.kind == CONTEXTS else []
    odd = (change(case) for case in _with_odd_numbers(few))
    for case in chain(changed, _with_integers(change(case) for case in few), odd):
        declared = case.target.dtype not in HALF_TARGETS or made.has(case.target.dtype)
        if declared and rejecting_clause(case) == clause and not made.capabilities.leaves_out(case):
            yield case


def _with_integers(cases: Iterable[Case]) -> Iterator[Case]:
    """Yield float64 calls with integers for logits, beside which everything is validated too."""
    for case in cases:
        if case.dtype == "float64" and np.isfinite(case.input).all():
            yield replace(case, input=case.input.astype(np.int64))


def _with_odd_numbers(cases: Iterable[Case]) -> Iterator[Case]:
    """Yield calls of which numbers alone say what is right: a kernel that has it by then may look at nothing else."""
    for k, case in enumerate(cases):
        margin = ODD_MARGINS[k % len(ODD_MARGINS)]
        logits = np.full_like(case.input, ODD_LOGITS[k % len(ODD_LOGITS)])
        yield replace(case, margin=margin)
        yield replace(case, input=logits)
        if case.weight is not None:
            yield replace(case, weight=np.zeros_like(case.weight))


def _item(made: Made, clause: str, part: str) -> Item:
    id_ = f"{clause}/{made.dtype}/{made.kind}-{made.name}/{part}"

    def observed(session: Session) -> Iterator[tuple[Case, Observation]]:
        if clause not in TARGET_RANGE or session.subject.device in ON_THE_HOST:
            yield from ((case, session.function(part)(case, **made.given(case, part))) for case in made.calls)
        else:
            yield from _on_a_device(session, part, clause, made, zlib.crc32(id_.encode()))

    def run(session: Session) -> Result:
        if clause in TARGET_RANGE and session.subject.compiles and made.kind != CONTEXTS:
            return Result("skip", reason="each of these calls may end a process that has to compile again for the next")
        if made.kind == STRIDED:
            session.needs("layouts")
        for case, observation in observed(session):
            if (finding := judge_rejection(observation, clause)) and not (
                part == "gradient" and _is_out_of_reach(session, case, clause)
            ):
                return result_of(replace(finding, case=case) if case.input.size <= SHOWN else finding)
        return PASS

    def planned() -> list[tuple[Case, Arrays]]:
        return [(case, made.given(case, part)) for case in made.calls]

    prepare, exists = lambda: made.calls, made.has_calls
    return Item(id_, clause, made.dtype, part, run, kind="contexts", calls=planned, prepare=prepare, exists=exists)


def _is_out_of_reach(session: Session, case: Case, clause: str) -> bool:
    """Whether a gradient is of unusual types or shapes that the loss rejects, whatever the targets (DTYPE-4)."""
    valid_case = in_range(case, clause)
    if valid_case is None or meaning(valid_case).id == valid_case.id:
        return False
    return isinstance(session.forward(valid_case).outcome, Raised)


def _on_a_device(
    session: Session, part: str, clause: str, made: Made, number: int
) -> Iterator[tuple[Case, Observation]]:
    """Yield the calls from some number on, until one leaves its process unfit for others: a process takes its time."""
    calls = [case for case in made.calls if case.input.dtype.kind not in "iu"]  # whose valid call it may refuse
    first = number % len(calls)
    for k, case in enumerate([*calls[first:], *calls[:first]]):
        valid_case, given = in_range(case, clause), made.given(case, part)
        assert valid_case is not None
        make = session.reject_further if k else session.reject
        if (observation := make(part, case, valid_case, **given)) is None:
            return
        yield case, observation


def _in_contexts(dtype: str, dtypes: tuple[str, ...]) -> list[Case]:
    return [valid(context, dtype) for context in chosen(dtype, dtypes)]


def _in_all_contexts(dtype: str, dtypes: tuple[str, ...]) -> list[Case]:
    return _in_contexts(dtype, dtypes) + [valid(context, dtype) for context in chosen_larger(dtype, dtypes)]


@cache
def _large(dtype: str, _: tuple[str, ...]) -> list[Case]:
    """Return calls of many classes or rows, or of many classes without a batch, with every reduction and weights."""
    kind, found = DTYPES[dtype], []
    for k, (shape, reduction) in enumerate([*product(LARGE, REDUCTIONS), *LARGEST]):
        classes, batch = shape[-1], shape[:-1]
        x, y = np.resize([0.5, -0.25, 1.0], shape).astype(kind), np.resize(np.arange(shape[0]) % classes, batch)
        weight = np.resize([1.0, 0.5], classes).astype(kind) if k % 2 else None
        grads = np.ones(batch if reduction == "none" else (), kind)
        found.append(Case(x, y, 1 + k // 2 % 2, 1.0, weight, reduction, grads))
    return found


@cache
def _empty(dtype: str, _: tuple[str, ...]) -> list[Case]:
    """Return calls without rows."""
    kind, found = DTYPES[dtype], []
    for k, (reduction, weighted) in enumerate(product(REDUCTIONS, (False, True))):
        classes = (3, 1)[k // 3]
        x, weight = np.zeros((0, classes), kind), np.ones(classes, kind) if weighted else None
        grads = np.ones(0 if reduction == "none" else (), kind)
        found.append(Case(x, np.zeros(0, np.int64), 1 + (k + k // 2) % 2, 1.0, weight, reduction, grads))
    return found


VALID: dict[str, Callable[[str, tuple[str, ...]], list[Case]]] = {
    CONTEXTS: _in_all_contexts,
    STRIDED: _in_contexts,
    "large": _large,
    "empty": _empty,
}
CLAUSES: dict[str, list[str]] = {}
for _name, (_clause, _) in REASONS.items():
    CLAUSES.setdefault(_clause, []).append(f"{_name} in every context")
