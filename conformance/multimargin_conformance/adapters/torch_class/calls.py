"""Calling an implementation through PyTorch, and turning what comes back into a verdict."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from multimargin_conformance.adapters.tensors import to_array, to_tensor
from multimargin_conformance.capabilities import Capabilities
from multimargin_conformance.checks.item import Item
from multimargin_conformance.judge import Finding, judge, no_result
from multimargin_conformance.outcome import Observation, Outcome, Raised, Returned, attempt
from multimargin_conformance.session import Result, Session, result_of
from multimargin_reference.case import Case
from multimargin_reference.expectation import Enclosures, expected_values

Criterion = Callable[[Tensor, Tensor], Any]


@dataclass(frozen=True)
class Implementation:
    """What is checked: the function, the class where there is one, and on which device.

    Where there is a class, every call goes through it.
    """

    function: Callable[..., Any]
    cls: Callable[..., Any] | None
    device: str
    capabilities: Capabilities

    def module(self, *arguments: Any, **options: Any) -> Any:
        """Construct the class."""
        assert self.cls is not None
        return self.cls(*arguments, **options)

    def tensor(self, array: Any) -> Any:
        """Return an array as a tensor on the device, with memory of its own."""
        return None if array is None else to_tensor(array, self.device).clone()

    def criterion(self, case: Case, weight: Tensor | None = None) -> Criterion:
        """Return the case's loss as a function of input and target; `weight` takes the place of the case's."""
        given = self.tensor(case.weight) if weight is None else weight
        return self.criterion_of(given, p=case.p, margin=case.margin, reduction=case.reduction)

    def criterion_of(self, weight: Tensor | None, **options: Any) -> Criterion:
        """Return the loss with these options as a function of input and target."""
        if self.cls is not None:
            made: Criterion = self.module(weight=weight, **options)
            return made
        return lambda x, y: self.function(x, y, weight=weight, **options)

    def arguments(self, case: Case) -> tuple[Tensor, Tensor, Tensor]:
        """Return input, as a leaf that requires its gradient, target and grad_output."""
        return (
            self.tensor(case.input).requires_grad_(),
            self.tensor(case.target),
            self.tensor(case.grad_output),
        )

    def offers(self, case: Case) -> bool:
        """Whether the case is for this implementation."""
        return not self.capabilities.leaves_out(case)


Body = Callable[[Implementation, Case], Any]
Fact = Callable[[Implementation], str]


def item(clause: str, dtype: str, name: str, part: str, find: Callable[[Session], Finding | None]) -> Item:
    """Return an item whose findings all speak about its own clause."""

    def run(session: Session) -> Result:
        with _quiet():
            finding = find(session)
        return result_of(None if finding is None else replace(finding, clause=""))

    return Item(f"{clause}/{dtype}/{name}/{part}", clause, dtype, part, run)


@contextmanager
def _quiet() -> Iterator[None]:
    """Tracing logs much about what it cannot do; what matters of it is the verdict."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def outcome_of(body: Body, implementation: Implementation, case: Case) -> Outcome:
    """Run a check's body; whatever the implementation does, raising included, is an outcome."""
    return attempt(lambda: to_array(body(implementation, case)))


def expected_part(case: Case, part: str) -> Enclosures:
    """Return what is legal for the loss or the gradient of a valid case."""
    values = expected_values(case)
    expected = values.loss if part == "loss" else values.gradient
    assert expected is not None
    return expected


def value_finding(part: str, outcome: Outcome, expected: Enclosures, how: str) -> Finding | None:
    """Return what is wrong with a loss or a gradient that was got in the way `how`."""
    finding = judge(part, Observation(outcome), expected, how)
    if finding is not None and not isinstance(outcome, Returned):
        return replace(finding, message=f"{finding.message} ({how})")
    return finding


def value_item(implementation: Implementation, clause: str, name: str, part: str, case: Case, body: Body) -> Item:
    """Return an item for a body that returns the case's loss or gradient; its docstring says how."""

    def find(_session: Session) -> Finding | None:
        outcome = outcome_of(body, implementation, case)
        return value_finding(part, outcome, expected_part(case, part), how(body))

    return item(clause, case.dtype, name, part, find)


def fact_item(implementation: Implementation, clause: str, dtype: str, name: str, fact: Fact) -> Item:
    """Return an item for a fact: a function that returns what is wrong, "" where nothing is."""

    def find(_session: Session) -> Finding | None:
        problems: list[str] = []
        outcome = attempt(lambda: problems.append(fact(implementation)))
        if not problems:  # it ended with an error
            finding = no_result("loss", outcome)
            return replace(finding, message=f"{finding.message} ({how(fact)})")
        return Finding(problems[0]) if problems[0] else None

    return item(clause, dtype, name, "loss", find)


def rejection_item(implementation: Implementation, clause: str, dtype: str, name: str, call: Fact) -> Item:
    """Return an item for a call that must raise; its docstring, or what it returns, says which it is."""

    def find(_session: Session) -> Finding | None:
        said: list[str] = []
        outcome = attempt(lambda: said.append(call(implementation)))
        if not said:
            return None if isinstance(outcome, Raised) else no_result("loss", outcome)
        return Finding(f"{said[0]} was accepted, but should raise an error")

    return item(clause, dtype, name, "loss", find)


def how(body: Callable[..., Any]) -> str:
    """Return in words what a body does: its docstring, without the full stop."""
    text = (body.__doc__ or "").strip().split("\n")[0].rstrip(".")
    return text[:1].lower() + text[1:]
