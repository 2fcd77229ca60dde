"""The Triton kernels, inside the enclosures and exact on a grid: on CUDA, or by Triton's interpreter on the CPU.

Run by `test_triton.py` in a process of its own: Triton is told to interpret before it is imported, or never.
"""

from __future__ import annotations

import itertools
import math
import os
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
import triton  # noqa: F401 (without it these tests have nothing to run)

import multimargin_reference
from multimargin_reference import aten, triton_loss
from multimargin_reference.case import Case
from multimargin_reference.expectation import expected_values
from multimargin_reference.formats import DTYPES
from multimargin_reference.torch import _has_kernels, multi_margin_loss

pytestmark = pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # NumPy's, under the interpreter
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
NAN, INF = math.nan, math.inf
SHAPES = [(1, 1), (5, 3), (3, 4), (2, 5), (5, 16), (3, 17), (2, 32), (2, 33), (1, 70), (7, 17)]
REDUCTIONS = ["none", "mean", "sum"]
ALL = DEVICE == "cuda" or "MULTIMARGIN_SLOW" in os.environ  # the interpreter takes minutes for all


@pytest.fixture(autouse=True)
def by_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hand nothing over to ATen, and let targets out of range be errors: on a device an assertion would be its end."""
    monkeypatch.setattr(aten, "FEW_ON_CUDA", 0)
    monkeypatch.setenv(aten.CHECKED, "1")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Divide small shapes as large ones are: tiles of rows, blocks of classes, parts of a row, few programs."""
    small = {"WHOLE": {4: (2, 1), 16: (2, 1)}, "BLOCK": 16, "PROGRAMS": 6, "PARTS": 6, "LANES": 8, "WARPS": 1}
    for name, value in small.items():
        monkeypatch.setattr(triton_loss, name, value)
    _forget()
    yield
    _forget()


def _forget() -> None:
    for cached in (triton_loss.plan, triton_loss._launches):
        cached.cache_clear()


def tensor(array: Any) -> Any:
    if array is None:
        return None
    if array.dtype == DTYPES["bfloat16"]:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16).to(DEVICE)
    return torch.from_numpy(array).to(DEVICE)


def array(tensor: Any) -> Any:
    return tensor.detach().cpu().double().numpy()


def results(case: Case) -> tuple[Any, Any]:
    """Return the loss and the gradient through autograd, having seen that the kernels made them."""
    x, y, w = tensor(case.input).requires_grad_(), tensor(case.target), tensor(case.weight)
    assert _has_kernels(x, y, w)
    loss = multi_margin_loss(x, y, case.p, case.margin, w, reduction=case.reduction)
    plain = multi_margin_loss(x.detach(), y, case.p, case.margin, w, reduction=case.reduction)
    assert torch.equal(loss.detach(), plain) or torch.isnan(plain).any()
    (gradient,) = torch.autograd.grad(loss, x, tensor(case.grad_output))
    assert (loss.dtype, gradient.dtype, gradient.shape) == (x.dtype, x.dtype, x.shape)
    return array(loss), array(gradient)


def check(case: Case) -> None:
    expected = expected_values(case)
    for part, result in zip((expected.loss, expected.gradient), results(case), strict=True):
        assert part is not None
        assert part.shape == result.shape
        truncated = DEVICE == "cpu" and case.dtype == "bfloat16"  # by the interpreter; a device rounds to nearest
        outside = part.outside(result) if truncated else part.outside_widened(result)
        assert not outside.any(), (case, result, part.lo, part.hi)


