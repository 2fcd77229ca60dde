"""How the vector families write down a call once for all dtypes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multimargin_reference.arithmetic import exact, total
from multimargin_reference.case import Case
from multimargin_reference.enclosures import in_domain
from multimargin_reference.expectation import Choice, Expectation, Rejection, Values, expected_values
from multimargin_reference.formats import DTYPES
from multimargin_vectors.arrays import Recipe
from multimargin_vectors.model import Vector
from multimargin_vectors.splitmix import words

ALL = tuple(DTYPES)
SINGLE_AND_DOUBLE = ("float32", "float64")


@dataclass(frozen=True, eq=False)
class Draft:
    """A call in float64 numbers, to be made a vector in each of `dtypes`.

    x, w: numbers or a recipe; y: integers, an int64 array or a recipe; g: numbers, None for ones, or "absent".
    answers: for a choice, the behaviour's name and its permitted answers. meaning: the valid call that an accepted
    unusual one stands for. wanted: the tier that it must turn out to have ("" for any).
    """

    clauses: tuple[str, ...]
    comment: str
    x: Any
    y: Any
    p: float = 1
    margin: float = 1.0
    w: Any = None
    reduction: str = "mean"
    g: Any = None
    gradient_clauses: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    group: str = ""  # the first clause's unless given
    dtypes: tuple[str, ...] = ALL
    wanted: str = ""
    behaviour: str = ""
    answers: Mapping[str, str] = field(default_factory=dict)
    changes: Mapping[str, Any] = field(default_factory=dict)  # for a choice: what differs from the call it stands for

    def vectors(self) -> list[Vector]:
        """Return one vector a dtype."""
        return [self._vector(dtype) for dtype in self.dtypes]

    def case(self, dtype: str) -> Case:
        """Return the call in one dtype."""
        x, w = _array(self.x, dtype), None if self.w is None else _array(self.w, dtype)
        y = _array(self.y, "int64")
        case = Case(x, y, self.p, self.margin, w, self.reduction)
        if isinstance(self.g, str):
            return case
        shape = y.shape if self.reduction == "none" else ()
        g = np.ones(shape) if self.g is None else np.broadcast_to(np.asarray(self.g, dtype=np.float64), shape)
        return replace(case, grad_output=g.astype(DTYPES[dtype]))

    def _vector(self, dtype: str) -> Vector:
        case = self.case(dtype)
        if "GRADIENT-4" not in self.gradient_clauses and not self.clauses[0].startswith("REJECT") and has_kink(case):
            raise ValueError(f"{self.comment!r} in {dtype} has z = 0, which only GRADIENT-4 is about")
        rejection = self.clauses[0].startswith("REJECT") if self.clauses else False
        expected: Expectation = Rejection(self.clauses[0]) if rejection else self._values(case)
        tier = self._tier(case, expected)
        if self.wanted and tier != self.wanted:
            raise ValueError(f"{self.comment!r} in {dtype} is {tier}, but should be {self.wanted}")
        recipes = {k: _recipe(v, dtype) for k, v in (("input", self.x), ("weight", self.w)) if isinstance(v, Recipe)}
        if isinstance(self.y, Recipe):
            recipes["target"] = self.y
        called = replace(case, **self.changes)
        gradient_clauses = self.gradient_clauses if case.grad_output is not None else ()
        group = self.group or self.clauses[0].split("-")[0]
        return Vector(called, expected, self.clauses, gradient_clauses, tier, self.comment, self.flags, group, recipes)

    def _tier(self, case: Case, expected: Expectation) -> str:
        """Return what the vector's expectation can see (SPEC.md, appendix A)."""
        if isinstance(expected, Rejection):
            return "rejection"
        if isinstance(expected, Choice):
            return "choice"
        arrays = [a for a in (case.input, case.weight, case.grad_output) if a is not None]
        if not all(np.isfinite(a.astype(np.float64)).all() for a in arrays):
            return "special"
        if expected.loss.exact and (expected.gradient is None or expected.gradient.exact):
            return "exact"
        return "sparse" if isinstance(self.x, Recipe) else "rounded"

    def _values(self, case: Case) -> Expectation:
        values = _margin_values(case) if not in_domain(case) else expected_values(case)
        if not self.answers:
            return values
        if self.changes:  # an accepted unusual argument: right in value, in whichever dtype
            values = Values(replace(values.loss, dtype=None), values.gradient and replace(values.gradient, dtype=None))
        return Choice(self.behaviour, self.answers, values)


def _margin_values(case: Case) -> Values:
    """Expect of a margin that is infinite or beyond the dtype what a huge one gives, by the oracle's exact result."""
    if np.isnan(case.margin):
        return _nan_margin_values(case)
    values = expected_values(replace(case, margin=float(np.copysign(float(case.format.largest), case.margin))))
    infinite = np.full_like(values.loss.lo, np.inf)
    if case.margin > 0:
        also = dict.fromkeys(range(infinite.size), frozenset({"nan"}))  # the own term, masked by a multiplication
        loss = replace(values.loss, lo=infinite, hi=infinite, nearest=infinite, also=also)
        return Values(loss, values.gradient)
    return Values(replace(values.loss, also={}), values.gradient)


def _nan_margin_values(case: Case) -> Values:
    """Expect of a NaN margin what a NaN at every target gives: every z is NaN (SPEC.md, section 4)."""
    x = np.atleast_2d(case.input).copy()
    x[np.arange(len(x)), np.atleast_1d(case.target)] = np.nan
    return expected_values(replace(case, input=x.reshape(case.input.shape), margin=1.0))


def has_kink(case: Case) -> bool:
    """Whether some z of a valid call is exactly 0, seen in exact arithmetic where doubles might round."""
    x, y = np.atleast_2d(case.input).astype(np.float64), np.atleast_1d(case.target)
    rows = np.arange(len(x))
    with np.errstate(invalid="ignore", over="ignore"):
        z = case.margin - x[rows, y][:, None] + x
    z[rows, y] = 1
    return any(
        total([exact(case.margin), -exact(x[r, y[r]]), exact(x[r, i])]) == 0
        for r, i in np.argwhere(np.abs(z) <= np.abs(x) * 2.0**-50)
    )


def _array(values: Any, dtype: str) -> NDArray[Any]:
    if isinstance(values, Recipe):
        return _recipe(values, dtype).build()
    array = np.asarray(values)
    return (
        array
        if dtype == "int64" and array.dtype.kind in "iuf" and array.size
        else array.astype(DTYPES.get(dtype, dtype))
    )


def _recipe(recipe: Recipe, dtype: str) -> Recipe:
    return replace(recipe, dtype=dtype)


def uniform(seed: int, shape: tuple[int, ...], low: float = -4.0, high: float = 4.0) -> NDArray[np.float64]:
    """Return numbers with 53 random bits in [low, high) from stream `seed`."""
    unit = (words(seed, int(np.prod(shape, dtype=np.int64))) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return (low + (high - low) * unit).reshape(shape)
