"""MultiMarginLoss with one fault: the weight is inside the maximum and the power."""

import numpy as np


def loss(input, target, *, p, margin, weight, reduction):
    x, y, rows = np.atleast_2d(input), np.atleast_1d(target), np.arange(np.size(target))
    w = np.ones(x.shape[1], x.dtype) if weight is None else weight
    if p not in (1, 2) or w.shape != x.shape[1:] or not w.size or y.shape != x.shape[:1] or (y < 0).any():
        raise ValueError("invalid arguments")
    terms = w[y, None] * np.maximum(0, margin - x[rows, y, None] + x) ** p
    terms[rows, y] = 0
    losses = terms.sum(axis=1) / x.shape[1]
    return {"none": losses.reshape(np.shape(target)), "mean": losses.mean(), "sum": losses.sum()}[reduction]
