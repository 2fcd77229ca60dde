"""The same values in other places: strides, order, direction, alignment and permissions of memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multimargin_reference.case import Case

CLASSES, ALL, WINDOWS = "input along classes", "input everywhere", "input of overlapping rows"
BACKWARDS = "input backwards"
OF_INPUT = (CLASSES, ALL, WINDOWS, BACKWARDS)
FACTORS = ("weight", "grad_output")
Layout = Callable[[NDArray[Any]], NDArray[Any]]


def fortran(array: NDArray[Any]) -> NDArray[Any]:
    """Return the array in Fortran order."""
    return np.array(array, order="F")


def every_other(array: NDArray[Any]) -> NDArray[Any]:
    """Return a view of every other element along each axis of a larger array, the rest being noise."""
    frame = np.full([2 * n for n in array.shape], 1, dtype=array.dtype)
    steps: tuple[Any, ...] = (..., *(slice(None, None, 2) for _ in array.shape))
    view: NDArray[Any] = frame[steps]
    view[...] = array
    return view


def far_apart(array: NDArray[Any]) -> NDArray[Any]:
    """Return a view of every third element along the first axis and of every fifth along the last."""
    steps = (3, 5)[-array.ndim :] if array.ndim else ()
    frame = np.full([n * step for n, step in zip(array.shape, steps, strict=True)], 1, dtype=array.dtype)
    places: tuple[Any, ...] = (..., *(slice(None, None, step) for step in steps))
    view: NDArray[Any] = frame[places]
    view[...] = array
    return view


def reversed_(array: NDArray[Any]) -> NDArray[Any]:
    """Return a view with negative strides along each axis."""
    back = tuple(slice(None, None, -1) for _ in array.shape)
    return np.array(array[back])[back] if array.ndim else array.copy()


def fortran_reversed(array: NDArray[Any]) -> NDArray[Any]:
    """Return a view in Fortran order with negative strides along each axis."""
    back = tuple(slice(None, None, -1) for _ in array.shape)
    return np.array(array[back], order="F")[back] if array.ndim else array.copy()


def padded(array: NDArray[Any]) -> NDArray[Any]:
    """Return a view of all but the last column of a wider array, whose rows so have one element between them."""
    if not array.ndim:
        return array.copy()
    frame = np.full((*array.shape[:-1], array.shape[-1] + 1), 1, dtype=array.dtype)
    frame[..., :-1] = array
    return frame[..., :-1]


def fortran_padded(array: NDArray[Any]) -> NDArray[Any]:
    """Return a view of all but the last row of a taller array in Fortran order: its columns are farther apart."""
    if not array.ndim:
        return array.copy()
    frame = np.full((array.shape[0] + 1, *array.shape[1:]), 1, dtype=array.dtype, order="F")
    frame[:-1] = array
    return frame[:-1]


def rows_reversed(array: NDArray[Any]) -> NDArray[Any]:
    """Return a view with a negative stride along the first axis only."""
    return np.array(array[::-1])[::-1] if array.ndim else array.copy()


def columns_reversed(array: NDArray[Any]) -> NDArray[Any]:
    """Return a view with a negative stride along the last axis only."""
    return np.array(array[..., ::-1])[..., ::-1] if array.ndim else array.copy()


def unaligned(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array whose memory starts one byte off its alignment."""
    memory = np.zeros(array.nbytes + 1, dtype=np.uint8)
    view = memory[1:].view(array.dtype).reshape(array.shape) if array.nbytes else array.copy()
    view[...] = array
    return view


