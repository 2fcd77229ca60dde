"""Arrays of the protocol as memory: bits, layouts in a larger block, and checksums of it all."""

from __future__ import annotations

import zlib
from functools import cache
from typing import Any

import numpy as np

ALIGNMENT = 64  # bytes; where a block starts
DTYPES: dict[str, np.dtype[Any]] = {
    name: np.dtype(name)
    for name in ("float16", "float32", "float64", "int8", "uint8", "int16", "uint16", "int32", "int64", "bool")
}
try:
    import ml_dtypes

    DTYPES["bfloat16"] = np.dtype(ml_dtypes.bfloat16)
except ImportError:  # an interpreter without it does not offer bfloat16
    pass


class Argument:
    """One array as it was asked for: the view that the backend gets, and the block of memory that it lies in."""

    def __init__(self, data: dict[str, Any]) -> None:
        dtype, shape = DTYPES[data["dtype"]], tuple(data["shape"])
        self.layout = data.get("layout")
        self.writable = self.layout is None or self.layout["writable"]
        if self.layout is None:
            self.view: Any = np.frombuffer(bytes.fromhex(data["hex"]), dtype=dtype).reshape(shape).copy()
            self.block = self.view
        else:
            self.block = _block(self.layout)
            self.view = np.ndarray(shape, dtype, self.block, self.layout["offset"], tuple(self.layout["strides"]))
            self.write(data["hex"])
        self.form = _form(self.view)

    def write(self, text: str) -> None:
        """Replace every element."""
        view = self.view
        view.flags.writeable = True
        view[...] = np.frombuffer(bytes.fromhex(text), dtype=view.dtype).reshape(view.shape)
        if not self.writable:
            view.flags.writeable = False

    def digest(self) -> str:
        """Return the CRC-32 of the block, or of the elements where there is none; "altered" for another array."""
        if _form(self.view) != self.form:
            return "altered"
        return checksum(self.block)


def checksum(array: Any) -> str:
    """Return the CRC-32 of an array's bytes in C order, as eight hexadecimal digits."""
    return f"{zlib.crc32(array.tobytes()):08x}"


def _form(view: Any) -> Any:
    return (view.dtype, view.shape, view.strides, view.flags.writeable)


def _block(layout: dict[str, Any]) -> Any:
    """Return the bytes around an array: full of one element, repeated from `offset` on in both directions."""
    size, fill = layout["bytes"], bytes.fromhex(layout["fill"])
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    block = memory[start : start + size]
    first = -layout["offset"] % len(fill)
    turned, whole = fill[first:] + fill[:first], size - size % len(fill)
    block[:whole].view(f"u{len(fill)}")[...] = np.frombuffer(turned, f"u{len(fill)}")
    block[whole:] = np.frombuffer(turned[: size - whole], np.uint8)
    return block


@cache
def _name(dtype: Any) -> str:
    return dtype.name if dtype.isnative else str(dtype)


def to_json(array: Any) -> dict[str, Any]:
    """Return an array's dtype, shape and bits; a dtype outside the protocol keeps the name that NumPy gives it."""
    little = array.astype(array.dtype.newbyteorder("<")) if array.dtype.byteorder == ">" else array
    return {"dtype": _name(array.dtype), "shape": list(array.shape), "hex": little.tobytes().hex()}
