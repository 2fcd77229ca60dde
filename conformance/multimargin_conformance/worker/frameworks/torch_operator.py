"""PyTorch's own operator on the CPU, in whatever release the interpreter has; gradients by its autograd.

The adapter `torch` checks more of a release that multimargin can be installed beside; this one needs NumPy alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

DTYPES = {"dtypes": ["float32", "float64"]}


class TorchOperator:
    """torch.nn.functional.multi_margin_loss."""

    name, version, device = "torch-operator", str(torch.__version__), "cpu"
    capabilities = DTYPES

    def forward(self, input: Any, target: Any, *, weight: Any, **options: Any) -> Any:
        """Return the loss."""
        return _loss(_given(input), target, weight, options).detach().numpy()

    def backward(self, grad_output: Any, input: Any, target: Any, *, weight: Any, **options: Any) -> Any:
        """Return the gradient with respect to input."""
        x = _given(input).requires_grad_()
        loss = _loss(x, target, weight, options)
        return torch.autograd.grad(loss, x, grad_outputs=_given(grad_output))[0].numpy()


def _loss(x: Any, target: Any, weight: Any, options: Any) -> Any:
    w = None if weight is None else _given(weight)
    return torch.nn.functional.multi_margin_loss(x, _given(target), weight=w, **options)


def _given(array: Any) -> Any:
    return torch.from_numpy(np.array(array))
