"""The shipped adapters, and how the command line's names find them."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import entry_points
from typing import Any

from multimargin_conformance.backend import BackendNotStarted, Subject, UnknownBackend, subject
from multimargin_conformance.outcome import text_of
from multimargin_conformance.source import LIVE, numpy_source, torch_source
from multimargin_conformance.worker.frameworks import FRAMEWORKS, is_framework, over_arrays
from multimargin_conformance.worker.frameworks import made as framework
from multimargin_conformance.worker.loading import module_of

ENTRY_POINTS = "multimargin.backends"
SHIPPED: dict[str, tuple[str, str, str]] = {
    "oracle": ("multimargin_conformance.adapters.oracle", "OracleBackend", "the exact scalar oracle, rounded once"),
    "reference": ("multimargin_conformance.adapters.reference", "ReferenceBackend", "the vectorized NumPy reference"),
    "torch": ("multimargin_conformance.adapters.torch", "TorchEager", "torch.nn.functional.multi_margin_loss"),
    "torch-decomposition": (
        "multimargin_conformance.adapters.torch",
        "TorchDecomposition",
        "what torch.compile, export and meta tensors use in its place",
    ),
    "torch-compile": (
        "multimargin_conformance.adapters.torch_compile",
        "TorchCompile",
        "torch.compile of it by inductor, forward and backward",
    ),
    "torch-compile-aot": (
        "multimargin_conformance.adapters.torch_compile",
        "TorchCompileAot",
        "torch.compile of it by aot_eager: traced and decomposed, no code generated",
    ),
    "torch-reference": (
        "multimargin_conformance.adapters.torch",
        "TorchReference",
        "this package's drop-in, multimargin_reference.torch",
    ),
}
INSTALLED_AS = {"torch": "PyTorch", "jax": "JAX"}
KINDS = ("py", "torch", "jax")


def names() -> dict[str, str]:
    """Return every backend that a plain name finds, and what it is."""
    found = {name: text for name, (_, _, text) in (SHIPPED | FRAMEWORKS).items()}
    return found | {e.name: f"entry point {e.value}" for e in entry_points(group=ENTRY_POINTS)}


def resolve(spec: str, *, device: str = "") -> Subject:
    """Return the backend that a command-line name stands for, started.

    Raises UnknownBackend where nothing has the name, BackendNotStarted where it could not be imported or made.
    """
    kind, _, rest = spec.partition(":")
    if kind in KINDS and rest:
        attribute = _attribute(rest, spec)
        location, _, attr = rest.rpartition(":")
        if kind == "jax":
            over = _started(spec, lambda: over_arrays(attribute, device))
            found = subject(over, name=spec, spec=spec, device=device)
            return replace(found, source=numpy_source(location, attr, attribute))
        if kind == "py":
            started: Subject = _started(spec, lambda: subject(attribute, name=spec, spec=spec, device=device))
            return replace(started, source=numpy_source(location, attr, attribute))
        made = _started(spec, lambda: _torch_adapter().wrapped(attribute, device))
        source = torch_source if made.framework == "torch" else numpy_source
        return replace(subject(made, name=spec, spec=spec, device=device), source=source(location, attr, attribute))
    if spec in SHIPPED:
        module, attr, _ = SHIPPED[spec]
        arguments = {"device": device} if device else {}
        made = _started(spec, lambda: getattr(importlib.import_module(module), attr)(**arguments))
        found = subject(made, spec=spec, device=device)
        return replace(found, source=numpy_source(module, attr, type(made))) if found.source == LIVE else found
    if is_framework(spec):
        adapter, text = _started(spec, lambda: framework(spec, device))
        return replace(subject(adapter, name=spec, spec=spec, device=device), source=text)
    for entry in entry_points(group=ENTRY_POINTS):
        if entry.name == spec:
            return subject(_started(spec, entry.load), name=spec, spec=spec, device=device)
    raise UnknownBackend(
        f"no backend {spec!r}; shipped: {', '.join(sorted(names()))}; yours: py:module:attr, torch:module:attr, "
        "jax:module:attr or py:path/to/file.py:attr"
    )


def prepare(spec: str) -> None:
    """Import the adapter that a name needs, and with it the framework; make nothing, so that no device is touched."""
    if spec in SHIPPED:
        importlib.import_module(SHIPPED[spec][0])
    elif spec.partition(":")[0] == "torch":
        _torch_adapter()


def _torch_adapter() -> Any:
    return importlib.import_module("multimargin_conformance.adapters.torch")


def _started(spec: str, start: Callable[[], Any]) -> Any:
    try:
        return start()
    except BackendNotStarted:
        raise
    except (Exception, SystemExit) as error:  # a script that ends itself on import must not end in its status
        hint = ""
        if isinstance(error, ModuleNotFoundError) and error.name in INSTALLED_AS:
            hint = f"; install {INSTALLED_AS[error.name]}, or multimargin[{error.name}]"
        raise BackendNotStarted(f"{spec}: {type(error).__name__}: {text_of(error)}{hint}") from error


def _attribute(text: str, spec: str) -> Any:
    """Return the object at module:attr or path/file.py:attr; the current directory is searched first."""
    location, _, attr = text.rpartition(":")
    if not location or not attr:
        raise UnknownBackend(f"{spec!r}, but should be {spec.split(':')[0]}:module:attr or a path/file.py:attr")
    found: Any = _started(spec, lambda: module_of(location))
    found = _started(spec, lambda: _within(found, attr, f"{spec}: {location} has no {attr!r}"))
    if not callable(found) and not callable(getattr(found, "forward", None)):
        raise BackendNotStarted(f"{spec}: {attr!r} is a {type(found).__name__}, neither callable nor with a forward")
    return found


def _within(found: Any, attr: str, missing: str) -> Any:
    for part in attr.split("."):
        if not hasattr(found, part):
            raise BackendNotStarted(missing)
        found = getattr(found, part)
    return found
