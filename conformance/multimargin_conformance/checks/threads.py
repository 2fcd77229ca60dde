"""PURITY-3 from several threads: what one thread passes must not reach another one's result."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from multimargin_conformance import calling
from multimargin_conformance.calling import ARGUMENTS, Arrays
from multimargin_conformance.checks import thread_calls
from multimargin_conformance.checks.item import Item, Scope
from multimargin_conformance.checks.layouts import Layout, every_other
from multimargin_conformance.checks.purity import chosen, expected_part
from multimargin_conformance.checks.thread_calls import ALIKE, LONG, MANY_ROWS, PAIR, SINGLE, THREADS, Call
from multimargin_conformance.isolation.launch import ON_THE_HOST
from multimargin_conformance.judge import Finding, judge, judge_rejection
from multimargin_conformance.outcome import Observation
from multimargin_conformance.session import Result, Session, result_of
from multimargin_reference.case import Case

ROUNDS = 8
FEW = 4  # calls of many rows
FEWER_ROUNDS = 4  # of those: each takes a while
BY_STEPS, REJECTED = "threads-by-steps", "threads-beside-rejections"
BOTH_PARTS = f"{BY_STEPS}-both-parts"
HOW = ("sizes", "one-memory", "strided", "means", "no-batch", "unseen")  # each has so many operations of its own
STEPPING = (BY_STEPS, REJECTED, BOTH_PARTS, *(f"{BY_STEPS}-{how}" for how in HOW))
OF_SIZES, OF_LARGE = "threads-of-sizes", "threads-large"
UNSEEN = f"{BY_STEPS}-unseen"
WARMED = (*(name for name in STEPPING if name != UNSEEN), OF_SIZES)
Memory = Callable[[list[Case], str], list[Arrays]]  # what is handed over in place of each call's own arrays
CLAUSES = {"PURITY-3": ["calls from several threads"]}


def items(scope: Scope) -> Iterator[Item]:
    """Yield the items of each dtype and part."""
    for dtype in scope.dtypes:
        for part in ("loss", "gradient") if scope.gradient else ("loss",):
            mixed = [Call(v.case, partial(expected_part, v), f"vector {v.id}") for v in chosen(scope, dtype)]
            special = [*mixed, *thread_calls.special(dtype, scope)]
            alike, single = (thread_calls.of_shape(shape, dtype, scope) for shape in (ALIKE, SINGLE))
            kinds: tuple[tuple[str, list[Call], Memory], ...] = (
                ("threads", special, _own),
                ("threads-one-shape", alike, _own),
                (BY_STEPS, thread_calls.stepped(part, dtype, scope, alike, mixed), _own),
                ("threads-no-batch", single, _own),
                (REJECTED, thread_calls.beside_rejections(part, dtype, scope), _own),
                (OF_LARGE, thread_calls.large_and_alike(dtype, scope), _own),
                ("threads-long", thread_calls.large(dtype, scope, LONG[part]), _own),
                (OF_SIZES, thread_calls.of_sizes(dtype, scope), _own),
                ("threads-one-memory", thread_calls.alike(dtype, scope), _one_memory),
                ("threads-strided", thread_calls.of_shape(MANY_ROWS, dtype, scope)[:FEW], _with_gaps),
                ("threads-strided-large", thread_calls.large(dtype, scope), _with_gaps),
                (f"{BY_STEPS}-sizes", thread_calls.sizes_by_steps(part, dtype, scope), _own),
                (UNSEEN, thread_calls.unseen(part, dtype, scope), _own),
                (f"{BY_STEPS}-means", thread_calls.averaged(part, dtype, scope), _own),
                (
                    f"{BY_STEPS}-no-batch",
                    thread_calls.apart(single) if thread_calls.is_first(part, dtype, scope) else [],
                    _own,
                ),
                (
                    f"{BY_STEPS}-one-memory",
                    thread_calls.after_others(thread_calls.weighted(part, dtype, scope)[1:2], mixed),
                    _last_in_one_memory,
                ),
                (f"{BY_STEPS}-strided", thread_calls.weighted(part, dtype, scope), _with_gaps),
                (BOTH_PARTS, thread_calls.both_parts(part, dtype, scope), _own),
            )
            yield from (_item(dtype, part, name, calls, memory) for name, calls, memory in kinds if calls)


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
        wanted = [call for call in calls if not call.borne or _is_right(session, call, part)]
        given = memory([call.case for call in wanted], part)  # anew: a backend that changes them is not the last one
        made = [calling.Call(c.part or part, c.case, arrays) for c, arrays in zip(wanted, given, strict=True)]
        rounds = 1 if name in STEPPING else FEWER_ROUNDS if name in (OF_SIZES, OF_LARGE) else ROUNDS
        for call in made if name in WARMED else ():  # what compiles something first does so here
            session.caller.call(call)
        threads = PAIR if name == BOTH_PARTS else THREADS
        return result_of(_first_finding(wanted, session.threads(made, threads, rounds), part))

    return Item(f"PURITY-3/{dtype}/{name}/{part}", "PURITY-3", dtype, part, run, kind="threads")


def _is_right(session: Session, call: Call, part: str) -> bool:
    assert not isinstance(call.legal, str)
    return judge(part, session.function(part)(call.case), call.legal(part), call.name) is None


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
