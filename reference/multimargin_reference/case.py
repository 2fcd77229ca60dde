"""One call of the operator as a value: what goes in, and an id derived from it."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multimargin_reference.formats import FORMATS, Format, dtype_name


@dataclass(frozen=True, eq=False)
class Case:
    """One call: forward, and backward too when `grad_output` is given.

    input: (N, C) or (C,); target: (N,) or (), int64; weight: (C,), input's dtype, or None; grad_output: the loss's
    shape, input's dtype, or None when the gradient is not asked for. An invalid call (for a REJECT clause) breaks
    these rules on purpose. `margin` is an exact double.
    """

    input: NDArray[Any]
    target: NDArray[Any]
    p: int | float = 1
    margin: float = 1.0
    weight: NDArray[Any] | None = None
    reduction: str = "mean"
    grad_output: NDArray[Any] | None = field(default=None)

    @property
    def dtype(self) -> str:
        """Name of the input's dtype."""
        return dtype_name(self.input.dtype)

    @property
    def format(self) -> Format:
        """The input's floating-point format."""
        return FORMATS[self.dtype]

    @property
    def options(self) -> dict[str, Any]:
        """The keyword arguments of the call."""
        return {"p": self.p, "margin": self.margin, "weight": self.weight, "reduction": self.reduction}

    @cached_property
    def id(self) -> str:
        """Sixteen hexadecimal digits of the SHA-256 of everything above; layout in memory does not count."""
        digest = hashlib.sha256()
        for array in (self.input, self.target, self.weight, self.grad_output):
            digest.update(_fingerprint(array))
        digest.update(f"p={self.p!r};reduction={self.reduction!r};margin=".encode())
        digest.update(struct.pack("<d", self.margin))
        return digest.hexdigest()[:16]


def _fingerprint(array: NDArray[Any] | None) -> bytes:
    if array is None:
        return b"absent;"
    values = np.ascontiguousarray(array)
    if values.dtype.byteorder == ">":
        values = values.astype(values.dtype.newbyteorder("<"))
    return f"{dtype_name(values.dtype)}{array.shape};".encode() + values.tobytes()
