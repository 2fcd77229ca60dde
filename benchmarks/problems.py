"""What is timed: shapes, data and options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multimargin_reference.vectorized import LANES

SHAPES = (
    (1, 10),
    (128, 10),
    (8192, 10),
    (65536, 10),
    (4096, 1000),
    (256, 32000),
    (64, 262144),
    (1, 1000000),
)
TINY = ((3, 4), (2, LANES + 1))  # of a dry run
SMALL = 1280  # elements up to which a call through NumPy arrays is timed too
WIDE = 1000  # classes from which float64 is timed too
DATA = ("random", "nearly inactive")
CHOSEN = 4.0  # the target's logit in nearly inactive data: one other class in 740 is above 3
THREADS = (1, 2)


@dataclass(frozen=True)
class Options:
    """p, and whether there are class weights."""

    p: int
    weighted: bool

    @property
    def text(self) -> str:
        """As tables name it."""
        return f"{'weighted ' if self.weighted else ''}p = {self.p}"


OPTIONS = (Options(1, False), Options(2, True))


@dataclass(frozen=True)
class Problem:
    """The arguments of one call: x, (N, C); y, (N,), int64; w, (C,), or None; margin 1 and "mean"."""

    x: NDArray[Any]
    y: NDArray[np.int64]
    w: NDArray[Any] | None
    options: Options


def problem(shape: tuple[int, int], options: Options, data: str = DATA[0], dtype: str = "float32") -> Problem:
    """Return standard normal logits, the same ones each time; in nearly inactive data the target's are CHOSEN."""
    rng = np.random.default_rng(0)
    rows, classes = shape
    x = rng.standard_normal(shape, np.float32).astype(dtype)
    y = rng.integers(0, classes, rows)
    if data != DATA[0]:
        x[np.arange(rows), y] = CHOSEN
    w = rng.uniform(0.5, 1.5, classes).astype(dtype) if options.weighted else None
    return Problem(x, y, w, options)
