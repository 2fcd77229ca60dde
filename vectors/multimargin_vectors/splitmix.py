"""The counter-based generator behind procedural arrays (SPEC.md, "Recipes"): SplitMix64, word k of stream `seed`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def words(seed: int, count: int) -> NDArray[np.uint64]:
    """Return words 0 .. count - 1 of stream `seed`, uint64; all arithmetic is modulo 2**64."""
    z = np.uint64(seed) + (np.arange(count, dtype=np.uint64) + np.uint64(1)) * GOLDEN
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def integers(seed: int, count: int, levels: int) -> NDArray[np.int64]:
    """Return `count` integers in [0, levels): the upper 32 bits of each word, modulo levels."""
    return ((words(seed, count) >> np.uint64(32)) % np.uint64(levels)).astype(np.int64)
