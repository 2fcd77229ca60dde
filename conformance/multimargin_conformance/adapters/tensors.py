"""Arrays as tensors and back, bit for bit."""

from __future__ import annotations

import warnings
from typing import Any

import ml_dtypes
import numpy as np
import torch
from numpy.typing import NDArray


def to_tensor(array: NDArray[Any] | None, device: str = "cpu") -> Any:
    """Return a tensor with the array's values, strides and (on the CPU) memory; a copy where torch cannot share it."""
    if array is None:
        return None
    if array.dtype == ml_dtypes.bfloat16:
        return to_tensor(array.view(np.int16), device).view(torch.bfloat16)
    shareable = array.flags.aligned and all(s >= 0 and s % max(1, array.itemsize) == 0 for s in array.strides)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a read-only array shares its memory too
        return torch.from_numpy(array if shareable else array.copy()).to(device)


def to_array(tensor: Any) -> Any:
    """Return a tensor's values as an array; anything else as it is."""
    if not isinstance(tensor, torch.Tensor):
        return tensor
    values = tensor.detach().cpu()
    return (
        values.view(torch.int16).numpy().view(ml_dtypes.bfloat16) if values.dtype == torch.bfloat16 else values.numpy()
    )
