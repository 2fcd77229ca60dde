"""Known faults that no call can tell apart, with the reason: each is kept for the mistake that it stands for."""

from __future__ import annotations

ALIKE: dict[tuple[str, ...], str] = {}