def half_aligned(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array whose memory starts half an element off its alignment, as a field of a packed record does."""
    half = array.dtype.itemsize // 2
    memory = np.zeros(array.nbytes + array.dtype.itemsize, dtype=np.uint8)
    view = memory[half : half + array.nbytes].view(array.dtype).reshape(array.shape) if array.nbytes else array.copy()
    view[...] = array
    return view


def in_records(array: NDArray[Any]) -> NDArray[Any]:
    """Return a field of an array of packed records: its strides are no multiples of the size of an element."""
    records = np.zeros(array.shape, dtype=[("flag", np.int8), ("value", array.dtype)])
    view: NDArray[Any] = records["value"]
    view[...] = array
    return view


def rows_in_records(array: NDArray[Any]) -> NDArray[Any]:
    """Return a field of packed records that each hold a row: only the rows' stride is no multiple of an element."""
    if array.ndim < 2:
        return in_records(array)
    records = np.zeros(len(array), dtype=[("flag", np.int8), ("value", array.dtype, array.shape[1:])])
    view: NDArray[Any] = records["value"]
    view[...] = array
    return view


def fortran_with_gaps(array: NDArray[Any]) -> NDArray[Any]:
    """Return a view of every other element along each axis of a larger array in Fortran order."""
    return every_other(array.T).T


def thirds(array: NDArray[Any]) -> NDArray[Any]:
    """Return a view of every third element along each axis."""
    return _apart(array, 3)


def lines(array: NDArray[Any]) -> NDArray[Any]:
    """Return a view whose elements are in lines of a cache of their own."""
    return _apart(array, 24)


def _apart(array: NDArray[Any], step: int) -> NDArray[Any]:
    steps: tuple[Any, ...] = (..., *(slice(None, None, step) for _ in array.shape))
    view: NDArray[Any] = np.full([step * n for n in array.shape], 1, dtype=array.dtype)[steps]
    view[...] = array
    return view


def repeated_backwards(array: NDArray[Any]) -> NDArray[Any]:
    """Return a view of the first row for all of them, with a negative stride along the last axis."""
    return np.broadcast_to(np.array(array[:1, ::-1])[:, ::-1], array.shape)


def offset(array: NDArray[Any]) -> NDArray[Any]:
    """Return a contiguous view that starts in the middle of a larger array."""
    frame = np.full((3, *array.shape), 1, dtype=array.dtype)
    frame[1] = array
    return frame[1, ...]


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """Return a copy that cannot be written to."""
    copy = np.array(array)
    copy.flags.writeable = False
    return copy


def one_byte_off(layout: Layout) -> Layout:
    """Return a layout's own strides over memory that starts one byte off its alignment."""

    def place(array: NDArray[Any]) -> NDArray[Any]:
        usual = layout(array)
        low, high = np.lib.array_utils.byte_bounds(usual)
        memory = np.zeros(high - low + 1, np.uint8)
        start = usual.__array_interface__["data"][0] - low + 1
        view: NDArray[Any] = np.ndarray(usual.shape, usual.dtype, memory, start, usual.strides)
        view[...] = array
        return view

    return place


def frozen(layout: Layout) -> Layout:
    """Return a layout's own memory, which cannot be written to: a copy of it may lose the layout, or keep it."""

    def place(array: NDArray[Any]) -> NDArray[Any]:
        view = layout(array)
        view.flags.writeable = False
        return view

    return place


LAYOUTS: dict[str, Layout] = {
    "in Fortran order": fortran,
    "with gaps": every_other,
    "far apart": far_apart,
    "with negative strides": reversed_,
    "with a negative stride along rows": rows_reversed,
    "with a negative stride along classes": columns_reversed,
    "in Fortran order with negative strides": fortran_reversed,
    "with padded rows": padded,
    "in Fortran order with padded columns": fortran_padded,
    "unaligned": unaligned,
    "half an element off": half_aligned,
    "in the middle of a larger array": offset,
}
UNALIGNED: dict[str, Layout] = {  # a copy that is made for alignment may lay them out otherwise
    "in Fortran order, unaligned": one_byte_off(fortran),
    "with gaps, unaligned": one_byte_off(every_other),
    "with negative strides, unaligned": one_byte_off(reversed_),
    "in Fortran order with negative strides, unaligned": one_byte_off(fortran_reversed),
    "with padded rows, unaligned": one_byte_off(padded),
}
FARTHER: dict[str, Layout] = {
    "with rows in packed records": rows_in_records,
    "in Fortran order with gaps": fortran_with_gaps,
    "every third element": thirds,
    "each in a line of its own": lines,
}
READ_ONLY: dict[str, Layout] = {  # a copy that is made for writing may lay them out otherwise
    "read-only": read_only,
    "in Fortran order, read-only": frozen(fortran),
    "with gaps, read-only": frozen(every_other),
    "with negative strides, read-only": frozen(reversed_),
    "with padded rows, read-only": frozen(padded),
    "unaligned, read-only": frozen(unaligned),
}


def constant(case: Case, name: str) -> Case:
    """Return a case in which one argument is the same all along its first axis, as a view with a zero stride.

    A row of logits, a target, a weight or a factor is repeated, of the latter two one that is not 1 (all 1: twice it);
    0-d and empty arguments are left as they are. The name CLASSES stands for logits that are the same all along their
    last axis, ALL for one logit everywhere, WINDOWS for rows that overlap: each starts one element after the one before
    it; BACKWARDS for a row that is repeated, whose logits lie in memory the other way round.
    """
    if name == BACKWARDS:
        batch = case.input.ndim == 2 and len(case.input) > 0
        return replace(case, input=repeated_backwards(case.input)) if batch else case
    if name == CLASSES:
        return replace(case, input=np.broadcast_to(case.input[..., :1], case.input.shape))
    if name == ALL:
        return replace(case, input=np.broadcast_to(case.input.reshape(-1)[:1].reshape(()), case.input.shape))
    if name == WINDOWS:
        rows, classes = (1, *case.input.shape)[-2:]
        line = np.resize(case.input, rows + classes - 1)
        windows = np.lib.stride_tricks.sliding_window_view(line, classes)
        return replace(case, input=windows.reshape(case.input.shape) if case.input.ndim == 1 else windows)
    array: NDArray[Any] = getattr(case, name)
    if not array.ndim or not array.size:
        return case
    first = array[:1]
    if name in FACTORS:  # 1 and 0 may be had without looking
        telling = array[(array != 0) & (array != 1)][:1]
        first = telling if telling.size else 2 * first
    repeated: dict[str, Any] = {name: np.broadcast_to(first, array.shape)}
    return replace(case, **repeated)
