"""Known faults of layout: strides ignored, orders assumed, read-only and unaligned arguments refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from multimargin_reference.known import raw
from multimargin_reference.known.catalogue import Fault, after, before
from multimargin_reference.known.model import MODEL, Array, Request

ARRAYS = ("input", "target", "weight", "grad_output")


def reading(argument: str, read: Callable[[Array], Array]) -> Any:
    """Make a change that reads an argument's memory in a wrong way, where the call is valid."""

    def change(r: Request) -> Request:
        array = getattr(r, argument)
        if not isinstance(array, np.ndarray) or array.ndim == 0 or array.size == 0:
            return r
        MODEL.prepare(r)
        values = read(array)
        if argument == "target":
            values = values % np.shape(r.input)[-1]
        replaced: dict[str, Any] = {argument: values}
        return replace(r, **replaced)

    return change


def refusing(arguments: tuple[str, ...], wrong: Callable[[Array], bool], message: str) -> Any:
    """Make a change that rejects arguments of a layout."""

    def change(r: Request) -> Request:
        for name in arguments:
            array = getattr(r, name)
            if isinstance(array, np.ndarray) and wrong(array):
                raise BufferError(f"{name}: {message}")
        return r

    return change


def read_only(array: Array) -> bool:
    return not array.flags.writeable


def in_layout_of_input(value: Any, r: Request) -> Any:
    """Fill a gradient in the input's memory order and label it C order."""
    if not r.backward or not isinstance(r.input, np.ndarray) or value.ndim != 2 or r.input.flags.c_contiguous:
        return value
    return value.reshape(-1, order="F").reshape(value.shape) if r.input.flags.f_contiguous else value


def overlapping_gradient(value: Any, r: Request) -> Any:
    """Allocate the gradient with the input's zero strides, so that rows overwrite each other."""
    if not r.backward or not isinstance(r.input, np.ndarray) or value.ndim != 2 or value.shape[0] < 2:
        return value
    return np.repeat(value[-1:], value.shape[0], axis=0) if r.input.strides[0] == 0 else value


READ = (
    before(
        "input-strides-ignored",
        "The input's memory is read as if it were contiguous.",
        "PURITY-5",
        reading("input", raw.as_contiguous),
    ),
    before(
        "input-inner-stride-ignored",
        "The input's classes are taken to be adjacent.",
        "PURITY-5",
        reading("input", raw.inner_contiguous),
    ),
    before(
        "input-row-stride-ignored",
        "The input's rows are taken to follow each other.",
        "PURITY-5",
        reading("input", raw.rows_contiguous),
    ),
    before(
        "input-fortran-as-c",
        "A Fortran-ordered input is read in C order.",
        "PURITY-5",
        reading("input", raw.in_memory_order),
    ),
    before(
        "input-negative-strides",
        "Reversed axes of the input are read forwards.",
        "PURITY-5",
        reading("input", raw.strides_absolute),
    ),
    before(
        "input-zero-strides",
        "Rows repeated by a zero stride are read as zeros.",
        "PURITY-5",
        reading("input", raw.zero_strides_once),
    ),
    before(
        "input-address-rounded",
        "The address of an unaligned input is rounded down.",
        "PURITY-5",
        reading("input", raw.aligned_down),
    ),
    before(
        "target-strides-ignored", "The target's stride is ignored.", "PURITY-5", reading("target", raw.as_contiguous)
    ),
    before(
        "target-negative-stride",
        "A reversed target is read forwards.",
        "PURITY-5",
        reading("target", raw.strides_absolute),
    ),
    before(
        "target-zero-stride",
        "A target repeated by a zero stride is read as zeros.",
        "PURITY-5",
        reading("target", raw.zero_strides_once),
    ),
    before(
        "weight-strides-ignored",
        "The weight's stride is ignored (PyTorch 104852).",
        "PURITY-5",
        reading("weight", raw.as_contiguous),
    ),
    before(
        "weight-negative-stride",
        "A reversed weight is read forwards.",
        "PURITY-5",
        reading("weight", raw.strides_absolute),
    ),
    before(
        "grad-output-strides-ignored",
        "grad_output's stride is ignored.",
        "PURITY-5 GRADIENT-9",
        reading("grad_output", raw.as_contiguous),
    ),
    before(
        "grad-output-zero-stride",
        "An expanded grad_output counts for the first row only.",
        "PURITY-5 GRADIENT-9",
        reading("grad_output", raw.zero_strides_once),
    ),
)

REFUSED = (
    before(
        "read-only-input-refused",
        "A read-only input is rejected.",
        "PURITY-6",
        refusing(("input",), read_only, "not writable"),
    ),
    before(
        "read-only-target-refused",
        "A read-only target is rejected.",
        "PURITY-6",
        refusing(("target",), read_only, "not writable"),
    ),
    before(
        "read-only-weight-refused",
        "A read-only weight is rejected.",
        "PURITY-6",
        refusing(("weight",), read_only, "not writable"),
    ),
    before(
        "read-only-grad-output-refused",
        "A read-only grad_output is rejected.",
        "PURITY-6",
        refusing(("grad_output",), read_only, "not writable"),
    ),
    before(
        "non-contiguous-refused",
        "Arguments that are not in C order are rejected.",
        "PURITY-5",
        refusing(ARRAYS, lambda a: not a.flags.c_contiguous, "not contiguous"),
    ),
    before(
        "negative-strides-refused",
        "Arguments with negative strides are rejected, as torch.from_numpy does.",
        "PURITY-5",
        refusing(ARRAYS, lambda a: min(a.strides, default=0) < 0, "negative strides"),
    ),
    before(
        "zero-strides-refused",
        "Arguments with zero strides are rejected.",
        "PURITY-5",
        refusing(
            ARRAYS, lambda a: any(s == 0 and n > 1 for s, n in zip(a.strides, a.shape, strict=True)), "zero strides"
        ),
    ),
    before(
        "unaligned-refused",
        "Unaligned arguments are rejected.",
        "PURITY-5",
        refusing(ARRAYS, lambda a: not a.flags.aligned, "unaligned"),
    ),
)

RESULTS = (
    after(
        "gradient-in-fortran-order-as-c",
        "The gradient of a Fortran-ordered input is labelled C order.",
        "PURITY-5 GRADIENT-10",
        in_layout_of_input,
    ),
    after(
        "gradient-with-zero-strides",
        "The gradient of an expanded input repeats its last row.",
        "PURITY-5 GRADIENT-1",
        overlapping_gradient,
    ),
)

FAULTS: tuple[Fault, ...] = READ + REFUSED + RESULTS
