"""What a clause is, and how the tables write one down."""

from __future__ import annotations

from dataclasses import dataclass
from inspect import cleandoc

LEVELS = ("MUST", "SHOULD")
PROFILES = ("core", "training", "half", "torch")

DOCUMENTATION = "documentation"
IEEE_754 = "IEEE 754"
PYTORCH = "PyTorch CPU kernel behaviour (2.13)"
SOURCES = (DOCUMENTATION, IEEE_754, PYTORCH)


@dataclass(frozen=True)
class Clause:
    """One normative statement of SPEC.md.

    level: "MUST" or "SHOULD" (RFC 2119). profile: the narrowest profile that it belongs to. example: doctest source,
    to be run in `examples.namespace()`. source: one or more of `SOURCES`, separated by commas.
    """

    id: str
    title: str
    level: str
    profile: str
    sentence: str
    example: str
    source: str

    @property
    def label(self) -> str:
        """Id and title, as they are printed everywhere: "GRADIENT-4 kink"."""
        return f"{self.id} {self.title}"

    @property
    def group(self) -> str:
        """The group's name: "GRADIENT"."""
        return self.id.rpartition("-")[0]


def clause(id: str, title: str, level: str, profile: str, sentence: str, example: str, *sources: str) -> Clause:
    """Return a clause from text that is indented and wrapped as Python source likes it."""
    return Clause(id, title, level, profile, " ".join(sentence.split()), cleandoc(example), ", ".join(sources))
