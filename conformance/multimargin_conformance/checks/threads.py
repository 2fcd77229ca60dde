"""PURITY-3 from several threads: what one thread passes must not reach another one's result."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import zip_longest
from typing import Any

import numpy as np

from multimargin_conformance import calling
from multimargin_conformance.calling import ARGUMENTS, Arrays
from multimargin_conformance.checks import corners
from multimargin_conformance.checks.item import Item, Scope
from multimargin_conformance.checks.layouts import Layout, every_other
from multimargin_conformance.checks.purity import chosen, expected_part
from multimargin_conformance.checks.sizes import call as planned_call
from multimargin_conformance.checks.sizes import expectation as plan_values
from multimargin_conformance.checks.sizes import plans
from multimargin_conformance.isolation.launch import ON_THE_HOST
from multimargin_conformance.judge import Finding, judge, judge_rejection
from multimargin_conformance.outcome import Observation
from multimargin_conformance.session import Result, Session, result_of
from multimargin_reference.case import Case
from multimargin_reference.exact_values import legal_values
from multimargin_reference.expectation import Values
from multimargin_reference.few_enclosures import AnyEnclosures
from multimargin_reference.formats import DTYPES, FORMATS
from multimargin_reference.grid_enclosure import grid_values
from multimargin_vectors.splitmix import integers

THREADS = 4
ROUNDS = 8
FEW = 4  # calls of many rows
STEPPED = (32, 32)  # calls in which threads take turns at each step: with one set of options, they are at one place
MANY_ROWS = (100, 10)  # likewise, whose arrays are views with gaps: a copy that is packed must be the call's own
ALIKE = (40, 40)  # of the sizes check: calls of one shape, in which a buffer that is kept for each shape shows
SHARED = (256, 100)  # of the corners check: calls of the very same arrays, which take a while
SINGLE = (1025,)  # likewise, without a batch
LARGE = (128, 256)  # calls that take a while, of one shape and with other numbers: a buffer that only they have shows
LONG = {"loss": (4, 32768), "gradient": (2, 16384)}  # likewise, of long rows: all gradients are a line of the protocol
OPTIONS = ((1, "none"), (1, "sum"), (2, "mean"), (2, "none"))  # of the calls of a large shape
WEIGHTS = ((1.0,), (0.5, 2.0), (2.0, 1.0, 4.0), (-1.0, 0.5, 1.0))  # likewise, of all but the first
GRADS = ((1.0, -2.0), (2.0,), (-0.5,), (0.5, 1.0, -4.0))
SEVERAL = ((2, 8192), (8192, 4), (256, 256))  # past limits of classes, of rows and of logits, one after another
MOST = {"loss": (256, 1024), "gradient": (128, 256)}  # by steps: all gradients together are a line of the protocol
FEWER_ROUNDS = 4  # of those: each takes a while
AFTER = 3  # calls of one memory by each thread, after one of its own
SMALL = 4  # rows and classes of valid calls and of those beside them that are rejected
STREAM = 80_000  # where the random numbers of these calls begin
BY_STEPS, REJECTED = "threads-by-steps", "threads-beside-rejections"
BOTH_PARTS, PAIR = f"{BY_STEPS}-both-parts", 2
HOW = ("sizes", "one-memory", "strided", "means", "no-batch")  # each with so many operations of its own (MOST)
STEPPING = (BY_STEPS, REJECTED, BOTH_PARTS, *(f"{BY_STEPS}-{how}" for how in HOW))
VALID = (0b111111, 0b101010, 0b110100, 0b011011)  # which calls of each thread are valid, so that no two keep in step
OF_SIZES = "threads-of-sizes"
WARMED = (*STEPPING, OF_SIZES)
Legal = Callable[[str], AnyEnclosures]
Memory = Callable[[list[Case], str], list[Arrays]]  # what is handed over in place of each call's own arrays
CLAUSES = {"PURITY-3": ["calls from several threads"]}


@dataclass(frozen=True)
class Call:
    """A call to be made again and again, and what is legal for it: enclosures of a part, or a clause that rejects it.

    part: "" where it is the one that the check is about.
    """

    case: Case
    legal: Legal | str
    name: str
    part: str = ""


def items(scope: Scope) -> Iterator[Item]:
    """Yield the items of each dtype and part."""
    for dtype in scope.dtypes:
        for part in ("loss", "gradient") if scope.gradient else ("loss",):
            mixed = [Call(v.case, partial(expected_part, v), f"vector {v.id}") for v in chosen(scope, dtype)]
            special = [*mixed, *_special(dtype, scope)]
            alike, single = (_of_shape(shape, dtype, scope) for shape in (ALIKE, SINGLE))
            kinds: tuple[tuple[str, list[Call], Memory], ...] = (
                ("threads", special, _own),
                ("threads-one-shape", alike, _own),
                (BY_STEPS, _stepped(part, dtype, scope, alike, mixed), _own),
                ("threads-no-batch", single, _own),
                (REJECTED, _beside_rejections(part, dtype, scope), _own),
                ("threads-large", _large(dtype, scope), _own),
                ("threads-long", _large(dtype, scope, LONG[part]), _own),
                (OF_SIZES, _of_sizes(dtype, scope), _own),
                ("threads-one-memory", _alike(dtype, scope), _one_memory),
                ("threads-strided", _of_shape(MANY_ROWS, dtype, scope)[:FEW], _with_gaps),
                ("threads-strided-large", _large(dtype, scope), _with_gaps),
                (f"{BY_STEPS}-sizes", _sizes_by_steps(part, dtype, scope), _own),
                (f"{BY_STEPS}-means", _averaged(part, dtype, scope), _own),
                (f"{BY_STEPS}-no-batch", _apart(single) if _is_first(part, dtype, scope) else [], _own),
                (
                    f"{BY_STEPS}-one-memory",
                    _after_others(_weighted(part, dtype, scope)[1:2], mixed),
                    _last_in_one_memory,
                ),
                (f"{BY_STEPS}-strided", _weighted(part, dtype, scope), _with_gaps),
                (BOTH_PARTS, _both_parts(part, dtype, scope), _own),
            )
            yield from (_item(dtype, part, name, calls, memory) for name, calls, memory in kinds if calls)


def _of_shape(shape: tuple[int, ...], dtype: str, scope: Scope) -> list[Call]:
    return [
        Call(case, _later(plan_values, plan), plan.name)
        for plan in plans(dtype)
        if plan.shape == shape and not scope.capabilities.leaves_out(case := planned_call(plan))
    ]


def _special(dtype: str, scope: Scope) -> list[Call]:
    """Return calls with infinities, and with subnormal numbers: how a processor rounds is set for each thread."""
    fmt, kind = FORMATS[dtype], DTYPES[dtype]
    x, y, one = np.array([[0.0, 1.0, -1.0], [1.0, 0.0, 3.0]]), np.array([0, 1]), np.ones((), kind)
    endless = np.where(x == 3, np.inf, np.where(x == -1, -np.inf, x)).astype(kind)
    cases = [Case(endless, y, p, 0.5, None, "sum", one) for p in (1, 2)]
    if not scope.flush:
        small = float(fmt.smallest_normal) / 4
        cases += [Case((x * small).astype(kind), y, 1, 0.0, None, "sum", (one * small).astype(kind))]
        cases += [Case((x * small).astype(kind), y, 2, 0.0, None, "sum", one)]
    declared = [case for case in cases if not scope.capabilities.leaves_out(case)]
    return [Call(case, _later(legal_values, case), "a special value") for case in declared]


def _alike(dtype: str, scope: Scope) -> list[Call]:
    """Return the same call for each thread: what a call writes into its arguments for a while, others read."""
    if dtype not in corners.STEPS:
        return []
    corner = corners.Corner(corners.SIZES.index(SHARED), 0, dtype)
    case = corners.call(corner)
    if scope.capabilities.leaves_out(case):
        return []
    return [Call(case, cache(partial(corners.expectation, corner)), "with the same arrays")] * THREADS


@cache
def _stepped_cases(dtype: str) -> tuple[Case, ...]:
    """Return a call for each thread, of other logits and targets with the same options, on the exact grid."""
    rows, classes = STEPPED
    kind, found = DTYPES[dtype], []
    for k in range(THREADS):
        x = (integers(STREAM + 100 + k, rows * classes, 8).reshape(STEPPED) / 4).astype(kind)
        found.append(Case(x, (np.arange(rows) * 5 + k) % classes, 2, 0.125, None, "none", np.ones(rows, kind)))
    return tuple(found)


def _stepped(part: str, dtype: str, scope: Scope, alike: list[Call], mixed: list[Call]) -> list[Call]:
    """Return calls that all threads make at once: with the same options, with others, large ones, of other shapes."""
    if not _is_first(part, dtype, scope):
        return []
    same = _at_each_step(_stepped_cases(dtype), scope)
    made = zip_longest(same or alike[:THREADS], _apart(alike), _large(dtype, scope), _apart(mixed))
    return [call for calls in made for call in calls if call is not None]


def _averaged(part: str, dtype: str, scope: Scope) -> list[Call]:
    """Return a call for each thread with the reduction mean."""
    if not _is_first(part, dtype, scope):
        return []
    one = np.ones((), DTYPES[dtype])
    cases = [replace(case, reduction="mean", grad_output=one) for case in _stepped_cases(dtype)]
    return _at_each_step(cases, scope)


def _at_each_step(cases: Sequence[Case], scope: Scope) -> list[Call]:
    declared = [case for case in cases if not scope.capabilities.leaves_out(case)]
    return [Call(case, _later(legal_values, case), "at each step") for case in declared]


def _weighted(part: str, dtype: str, scope: Scope) -> list[Call]:
    """Return a call for each thread with weights, others in each."""
    if not _is_first(part, dtype, scope):
        return []
    found = []
    for k, case in enumerate(_stepped_cases(dtype)):
        weight = np.resize(WEIGHTS[k], case.input.shape[-1]).astype(case.input.dtype)
        grads = np.resize(GRADS[k], len(case.input)).astype(case.input.dtype)
        weighted = replace(case, weight=weight, grad_output=grads)
        if not scope.capabilities.leaves_out(weighted):
            found.append(Call(weighted, _later(grid_values, weighted), "with weights"))
    return found


def _after_others(last: list[Call], others: list[Call]) -> list[Call]:
    """Return another call for each thread and after it the last one a few times: so the threads are not in step."""
    return [call for other in _apart(others) for call in (other, *AFTER * last)] if last else []


def _both_parts(part: str, dtype: str, scope: Scope) -> list[Call]:
    """Return a loss and a gradient for each of two threads, one of which begins with the gradient.

    With more of them, two would wait for the lock that an implementation has for one part.
    """
    if part == "loss" or not _is_first(part, dtype, scope):
        return []
    found = []
    for k, case in enumerate(_stepped_cases(dtype)[:PAIR]):
        if not scope.capabilities.leaves_out(case):
            legal = _later(legal_values, case)
            both = [Call(case, legal, "beside the other part", name) for name in ("loss", part)]
            found += both[:: -1 if k % 2 else 1]
    return found


def _is_first(part: str, dtype: str, scope: Scope) -> bool:
    """Whether this is the one dtype of a part in which threads take turns at each step: it takes a while."""
    fine = [name for name in scope.dtypes if name in corners.STEPS]
    return bool(fine) and dtype == fine[(part == "gradient") % len(fine)]


def _apart(calls: list[Call]) -> list[Call]:
    """Return a call for each thread, from everywhere in a list: their options, or shapes, differ."""
    step = max(1, len(calls) // THREADS)
    return calls[step // 2 :: step][:THREADS]


def _beside_rejections(part: str, dtype: str, scope: Scope) -> list[Call]:
    """Return valid and invalid calls for each thread, in an order of its own: a thread's first ones come first."""
    if not _is_first(part, dtype, scope):
        return []
    cases = [
        replace(
            case,
            input=case.input[:SMALL, :SMALL],
            target=case.target[:SMALL] % SMALL,
            grad_output=np.ones(SMALL, case.input.dtype),
        )
        for case in _stepped_cases(dtype)
    ]
    cases = [case for case in cases if not scope.capabilities.leaves_out(case)]
    found = []
    for k, case in enumerate(cases):
        target = case.target.copy()
        target[k] = SMALL
        valid = Call(case, _later(legal_values, case), "beside calls that are rejected")
        invalid = Call(replace(case, target=target), "REJECT-4", "a target out of range")
        found += [valid if VALID[k] >> place & 1 else invalid for place in range(max(VALID).bit_length())]
    return found


