"""The drop-in in graphs: of torch.compile, where PyTorch itself leaves tangents out in silence, and of torch.jit."""

from __future__ import annotations

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


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_a_traced_function_has_operations_of_its_own() -> None:
    """ATen's operator is wrong about an empty batch, and exporters do not know it."""
    traced = torch.jit.trace(multi_margin_loss, (X, Y))
    assert "multi_margin_loss" not in str(traced.inlined_graph)
    assert torch.equal(traced(X + 1, Y), multi_margin_loss(X + 1, Y))
