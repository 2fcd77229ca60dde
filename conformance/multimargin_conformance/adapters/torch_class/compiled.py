"""CLASS-8: compiled and exported calls are judged as the eager call is."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from typing import Any

import torch

from multimargin_conformance.adapters.torch_class.calls import (
    Criterion,
    Implementation,
    rejection_item,
    value_item,
)
from multimargin_conformance.adapters.torch_class.cases import at_the_kink, batched, plain, unbatched
from multimargin_conformance.adapters.torch_class.validation import OUT_OF_RANGE, Change
from multimargin_conformance.checks.item import Item
from multimargin_reference.case import Case

CASES: dict[str, Callable[[str], Case]] = {
    "kink-none": lambda dtype: at_the_kink(dtype, reduction="none"),
    "unbatched-none": lambda dtype: unbatched(dtype, weighted=False),
    "weighted-p2": lambda dtype: batched(dtype, p=2, reduction="mean"),
}
Arguments = tuple[torch.Tensor, torch.Tensor]
Route = Callable[[Criterion, Arguments], Criterion]


def items(implementation: Implementation, dtypes: tuple[str, ...]) -> Iterator[Item]:
    """Yield the items of CLASS-8, in one dtype and few cases: tracing takes long."""
    for route, prepare in ROUTES.items():
        for name, make in CASES.items():
            if implementation.offers(case := make(dtypes[0])):
                once = _once(prepare)
                for part in ("loss", "gradient"):
                    body = _body(once, part)
                    yield value_item(implementation, "CLASS-8", f"{route}-{name}", part, case, body)
        if implementation.offers(case := plain(dtypes[0])) and implementation.device == "cpu":
            once = _once(prepare)
            for name, (_, change) in OUT_OF_RANGE.items():
                call = _rejected(once, name, change, case)
                yield rejection_item(implementation, "CLASS-8", case.dtype, f"{route}-{name}", call)


class _Exportable(torch.nn.Module):
    """A criterion as a module, since torch.export takes nothing else."""

    def __init__(self, criterion: Criterion) -> None:
        super().__init__()
        self.criterion = criterion

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> Any:
        """Return the loss."""
        return self.criterion(x, y)


def _compiled(criterion: Criterion, arguments: Arguments) -> Criterion:
    """torch.compile(backend='aot_eager')."""
    del arguments
    torch.compiler.reset()  # else, after a few recompilations, it would silently call eager
    compiled: Criterion = torch.compile(criterion, backend="aot_eager")
    return compiled


def _exported(criterion: Criterion, arguments: Arguments) -> Criterion:
    """torch.export.export(...).module()."""
    made: Criterion = _export(criterion, arguments).module()
    return made


def _decomposed(criterion: Criterion, arguments: Arguments) -> Criterion:
    """torch.export.export(...).run_decompositions().module()."""
    made: Criterion = _export(criterion, arguments).run_decompositions().module()
    return made


def _export(criterion: Criterion, arguments: Arguments) -> torch.export.ExportedProgram:
    with redirect_stdout(io.StringIO()):  # where it cannot export, it prints the graph
        return torch.export.export(_Exportable(criterion), arguments)


ROUTES: dict[str, Route] = {"compiled": _compiled, "exported": _exported, "decomposed": _decomposed}


def _once(prepare: Route) -> Route:
    """Return a route that prepares one criterion and keeps it: tracing takes long, and loss and gradient share it."""
    kept: list[Criterion] = []

    def route(criterion: Criterion, arguments: Arguments) -> Criterion:
        if not kept:
            kept.append(prepare(criterion, arguments))
        return kept[0]

    route.__doc__ = prepare.__doc__
    return route


def _body(prepare: Route, part: str) -> Callable[[Implementation, Case], Any]:
    def body(i: Implementation, case: Case) -> Any:
        x, y, g = i.arguments(case)
        loss = prepare(i.criterion(case), (x, y))(x, y)
        return loss if part == "loss" else torch.autograd.grad(loss, x, g.expand_as(loss))[0]

    body.__doc__ = prepare.__doc__
    return body


def _rejected(prepare: Route, name: str, change: Change, case: Case) -> Callable[[Implementation], str]:
    """The call is traced with targets in range, so that only what was compiled can look at the others."""

    def call(i: Implementation) -> str:
        x, y, _ = i.arguments(case)
        criterion = prepare(i.criterion(case), (x, y))
        criterion(x, y)
        criterion(*change(x, y))
        return f"{name.replace('-', ' ')} in a call by {(prepare.__doc__ or '').rstrip('.')}"

    return call
