"""The compiled engine's own matters: which engine computes, threads, forks, memory, layouts."""

from __future__ import annotations

import os
import sys
import tracemalloc
import types
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from multimargin_reference import engine, vectorized
from multimargin_reference.validation import validate
from multimargin_reference.vectorized import multi_margin_loss, multi_margin_loss_and_grad, multi_margin_loss_backward

Array = NDArray[Any]
choose = engine.engine.__wrapped__


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """Return the compiled engine, in use."""
    pytest.importorskip("numba")
    monkeypatch.setenv(engine.VARIABLE, "numba")
    monkeypatch.setattr(vectorized, "engine", choose)
    module: types.ModuleType = choose()
    return module


def data(N: int, C: int, dtype: str = "float32") -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((N, C)).astype(dtype), rng.integers(0, C, N)


def test_numpy_alone_is_chosen_without_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(engine.VARIABLE, raising=False)
    monkeypatch.setattr(engine, "find_spec", lambda _: None)
    assert choose() is None
    monkeypatch.setenv(engine.VARIABLE, "numpy")
    assert choose() is None


def test_an_unknown_engine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(engine.VARIABLE, "fortran")
    with pytest.raises(ValueError, match="'fortran', but should be 'numba', 'numpy' or unset"):
        choose()


def test_a_broken_numba_is_warned_of_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "find_spec", lambda _: object())
    monkeypatch.setitem(sys.modules, "multimargin_reference.numba_engine", None)
    monkeypatch.delenv(engine.VARIABLE, raising=False)
    with pytest.warns(RuntimeWarning, match="NumPy computes, because Numba cannot be used"):
        assert choose() is None
    monkeypatch.setenv(engine.VARIABLE, "numba")
    with pytest.raises(ImportError, match="MULTIMARGIN_ENGINE=numba, but it cannot be used"):
        choose()


