"""The machine's floor: how fast memory is read, and copied, by whatever does it fastest here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from timing import Spread, interleaved, spread

SIZE = 1 << 27  # bytes of an array: no cache holds it
LONGEST = 8.0  # seconds
Make = Callable[[NDArray[Any], NDArray[Any]], Callable[[], object]]


def _torch_sum(x: NDArray[Any], out: NDArray[Any]) -> Callable[[], object]:  # noqa: ARG001
    tensor = torch.from_numpy(x)
    return lambda: torch.sum(tensor)


def _torch_copy(x: NDArray[Any], out: NDArray[Any]) -> Callable[[], object]:
    source, target = torch.from_numpy(x), torch.from_numpy(out)
    return lambda: target.copy_(source)


READS: dict[str, Make] = {
    "torch.sum": _torch_sum,
    "BLAS dot": lambda x, out: lambda: np.dot(x.reshape(-1), x.reshape(-1)),  # noqa: ARG005
    "np.max": lambda x, out: lambda: np.max(x),  # noqa: ARG005
}
COPIES: dict[str, Make] = {
    "torch copy_": _torch_copy,
    "np.copyto": lambda x, out: lambda: np.copyto(out, x),
}


@dataclass(frozen=True)
class Floor:
    """The fastest way to read or to copy; GB a second, a copied byte counted once."""

    way: str
    rate: Spread


def floors(rounds: int, size: int, threads: int) -> dict[str, Floor]:
    """Return the floors "read" and "copy" for arrays of `size` bytes."""
    x, out = np.ones(size // 4, np.float32), np.zeros(size // 4, np.float32)
    return {"read": _fastest(READS, x, out, rounds, threads), "copy": _fastest(COPIES, x, out, rounds, threads)}


def _fastest(ways: dict[str, Make], x: NDArray[Any], out: NDArray[Any], rounds: int, threads: int) -> Floor:
    calls = {name: (lambda: None, make(x, out)) for name, make in ways.items()}
    times = interleaved(calls, rounds, LONGEST, threads)
    rates = {name: spread(x.nbytes / t / 1e9 for t in some) for name, some in times.items()}
    way = max(rates, key=lambda name: rates[name].median)
    return Floor(way, rates[way])
