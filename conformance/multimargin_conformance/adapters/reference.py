"""The vectorized NumPy reference as a backend."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from multimargin_conformance.backend import distribution_version
from multimargin_reference.vectorized import multi_margin_loss, multi_margin_loss_backward


class ReferenceBackend:
    """`multimargin_reference.multi_margin_loss` and its backward."""

    name = "reference"
    version = distribution_version("multimargin")

    def forward(self, input: NDArray[Any], target: NDArray[Any], **options: Any) -> NDArray[Any]:
        """Return the loss."""
        return multi_margin_loss(input, target, **options)

    def backward(
        self, grad_output: NDArray[Any], input: NDArray[Any], target: NDArray[Any], **options: Any
    ) -> NDArray[Any]:
        """Return the gradient with respect to input."""
        return multi_margin_loss_backward(grad_output, input, target, **options)
