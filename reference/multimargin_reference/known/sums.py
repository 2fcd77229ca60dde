"""Orders of summation that a legal implementation may use: each adds up the last axis, in the array's dtype."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from multimargin_reference.known.model import Array

Sum = Callable[[Array], Array]
STEPS = 64  # the longest Python loop in a sum


def sequential(a: Array) -> Array:
    """Add from left to right."""
    return np.asarray(np.add.accumulate(a, axis=-1)[..., -1])


def reverse(a: Array) -> Array:
    """Add from right to left."""
    return sequential(a[..., ::-1])


def padded(a: Array, multiple: int) -> Array:
    """Append zeros, which never round, up to a multiple of a number."""
    short = -a.shape[-1] % multiple
    return np.concatenate([a, np.zeros((*a.shape[:-1], short), a.dtype)], axis=-1) if short else a


def tree(a: Array) -> Array:
    """Add neighbours, then neighbouring sums, and so on."""
    while a.shape[-1] > 1:
        a = padded(a, 2)
        a = a[..., 0::2] + a[..., 1::2]
    return np.asarray(a[..., 0])


def butterfly(a: Array) -> Array:
    """Fold the upper half onto the lower one again and again, as a warp's shuffles do."""
    a = padded(a, 1 << (a.shape[-1] - 1).bit_length())
    while a.shape[-1] > 1:
        half = a.shape[-1] // 2
        a = a[..., :half] + a[..., half:]
    return np.asarray(a[..., 0])


def blocked(size: int) -> Sum:
    """Add blocks of neighbours from left to right, then their sums."""

    def add(a: Array) -> Array:
        block = min(size, a.shape[-1])
        blocks = padded(a, block)
        return sequential(sequential(blocks.reshape(*blocks.shape[:-1], -1, block)))

    return add


def strided(lanes: int) -> Sum:
    """Let lane j add elements j, j + lanes, j + 2 lanes ..., then fold the lanes, as a block of threads does."""

    def add(a: Array) -> Array:
        used = min(lanes, a.shape[-1])
        a = padded(a, used)
        return butterfly(np.add.accumulate(a.reshape(*a.shape[:-1], -1, used), axis=-2)[..., -1, :])

    return add


def by_magnitude(a: Array) -> Array:
    """Add the smallest first."""
    return sequential(np.sort(a, axis=-1))


def in_lanes(a: Array) -> Array:
    """Reshape the last axis to (steps, lanes) with at most STEPS steps."""
    lanes = max(1, -(-a.shape[-1] // STEPS))
    a = padded(a, lanes)
    return a.reshape(*a.shape[:-1], -1, lanes)


def kahan(a: Array) -> Array:
    """Compensate each addition's error, in lanes; infinite sums are left as plain additions make them."""
    while a.shape[-1] > 1:
        steps = in_lanes(a)
        total = np.zeros_like(steps[..., 0, :])
        lost = np.zeros_like(total)
        for i in range(steps.shape[-2]):
            term = steps[..., i, :] - lost
            new = total + term
            lost = (new - total) - term
            total = new
        a = np.where(np.isfinite(total), total, steps.sum(axis=-2))
    return np.asarray(a[..., 0])


def widened_to(dtype: str, add: Sum = sequential) -> Sum:
    """Add in a wider dtype and round once."""
    return lambda a: add(a.astype(dtype)).astype(a.dtype)


def by_product(a: Array) -> Array:
    """Multiply by a vector of ones, as a library's matrix product adds."""
    return np.asarray(a @ np.ones(a.shape[-1], a.dtype))


def products(a: Array, b: Array) -> Array:
    """Add up a * b with fused multiply-adds, in lanes: the product is exact in a dtype twice as wide."""
    wide = np.float64 if a.dtype.itemsize <= 4 else np.longdouble
    x, y = in_lanes(a), in_lanes(b)
    total = np.zeros_like(x[..., 0, :])
    for i in range(x.shape[-2]):
        total = (total.astype(wide) + x[..., i, :].astype(wide) * y[..., i, :].astype(wide)).astype(a.dtype)
    return tree(total)
