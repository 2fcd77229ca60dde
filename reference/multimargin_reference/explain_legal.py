"""What is legal for one number of a call, in words: the interval, its width, and why it has that width."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from multimargin_reference.case import Case
from multimargin_reference.enclosures import in_domain
from multimargin_reference.exact_grid import gradient_is_exact, loss_is_exact
from multimargin_reference.expectation import Enclosures, Values
from multimargin_reference.formats import FORMATS, HALVES
from multimargin_reference.number_text import float_text
from multimargin_reference.problem import Problem, Row, Term

GRID = "the exact grid: no operation rounds, in any order, so every legal implementation returns this one answer"
UNDECIDABLE = "rounding leaves the sign of a z undecidable: 0 or the active value, and nothing between (GRADIENT-4)"


def legal_text(e: Enclosures, index: int, *, width: bool = True) -> str:
    """Return what is legal for one element: a number, or an interval and its width in ULP, and special values."""
    lo, hi, dtype = float(e.lo[index]), float(e.hi[index]), e.dtype or "float64"
    names = sorted(e.also.get(index, ()))
    words = [] if lo > hi else [float_text(lo, dtype)] if lo == hi else [_interval(lo, hi, dtype)]
    text = " or ".join(words + [name for name in names if name not in words])
    ulps = width_in_ulp(e, index)
    text += f", {_count(ulps)} ULP wide" if width and ulps is not None else ""
    return text + (_widened(e, index, dtype) if width else "")


def width_in_ulp(e: Enclosures, index: int) -> Fraction | None:
    """Return hi - lo in ULP of the correctly rounded result; None where one of them is not finite."""
    lo, hi, nearest = float(e.lo[index]), float(e.hi[index]), float(e.nearest[index])
    if not (np.isfinite(lo) and np.isfinite(hi) and np.isfinite(nearest)):
        return None
    return (Fraction(hi) - Fraction(lo)) / FORMATS[e.dtype or "float64"].ulp(Fraction(nearest))


def _count(value: Fraction) -> str:
    return str(value.numerator) if value.denominator == 1 and value < 10**9 else f"{_approximately(value):.3g}"


def _approximately(value: Fraction) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf")


def _interval(lo: float, hi: float, dtype: str) -> str:
    return f"[{float_text(lo, dtype)}, {float_text(hi, dtype)}]"


def _widened(e: Enclosures, index: int, dtype: str) -> str:
    if e.wide_lo is None or e.wide_hi is None:
        return ""
    lo, hi = float(e.wide_lo[index]), float(e.wide_hi[index])
    if lo > hi or (lo, hi) == (float(e.lo[index]), float(e.hi[index])):
        return ""
    one = float_text(lo, dtype) if lo == hi else _interval(lo, hi, dtype)
    return f"; computed in float32 with one final rounding: only {one}"


def reason_of_loss(case: Case, exact: Problem, e: Enclosures, index: int) -> str:
    """Say why one loss has its enclosure: nothing rounds, or what may round."""
    rows = range(len(exact.rows)) if exact.reduction != "none" else range(index, index + 1)
    if not rows:
        return "a sum of nothing rounds nowhere"
    if not in_domain(case):
        return f"margin is not finite in {exact.format.name}: a choice (SPECIAL-8)"
    figures = [exact.figures[i] for i in rows]
    if not np.isfinite(e.lo[index]):
        return _beyond(exact, figures, rows)
    if not any(_counting(row) for row in figures) and not e.also.get(index):
        return "no term can be active: adding zeros never rounds"
    if not e.also.get(index) and loss_is_exact(exact, rows):
        return GRID
    one = "; of the numbers within the bound one alone is in the dtype" if e.lo[index] == e.hi[index] else ""
    return _derived([*_special_causes(figures), *_loss_causes(exact, figures, rows)]) + one


def reason_of_gradient(case: Case, exact: Problem, e: Enclosures, row: int) -> str:
    """Say why the gradient's elements of one row have their enclosures."""
    if not in_domain(case):
        return f"margin is not finite in {exact.format.name}: a choice (SPECIAL-8)"
    place = slice(row * len(exact.rows[row]), (row + 1) * len(exact.rows[row]))
    also = [e.also[k] for k in range(place.start, place.stop) if k in e.also] if e.also else []
    figures = exact.figures[row]
    if not (also or _counting(figures) or e.lo[place].any() or e.hi[place].any()):
        return "no term can be active: every element is 0"
    if not also and gradient_is_exact(exact, row):
        return GRID
    kinks = f"; {UNDECIDABLE}" if any("0" in names for names in also) else ""
    return _derived([*_special_causes([figures]), *_gradient_causes(exact, figures, row)]) + kinks


def _counting(row: Row) -> bool:
    return bool(row.active or row.infinite or row.undefined)


def _beyond(exact: Problem, figures: list[Row], rows: range) -> str:
    """Say why no finite number is legal."""
    special = any(row.infinite or row.undefined for row in figures)
    if special or any(not isinstance(exact.weights[i], Fraction) for i in rows):
        return "infinite or undefined numbers decide, whatever rounds"
    return "every number within the bound is at or beyond the overflow threshold (SPECIAL-6)"


