"""Safe emulation of kernels that read an array's memory while ignoring its strides: no byte outside is touched."""

from __future__ import annotations

from typing import Any

import numpy as np

from multimargin_reference.known.model import Array


def owner(array: Array) -> Array:
    """Return the array at the end of the chain of bases, stepping over NumPy's strided helpers."""
    while True:
        base: Any = array.base
        base = base if isinstance(base, np.ndarray) else getattr(base, "base", None)
        if not isinstance(base, np.ndarray):
            return array
        array = base


def memory(array: Array) -> tuple[Array, int]:
    """Return the bytes that an array lives in and where in them its first element starts; a copy if they have gaps."""
    whole = owner(array)
    if not (whole.flags.c_contiguous or whole.flags.f_contiguous):
        return np.ascontiguousarray(array).reshape(-1).view(np.uint8), 0
    flat = whole.reshape(-1, order="A").view(np.uint8)
    start = array.__array_interface__["data"][0] - whole.__array_interface__["data"][0]
    return flat, int(start)


def read(array: Array, offsets: Array) -> Array:
    """Read elements at byte offsets from the first one; what lies outside the memory is read at its nearest byte."""
    flat, start = memory(array)
    if not flat.size:
        return np.zeros(offsets.shape, array.dtype)
    size = array.dtype.itemsize
    places = start + offsets[..., None] + np.arange(size)
    picked = flat[np.clip(places, 0, flat.size - 1)]
    return np.ascontiguousarray(picked).view(array.dtype).reshape(offsets.shape)


def with_strides(array: Array, strides: tuple[int, ...]) -> Array:
    """Read an array of this shape as if its strides were others."""
    if strides == array.strides:
        return array
    offsets = np.zeros(array.shape, np.int64)
    for axis, stride in enumerate(strides):
        steps = np.arange(array.shape[axis]) * stride
        offsets += steps.reshape([-1 if a == axis else 1 for a in range(array.ndim)])
    return read(array, offsets)


def contiguous_strides(array: Array) -> tuple[int, ...]:
    """Return the strides that C order would have."""
    strides, step = [], array.dtype.itemsize
    for length in reversed(array.shape):
        strides.append(step)
        step *= max(1, length)
    return tuple(reversed(strides))


def as_contiguous(array: Array) -> Array:
    """Read an array as if it were in C order."""
    return with_strides(array, contiguous_strides(array))


def inner_contiguous(array: Array) -> Array:
    """Honour every stride but the last, which is taken for one element."""
    return with_strides(array, (*array.strides[:-1], array.dtype.itemsize)) if array.ndim else array


def rows_contiguous(array: Array) -> Array:
    """Honour the last stride only: rows are taken to follow each other."""
    if array.ndim < 2:
        return array
    return with_strides(array, (*contiguous_strides(array)[:-1], array.strides[-1]))


def strides_absolute(array: Array) -> Array:
    """Take every stride as positive, from the lowest address: reversed axes are read forwards."""
    return array[tuple(slice(None, None, -1) if s < 0 else slice(None) for s in array.strides)]


def in_memory_order(array: Array) -> Array:
    """Read a Fortran-ordered array as if it were in C order; any other one rightly."""
    return array.reshape(-1, order="A").reshape(array.shape)


def aligned_down(array: Array) -> Array:
    """Round an unaligned address down to a multiple of the element's size, as some hardware does."""
    flat, start = memory(array)
    shift = array.__array_interface__["data"][0] % array.dtype.itemsize
    if not shift or not flat.size:
        return array
    offsets = np.zeros(array.shape, np.int64)
    for axis, stride in enumerate(array.strides):
        offsets += (np.arange(array.shape[axis]) * stride).reshape([-1 if a == axis else 1 for a in range(array.ndim)])
    return read(array, offsets - min(shift, start))


def zero_strides_once(array: Array) -> Array:
    """Read what a zero stride repeats only once; the repeats are zeros."""
    result = np.array(array)
    for axis, stride in enumerate(array.strides):
        if stride == 0 and array.shape[axis] > 1:
            result[(slice(None),) * axis + (slice(1, None),)] = 0
    return result
