"""TensorFlow: the loss composed of its operations, run eagerly; gradients by its tape."""

from __future__ import annotations

import os
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf

from .composite import batch, checked


class TensorFlow:
    """The composite over tf on a CPU."""

    name, version, device = "tensorflow", tf.__version__, "cpu"

    def forward(self, input: Any, target: Any, *, p: Any, margin: Any, weight: Any, reduction: Any) -> Any:
        """Return the loss."""
        checked(input, target, p, margin, weight, reduction)
        x, y = batch(input, target)
        found = _loss(tf.constant(x), y, int(p), float(margin), weight, reduction)
        return found.numpy().reshape(target.shape if reduction == "none" else ())

    def backward(
        self, grad_output: Any, input: Any, target: Any, *, p: Any, margin: Any, weight: Any, reduction: Any
    ) -> Any:
        """Return the gradient with respect to input."""
        checked(input, target, p, margin, weight, reduction)
        array, y = batch(input, target)
        x = tf.constant(array)
        with tf.GradientTape() as tape:
            tape.watch(x)
            found = _loss(x, y, int(p), float(margin), weight, reduction)
        g = tf.reshape(tf.constant(grad_output), found.shape)
        return tf.convert_to_tensor(tape.gradient(found, x, output_gradients=g)).numpy().reshape(input.shape)


def _loss(x: Any, target: Any, p: int, margin: float, weight: Any, reduction: str) -> Any:
    y = tf.constant(target)
    own = tf.equal(y[:, None], tf.range(x.shape[1], dtype=y.dtype)[None, :])
    z = tf.constant(margin, x.dtype) - tf.gather(x, y[:, None], batch_dims=1) + x
    active = tf.logical_and(z > 0, tf.logical_not(own))
    hinge = tf.where(active, z, tf.zeros_like(z))
    terms = hinge if p == 1 else hinge * hinge
    if weight is not None:
        terms = tf.where(active, tf.gather(tf.constant(weight), y)[:, None] * terms, tf.zeros_like(z))
    rows = tf.reduce_mean(terms, axis=1)
    return rows if reduction == "none" else (tf.reduce_mean if reduction == "mean" else tf.reduce_sum)(rows)
