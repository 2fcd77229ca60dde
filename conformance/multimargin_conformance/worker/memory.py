"""Arrays of the protocol as memory: bits, layouts in a larger block, and checksums of it all."""

from __future__ import annotations

import math
import zlib
from functools import cache
from typing import Any

import numpy as np

ALIGNMENT = 64  # bytes; where a block starts
LARGE = 1024  # bytes; from here on an array's elements may come behind the line
DTYPES: dict[str, np.dtype[Any]] = {
    name: np.dtype(name)
    for name in ("float16", "float32", "float64", "int8", "uint8", "int16", "uint16", "int32", "int64", "bool")
}
try:
    import ml_dtypes

    DTYPES["bfloat16"] = np.dtype(ml_dtypes.bfloat16)
except ImportError:  # an interpreter without it does not offer bfloat16
    pass


class Raw:
    """The bytes behind a line, of which each array that has no hex takes its own, in the order of the line."""

    def __init__(self, data: Any = b"") -> None:
        self._left = memoryview(data)

    def elements(self, data: dict[str, Any], dtype: Any, shape: tuple[int, ...]) -> Any:
        """Return an array's elements, to be copied."""
        if "hex" in data:
            return np.frombuffer(bytes.fromhex(data["hex"]), dtype=dtype).reshape(shape)
        size = dtype.itemsize * math.prod(shape)
        own, self._left = self._left[:size], self._left[size:]
        return np.frombuffer(own, dtype=dtype).reshape(shape)


class Argument:
    """One array as it was asked for: the view that the backend gets, and the block of memory that it lies in."""

    def __init__(self, data: dict[str, Any], raw: Raw) -> None:
        dtype, shape = DTYPES[data["dtype"]], tuple(data["shape"])
        self.layout = data.get("layout")
        self.writable = self.layout is None or self.layout["writable"]
        if self.layout is None:
            self.view: Any = raw.elements(data, dtype, shape).copy()
            self.block = self.view
        else:
            self.block = _block(self.layout)
            self.view = np.ndarray(shape, dtype, self.block, self.layout["offset"], tuple(self.layout["strides"]))
            self.write(data, raw)
        self.form = _form(self.view)

    def write(self, data: dict[str, Any], raw: Raw) -> None:
        """Replace every element."""
        view = self.view
        view.flags.writeable = True
        view[...] = raw.elements(data, view.dtype, view.shape)
        if not self.writable:
            view.flags.writeable = False

    def digest(self) -> str:
        """Return the CRC-32 of the block, or of the elements where there is none; "altered" for another array."""
        if _form(self.view) != self.form:
            return "altered"
        return checksum(self.block)


def checksum(array: Any) -> str:
    """Return the CRC-32 of an array's bytes in C order, as eight hexadecimal digits."""
    plain = array.reshape(-1).view(np.uint8) if array.flags.c_contiguous else array.tobytes()
    return f"{zlib.crc32(plain):08x}"


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
    """Return an array's dtype, shape and bits."""
    return {**described(array), "hex": to_bytes(array).hex()}


def described(array: Any) -> dict[str, Any]:
    """Return an array's dtype and shape; a dtype outside the protocol keeps the name that NumPy gives it."""
    return {"dtype": _name(array.dtype), "shape": list(array.shape)}


def to_bytes(array: Any) -> bytes:
    """Return an array's elements, little-endian."""
    little = array.astype(array.dtype.newbyteorder("<")) if array.dtype.byteorder == ">" else array
    found: bytes = little.tobytes()
    return found
