"""The compiled engine behind `vectorized`, with the extra `fast`: which kernel runs over what, and in how many threads.

Every sum is cut into tasks by the shape alone, so the result has the same bits for any number of threads: Numba's
(NUMBA_NUM_THREADS, numba.set_num_threads). A call runs in one thread below THREADED elements, while another thread's
call has them, and in a process forked from one that has used them, where OpenMP would end it.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from multimargin_reference import numba_ahead, numba_rows
from multimargin_reference import numba_kernels as kernels
from multimargin_reference.validation import Arguments

Floats = NDArray[Any]

TASK = 1 << 16  # elements of one task, at most
EVEN = 4  # tasks, or a multiple of it, so that two or four threads have equally much to do
TILE = 1 << 15  # classes of one task where a row has more: a multiple of kernels.LANES
THREADED = 1 << 17  # elements from which threads save more than to wake them may cost
LARGEST_COPY = 1 << 17  # elements of a block that is copied because of its dtype or layout

F32, F64, I64 = np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.int64)
EMPTY: dict[Any, Floats] = {dtype: np.empty(0, dtype) for dtype in (F32, F64)}
NONE32, NONE64 = EMPTY[F32], EMPTY[F64]
ONE = np.ones(1)
TINY, HUGE = 2.0**-126, 2.0**127  # between them nothing is rounded to a subnormal or an infinity in float32


class _Threads:
    """Numba's threads, for one caller at a time: not every threading layer bears two."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.used = self.lost = False

    def taken(self, elements: int) -> bool:
        """Whether the caller has them now, and has to give them back."""
        if elements < THREADED or self.lost:
            return False
        self.used = True
        return bool(numba.get_num_threads() > 1) and self.lock.acquire(blocking=False)

    def forked(self) -> None:
        """Do without them in a child of a process that has used them."""
        self.lost = self.used


THREADS = _Threads()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=THREADS.forked)


def plain(
    input: Any, target: Any, p: Any, margin: Any, weight: Any, reduction: Any, *, gradient: bool
) -> tuple[Any, Any] | None:
    """Return the loss, and the gradient for a grad_output of 1, of a call that needs no preparation; None for another.

    Such a call has contiguous, writable arrays of the right shapes and dtypes, and "mean" or "sum".
    """
    if type(input) is not np.ndarray or type(target) is not np.ndarray or input.ndim != 2 or target.ndim != 1:
        return None
    dtype, (rows, classes) = input.dtype, input.shape
    if (
        (dtype is not F32 and dtype is not F64)
        or target.dtype is not I64
        or len(target) != rows
        or not rows * classes
        or not input.flags.carray
        or not target.flags.carray
        or type(p) is not int
        or (p != 1 and p != 2)
        or type(margin) is not float
    ):
        return None
    if reduction == "mean":
        divisor = float(rows * classes)
    elif reduction == "sum":
        divisor = float(classes)
    else:
        return None
    if weight is None:
        w = NONE32 if dtype is F32 else NONE64
    elif type(weight) is np.ndarray and weight.dtype is dtype and weight.shape == (classes,) and weight.flags.carray:
        w = weight
    else:
        return None
    grads = np.empty_like(input) if gradient else None
    if classes <= kernels.LANES and rows * classes <= TASK:
        bad, loss = kernels.once(input, target, w, None if p == 1 else True, margin, divisor, grads)
        if bad != kernels.IN_RANGE:
            return None
    else:
        found, total = _run(input, target, w, p, margin, divisor, EMPTY[dtype], ONE, grads)
        if found:
            return None
        loss = total / divisor
    return _rounded(loss, dtype), grads


def evaluate(call: Arguments, grads: Floats | None, *, loss: bool) -> tuple[Any, Any] | None:
    """Return the loss and the gradient of validated arguments, each None where it is not asked for.

    grads: grad_output, (N,), or (1,) for every row; None for no gradient. Returns None for what
    `vectorized` does in less memory: long rows that would have to be copied.
    """
    x, dtype = call.input, F64 if call.input.dtype == F64 else F32
    whole = x.dtype == dtype and _usable(x)
    if not whole and x.shape[1] > LARGEST_COPY:
        return None
    y = _ready(call.target)
    w = EMPTY[dtype] if call.weight is None else _ready(call.weight.astype(dtype, copy=False))
    g = ONE if grads is None else grads[: None if call.reduction == "none" else 1].astype(np.float64)
    losses = np.empty(len(y) if loss and call.reduction == "none" else 0, dtype)
    gradient = None if grads is None else np.empty(x.shape, x.dtype)
    options = (call.p, call.margin, float(call.divisor))
    if whole:
        _, total = _run(_ready(x), y, w, *options, losses, g, gradient, want_loss=loss)
    else:
        total = _by_blocks(x, y, w, *options, losses, g, gradient, dtype)
    if not loss:
        return None, gradient
    value = losses if call.reduction == "none" else total / call.divisor
    return _rounded(value, x.dtype).reshape(call.output_shape), gradient


def _rounded(value: Any, dtype: np.dtype[Any]) -> Floats:
    """Return one number, or many, in another dtype; what NumPy warns of or raises then is left out."""
    if dtype is F64 or (dtype is F32 and type(value) is float and TINY < abs(value) < HUGE):
        return np.asarray(value, dtype)  # errstate takes a microsecond, a third of a small call
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray(value, dtype)


