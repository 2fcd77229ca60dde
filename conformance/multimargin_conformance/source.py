"""Python source that gets hold of an implementation, for the programs in a report's failures."""

from __future__ import annotations

import inspect
from typing import Any

from multimargin_conformance.worker.source import imported, numpy_source

__all__ = ["LIVE", "numpy_source", "torch_source"]

LIVE = "forward, backward = backend.forward, backend.backward  # `backend` is the object that was checked"


def torch_source(location: str, attr: str, found: Any) -> str:
    """Return source that defines `multi_margin_loss` over tensors of torch:location:attr."""
    name = attr.split(".")[0]
    if not inspect.isclass(found):
        return f"{imported(location, name)}\nmulti_margin_loss = {attr}"
    body = f"return {attr}(**options).to(input.device)(input, target)"
    return f"{imported(location, name)}\n\ndef multi_margin_loss(input, target, **options):\n    {body}\n"