def made(shape: tuple[int, int], dtype: str, p: int, reduction: str, weighted: bool, grid: bool, g: float) -> Case:
    rng = np.random.default_rng(shape[0] * 1000 + shape[1])
    x = rng.integers(-8, 9, shape) / 4 if grid else rng.standard_normal(shape)
    w = np.resize([1, -2, 0.5, 0], shape[1]).astype(DTYPES[dtype]) if weighted else None
    grads = np.resize([g, 1, -2, 0], shape[0]) if reduction == "none" else np.asarray(g)
    y = rng.integers(0, shape[1], shape[0])
    margin = 1.0 if grid else 0.7
    return Case(x.astype(DTYPES[dtype]), y, p, margin, w, reduction, grads.astype(DTYPES[dtype]))


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("dtype", list(DTYPES))
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_block_boundaries(shape: tuple[int, int], dtype: str) -> None:
    """Every power, reduction and choice of weights in every dtype and at every shape, by turns."""
    turn = SHAPES.index(shape) + list(DTYPES).index(dtype)
    options = list(enumerate(itertools.product((1, 2), REDUCTIONS)))
    for k, (p, reduction) in options if ALL else (options[turn % 6], options[(turn + 3) % 6]):
        check(made(shape, dtype, p, reduction, weighted=k % 3 != 1, grid=k in (0, 4, 5), g=(1, -3)[(k + p) % 2]))


@pytest.mark.parametrize(
    "shape", [(1, 16), (130, 2), (2, 17), (3, 64), (1, 257), (2, 1024), (2, 1025), (1, 2100)], ids=str
)
def test_shapes_as_they_are_divided(shape: tuple[int, int]) -> None:
    divided = triton_loss.plan(*shape)
    assert divided.programs <= triton_loss.PROGRAMS
    assert divided.block * (divided.blocks * divided.parts or 1) >= shape[1]
    check(made(shape, "float32", 1, "mean", weighted=True, grid=False, g=1))
    check(made(shape, "float16", 2, "sum", weighted=False, grid=False, g=0.5))


def test_a_plan_gives_every_device_enough_and_no_partial_sum_too_many() -> None:
    for N, C in itertools.product((1, 2, 63, 500, 1023, 1024, 65536), (1, 16, 17, 1024, 1025, 2049, 10**5, 10**6)):
        plan = triton_loss.plan(N, C)
        assert 1 <= plan.programs <= triton_loss.PROGRAMS
        if plan.blocks:
            assert (plan.parts - 1) * plan.blocks * plan.block < C <= plan.parts * plan.blocks * plan.block
            assert plan.parts == 1 or plan.programs == N * plan.parts
        else:
            assert plan.programs * plan.rows >= N or plan.programs == triton_loss.PROGRAMS


SPECIAL = {  # logits (target is class 1), margin, loss, gradient; p = 1
    "kink": ([1, 2, 1, 2], 1, 0.25, [0, -0.25, 0, 0.25]),
    "NaN at a non-target": ([NAN, 0, 0, 0], 1, 0.5, [0, -0.5, 0.25, 0.25]),
    "NaN at the target": ([0, NAN, 0, 0], 1, 0, [0, 0, 0, 0]),
    "-inf at a non-target": ([-INF, 0, 0, 0], 1, 0.5, [0, -0.5, 0.25, 0.25]),
    "+inf at a non-target": ([INF, 0, 0, 0], 1, INF, [0.25, -0.75, 0.25, 0.25]),
    "+inf at the target": ([0, INF, 0, 0], 1, 0, [0, 0, 0, 0]),
    "-inf at the target": ([0, -INF, 0, 0], 1, INF, [0.25, -0.75, 0.25, 0.25]),
    "NaN margin": ([0, 0, 0, 0], NAN, 0, [0, 0, 0, 0]),
    "margin 0": ([0, 0, 1, 0], 0.0, 0.25, [0, -0.25, 0.25, 0]),
}


