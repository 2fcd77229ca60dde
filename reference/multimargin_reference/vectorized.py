"""The loss and its gradient in NumPy, blocked so that nothing of input's size is made but the gradient itself.

With the extra `fast`, Numba's kernels do the same (`engine`): what is said here of arithmetic is true of both.

A term is active when z = margin - x[y] + x[i] > 0, that is when x[i] > x[y] - margin. That threshold is held as a pair
(nearest number, residue), so z is (x[i] - nearest) - residue: its sign is exact for every input, its relative error two
roundings, whatever cancels. Halves are computed in float32. Float32 sums run over at most 1024 classes and go on in
float64; the result is rounded once at the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from multimargin_reference.engine import Engine, engine
from multimargin_reference.validation import Arguments, validate, validate_grad_output

Floats = NDArray[Any]
Doubles = NDArray[np.float64]

BLOCK = 1 << 17  # elements of one workspace: it stays in the second-level cache, in float64 too
ROWS = 1 << 13  # rows at once: what is made for each of them stays in the cache too
LANES = 1 << 10  # classes added in the compute dtype before the sum goes on in float64
BUFFER = 512  # NumPy copies broadcast operands of shorter rows into buffers, which takes longer than the arithmetic
NARROW = 64  # up to this many classes a block is stored class by class, so that inner loops run along the batch
ZEROS = {np.dtype(t): np.zeros(BLOCK, t) for t in (np.float32, np.float64)}  # a scalar 0 would not be vectorized


def multi_margin_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    p: int = 1,
    margin: float = 1.0,
    weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Floats:
    """Return the multi-class margin loss, sum over i != y of w[y] * max(0, margin - x[y] + x[i]) ** p / C, reduced.

    input: (N, C) or (C,), one of float16, bfloat16, float32, float64; target: (N,) or (), int64; weight: (C,), input's
    dtype. The result has input's dtype and the shape () (mean, sum) or target's (none); an empty batch gives 0.
    Raises TypeError, ValueError and IndexError as `validation.validate` does.
    """
    fast = engine()
    if fast and (results := fast.plain(input, target, p, margin, weight, reduction, gradient=False)):
        return results[0]
    call = validate(input, target, p, margin, weight, reduction)
    return _by(fast, call, None, loss=True)[0]


def multi_margin_loss_backward(
    grad_output: ArrayLike,
    input: ArrayLike,
    target: ArrayLike,
    *,
    p: int = 1,
    margin: float = 1.0,
    weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Floats:
    """Return the gradient with respect to input, of input's shape and dtype; it is 0 at the kink z = 0.

    grad_output: () for mean and sum, the loss's shape for none, input's dtype; the others as in `multi_margin_loss`.
    Raises TypeError, ValueError and IndexError as `validation.validate` and `validate_grad_output` do.
    """
    call = validate(input, target, p, margin, weight, reduction)
    grads = validate_grad_output(grad_output, call)
    return _by(engine(), call, grads, loss=False)[1].reshape(np.shape(input))


def multi_margin_loss_and_grad(
    input: ArrayLike,
    target: ArrayLike,
    *,
    p: int = 1,
    margin: float = 1.0,
    weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> tuple[Floats, Floats]:
    """Return the loss and its gradient for a grad_output of ones, in one pass over input.

    Arguments, result dtypes and errors as in `multi_margin_loss` and `multi_margin_loss_backward`.
    """
    fast = engine()
    if fast and (results := fast.plain(input, target, p, margin, weight, reduction, gradient=True)):
        return results
    call = validate(input, target, p, margin, weight, reduction)
    loss, gradient = _by(fast, call, np.ones(1), loss=True)
    return loss, gradient.reshape(np.shape(input))


def _by(fast: Engine | None, call: Arguments, grads: Floats | None, *, loss: bool) -> tuple[Floats, Floats]:
    """Let the other engine do a call, if there is one and it does it."""
    return (fast and fast.evaluate(call, grads, loss=loss)) or evaluate(call, grads, loss=loss)


def evaluate(call: Arguments, grads: Floats | None, *, loss: bool) -> tuple[Any, Any]:
    """Return the loss and the gradient of validated arguments by NumPy, each None where it is not asked for.

    grads: grad_output, (N,), or (1,) for every row; None for no gradient.
    """
    rows, dtype, w = len(call.target), call.input.dtype, call.weight
    each = np.empty(rows if loss and call.reduction == "none" else 0, dtype)
    gradient = None if grads is None else np.empty(call.input.shape, dtype)
    total = np.float64(0.0)
    with _quiet():
        for start in range(0, rows, ROWS):
            here = slice(start, start + ROWS)
            part = call if rows <= ROWS else replace(call, input=call.input[here], target=call.target[here])
            weights = np.ones(len(part.target)) if w is None else w[part.target].astype(np.float64)
            factors = out = None
            if grads is not None and gradient is not None:
                mine = (grads if len(grads) == 1 else grads[here]).astype(np.float64)
                factors = mine * weights * call.p / call.divisor
                out = gradient[here]
            losses = _evaluate(part, factors, out, loss=loss)
            if w is not None:  # the weight of a row without an active term does not matter
                losses = np.where(losses > 0, losses * weights, 0)
            if each.size:
                each[here] = losses / call.divisor
            else:
                total += losses.sum()
        found = each if call.reduction == "none" else np.asarray(total / call.divisor, dtype)
    return found.reshape(call.output_shape) if loss else None, gradient


@contextmanager
def _quiet() -> Iterator[None]:
    """Let infinities and NaN pass without a warning, with buffers of BUFFER elements."""
    with np.errstate(all="ignore"):
        before = np.setbufsize(BUFFER)
        try:
            yield
        finally:
            np.setbufsize(before)  # before NumPy 2, errstate does not restore it


@dataclass(frozen=True)
class _Tile:
    """max(0, z) for a range of rows and classes, 0 at the target, held in a workspace that the next tile reuses."""

    rows: slice
    classes: slice
    storage: Floats  # (rows, groups, lanes), or (classes, rows) for few classes
    hinge: Floats  # the same memory as (classes, rows), padding left out

    def row_sums(self, power: int) -> Doubles:
        """Add the stored values, or their squares, of each row."""
        axes, kept = ("cr", "r") if self.storage.ndim == 2 else ("rgl", "rg")
        partial = np.einsum(",".join([axes] * power) + "->" + kept, *[self.storage] * power).astype(np.float64)
        sums: Doubles = partial if partial.ndim == 1 else partial.sum(axis=1)
        return sums


def _evaluate(call: Arguments, factors: Doubles | None, gradient: Floats | None, *, loss: bool) -> Doubles:
    """Make one pass over input; return each row's sum of max(0, z) ** p, and write the gradient.

    factors: grad_output * w[y] * p / divisor of each row. Both are None for no gradient.
    """
    losses = np.zeros(len(call.target))
    if factors is None or gradient is None:
        for tile in _tiles(call):
            losses[tile.rows] += tile.row_sums(call.p)
        return losses
    slopes = np.zeros(len(call.target))
    rounded = factors.astype(_compute_dtype(call))
    for tile in _tiles(call):
        if loss:
            losses[tile.rows] += tile.row_sums(call.p)
        if call.p == 1:
            np.copyto(tile.storage, tile.storage > 0)
        slopes[tile.rows] += tile.row_sums(1)
        _write(gradient[tile.rows, tile.classes].T, tile.hinge, rounded[tile.rows])
    gradient[np.arange(len(slopes)), call.target] = np.where(slopes > 0, -slopes * factors, 0)
    return losses


def _write(out: Floats, slope: Floats, factors: Floats) -> None:
    """Write slope * factors, and 0 where the slope is 0 even if the factor is infinite or NaN (an unused weight)."""
    if not np.isfinite(factors).all():
        out[...] = np.where(slope > 0, slope * factors, 0)
    elif out.dtype == slope.dtype:
        np.multiply(slope, factors, out=out)
    else:
        out[...] = np.multiply(slope, factors, out=slope)


def _tiles(call: Arguments) -> Iterator[_Tile]:
    """Yield the hinges of the whole input, tile by tile, in one preallocated workspace."""
    N, C = call.input.shape
    dtype = _compute_dtype(call)
    nearest, residue = _thresholds(call, dtype)
    width = min(C, BLOCK)
    groups = -(-width // LANES)
    lanes = -(-width // groups)
    height = max(1, min(N, BLOCK // (groups * lanes)))
    workspace = np.empty(height * groups * lanes, dtype)
    for start in range(0, N, height):
        rows = slice(start, min(start + height, N))
        for left in range(0, C, width):
            classes = slice(left, min(left + width, C))
            storage, hinge = _views(workspace, rows.stop - start, classes.stop - left, groups, lanes)
            np.subtract(call.input[rows, classes].T, nearest[rows], out=hinge, dtype=dtype)
            _subtract_residue(hinge, residue[rows])
            np.fmax(storage, ZEROS[dtype][: storage.size].reshape(storage.shape), out=storage)  # drops NaN
            _clear_targets(hinge, call.target[rows] - left)
            yield _Tile(rows, classes, storage, hinge)


def _views(workspace: Floats, rows: int, classes: int, groups: int, lanes: int) -> tuple[Floats, Floats]:
    """Return `_Tile.storage` and `_Tile.hinge` over the workspace, padding set to 0."""
    if classes <= NARROW and groups == 1:
        narrow = workspace[: classes * rows].reshape(classes, rows)
        return narrow, narrow
    storage = workspace[: rows * groups * lanes].reshape(rows, groups, lanes)
    flat = storage.reshape(rows, groups * lanes)
    flat[:, classes:] = 0
    return storage, flat[:, :classes].T


def _thresholds(call: Arguments, dtype: np.dtype[Any]) -> tuple[Floats, Floats]:
    """Return x[y] - margin of each row as (nearest number of `dtype`, what is left), by an error-free subtraction."""
    chosen = call.input[np.arange(len(call.target)), call.target].astype(np.float64)
    difference = chosen - call.margin
    subtracted = chosen - difference
    error = (chosen - (difference + subtracted)) + (subtracted - call.margin)
    largest = np.finfo(dtype).max
    # Past the largest number the residue still holds the rest; but an infinite threshold must stay infinite.
    finite = np.isfinite(difference)
    nearest = np.where(finite, np.clip(difference, -largest, largest), difference).astype(dtype)
    residue = ((difference - nearest) + error).astype(dtype)
    return nearest, np.where(np.isnan(residue), dtype.type(0), residue)


def _subtract_residue(hinge: Floats, residue: Floats) -> None:
    """Finish z = (x[i] - nearest) - residue; on a grid every residue is 0 and nothing is left to do."""
    if residue.any():
        np.subtract(hinge, residue, out=hinge)


def _clear_targets(hinge: Floats, target: NDArray[np.int64]) -> None:
    """Leave the target's own term out; `target` counts from the tile's first class and may lie in another tile."""
    here = np.flatnonzero((target >= 0) & (target < len(hinge)))
    hinge[target[here], here] = 0


def _compute_dtype(call: Arguments) -> np.dtype[Any]:
    """Return float64 for float64, float32 for the rest."""
    return np.dtype(np.float64 if call.input.dtype == np.float64 else np.float32)
