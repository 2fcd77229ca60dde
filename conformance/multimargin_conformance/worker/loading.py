"""From a backend's name to functions: `py:` names here, everything else through the adapters of multimargin."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .frameworks import is_framework, made, over_arrays
from .memory import DTYPES
from .source import numpy_source

LONGEST = 500  # characters of an error's text
CAPABILITIES = ("dtypes", "p", "reductions", "shapes", "gradient", "permissions")
DEFAULTS: dict[str, Any] = {
    "dtypes": ["float16", "bfloat16", "float32", "float64"],
    "p": [1, 2],
    "reductions": ["none", "mean", "sum"],
    "shapes": ["batched", "unbatched"],
    "gradient": True,
    "permissions": [],
}


class Refused(Exception):  # noqa: N818 (named for the answer that it becomes)
    """A backend that cannot be started. unknown: the name leads nowhere, a mistake of the user's."""

    def __init__(self, reason: str, unknown: bool = False) -> None:
        super().__init__(reason)
        self.unknown = unknown


class Backend:
    """What is served: the functions, and what the start answer says.

    program: framework and source of the programs in failures. integration: what CLASS is checked through, if anything.
    compiles: whether a call may compile first.
    """

    def __init__(
        self, forward: Any, backward: Any, name: str, version: str, capabilities: dict[str, Any], device: str
    ) -> None:
        self.forward: Callable[..., Any] = forward
        self.backward: Callable[..., Any] | None = backward if capabilities["gradient"] else None
        self.name, self.version, self.device = name, version, device
        self.program: dict[str, str] = {}
        self.integration: Any = None
        self.compiles = False
        kept = [name for name in capabilities["dtypes"] if name != "bfloat16" or name in DTYPES]
        self.capabilities = {**capabilities, "dtypes": kept, "gradient": self.backward is not None}


def load(spec: str, device: str) -> Backend:
    """Return the backend of a name. Raises Refused where there is none or it could not be made."""
    kind, _, rest = spec.partition(":")
    if is_framework(spec):
        return _framework(spec, device)
    if kind in ("py", "jax") and rest:
        found = _attribute(rest, spec)
        backend = _described(_started(spec, lambda: over_arrays(found, device)) if kind == "jax" else found, spec)
        location, _, attr = rest.rpartition(":")
        backend.program = {"framework": "numpy", "source": numpy_source(location, attr, found)}
        backend.compiles = getattr(found, "compiles", False) is True
        return backend
    return _shipped(spec, device)


def _framework(name: str, device: str) -> Backend:
    """Return an adapter of `frameworks`: here whether multimargin is installed or not."""
    try:
        found, source = made(name, device)
    except ImportError as error:
        hint = f"{sys.executable} needs what {name} is an adapter of; name another Python by --python (make backends)"
        raise Refused(f"{name}: {type(error).__name__}: {text_of(error)}; {hint}") from error
    except (Exception, SystemExit) as error:
        raise Refused(f"{name}: {type(error).__name__}: {text_of(error)}") from error
    backend = _described(found, name)
    backend.program = {"framework": "numpy", "source": source}
    backend.compiles = getattr(found, "compiles", False) is True
    return backend


def _shipped(spec: str, device: str) -> Backend:
    try:
        from multimargin_conformance.adapters import resolve
        from multimargin_conformance.backend import BackendNotStarted, UnknownBackend
    except ImportError as error:
        raise Refused(
            f"{spec} is an adapter of multimargin, but {sys.executable} cannot import it ({error}); install "
            "multimargin there, or name your own adapter: py:module:attr"
        ) from error
    try:
        found = resolve(spec, device=device)
    except UnknownBackend as error:
        raise Refused(str(error), unknown=True) from error
    except BackendNotStarted as error:
        raise Refused(str(error)) from error
    made = Backend(found.forward, found.backward, found.name, found.version, _plain(found.capabilities), found.device)
    made.program = {"framework": found.framework, "source": found.source}
    made.integration, made.compiles = found.integration, found.compiles
    return made


