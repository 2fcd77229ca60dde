"""A case as exact numbers, and the error of each of its terms: what the enclosures are computed from.

Symbols as in SPEC.md's appendix A: u unit roundoff, eta smallest subnormal, z = margin - x[y] + x[i], e its error.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np

from multimargin_reference.arithmetic import Real, exact, total
from multimargin_reference.case import Case
from multimargin_reference.formats import Format
from multimargin_reference.validation import validate, validate_grad_output

ZERO = Fraction(0)
ONE = Fraction(1)


@dataclass(frozen=True)
class Problem:
    """A valid call in exact numbers, to be evaluated in `format`; `flush` if subnormals may be flushed."""

    rows: tuple[tuple[Real, ...], ...]
    targets: tuple[int, ...]
    weights: tuple[Real, ...]  # w[y] of each row
    grads: tuple[Real, ...]  # grad_output of each row
    margin: Real
    p: int
    reduction: str
    format: Format
    flush: bool = False

    @property
    def divisor(self) -> int:
        """C for none and sum, N * C for mean."""
        classes = len(self.rows[0]) if self.rows else 1
        return classes * max(1, len(self.rows)) if self.reduction == "mean" else classes

    @cached_property
    def figures(self) -> tuple[Row, ...]:
        """Every row's terms; equal rows share one Row (a batch of 65,537 may have a handful of different ones)."""
        keys = list(zip(self.targets, map(id, self.rows), strict=True))  # equal rows are one tuple
        known = {key: row_terms(self, i) for key, i in {key: i for i, key in enumerate(keys)}.items()}
        return tuple(known[key] for key in keys)

    @property
    def eta(self) -> Fraction:
        """Largest error of an underflowing operation, doubled: eta, or twice the smallest normal when flushing."""
        return 2 * self.format.smallest_normal if self.flush else self.format.eta


@dataclass(frozen=True)
class Term:
    """One term i != y of a row: z = margin - x[y] + x[i] and the bound e on a legal evaluation's error in it."""

    z: Fraction
    e: Fraction
    reach: Fraction  # the largest value that z or an intermediate sum can take (0 if all are negative)
    count: int  # how many classes of the row share this logit

    @property
    def upper(self) -> Fraction:
        """The largest hinge that a legal evaluation may see."""
        return max(self.z + self.e, ZERO)

    @property
    def lower(self) -> Fraction:
        """The smallest hinge that a legal evaluation may see."""
        return max(self.z - self.e, ZERO)


@dataclass(frozen=True)
class Row:
    """One row: its finite terms by logit, and how many terms are +inf or undefined (NaN, inf - inf)."""

    terms: dict[Real, Term]
    own: Term | None  # the term i = y, which a keep-and-cancel evaluation forms; None when not finite
    infinite: dict[Real, int]  # logits whose z is +inf, and how many classes share them
    undefined: dict[Real, int]  # logits whose z is NaN

    @property
    def active(self) -> list[Term]:
        """The terms that a legal evaluation may see as positive."""
        return [t for t in self.terms.values() if t.upper > 0]


def problem(case: Case, *, format: Format | None = None, flush: bool = False) -> Problem:
    """Return a valid case in exact numbers; `format` is input's unless given. Raises as `validate` does."""
    call = validate(case.input, case.target, case.p, case.margin, case.weight, case.reduction)
    grads: tuple[Real, ...] = (ONE,) * len(call.target)
    weights = grads
    if call.weight is not None:
        weights = _exact_row(call.weight[call.target].astype(np.float64).tolist())
    if case.grad_output is not None:
        grads = _exact_row(validate_grad_output(case.grad_output, call).astype(np.float64).tolist())
    return Problem(
        rows=_exact_rows(call.input.astype(np.float64).tolist()),
        targets=tuple(int(y) for y in call.target),
        weights=weights,
        grads=grads,
        margin=exact(call.margin),
        p=call.p,
        reduction=call.reduction,
        format=format or case.format,
        flush=flush,
    )


