"""PURITY-4 over calls of other kinds: a result stays what it is whatever is called afterwards.

A buffer may be shared by two functions, by calls of two dtypes, by what is rejected, large or empty. No call in between
has the arguments of the one whose result is held, so that what it leaves behind is something else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import numpy as np

from multimargin_conformance.checks.contexts import chosen, chosen_larger, valid
from multimargin_conformance.checks.item import Item, Scope
from multimargin_conformance.checks.many import bits
from multimargin_conformance.isolation.launch import ON_THE_HOST
from multimargin_conformance.judge import Finding, no_result
from multimargin_conformance.outcome import Raised, Returned
from multimargin_conformance.session import PASS, Result, Session, result_of
from multimargin_reference.case import Case
from multimargin_reference.formats import DTYPES
from multimargin_vectors.draft import uniform

LARGE = (101, 103)  # more than 10_000 logits
SELDOM = 4  # one result of so many is held over a large call
OTHER = {"loss": "gradient", "gradient": "loss"}
CLAUSES = {"PURITY-4": ["results held over calls of other kinds"]}
CHANGED = "changed"
Between = tuple[str, str, Case]  # what kind of call, of which part


def items(scope: Scope) -> Iterator[Item]:
    """Yield one item a dtype and part."""
    for dtype in scope.dtypes:
        every = [valid(c, dtype) for c in (*chosen(dtype, scope.dtypes), *chosen_larger(dtype, scope.dtypes))]
        cases = [case for case in every if not scope.capabilities.leaves_out(case)]
        for part in ("loss", "gradient") if scope.gradient else ("loss",):
            if cases:
                yield _item(dtype, part, cases, scope)


def _item(dtype: str, part: str, cases: list[Case], scope: Scope) -> Item:
    def run(session: Session) -> Result:
        session.needs("held")
        parts = ("loss", "gradient") if scope.gradient else ("loss",)
        rejects = session.subject.device in ON_THE_HOST and not session.subject.compiles
        for k, case in enumerate(cases):
            between = _between(case, part, scope.dtypes, large=k % SELDOM == 0, rejected=rejects)
            made = [one for one in between if one[1] in parts and not scope.capabilities.leaves_out(one[2])]
            if finding := _held(session, part, case, made):
                return result_of(replace(finding, case=case))
        return PASS

    return Item(f"PURITY-4/{dtype}/held-over-others/{part}", "PURITY-4", dtype, part, run, kind="held")


def _held(session: Session, part: str, case: Case, between: list[Between]) -> Finding | None:
    """Make a call and those between, and look at its result again; where it changed, after each of them alone."""
    finding = _after(session, part, case, between)
    if finding is None or finding.message != CHANGED:
        return finding
    alone = ((kind, _after(session, part, case, [one])) for one in between for kind in one[:1])
    kind = next((kind for kind, found in alone if found and found.message == CHANGED), "one of several")
    return Finding(f"{part} changed in a later call, {kind}, but should be left as it is", {"part": part})


def _after(session: Session, part: str, case: Case, between: list[Between]) -> Finding | None:
    first = session.kept(part, case)
    before = bits(first)
    for _, other_part, other in between:
        observation = session.function(other_part)(other)
        if not isinstance(observation.outcome, Raised | Returned):  # and with it what was held
            return no_result(other_part, observation.outcome)
    return None if bits(session.caller.now(first)) == before else Finding(CHANGED)


@cache
def _between(case: Case, part: str, dtypes: tuple[str, ...], *, large: bool, rejected: bool) -> tuple[Between, ...]:
    """Return the calls after the one whose result is held."""
    turned = replace(case, input=np.ascontiguousarray(case.input[..., ::-1]), margin=case.margin + 1)
    found = [
        (f"a {OTHER[part]} of the same shape", OTHER[part], turned),
        ("one of another power", part, replace(turned, p=3 - case.p)),
        ("one of no rows", part, _of_shape(case, (0, case.input.shape[-1]))),
        ("one of one row without a batch", part, _of_shape(case, case.input.shape[-1:])),
        *((f"one in {dtype}", part, _in_dtype(turned, dtype)) for dtype in dtypes if dtype != case.dtype),
        *((f"one of {LARGE[0]}x{LARGE[1]} logits", one, _of_shape(case, LARGE)) for one in OTHER if large),
    ]
    if rejected:
        beyond = replace(turned, target=np.full_like(case.target, case.input.shape[-1]))
        found += [(f"a {one} of a target out of range", one, beyond) for one in OTHER]
        found += [("a loss of another p that is rejected", "loss", replace(turned, p=3))]
    return tuple(found)


def _of_shape(case: Case, shape: tuple[int, ...]) -> Case:
    """Return a call with a case's options and other logits, without weights."""
    x, batch = uniform(1, shape, 0.5, 4.0).astype(case.input.dtype), shape[:-1]
    grads = np.ones(batch if case.reduction == "none" else (), case.input.dtype)
    y = np.zeros(batch, np.int64)
    return replace(case, input=x, target=y, weight=None, margin=2.0, grad_output=grads)


def _in_dtype(case: Case, dtype: str) -> Case:
    kind = DTYPES[dtype]
    weight = None if case.weight is None else case.weight.astype(kind)
    grads = None if case.grad_output is None else case.grad_output.astype(kind)
    return replace(case, input=case.input.astype(kind), weight=weight, grad_output=grads)
