"""Failures that explain themselves: grouped by cause, compared with known faults, shrunk to the smallest call."""

from __future__ import annotations

from multimargin_conformance.diagnosis.causes import Diagnosis, Failed, Smallest, diagnose
from multimargin_conformance.diagnosis.joining import Mark, Part, joined

__all__ = ["Diagnosis", "Failed", "Mark", "Part", "Smallest", "diagnose", "joined"]
