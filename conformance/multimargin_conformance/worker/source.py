"""Python source that gets hold of an implementation, for the programs in a report's failures."""

from __future__ import annotations

import inspect
from typing import Any


def numpy_source(location: str, attr: str, found: Any, argument: str = "") -> str:
    """Return source that defines `forward` (and `backward` where there is one) of py:location:attr.

    argument: source of what a class is made with.
    """
    name = attr.split(".")[0]
    made = f"{attr}({argument})" if inspect.isclass(found) else attr
    if not callable(getattr(found, "forward", None)):
        return f"{imported(location, name)}\nforward = {made}"
    functions = [f for f in ("forward", "backward") if callable(getattr(found, f, None))]
    return "\n".join([imported(location, name), f"kernel = {made}", *(f"{f} = kernel.{f}" for f in functions)])


def imported(location: str, name: str) -> str:
    """Return source that gets `name` from a module, or from a file."""
    if location.endswith(".py"):
        return f"import runpy\n\n{name} = runpy.run_path({location!r})[{name!r}]"
    return f"from {location} import {name}"
