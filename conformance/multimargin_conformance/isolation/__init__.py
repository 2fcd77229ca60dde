"""Backends in processes of their own: nothing that one does there can stop a run (PROTOCOL.md)."""

from __future__ import annotations

from multimargin_conformance.isolation.echo import echo_probe
from multimargin_conformance.isolation.launch import Limits, opened
from multimargin_conformance.isolation.start import started

__all__ = ["Limits", "echo_probe", "opened", "started"]
