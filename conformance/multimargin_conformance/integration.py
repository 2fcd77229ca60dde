"""What a backend offers beyond forward and backward: its place in a framework, checked by the clause group CLASS."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from multimargin_conformance.checks.item import Item, Scope


@runtime_checkable
class Integration(Protocol):
    """The checks that need the framework itself; an adapter offers them, since it alone imports the framework."""

    @property
    def has_class(self) -> bool:
        """Whether CLASS-1 to CLASS-4 apply."""

    def class_items(self, scope: Scope) -> Iterable[Item]:
        """Return the items of CLASS in scope: for a function those that make sense without a class."""
