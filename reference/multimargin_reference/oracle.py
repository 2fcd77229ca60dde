"""The exact scalar oracle: the loss and its gradient by the formula, term by term, in rational arithmetic.

Deliberately slow and plain, to be checked against SPEC.md by eye. Finite results are `Fraction`; non-finite ones are
floats. Where SPEC.md leaves a choice (a NaN or inf - inf in a term) the oracle drops the term: only z > 0 counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from numpy.typing import ArrayLike

from multimargin_reference import enclosures
from multimargin_reference.arithmetic import Real, exact, product, total
from multimargin_reference.case import Case
from multimargin_reference.validation import Arguments, validate, validate_grad_output

Row = Sequence[Real]


def loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    p: int = 1,
    margin: float = 1.0,
    weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Any:
    """Return the exact loss: one number, or a list of one number a row for "none" with a batch.

    input: (N, C) or (C,); target: (N,) or (); weight: (C,). Raises as `validation.validate` does.
    """
    call = validate(input, target, p, margin, weight, reduction)
    rows = [row_loss(x, y, call.p, m, w) for x, y, m, w in _rows(call)]
    if reduction != "none":
        return product(total(rows), Fraction(1, call.divisor))
    losses = [product(row, Fraction(1, call.divisor)) for row in rows]
    return losses if call.batched else losses[0]


def gradient(
    grad_output: ArrayLike,
    input: ArrayLike,
    target: ArrayLike,
    *,
    p: int = 1,
    margin: float = 1.0,
    weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Any:
    """Return the exact gradient with respect to input, as nested lists of input's shape.

    grad_output: a scalar for mean and sum, the loss's shape for none. Raises as `validation.validate` does.
    """
    call = validate(input, target, p, margin, weight, reduction)
    factors = [product(exact(g), Fraction(1, call.divisor)) for g in validate_grad_output(grad_output, call)]
    rows = [row_gradient(x, y, call.p, m, w, g) for (x, y, m, w), g in zip(_rows(call), factors, strict=True)]
    return rows if call.batched else rows[0]


def enclosure(case: Case) -> Any:
    """Return every legal loss of a case: `enclosures.enclosure`."""
    return enclosures.enclosure(case)


def gradient_enclosure(case: Case) -> Any:
    """Return every legal gradient of a case: `enclosures.gradient_enclosure`."""
    return enclosures.gradient_enclosure(case)


def row_loss(x: Row, y: int, p: int, margin: Real, w: Real) -> Real:
    """Return the sum over i != y of w * max(0, margin - x[y] + x[i]) ** p, not yet divided by C."""
    terms = []
    for i in range(len(x)):
        z = total([margin, -x[y], x[i]])
        if i != y and z > 0:
            terms.append(product(w, *[z] * p))
    return total(terms)


def row_gradient(x: Row, y: int, p: int, margin: Real, w: Real, g: Real) -> list[Real]:
    """Return g times the derivative of `row_loss` by each x[i]; at z = 0 the derivative is 0 (GRADIENT-4)."""
    result: list[Real] = [Fraction(0)] * len(x)
    for i in range(len(x)):
        z = total([margin, -x[y], x[i]])
        if i != y and z > 0:
            result[i] = product(g, w, Fraction(p), *[z] * (p - 1))
    result[y] = -total(result)
    return result


def _rows(call: Arguments) -> list[tuple[list[Real], int, Real, Real]]:
    """Return (logits, target, margin, weight of the target's class) of each row, exactly."""
    weight = [Fraction(1)] * call.input.shape[1] if call.weight is None else [exact(w) for w in call.weight]
    margin = exact(call.margin)
    return [([exact(v) for v in x], int(y), margin, weight[y]) for x, y in zip(call.input, call.target, strict=True)]
