"""The one legal result of a call on the exact grid, by double arithmetic: `expected_values` in microseconds.

Where SPEC.md's conditions of the exact grid (appendix A.13) hold, no operation of any legal evaluation rounds in the
input's dtype, and so none here, in doubles. The conditions are tested with room to spare, so that their own rounding
does not matter; a call that is not recognised gets None, and then the general enclosures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from multimargin_reference.case import Case
from multimargin_reference.expectation import Enclosures, Floats, Values, expected_values
from multimargin_reference.formats import Format

ROOM = 2.0  # every bound is to hold with this factor to spare


def exact_values(case: Case, *, subnormal: bool = False) -> Values | None:
    """Return what every legal implementation returns for a valid case, None where something may round.

    With the permission to flush subnormals nothing rounds either, unless results may be `subnormal`.
    """
    if not case.target.size:
        return None
    with np.errstate(all="ignore"):
        call = _Call.of(case, subnormal)
        if call is None or not call.loss_is_exact:
            return None
        loss = _point(case, call.loss, case.target.shape if case.reduction == "none" else ())
        if case.grad_output is None:
            return Values(loss, None)
        return Values(loss, _point(case, call.gradient, case.input.shape)) if call.gradient_is_exact else None


def exact_gradient(case: Case, *, subnormal: bool = False) -> Enclosures | None:
    """Return the same of the gradient alone, whose loss may round; None too for a case without a gradient."""
    if not case.target.size or case.grad_output is None:
        return None
    with np.errstate(all="ignore"):
        call = _Call.of(case, subnormal)
        if call is None or not call.hinges_are_exact or not call.gradient_is_exact:
            return None
        return _point(case, call.gradient, case.input.shape)


def legal_values(case: Case, *, flush: bool = False) -> Values:
    """Return what a legal implementation may return for a valid case: by doubles where that is proof enough.

    flush: with the permission to flush subnormals.
    """
    return exact_values(case) or expected_values(case, flush=flush)


def _point(case: Case, values: Floats, shape: tuple[int, ...]) -> Enclosures:
    flat = values.reshape(-1) + 0.0  # no negative zero
    return Enclosures(shape, case.dtype, flat, flat, flat)


@dataclass(frozen=True)
class _Call:
    """A call in doubles. z: (N, C), 0 where inactive and at the target; own: the target's own term; g: (N,)."""

    format: Format
    z: Floats
    own: Floats
    reach: Floats  # (N, C): the largest value that any sum of z's three numbers takes
    y: Floats
    w: Floats
    g: Floats | None
    p: int
    reduction: str
    step: float  # every z is a multiple of it
    least: float  # the smallest number that nothing flushes, with room to spare

    @classmethod
    def of(cls, case: Case, subnormal: bool) -> _Call | None:
        """Return a call whose z, weights and divisors are exact, otherwise None."""
        fmt, m = case.format, float(case.margin)
        x, y = np.atleast_2d(case.input).astype(np.float64), np.atleast_1d(case.target)
        rows = np.arange(len(x))
        w = np.ones(len(x)) if case.weight is None else case.weight.astype(np.float64)[y]
        counts = (x.shape[1], *((len(x), x.size) if case.reduction == "mean" else ()))
        if not all(n & (n - 1) == 0 and n <= fmt.largest for n in counts) or not _powers_of_two(w):
            return None
        step = float(lowest_bits(np.append(x, m)).min())
        step = step if np.isfinite(step) else 1.0  # nothing but zeros, or what the next line refuses
        xy = x[rows, y][:, None]
        total = abs(m) + 2 * float(np.abs(x).max())
        if not total * ROOM <= 2.0**fmt.precision * step:  # NaN and infinities fail this
            return None
        z = np.maximum(m - xy + x, 0.0)
        own = z[rows, y].copy()
        z[rows, y] = 0.0
        reach = np.maximum.reduce([m - xy + np.zeros_like(x), x - xy, m + x, z, np.zeros_like(x)])
        grads = case.grad_output
        g = None if grads is None else np.broadcast_to(grads.astype(np.float64).reshape(-1), len(x))
        least = ROOM * float(fmt.eta if subnormal else fmt.smallest_normal)
        return cls(fmt, z, own, reach, y, w, g, int(case.p), case.reduction, step, least)

    @property
    def _divisor(self) -> float:
        return float(self.z.size if self.reduction == "mean" else self.z.shape[1])

    @property
    def _largest(self) -> float:
        return float(self.format.largest) / ROOM

    @property
    def hinges_are_exact(self) -> bool:
        """Whether no sum of z's three numbers rounds, overflows or is flushed."""
        return self.step >= self.least and float(self.reach.max()) < self._largest

    @property
    def loss_is_exact(self) -> bool:
        """Whether no sum, product or quotient of the loss rounds or overflows (A.13)."""
        size = np.abs(self.w) * ((self.z**self.p).sum(axis=1) + self.own**self.p)
        bound = np.maximum(1.0, np.abs(self.w))[:, None] * np.maximum(self.reach, self.reach**self.p)
        used = np.abs(self.w[self.w != 0])
        if not float(bound.sum()) < self._largest:
            return False
        if not used.size:
            return True
        unit, smallest = self.step**self.p, float(used.min())
        largest = float(size.max() if self.reduction == "none" else size.sum())
        fits = largest * ROOM <= 2.0**self.format.precision * unit * smallest
        return fits and min(1.0, self.step) ** self.p * min(1.0, smallest) / self._divisor >= self.least

    @property
    def loss(self) -> Floats:
        """The loss, (N,) or (1,)."""
        rows = self.w * (self.z**self.p).sum(axis=1)
        if self.reduction != "none":
            rows = rows.sum(keepdims=True)
        return np.asarray(rows / self._divisor)

    @property
    def gradient_is_exact(self) -> bool:
        """Whether no sum, product or quotient of any row's gradient rounds or overflows (A.13)."""
        assert self.g is not None
        if not np.isfinite(self.g).all():
            return False
        p, g, w = self.p, np.abs(self.g), np.abs(self.w)
        size = (self.z > 0).sum(axis=1) + (self.own > 0) if p == 1 else self.z.sum(axis=1) + self.own
        large = np.maximum(1.0, g) * np.maximum(1.0, w) * 2 * np.maximum(1.0, size)
        counts = (g != 0) & (w != 0)
        bits = lowest_bits(self.g)
        fits = size * g * ROOM <= 2.0**self.format.precision * self.step ** (p - 1) * bits
        small = np.minimum(1.0, bits) * min(1.0, self.step) ** (p - 1) * np.minimum(1.0, w) / self._divisor
        return bool((large < self._largest).all() and (~counts | (fits & (small >= self.least))).all())

    @property
    def gradient(self) -> Floats:
        """The gradient with respect to input, (N, C)."""
        assert self.g is not None
        slope = (self.z > 0).astype(np.float64) if self.p == 1 else 2 * self.z
        result: Floats = (self.g * self.w / self._divisor)[:, None] * slope
        rows = np.arange(len(result))
        result[rows, self.y] = -result.sum(axis=1)
        return result


def lowest_bits(values: Floats) -> Floats:
    """Return the largest power of two that divides each value: infinity for 0, NaN where it is not finite."""
    mantissas, exponents = np.frexp(values)
    whole = np.where(np.isfinite(mantissas), mantissas * 2.0**53, 0).astype(np.int64)
    lowest: Floats = np.ldexp((whole & -whole).astype(np.float64), exponents - 53)
    return np.where(np.isfinite(mantissas), np.where(whole == 0, np.inf, lowest), np.nan)


def _powers_of_two(values: Floats) -> bool:
    """Whether every value is 0 or a power of two, of either sign."""
    mantissas = np.abs(np.frexp(values)[0])
    return bool(((mantissas == 0.0) | (mantissas == 0.5)).all())