def _sizes_by_steps(part: str, dtype: str, scope: Scope) -> list[Call]:
    return _of_sizes(dtype, scope, (*SEVERAL[:2], MOST[part])) if _is_first(part, dtype, scope) else []


def _of_sizes(dtype: str, scope: Scope, shapes: Sequence[tuple[int, int]] = SEVERAL) -> list[Call]:
    """Return calls of several shapes, so that all threads begin with the first shape and go on to the next."""
    found = (_large(dtype, scope, shape) for shape in shapes)
    alike = [(calls * THREADS)[:THREADS] for calls in found]  # the same call again where few options are declared
    return [call for calls in zip(*alike, strict=True) for call in calls]


@cache
def _large_cases(dtype: str, shape: tuple[int, int]) -> tuple[Case, ...]:
    """Return a call for each thread, on the exact grid, which is too coarse in halves: of other logits and options."""
    if dtype not in corners.STEPS:
        return ()
    kind, (rows, classes) = DTYPES[dtype], shape
    found = []
    for k, (p, reduction) in enumerate(OPTIONS):
        x = (integers(STREAM + k, rows * classes, 8).reshape(shape) / 4).astype(kind)
        y, weight = (np.arange(rows) * 5 + k) % classes, np.resize(WEIGHTS[k], classes).astype(kind)
        grads = np.resize(GRADS[k], rows if reduction == "none" else ()).astype(kind)
        found.append(Case(x, y, p, 0.125 + 0.25 * k, weight if k else None, reduction, grads))  # no ties
    return tuple(found)


