"""How time grows with N and with C: float32, p = 1, random data; the exponent is fitted where overhead is small."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from contenders import BY_HAND, EAGER, MAKERS, NUMBA, NUMPY, bound
from problems import OPTIONS, problem
from ratios import PASSES
from timing import interleaved, spread

FITTED = 1 << 16  # elements from which the exponent is fitted
ALONG: dict[str, tuple[tuple[int, ...], Callable[[int], tuple[int, int]]]] = {  # sizes, and the shape of each
    "N": (tuple(4**k for k in range(8)), lambda n: (n, 1000)),
    "C": (tuple(4**k for k in range(1, 11)), lambda c: (16, c)),
}
SMALL = {"N": (1, 4, 16), "C": (4, 16, 64)}  # of a dry run
FIXED = {"N": "C = 1000", "C": "N = 16"}
ORDER = (EAGER, NUMBA, NUMPY, BY_HAND)
ALONE = (NUMBA,)  # with more than one thread


@dataclass(frozen=True)
class Line:
    """Median seconds of one contender by size, and the exponent of the fit."""

    along: str
    threads: int
    what: str
    contender: str
    sizes: tuple[int, ...]
    seconds: tuple[float, ...]
    exponent: float


def measure(rounds: int, longest: float, names: tuple[str, ...], threads: int, dry: bool) -> list[Line]:
    """Return a line for each contender, direction and pass."""
    made = {name: MAKERS[name](1) for name in (ORDER if threads == 1 else ALONE) if name in names}
    lines = []
    for along, (all_sizes, shape) in ALONG.items() if made else ():
        print(f"{threads} threads: growth in {along}", file=sys.stderr, flush=True)
        sizes = SMALL[along] if dry else all_sizes
        medians: dict[tuple[str, str], list[float]] = {}
        for size in sizes:
            sides = {name: bound(c, problem(shape(size), OPTIONS[0])) for name, c in made.items()}
            for what in PASSES:
                calls = {n: (s.contender.ready, s.forward if what == PASSES[0] else s.fused) for n, s in sides.items()}
                for name, times in interleaved(calls, rounds, longest, threads).items():
                    medians.setdefault((what, name), []).append(spread(times).median)
        elements = [int(np.prod(shape(size))) for size in sizes]
        for (what, name), seconds in medians.items():
            exponent = fitted(elements, seconds)
            lines.append(Line(along, threads, what, name, sizes, tuple(seconds), exponent))
    return lines


def fitted(elements: list[int], seconds: list[float]) -> float:
    """Return the slope of log time over log size, by least squares, from FITTED elements (in a dry run, of all)."""
    used = [(n, t) for n, t in zip(elements, seconds, strict=True) if n >= FITTED]
    n, t = zip(*(used if len(used) > 1 else zip(elements, seconds, strict=True)), strict=True)
    return float(np.polyfit(np.log(n), np.log(t), 1)[0])
