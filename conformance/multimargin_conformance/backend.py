"""A backend as the checks see it, made from whatever the user handed over."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Protocol, runtime_checkable

from multimargin_conformance.capabilities import Capabilities
from multimargin_conformance.integration import Integration
from multimargin_conformance.outcome import text_of
from multimargin_conformance.source import LIVE

UNKNOWN = "unknown"


class UnknownBackend(LookupError):  # noqa: N818 (named for what the user sees)
    """A backend name that nothing answers to: a usage error (exit status 2)."""


class BackendNotStarted(RuntimeError):  # noqa: N818 (named for what the user sees)
    """A backend that was found but could not be started (exit status 3).

    stderr: the end of what its process wrote there, where it had one.
    """

    stderr = ""


@runtime_checkable
class Backend(Protocol):
    """NumPy arrays in, an array or NumPy scalar out; raises to reject. `backward` is optional."""

    def forward(self, input: Any, target: Any, *, p: Any, margin: Any, weight: Any, reduction: Any) -> Any:
        """Return the loss."""


@dataclass(frozen=True)
class Subject:
    """The implementation under test: its functions, its name, and what it declared.

    spec: how the command line names it, "" for a live object. source: Python source that gets hold of it, in the words
    of `framework` ("numpy", "torch" or "torch-kernel"). integration: what it offers beyond forward and backward.
    compiles: whether a call may compile first, which takes longer than a call. python: the interpreter that runs it,
    where it is not this one.
    """

    forward: Callable[..., Any]
    backward: Callable[..., Any] | None
    name: str
    version: str
    capabilities: Capabilities
    spec: str = ""
    device: str = ""
    source: str = LIVE
    framework: str = "numpy"
    integration: Integration | None = None
    compiles: bool = False
    python: str = ""


def subject(backend: Any, *, name: str = "", spec: str = "", device: str = "") -> Subject:
    """Return a live object, class instance, module or bare function as a subject.

    Raises BackendNotStarted where it is none of these.
    """
    if inspect.isclass(backend):
        backend = _instance(backend)
    forward = getattr(backend, "forward", None)
    backward = getattr(backend, "backward", None)
    if not callable(forward):
        forward, backward = backend, None
    if not callable(forward):
        raise BackendNotStarted(
            f"{name or type(backend).__name__!r} is neither callable nor has it a forward(input, target, *, p, margin, "
            "weight, reduction)"
        )
    capabilities = _capabilities(backend)
    integration = getattr(backend, "integration", None)
    return Subject(
        forward=forward,
        backward=backward if callable(backward) and capabilities.gradient else None,
        name=name or _name(backend),
        version=_version(backend),
        capabilities=capabilities,
        spec=spec,
        device=device or str(getattr(backend, "device", "")),
        source=str(getattr(backend, "source", LIVE)),
        framework=str(getattr(backend, "framework", "numpy")),
        integration=integration if isinstance(integration, Integration) else None,
        compiles=getattr(backend, "compiles", False) is True,
    )


def live(backend: Any, *, device: str = "") -> Subject:
    """Return a live object as a subject; one that cannot be a backend becomes one that fails every call."""
    try:
        return subject(backend, device=device)
    except BackendNotStarted as error:
        message = str(error)
    except (Exception, SystemExit) as error:  # its attributes raise
        message = f"{type(error).__name__}: {text_of(error)}"

    def forward(*_arguments: Any, **_options: Any) -> Any:
        raise TypeError(message)

    return Subject(forward, None, type(backend).__qualname__, UNKNOWN, Capabilities())


def _instance(cls: type) -> Any:
    try:
        return cls()
    except (Exception, SystemExit) as error:
        raise BackendNotStarted(f"{cls.__qualname__}() failed: {type(error).__name__}: {text_of(error)}") from error


def _capabilities(backend: Any) -> Capabilities:
    declared = getattr(backend, "capabilities", None)
    if declared is None:
        return Capabilities()
    if isinstance(declared, dict):  # as an adapter without multimargin says it
        try:
            return Capabilities(**declared)
        except (TypeError, ValueError) as error:
            raise BackendNotStarted(f"capabilities {declared!r}: {error}") from error
    if not isinstance(declared, Capabilities):
        raise BackendNotStarted(f"capabilities is a {type(declared).__name__}, but should be a Capabilities")
    return declared


def _name(backend: Any) -> str:
    for attribute in ("name", "__qualname__", "__name__"):
        if isinstance(value := getattr(backend, attribute, None), str):
            return value
    return type(backend).__qualname__


def _version(backend: Any) -> str:
    if isinstance(value := getattr(backend, "version", None), str):
        return value
    module = getattr(backend, "__module__", None) or getattr(backend, "__name__", "") or type(backend).__module__
    top = str(module).split(".")[0]
    found = distribution_version(top)
    return found if found != UNKNOWN else str(getattr(sys.modules.get(top), "__version__", UNKNOWN))


@cache
def distribution_version(name: str) -> str:
    """Return the version of an installed distribution, "unknown" where there is none."""
    try:
        return version(name)
    except (PackageNotFoundError, ValueError):
        return UNKNOWN
