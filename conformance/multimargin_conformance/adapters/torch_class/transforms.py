"""CLASS-6: function transforms, checkpointing and autocast give what the plain call gives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch.utils.checkpoint import checkpoint

from multimargin_conformance.adapters.torch_class.calls import (
    Body,
    Implementation,
    expected_part,
    how,
    item,
    outcome_of,
    value_finding,
    value_item,
)
from multimargin_conformance.adapters.torch_class.cases import CALLS, batched, ones
from multimargin_conformance.checks.item import Item
from multimargin_conformance.judge import Finding
from multimargin_conformance.session import Session
from multimargin_reference.case import Case


def items(implementation: Implementation, dtypes: tuple[str, ...]) -> Iterator[Item]:
    """Yield the items of CLASS-6."""
    for call, make in CALLS.items():
        if implementation.offers(case := make(dtypes[0])):
            for name, body in WHOLE.items():
                yield value_item(implementation, "CLASS-6", f"{name}-{call}", "gradient", case, body)
            for part, routes in AUTOCAST.items():
                yield _any_dtype(implementation, f"autocast-{call}", part, case, routes)
    for p in implementation.capabilities.p:
        rows = batched(dtypes[0], p=p)
        if implementation.offers(rows) and implementation.offers(replace(rows, input=rows.input[0])):
            yield from _row_by_row(implementation, rows, p)


def _row_by_row(i: Implementation, rows: Case, p: int) -> Iterator[Item]:
    same_target = replace(rows, target=np.full_like(rows.target, rows.target[0]))
    yield value_item(i, "CLASS-6", f"vmap-p{p}", "loss", rows, _vmap)
    yield value_item(i, "CLASS-6", f"vmap-of-batches-p{p}", "loss", rows, _vmap_of_batches)
    yield value_item(i, "CLASS-6", f"vmap-over-input-p{p}", "loss", same_target, _vmap_over_input)
    yield value_item(i, "CLASS-6", f"vmap-of-grad-p{p}", "gradient", ones(rows), _vmap_of_grad)
    yield value_item(i, "CLASS-6", f"jacrev-p{p}", "gradient", rows, _jacrev)
    yield value_item(i, "CLASS-6", f"batched-grad-outputs-p{p}", "gradient", rows, _batched_grad_outputs)


def _any_dtype(implementation: Implementation, name: str, part: str, case: Case, body: Body) -> Item:
    """Autocast chooses the dtype in which the loss is computed; on the grid the values are the same."""

    def find(_session: Session) -> Finding | None:
        expected = expected_part(case, part)
        if part == "loss":
            expected = replace(expected, dtype=None)
        return value_finding(part, outcome_of(body, implementation, case), expected, how(body))

    return item("CLASS-6", case.dtype, name, part, find)


def _func_grad(i: Implementation, case: Case) -> Any:
    """torch.func.grad of (g * loss).sum()."""
    x, y, g = i.arguments(case)
    criterion = i.criterion(case)
    return torch.func.grad(lambda v: (criterion(v, y) * g).sum())(x.detach())


def _vjp(i: Implementation, case: Case) -> Any:
    """torch.func.vjp with the cotangent g."""
    x, y, g = i.arguments(case)
    criterion = i.criterion(case)
    return torch.func.vjp(lambda v: criterion(v, y), x.detach())[1](g)[0]


def _checkpoint(i: Implementation, case: Case) -> Any:
    """torch.utils.checkpoint.checkpoint(use_reentrant=False)."""
    x, y, g = i.arguments(case)
    checkpoint(i.criterion(case), x, y, use_reentrant=False).backward(g)
    return x.grad


def _checkpoint_reentrant(i: Implementation, case: Case) -> Any:
    """torch.utils.checkpoint.checkpoint(use_reentrant=True)."""
    x, y, g = i.arguments(case)
    checkpoint(i.criterion(case), x, y, use_reentrant=True).backward(g)
    return x.grad


def _vmap(i: Implementation, case: Case) -> Any:
    """torch.vmap(criterion)(x, y) over rows."""
    x, y, _ = i.arguments(case)
    return torch.vmap(i.criterion(case))(x.detach(), y)


def _vmap_of_batches(i: Implementation, case: Case) -> Any:
    """torch.vmap(criterion)(x, y) over two batches of two rows."""
    x, y, _ = i.arguments(case)
    return torch.vmap(i.criterion(case))(x.detach().view(2, 2, -1), y.view(2, 2)).flatten()


def _vmap_over_input(i: Implementation, case: Case) -> Any:
    """torch.vmap(criterion, in_dims=(0, None))(x, y[0])."""
    x, y, _ = i.arguments(case)
    return torch.vmap(i.criterion(case), in_dims=(0, None))(x.detach(), y[0])


def _vmap_of_grad(i: Implementation, case: Case) -> Any:
    """torch.vmap(torch.func.grad(criterion))(x, y) over rows."""
    x, y, _ = i.arguments(case)
    return torch.vmap(torch.func.grad(i.criterion(case)))(x.detach(), y)


def _jacrev(i: Implementation, case: Case) -> Any:
    """g times torch.func.jacrev."""
    x, y, g = i.arguments(case)
    criterion = i.criterion(case)
    return torch.tensordot(g, torch.func.jacrev(lambda v: criterion(v, y))(x.detach()), 1)


def _batched_grad_outputs(i: Implementation, case: Case) -> Any:
    """torch.autograd.grad(loss, x, torch.diag(g), is_grads_batched=True), added up."""
    x, y, g = i.arguments(case)
    return torch.autograd.grad(i.criterion(case)(x, y), x, torch.diag(g), is_grads_batched=True)[0].sum(0)


def _autocast_loss(i: Implementation, case: Case) -> Any:
    """Under torch.autocast(dtype=torch.bfloat16)."""
    x, y, _ = i.arguments(case)
    with torch.autocast(torch.device(i.device).type, dtype=torch.bfloat16):
        return i.criterion(case)(x, y)


def _autocast_gradient(i: Implementation, case: Case) -> Any:
    """loss.backward(g) of a call under torch.autocast(dtype=torch.bfloat16)."""
    x, y, g = i.arguments(case)
    with torch.autocast(torch.device(i.device).type, dtype=torch.bfloat16):
        loss = i.criterion(case)(x, y)
    loss.backward(g.to(loss.dtype))
    return x.grad


WHOLE: dict[str, Body] = {
    "func-grad": _func_grad,
    "vjp": _vjp,
    "checkpoint": _checkpoint,
    "checkpoint-reentrant": _checkpoint_reentrant,
}
AUTOCAST: dict[str, Body] = {"loss": _autocast_loss, "gradient": _autocast_gradient}
