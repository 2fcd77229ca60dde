"""The loss and its gradient as Numba kernels: one pass over input, nothing made but the results. Needs numba.

Numba compiles each on its first call and keeps it on disk. The compiler may reassociate sums and ignore the sign of
zero, nothing else: what decides z > 0 stands in functions of their own, which have no such liberty.

What they share: y, (N,) targets. w, (C,) weights, or empty. squared, None for p = 1, for which Numba then compiles code
of its own. g, grad_output, (N,), or (1,) for every row. losses, (N,) for each row's, or empty. ahead, so many elements
ahead input is fetched, or 0. Sums run in input's dtype over at most LANES classes and go on in float64.
"""

# Indices are loop variables from 0: of any other Numba checks whether it is negative, which makes scalar code. Small
# loops are put into the loop over rows: a call for each row would cost more than ten classes do.

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

from multimargin_reference import numba_rows
from multimargin_reference.numba_ahead import LINE, fetch

LANES = 1024  # classes a chunk: read for the loss, it is still in the first-level cache for the gradient
BLOCK = 256  # rows whose thresholds are made at once
FEW = 64  # classes up to which the factors of all are made once, because a division takes as long as a short row
IN_RANGE = -1  # in place of the row whose target is outside [0, classes)
SUMS = {"reassoc", "nsz"}

# What is not said here is taken from the caller, fastmath too.
strict = njit(cache=True, nogil=True, error_model="numpy", fastmath=False)
strict_part = njit(error_model="numpy", forceinline=True, fastmath=False)
summing = njit(cache=True, nogil=True, error_model="numpy", fastmath=SUMS)
summing_part = njit(error_model="numpy", fastmath=SUMS, inline="always")
summing_loop = njit(error_model="numpy", fastmath=SUMS, forceinline=True)
threaded = njit(cache=True, nogil=True, error_model="numpy", fastmath=False, parallel=True)


@strict_part
def _z(x: Any, nearest: Any, residue: Any) -> Any:
    return (x - nearest) - residue


@strict
def _thresholds(flat: Any, stride: int, y: Any, margin: float, nearest: Any, residue: Any) -> None:
    """Write x[y] - margin of each row as (nearest number, what is left); see `vectorized._thresholds`."""
    largest = np.float64(np.finfo(nearest.dtype).max)
    for r in range(y.size):
        nearest[r] = flat[r * stride + y[r]]
    for r in range(y.size):
        chosen = np.float64(nearest[r])
        difference = chosen - margin
        subtracted = chosen - difference
        error = (chosen - (difference + subtracted)) + (subtracted - margin)
        kept = max(min(difference, largest), -largest) if difference - difference == 0.0 else difference
        nearest[r] = nearest.dtype.type(kept)
        left = nearest.dtype.type((difference - np.float64(nearest[r])) + error)
        residue[r] = left if left == left else nearest.dtype.type(0)


@strict
def outside(y: Any, classes: int) -> int:
    """Return the first row whose target is outside [0, classes), or IN_RANGE."""
    found = False
    for r in range(y.size):
        found |= (y[r] < 0) | (y[r] >= classes)
    if found:
        for r in range(y.size):
            if y[r] < 0 or y[r] >= classes:
                return r
    return IN_RANGE


@summing_part
def _powers(x: Any, r: int, nearest: Any, residue: Any, own: Any, squared: Any) -> Any:
    """Return the sum of max(0, z) ** p over row r of a chunk, without its element `own`."""
    zero = x.dtype.type(0)
    total = zero
    i = np.int32(0)
    for k in range(x.shape[1]):
        z = _z(x[r, k], nearest, residue)
        if squared is None:
            total += z if (z > zero) & (i != own) else zero
        else:
            total += z * z if (z > zero) & (i != own) else zero
        i = np.int32(i + np.int32(1))
    return np.float64(total)


@summing_loop
def _slopes(x: Any, r: int, nearest: Any, residue: Any, own: Any, squared: Any, factor: Any, out: Any) -> Any:
    """Write slope * factor of row r of a chunk, 0 where z is not positive; return the sum of slopes: of 1 or z."""
    zero = x.dtype.type(0)
    total = zero
    i = np.int32(0)
    for k in range(x.shape[1]):
        z = _z(x[r, k], nearest, residue)
        active = (z > zero) & (i != own)
        if squared is None:
            out[r, k] = factor if active else zero
            total += x.dtype.type(active)
        else:
            out[r, k] = z * factor if active else zero
            total += z if active else zero
        i = np.int32(i + np.int32(1))
    return np.float64(total)


