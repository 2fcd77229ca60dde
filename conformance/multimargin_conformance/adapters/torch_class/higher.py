"""CLASS-9: derivatives that an implementation need not have are right or refused; which one is recorded.

What is right is computed from the exact oracle: away from the kink the loss is linear in the weights and its gradient
linear in input, so that differences are derivatives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import torch
import torch.autograd.forward_ad as forward_ad
from numpy.typing import NDArray

from multimargin_conformance.adapters.torch_class.calls import (
    Body,
    Implementation,
    how,
    item,
    outcome_of,
    value_finding,
)
from multimargin_conformance.adapters.torch_class.cases import batched
from multimargin_conformance.checks.item import Item
from multimargin_conformance.judge import Finding
from multimargin_conformance.outcome import Raised
from multimargin_conformance.session import Session
from multimargin_reference import oracle
from multimargin_reference.case import Case
from multimargin_reference.expectation import Enclosures

DIRECTION = np.array([[1, -2, 0.5, 0], [-1, 1, 2, -0.5], [0.25, 1, -1, 2], [-2, 0.5, 1, -1]])  # the tangent
STEP = 2.0**-6  # so short that no z changes its sign on the way


@dataclass(frozen=True)
class Derivative:
    """A derivative: the behaviour's name, how it is asked for, and what is right.

    directly: for a second derivative, how it is asked for by itself. A gradient without a graph (PyTorch's
    once_differentiable gives one) is then an error, while as a part of a sum it is left out: the answer "detached".
    any_dtype: a tangent, which torch.func.jvp gives in float64 where a 0-d tensor is multiplied by a Python number.
    """

    behaviour: str
    body: Body
    exact: Callable[[Case], Any]
    directly: Body | None = None
    any_dtype: bool = False


def items(implementation: Implementation, dtypes: tuple[str, ...]) -> Iterator[Item]:
    """Yield the items of CLASS-9."""
    for dtype in dtypes:
        for name, derivative in DERIVATIVES.items():
            for p in implementation.capabilities.p:
                for reduction in implementation.capabilities.reductions:
                    if implementation.offers(case := batched(dtype, p=p, reduction=reduction)):
                        yield _item(implementation, f"{name}-{reduction}-p{p}", case, derivative)


def _item(implementation: Implementation, name: str, case: Case, derivative: Derivative) -> Item:
    def find(session: Session) -> Finding | None:
        answer = _answer(implementation, case, derivative)
        if isinstance(answer, Finding):
            return answer
        session.answered(derivative.behaviour, "CLASS-9", "gradient", case.dtype, answer)
        return None

    return item("CLASS-9", case.dtype, name, "gradient", find)


def _answer(implementation: Implementation, case: Case, derivative: Derivative) -> str | Finding:
    """Return which of the permitted answers an implementation gives, or what is wrong with its answer."""
    outcome = outcome_of(derivative.body, implementation, case)
    if isinstance(outcome, Raised):
        return "rejected"
    expected = point(derivative.exact(case), None if derivative.any_dtype else case.dtype)
    finding = value_finding("gradient", outcome, expected, f"{how(derivative.body)}: right or an error")
    if finding is None:
        return "right"
    if derivative.directly and isinstance(outcome_of(derivative.directly, implementation, case), Raised):
        return "detached"
    return finding


def point(exact: Any, dtype: str | None) -> Enclosures:
    """Return the enclosure of exact numbers that the dtype, or any, holds."""
    values = np.array(exact, np.float64)
    flat = values.reshape(-1)
    return Enclosures(values.shape, dtype, flat, flat, flat)


def exactly(values: Any) -> NDArray[Any]:
    """Return numbers as an array of Fractions, at least 0-d."""
    return np.array(np.vectorize(Fraction, otypes=[object])(np.asarray(values, np.float64)), object)


def _gradient(case: Case, upstream: NDArray[Any] | None = None, moved: float = 0.0) -> NDArray[Any]:
    """Return the exact gradient after a step along the direction, as Fractions."""
    grad_output = _upstream(case) if upstream is None else upstream
    logits = case.input.astype(np.float64) + moved * DIRECTION
    return np.array(oracle.gradient(grad_output, logits, case.target, **_options(case)), object)


def _upstream(case: Case) -> NDArray[Any]:
    assert case.grad_output is not None
    return case.grad_output.astype(np.float64)


def _options(case: Case, weight: NDArray[Any] | None = None) -> dict[str, Any]:
    given = case.weight if weight is None else weight
    return {**case.options, "weight": None if given is None else given.astype(np.float64)}


def penalised(case: Case) -> NDArray[Any]:
    """Return the gradient of (g * loss).sum() + (gradient * direction).sum() with respect to input, exactly."""
    here, there = _gradient(case), _gradient(case, moved=STEP)
    return np.asarray(here + (there - here) / Fraction(STEP))


def penalised_upstream(case: Case) -> NDArray[Any]:
    """Return the gradient of grad_output.sum() + (gradient * direction).sum() with respect to grad_output, exactly."""
    return np.asarray(forward_tangent(case) + 1)


def forward_tangent(case: Case) -> NDArray[Any]:
    """Return the directional derivative of the loss, exactly: 0-d, or one number a row."""
    products = _gradient(case, np.ones_like(_upstream(case))) * exactly(DIRECTION)
    return np.asarray(products.sum(axis=1 if case.reduction == "none" else None))


def by_weight(case: Case) -> NDArray[Any]:
    """Return the gradient of (g * loss).sum() with respect to weight, exactly."""
    upstream = exactly(_upstream(case))
    logits = case.input.astype(np.float64)
    units = np.eye(logits.shape[-1])
    losses = [np.array(oracle.loss(logits, case.target, **_options(case, unit)), object) for unit in units]
    return np.array([np.sum(loss * upstream) for loss in losses], object)


def _penalty(i: Implementation, case: Case) -> Any:
    """The gradient of a loss with a gradient penalty, by create_graph=True."""
    x, y, g = i.arguments(case)
    loss = i.criterion(case)(x, y)
    (gradient,) = torch.autograd.grad(loss, x, g, create_graph=True)
    torch.autograd.backward((loss * g).sum() + (gradient * _tangent(i, case)).sum())
    return x.grad


def _penalty_upstream(i: Implementation, case: Case) -> Any:
    """The gradient of a gradient penalty with respect to grad_output."""
    x, y, g = i.arguments(case)
    g.requires_grad_()
    (gradient,) = torch.autograd.grad(i.criterion(case)(x, y), x, g, create_graph=True)
    torch.autograd.backward(g.sum() + (gradient * _tangent(i, case)).sum())
    return g.grad


def _second(i: Implementation, case: Case) -> Any:
    """torch.autograd.grad of the gradient with respect to input."""
    x, y, g = i.arguments(case)
    (gradient,) = torch.autograd.grad(i.criterion(case)(x, y), x, g, create_graph=True)
    return torch.autograd.grad((gradient * _tangent(i, case)).sum(), x)[0]


def _second_upstream(i: Implementation, case: Case) -> Any:
    """torch.autograd.grad of the gradient with respect to grad_output."""
    x, y, g = i.arguments(case)
    g.requires_grad_()
    (gradient,) = torch.autograd.grad(i.criterion(case)(x, y), x, g, create_graph=True)
    return torch.autograd.grad((gradient * _tangent(i, case)).sum(), g)[0]


def _by_weight(i: Implementation, case: Case) -> Any:
    """weight.grad after loss.backward(g), where weight requires its gradient."""
    x, y, g = i.arguments(case)
    weight = i.tensor(case.weight).requires_grad_()
    i.criterion(case, weight)(x, y).backward(g)
    return weight.grad


def _forward(i: Implementation, case: Case) -> Any:
    """The tangent of the loss by torch.autograd.forward_ad."""
    x, y, _ = i.arguments(case)
    criterion = i.criterion(case)
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(x.detach(), _tangent(i, case))  # type: ignore[no-untyped-call]
        return forward_ad.unpack_dual(criterion(dual, y)).tangent  # type: ignore[no-untyped-call]


def _jvp(i: Implementation, case: Case) -> Any:
    """The tangent of the loss by torch.func.jvp."""
    x, y, _ = i.arguments(case)
    criterion = i.criterion(case)
    return torch.func.jvp(lambda v: criterion(v, y), (x.detach(),), (_tangent(i, case),))[1]


def _tangent(i: Implementation, case: Case) -> torch.Tensor:
    tangent: torch.Tensor = i.tensor(DIRECTION.astype(case.input.dtype))
    return tangent


DERIVATIVES = {
    "double-backward": Derivative("double backward", _penalty, penalised, _second),
    "double-backward-by-grad-output": Derivative(
        "double backward", _penalty_upstream, penalised_upstream, _second_upstream
    ),
    "by-weight": Derivative("differentiating weight", _by_weight, by_weight),
    "forward-mode": Derivative("forward-mode differentiation", _forward, forward_tangent, any_dtype=True),
    "jvp": Derivative("forward-mode differentiation", _jvp, forward_tangent, any_dtype=True),
}