def first_outside(target: NDArray[np.int64], classes: int) -> int | None:
    """Return the first row whose target is outside [0, classes)."""
    found = kernels.outside(_ready(target), classes)
    return None if found == kernels.IN_RANGE else int(found)


def _run(
    x: Floats,
    y: NDArray[np.int64],
    w: Floats,
    p: int,
    margin: float,
    divisor: float,
    losses: Floats,
    g: Floats,
    gradient: Floats | None,
    *,
    want_loss: bool = True,
) -> tuple[bool, float]:
    """Return whether a target is outside [0, C), and the sum of losses; fill `losses` and `gradient`."""
    rows, classes = x.shape
    squared = None if p == 1 else True
    ahead = numba_ahead.ahead(x)
    if classes <= kernels.LANES:
        step = _step(rows, classes)
        done = np.empty((-(-rows // step), 2))
        options: tuple[Any, ...] = (step, ahead, x, y, w, squared, margin, divisor, losses, g, gradient, done)
        _over(kernels.narrow, kernels.narrow_threaded, x.size, len(done), options)
        return bool((done[:, 0] != kernels.IN_RANGE).any()), float(done[:, 1].sum())
    if kernels.outside(y, classes) != kernels.IN_RANGE:
        return True, 0.0
    tiles = -(-classes // TILE)
    done = np.empty((rows, tiles, 2))
    out = np.empty((0, classes), x.dtype) if gradient is None else gradient
    flat, stride = _flat(x)
    options = (TILE, ahead, flat, stride, y, w, squared, margin, divisor, g, out, want_loss, done)
    _over(kernels.wide, kernels.wide_threaded, x.size, rows * tiles, options)
    return False, float(kernels.finish(y, w, squared, divisor, losses, g, out, done))


def _step(rows: int, classes: int) -> int:
    """Return the rows of one task."""
    tasks = -(-rows * classes // TASK)
    if tasks <= 1:
        return max(1, rows)
    step = -(-rows // (-(-tasks // EVEN) * EVEN))
    return -(-step // numba_rows.ROWS) * numba_rows.ROWS


def _over(serial: Any, threaded: Any, elements: int, tasks: int, options: tuple[Any, ...]) -> None:
    """Do all tasks, in threads where they are worth it and can be had."""
    if tasks > 1 and THREADS.taken(elements):
        try:
            threaded(*options)
        finally:
            THREADS.lock.release()
    else:
        serial(0, tasks, *options)


def _by_blocks(
    x: Floats,
    y: NDArray[np.int64],
    w: Floats,
    p: int,
    margin: float,
    divisor: float,
    losses: Floats,
    g: Floats,
    gradient: Floats | None,
    dtype: np.dtype[Any],
) -> float:
    """Do as `_run` does for another dtype or layout, rows copied block by block; return the sum of losses."""
    step = max(1, min(len(x), TASK // x.shape[1]))
    copy = np.empty((step, x.shape[1]), dtype)
    out = None if gradient is None else np.empty_like(copy)
    total = 0.0
    for start in range(0, len(x), step):
        rows = slice(start, min(start + step, len(x)))
        used = slice(0, rows.stop - start)
        copy[used] = x[rows]
        mine = g if len(g) == 1 else g[rows]
        here = None if out is None else out[used]
        total += _run(copy[used], y[rows], w, p, margin, divisor, losses[rows], mine, here)[1]
        if gradient is not None:
            gradient[rows] = _rounded(here, x.dtype)
    return total


def _usable(x: Floats) -> bool:
    """Whether the kernels can read it where it is: rows of adjacent numbers, and adjacent rows where they are short."""
    if not x.flags.aligned or not x.dtype.isnative:
        return False
    row, element = x.strides
    adjacent = element == x.itemsize or x.shape[1] == 1
    return bool(
        x.flags.c_contiguous or (adjacent and x.shape[1] > kernels.LANES and row >= 0 and row % x.itemsize == 0)
    )


def _ready(array: NDArray[Any]) -> NDArray[Any]:
    """Return it as the kernels are compiled for: writable, and a vector contiguous; copied only if need be."""
    if array.flags.carray or (array.ndim == 2 and array.flags.behaved):
        return array
    if array.flags.aligned and (array.ndim == 2 or array.flags.c_contiguous):
        return _at(array, array.shape, array.strides)
    return array.copy()


def _flat(x: Floats) -> tuple[Floats, int]:
    """Return input's memory as a vector, and the elements from one row to the next."""
    stride = x.strides[0] // x.itemsize
    if x.flags.c_contiguous:
        return x.reshape(-1), x.shape[1]
    return _at(x, ((len(x) - 1) * stride + x.shape[1],), (x.itemsize,)), stride


@dataclass(frozen=True)
class _Memory:
    """Memory of an array, which it keeps alive."""

    __array_interface__: dict[str, Any]
    owner: NDArray[Any]


def _at(array: NDArray[Any], shape: tuple[int, ...], strides: tuple[int, ...]) -> NDArray[Any]:
    """Return the array's memory with another shape, as writable: Numba compiles again for what is read-only."""
    interface = {**array.__array_interface__, "shape": shape, "strides": strides}
    interface["data"] = (interface["data"][0], False)
    return np.asarray(_Memory(interface, array))