def _exact_rows(rows: list[list[float]]) -> tuple[tuple[Real, ...], ...]:
    """Convert rows, equal ones once: to the same tuple."""
    keys = list(map(tuple, rows))
    known = {key: _exact_row(key) for key in dict.fromkeys(keys)}
    return tuple(map(known.__getitem__, keys))


def _exact_row(values: Sequence[float]) -> tuple[Real, ...]:
    """Convert a row, equal numbers once: to the same object (large sparse rows repeat a few)."""
    known: dict[float, Real] = {}
    return tuple(known[v] if v in known else known.setdefault(v, exact(v)) for v in values)


def row_terms(problem: Problem, index: int) -> Row:
    """Return the terms of one row, each distinct logit evaluated once."""
    logits, y = problem.rows[index], problem.targets[index]
    counts: Counter[Real] = Counter()
    objects = {id(x): x for x in logits}
    for key, count in Counter(map(id, logits)).items():  # equal logits are one object: hash few exact numbers
        counts[objects[key]] += count
    counts[logits[y]] -= 1
    terms: dict[Real, Term] = {}
    infinite: dict[Real, int] = {}
    undefined: dict[Real, int] = {}
    for x, count in counts.items():
        if not count:
            continue
        z = total([problem.margin, -logits[y], x])
        _refuse_overflow_beside_infinity(problem, logits[y], x)
        if isinstance(z, Fraction):
            terms[x] = _term(problem, logits[y], x, count)
        elif z != z:
            undefined[x] = count
        elif z > 0:
            infinite[x] = count
    finite = isinstance(total([problem.margin, logits[y]]), Fraction)
    own = _term(problem, logits[y], logits[y], 1) if finite else None
    return Row(terms, own, infinite, undefined)


def _refuse_overflow_beside_infinity(problem: Problem, xy: Real, xi: Real) -> None:
    """Raise ValueError where a finite first sum overflows beside an infinite logit (SPEC.md, A.14: not judged)."""
    margin = problem.margin
    if not isinstance(margin, Fraction):
        return
    finite = [margin - xy] if isinstance(xy, Fraction) else [margin + xi] if isinstance(xi, Fraction) else []
    beside_infinity = not (isinstance(xy, Fraction) and isinstance(xi, Fraction))
    if beside_infinity and any(abs(first) >= problem.format.largest for first in finite):
        raise ValueError(f"logits {float(xy)} and {float(xi)}: a first sum overflows beside an infinity, not judged")


def _term(problem: Problem, xy: Real, xi: Real, count: int) -> Term:
    """Bound the error of margin - x[y] + x[i] in any association (SPEC.md, appendix A, "the three-term sum")."""
    m = problem.margin
    assert isinstance(m, Fraction)
    assert isinstance(xy, Fraction)
    assert isinstance(xi, Fraction)
    z = m - xy + xi
    partial = (m - xy, xi - xy, m + xi)
    e = ZERO if _exactly_evaluated(problem, (m, xy, xi, z, *partial)) else _sum_error(problem, m, z, partial)
    return Term(z, e, max(ZERO, z, *partial) + e, count)


def _exactly_evaluated(problem: Problem, values: tuple[Fraction, ...]) -> bool:
    """Whether every value a legal evaluation can form is a number of the format, so that nothing rounds."""
    fmt = problem.format
    floor = fmt.smallest_normal if problem.flush else ZERO
    return all(fmt.represents(v) and (not v or abs(v) >= floor) for v in values)


def _sum_error(problem: Problem, m: Fraction, z: Fraction, partial: tuple[Fraction, ...]) -> Fraction:
    fmt = problem.format
    e0 = ZERO if fmt.represents(m) else fmt.u * abs(m) + fmt.eta / 2
    e = e0 + fmt.u * (max(abs(s) for s in partial) + e0)
    e += fmt.u * (abs(z) + e)
    return e + 5 * fmt.smallest_normal if problem.flush else e  # three inputs, one partial sum and z may flush
