"""The drop-in's weight: one that asks for a gradient, and one that is replaced in a module."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from multimargin_reference import torch as drop_in  # noqa: E402
from multimargin_reference.torch import MultiMarginLoss, multi_margin_loss  # noqa: E402

TWICE = torch.full((8,), 2.0)


@pytest.fixture(autouse=True, params=["operations", "kernels"])
def how(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute what ATen is not asked for with tensor operations, and with what is compiled where that is there."""
    if request.param == "operations":
        monkeypatch.setattr(drop_in, "_kernels", lambda _: None)


@pytest.mark.parametrize("rows", [3, 4096], ids=["few", "many"])
def test_one_that_asks_for_a_gradient_is_taken_where_there_is_none(rows: int) -> None:
    x, y = torch.arange(rows * 8).reshape(rows, 8) % 5 / 4, torch.arange(rows) % 8
    with torch.no_grad():
        weighted = multi_margin_loss(x, y, weight=TWICE.clone().requires_grad_())
        assert torch.equal(weighted, 2 * multi_margin_loss(x, y))


@pytest.mark.parametrize("change", ["buffer", "parameter", "plain"])
def test_the_module_sees_its_weight_however_it_is_replaced(change: str) -> None:
    x, y = torch.arange(24).reshape(3, 8) % 5 / 4, torch.arange(3)
    module = MultiMarginLoss(weight=torch.ones(8))
    if change == "buffer":
        module.weight = TWICE
    else:
        del module.weight
        module.weight = torch.nn.Parameter(TWICE, requires_grad=False) if change == "parameter" else TWICE
    assert torch.equal(module(x, y), 2 * multi_margin_loss(x, y))
