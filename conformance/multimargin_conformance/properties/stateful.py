"""Calls one after the other on one object: each answer is that of its own call, and stays what it was.

A Hypothesis state machine draws the order: calls of any shape, dtype and options, earlier calls again, arguments that
are changed between calls, earlier results looked at again and overwritten. All calls are on the exact grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.reporting import with_reporter
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, rule, run_state_machine_as_test

from multimargin_conformance.calling import ARGUMENTS, Arrays
from multimargin_conformance.capabilities import Capabilities
from multimargin_conformance.checks.item import Generated
from multimargin_conformance.checks.single import part_of
from multimargin_conformance.judge import judge
from multimargin_conformance.outcome import Observation
from multimargin_conformance.properties.drawing import Drawn, calls, is_exact, with_logits
from multimargin_conformance.properties.engine import Search
from multimargin_conformance.session import Result, Session
from multimargin_reference.case import Case
from multimargin_reference.exact_values import legal_values
from multimargin_reference.expectation import Enclosures

STEPS = 10  # of one run of the machine
_OWN: st.SearchStrategy[Any] = st.runner()  # the machine that a rule runs on


@dataclass(eq=False)
class Memory:
    """Arrays that calls are made with, and the call that they hold now."""

    case: Case
    part: str
    arrays: Arrays


@dataclass(frozen=True, eq=False)
class Made:
    """What was seen of one call, and what is legal for it."""

    case: Case
    memory: Memory
    seen: Observation
    expected: Enclosures


class Orders(RuleBasedStateMachine):
    """The calls of one run. Hypothesis keeps what it knows of a class for ever, so there is one for all backends."""

    made: Bundle[Made] = Bundle("made")

    def __init__(self, session: Session, search: Search, drawn: st.SearchStrategy[Drawn], parts: Sequence[str]) -> None:
        """drawn: the calls; parts: "loss", or "gradient" too."""
        super().__init__()
        self.session, self.search, self.drawn, self.parts = session, search, drawn, parts
        self.calls = 0

    @rule(target=made, value=_OWN.flatmap(lambda m: m.drawn), part=_OWN.flatmap(lambda m: st.sampled_from(m.parts)))
    def call(self, value: Drawn, part: str) -> Made:
        """Make a call with fresh arrays."""
        return self._called(Memory(value.case, part, _arguments(value.case, part)), "a call after others")

    @rule(target=made, before=made)
    def again(self, before: Made) -> Made:
        """Make an earlier call again, with the very same arrays."""
        return self._called(before.memory, "an earlier call, made again")

    @rule(target=made, before=made)
    def with_other_logits(self, before: Made) -> Made:
        """Make a call with the arrays of an earlier one, after other logits were written into them."""
        memory = before.memory
        memory.case = _other_logits(memory.case)
        array = memory.arrays["input"]
        assert array is not None
        array[...] = memory.case.input
        self.session.caller.write({"input": array})
        return self._called(memory, "the arrays of an earlier call, with other logits")

    @rule(before=made)
    def look(self, before: Made) -> None:
        """Look at an earlier result again."""
        self._judge(before, self.session.caller.now(before.seen), "looked at again after other calls")

    @rule(before=consumes(made))
    def overwrite(self, before: Made) -> None:
        """Overwrite an earlier result, as its owner may."""
        self.session.caller.fill(before.seen, 77)

    def _called(self, memory: Memory, why: str) -> Made:
        self.calls += 1
        case, part = memory.case, memory.part
        session, arrays = self.session, memory.arrays
        with self.search.watching():
            hold = session.offers("held")
            seen = session.kept(part, case, **arrays) if hold else session.function(part)(case, **arrays)
        made = Made(case, memory, seen, part_of(legal_values(case), part))
        self._judge(made, seen, why)
        return made

    def _judge(self, made: Made, seen: Observation, why: str) -> None:
        finding = judge(made.memory.part, seen, made.expected, f"{why}; call {self.calls} of one object")
        if finding:
            self.search.broken(replace(finding, case=made.case))


def try_orders(session: Session, dtypes: Sequence[str], part: str, generated: Generated) -> Result:
    """Return whether every call has its own answer in all runs of the machine. Raises Settled as the session does.

    dtypes: the first is that of most calls. part: "gradient" makes gradients beside losses.
    """
    search = Search(f"orders/{dtypes[0]}/{part}", generated.seed, shrinks=session.shrinks)
    parts = ("loss", "gradient") if part == "gradient" else ("loss",)
    drawn = _drawn(tuple(dtypes), session.subject.capabilities)
    limits = search.settings(max(1, generated.examples // 2), stateful_step_count=STEPS)

    def made() -> Orders:
        return Orders(session, search, drawn, parts)

    def run() -> None:
        with with_reporter(lambda _text: None):
            run_state_machine_as_test(search.seeded(made), settings=limits)  # type: ignore[arg-type] # a function will do

    return search.result(run)


@cache
def _drawn(dtypes: tuple[str, ...], capabilities: Capabilities) -> st.SearchStrategy[Drawn]:
    return st.one_of([calls(dtype, capabilities) for dtype in (dtypes[0], *dtypes)])


def _arguments(case: Case, part: str) -> Arrays:
    given = {name: getattr(case, name) for name in ARGUMENTS[part]}
    return {name: array.copy() for name, array in given.items() if array is not None}


def _other_logits(case: Case) -> Case:
    """Return the call with every row's logits moved on by one class, or the call itself where that would round."""
    moved = with_logits(case, np.roll(case.input, 1, axis=-1))
    return moved if is_exact(moved) else case