def _started(spec: str, start: Callable[[], Any]) -> Any:
    try:
        return start()
    except Refused:
        raise
    except (Exception, SystemExit) as error:  # a script that ends itself on import must not end in its status
        raise Refused(f"{spec}: {type(error).__name__}: {text_of(error)}") from error


def text_of(error: BaseException) -> str:
    """Return an error's text, shortened; a backend's own exception class may fail to print in any way."""
    try:
        return str(error)[:LONGEST]
    except BaseException:
        return "(the error's text could not be read)"


def _attribute(text: str, spec: str) -> Any:
    """Return the object at module:attr or path/file.py:attr; the current directory is searched first."""
    location, _, attr = text.rpartition(":")
    if not location or not attr:
        raise Refused(f"{spec!r}, but should be py:module:attr or py:path/file.py:attr", unknown=True)
    found = _started(spec, lambda: module_of(location))
    return _started(spec, lambda: _within(found, attr, f"{spec}: {location} has no {attr!r}"))


def _within(found: Any, attr: str, missing: str) -> Any:
    for part in attr.split("."):
        if not hasattr(found, part):
            raise Refused(missing)
        found = getattr(found, part)
    return found


def module_of(location: str) -> Any:
    """Return a module by its name, or by its file; the current directory is searched first."""
    if not location.endswith(".py"):
        if "" not in sys.path and str(Path.cwd()) not in sys.path:
            sys.path.insert(0, str(Path.cwd()))
        return importlib.import_module(location)
    path = Path(location).resolve()
    if not path.is_file():
        raise FileNotFoundError(f"no file {location}")
    found = importlib.util.spec_from_file_location(path.stem, path)
    if found is None or found.loader is None:
        raise ImportError(f"{location} is not a Python file")
    module = importlib.util.module_from_spec(found)
    sys.modules.setdefault(path.stem, module)  # dataclasses and pickling look their module up there
    try:
        found.loader.exec_module(module)
    except BaseException:
        if sys.modules.get(path.stem) is module:
            del sys.modules[path.stem]
        raise
    return module


def _described(found: Any, spec: str) -> Backend:
    """Return an object, class instance, module or bare function as a backend."""
    attr = spec.rpartition(":")[2]
    if not callable(found) and not callable(getattr(found, "forward", None)):
        raise Refused(f"{spec}: {attr!r} is a {type(found).__name__}, neither callable nor with a forward")
    made = found
    if inspect.isclass(found):
        try:
            made = found()
        except (Exception, SystemExit) as error:
            raise Refused(f"{found.__qualname__}() failed: {type(error).__name__}: {text_of(error)}") from error
    forward, backward = getattr(made, "forward", None), getattr(made, "backward", None)
    if not callable(forward):
        forward, backward = made, None
    if not callable(forward):
        raise Refused(
            f"{spec!r} is neither callable nor has it a forward(input, target, *, p, margin, weight, reduction)"
        )
    capabilities, device = _plain(getattr(made, "capabilities", None)), str(getattr(made, "device", ""))
    return Backend(forward, backward if callable(backward) else None, spec, _version(made), capabilities, device)


def _plain(declared: Any) -> dict[str, Any]:
    """Return declared capabilities (an object's attributes, or a mapping; None declares everything) as JSON data."""
    if declared is None:
        return dict(DEFAULTS)
    if isinstance(declared, dict):
        given = {name: declared.get(name, DEFAULTS[name]) for name in CAPABILITIES}
    elif all(hasattr(declared, name) for name in CAPABILITIES):
        given = {name: getattr(declared, name) for name in CAPABILITIES}
    else:
        raise Refused(f"capabilities is a {type(declared).__name__}, but should be a Capabilities or a dict")
    return {name: list(value) if isinstance(value, (tuple, set)) else value for name, value in given.items()}


def _version(backend: Any) -> str:
    found = getattr(backend, "version", None)
    if isinstance(found, str):
        return found
    module = getattr(backend, "__module__", None) or getattr(backend, "__name__", "") or type(backend).__module__
    top = str(module).split(".")[0]
    try:
        return version(top)
    except (PackageNotFoundError, ValueError):
        return str(getattr(sys.modules.get(top), "__version__", "unknown"))
