"""Which results are legal, by double arithmetic on whole arrays: what `expected_values` says, or nothing.

A result r is compared with the enclosure [v - E, v + E] of SPEC.md's appendix A by |r D - v D| and E D, so that nothing
is divided. v D, a sum of products, is a pair of doubles with an error below 2**-85 of the sum of its magnitudes, of
which E is at least 8 u >= 2**-50. E is a sum of positive doubles, at most MOST = 2**22 over classes and as many over
rows: its relative error is below 2**-29, in whatever order they are added, with 2**20 roundings to spare for products
and constants. ROOM = 2**-28 of E covers both: r is INSIDE up to E (1 - ROOM), OUTSIDE above E (1 + ROOM), UNDECIDED
between. Where an end is a difference (the kink at p = 2, the largest term that a sum is never below), ROOM is taken of
its parts. An underflow here errs by less than 2**-1020 in all, so bounds below LEAST = 2**-900 are not trusted.

Undecided too, and left to the exact rules: rows with an argument that is not finite, or where z is within a hair of e
or -e; all of a reduced loss that has such a row; infinities and NaN where an intermediate overflow is possible, unless
the infinity is surely legal; float64 near the ends of its range; the exact grid (A.13) within ROOM of its limits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multimargin_reference.case import Case
from multimargin_reference.double_double import Floats
from multimargin_reference.enclosures import in_domain
from multimargin_reference.expectation import expected_values
from multimargin_reference.fast_call import INSIDE, OUTSIDE, UNDECIDED, Call, Decided
from multimargin_reference.fast_gradient import gradient_decisions
from multimargin_reference.fast_loss import RowSums, joined, loss_decisions, row_sums
from multimargin_reference.fast_terms import Mask, terms

MOST = 2**22  # rows or classes that are added up
BLOCK = 2**14  # numbers that are worked on at a time, to stay in a cache


@dataclass(frozen=True, eq=False)
class Decisions:
    """INSIDE, OUTSIDE or UNDECIDED for every number of a loss and of a gradient (None where there was none), flat."""

    loss: Decided | None
    gradient: Decided | None

    @property
    def undecided(self) -> int:
        """How many numbers are left to the exact rules."""
        return sum(int((part == UNDECIDED).sum()) for part in (self.loss, self.gradient) if part is not None)


def decide(
    case: Case, loss: NDArray[Any] | None = None, gradient: NDArray[Any] | None = None, *, flush: bool = False
) -> Decisions:
    """Decide which numbers of a loss, a gradient or both are in the enclosures of `expected_values`.

    Raises as `validate` does; ValueError for a result of the wrong shape, or a gradient without grad_output.
    """
    call = Call.of(case, flush)
    shape = case.target.shape if case.reduction == "none" else ()
    losses = _flat("loss", loss, shape)
    gradients = _flat("gradient", gradient, case.input.shape)
    if gradient is not None and case.grad_output is None:
        raise ValueError("a gradient without grad_output, but there should be one")
    if not call.x.size or max(call.x.shape) > MOST or not in_domain(case):
        return Decisions(*(None if a is None else np.full(a.size, UNDECIDED, np.int8) for a in (losses, gradients)))
    with np.errstate(all="ignore"):
        return _decisions(call, losses, gradients)


def outside(
    case: Case, loss: NDArray[Any] | None = None, gradient: NDArray[Any] | None = None, *, flush: bool = False
) -> tuple[Mask | None, Mask | None]:
    """Return which numbers of a loss and of a gradient, flat, are not legal: as `Enclosures.outside` says.

    The exact rules are asked only where a number is undecided. Raises as `decide` and `expected_values` do.
    """
    decided = decide(case, loss, gradient, flush=flush)
    values = expected_values(case, flush=flush) if decided.undecided else None
    parts = ((decided.loss, loss, "loss"), (decided.gradient, gradient, "gradient"))
    loss_mask, gradient_mask = (
        None if part is None or result is None else _settled(part, result, getattr(values, name, None))
        for part, result, name in parts
    )
    return loss_mask, gradient_mask


def legal(
    case: Case, loss: NDArray[Any] | None = None, gradient: NDArray[Any] | None = None, *, flush: bool = False
) -> bool:
    """Return whether a loss, a gradient or both are legal; the exact rules are asked only where nothing decides."""
    decided = decide(case, loss, gradient, flush=flush)
    if any((part == OUTSIDE).any() for part in (decided.loss, decided.gradient) if part is not None):
        return False
    if not decided.undecided:
        return True
    values = expected_values(case, flush=flush)
    pairs = ((values.loss, loss), (values.gradient, gradient))
    return not any(e.outside(r).any() for e, r in pairs if e is not None and r is not None)


def surely_legal(
    case: Case, loss: NDArray[Any] | None = None, gradient: NDArray[Any] | None = None, *, flush: bool = False
) -> bool:
    """Return whether double arithmetic shows that all numbers are legal. Raises as `decide` does."""
    if not np.isfinite(case.input.astype(np.float64)).all():  # some of its numbers would be undecided
        return False
    decided = decide(case, loss, gradient, flush=flush)
    return all((part == INSIDE).all() for part in (decided.loss, decided.gradient) if part is not None)


def _settled(decided: Decided, result: NDArray[Any], exact: Any) -> Mask:
    if exact is None:
        return np.asarray(decided == OUTSIDE)
    found: Mask = exact.outside(result)
    return found


def _flat(name: str, result: NDArray[Any] | None, shape: tuple[int, ...]) -> Floats | None:
    if result is None:
        return None
    if result.shape != shape:
        raise ValueError(f"{name}.shape={result.shape}, but should be {shape}")
    return result.astype(np.float64).reshape(-1)


def _decisions(call: Call, losses: Floats | None, gradients: Floats | None) -> Decisions:
    sums: list[RowSums] = []
    rows_of_gradient = None if gradients is None else gradients.reshape(call.x.shape)
    decided = None if rows_of_gradient is None else np.empty(call.x.shape, np.int8)
    for rows in _blocks(call):
        x = np.ascontiguousarray(call.x[rows].T).astype(np.float64)
        found = terms(x, call.y[rows], call.margin, call.units)
        if losses is not None:
            sums.append(row_sums(call, found, rows))
        if decided is not None and rows_of_gradient is not None:
            result = np.ascontiguousarray(rows_of_gradient[rows].T)
            decided[rows] = gradient_decisions(call, found, rows, result).T
    loss = None if losses is None else loss_decisions(call, joined(sums), losses)
    return Decisions(loss, None if decided is None else decided.reshape(-1))


def _blocks(call: Call) -> Iterator[slice]:
    rows, classes = call.x.shape
    step = max(1, BLOCK // classes)
    return (slice(i, min(i + step, rows)) for i in range(0, rows, step))
