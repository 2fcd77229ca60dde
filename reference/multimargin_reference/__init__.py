"""MultiMarginLoss: the reference implementations, the exact oracle and the enclosures of every legal result.

`multimargin_reference.torch` is the drop-in for PyTorch; it alone imports torch.
"""

from __future__ import annotations

from multimargin_reference import oracle
from multimargin_reference.case import Case
from multimargin_reference.interval import Interval
from multimargin_reference.module import MultiMarginLoss
from multimargin_reference.vectorized import multi_margin_loss, multi_margin_loss_and_grad, multi_margin_loss_backward

__all__ = [
    "Case",
    "Interval",
    "MultiMarginLoss",
    "multi_margin_loss",
    "multi_margin_loss_and_grad",
    "multi_margin_loss_backward",
    "oracle",
]