@pytest.mark.parametrize("repeated", [1, 1024], ids=["whole", "split"])  # powers of two: nothing rounds
@pytest.mark.parametrize("dtype", list(DTYPES))
@pytest.mark.parametrize("name", SPECIAL)
def test_special_values(name: str, dtype: str, repeated: int) -> None:
    if repeated > 1 and dtype != "float32" and not ALL:
        pytest.skip("slow: set MULTIMARGIN_SLOW=1")
    logits, margin, loss, gradient = SPECIAL[name]
    padding = [-INF] * (4 * (repeated - 1))  # inactive, whatever the target, but where it is -inf or margin NaN
    x = torch.tensor(logits + padding, dtype=getattr(torch, dtype), device=DEVICE, requires_grad=True)
    found = multi_margin_loss(x, torch.tensor(1, device=DEVICE), margin=margin, reduction="sum")
    (slopes,) = torch.autograd.grad(found, x)
    scale = torch.tensor(1 / repeated, dtype=torch.float64)
    np.testing.assert_array_equal(array(found), array(scale * loss))
    np.testing.assert_array_equal(array(slopes[:4]), array(torch.tensor(gradient, dtype=torch.float64) * scale))
    assert not slopes[4:].any()


@pytest.mark.parametrize("dtype", list(DTYPES))
@pytest.mark.parametrize("margin", [1, 0.1, -0.3, 1e-9])
def test_kink_is_decided_exactly(margin: float, dtype: str) -> None:
    rng = np.random.default_rng(0)
    chosen = rng.standard_normal((16, 1)).astype(DTYPES[dtype])
    near = (chosen.astype(np.float64) - margin).astype(DTYPES[dtype])
    x = np.concatenate([chosen, near, near, near], axis=1)
    y, g = np.zeros(16, np.int64), np.ones(16, DTYPES[dtype])
    expected = expected_values(Case(x, y, 1, margin, None, "none", g)).gradient
    assert expected is not None
    np.testing.assert_array_equal(results(Case(x, y, 1, margin, None, "none", g))[1].reshape(-1), expected.nearest)


def test_an_unused_weight_does_not_matter() -> None:
    x = np.array([[2.0, 0], [1, 0]], np.float32)
    for weight in (NAN, INF):
        case = Case(x, np.array([0, 1]), 1, 1.0, np.array([weight, 1], np.float32), "sum", np.array(1, np.float32))
        loss, gradient = results(case)
        assert (loss.tolist(), gradient.tolist()) == (1, [[0, 0], [0.5, -0.5]])


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("g", [INF, NAN, 0.0])
def test_an_inactive_element_is_0_whatever_grad_output(g: float) -> None:
    for classes in (4, 40):
        x = np.full((1, classes), -4, np.float32)
        x[0, 1] = 0.5
        case = Case(x, np.array([0]), 1, 0.0, None, "mean", np.array(g, np.float32))
        gradient = results(case)[1][0]
        assert not gradient[2:].any()
        np.testing.assert_array_equal(gradient[:2], [-g, g] if g != INF else [-INF, INF])


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("shape", [(6, 3), (6, 16), (6, 40)], ids=str)
def test_strided_arguments_are_read_where_they_are(shape: tuple[int, int]) -> None:
    case = made(shape, "float32", 2, "none", weighted=True, grid=True, g=1)
    x, y, w, g = (tensor(a) for a in (case.input, case.target, case.weight, case.grad_output))
    want = results(case)
    wide = torch.stack([x, torch.full_like(x, NAN)], 2)[:, :, 0]
    targets = torch.stack([y, torch.full_like(y, -1)], 1)[:, 0]
    weights = torch.stack([w, torch.full_like(w, NAN)], 1)[:, 0]
    for logits in (wide, x.T.contiguous().T, torch.cat([x, x], 1)[:, : shape[1]], torch.cat([x[:1], x])[1:]):
        leaf = logits.detach().requires_grad_()
        loss = multi_margin_loss(leaf, targets, 2, 1.0, weights, reduction="none")
        (gradient,) = torch.autograd.grad(loss, leaf, torch.stack([g, g], 1)[:, 0])
        np.testing.assert_array_equal(array(loss), want[0])
        np.testing.assert_array_equal(array(gradient), want[1])
    expanded = x[:1].expand(3, -1).detach().requires_grad_()
    total = multi_margin_loss(expanded, y[:1].expand(3), 2, reduction="sum")
    repeated = Case(case.input[:1].repeat(3, 0), case.target[:1].repeat(3), 2, 1.0, None, "sum")
    assert not expected_values(repeated).loss.outside(array(total)).any()
    assert torch.autograd.grad(total, expanded)[0].shape == (3, shape[1])


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("classes", [4, 16, 40])
@pytest.mark.parametrize("value", [-1, 0, 2**32 + 1, -(2**63)], ids=str)
def test_targets_out_of_range(value: int, classes: int, reduction: str, monkeypatch: pytest.MonkeyPatch) -> None:
    value = value or classes
    x = torch.zeros(5, classes, device=DEVICE)
    y = torch.tensor([0, 1, value, value, 2], device=DEVICE)
    for leaf in (x, x.clone().requires_grad_()):
        with pytest.raises(RuntimeError, match=rf"target\[2\]={value}, but should be in \[0, {classes}\)"):
            multi_margin_loss(leaf, y, reduction=reduction)
    if DEVICE == "cpu":
        monkeypatch.delenv(aten.CHECKED)
        with pytest.raises(RuntimeError, match="multi_margin_loss: a target is out of range"):
            multi_margin_loss(x, y, reduction=reduction)


