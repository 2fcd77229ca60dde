"""CLASS-4: the weight as a buffer named `weight`."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Iterator
from typing import Any

import torch

from multimargin_conformance.adapters.torch_class.calls import Body, Fact, Implementation, fact_item, value_item
from multimargin_conformance.adapters.torch_class.cases import batched
from multimargin_conformance.checks.item import Item
from multimargin_reference.case import Case


def items(implementation: Implementation, dtypes: tuple[str, ...]) -> Iterator[Item]:
    """Yield the items of CLASS-4."""
    for dtype in dtypes:
        case = batched(dtype, p=implementation.capabilities.p[0], reduction=implementation.capabilities.reductions[0])
        for name, body in ROUTES.items() if implementation.offers(case) else ():
            yield value_item(implementation, "CLASS-4", name, "loss", case, body)
    for name, fact in FACTS.items():
        yield fact_item(implementation, "CLASS-4", dtypes[0], name, fact)


def _module(i: Implementation, case: Case, weight: torch.Tensor | None) -> Any:
    return i.module(p=case.p, margin=case.margin, weight=weight, reduction=case.reduction)


def _given(i: Implementation, case: Case) -> Any:
    return _module(i, case, i.tensor(case.weight))


def _with_ones(i: Implementation, case: Case) -> Any:
    """Return a module whose weights are other than the case's."""
    return _module(i, case, torch.ones_like(i.tensor(case.weight)))


def _loss(i: Implementation, case: Case, module: Any) -> Any:
    x, y, _ = i.arguments(case)
    return module(x, y)


def _loaded(i: Implementation, case: Case) -> Any:
    """After load_state_dict(strict=True) into a module with other weights."""
    module = _with_ones(i, case)
    module.load_state_dict(_given(i, case).state_dict(), strict=True)
    return _loss(i, case, module)


def _loaded_from_plain_dict(i: Implementation, case: Case) -> Any:
    """After load_state_dict({'weight': w}) as another implementation saved it."""
    module = _with_ones(i, case)
    module.load_state_dict({"weight": i.tensor(case.weight)}, strict=True)
    return _loss(i, case, module)


def _saved_state(i: Implementation, case: Case) -> Any:
    """After torch.save and torch.load(weights_only=True) of the state_dict."""
    module = _with_ones(i, case)
    module.load_state_dict(_through_file(_given(i, case).state_dict(), weights_only=True))
    return _loss(i, case, module)


def _saved_module(i: Implementation, case: Case) -> Any:
    """After torch.save and torch.load of the whole module."""
    return _loss(i, case, _through_file(_given(i, case), weights_only=False))


def _copied(i: Implementation, case: Case) -> Any:
    """After copy.deepcopy, the original's weight zeroed."""
    original = _given(i, case)
    module = copy.deepcopy(original)
    original.weight.zero_()
    return _loss(i, case, module)


def _changed_in_place(i: Implementation, case: Case) -> Any:
    """After module.weight.copy_(w)."""
    module = _with_ones(i, case)
    _loss(i, case, module)
    module.weight.copy_(i.tensor(case.weight))
    return _loss(i, case, module)


def _converted(i: Implementation, case: Case) -> Any:
    """After .to(dtype) from a module of another dtype."""
    dtype = i.tensor(case.input).dtype
    other = torch.float64 if dtype != torch.float64 else torch.float32
    module = _module(i, case, i.tensor(case.weight).to(other)).to(dtype)
    return _loss(i, case, module)


def _functional_call(i: Implementation, case: Case) -> Any:
    """By torch.func.functional_call with another weight."""
    x, y, _ = i.arguments(case)
    return torch.func.functional_call(_with_ones(i, case), {"weight": i.tensor(case.weight)}, (x, y))


def _through_file(value: Any, *, weights_only: bool) -> Any:
    """Save and load; the whole module only ever from bytes that were written here."""
    stream = io.BytesIO()
    torch.save(value, stream)
    stream.seek(0)
    return torch.load(stream, weights_only=weights_only)


ROUTES: dict[str, Body] = {
    "load-state-dict": _loaded,
    "load-plain-dict": _loaded_from_plain_dict,
    "saved-state-dict": _saved_state,
    "saved-module": _saved_module,
    "deepcopy": _copied,
    "changed-in-place": _changed_in_place,
    "to-dtype": _converted,
    "functional-call": _functional_call,
}


def _weight(i: Implementation) -> torch.Tensor:
    return torch.tensor([2.0, 1.0, 4.0, -1.0], device=i.device)


def _state_dict(i: Implementation) -> str:
    """MultiMarginLoss(weight=w).state_dict()."""
    state = i.module(weight=_weight(i)).state_dict()
    if list(state) != ["weight"]:
        return f"state_dict() has the keys {list(state)}, but should have ['weight']"
    got, should = state["weight"], _weight(i)
    same = got.dtype == should.dtype and torch.equal(got, should)
    return "" if same else f"state_dict()['weight'] = {got!r}, but should be {should!r}"


def _buffers(i: Implementation) -> str:
    """MultiMarginLoss(weight=w).named_buffers()."""
    names = [name for name, _ in i.module(weight=_weight(i)).named_buffers()]
    return "" if names == ["weight"] else f"named_buffers() has {names}, but should have ['weight']"


def _no_parameters(i: Implementation) -> str:
    """MultiMarginLoss(weight=w).parameters()."""
    names = [name for name, _ in i.module(weight=_weight(i)).named_parameters()]
    return f"named_parameters() has {names}, but should be empty: an optimizer would change them" if names else ""


def _absent(i: Implementation) -> str:
    """MultiMarginLoss().state_dict()."""
    state = i.module().state_dict()
    return f"state_dict() without a weight has the keys {list(state)}, but should be empty" if state else ""


def _loads_empty(i: Implementation) -> str:
    """MultiMarginLoss().load_state_dict({}, strict=True)."""
    i.module().load_state_dict({}, strict=True)
    return ""


def _refuses_missing(i: Implementation) -> str:
    """MultiMarginLoss(weight=w).load_state_dict({}, strict=True)."""
    try:
        i.module(weight=_weight(i)).load_state_dict({}, strict=True)
    except RuntimeError:
        return ""
    return "load_state_dict({}, strict=True) was accepted by a module with a weight, but should raise an error"


def _conversion(method: str, dtype: torch.dtype) -> Fact:
    def fact(i: Implementation) -> str:
        """MultiMarginLoss(weight=w) converted to another dtype."""
        got = getattr(i.module(weight=_weight(i)), method)().weight.dtype
        return "" if got == dtype else f"weight.dtype = {got} after .{method}(), but should be {dtype}"

    return fact


CONVERSIONS: dict[str, torch.dtype] = {"double": torch.float64, "half": torch.float16, "bfloat16": torch.bfloat16}
FACTS: dict[str, Callable[[Implementation], str]] = {
    "state-dict": _state_dict,
    "named-buffers": _buffers,
    "no-parameters": _no_parameters,
    "without-weight": _absent,
    "without-weight-loads": _loads_empty,
    "missing-key": _refuses_missing,
    **{f"to-{method}": _conversion(method, dtype) for method, dtype in CONVERSIONS.items()},
}
