"""The torch function and module: exact against the oracle, equal to PyTorch's on a grid, and at home in autograd."""

from __future__ import annotations

import copy
import functools
import io
import itertools
import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from multimargin_reference import oracle

torch = pytest.importorskip("torch", reason="torch is not installed")

from multimargin_reference import aten  # noqa: E402
from multimargin_reference import torch as drop_in  # noqa: E402
from multimargin_reference.torch import MultiMarginLoss, multi_margin_loss  # noqa: E402

CUDA = pytest.param(
    "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is available")
)
DEVICES = ["cpu", CUDA]
DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
REDUCTIONS = ["none", "mean", "sum"]
WEIGHTS = {"none": None, "powers of two": [1, 0.5, 4, 2], "zero": [0, 1, 0, 2], "negative": [-1, 2, -0.5, -4]}
NAN, INF = math.nan, math.inf


@pytest.fixture(autouse=True, params=["operations", "kernels", "handed over"])
def how(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run every test with tensor operations, with what is compiled, and with small batches handed over to ATen."""
    monkeypatch.setenv(aten.CHECKED, "1")  # on a device an assertion would be the end of all tests
    if request.param == "operations":
        monkeypatch.setattr(drop_in, "_kernels", lambda _: None)
    if request.param == "kernels":
        pytest.importorskip("numba")
        assert drop_in._kernels(torch.device("cpu")) is not None
    if request.param != "handed over":
        monkeypatch.setattr(drop_in, "FEW", 0)
        monkeypatch.setattr(aten, "FEW_ON_CUDA", 0)
    else:
        monkeypatch.setattr(aten, "FEW_HALVES", aten.FEW)  # as on CUDA
    return str(request.param)


def grid(rows: int, classes: int, dtype: Any, device: str = "cpu") -> tuple[Any, Any]:
    """Quarters in [-2, 2], as a leaf that requires its gradient, and targets."""
    rng = np.random.default_rng(rows * classes)
    x = torch.tensor(rng.integers(-8, 9, (rows, classes)) / 4, dtype=dtype, device=device)
    return x.requires_grad_(), torch.tensor(rng.integers(0, classes, rows), device=device)


def upstream(loss: Any) -> Any:
    values = [1, -2, 0, 0.5, 3, -1, 0.25, 2][: loss.numel()] if loss.dim() else -3
    return torch.tensor(values, dtype=loss.dtype, device=loss.device)


def rounded(values: Any, dtype: Any) -> Any:
    """Round exact numbers that are exact in float64 already to the dtype, once."""
    return torch.tensor(np.array(values, np.float64), dtype=dtype)


def assert_exactly(got: Any, want: Any) -> None:
    torch.testing.assert_close(got.detach().cpu(), want, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weight", WEIGHTS)
@pytest.mark.parametrize("margin", [1, 0, -0.5, 0.25])
@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_exact_grid(dtype: Any, p: int, margin: float, weight: str, reduction: str, device: str) -> None:
    values = WEIGHTS[weight]
    w = None if values is None else torch.tensor(values, dtype=dtype, device=device)
    x, y = grid(8, 4, dtype, device)
    loss = multi_margin_loss(x, y, p, margin, w, reduction=reduction)
    g = upstream(loss)
    (gradient,) = torch.autograd.grad(loss, x, g)
    options: dict[str, Any] = {"p": p, "margin": margin, "weight": values, "reduction": reduction}
    logits, target = x.detach().double().cpu().numpy(), y.cpu().numpy()
    assert (loss.dtype, gradient.dtype) == (dtype, dtype)
    assert_exactly(loss, rounded(oracle.loss(logits, target, **options), dtype))
    assert_exactly(gradient, rounded(oracle.gradient(g.double().cpu().numpy(), logits, target, **options), dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("shape", [(1, 1), (1, 8), (4, 1), (2, 128), (4, 1024)], ids=str)
def test_agrees_with_pytorch_on_a_grid(shape: tuple[int, int], dtype: Any) -> None:
    x, y = grid(*shape, dtype)
    w = torch.tensor(np.resize([1, 0.5, -2, 0], shape[1]), dtype=dtype)
    for p, reduction, weight in itertools.product((1, 2), REDUCTIONS, (None, w)):
        losses = [
            f(x, y, p, 0.25, weight, reduction=reduction)
            for f in (multi_margin_loss, torch.nn.functional.multi_margin_loss)
        ]
        ours, theirs = (torch.autograd.grad(loss, x, upstream(loss))[0] for loss in losses)
        assert_exactly(losses[0], losses[1].detach())
        assert_exactly(ours, theirs)


@pytest.mark.parametrize("input_shape", [(), (1,), (5,)], ids=str)
@pytest.mark.parametrize("target_shape", [(), (1,)], ids=str)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_unbatched_shapes_are_pytorchs(input_shape: Any, target_shape: Any, reduction: str) -> None:
    x, y = torch.ones(input_shape, requires_grad=True), torch.zeros(target_shape, dtype=torch.int64)
    loss = multi_margin_loss(x, y, reduction=reduction)
    assert loss.shape == torch.nn.functional.multi_margin_loss(x, y, reduction=reduction).shape
    assert torch.autograd.grad(loss.sum(), x)[0].shape == x.shape


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_empty_batch(reduction: str, dtype: Any, device: str) -> None:
    x = torch.empty((0, 3), dtype=dtype, device=device, requires_grad=True)
    loss = multi_margin_loss(x, torch.empty(0, dtype=torch.int64, device=device), reduction=reduction)
    assert loss.tolist() == ([] if reduction == "none" else 0)
    assert torch.autograd.grad(loss.sum(), x)[0].shape == (0, 3)


SPECIAL = {  # logits (target is class 1), margin, loss, gradient; p = 1
    "kink": ([1, 2, 1, 2], 1, 0.25, [0, -0.25, 0, 0.25]),
    "NaN at a non-target": ([NAN, 0, 0, 0], 1, 0.5, [0, -0.5, 0.25, 0.25]),
    "NaN at the target": ([0, NAN, 0, 0], 1, 0, [0, 0, 0, 0]),
    "-inf at a non-target": ([-INF, 0, 0, 0], 1, 0.5, [0, -0.5, 0.25, 0.25]),
    "+inf at a non-target": ([INF, 0, 0, 0], 1, INF, [0.25, -0.75, 0.25, 0.25]),
    "+inf at the target": ([0, INF, 0, 0], 1, 0, [0, 0, 0, 0]),
    "-inf at the target": ([0, -INF, 0, 0], 1, INF, [0.25, -0.75, 0.25, 0.25]),
    "NaN margin": ([0, 0, 0, 0], NAN, 0, [0, 0, 0, 0]),
}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", SPECIAL)
def test_special_values(name: str, dtype: Any, device: str) -> None:
    logits, margin, want_loss, want_gradient = SPECIAL[name]
    x = torch.tensor(logits, dtype=dtype, device=device, requires_grad=True)
    loss = multi_margin_loss(x, torch.tensor(1, device=device), margin=margin)
    assert loss.item() == want_loss
    assert torch.autograd.grad(loss, x)[0].tolist() == want_gradient


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("margin", [1, 0.1, -0.3, 1e-9])
def test_kink_is_decided_exactly(margin: float, dtype: Any, device: str, how: str) -> None:
    if how == "handed over":
        pytest.skip("ATen rounds margin - x[y] before it adds x[i], which is legal too")
    # Each other class lies on the rounded threshold x[y] - margin: whether it is active depends on the rounding.
    chosen = torch.tensor(np.random.default_rng(0).standard_normal((64, 1)), dtype=dtype)
    x = torch.cat([chosen, (chosen.double() - margin).to(dtype).expand(64, 3)], 1).to(device).requires_grad_()
    y = torch.zeros(64, dtype=torch.int64, device=device)
    (gradient,) = torch.autograd.grad(multi_margin_loss(x, y, 1, margin, reduction="none").sum(), x)
    logits, ones = x.detach().double().cpu().numpy(), np.ones(64)
    want = oracle.gradient(ones, logits, y.cpu().numpy(), margin=margin, reduction="none")
    assert_exactly(gradient, rounded(want, dtype))


def test_weight_of_an_inactive_row_does_not_matter() -> None:
    x = torch.tensor([[2.0, 0], [1, 0]], requires_grad=True)
    loss = multi_margin_loss(x, torch.tensor([0, 1]), weight=torch.tensor([NAN, 1]), reduction="none")
    assert loss.tolist() == [0, 1]
    assert torch.autograd.grad(loss.sum(), x)[0].tolist() == [[0, 0], [0.5, -0.5]]


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_gradcheck(p: int, reduction: str) -> None:
    # On a grid of quarters moved by a sixteenth, no z comes nearer to 0 than a sixteenth.
    x, y = grid(4, 5, torch.float64)
    w = torch.tensor([1, -2, 0.5, 3, 1], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda v: multi_margin_loss(v, y, p, 0.3125, w, reduction=reduction), x)


def test_second_derivative_is_refused(how: str) -> None:
    x, y = grid(2, 3, torch.float64)
    (gradient,) = torch.autograd.grad(multi_margin_loss(x, y, 2), x, create_graph=True)
    message = "multi_margin_loss_backward is not implemented" if how == "handed over" else "differentiated only once"
    with pytest.raises((NotImplementedError, RuntimeError), match=message):
        gradient.sum().backward()


def test_target_changed_before_backward() -> None:
    x, y = grid(2, 3, torch.float32)
    loss = multi_margin_loss(x, y)
    y.zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize("p", [1, 2])
def test_vmap_and_func_grad(p: int) -> None:
    x, y = grid(12, 8, torch.float64)
    x, y = x.detach().reshape(3, 4, 8), y.reshape(3, 4)
    function = functools.partial(multi_margin_loss, p=p)
    pairs = list(zip(x, y, strict=True))
    assert_exactly(torch.vmap(function)(x, y), torch.stack([function(a, b) for a, b in pairs]))
    gradients = [torch.func.grad(function)(a, b) for a, b in pairs]
    assert_exactly(torch.vmap(torch.func.grad(function))(x, y), torch.stack(gradients))
    leaves = x.clone().requires_grad_()
    function(leaves[0], y[0]).backward()
    assert_exactly(gradients[0], leaves.grad[0])


def test_checkpoint() -> None:
    x, y = grid(4, 8, torch.float32)
    loss = torch.utils.checkpoint.checkpoint(multi_margin_loss, x, y, use_reentrant=False)
    (want,) = torch.autograd.grad(multi_margin_loss(x, y), x)
    assert_exactly(torch.autograd.grad(loss, x)[0], want)


# TorchDynamo itself makes an instance of every autograd.Function, which torch deprecates.
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_compiled_is_eager(reduction: str) -> None:
    torch.compiler.reset()
    x, y = grid(4, 8, torch.float32)
    compiled = torch.compile(multi_margin_loss, backend="aot_eager", fullgraph=True)
    losses = [f(x, y, reduction=reduction) for f in (compiled, multi_margin_loss)]
    ours, eager = (torch.autograd.grad(loss, x, upstream(loss))[0] for loss in losses)
    assert_exactly(losses[0], losses[1].detach())
    assert_exactly(ours, eager)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_meta_and_fake_shapes(reduction: str) -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    want = (4,) if reduction == "none" else ()
    meta = [torch.empty(4, 3, device="meta"), torch.empty(4, dtype=torch.int64, device="meta")]
    assert multi_margin_loss(*meta, reduction=reduction).shape == want
    with FakeTensorMode():
        fake = torch.empty(4, 3), torch.empty(4, dtype=torch.int64)
        assert multi_margin_loss(*fake, reduction=reduction).shape == want


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_autocast_widens_halves(dtype: Any) -> None:
    x, y = grid(4, 8, dtype)
    weight = torch.ones(8, dtype=dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = multi_margin_loss(x, y, weight=weight)
    assert loss.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert torch.autograd.grad(loss, x)[0].dtype == dtype


def test_arguments_stay_as_they_are() -> None:
    x, y = grid(4, 8, torch.float32)
    w = torch.ones(8)
    before = [t.clone() for t in (x.detach(), y, w)]
    multi_margin_loss(x, y, 2, 1.0, w).backward()
    for kept, now in zip(before, (x, y, w), strict=True):
        assert_exactly(now, kept)


def test_module_calls_the_function() -> None:
    x, y = grid(4, 3, torch.float32)
    w = torch.tensor([1.0, 2, -1])
    loss = MultiMarginLoss(2, 0.5, w, reduction="sum")
    assert_exactly(loss(x, y), multi_margin_loss(x, y, 2, 0.5, w, reduction="sum").detach())
    assert (loss.p, loss.margin, loss.reduction) == (2, 0.5, "sum")


def test_weight_is_a_buffer() -> None:
    loss = MultiMarginLoss(weight=torch.tensor([1.0, 2, 3]))
    assert list(loss.state_dict()) == ["weight"]
    assert list(MultiMarginLoss().state_dict()) == []
    assert list(loss.parameters()) == []
    fresh = MultiMarginLoss(weight=torch.ones(3))
    fresh.load_state_dict(loss.state_dict())
    assert_exactly(fresh.weight, loss.weight)
    assert copy.deepcopy(loss).to(torch.float64).weight.dtype == torch.float64
    stream = io.BytesIO()
    torch.save(loss, stream)
    stream.seek(0)
    assert_exactly(torch.load(stream, weights_only=False).weight, loss.weight)


def test_legacy_flags() -> None:
    for flags, want in {(False, None): "sum", (None, False): "none", (True, True): "mean"}.items():
        with pytest.warns(UserWarning, match=f"use reduction='{want}' instead") as record:
            assert MultiMarginLoss(size_average=flags[0], reduce=flags[1], reduction="bad").reduction == want
        assert [r.filename for r in record] == [__file__]
    x, y = grid(4, 3, torch.float32)
    with pytest.warns(UserWarning, match="use reduction='sum' instead") as record:
        loss = multi_margin_loss(x, y, size_average=False, reduction="bad")
    assert [r.filename for r in record] == [__file__]
    assert_exactly(loss, multi_margin_loss(x, y, reduction="sum").detach())


def test_constructor_errors() -> None:
    with pytest.raises(ValueError, match="p=3, but should be 1 or 2"):
        MultiMarginLoss(3)
    with pytest.raises(ValueError, match="weight has 2 dimensions, but should have 1"):
        MultiMarginLoss(weight=torch.ones(1, 3))


def test_torch_is_imported_only_on_request() -> None:
    code = "import multimargin_reference.module, sys; sys.exit('torch' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], check=False, env={"PYTHONPATH": ":".join(sys.path)}).returncode
        == 0
    )


X, Y = torch.zeros(3, 4), torch.zeros(3, dtype=torch.int64)
REJECTED: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "p = 3": ({"p": 3}, ValueError, "p=3, but should be 1 or 2"),
    "p = 1.5": ({"p": 1.5}, ValueError, "p=1.5, but should be 1 or 2"),
    "reduction": ({"reduction": "avg"}, ValueError, "reduction='avg', but should be"),
    "weight rank": ({"weight": torch.ones(1, 4)}, ValueError, "weight has 2 dimensions, but should have 1"),
    "margin": ({"margin": "1"}, TypeError, "margin='1', but should be a real number"),
    "input type": ({"input": [[0.0]]}, TypeError, "input is a list, but should be a torch.Tensor"),
    "target type": ({"target": [0]}, TypeError, "target is a list, but should be a torch.Tensor"),
    "weight type": ({"weight": [1.0]}, TypeError, "weight is a list, but should be a torch.Tensor"),
    "input dtype": ({"input": torch.zeros(3, 4, dtype=torch.int64)}, RuntimeError, "input.dtype=torch.int64, but"),
    "rank": ({"input": torch.zeros(1, 3, 4)}, RuntimeError, r"input.shape=\(1, 3, 4\), but should be"),
    "no classes": ({"input": torch.zeros(3, 0)}, RuntimeError, r"input.shape=\(3, 0\), but should be"),
    "target count": ({"target": Y[:2]}, RuntimeError, r"target.shape=\(2,\), but should be \(3,\)"),
    "target rank": ({"target": Y[:, None]}, RuntimeError, r"target.shape=\(3, 1\), but should be \(3,\)"),
    "target dtype": ({"target": Y.int()}, RuntimeError, "target.dtype=torch.int32, but should be torch.int64"),
    "target = C": ({"target": Y + 4}, RuntimeError, r"target\[0\]=4, but should be in \[0, 4\)"),
    "target = -1": ({"target": torch.tensor([0, 0, -1])}, RuntimeError, r"target\[2\]=-1, but should be in \[0, 4\)"),
    "target = 2**32 + 1": ({"target": Y + 2**32 + 1}, RuntimeError, r"target\[0\]=4294967297, but should be in"),
    "weight size": ({"weight": torch.ones(3)}, RuntimeError, r"weight.shape=\(3,\), but should be \(4,\)"),
    "weight dtype": ({"weight": torch.ones(4).double()}, RuntimeError, "weight.dtype=torch.float64, but should be"),
    "weight gradient": ({"weight": torch.ones(4, requires_grad=True)}, RuntimeError, "weight.requires_grad=True, but"),
}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", REJECTED)
def test_rejection(name: str, device: str) -> None:
    changed, error, message = REJECTED[name]
    call = {"input": X, "target": Y, **changed}
    placed = {k: v.to(device) if isinstance(v, torch.Tensor) else v for k, v in call.items()}
    with pytest.raises(error, match=message):
        multi_margin_loss(**placed)


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_graphs_have_operators_and_look_at_the_targets_of_each_call() -> None:
    torch.compiler.reset()
    graphs = []

    def backend(graph: Any, _inputs: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    x, y = grid(4, 8, torch.float32)
    compiled = torch.compile(multi_margin_loss, backend=backend, fullgraph=True)
    assert_exactly(compiled(x, y), multi_margin_loss(x, y))
    (graph,) = graphs
    called = [node.target for node in graph.graph.nodes if isinstance(node.target, torch._ops.OpOverload)]
    assert called == [torch.ops.multimargin.loss.default]
    assert not any(node.op == "call_method" for node in graph.graph.nodes)
    for wrong in (-1, 8):
        with pytest.raises(RuntimeError, match=rf"target\[1\]={wrong}, but should be in \[0, 8\)"):
            compiled(x, torch.tensor([0, wrong, 0, 0]))


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.parametrize("transform", ["grad", "vmap"])
def test_transforms_are_compiled_too(transform: str) -> None:
    torch.compiler.reset()
    x, y = grid(4, 8, torch.float32)

    def transformed(x: Any) -> Any:
        if transform == "grad":
            return torch.func.grad(lambda x: multi_margin_loss(x, y))(x)
        return torch.vmap(multi_margin_loss)(x, y)

    assert_exactly(torch.compile(transformed, backend="aot_eager", fullgraph=True)(x.detach()), transformed(x.detach()))


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_operators_are_as_pytorch_asks(reduction: str) -> None:
    """By its own checks: the schema, autograd's registration, and shapes of fake tensors."""
    x, y = grid(4, 8, torch.float32)
    torch.library.opcheck(torch.ops.multimargin.loss.default, (x, y, torch.ones(8), 2, 1.0, reduction))
    grads = torch.ones_like(multi_margin_loss(x, y, reduction=reduction)).detach()
    torch.library.opcheck(torch.ops.multimargin.gradient.default, (grads, x.detach(), y, None, 1, 1.0, reduction))


def test_a_second_derivative_of_the_operator_is_refused() -> None:
    x, y = grid(4, 8, torch.float32)
    (first,) = torch.autograd.grad(torch.ops.multimargin.loss(x, y, None, 1, 1.0, "sum"), x, create_graph=True)
    with pytest.raises(NotImplementedError, match="only once"):
        first.sum().backward()
