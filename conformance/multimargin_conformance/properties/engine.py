"""How a property is tried: Hypothesis draws calls, and shrinks the first that fails."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar

import hypothesis
import numpy as np
from hypothesis import HealthCheck, Phase, Verbosity, given
from hypothesis import strategies as st
from hypothesis.errors import Flaky, Unsatisfiable
from numpy.typing import NDArray

from multimargin_conformance.checks.single import part_of
from multimargin_conformance.judge import Finding, judge_form, judge_values
from multimargin_conformance.judge import no_result as nothing_returned
from multimargin_conformance.outcome import Returned
from multimargin_conformance.properties.provider import BACKEND
from multimargin_conformance.session import PASS, Result, Session, Settled, result_of
from multimargin_reference.case import Case
from multimargin_reference.exact_values import exact_values
from multimargin_reference.expectation import Enclosures

MOST_FAILURES = 150  # that are seen while a call is made smaller
MOST_KEPT = 16  # drawn values of a search, up to which they are kept for the next backend
SETTINGS = hypothesis.settings(
    backend=BACKEND,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.generate, Phase.shrink),
    report_multiple_bugs=False,
    verbosity=Verbosity.quiet,
    print_blob=False,
)
Floats = NDArray[np.float64]
T = TypeVar("T")


class Broken(Exception):  # noqa: N818 (named for what happened)
    """A property that does not hold, as Hypothesis sees it."""


class _Over(BaseException):
    """Ends the search from inside: there is enough to know, or the backend is not called any more."""


class Search:
    """One search for a failure, and what it has seen."""

    def __init__(self, name: str, number: int, *, shrinks: bool = True) -> None:
        """name, number: what the seed is made of, so that the same is drawn in every run and on every machine.

        shrinks: whether the first failure is made smaller.
        """
        self.seed = zlib.crc32(f"{name}/{number}".encode())
        self.findings: list[Finding] = []
        self._most = MOST_FAILURES if shrinks else 0
        self._settled: Settled | None = None

    def seeded(self, test: T) -> T:
        """Return a test, or a state machine, that draws from the search's seed."""
        return hypothesis.seed(self.seed)(test)  # type: ignore[type-var] # it takes a machine too

    def settings(self, count: int, **more: Any) -> hypothesis.settings:
        """Return Hypothesis's settings for so many drawn values."""
        return hypothesis.settings(SETTINGS, max_examples=count, **more)

    def broken(self, finding: Finding) -> None:
        """Note a failure. Raises Broken, or ends the search when there were enough."""
        self.findings.append(finding)
        if len(self.findings) > self._most:
            raise _Over
        raise Broken(finding.message)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """End the search where the session makes no more calls."""
        try:
            yield
        except Settled as reason:
            self._settled = reason
            raise _Over from None

    def result(self, run: Callable[[], None]) -> Result:
        """Run a test to its end; return what it amounts to: the last failure, which is the smallest. Raises Settled."""
        try:
            run()
        except (Broken, Flaky, _Over):
            if self._settled and not self.findings:
                raise self._settled from None
            return result_of(self.findings[-1])
        except Unsatisfiable:
            return Result("skip", reason="no call of this kind is declared")
        return result_of(self.findings[-1] if self.findings else None)


class Calls:
    """A session's calls, whose results are compared. clause: what a failure breaks, if not the item's."""

    def __init__(self, session: Session, search: Search, case: Case, part: str) -> None:
        """case, part: what was drawn; a failure is about the call of this part that was answered wrongly."""
        self.session, self.search, self.case, self.part_checked, self.clause = session, search, case, part, ""
        self._made: list[tuple[Case, NDArray[Any]]] = []

    def loss(self, case: Case) -> Floats:
        """Return the loss of a call as doubles, in its shape. Raises Broken where it is no result of this call."""
        return self._result("loss", case, case.target.shape if case.reduction == "none" else ())

    def gradient(self, case: Case) -> Floats:
        """Return the gradient of a call in the same way."""
        return self._result("gradient", case, case.input.shape)

    def part(self, part: str, case: Case) -> Floats:
        """Return the loss or the gradient."""
        return self.loss(case) if part == "loss" else self.gradient(case)

    def _result(self, part: str, case: Case, shape: tuple[int, ...]) -> Floats:
        observation = self.session.function(part)(case)
        self.case = case if part == self.part_checked else self.case
        if observation.changed:
            names = " and ".join(observation.changed)
            self.broken(Finding(f"{names} changed during the call, but should be left as given", clause="PURITY-1"))
        outcome = observation.outcome
        if not isinstance(outcome, Returned):
            self.broken(nothing_returned(part, outcome))
        assert isinstance(outcome, Returned)
        none = np.zeros(0)
        if finding := judge_form(part, outcome.value, Enclosures(shape, case.dtype, none, none, none)):
            self.broken(finding)
        if part == self.part_checked:
            self._made.append((case, outcome.value))
        return outcome.value.astype(np.float64)

    def broken(self, finding: Finding) -> None:
        """Raise Broken, about the latest call."""
        self.search.broken(replace(finding, clause=finding.clause or self.clause, case=self.case))

    def _wrong(self) -> Case:
        """Return the first call whose own result is not legal: of two that disagree, one is wrong."""
        for case, value in self._made:
            if (values := exact_values(case)) and part_of(values, self.part_checked).outside(value).any():
                return case
        return self.case

    def same(self, part: str, got: Floats, should: Floats, why: str) -> None:
        """Raise Broken where a result differs from what it should be in any element; a NaN does. why: in words."""
        self._within(part, got, should, should, why)

    def at_least(self, part: str, got: Floats, bound: Floats, why: str) -> None:
        """Raise Broken where a result is below its bound in any element."""
        self._within(part, got, bound, np.full_like(bound, np.inf), why)

    def _within(self, part: str, got: Floats, lo: Floats, hi: Floats, why: str) -> None:
        low, high = (np.broadcast_to(end, got.shape).reshape(-1) for end in (lo, hi))
        expected = Enclosures(got.shape, self.case.dtype, low, high, low)
        if finding := judge_values(part, got.astype(self.case.input.dtype), expected, why):
            self.case = self._wrong()
            self.broken(finding)


def tried(
    session: Session,
    strategy: st.SearchStrategy[Any],
    test: Callable[[Calls, Any, str], None],
    search: Search,
    part: str,
    count: int,
    known: list[Any],
) -> Result:
    """Return whether a test holds for `count` drawn values (each with a `case`); Calls.broken says where it does not.

    known: the values of an earlier search like this one, if it has passed: they are drawn again only where one fails,
    to be made smaller. Empty, they are put there. Raises Settled as the session does.
    """

    def once(value: Any) -> None:
        with search.watching():
            test(Calls(session, search, value.case, part), value, part)

    passed = []

    @search.settings(count)
    @given(strategy)
    def drawn(value: Any) -> None:
        once(value)
        passed.append(value)

    def run() -> None:
        if known:
            try:
                for value in known:
                    once(value)
                return
            except Broken:
                pass
        search.seeded(drawn)()

    result = search.result(run)
    if not known and result == PASS and count <= MOST_KEPT:
        known.extend(passed)
    return result
