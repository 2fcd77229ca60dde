"""The documented class over NumPy arrays, and the mapping of the legacy flags that it shares with the torch module."""

from __future__ import annotations

import warnings
from dataclasses import InitVar, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from multimargin_reference.vectorized import multi_margin_loss, multi_margin_loss_backward


def reduction_from_flags(size_average: bool | None, reduce: bool | None, reduction: str, *, stacklevel: int = 3) -> str:
    """Return the reduction that the legacy flags stand for, with one UserWarning; `reduction` when neither is given.

    The flags win over `reduction`, which then is not looked at (CLASS). `stacklevel` says whose line the warning names;
    the default is the caller's caller.
    """
    if size_average is None and reduce is None:
        return reduction
    if reduce is not None and not reduce:
        meant = "none"
    else:
        meant = "mean" if size_average is None or size_average else "sum"
    warnings.warn(
        f"size_average={size_average!r} and reduce={reduce!r} are deprecated; use reduction={meant!r} instead.",
        UserWarning,
        stacklevel=stacklevel,
    )
    return meant


def check_constructor(p: Any, weight_rank: int | None) -> None:
    """Raise ValueError for a p other than 1 and 2 or a weight that is not 1-D (`weight_rank` None: no weight)."""
    if p != 1 and p != 2:  # not `p not in (1, 2)`: PyTorch's cache of graphs misreads a guard that has an "or"
        raise ValueError(f"p={p!r}, but should be 1 or 2")
    if weight_rank not in (None, 1):
        raise ValueError(f"weight has {weight_rank} dimensions, but should have 1")


@dataclass(frozen=True, eq=False)
class MultiMarginLoss:
    """The multi-class margin loss with the documented constructor, called with (input, target).

    weight: (C,), input's dtype, or None; kept as given, not copied. `reduction` is what the legacy flags
    `size_average` and `reduce` made of it (UserWarning); whether it is a known one is checked by the call.
    Raises ValueError for a p other than 1 and 2 or a weight that is not 1-D.
    """

    p: int = 1
    margin: float = 1.0
    weight: ArrayLike | None = None
    size_average: InitVar[bool | None] = None
    reduce: InitVar[bool | None] = None
    reduction: str = "mean"

    def __post_init__(self, size_average: bool | None, reduce: bool | None) -> None:
        check_constructor(self.p, None if self.weight is None else np.ndim(self.weight))
        # A warning from here names the line that constructs: past this method and the generated __init__.
        object.__setattr__(self, "reduction", reduction_from_flags(size_average, reduce, self.reduction, stacklevel=4))

    def __call__(self, input: ArrayLike, target: ArrayLike) -> NDArray[Any]:
        """Return the loss; shapes, dtypes and errors as in `multi_margin_loss`."""
        return multi_margin_loss(input, target, **self._options())

    def backward(self, grad_output: ArrayLike, input: ArrayLike, target: ArrayLike) -> NDArray[Any]:
        """Return the gradient with respect to input; as `multi_margin_loss_backward`."""
        return multi_margin_loss_backward(grad_output, input, target, **self._options())

    def _options(self) -> dict[str, Any]:
        return {"p": self.p, "margin": self.margin, "weight": self.weight, "reduction": self.reduction}
