"""What a legal implementation may do with a call, as arrays that results are compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multimargin_reference import exact, oracle
from multimargin_reference.arithmetic import Real
from multimargin_reference.case import Case
from multimargin_reference.enclosures import enclosure, gradient_enclosure
from multimargin_reference.formats import HALVES, Format
from multimargin_reference.interval import Interval

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Enclosures:
    """The legal values of one result array, element by element.

    lo, hi: flat float64, ends of the closed intervals on the result dtype's grid (lo > hi: no finite value is legal).
    nearest: flat float64, the exact results rounded once to the dtype. also: special values that are legal too, by flat
    index, out of "inf", "-inf", "nan", "0". dtype: None allows any floating dtype (behaviours only). wide_lo, wide_hi:
    for halves, what computing in float32 with one final rounding may return (None: the same).
    """

    shape: tuple[int, ...]
    dtype: str | None
    lo: Floats
    hi: Floats
    nearest: Floats
    also: Mapping[int, frozenset[str]] = field(default_factory=dict)
    wide_lo: Floats | None = None
    wide_hi: Floats | None = None

    def outside(self, result: NDArray[Any]) -> Mask:
        """Return which elements (flat) of a result of the right shape are not legal."""
        values = np.asarray(result).astype(np.float64).reshape(-1)
        bad: Mask = ~((self.lo <= values) & (values <= self.hi))
        for name, places in self._special_places.items():
            there = values[places]
            bad[places] &= ~np.isnan(there) if name == "nan" else there != float(name)
        return bad

    def admits(self, result: NDArray[Any]) -> bool:
        """Return whether all elements of a result of the right shape are legal."""
        if self.also:
            return not self.outside(result).any()
        values = np.asarray(result).astype(np.float64).reshape(-1)
        return bool(((self.lo <= values) & (values <= self.hi)).all())

    def full(self) -> Enclosures:
        """Return this: every element has its own here."""
        return self

    @cached_property
    def _special_places(self) -> Mapping[str, NDArray[np.int64]]:
        """Where each special value is legal: flat indices by name."""
        found: dict[str, list[int]] = {}
        for index, names in self.also.items():
            for name in names:
                found.setdefault(name, []).append(index)
        return {name: np.array(places) for name, places in found.items()}

    def outside_widened(self, result: NDArray[Any]) -> Mask:
        """Return which elements (flat) are outside the narrower enclosure of a widened half evaluation."""
        if self.wide_lo is None or self.wide_hi is None:
            return self.outside(result)
        values = np.asarray(result).astype(np.float64).reshape(-1)
        return self.outside(result) | ~((self.wide_lo <= values) & (values <= self.wide_hi) | ~np.isfinite(values))

    def narrowed_to_widened(self) -> Enclosures:
        """Return the enclosures of a widened half evaluation alone; the same where there is no difference."""
        if self.wide_lo is None or self.wide_hi is None:
            return self
        return replace(self, lo=self.wide_lo, hi=self.wide_hi)

    @property
    def exact(self) -> bool:
        """Whether one value alone is legal for every element."""
        return not self.also and bool(np.all(self.lo == self.hi))


@dataclass(frozen=True)
class Values:
    """A valid call: the loss and, when grad_output is given, the gradient with respect to input."""

    loss: Enclosures
    gradient: Enclosures | None


@dataclass(frozen=True)
class Rejection:
    """An invalid call: any error, tied to a REJECT clause; a returned result is a failure."""

    clause: str


@dataclass(frozen=True)
class Choice:
    """A call where the specification leaves a choice: which kinds of answer are permitted, and what each is called.

    answers maps "finite", "nan", "inf" (what is in the result) and "rejected" to the behaviour's answer; a kind that
    is missing is not permitted. Whatever is returned must be inside `values`.
    """

    behaviour: str
    answers: Mapping[str, str]
    values: Values


Expectation = Values | Rejection | Choice


def expected_values(case: Case, *, flush: bool = False) -> Values:
    """Return what a legal implementation may return for a valid case; the gradient only when it has a grad_output.

    flush: with the permission to flush subnormals. Raises as `enclosures.enclosure` does.
    """
    loss_shape = case.target.shape if case.reduction == "none" else ()
    exact_loss, exact_gradient = exact_results(case)
    loss = _enclosures(case, enclosure, exact_loss, loss_shape, flush)
    if case.grad_output is None:
        return Values(loss, None)
    return Values(loss, _enclosures(case, gradient_enclosure, exact_gradient, case.input.shape, flush))


def exact_results(case: Case) -> tuple[list[Real], list[Real]]:
    """Return the exact loss and gradient, flat; the gradient is empty when the case has no grad_output."""
    arrays = [a for a in (case.input, case.weight, case.grad_output) if a is not None]
    if np.isfinite(case.margin) and all(np.isfinite(a.astype(np.float64)).all() for a in arrays):
        gradient = [] if case.grad_output is None else exact.gradient(case)
        return list(exact.loss(case)), [value for row in gradient for value in row]
    loss = oracle.loss(case.input, case.target, **case.options)
    losses = flattened(loss, case.target.ndim if case.reduction == "none" else 0)
    if case.grad_output is None:
        return losses, []
    return losses, flattened(
        oracle.gradient(case.grad_output, case.input, case.target, **case.options), case.input.ndim
    )


def _enclosures(case: Case, rule: Any, results: list[Real], shape: tuple[int, ...], flush: bool) -> Enclosures:
    fmt = case.format
    intervals = flattened(rule(case, flush=flush), len(shape))
    lo, hi, also = _ends(intervals, fmt)
    nearest = np.array([float(v) for v in _rounded(results, fmt)], dtype=np.float64)
    wide_lo = wide_hi = None
    if case.dtype in HALVES and not (np.all(lo == hi) and not also):
        wide_lo, wide_hi, _ = _ends(flattened(rule(case, widened=True, flush=flush), len(shape)), fmt)
    return Enclosures(shape, case.dtype, lo, hi, nearest, also, wide_lo, wide_hi)


def flattened(nested: Any, depth: int) -> list[Any]:
    """Flatten `depth` levels of nested lists; depth 0 is a bare number."""
    if depth == 0:
        return [nested]
    return list(nested) if depth == 1 else [v for inner in nested for v in inner]


def _rounded(values: Sequence[Real], fmt: Format) -> list[Real]:
    known: dict[int, Real] = {}
    return [known[id(v)] if id(v) in known else known.setdefault(id(v), fmt.round(v)) for v in values]


def _ends(intervals: Sequence[Interval], fmt: Format) -> tuple[Floats, Floats, dict[int, frozenset[str]]]:
    """Round the intervals inward to the format's grid; equal logits share one Interval object, handled once."""
    known = {id(i): i for i in intervals}
    ends = {key: _inward(i, fmt) for key, i in known.items()}
    lo = np.array([ends[id(i)][0] for i in intervals], dtype=np.float64)
    hi = np.array([ends[id(i)][1] for i in intervals], dtype=np.float64)
    return lo, hi, {k: i.also for k, i in enumerate(intervals) if i.also}


def _inward(interval: Interval, fmt: Format) -> tuple[float, float]:
    """Return the ends as doubles; where no finite value is legal, the infinity that is, or an empty interval."""
    if interval.lo is None or interval.hi is None:
        infinite = "inf" in interval.also, "-inf" in interval.also
        return {(True, False): (np.inf, np.inf), (False, True): (-np.inf, -np.inf)}.get(infinite, (np.inf, -np.inf))
    return float(fmt.ceil(interval.lo)) + 0.0, float(fmt.floor(interval.hi)) + 0.0  # + 0.0: no negative zero
