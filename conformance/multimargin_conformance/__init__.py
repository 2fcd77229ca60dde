"""The conformance suite for MultiMarginLoss: check any implementation against the specification."""

from __future__ import annotations

from multimargin_conformance.backend import Backend, BackendNotStarted, UnknownBackend
from multimargin_conformance.capabilities import Capabilities
from multimargin_conformance.profiles import UnknownProfile
from multimargin_conformance.runner import check, replay

__all__ = ["Backend", "BackendNotStarted", "Capabilities", "UnknownBackend", "UnknownProfile", "check", "replay"]