@cache
def _large_value(dtype: str, shape: tuple[int, int], k: int) -> Values:
    return grid_values(_large_cases(dtype, shape)[k])


def _large(dtype: str, scope: Scope, shape: tuple[int, int] = LARGE) -> list[Call]:
    cases = enumerate(_large_cases(dtype, shape))
    declared = [(k, case) for k, case in cases if not scope.capabilities.leaves_out(case)]
    return [Call(case, _later(_large_value, dtype, shape, k), f"call {k}") for k, case in declared]


def _later(values: Callable[..., Values], *arguments: Any) -> Legal:
    """Return what says what is legal for a part, and computes it once: to plan takes no time for what is not run."""
    return cache(lambda part: expected_part(values(*arguments), part))


def _own(cases: list[Case], _: str) -> list[Arrays]:
    """Return nothing to hand over: each call has copies."""
    return [{} for _ in cases]


def _one_memory(cases: list[Case], part: str) -> list[Arrays]:
    """Return the first call's arrays for all of them."""
    return [_laid_out(cases[0], part, np.array)] * len(cases)


def _last_in_one_memory(cases: list[Case], part: str) -> list[Arrays]:
    """Return the last call's arrays for all that are that call."""
    arrays = _laid_out(cases[-1], part, np.array)
    return [arrays if case is cases[-1] else {} for case in cases]


