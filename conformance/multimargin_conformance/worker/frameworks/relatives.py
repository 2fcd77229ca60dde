"""Losses of other libraries that are called multi-class hinge and are not this one: negative controls.

Each takes the largest of a row's hinges where this one takes their mean. What a library has no argument for is left
away, as a hurried port would leave it.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def sklearn_hinge(input: Any, target: Any, *, weight: Any, **_options: Any) -> Any:
    """Return scikit-learn's hinge_loss of one call: a mean, weighted by sample_weight."""
    from sklearn.metrics import hinge_loss

    x, y = input.reshape(-1, input.shape[-1]), target.reshape(-1)
    weights = None if weight is None else weight[y]
    return np.asarray(hinge_loss(y, x, labels=np.arange(x.shape[-1]), sample_weight=weights), input.dtype)


def torchmetrics_hinge(input: Any, target: Any, *, p: Any, **_options: Any) -> Any:
    """Return torchmetrics' multiclass_hinge_loss, by the method of Crammer and Singer."""
    import torch
    from torchmetrics.functional.classification import multiclass_hinge_loss

    classes = input.shape[-1]
    x, y = torch.tensor(input).reshape(-1, classes), torch.tensor(target).reshape(-1)
    return multiclass_hinge_loss(x, y, num_classes=classes, squared=p == 2).numpy()


def keras_hinge(input: Any, target: Any, *, reduction: Any, **_options: Any) -> Any:
    """Return Keras's categorical_hinge, reduced."""
    import keras

    rows = keras.losses.categorical_hinge(keras.ops.one_hot(target, input.shape[-1], dtype=input.dtype.name), input)
    return np.asarray(_reduced(np.asarray(rows), reduction), input.dtype)


def optax_hinge(input: Any, target: Any, *, reduction: Any, **_options: Any) -> Any:
    """Return optax's multiclass_hinge_loss, reduced."""
    import optax

    return np.asarray(_reduced(np.asarray(optax.losses.multiclass_hinge_loss(input, target)), reduction), input.dtype)


def _reduced(rows: Any, reduction: str) -> Any:
    return rows if reduction == "none" else getattr(np, reduction)(rows)
