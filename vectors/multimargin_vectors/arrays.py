"""Arrays in JSON: literal values with their bits, or a recipe with the SHA-256 of the data it yields."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multimargin_reference.formats import DTYPES
from multimargin_vectors.splitmix import integers

LARGEST_ARRAY = 1 << 24  # elements; a recipe from an untrusted file must not exhaust memory
INTEGER_DTYPES = {name: np.dtype(name) for name in ("int8", "uint8", "int16", "uint16", "int32", "int64", "bool")}
ARRAY_DTYPES: dict[str, np.dtype[Any]] = {**DTYPES, **INTEGER_DTYPES}


@dataclass(frozen=True)
class Sparse:
    """A large array that is `fill` everywhere but at a few flat indices."""

    dtype: str
    shape: tuple[int, ...]
    fill: float
    at: Mapping[int, float]

    def build(self) -> NDArray[Any]:
        """Return the array."""
        array = np.full(checked_size(self.shape), self.fill, dtype=np.float64)
        for index, value in self.at.items():
            array[index] = value
        return array.astype(ARRAY_DTYPES[self.dtype]).reshape(self.shape)

    def to_json(self) -> dict[str, Any]:
        """Return the recipe."""
        at = {str(k): number(v) for k, v in self.at.items()}
        return {"kind": "sparse", "fill": number(self.fill), "at": at}


@dataclass(frozen=True)
class Stream:
    """A large array of grid numbers: (low + k) * scale, k in [0, levels) from stream `seed` of the generator."""

    dtype: str
    shape: tuple[int, ...]
    seed: int
    levels: int
    low: int = 0
    scale: float = 1.0

    def build(self) -> NDArray[Any]:
        """Return the array."""
        grid = (integers(self.seed, checked_size(self.shape), self.levels) + self.low) * self.scale
        return grid.astype(ARRAY_DTYPES[self.dtype]).reshape(self.shape)

    def to_json(self) -> dict[str, Any]:
        """Return the recipe."""
        fields = {"seed": self.seed, "levels": self.levels, "low": self.low, "scale": self.scale}
        return {"kind": "splitmix64", **fields}


Recipe = Sparse | Stream


def number(value: float) -> float | int | str:
    """Return a JSON number (shortest decimal of the exact double), or "nan", "inf", "-inf"."""
    value = float(value)
    if not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    return int(value) if value.is_integer() and abs(value) < 2**31 and math.copysign(1, value) > 0 else value


def numbers(values: NDArray[Any]) -> list[float | int | str]:
    """Return an array's elements, flat, as JSON numbers."""
    return [number(v) for v in values.astype(np.float64).reshape(-1).tolist()]


def raw_bytes(array: NDArray[Any]) -> bytes:
    """Return the array's elements as little-endian bytes in C order."""
    return np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<")).tobytes()


def array_to_json(array: NDArray[Any], recipe: Recipe | None = None) -> dict[str, Any]:
    """Return an array as JSON: values and bits, or the recipe and the SHA-256 of the bits."""
    head: dict[str, Any] = {"dtype": array.dtype.name, "shape": list(array.shape)}
    if recipe is not None:
        return {**head, "recipe": recipe.to_json(), "sha256": hashlib.sha256(raw_bytes(array)).hexdigest()}
    values = array.reshape(-1).tolist() if array.dtype.kind in "iub" else numbers(array)
    return {**head, "values": values, "hex": raw_bytes(array).hex()}


def array_from_json(data: Mapping[str, Any]) -> tuple[NDArray[Any], Recipe | None]:
    """Return the array (read-only) and its recipe. Raises ValueError where bits, shape or SHA-256 do not fit."""
    dtype, shape = ARRAY_DTYPES[data["dtype"]], tuple(data["shape"])
    if "recipe" not in data:
        raw = bytes.fromhex(data["hex"])
        if len(raw) != checked_size(shape) * dtype.itemsize:
            raise ValueError(f"array has {len(raw)} bytes, but should have {checked_size(shape) * dtype.itemsize}")
        return np.frombuffer(raw, dtype=dtype).reshape(shape), None
    recipe = recipe_from_json(data["dtype"], shape, data["recipe"])
    with np.errstate(all="ignore"):  # numbers beyond the dtype give a SHA-256 that does not fit
        array = recipe.build()
    digest = hashlib.sha256(raw_bytes(array)).hexdigest()
    if digest != data["sha256"]:
        raise ValueError(
            f"recipe {json.dumps(data['recipe'])} gives SHA-256 {digest}, but should give {data['sha256']}"
        )
    array.flags.writeable = False
    return array, recipe


def recipe_from_json(dtype: str, shape: tuple[int, ...], data: Mapping[str, Any]) -> Recipe:
    """Return the recipe of a large array."""
    if data["kind"] == "sparse":
        return Sparse(dtype, shape, float(data["fill"]), {int(k): float(v) for k, v in data["at"].items()})
    return Stream(dtype, shape, data["seed"], data["levels"], data["low"], data["scale"])


def checked_size(shape: tuple[int, ...]) -> int:
    """Return the number of elements. Raises ValueError where there are too many for an untrusted file."""
    size = math.prod(shape)
    if size > LARGEST_ARRAY:
        raise ValueError(f"array of shape {shape} has {size} elements, but should have at most {LARGEST_ARRAY}")
    return size