def _with_gaps(cases: list[Case], part: str) -> list[Arrays]:
    return [_laid_out(case, part, every_other) for case in cases]


def _laid_out(case: Case, part: str, layout: Layout) -> Arrays:
    return {name: layout(array) for name in ARGUMENTS[part] if (array := getattr(case, name)) is not None}


def _item(dtype: str, part: str, name: str, calls: list[Call], memory: Memory) -> Item:
    def run(session: Session) -> Result:
        session.needs("threads")
        if memory is _with_gaps:
            session.needs("layouts")
        if name in STEPPING and session.subject.compiles:
            return Result("skip", reason="what is compiled has no steps")
        if name == REJECTED and session.subject.device not in ON_THE_HOST:
            return Result("skip", reason="these calls may end a process that others need")
        cases = [call.case for call in calls]
        given = memory(cases, part)  # anew: a backend that changes its arguments is not the last one
        made = [calling.Call(c.part or part, c.case, arrays) for c, arrays in zip(calls, given, strict=True)]
        rounds = 1 if name in STEPPING else FEWER_ROUNDS if name == OF_SIZES else ROUNDS
        for call in made if name in WARMED else ():  # what compiles something first does so here
            session.caller.call(call)
        threads = PAIR if name == BOTH_PARTS else THREADS
        return result_of(_first_finding(calls, session.caller.threads(made, threads, rounds), part))

    return Item(f"PURITY-3/{dtype}/{name}/{part}", "PURITY-3", dtype, part, run, kind="threads")


def _first_finding(calls: list[Call], seen: list[list[Observation]], part: str) -> Finding | None:
    """Judge everything that the threads saw."""
    for call, observations in zip(calls, seen, strict=True):
        why = f"several threads call at once; {call.name}"
        for observation in observations:
            if not isinstance(call.legal, str):
                finding = judge(call.part or part, observation, call.legal(call.part or part), why)
            elif finding := judge_rejection(observation, call.legal):
                finding = replace(finding, message=f"{why}: {finding.message}", clause="")
            if finding:
                return finding
    return None