def _derived(causes: list[str]) -> str:
    """List what a legal evaluation may round, in words."""
    bound = "a bound on every legal evaluation (SPEC.md, appendix A)"
    return f"{bound}: {'; '.join(causes)}" if causes else f"{bound}; this call is not recognised as exact"


def _special_causes(figures: list[Row]) -> list[str]:
    infinite = sum(sum(row.infinite.values()) for row in figures)
    undefined = sum(sum(row.undefined.values()) for row in figures)
    words = [f"{infinite} infinite z" if infinite else "", f"{undefined} undefined z" if undefined else ""]
    return [word for word in words if word]


def _loss_causes(exact: Problem, figures: list[Row], rows: range) -> list[str]:
    terms = [term for row in figures for term in row.active]
    weights = {w for i in rows if isinstance(w := exact.weights[i], Fraction)}
    n = sum(t.count for t in terms)
    possible = (
        *_term_causes(exact, terms),
        (exact.p == 2 and n > 0, "the squares may round"),
        (any(not _is_power_of_two(w) for w in weights), "products with w[y] may round"),
        *_sum_causes(exact, n),
    )
    return [words for applies, words in possible if applies]


def _gradient_causes(exact: Problem, row: Row, index: int) -> list[str]:
    factors = [f for f in (exact.grads[index], exact.weights[index]) if isinstance(f, Fraction)]
    own = row.own is not None and row.own.upper > 0
    possible = (
        *_term_causes(exact, row.active),
        (exact.p == 2 and bool(row.active), "products with z may round"),
        (any(not _is_power_of_two(f) for f in factors), "products with grad_output and w[y] may round"),
        *_sum_causes(exact, sum(t.count for t in row.active)),
        (own, "at the target its own term may be added and taken away again"),
    )
    return [words for applies, words in possible if applies]


def _term_causes(exact: Problem, terms: list[Term]) -> list[tuple[bool, str]]:
    n, rounding = sum(t.count for t in terms), sum(t.count for t in terms if t.e)
    inexact = isinstance(exact.margin, Fraction) and not exact.format.represents(exact.margin)
    return [
        (inexact, f"margin is no {exact.format.name} number"),
        (rounding > 0, f"{rounding} of {n} sums margin - x[y] + x[i] may round"),
    ]


def _sum_causes(exact: Problem, n: int) -> list[tuple[bool, str]]:
    return [
        (n > 1, f"{n} terms may be added in any order: {n - 1} rounding{'s' * (n != 2)}"),
        (not _is_power_of_two(Fraction(exact.divisor)), f"1 / {exact.divisor} is no {exact.format.name} number"),
        (exact.format.name in HALVES, f"computing in {exact.format.name} itself is legal"),
    ]


def _is_power_of_two(value: Fraction) -> bool:
    n, d = abs(value.numerator), value.denominator
    return n & (n - 1) == 0 and d & (d - 1) == 0


def special_clauses(case: Case, values: Values | None) -> list[str]:
    """Return the ids of the SPECIAL clauses that a valid call meets."""
    x, y = np.atleast_2d(case.input).astype(np.float64), np.atleast_1d(case.target)
    own = x[np.arange(len(y)), y][:, None]
    others = np.where(np.arange(x.shape[1]) == y[:, None], 0.0, x)
    arrays = [a.astype(np.float64) for a in (case.weight, case.grad_output) if a is not None]
    undefined = (np.isinf(own) & (others == own)).any() or not in_domain(case)
    zero_factor = any((a == 0).any() for a in arrays) and bool(np.isinf(x).any())
    met = {
        "SPECIAL-1": ((others == -np.inf) & np.isfinite(own)).any(),
        "SPECIAL-2": ((others == np.inf) & np.isfinite(own)).any(),
        "SPECIAL-3": bool((own == np.inf).any()),
        "SPECIAL-4": bool((own == -np.inf).any()),
        "SPECIAL-5": any(_subnormal(a, case) for a in (x, *arrays, *_nearest(values))),
        "SPECIAL-6": bool(np.isfinite(x).all()) and _overflows(values),
        "SPECIAL-7": bool(np.isnan(x).any()),
        "SPECIAL-8": undefined or zero_factor or not all(np.isfinite(a).all() for a in arrays),
    }
    return [clause for clause, holds in met.items() if holds]


def _nearest(values: Values | None) -> list[NDArray[np.float64]]:
    return [] if values is None else [e.nearest for e in (values.loss, values.gradient) if e is not None]


def _subnormal(array: NDArray[np.float64], case: Case) -> bool:
    return bool(((array != 0) & (np.abs(array) < float(case.format.smallest_normal))).any())


def _overflows(values: Values | None) -> bool:
    parts = [] if values is None else [e for e in (values.loss, values.gradient) if e is not None]
    return any(np.isinf(e.nearest).any() or any(names - {"0", "nan"} for names in e.also.values()) for e in parts)
