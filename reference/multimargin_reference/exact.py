"""The oracle's results for finite cases, 8 to 50 times as fast: each row as integers times one power of two.

Equal to `oracle` by test (tests/test_exact.py); prefer the oracle where speed does not matter.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from multimargin_reference.arithmetic import Real, exact
from multimargin_reference.case import Case
from multimargin_reference.formats import FORMATS, power_of_two
from multimargin_reference.validation import Arguments, validate, validate_grad_output

ZERO = Fraction(0)
ONE = Fraction(1)


@dataclass(frozen=True)
class ScaledRow:
    """One row: z_i = (offset + logits[i]) * unit, all integers but the unit, a power of two."""

    logits: list[int]
    offset: int
    unit: Fraction
    target: int
    weight: Fraction

    def hinges(self) -> Iterator[int]:
        """The positive z of the row, i = y left out, in units."""
        offset, y = self.offset, self.target
        return (x + offset for i, x in enumerate(self.logits) if x > -offset and i != y)


def loss(case: Case) -> list[Fraction]:
    """Return the exact loss of a finite case: one number a row for "none", otherwise a list of one.

    Raises as `validation.validate` does; ValueError for an infinity or a NaN among the numbers that count.
    """
    call = _validated(case)
    rows = [_row_loss(row, call.p) for row in _scaled_rows(call)]
    sums = rows if call.reduction == "none" else [sum(rows, ZERO)]
    return [row / call.divisor for row in sums]


def gradient(case: Case) -> list[list[Fraction]]:
    """Return the exact gradient of a finite case, one list a row, for its grad_output (1 when absent).

    Errors as for `loss`.
    """
    call = _validated(case)
    grads = [ONE] * len(call.target)
    if case.grad_output is not None:
        grads = [_finite(exact(g), "grad_output") for g in validate_grad_output(case.grad_output, call)]
    return [_row_gradient(row, call, g) for row, g in zip(_scaled_rows(call), grads, strict=True)]


def _row_loss(row: ScaledRow, p: int) -> Fraction:
    total = sum(row.hinges()) if p == 1 else sum(z * z for z in row.hinges())
    return row.weight * total * row.unit**p


def _row_gradient(row: ScaledRow, call: Arguments, g: Fraction) -> list[Fraction]:
    """Each distinct logit's element once: a fraction costs more than everything else."""
    p, offset, y = call.p, row.offset, row.target
    factor = g * row.weight * p * row.unit ** (p - 1) / call.divisor
    if p == 1:
        result = [factor if x > -offset else ZERO for x in row.logits]
        total = sum(1 for _ in row.hinges())
    else:
        known = {x: (x + offset) * factor if x > -offset else ZERO for x in set(row.logits)}
        result = [known[x] for x in row.logits]
        total = sum(row.hinges())
    result[y] = -total * factor
    return result


def _scaled_rows(call: Arguments) -> Iterator[ScaledRow]:
    """Scale each row by the power of two that makes its logits and the margin integers."""
    m = _finite(exact(call.margin), "margin")
    m_exponent = 1 - m.denominator.bit_length()
    digits, exponents = _digits(call)
    for i, y in enumerate(call.target.tolist()):
        used = exponents[i][digits[i] != 0]
        exponent = min(int(used.min()), m_exponent) if used.size else m_exponent
        shifts = np.maximum(exponents[i] - exponent, 0)  # of zeros too, where it does not matter
        logits = [d << s for d, s in zip(digits[i].tolist(), shifts.tolist(), strict=True)]
        margin = m.numerator << (m_exponent - exponent)
        weight = ONE if call.weight is None else _finite(exact(call.weight[y]), f"weight[{y}]")
        yield ScaledRow(logits, margin - logits[y], power_of_two(exponent), y, weight)


def _digits(call: Arguments) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the logits as digits * 2**exponents, both (N, C)."""
    precision = FORMATS[call.input.dtype.name].precision
    fractions, exponents = np.frexp(call.input.astype(np.float64))
    digits = np.ldexp(fractions, precision).astype(np.int64)  # exact: |digits| <= 2**53
    return digits, exponents.astype(np.int64) - precision


def _validated(case: Case) -> Arguments:
    call = validate(case.input, case.target, case.p, case.margin, case.weight, case.reduction)
    where = np.argwhere(~np.isfinite(call.input))
    if where.size:
        raise ValueError(f"input{where[0].tolist()} is not finite, but should be: use the oracle")
    return call


def _finite(value: Real, name: str) -> Fraction:
    if not isinstance(value, Fraction):
        raise ValueError(f"{name}={value}, but should be finite: use the oracle")
    return value
