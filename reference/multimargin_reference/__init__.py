"""MultiMarginLoss: the specification's reference implementations, its exact oracle and its enclosures."""

from __future__ import annotations

from multimargin_reference import oracle
from multimargin_reference.case import Case
from multimargin_reference.interval import Interval

__all__ = ["Case", "Interval", "oracle"]
