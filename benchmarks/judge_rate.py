"""Results judged a second: by the fast judge, and by the exact rules that it stands for.

A result is one number of a loss or a gradient: weighted p = 2 without a reduction, standard normal logits, the results
of this package's NumPy functions. The exact rules are asked about a smaller call, their time being in proportion.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multimargin_reference.case import Case
from multimargin_reference.expectation import expected_values
from multimargin_reference.fast_call import INSIDE
from multimargin_reference.fast_judge import decide
from multimargin_reference.formats import DTYPES
from multimargin_reference.vectorized import multi_margin_loss, multi_margin_loss_backward

SHAPE, EXACT_SHAPE = (10_000, 100), (50, 100)
ROUNDS = 5


def main() -> None:
    """Print the rates."""
    for name, rate in judged_per_second().items():
        print(f"{name:15} {rate:12,.0f} results a second")


def judged_per_second(rounds: int = ROUNDS) -> dict[str, float]:
    """Return results judged a second, the median of some rounds: "float32 fast", "float32 exact" and so on.

    Raises RuntimeError where a result is undecided or not legal, and the time would not be that of judging it.
    """
    return {
        f"{dtype} {name}": rate
        for dtype in ("float32", "float64")
        for name, rate in (("fast", _fast(dtype, rounds)), ("exact", _exact(dtype)))
    }


def _fast(dtype: str, rounds: int) -> float:
    case = _case(dtype, SHAPE)
    loss, gradient = _results(case)

    def judge() -> None:
        decided = decide(case, loss, gradient)
        assert decided.loss is not None
        assert decided.gradient is not None
        if not ((decided.loss == INSIDE).all() and (decided.gradient == INSIDE).all()):
            raise RuntimeError(f"{dtype}: a result is undecided or not legal")

    return (loss.size + gradient.size) / statistics.median(_seconds(judge) for _ in range(rounds))


def _exact(dtype: str) -> float:
    case = _case(dtype, EXACT_SHAPE)
    loss, gradient = _results(case)

    def judge() -> None:
        expected = expected_values(case)
        assert expected.gradient is not None
        if expected.loss.outside(loss).any() or expected.gradient.outside(gradient).any():
            raise RuntimeError(f"{dtype}: a result is not legal")

    return (loss.size + gradient.size) / _seconds(judge)


def _case(dtype: str, shape: tuple[int, int]) -> Case:
    rng, kind = np.random.default_rng(0), DTYPES[dtype]
    x, weight = rng.standard_normal(shape).astype(kind), rng.uniform(0.5, 2, shape[1]).astype(kind)
    grads = rng.standard_normal(shape[0]).astype(kind)
    return Case(x, rng.integers(0, shape[1], shape[0]), 2, 1.0, weight, "none", grads)


def _results(case: Case) -> tuple[NDArray[Any], NDArray[Any]]:
    options = case.options
    loss = multi_margin_loss(case.input, case.target, **options)
    assert case.grad_output is not None
    return loss, multi_margin_loss_backward(case.grad_output, case.input, case.target, **options)


def _seconds(call: Callable[[], None]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
