"""Python source that gets hold of an implementation, for the programs in a report's failures."""

from __future__ import annotations

import inspect
from typing import Any

LIVE = "forward, backward = backend.forward, backend.backward  # `backend` is the object that was checked"


def numpy_source(location: str, attr: str, found: Any) -> str:
    """Return source that defines `forward` (and `backward` where there is one) of py:location:attr."""
    name = attr.split(".")[0]
    made = f"{attr}()" if inspect.isclass(found) else attr
    if not callable(getattr(found, "forward", None)):
        return f"{_import(location, name)}\nforward = {made}"
    functions = [f for f in ("forward", "backward") if callable(getattr(found, f, None))]
    return "\n".join([_import(location, name), f"kernel = {made}", *(f"{f} = kernel.{f}" for f in functions)])


def torch_source(location: str, attr: str, found: Any) -> str:
    """Return source that defines `multi_margin_loss` over tensors of torch:location:attr."""
    name = attr.split(".")[0]
    if not inspect.isclass(found):
        return f"{_import(location, name)}\nmulti_margin_loss = {attr}"
    body = f"return {attr}(**options).to(input.device)(input, target)"
    return f"{_import(location, name)}\n\ndef multi_margin_loss(input, target, **options):\n    {body}\n"


def _import(location: str, name: str) -> str:
    if location.endswith(".py"):
        return f"import runpy\n\n{name} = runpy.run_path({location!r})[{name!r}]"
    return f"from {location} import {name}"
