"""CLASS-5: the gradient by autograd, in the ways in which training code asks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from multimargin_conformance.adapters.torch_class.calls import (
    Body,
    Implementation,
    expected_part,
    fact_item,
    how,
    item,
    outcome_of,
    value_finding,
    value_item,
)
from multimargin_conformance.adapters.torch_class.cases import CALLS, at_the_kink, batched, inactive, ones, scaled
from multimargin_conformance.checks.item import Item
from multimargin_conformance.judge import Finding
from multimargin_conformance.outcome import Raised
from multimargin_conformance.session import Session
from multimargin_reference.case import Case


@dataclass(frozen=True)
class Way:
    """One way to get the gradient, and the case whose gradient that is."""

    body: Body
    meaning: Callable[[Case], Case] = lambda case: case


def items(implementation: Implementation, dtypes: tuple[str, ...]) -> Iterator[Item]:
    """Yield the items of CLASS-5."""
    for dtype in dtypes:
        for call, make in CALLS.items():
            for name, way in WAYS.items() if implementation.offers(make(dtype)) else ():
                yield _way(implementation, f"{name}-{call}", make(dtype), way)
    for name, case in _edges(dtypes[0]).items():
        if implementation.offers(case):
            yield _way(implementation, name, case, WAYS["leaf"])
    yield from _rest(implementation, dtypes[0])


def _edges(dtype: str) -> dict[str, Case]:
    kinks = {f"leaf-kink-p{p}": at_the_kink(dtype, p) for p in (1, 2)}
    return kinks | {f"leaf-inactive-p{p}": inactive(dtype, p) for p in (1, 2)}


def _rest(i: Implementation, dtype: str) -> Iterator[Item]:
    for p in i.capabilities.p:
        if i.offers(case := batched(dtype, p=p, reduction="mean")):
            for name, body in CHANGES.items():
                yield _right_or_raised(i, f"{name}-p{p}", case, body)
    if i.offers(case := batched(dtype, reduction="mean")):
        for name, fact in GRAPHS.items():
            yield fact_item(i, "CLASS-5", dtype, name, _with_case(fact, case))
        for name, body in WITHOUT_GRAPH.items():
            yield value_item(i, "CLASS-5", name, "loss", case, body)


def _way(implementation: Implementation, name: str, case: Case, way: Way) -> Item:
    def find(_session: Session) -> Finding | None:
        expected = expected_part(way.meaning(case), "gradient")
        return value_finding("gradient", outcome_of(way.body, implementation, case), expected, how(way.body))

    return item("CLASS-5", case.dtype, name, "gradient", find)


def _right_or_raised(implementation: Implementation, name: str, case: Case, body: Body) -> Item:
    """What changes before backward is noticed, or does not matter: never a wrong gradient."""

    def find(_session: Session) -> Finding | None:
        outcome = outcome_of(body, implementation, case)
        if isinstance(outcome, Raised):
            return None
        return value_finding("gradient", outcome, expected_part(case, "gradient"), how(body))

    return item("CLASS-5", case.dtype, name, "gradient", find)


def _leaf(i: Implementation, case: Case) -> Any:
    """loss.backward(g), x.grad."""
    x, y, g = i.arguments(case)
    i.criterion(case)(x, y).backward(g)
    return x.grad


def _non_leaf(i: Implementation, case: Case) -> Any:
    """The gradient of a leaf behind the input."""
    x, y, g = i.arguments(case)
    i.criterion(case)(x * 2 / 2, y).backward(g)
    return x.grad


def _transposed(i: Implementation, case: Case) -> Any:
    """The gradient of a leaf whose transpose is the input."""
    x, y, g = i.arguments(case)
    leaf = x.detach().mT.contiguous().requires_grad_() if x.dim() == 2 else x
    i.criterion(case)(leaf.mT if x.dim() == 2 else leaf, y).backward(g)
    return leaf.grad.mT if x.dim() == 2 and leaf.grad is not None else leaf.grad


def _accumulated(i: Implementation, case: Case) -> Any:
    """Twice loss.backward(g) of calls of their own, x.grad added up."""
    x, y, g = i.arguments(case)
    criterion = i.criterion(case)
    for _ in range(2):
        criterion(x, y).backward(g)
    return x.grad


def _retained(i: Implementation, case: Case) -> Any:
    """The second of two backward passes with retain_graph=True."""
    x, y, g = i.arguments(case)
    loss = i.criterion(case)(x, y)
    torch.autograd.grad(loss, x, g, retain_graph=True)
    return torch.autograd.grad(loss, x, g)[0]


def _created(i: Implementation, case: Case) -> Any:
    """torch.autograd.grad(loss, x, g, create_graph=True)."""
    x, y, g = i.arguments(case)
    return torch.autograd.grad(i.criterion(case)(x, y), x, g, create_graph=True)[0]


def _summed(i: Implementation, case: Case) -> Any:
    """loss.sum().backward(), whose grad_output has stride 0."""
    x, y, _ = i.arguments(case)
    i.criterion(case)(x, y).sum().backward()
    return x.grad


def _used_twice(i: Implementation, case: Case) -> Any:
    """(loss + 3 * loss).backward(g)."""
    x, y, g = i.arguments(case)
    loss = i.criterion(case)(x, y)
    (loss + 3 * loss).backward(g)
    return x.grad


def _interleaved(i: Implementation, case: Case) -> Any:
    """loss.backward(g) after another call of the same module."""
    x, y, g = i.arguments(case)
    criterion = i.criterion(case)
    loss = criterion(x, y)
    other = (x.detach() * -2).requires_grad_()
    criterion(other, (y + 1) % x.shape[-1])
    loss.backward(g)
    return x.grad


def _result_scaled_in_place(i: Implementation, case: Case) -> Any:
    """loss.detach().mul_(5) before loss.backward(g)."""
    x, y, g = i.arguments(case)
    loss = i.criterion(case)(x, y)
    with torch.no_grad():
        loss.mul_(5)
    loss.backward(g)
    return x.grad


WAYS = {
    "leaf": Way(_leaf),
    "non-leaf": Way(_non_leaf),
    "transposed": Way(_transposed),
    "accumulated": Way(_accumulated, lambda case: scaled(case, 2)),
    "retain-graph": Way(_retained),
    "create-graph": Way(_created),
    "sum-of-result": Way(_summed, ones),
    "used-twice": Way(_used_twice, lambda case: scaled(case, 4)),
    "interleaved": Way(_interleaved),
}


def _input_changed(i: Implementation, case: Case) -> Any:
    """The input changed in place between forward and backward."""
    x, y, g = i.arguments(case)
    logits = x * 1
    loss = i.criterion(case)(logits, y)
    logits.mul_(-1)
    loss.backward(g)
    return x.grad


def _target_changed(i: Implementation, case: Case) -> Any:
    """The target changed in place between forward and backward."""
    x, y, g = i.arguments(case)
    loss = i.criterion(case)(x, y)
    y.add_(1)
    loss.backward(g)
    return x.grad


def _weight_changed(i: Implementation, case: Case) -> Any:
    """The weight changed in place between forward and backward."""
    x, y, g = i.arguments(case)
    weight = i.tensor(case.weight)
    loss = i.criterion(case, weight)(x, y)
    weight.mul_(-3)
    loss.backward(g)
    return x.grad


CHANGES: dict[str, Body] = {
    "input-changed": _input_changed,
    "target-changed": _target_changed,
    "weight-changed": _weight_changed,
    "result-changed": _result_scaled_in_place,
}


def _with_case(fact: Callable[[Implementation, Case], str], case: Case) -> Callable[[Implementation], str]:
    def bound(i: Implementation) -> str:
        return fact(i, case)

    bound.__doc__ = fact.__doc__
    return bound


def _graph(i: Implementation, case: Case) -> str:
    """criterion(x, y).requires_grad where x requires its gradient."""
    x, y, _ = i.arguments(case)
    return "" if i.criterion(case)(x, y).requires_grad else "loss.requires_grad = False, but x.requires_grad = True"


def _no_graph_for_constants(i: Implementation, case: Case) -> str:
    """criterion(x, y).requires_grad where x does not require its gradient."""
    x, y, _ = i.arguments(case)
    return _tracked(i.criterion(case)(x.detach(), y), "x.requires_grad = False")


def _no_graph_under_no_grad(i: Implementation, case: Case) -> str:
    """criterion(x, y).requires_grad under torch.no_grad()."""
    x, y, _ = i.arguments(case)
    with torch.no_grad():
        return _tracked(i.criterion(case)(x, y), "the call is under torch.no_grad()")


def _no_graph_in_inference(i: Implementation, case: Case) -> str:
    """criterion(x, y).is_inference() under torch.inference_mode()."""
    x, y, _ = i.arguments(case)
    with torch.inference_mode():
        return _tracked(i.criterion(case)(x, y), "the call is under torch.inference_mode()")


def _tracked(loss: torch.Tensor, because: str) -> str:
    return f"loss.requires_grad = True, but {because}" if loss.requires_grad or loss.grad_fn else ""


GRAPHS: dict[str, Callable[[Implementation, Case], str]] = {
    "graph": _graph,
    "no-graph-for-constants": _no_graph_for_constants,
    "no-graph-under-no-grad": _no_graph_under_no_grad,
    "no-graph-in-inference": _no_graph_in_inference,
}


def _under_no_grad(i: Implementation, case: Case) -> Any:
    """criterion(x, y) under torch.no_grad()."""
    x, y, _ = i.arguments(case)
    with torch.no_grad():
        return i.criterion(case)(x, y)


def _in_inference(i: Implementation, case: Case) -> Any:
    """criterion(x, y) with tensors made under torch.inference_mode()."""
    with torch.inference_mode():
        return i.criterion(case)(i.tensor(case.input), i.tensor(case.target)).clone()


WITHOUT_GRAPH: dict[str, Body] = {"no-grad": _under_no_grad, "inference-mode": _in_inference}
