"""Every reason to reject a call in every context: what is checked on one path may be forgotten on another.

The golden vectors have each invalid argument in a few calls; here it is put into the valid call of every context, with
the arguments in other places of memory too, into calls of many classes or rows, and into an empty batch.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from typing import Any

import numpy as np

from multimargin_conformance.calling import ARGUMENTS, Arrays
from multimargin_conformance.capabilities import REDUCTIONS, Capabilities
from multimargin_conformance.checks.contexts import chosen, chosen_larger, valid
from multimargin_conformance.checks.item import Item, Scope
from multimargin_conformance.checks.layouts import every_other, padded, read_only, reversed_
from multimargin_conformance.checks.single import TARGET_RANGE, in_range
from multimargin_conformance.isolation.launch import ON_THE_HOST
from multimargin_conformance.judge import judge_rejection
from multimargin_conformance.outcome import Observation
from multimargin_conformance.session import PASS, Result, Session, result_of
from multimargin_reference.case import Case
from multimargin_reference.formats import DTYPES
from multimargin_reference.rejection import rejecting_clause

FIRST, MIDDLE, LAST = 0, 1, 2
UNUSED = "-unused"  # how reasons end that are of the gradient alone
CONTEXTS, STRIDED = "contexts", "strided"
PLACES = (every_other, reversed_, read_only, padded)
LARGE = ((2, 300), (3, 2057), (300, 3), (2057, 2), (300,))
LARGEST = (((1, 70_001), "mean"), ((70_001, 2), "sum"))  # more than 16 bits count
LONG = 10_000  # logits; beyond, only the targets' values are put to the test
SHOWN = 4096  # logits of a call that a finding carries
UNKNOWN = ("average", "", "MEAN", "sum ", "SUM", "NONE", "None", "batchmean", "sum_over_batch_size")  # some are others'
HALF_TARGETS = (DTYPES["float16"], DTYPES["bfloat16"])
Change = Callable[[Case], Case]


def items(scope: Scope) -> Iterator[Item]:
    """Yield one item a reason, kind of valid call, dtype and part."""
    for dtype, kind in product(scope.dtypes, VALID):
        for name, (clause, _) in REASONS.items():
            for part in _parts(name, clause, scope):
                made = Made(name, kind, dtype, scope.dtypes, scope.capabilities)
                if made.has_calls:
                    yield _item(made, clause, part)


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

    @property
    def has_calls(self) -> bool:
        """Whether there is a call at all; to make them all takes longer than to plan everything else."""
        return next(_made(self), None) is not None

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


def _made(made: Made) -> Iterator[Case]:
    clause, change = REASONS[made.name]
    valid_cases = VALID[made.kind](made.dtype, made.dtypes)
    for case in (change(case) for case in valid_cases if case.input.size <= LONG or clause in TARGET_RANGE):
        declared = case.target.dtype not in HALF_TARGETS or made.has(case.target.dtype)
        if declared and rejecting_clause(case) == clause and not made.capabilities.leaves_out(case):
            yield case


def _item(made: Made, clause: str, part: str) -> Item:
    id_ = f"{clause}/{made.dtype}/{made.kind}-{made.name}/{part}"

    def observed(session: Session) -> Iterator[tuple[Case, Observation]]:
        if clause not in TARGET_RANGE or session.subject.device in ON_THE_HOST:
            yield from ((case, session.function(part)(case, **made.given(case, part))) for case in made.calls)
        else:
            yield from _on_a_device(session, part, clause, made, zlib.crc32(id_.encode()) % len(made.calls))

    def run(session: Session) -> Result:
        if clause in TARGET_RANGE and session.subject.compiles and made.kind != CONTEXTS:
            return Result("skip", reason="each of these calls may end a process that has to compile again for the next")
        if made.kind == STRIDED:
            session.needs("layouts")
        for case, observation in observed(session):
            if finding := judge_rejection(observation, clause):
                return result_of(replace(finding, case=case) if case.input.size <= SHOWN else finding)
        return PASS

    def planned() -> list[tuple[Case, Arrays]]:
        return [(case, made.given(case, part)) for case in made.calls]

    return Item(id_, clause, made.dtype, part, run, kind="contexts", calls=planned, prepare=lambda: made.calls)


def _on_a_device(
    session: Session, part: str, clause: str, made: Made, first: int
) -> Iterator[tuple[Case, Observation]]:
    """Yield the calls from the first on, until one leaves its process unfit for others: a process takes its time."""
    for k, case in enumerate([*made.calls[first:], *made.calls[:first]]):
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


def _targets(change: Callable[[Any, int], Any]) -> Change:
    """Replace the targets by what `change` makes of them and of N."""
    return lambda case: replace(case, target=change(case.target, len(np.atleast_1d(case.target))))


def _targets_for(count: Callable[[int, int], int]) -> Change:
    """Repeat the targets until there are as many as `count` makes of N and C."""

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


def _no_classes(case: Case) -> Case:
    weight = None if case.weight is None else case.weight[:0]
    return replace(case, input=case.input[..., :0], target=np.zeros_like(case.target), weight=weight)


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
    "target-negative-worthless": ("REJECT-3", _worthless(_target(-1, LAST))),
    "target-classes-worthless": ("REJECT-4", _worthless(_target(0, LAST, 1))),
    f"target-negative{UNUSED}": ("REJECT-3", _unused(_target(-1, LAST))),
    f"target-classes{UNUSED}": ("REJECT-4", _unused(_target(0, FIRST, 1))),
    "target-classes-beside-nan": ("REJECT-4", _beside(np.nan, _target(0, LAST, 1))),
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
    "no-classes": ("REJECT-11", _no_classes),
    "input-of-rank-3": ("REJECT-12", _input(lambda x: x[None] if x.ndim == 2 else x[None, None])),
    "input-of-rank-4": ("REJECT-12", _input(lambda x: x[None, None] if x.ndim == 2 else x[None, None, None])),
    "input-of-rank-5": ("REJECT-12", _input(lambda x: x[(None,) * (5 - x.ndim)])),
    "input-with-a-last-axis": ("REJECT-12", _input(lambda x: x[..., None] if x.ndim == 2 else x[:, None, None])),
    "input-with-two-last-axes": (
        "REJECT-12",
        _input(lambda x: x[..., None, None] if x.ndim == 2 else x[:, None, None, None]),
    ),
    "input-with-a-middle-axis": ("REJECT-12", _input(lambda x: x[:, None] if x.ndim == 2 else x[:, None, None])),
}
VALID: dict[str, Callable[[str, tuple[str, ...]], list[Case]]] = {
    CONTEXTS: _in_all_contexts,
    STRIDED: _in_contexts,
    "large": _large,
    "empty": _empty,
}
CLAUSES: dict[str, list[str]] = {}
for _name, (_clause, _) in REASONS.items():
    CLAUSES.setdefault(_clause, []).append(f"{_name} in every context")