def test_a_second_backward_and_a_second_derivative() -> None:
    x, y = torch.randn(4, 5, device=DEVICE, requires_grad=True), torch.arange(4, device=DEVICE)
    loss = multi_margin_loss(x, y, 2)
    first, second = (torch.autograd.grad(loss, x, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)
    (gradient,) = torch.autograd.grad(loss, x, create_graph=True)
    assert torch.equal(first, gradient.detach())
    with pytest.raises(NotImplementedError, match="can be differentiated only once"):
        gradient.sum().backward()


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_what_sees_operations_alone_gets_operations() -> None:
    x, y = torch.randn(3, 4, device=DEVICE), torch.arange(3, device=DEVICE)
    plain = multi_margin_loss(x, y, reduction="none")
    torch.testing.assert_close(torch.vmap(multi_margin_loss)(x, y), plain)
    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(multi_margin_loss(leaf, y), leaf)
    torch.testing.assert_close(torch.func.grad(multi_margin_loss)(x, y), gradient)
    both = torch.autograd.grad(
        multi_margin_loss(leaf, y), leaf, torch.tensor([1.0, 2], device=DEVICE), is_grads_batched=True
    )
    torch.testing.assert_close(both[0], torch.stack([gradient, 2 * gradient]))
    compiled = torch.compile(multi_margin_loss, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x, y), plain.mean())
    assert not _has_kernels(x.to("meta"), y.to("meta"))


def test_where_triton_does_not_run_it_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from multimargin_reference import torch as drop_in

    def failing(*_arguments: Any) -> None:
        raise RuntimeError("no C compiler")

    monkeypatch.setattr(triton_loss, "loss", failing)
    drop_in._kernels.cache_clear()
    x, y = torch.zeros(2, 4, device=DEVICE), torch.zeros(2, dtype=torch.int64, device=DEVICE)
    try:
        with pytest.warns(UserWarning, match="Triton does not run on .*: no C compiler"):
            assert drop_in.multi_margin_loss(x, y).item() == 0.75
        assert drop_in.multi_margin_loss(x, y).item() == 0.75
    finally:
        drop_in._kernels.cache_clear()


def test_without_triton_there_are_no_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    from multimargin_reference import torch as drop_in

    monkeypatch.setitem(sys.modules, "multimargin_reference.triton_loss", None)
    monkeypatch.delattr(multimargin_reference, "triton_loss")
    drop_in._kernels.cache_clear()
    try:
        assert drop_in._kernels(torch.device(DEVICE)) is None
    finally:
        drop_in._kernels.cache_clear()


def test_kernels_are_left_alone_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    from multimargin_reference import torch as drop_in

    monkeypatch.setattr(aten, "INTERPRETED", False)
    drop_in._kernels.cache_clear()
    try:
        assert drop_in._kernels(torch.device("cpu")) is not triton_loss
    finally:
        drop_in._kernels.cache_clear()
