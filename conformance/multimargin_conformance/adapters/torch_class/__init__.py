"""CLASS on PyTorch: torch functions and nn.Module classes, checked through the framework itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from multimargin_conformance.adapters.torch_class import (
    autograd,
    buffer,
    compiled,
    constructor,
    flags,
    higher,
    shapes,
    transforms,
    validation,
)
from multimargin_conformance.adapters.torch_class.calls import Implementation
from multimargin_conformance.checks.item import Item, Scope

OF_A_CLASS = (constructor, validation, flags, buffer)
OF_ANY_CALL = (autograd, transforms, shapes, compiled, higher)
USUAL = ("float32", "float64")


@dataclass(frozen=True)
class TorchIntegration:
    """A function over tensors, or an nn.Module class, with the checks of its integration.

    function: with the signature of torch.nn.functional.multi_margin_loss, keywords for all but input and target.
    """

    function: Callable[..., Any]
    cls: Callable[..., Any] | None = None
    device: str = "cpu"

    @property
    def has_class(self) -> bool:
        """Whether CLASS-1 to CLASS-4 apply."""
        return self.cls is not None

    def class_items(self, scope: Scope) -> Iterator[Item]:
        """Yield the items in the order of the clauses."""
        implementation = Implementation(self.function, self.cls, self.device, scope.capabilities)
        dtypes = tuple(d for d in scope.dtypes if d in USUAL) or scope.dtypes[:1]
        for module in (*(OF_A_CLASS if self.has_class else ()), *OF_ANY_CALL):
            yield from module.items(implementation, dtypes)
