"""Failures that explain themselves: grouped by cause, compared with known faults, shrunk to the smallest call."""

from __future__ import annotations

from multimargin_conformance.diagnosis.causes import Diagnosis, Failed, Smallest, diagnose

__all__ = ["Diagnosis", "Failed", "Smallest", "diagnose"]
