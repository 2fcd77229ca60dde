"""The conformance suite for MultiMarginLoss: check any implementation against the specification.

What it exports is imported on first use, so that the command line starts at once.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from multimargin_conformance.backend import Backend, BackendNotStarted, UnknownBackend
    from multimargin_conformance.capabilities import Capabilities
    from multimargin_conformance.cases import UnknownCase
    from multimargin_conformance.profiles import UnknownProfile
    from multimargin_conformance.runner import check, replay

HOMES = {
    "Backend": "backend",
    "BackendNotStarted": "backend",
    "Capabilities": "capabilities",
    "UnknownBackend": "backend",
    "UnknownCase": "cases",
    "UnknownProfile": "profiles",
    "check": "runner",
    "replay": "runner",
}
__all__ = [
    "Backend",
    "BackendNotStarted",
    "Capabilities",
    "UnknownBackend",
    "UnknownCase",
    "UnknownProfile",
    "check",
    "replay",
]


def __getattr__(name: str) -> Any:
    """Import an exported name from its module. Raises AttributeError for any other."""
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{HOMES[name]}"), name)
