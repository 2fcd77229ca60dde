"""MultiMarginLoss in NumPy."""

import numpy as np


class Kernel:
    def forward(self, input, target, *, p, margin, weight, reduction):
        z, w, _ = hinges(input, target, p, margin, weight)
        losses = (w * np.maximum(0, z) ** p).sum(axis=1) / z.shape[1]
        return {"none": losses.reshape(target.shape), "mean": losses.mean(), "sum": losses.sum()}[reduction]

    def backward(self, grad_output, input, target, *, p, margin, weight, reduction):
        z, w, own = hinges(input, target, p, margin, weight)
        divisor = {"none": z.shape[1], "mean": z.size, "sum": z.shape[1]}[reduction]
        slope = 1 if p == 1 else 2 * z
        gradient = np.where(z >= 0, w * slope, 0) / divisor
        gradient *= grad_output.reshape(-1, 1)
        gradient[own] = -gradient.sum(axis=1)
        return gradient.reshape(input.shape)


def hinges(input, target, p, margin, weight):
    """Return z (-1 at the target), w[y] and the target's indices; raise for invalid arguments."""
    x, y = np.atleast_2d(input), np.atleast_1d(target)
    w = np.ones(x.shape[1], x.dtype) if weight is None else weight.astype(x.dtype)
    if p not in (1, 2) or not w.size or w.shape != x.shape[1:] or y.shape != x.shape[:1] or (y < 0).any():
        raise ValueError("invalid arguments")
    own = np.arange(len(y)), y
    z = margin - x[own][:, None] + x
    z[own] = -1
    return z, w[y][:, None], own
