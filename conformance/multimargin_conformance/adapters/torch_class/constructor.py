"""CLASS-1: the constructor's order, names, defaults and attributes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from multimargin_conformance.adapters.torch_class.calls import Implementation, fact_item, value_item
from multimargin_conformance.adapters.torch_class.cases import CALLS, batched, plain
from multimargin_conformance.checks.item import Item
from multimargin_reference.case import Case

DEFAULTS = {"p": 1, "margin": 1.0, "weight": None, "size_average": None, "reduce": None, "reduction": "mean"}


def items(implementation: Implementation, dtypes: tuple[str, ...]) -> Iterator[Item]:
    """Yield the items of CLASS-1."""
    for dtype in dtypes:
        for name, case in _cases(dtype).items():
            if implementation.offers(case):
                for route in (by_position, by_name, alone):
                    label = f"{route.__name__.replace('_', '-')}-{name}"
                    yield value_item(implementation, "CLASS-1", label, "loss", case, route)
    for name, fact in ATTRIBUTES.items():
        yield fact_item(implementation, "CLASS-1", dtypes[0], f"attribute-{name}", fact)


def _cases(dtype: str) -> dict[str, Case]:
    default = plain(dtype)
    weighted = replace(default, weight=batched(dtype).weight)
    one_option = {
        "defaults": default,
        "p": replace(default, p=2),
        "margin": replace(default, margin=0.375),
        "weight": weighted,
        "reduction": replace(default, reduction="sum"),
    }
    return one_option | {name: make(dtype) for name, make in CALLS.items()}


def _given(i: Implementation, case: Case) -> dict[str, Any]:
    given = {"p": case.p, "margin": case.margin, "weight": i.tensor(case.weight), "reduction": case.reduction}
    return {name: given.get(name, default) for name, default in DEFAULTS.items()}


def by_position(i: Implementation, case: Case) -> Any:
    """MultiMarginLoss(p, margin, weight, None, None, reduction)."""
    x, y, _ = i.arguments(case)
    return i.module(*_given(i, case).values())(x, y)


def by_name(i: Implementation, case: Case) -> Any:
    """MultiMarginLoss with all six arguments by name."""
    x, y, _ = i.arguments(case)
    return i.module(**_given(i, case))(x, y)


def alone(i: Implementation, case: Case) -> Any:
    """MultiMarginLoss with the arguments alone, by name, that are not the defaults."""
    x, y, _ = i.arguments(case)
    given = _given(i, case)
    return i.module(**{name: v for name, v in given.items() if v is not DEFAULTS[name] and v != DEFAULTS[name]})(x, y)


def _attribute_p(i: Implementation) -> str:
    """MultiMarginLoss(2).p."""
    return _differs("MultiMarginLoss(2).p", i.module(2).p, 2) or _differs("MultiMarginLoss().p", i.module().p, 1)


def _attribute_margin(i: Implementation) -> str:
    """MultiMarginLoss(1, 0.375).margin."""
    default = _differs("MultiMarginLoss().margin", i.module().margin, 1.0)
    return default or _differs("MultiMarginLoss(1, 0.375).margin", i.module(1, 0.375).margin, 0.375)


def _attribute_weight(i: Implementation) -> str:
    """MultiMarginLoss(weight=w).weight."""
    if i.module().weight is not None:
        return f"MultiMarginLoss().weight = {i.module().weight!r}, but should be None"
    weight = i.tensor(batched("float32").weight)
    return _differs("MultiMarginLoss(weight=w).weight", i.module(weight=weight).weight.tolist(), weight.tolist())


def _attribute_reduction(i: Implementation) -> str:
    """MultiMarginLoss(reduction='sum').reduction."""
    default = _differs("MultiMarginLoss().reduction", i.module().reduction, "mean")
    return default or _differs("MultiMarginLoss(reduction='sum').reduction", i.module(reduction="sum").reduction, "sum")


def _differs(name: str, got: Any, expected: Any) -> str:
    return "" if got == expected else f"{name} = {got!r}, but should be {expected!r}"


ATTRIBUTES = {
    "p": _attribute_p,
    "margin": _attribute_margin,
    "weight": _attribute_weight,
    "reduction": _attribute_reduction,
}
