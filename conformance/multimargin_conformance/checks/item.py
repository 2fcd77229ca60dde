"""One planned verdict, and what a run is about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from multimargin_conformance.calling import Arrays
from multimargin_conformance.capabilities import Capabilities
from multimargin_conformance.integration import Integration
from multimargin_conformance.session import Result, Session
from multimargin_reference.case import Case

EXAMPLES = 4  # generated calls of a property


@dataclass(frozen=True)
class Generated:
    """How calls are generated: from which seed, how many of each property, and whether huge ones too."""

    seed: int = 0
    examples: int = EXAMPLES
    huge: bool = False

    def __post_init__(self) -> None:
        """Raise ValueError where nothing would be generated."""
        if self.examples < 1:
            raise ValueError(f"examples {self.examples}, but should be at least 1")


@dataclass(frozen=True)
class Scope:
    """Which dtypes are checked, whether the gradient is, and what the backend declared.

    operator: whether the operator itself is checked. integration: what brings the items of CLASS, None for none.
    """

    dtypes: tuple[str, ...]
    gradient: bool
    capabilities: Capabilities
    operator: bool = True
    integration: Integration | None = None
    generated: Generated = Generated()

    @property
    def flush(self) -> bool:
        """Whether the backend may flush subnormals."""
        return "flush-subnormals" in self.capabilities.permissions

    @property
    def widened(self) -> bool:
        """Whether the backend declared to compute halves in float32 with one final rounding, and so to store them."""
        return "accumulator" in self.capabilities.permissions and not self.flush


@dataclass(frozen=True)
class Item:
    """One planned verdict: an id, the clause that it speaks about, and how to get it.

    case: the vector's id, "" when the check makes its own calls. part: "loss" or "gradient". also: further clauses
    that a failure would break. kind: what sort of check it is, in a word: under pytest there is one test a clause,
    dtype and kind. call: gives the call, where the check is one call and what is legal for it; None where it is more,
    such as one call after another. calls: the calls that `run` always makes, in order, where it makes no others: a
    worker may be sent them before they are waited for. Each is a case and the arrays that replace its own. prepare:
    computes what is legal, and keeps it, where that takes time and needs no backend. exists: whether there is a call of
    its kind among what the backend declares, None where there is; it is asked last, since to make one takes longer than
    everything else that is planned.
    """

    id: str
    clause: str
    dtype: str
    part: str
    run: Callable[[Session], Result]
    case: str = ""
    also: tuple[str, ...] = ()
    kind: str = "calls"
    call: Callable[[], Case] | None = None
    calls: Callable[[], Sequence[tuple[Case, Arrays]]] | None = None
    prepare: Callable[[], object] | None = None
    exists: Callable[[], bool] | None = None
