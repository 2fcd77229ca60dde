"""The families of golden vectors, by clause group."""

from __future__ import annotations

from collections.abc import Iterator

from multimargin_vectors.draft import Draft
from multimargin_vectors.families import (
    covering,
    extremes,
    gradient,
    large,
    rejection,
    rounded,
    shape,
    special,
    value,
    weight,
)

MODULES = (value, weight, shape, gradient, special, extremes, rejection, covering, rounded, large)


def drafts() -> Iterator[Draft]:
    """Yield every family's drafts."""
    for module in MODULES:
        yield from module.drafts()
