"""Hypothesis strategies for calls: on the exact grid, so that nothing rounds, and in general."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from hypothesis import reject
from hypothesis import strategies as st
from numpy.typing import NDArray

from multimargin_conformance.capabilities import REDUCTIONS, Capabilities
from multimargin_reference.case import Case
from multimargin_reference.exact_values import exact_values
from multimargin_reference.formats import DTYPES, HALVES
from multimargin_vectors.families.covering import without_kinks
from multimargin_vectors.splitmix import words

SHAPES = (
    (1, 2),
    (2,),
    (2, 2),
    (4,),
    (2, 4),
    (4, 2),
    (1, 8),
    (4, 4),
    (8, 2),
    (2, 16),
    (8, 8),
    (16, 4),
    (1, 64),
    (32, 2),
)
MARGINS = (1.0, 0.5, 2.0, -0.5, 0.75, 4.0, -1.25)
SIGNED = ((1.0, 2.0, 0.5, 4.0), (-1.0, 1.0, 2.0), (0.0, 1.0, -0.5))
POSITIVE = ((1.0, 2.0, 0.5, 4.0), (2.0, 0.25), (0.0, 1.0))
STEP = 0.25  # between the logits of the grid
# Numbers of levels of the logits by dtype and p: fewer put more of them near the margin.
LEVELS = {
    ("float16", 1): (128, 32, 8),
    ("float16", 2): (16, 6, 3),
    ("bfloat16", 1): (16, 6, 3),
    ("bfloat16", 2): (6, 3, 2),
    ("float32", 1): (2**16, 512, 32, 8),
    ("float32", 2): (512, 64, 16, 8),
    ("float64", 1): (2**16, 512, 32, 8),
    ("float64", 2): (2**16, 512, 32, 8),
}
MORE = 64  # random numbers for what a property changes about a call
SEEDS = st.integers(0, 2**32 - 1)  # of the numbers: to draw each of them would take Hypothesis milliseconds


Weights = tuple[float, ...] | None


class Options(NamedTuple):
    """What a call on the grid is like."""

    shape: tuple[int, ...]
    reduction: str
    weights: Weights
    p: int
    margin: float


@dataclass(frozen=True)
class Drawn:
    """A call on the exact grid, and MORE random bytes for what a property changes about it."""

    case: Case
    more: NDArray[np.uint8]

    def __repr__(self) -> str:
        return f"Drawn({self.case.id})"


def calls(
    dtype: str,
    capabilities: Capabilities,
    *,
    weights: Sequence[tuple[float, ...] | None] = (None, *SIGNED),
    reductions: Sequence[str] = REDUCTIONS,
    batched: bool = False,
    most: int = 64,
) -> st.SearchStrategy[Drawn]:
    """Return a strategy for calls on the exact grid that a backend declares to take.

    weights: patterns that are repeated over the classes. batched: no call without a batch. most: logits at most.
    """
    chosen = _options(capabilities, tuple(weights), tuple(reductions), batched, most)
    if not chosen:
        return st.nothing()
    place = st.integers(0, len(chosen) - 1)  # not sampled_from, which writes all of them out again and again
    return st.builds(lambda k, seed: _drawn(dtype, chosen[k], seed), place, SEEDS)


@cache
def _options(
    c: Capabilities, weights: tuple[Weights, ...], reductions: tuple[str, ...], batched: bool, most: int
) -> list[Options]:
    """Return all combinations, the simplest first: to draw one is much faster than to draw each option."""
    shapes = [s for s in SHAPES if int(np.prod(s)) <= most and _is_offered(s, c, batched)]
    kept = [name for name in reductions if name in c.reductions]
    return [Options(*row) for row in product(shapes, kept, weights, c.p, MARGINS)]


def _is_offered(shape: tuple[int, ...], capabilities: Capabilities, batched: bool) -> bool:
    kind = "batched" if len(shape) == 2 else "unbatched"
    return kind in capabilities.shapes and (kind == "batched" or not batched)


@lru_cache(maxsize=4096)  # the same calls are drawn for every backend
def _drawn(dtype: str, options: Options, seed: int) -> Drawn:
    shape, reduction, weights, p, margin = options
    kind, size, rows = DTYPES[dtype], int(np.prod(shape)), shape[0] if len(shape) == 2 else 1
    raw = (words(seed, size + 2 * rows + MORE + 1) >> np.uint64(32)).astype(np.int64)
    target = (raw[size : size + rows] % shape[-1]).reshape(shape[:-1])
    grads = _grads(raw[size + rows : size + 2 * rows], shape[:-1] if reduction == "none" else (), dtype)
    weight = None if weights is None else np.resize(weights, shape[-1]).astype(kind)
    choices = LEVELS[dtype, p]
    for levels in choices[int(raw[-1]) % len(choices) :]:
        grid = STEP * (raw[:size] % levels - levels // 2).astype(np.float64).reshape(shape)
        x = without_kinks(grid, target, margin)
        case = Case(x.astype(kind), target, p, margin, weight, reduction, grads.astype(kind))
        if exact_values(case) is not None:
            return Drawn(case, raw[size + 2 * rows : -1].astype(np.uint8))
    return reject()


def _grads(raw: NDArray[np.int64], shape: tuple[int, ...], dtype: str) -> NDArray[np.float64]:
    table = np.array([1.0, -2.0, 0.0, -1.0] if dtype in HALVES else [1.0, -2.0, 0.5, 0.0, -1.0, 4.0])
    values: NDArray[np.float64] = table[raw % len(table)][: max(1, int(np.prod(shape)))].reshape(shape)
    return values


def is_exact(case: Case) -> bool:
    """Whether nothing rounds in a call that was made from one on the grid."""
    return exact_values(case) is not None


def with_logits(case: Case, x: NDArray[Any]) -> Case:
    """Return the call with other logits, off the kink."""
    moved = without_kinks(x.astype(np.float64), case.target, case.margin)
    return replace(case, input=moved.astype(case.input.dtype))
