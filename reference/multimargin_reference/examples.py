"""The names that the examples of SPEC.md use: exact evaluation with readable output, and the NumPy implementation.

`loss` and `gradient` print what the oracle gives, as exact fractions; a value whose fraction is long, because an
argument such as 0.1 is not exact in binary, is printed as "about" the nearest number of the dtype. `enclosure` and
`gradient_enclosure` print the legal results: least to largest on the dtype's grid, and the special values beside them.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from multimargin_reference import oracle
from multimargin_reference.case import Case
from multimargin_reference.formats import DTYPES, FORMATS
from multimargin_reference.interval import Interval
from multimargin_reference.module import MultiMarginLoss
from multimargin_reference.vectorized import multi_margin_loss, multi_margin_loss_backward

__all__ = [
    "DTYPES",
    "MultiMarginLoss",
    "enclosure",
    "gradient",
    "gradient_enclosure",
    "inf",
    "loss",
    "multi_margin_loss",
    "multi_margin_loss_backward",
    "nan",
    "np",
]

LARGEST_DENOMINATOR = 1 << 20  # longer fractions are printed as decimals
LARGEST_NUMERATOR = 1 << 64

inf = float("inf")
nan = float("nan")


def namespace() -> dict[str, Any]:
    """Return what `from multimargin_reference.examples import *` brings, for a doctest."""
    return {name: globals()[name] for name in __all__}


def loss(
    x: ArrayLike,
    y: ArrayLike,
    p: Any = 1,
    margin: float = 1,
    w: ArrayLike | None = None,
    reduction: str = "mean",
    dtype: str = "float64",
) -> None:
    """Print the exact loss of logits x, targets y and weights w; or why the call is rejected."""
    call = _arguments(x, y, w, dtype)
    _print(dtype, lambda: oracle.loss(*call[:2], p=p, margin=margin, weight=call[2], reduction=reduction))


def gradient(
    x: ArrayLike,
    y: ArrayLike,
    g: ArrayLike = 1,
    p: Any = 1,
    margin: float = 1,
    w: ArrayLike | None = None,
    reduction: str = "mean",
    dtype: str = "float64",
) -> None:
    """Print the exact gradient with respect to x for grad_output g (one number: for every row); or the rejection."""
    a, t, weight = _arguments(x, y, w, dtype)
    factors = _grad_output(g, t, reduction, dtype)
    _print(dtype, lambda: oracle.gradient(factors, a, t, p=p, margin=margin, weight=weight, reduction=reduction))


def enclosure(
    x: ArrayLike,
    y: ArrayLike,
    p: int = 1,
    margin: float = 1,
    w: ArrayLike | None = None,
    reduction: str = "mean",
    dtype: str = "float32",
) -> None:
    """Print the legal losses (appendix A)."""
    a, t, weight = _arguments(x, y, w, dtype)
    print(_text(oracle.enclosure(Case(a, t, p, margin, weight, reduction)), dtype))


def gradient_enclosure(
    x: ArrayLike,
    y: ArrayLike,
    g: ArrayLike = 1,
    p: int = 1,
    margin: float = 1,
    w: ArrayLike | None = None,
    reduction: str = "mean",
    dtype: str = "float32",
) -> None:
    """Print the legal gradients (appendix A)."""
    a, t, weight = _arguments(x, y, w, dtype)
    case = Case(a, t, p, margin, weight, reduction, _grad_output(g, t, reduction, dtype))
    print(_text(oracle.gradient_enclosure(case), dtype))


def _arguments(x: ArrayLike, y: ArrayLike, w: ArrayLike | None, dtype: str) -> tuple[NDArray[Any], ...]:
    target = np.asarray(y)
    if not isinstance(y, np.ndarray) and (target.dtype.kind == "i" or not target.size):
        target = target.astype(np.int64)  # an empty list has no integers to tell its type by
    weight: Any = None if w is None else np.asarray(w, DTYPES[dtype])
    return np.asarray(x, DTYPES[dtype]), target, weight


def _grad_output(g: ArrayLike, target: NDArray[Any], reduction: str, dtype: str) -> NDArray[Any]:
    factors = np.asarray(g, DTYPES[dtype])
    return np.full(target.shape, factors) if reduction == "none" and not factors.ndim else factors


def _print(dtype: str, evaluate: Callable[[], Any]) -> None:
    try:
        print(_text(evaluate(), dtype))
    except (TypeError, ValueError, IndexError) as error:
        print(f"rejected: {error}")


def _text(value: Any, dtype: str) -> str:
    """Return numbers, intervals and nested lists of them as text."""
    if isinstance(value, list):
        return f"[{', '.join(_text(v, dtype) for v in value)}]"
    if isinstance(value, Interval):
        return _interval(value, dtype)
    if not isinstance(value, Fraction):
        return str(value)
    if value.denominator <= LARGEST_DENOMINATOR and abs(value.numerator) <= LARGEST_NUMERATOR:
        return str(value)
    return "about " + str(DTYPES[dtype].type(float(FORMATS[dtype].round(value))))


def _interval(interval: Interval, dtype: str) -> str:
    """Return the ends rounded inward to the dtype's grid, one number if they meet, and the special values."""
    parts = [" or ".join(sorted(interval.also))] if interval.also else []
    if interval.lo is not None and interval.hi is not None:
        fmt = FORMATS[dtype]
        ends = [float(fmt.ceil(interval.lo)) + 0.0, float(fmt.floor(interval.hi)) + 0.0]
        low, high = (str(DTYPES[dtype].type(end)) for end in ends)
        parts.insert(0, low if low == high else f"{low} to {high}")
    return " or ".join(parts)
