"""The NumPy implementation against a loop over Fractions: bit for bit, or within the roundings that it may make."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from multimargin_reference import vectorized
from multimargin_reference.formats import DTYPES, FORMATS
from multimargin_reference.vectorized import multi_margin_loss, multi_margin_loss_and_grad, multi_margin_loss_backward

Array = NDArray[Any]
ALL = list(DTYPES)
REDUCTIONS = ("none", "mean", "sum")
WEIGHTS = {"none": None, "powers of two": (1, 0.5, 4, 2), "zero": (0, 1, 0, 2), "negative": (-1, 2, -0.5, -4)}
pytestmark = pytest.mark.usefixtures("each_engine")


def loop(
    x: Array, y: Array, p: int, margin: float, weight: Array | None, reduction: str, g: Array
) -> tuple[list[Fraction], list[list[Fraction]]]:
    """The definition, in exact arithmetic: losses (one a row, or one) and the gradient."""
    N, C = x.shape
    D = N * C if reduction == "mean" else C
    sums, gradient = [], []
    for n in range(N):
        row, t = [Fraction(float(v)) for v in x[n]], int(y[n])
        w = Fraction(1 if weight is None else float(weight[t]))
        z = [Fraction(margin) - row[t] + v for v in row]
        hinge = [max(Fraction(0), z[i]) if i != t else Fraction(0) for i in range(C)]
        factor = Fraction(float(g.reshape(-1)[n if g.size > 1 else 0])) * w * p / D
        slopes = [h ** (p - 1) * factor if h else Fraction(0) for h in hinge]
        slopes[t] = -sum(slopes, Fraction(0))
        sums.append(w * sum((h**p for h in hinge), Fraction(0)) / D)
        gradient.append(slopes)
    return (sums if reduction == "none" else [sum(sums, Fraction(0))]), gradient


def rounded(values: list[Fraction], dtype: str) -> Array:
    return np.array([float(FORMATS[dtype].round(v)) for v in values]).astype(DTYPES[dtype])


def flat(values: list[Fraction] | list[list[Fraction]]) -> list[Fraction]:
    return [v for row in values for v in (row if isinstance(row, list) else [row])]


def assert_same(got: Array, want: list[Fraction] | list[list[Fraction]]) -> None:
    """Assert that every number is the correctly rounded exact one (-0 = +0)."""
    np.testing.assert_array_equal(got.reshape(-1), rounded(flat(want), got.dtype.name))


def assert_within(got: Array, want: list[Fraction] | list[list[Fraction]], roundings: int) -> None:
    """Assert a relative error of at most that many roundings to nearest (0: correctly rounded)."""
    if not roundings:
        assert_same(got, want)
        return
    bound = (1 + FORMATS[got.dtype.name].u) ** roundings - 1
    for index, (value, exact) in enumerate(zip(got.reshape(-1), flat(want), strict=True)):
        error = abs(Fraction(float(value)) - exact)
        assert error <= bound * abs(exact), f"[{index}] = {value}, but should be {float(exact)}"


def grid(shape: tuple[int, ...], dtype: str, seed: int = 0) -> tuple[Array, Array]:
    """Quarters in [-2, 2] and targets: sums of a few thousand terms, squared too, are exact in float32."""
    rng = np.random.default_rng(seed)
    return (rng.integers(-8, 9, shape) / 4).astype(DTYPES[dtype]), rng.integers(0, shape[-1], shape[:-1])


def upstream(rows: int, dtype: str, reduction: str) -> Array:
    values = np.resize([1, -2, 0, 0.5, 3], rows) if reduction == "none" else np.asarray(-3.0)
    return values.astype(DTYPES[dtype])


def all_three(x: Array, y: Array, g: Array, **options: Any) -> tuple[Array, Array]:
    """Return the loss and the gradient, having seen that the fused function agrees with both bit for bit."""
    loss = multi_margin_loss(x, y, **options)
    gradient = multi_margin_loss_backward(g, x, y, **options)
    fused_loss, fused = multi_margin_loss_and_grad(x, y, **options)
    ones = multi_margin_loss_backward(np.ones_like(loss), x, y, **options)
    assert fused_loss.tobytes() == loss.tobytes()
    assert fused.tobytes() == ones.tobytes()
    assert {a.dtype for a in (loss, gradient, fused_loss, fused)} == {x.dtype}
    assert gradient.shape == fused.shape == x.shape
    assert loss.shape == (y.shape if options.get("reduction") == "none" else ())
    assert all(type(a) is np.ndarray for a in (loss, gradient, fused_loss, fused))
    return loss, gradient


def check_on_grid(shape: tuple[int, ...], dtype: str, roundings: int, **options: Any) -> None:
    """Check the loss for the correctly rounded one, and the gradient for so many roundings (0: correctly rounded)."""
    x, y = grid(shape, dtype, seed=math.prod(shape))
    for p, reduction in itertools.product((1, 2), REDUCTIONS):
        g = upstream(shape[0], dtype, reduction) if len(shape) == 2 else np.asarray(0.5, x.dtype)
        loss, gradient = all_three(x, y, g, p=p, reduction=reduction, **options)
        margin, weight = options.get("margin", 1), options.get("weight")
        want = loop(x.reshape(-1, shape[-1]), y.reshape(-1), p, margin, weight, reduction, g)
        assert_same(loss, want[0])
        assert_within(gradient, want[1], roundings)


@pytest.mark.parametrize("weight", WEIGHTS)
@pytest.mark.parametrize("margin", [1, 0, -0.5, 0.25])
@pytest.mark.parametrize("dtype", ALL)
def test_exact_grid(dtype: str, margin: float, weight: str) -> None:
    # Nothing rounds in float32, so halves round once, at the end, and the others not at all.
    values = WEIGHTS[weight]
    w = None if values is None else np.array(values, DTYPES[dtype])
    check_on_grid((8, 4), dtype, 0, margin=margin, weight=w)


@pytest.mark.parametrize("dtype", ALL)
def test_unbatched(dtype: str) -> None:
    check_on_grid((8,), dtype, 0)


@pytest.mark.parametrize("C", [1, 2, 4, 64, 128, 1024, 4096])
@pytest.mark.parametrize("N", [1, 2, 4])
def test_power_of_two_sizes(N: int, C: int) -> None:
    check_on_grid((N, C), "float32", 0)


CLASSES = [1, 2, 3, 63, 64, 65, 127, 129, 1023, 1024, 1025, 2049]
ROWS = [1, 2, 3, 127, 128, 129, 1023, 1025, 2049]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "shape",
    [(1, C) for C in CLASSES] + [(3, C) for C in CLASSES] + [(N, 3) for N in ROWS] + [(35, C) for C in (5, 10, 16, 17)],
    ids=str,
)
def test_any_size(shape: tuple[int, int], dtype: str) -> None:
    # Only the scaling rounds. The loss is one division in float64, and for float32 the rounding of its quotient: that
    # is one rounding in effect, because a quotient of integers a / D cannot be within 2**-53 of a number of 25 bits
    # without being it (a < 2**53, D < 2**28). The gradient: the division, the factor's rounding, the product's.
    check_on_grid(shape, dtype, 3)


@pytest.mark.parametrize("shape", [(1, 1), (7, 2), (7, 3), (5, 16), (5, 17), (3, 40), (40, 8)], ids=str)
@pytest.mark.parametrize("dtype", ALL)
@pytest.mark.parametrize("rows", [3, vectorized.ROWS])
def test_tiles(monkeypatch: pytest.MonkeyPatch, dtype: str, shape: tuple[int, int], rows: int) -> None:
    monkeypatch.setattr(vectorized, "ROWS", rows)
    monkeypatch.setattr(vectorized, "BLOCK", 16)
    monkeypatch.setattr(vectorized, "LANES", 4)
    monkeypatch.setattr(vectorized, "NARROW", 2)
    check_on_grid(shape, dtype, 4)  # three as in test_any_size, and a half's last


@pytest.mark.parametrize("p", [1, 2])
def test_more_classes_than_a_block(p: int) -> None:
    C = vectorized.BLOCK + 1
    x = np.full((3, C), -1, np.float32)
    for n, active in enumerate([(0, C - 1), (C - 2,), (5, 1024, C - 1)]):
        x[n, list(active)] = 0.5
    loss, gradient = multi_margin_loss_and_grad(x, np.array([1, C - 1, C - 2]), p=p, margin=0, reduction="none")
    hinge = Fraction(3, 2)
    assert_same(loss, [k * hinge**p / C for k in (2, 1, 3)])
    assert_within(gradient[:, [1, 1024, C - 2, C - 1]], _sparse_gradient(hinge, p, C), roundings=3)
    assert np.count_nonzero(gradient) == 3 + 2 + 4


def _sparse_gradient(hinge: Fraction, p: int, C: int) -> list[list[Fraction]]:
    g, zero = p * hinge ** (p - 1) / C, Fraction(0)
    return [[-2 * g, zero, zero, g], [zero, zero, g, -g], [zero, g, -3 * g, g]]


@pytest.mark.parametrize("offset", [0, 1000, 1e6])
@pytest.mark.parametrize("margin", [1, 0.1, -0.3, 1e-9])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_relative_error_stays_small_whatever_cancels(dtype: str, margin: float, offset: float) -> None:
    # x[i] - nearest rounds once, the residue and its subtraction once each; |residue| <= |x[i] - nearest| / 2, so the
    # three are at most 4 roundings of z. Squared: 9. Then 7 additions over classes, 15 over rows, weight, divisions.
    rng = np.random.default_rng(1)
    x = (rng.standard_normal((16, 8)) + offset).astype(DTYPES[dtype])
    y = rng.integers(0, 8, 16)
    for p in (1, 2):
        loss = multi_margin_loss(x, y, p=p, margin=margin)
        assert_within(loss, loop(x, y, p, margin, None, "mean", np.ones(1))[0], roundings=(4, 9)[p - 1] + 7 + 15 + 3)


@pytest.mark.parametrize("margin", [1, 0.1, -0.3, 1e-9])
@pytest.mark.parametrize("dtype", ALL)
def test_kink_is_decided_exactly(dtype: str, margin: float) -> None:
    # For p = 1 the gradient is the sign of z and the scaling by 1 / 4: exact, if every sign is.
    rng = np.random.default_rng(2)
    y = rng.integers(0, 4, 300)
    x = rng.standard_normal((300, 4)).astype(DTYPES[dtype])
    threshold = (x[np.arange(300), y].astype(np.float64) - margin).astype(x.dtype)
    steps = rng.integers(-1, 2, (300, 4)) * np.abs(np.spacing(threshold.astype(np.float32)))[:, None]
    near = (threshold.astype(np.float64)[:, None] + steps).astype(x.dtype)
    near[np.arange(300), y] = x[np.arange(300), y]
    gradient = multi_margin_loss_and_grad(near, y, margin=margin, reduction="none")[1]
    assert_same(gradient, loop(near, y, 1, margin, None, "none", np.ones(1))[1])


NAN, INF = math.nan, math.inf
SPECIAL = {  # logits (target is class 1), margin, loss, gradient; p = 1
    "NaN at a non-target": ([NAN, 0, 0, 0], 1, 0.5, [0, -0.5, 0.25, 0.25]),
    "NaN at the target": ([0, NAN, 0, 0], 1, 0, [0, 0, 0, 0]),
    "-inf at a non-target": ([-INF, 0, 0, 0], 1, 0.5, [0, -0.5, 0.25, 0.25]),
    "+inf at a non-target": ([INF, 0, 0, 0], 1, INF, [0.25, -0.75, 0.25, 0.25]),
    "+inf at the target": ([0, INF, 0, 0], 1, 0, [0, 0, 0, 0]),
    "+inf at both": ([INF, INF, 0, 0], 1, 0, [0, 0, 0, 0]),
    "-inf at the target": ([0, -INF, 0, 0], 1, INF, [0.25, -0.75, 0.25, 0.25]),
    "-inf everywhere": ([-INF, -INF, -INF, -INF], 1, 0, [0, 0, 0, 0]),
    "NaN margin": ([0, 0, 0, 0], NAN, 0, [0, 0, 0, 0]),
    "infinite margin": ([0, 0, 0, 0], INF, INF, [0.25, -0.75, 0.25, 0.25]),
    "margin -inf": ([0, 0, 0, 0], -INF, 0, [0, 0, 0, 0]),
}


@pytest.mark.parametrize("dtype", ALL)
@pytest.mark.parametrize("name", SPECIAL)
def test_special_values(name: str, dtype: str) -> None:
    logits, margin, want_loss, want_gradient = SPECIAL[name]
    loss, gradient = multi_margin_loss_and_grad(np.array(logits, DTYPES[dtype]), np.array(1), margin=margin)
    assert float(loss) == want_loss
    assert gradient.tolist() == want_gradient


def test_squared_infinity() -> None:
    loss, gradient = multi_margin_loss_and_grad(np.array([INF, 0, 0, 0]), np.array(1), p=2)
    assert (float(loss), gradient.tolist()) == (INF, [INF, -INF, 0.5, 0.5])


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("C", [4, 128])
@pytest.mark.parametrize("special", [NAN, INF])
def test_weight_of_inactive_elements_does_not_matter(special: float, C: int, p: int) -> None:
    x = np.zeros((2, C), np.float32)
    x[0, 0], x[1, 2] = 2, 1  # row 0 has no active term, row 1 has one
    w = np.ones(C, np.float32)
    w[0] = special
    loss, gradient = multi_margin_loss_and_grad(x, np.array([0, 1]), p=p, margin=0, weight=w, reduction="none")
    assert loss.tolist() == [0, 1 / C]
    assert {i: v for i, v in enumerate(gradient.reshape(-1).tolist()) if v} == {C + 1: -p / C, C + 2: p / C}
    w[:] = special
    gradient = multi_margin_loss_and_grad(x, np.array([0, 1]), p=p, margin=0, weight=w)[1]
    assert np.flatnonzero(gradient != 0).tolist() == [C + 1, C + 2]


def test_no_early_overflow() -> None:
    big = np.float32(2.0**127)
    # The threshold x[y] - margin = -2**128 is past the largest float32, z = 2**127 is not.
    assert float(multi_margin_loss(np.array([-big, -big]), np.array(1), margin=2.0**127)) == 2.0**126
    # The threshold 2**128 is past it too, but not past an infinite logit.
    assert float(multi_margin_loss(np.array([np.float32(INF), big]), np.array(1), margin=-(2.0**127))) == INF
    # Adding the rows up in float32 would overflow.
    rows = np.tile(np.array([[big, 0]], np.float32), (4, 1))
    assert float(multi_margin_loss(rows, np.array([1] * 4), margin=0)) == 2.0**126
    # N * C = 76800 is not a float16, the mean 255 / 256 is.
    ones = np.zeros((300, 256), np.float16)
    loss, gradient = multi_margin_loss_and_grad(ones, np.zeros(300, np.int64))
    assert float(loss) == 255 / 256
    assert_same(gradient[:, :2], [[Fraction(-255, 76800), Fraction(1, 76800)]] * 300)


def test_overflow_is_silent() -> None:
    x = np.full((4, 4), 60000, np.float16)
    x[:, 0] = 0
    assert float(multi_margin_loss(x, np.zeros(4, np.int64), reduction="sum")) == INF
    assert float(multi_margin_loss(x.astype(np.float32) * 1e30, np.zeros(4, np.int64), p=2)) == INF


@pytest.mark.parametrize("dtype", ALL)
def test_subnormals(dtype: str) -> None:
    eta = float(FORMATS[dtype].eta)
    x = np.array([[4 * eta, 0], [0, 4 * eta]], DTYPES[dtype])
    loss, gradient = multi_margin_loss_and_grad(x, np.array([1, 1]), margin=0, reduction="none")
    assert loss.astype(np.float64).tolist() == [2 * eta, 0]
    assert gradient.tolist() == [[0.5, -0.5], [0, 0]]


@pytest.mark.parametrize("dtype", ALL)
@pytest.mark.parametrize("C", [1, 5, 100])
def test_empty_batch(C: int, dtype: str) -> None:
    x, y = np.empty((0, C), DTYPES[dtype]), np.empty(0, np.int64)
    for reduction in REDUCTIONS:
        loss, gradient = all_three(x, y, upstream(0, dtype, reduction), reduction=reduction)
        assert loss.tolist() == ([] if reduction == "none" else 0)
        assert gradient.shape == (0, C)


def unaligned(array: Array) -> Array:
    buffer = np.empty(array.nbytes + 1, np.uint8)
    view = buffer[1:].view(array.dtype).reshape(array.shape)
    view[...] = array
    assert array.size == 0 or not view.flags.aligned or array.itemsize == 1
    return view


def read_only(array: Array) -> Array:
    copy = array.copy()
    copy.flags.writeable = False
    return copy


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "read-only": read_only,
    "unaligned": unaligned,
    "Fortran": lambda a: a.copy(order="F"),
    "strided": lambda a: np.repeat(a, 2, axis=-1)[..., ::2] if a.ndim else a,
    "reversed": lambda a: a[..., ::-1].copy()[..., ::-1] if a.ndim else a,
    "reversed rows": lambda a: a[::-1].copy()[::-1] if a.ndim else a,
}


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", [(6, 5), (6, 200), (3, 1100)])
@pytest.mark.parametrize("dtype", ALL)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(layout: str, dtype: str, shape: tuple[int, int], reduction: str) -> None:
    rng = np.random.default_rng(3)
    x = rng.standard_normal(shape).astype(DTYPES[dtype])
    w = rng.standard_normal(shape[1]).astype(x.dtype)
    y = rng.integers(0, shape[1], shape[0])
    g = upstream(shape[0], dtype, reduction)
    plain = all_three(x, y, g, p=2, weight=w, reduction=reduction)
    placed = [LAYOUTS[layout](a) for a in (x, y, g, w)]
    before = [a.tobytes() for a in placed]
    got = all_three(*placed[:3], p=2, weight=placed[3], reduction=reduction)
    assert [a.tobytes() for a in (*got, *placed)] == [a.tobytes() for a in plain] + before


def test_zero_strides() -> None:
    x = np.broadcast_to(np.array([1.0, 0.5, 0.25], np.float32), (4, 3))
    y = np.broadcast_to(np.array(1), (4,))
    g = np.broadcast_to(np.array(2, np.float32), (4,))
    w = np.broadcast_to(np.array(3, np.float32), (3,))
    got = all_three(x, y, g, weight=w, reduction="none")
    want = all_three(x.copy(), y.copy(), g.copy(), weight=w.copy(), reduction="none")
    assert [a.tobytes() for a in got] == [a.tobytes() for a in want]


def test_results_are_independent() -> None:
    x, y = grid((4, 4), "float32")
    first = multi_margin_loss_and_grad(x, y, reduction="none")
    kept = [a.copy() for a in first]
    again = multi_margin_loss_and_grad(x, y, reduction="none")
    multi_margin_loss_and_grad(-x, y, p=2, reduction="none")
    for a, b, c in zip(first, kept, again, strict=True):
        assert a.tobytes() == b.tobytes() == c.tobytes()
        assert not np.shares_memory(a, c)
        assert a.flags.writeable


def test_numpy_settings_are_left_alone() -> None:
    before = np.getbufsize(), np.geterr()
    multi_margin_loss(np.array([INF, INF]), np.array(1))
    assert (np.getbufsize(), np.geterr()) == before