@strict_part
def _fetch(memory: Any, start: int, count: int) -> None:
    """Fetch so many elements of an array from `start` on."""
    for k in range(0, count, LINE // memory.itemsize):
        fetch(memory, start + k)


@strict_part
def _factor(g: Any, row: int, w: Any, target: int, squared: Any, divisor: float) -> float:
    factor = np.float64(g[row if g.size > 1 else 0])
    if w.size:
        factor *= np.float64(w[target])
    return factor / divisor if squared is None else factor * 2.0 / divisor


@strict_part
def _weighted(loss: float, w: Any, target: int) -> float:
    """Return a row's loss; one without an active term gives 0 whatever its weight."""
    if w.size:
        return loss * np.float64(w[target]) if loss > 0.0 else 0.0
    return loss


@strict_part
def _at_target(slopes: float, factor: float) -> float:
    return -slopes * factor if slopes > 0.0 else 0.0


@strict
def _at_once(block, nearest, residue, targets, squared, powers, factors, out, slopes):
    """Do `numba_rows.evaluate` for all rows of a block; which of its operations may be reassociated it says itself."""
    for r in range(0, targets.size, numba_rows.ROWS):
        numba_rows.evaluate(block, r, nearest, residue, targets, squared, powers, factors, out, slopes)


@summing
def _short(first, last, x, y, w, squared, margin, divisor, losses, g, gradient, factors, scratch):
    """Do the rows [first, last), a multiple of numba_rows.ROWS, of few classes; return the sum of losses.

    factors: (C,), or empty, of all classes. scratch: (5, BLOCK) of x's dtype.
    """
    nearest, residue, powers, slopes, rounded = scratch[0], scratch[1], scratch[2], scratch[3], scratch[4]
    block, targets, total = x[first:last], y[first:last], 0.0
    _thresholds(block.reshape(block.size), x.shape[1], targets, margin, nearest, residue)
    if gradient is None:
        _at_once(block, nearest, residue, targets, squared, powers, None, None, None)
    else:
        out = gradient[first:last]
        for r in range(targets.size):
            own = targets[r]
            rounded[r] = factors[own] if factors.size else _factor(g, first + r, w, own, squared, divisor)
        _at_once(block, nearest, residue, targets, squared, powers, rounded, out, slopes)
    for r in range(targets.size):
        own = targets[r]
        loss = _weighted(np.float64(powers[r]), w, own)
        if losses.size:
            losses[first + r] = loss / divisor
        total += loss
        if gradient is not None:
            factor = factors[own] if factors.size else _factor(g, first + r, w, own, squared, divisor)
            out[r, own] = _at_target(np.float64(slopes[r]), factor)
    return total


@summing
def narrow(start, stop, step, ahead, x, y, w, squared, margin, divisor, losses, g, gradient, done):
    """Do the tasks [start, stop) of `step` rows each, of at most LANES classes; return what the last left in `done`.

    x: (N, C). losses: (N,) for each row's, or empty. gradient: (N, C), or None. done: (tasks, 2), or empty: the first
    row whose target is outside, or IN_RANGE, and the sum of losses.
    """
    total, bad = 0.0, IN_RANGE
    classes = x.shape[1]
    is_short = numba_rows.FEWEST <= classes <= numba_rows.WIDTH
    factors = np.empty(classes if gradient is not None and g.size == 1 and classes <= FEW else 0)
    for c in range(factors.size):
        factors[c] = _factor(g, 0, w, c, squared, divisor)
    scratch = np.empty((5, BLOCK), x.dtype)
    nearest, residue = scratch[0], scratch[1]
    memory = x.reshape(x.size)
    for task in range(start, stop):
        total, bad = 0.0, IN_RANGE
        end = min((task + 1) * step, y.size)
        for first in range(task * step, end, BLOCK):
            last = min(first + BLOCK, end)
            bad = outside(y[first:last], classes)
            if bad != IN_RANGE:
                bad += first
                break
            part = 0.0
            if is_short and last - first >= numba_rows.ROWS:
                rest = last - (last - first) % numba_rows.ROWS
                part = _short(first, rest, x, y, w, squared, margin, divisor, losses, g, gradient, factors, scratch)
                first = rest
            block, targets = x[first:last], y[first:last]
            _thresholds(block.reshape(block.size), classes, targets, margin, nearest, residue)
            if gradient is not None:
                out = gradient[first:last]
            for r in range(targets.size):
                if ahead:
                    _fetch(memory, (first + r) * classes + ahead, classes)
                own = np.int32(targets[r])
                loss = _weighted(_powers(block, r, nearest[r], residue[r], own, squared), w, own)
                if losses.size:
                    losses[first + r] = loss / divisor
                part += loss
                if gradient is not None:
                    factor = factors[own] if factors.size else _factor(g, first + r, w, own, squared, divisor)
                    slopes = _slopes(block, r, nearest[r], residue[r], own, squared, x.dtype.type(factor), out)
                    out[r, own] = _at_target(slopes, factor)
            total += part
        if done.size:
            done[task, 0], done[task, 1] = bad, total
    return bad, total


@strict
def once(x, y, w, squared, margin, divisor, gradient):
    """Do all rows of at most LANES classes, for a grad_output of 1, in one thread.

    Return the first row whose target is outside, or IN_RANGE, and the reduced loss.
    """
    none, done = np.empty(0, x.dtype), np.empty((0, 2))
    bad, total = narrow(0, 1, y.size, 0, x, y, w, squared, margin, divisor, none, np.ones(1), gradient, done)
    return bad, total / divisor


@threaded
def narrow_threaded(step, ahead, x, y, w, squared, margin, divisor, losses, g, gradient, done):
    """Do all tasks of `narrow` in Numba's threads."""
    for k in prange(done.shape[0]):
        narrow(k, k + 1, step, ahead, x, y, w, squared, margin, divisor, losses, g, gradient, done)


@summing
def wide(start, stop, step, ahead, flat, stride, y, w, squared, margin, divisor, g, gradient, want_loss, done):
    """Do the tasks [start, stop), each `step` classes (a multiple of LANES) of one row; targets have been checked.

    flat: input's memory, its row r at flat[r * stride :]. gradient: (N, C), or (0, C). done: (N, tiles, 2), the sums
    of powers and of slopes.
    """
    tiles, classes = done.shape[1], gradient.shape[1]
    nearest, residue = np.empty(1, flat.dtype), np.empty(1, flat.dtype)
    for task in range(start, stop):
        row, left = task // tiles, (task % tiles) * step
        x = flat[row * stride : row * stride + classes]
        _thresholds(x, 0, y[row : row + 1], margin, nearest, residue)
        factor = flat.dtype.type(_factor(g, row, w, y[row], squared, divisor)) if gradient.size else flat.dtype.type(0)
        powers = slopes = 0.0
        for at in range(left, min(left + step, classes), LANES):
            chunk = x[at : at + LANES].reshape(1, -1)
            if ahead:
                _fetch(flat, row * stride + at + ahead, LANES)
            own = np.int32(y[row] - at) if at <= y[row] < at + LANES else np.int32(-1)
            if want_loss:
                powers += _powers(chunk, 0, nearest[0], residue[0], own, squared)
            if gradient.size:
                out = gradient[row, at : at + LANES].reshape(1, -1)
                slopes += _slopes(chunk, 0, nearest[0], residue[0], own, squared, factor, out)
        done[row, task % tiles, 0], done[row, task % tiles, 1] = powers, slopes


@threaded
def wide_threaded(step, ahead, flat, stride, y, w, squared, margin, divisor, g, gradient, want_loss, done):
    """Do all tasks of `wide` in Numba's threads."""
    for k in prange(done.shape[0] * done.shape[1]):
        wide(k, k + 1, step, ahead, flat, stride, y, w, squared, margin, divisor, g, gradient, want_loss, done)


@strict
def finish(y, w, squared, divisor, losses, g, gradient, done):
    """Weight and write what `wide` left in `done`, as `narrow` does; return the sum of losses."""
    total = 0.0
    for row in range(y.size):
        powers = slopes = 0.0
        for k in range(done.shape[1]):
            powers += done[row, k, 0]
            slopes += done[row, k, 1]
        loss = _weighted(powers, w, y[row])
        if losses.size:
            losses[row] = loss / divisor
        if gradient.size:
            gradient[row, y[row]] = _at_target(slopes, _factor(g, row, w, y[row], squared, divisor))
        total += loss
    return total
