"""CLASS-2: what the constructor, or at the latest the call, has to reject."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch

from multimargin_conformance.adapters.torch_class.calls import Implementation, rejection_item
from multimargin_conformance.adapters.torch_class.cases import plain
from multimargin_conformance.checks.item import Item

WRONG_P: tuple[Any, ...] = (0, 3, -1, 1.5, math.nan, math.inf, "1", None)
WRONG_WEIGHT: dict[str, Callable[[Any], Any]] = {
    "0-d": lambda weight: weight[0],
    "1-x-4": lambda weight: weight[None],
    "4-x-1": lambda weight: weight[:, None],
    "2-x-2": lambda weight: weight.reshape(2, 2),
}
Change = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
WRONG_CALLS: dict[str, tuple[dict[str, Any], Change]] = {  # options of the constructor, and the call's arguments
    "reduction-unknown": ({"reduction": "average"}, lambda x, y: (x, y)),
    "reduction-none-as-None": ({"reduction": None}, lambda x, y: (x, y)),
    "target-count": ({}, lambda x, y: (x, y[:3])),
    "target-floating": ({}, lambda x, y: (x, y.to(x.dtype))),
    "input-rank-3": ({}, lambda x, y: (x[None], y)),
    "no-classes": ({}, lambda x, y: (x[:, :0], y)),
}
OUT_OF_RANGE: dict[str, tuple[dict[str, Any], Change]] = {  # on CUDA these may end in an assertion on the device
    "target-C": ({}, lambda x, y: (x, y + 2 * (y == 2))),
    "target-minus-1": ({}, lambda x, y: (x, y - (y == 0).long())),
}


def items(implementation: Implementation, dtypes: tuple[str, ...]) -> Iterator[Item]:
    """Yield the items of CLASS-2."""
    dtype = dtypes[0]
    for p in WRONG_P:
        yield rejection_item(implementation, "CLASS-2", dtype, f"p-{p!r}", _constructed(p))
    for name, change in WRONG_WEIGHT.items():
        yield rejection_item(implementation, "CLASS-2", dtype, f"weight-{name}", _weighted(name, change, dtype))
    if not implementation.offers(plain(dtype)):
        return
    for name, (options, changed) in (WRONG_CALLS | (OUT_OF_RANGE if implementation.device == "cpu" else {})).items():
        yield rejection_item(implementation, "CLASS-2", dtype, name, _called(name, options, changed, dtype))
    yield rejection_item(implementation, "CLASS-2", dtype, "weight-too-short", _short_weight(dtype))


def _constructed(p: Any) -> Callable[[Implementation], str]:
    def call(i: Implementation) -> str:
        i.module(p=p)
        return f"MultiMarginLoss(p={p!r})"

    return call


def _weighted(name: str, change: Callable[[Any], Any], dtype: str) -> Callable[[Implementation], str]:
    def call(i: Implementation) -> str:
        i.module(weight=change(torch.ones(4, dtype=getattr(torch, dtype), device=i.device)))
        return f"MultiMarginLoss(weight=w) with w of shape {name.replace('-x-', ' x ')}"

    return call


def _called(name: str, options: dict[str, Any], change: Change, dtype: str) -> Callable[[Implementation], str]:
    def call(i: Implementation) -> str:
        x, y, _ = i.arguments(plain(dtype))
        i.module(**options)(*change(x.detach(), y))
        return f"a call of the module ({name.replace('-', ' ')})"

    return call


def _short_weight(dtype: str) -> Callable[[Implementation], str]:
    def call(i: Implementation) -> str:
        x, y, _ = i.arguments(plain(dtype))
        i.module(weight=torch.ones(3, dtype=x.dtype, device=i.device))(x, y)
        return "a call of a module with 3 weights for 4 classes"

    return call
