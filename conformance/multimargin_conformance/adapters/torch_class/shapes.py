"""CLASS-7: meta and fake tensors, which have no values, get the shape and dtype of the call that has."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from multimargin_conformance.adapters.torch_class.calls import Implementation, item
from multimargin_conformance.adapters.torch_class.cases import batched, unbatched
from multimargin_conformance.checks.item import Item
from multimargin_conformance.judge import Finding, no_result
from multimargin_conformance.outcome import attempt
from multimargin_conformance.session import Session
from multimargin_reference.case import Case

Form = tuple[tuple[int, ...], torch.dtype]
SHAPES: dict[str, Callable[..., Case]] = {"batched": batched, "unbatched": unbatched}


def items(implementation: Implementation, dtypes: tuple[str, ...]) -> Iterator[Item]:
    """Yield the items of CLASS-7."""
    for dtype in dtypes:
        for shape, make in SHAPES.items():
            for reduction in implementation.capabilities.reductions:
                p, weighted = implementation.capabilities.p[-1], reduction == "mean"
                case = make(dtype, p=p, weighted=weighted, reduction=reduction)
                if implementation.offers(case):
                    yield from _items(implementation, f"{shape}-{reduction}", case)


def _items(implementation: Implementation, label: str, case: Case) -> Iterator[Item]:
    for kind in KINDS:
        for part in ("loss", "gradient"):
            yield _item(implementation, f"{kind}-{label}", part, case, kind)


def _item(i: Implementation, name: str, part: str, case: Case, kind: str) -> Item:
    def find(_session: Session) -> Finding | None:
        forms = []
        for place in ("values", kind):
            found = _form_or_finding(i, case, part, place)
            if isinstance(found, Finding):
                return found
            forms.append(found)
        return _differing(part, kind, *forms)

    return item("CLASS-7", case.dtype, name, part, find)


def _form_or_finding(i: Implementation, case: Case, part: str, place: str) -> Form | Finding:
    forms: list[Form] = []

    def call() -> None:
        result = _result(i, case, part, place)
        forms.append((tuple(result.shape), result.dtype))

    outcome = attempt(call)
    if forms:
        return forms[0]
    where = "" if place == "values" else f" (on {place} tensors)"
    return Finding(no_result(part, outcome).message + where)


def _differing(part: str, kind: str, real: Form, got: Form) -> Finding | None:
    for what, should, is_ in (("shape", real[0], got[0]), ("dtype", real[1], got[1])):
        if should != is_:
            return Finding(f"{part}.{what}={is_} on {kind} tensors, but should be {should} as with values")
    return None


def _result(i: Implementation, case: Case, part: str, place: str) -> torch.Tensor:
    if place == "fake":
        mode = FakeTensorMode()
        with mode:
            return _called(i, case, part, mode.from_tensor)
    return _called(i, case, part, lambda tensor: tensor.to("meta") if place == "meta" else tensor)


def _called(i: Implementation, case: Case, part: str, place: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    x, y, g = (place(tensor.detach()) for tensor in i.arguments(case))
    x.requires_grad_()
    weight = None if case.weight is None else place(i.tensor(case.weight))
    loss: torch.Tensor = i.criterion(case, weight)(x, y)
    return loss if part == "loss" else torch.autograd.grad(loss, x, g.expand_as(loss))[0]


KINDS = ("meta", "fake")