@pytest.mark.parametrize("shape", [(300, 7), (30, 1000), (3, 5000)], ids=str)
def test_memory_that_is_fetched_ahead_changes_nothing(
    compiled: types.ModuleType, shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = data(*shape)
    x = x.astype(np.float32)
    apart = np.repeat(x, 2, axis=0)[::2]

    def results() -> list[bytes]:
        found = [multi_margin_loss_and_grad(array, y) for array in (x, apart)]
        return [part.tobytes() for both in found for part in both]

    numba_ahead = compiled.numba_ahead
    assert numba_ahead.ahead(x) == numba_ahead.ahead(x.astype(np.float64)) == 0
    before = results()
    monkeypatch.setattr(numba_ahead, "LARGE", 1)
    assert numba_ahead.ahead(x) > 0 == numba_ahead.ahead(x.astype(np.float64))
    assert results() == before


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("shape", [(40_000, 7), (300, 1000), (70, 3000), (1, 300_000)], ids=str)
def test_threads_do_not_change_a_bit(compiled: types.ModuleType, shape: tuple[int, int], reduction: str) -> None:
    x, y = data(*shape)
    g = np.ones(len(y) if reduction == "none" else (), x.dtype)
    weight = np.random.default_rng(1).random(shape[1]).astype(x.dtype)

    def results() -> list[bytes]:
        one = multi_margin_loss_backward(g, x, y, p=2, weight=weight, reduction=reduction)
        both = multi_margin_loss_and_grad(x, y, weight=weight, reduction=reduction)
        return [a.tobytes() for a in (one, *both, multi_margin_loss(x, y, reduction=reduction))]

    asked = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled.THREADS, "taken", asked.append)
        serial = results()
    assert all(elements >= compiled.THREADED for elements in asked)
    assert len(asked) == 3
    assert results() == serial


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("p", [1, 2])
def test_a_plain_call_needs_no_preparation(
    compiled: types.ModuleType, p: int, reduction: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The short way gives the bits of the general one, and is taken."""
    x, y = data(300, 20, dtype)
    weight = np.random.default_rng(1).random(20).astype(dtype)
    general = compiled.evaluate(validate(x, y, p, 0.75, weight, reduction), np.ones(1), loss=True)
    monkeypatch.setattr(compiled, "evaluate", None)
    options: Any = {"p": p, "margin": 0.75, "weight": weight, "reduction": reduction}
    assert [a.tobytes() for a in multi_margin_loss_and_grad(x, y, **options)] == [a.tobytes() for a in general]
    assert multi_margin_loss(x, y, **options).tobytes() == general[0].tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows", [15, 16, 47, 256, 300])
@pytest.mark.parametrize("classes", range(4, 18))
@pytest.mark.usefixtures("compiled")
def test_rows_at_once_are_rows_one_by_one(classes: int, rows: int, dtype: str) -> None:
    # Quarters: no sum rounds, whatever its order. What is special in a row changes no other, and none lies behind it.
    rng = np.random.default_rng(classes * rows)
    x, y = (rng.integers(-8, 9, (rows, classes)) / 4).astype(dtype), rng.integers(0, classes, rows)
    for special in (np.inf, -np.inf, np.nan):
        x[rng.integers(0, rows, 3), rng.integers(0, classes, 3)] = special
    weight = rng.choice([0.5, -2.0, 0.0, np.nan], classes).astype(dtype)
    for p, w in ((1, None), (2, None), (1, weight), (2, weight)):
        loss, gradient = multi_margin_loss_and_grad(x, y, p=p, weight=w, reduction="none")
        alone = [multi_margin_loss_and_grad(*row, p=p, weight=w, reduction="none") for row in zip(x, y, strict=True)]
        np.testing.assert_array_equal(loss, [value for value, _ in alone])
        np.testing.assert_array_equal(gradient, [slope for _, slope in alone])
        np.testing.assert_array_equal(multi_margin_loss(x, y, p=p, weight=w, reduction="none"), loss)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [0.0, 1e-45, 1e-40, 1.5 * 2.0**-126, 1.0, 2.9e38, 3.4e38, 1e300], ids=str)
@pytest.mark.usefixtures("compiled")
def test_no_result_is_an_error_of_numpy(size: float, dtype: str) -> None:
    x, y = np.array([[0.0, min(size, float(np.finfo(dtype).max))]], dtype), np.array([0])
    weight = np.array([2.5, 1], dtype)  # the largest overflow
    with np.errstate(all="raise"):
        found = [multi_margin_loss(x, y, margin=0.0, reduction=r, weight=weight) for r in ("mean", "sum", "none")]
    with np.errstate(all="ignore"):
        should = np.asarray(np.float64(x[0, 1]) * 2.5 / 2, dtype)
    assert [(f.dtype, f.item()) for f in found] == 3 * [(should.dtype, should.item())]


@pytest.mark.parametrize("name", ["compiled", "numpy"])
def test_what_is_not_asked_for_is_none(compiled: types.ModuleType, name: str) -> None:
    evaluate = compiled.evaluate if name == "compiled" else vectorized.evaluate
    call = validate(*data(3, 4), 1, 1.0, None, "mean")
    assert evaluate(call, None, loss=True)[1] is None
    assert evaluate(call, np.ones(1), loss=False)[0] is None


def test_callers_in_threads(compiled: types.ModuleType) -> None:
    x, y = data(3000, 100)
    expected = [a.tobytes() for a in multi_margin_loss_and_grad(x, y)]
    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(multi_margin_loss_and_grad, x, y) for _ in range(40)]
        assert all([a.tobytes() for a in f.result()] == expected for f in futures)
    assert not compiled.THREADS.lock.locked()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_computes(compiled: types.ModuleType) -> None:
    x, y = data(3000, 100)
    expected = multi_margin_loss(x, y)
    assert compiled.THREADS.used
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python's, of a fork beside threads
        child = os.fork()
    if not child:
        os._exit(0 if compiled.THREADS.lost and multi_margin_loss(x, y) == expected else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("wrong", [-1, 7, 2**32 + 1, -(2**63)])
@pytest.mark.parametrize("rows", [1, 30_000])
@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.usefixtures("compiled")
def test_targets_outside_are_found_by_every_path(reduction: str, rows: int, wrong: int) -> None:
    x, y = data(rows, 7)
    y[-1] = wrong
    for function in (multi_margin_loss, multi_margin_loss_and_grad):
        with pytest.raises(IndexError, match=rf"target\[{rows - 1}\]={wrong}, but should be in \[0, 7\)"):
            function(x, y, reduction=reduction)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("make", ["rows apart", "reversed", "transposed", "read-only", "unaligned"])
@pytest.mark.parametrize("shape", [(50, 9), (4, 2500)], ids=str)
@pytest.mark.usefixtures("compiled")
def test_layouts_give_the_same_bits(shape: tuple[int, int], make: str, dtype: str) -> None:
    x, y = data(*shape, dtype)
    layouts = {
        "rows apart": np.concatenate([x, x], axis=1)[:, : shape[1]],
        "reversed": x[::-1, ::-1].copy()[::-1, ::-1],
        "transposed": np.asfortranarray(x),
        "read-only": x.copy(),
        "unaligned": np.frombuffer(b"\0" + x.tobytes(), x.dtype, offset=1).reshape(shape),
    }
    other = layouts[make]
    other.flags.writeable = make != "read-only" and make != "unaligned"
    targets = y.copy()
    targets.flags.writeable = other.flags.writeable
    for p in (1, 2):
        expected = multi_margin_loss_and_grad(x, y, p=p)
        assert [a.tobytes() for a in multi_margin_loss_and_grad(other, targets, p=p)] == [a.tobytes() for a in expected]


@pytest.mark.parametrize("shape", [(200_000, 10), (1000, 2000), (1, 2_000_000)], ids=str)
@pytest.mark.parametrize("name", ["compiled", "numpy"])
@pytest.mark.usefixtures("compiled")
def test_little_memory_beyond_the_results(shape: tuple[int, int], name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name == "numpy":
        monkeypatch.setattr(vectorized, "engine", lambda: None)
    x, y = data(*shape)
    multi_margin_loss_and_grad(x, y)
    for function, results in ((multi_margin_loss, 0), (multi_margin_loss_and_grad, x.nbytes)):
        for array in (x, x.astype(np.float64)[:, ::2].astype("float32").repeat(2, 1)):
            tracemalloc.start()
            function(array, y)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak - results < 2 << 20


@pytest.mark.usefixtures("compiled")
def test_accuracy_of_long_rows() -> None:
    """A million terms: float32 sums over at most 1024 classes go on in float64."""
    x, y = data(1, 1_000_000)
    z = np.maximum(1 - x[0, y[0]].astype(float) + x[0], 0)
    z[y[0]] = 0
    loss, gradient = multi_margin_loss_and_grad(x, y)
    assert abs(float(loss) / (z.sum() / z.size) - 1) < 1e-6
    assert abs(float(gradient[0, y[0]]) / (-(z > 0).sum() / z.size) - 1) < 1e-6
