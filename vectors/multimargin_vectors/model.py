"""A golden vector: a call, what a legal implementation may do with it, and why it is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from multimargin_reference.case import Case
from multimargin_reference.expectation import Expectation
from multimargin_reference.formats import DTYPES
from multimargin_vectors.arrays import Recipe

FORMAT_VERSION = 1
GENERATOR_VERSION = "1.0.0"  # changes when the families or the rules behind the expectations do
TIERS = ("exact", "sparse", "rounded", "special", "rejection", "choice")


@dataclass(frozen=True, eq=False)
class Vector:
    """One golden vector.

    clauses are judged by the loss (or the rejection), gradient_clauses by the gradient; the first of each names a
    failure. group: the clause group, and so the file, that it belongs to. recipes: by argument, for arrays too large to
    be written out.
    """

    case: Case
    expected: Expectation
    clauses: tuple[str, ...]
    gradient_clauses: tuple[str, ...]
    tier: str
    comment: str
    flags: tuple[str, ...]
    group: str
    recipes: Mapping[str, Recipe] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The case's id: it depends on the call alone."""
        return self.case.id

    @property
    def dtype(self) -> str:
        """The floating dtype that the vector is about (integer logits stand for float64)."""
        return self.case.dtype if self.case.dtype in DTYPES else "float64"


@dataclass(frozen=True)
class Outline:
    """What a list of vectors shows of one; the fields are those of Vector."""

    id: str
    dtype: str
    tier: str
    clauses: tuple[str, ...]
    gradient_clauses: tuple[str, ...]
    comment: str
