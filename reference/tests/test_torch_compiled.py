"""The drop-in in graphs: of torch.compile, where PyTorch itself leaves tangents out in silence, and of torch.jit."""

from __future__ import annotations

import operator
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from torch.autograd import forward_ad  # noqa: E402

from multimargin_reference.torch import multi_margin_loss  # noqa: E402

pytestmark = [  # PyTorch's own, while it traces and imports what forward mode needs
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning"),
]

X, Y = torch.tensor([[0.5, 1.0, -2.0], [1.0, 0.25, 0.0]]), torch.tensor([2, 0])


@pytest.mark.parametrize("asks", [False, True])
def test_forward_mode_is_refused(asks: bool) -> None:
    compiled = torch.compile(multi_margin_loss, backend="aot_eager", fullgraph=True)
    with forward_ad.dual_level():
        x = X.clone().requires_grad_(asks)
        with pytest.raises(NotImplementedError):
            compiled(forward_ad.make_dual(x, torch.ones_like(x)), Y)
    assert torch.equal(compiled(X, Y), multi_margin_loss(X, Y))


def test_forward_mode_is_refused_by_the_operator_itself() -> None:
    with forward_ad.dual_level(), pytest.raises(NotImplementedError, match="outside of dual_level"):
        torch.ops.multimargin.loss(forward_ad.make_dual(X, torch.ones_like(X)), Y, None, 1, 1.0, "mean")


@pytest.mark.parametrize("weight", [None, torch.ones(3)])
def test_no_condition_of_a_graph_has_an_or(weight: Any) -> None:
    """PyTorch's cache on disk joins conditions by "and" without brackets: with an "or" it took wrong graphs."""
    operations: list[Any] = []

    def backend(graph: Any, inputs: list[Any]) -> Any:
        del inputs
        operations.extend(node.target for node in graph.graph.nodes)
        return graph.forward

    compiled = torch.compile(multi_margin_loss, backend=backend, dynamic=True, fullgraph=True)
    assert torch.equal(compiled(X, Y, 2, weight=weight), multi_margin_loss(X, Y, 2, weight=weight))
    assert torch.ops.multimargin.loss.default in operations
    assert operator.or_ not in operations


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_a_traced_function_has_operations_of_its_own() -> None:
    """ATen's operator is wrong about an empty batch, and exporters do not know it."""
    traced = torch.jit.trace(multi_margin_loss, (X, Y))
    assert "multi_margin_loss" not in str(traced.inlined_graph)
    assert torch.equal(traced(X + 1, Y), multi_margin_loss(X + 1, Y))
