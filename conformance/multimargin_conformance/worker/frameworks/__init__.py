"""Adapters that need their framework and NumPy, and nothing else of multimargin than this folder.

So any interpreter can run them: `multimargin check paddle --python .backends/paddle/bin/python`. A composite is the
loss composed here of a framework's operations; what it shows is that framework's arithmetic, gathering and autograd.
"""

from __future__ import annotations

import importlib
from typing import Any

from ..source import numpy_source

COMPOSITE = "composed of its operations (ours)"
OTHER = "another loss, which must fail"
ARRAY_API = "array-api:MODULE"
FRAMEWORKS: dict[str, tuple[str, str, str]] = {
    "torch-operator": ("torch_operator", "TorchOperator", "torch.nn.functional.multi_margin_loss, in any release"),
    "paddle": ("paddle_operator", "Paddle", "paddle.nn.functional.multi_margin_loss"),
    "mindspore": ("mindspore_operator", "MindSpore", "mindspore.nn.MultiMarginLoss"),
    "mindspore-ops": ("mindspore_operator", "MindSporeFunction", "mindspore.ops.multi_margin_loss"),
    "onnx-export": ("onnx_export", "OnnxExport", "torch.onnx.export of PyTorch's operator, run by ONNX Runtime"),
    "onnxruntime": ("onnx_graph", "OnnxRuntime", f"ONNX Runtime: {COMPOSITE}, the gradient written out"),
    "jax": ("jax_composite", "Jax", f"JAX: {COMPOSITE}, by jax.jit and jax.vjp"),
    "mlx": ("mlx_composite", "Mlx", f"MLX on the CPU: {COMPOSITE}"),
    "tensorflow": ("tensorflow_composite", "TensorFlow", f"TensorFlow: {COMPOSITE}, run eagerly"),
    "tinygrad": ("tinygrad_composite", "TinyGrad", f"tinygrad on the CPU: {COMPOSITE}"),
    ARRAY_API: (
        "array_api",
        "Namespace",
        f"any namespace of the array API (numpy, array_api_strict, torch): {COMPOSITE}, the gradient written out",
    ),
    "sklearn-hinge": ("relatives", "sklearn_hinge", f"sklearn.metrics.hinge_loss: {OTHER}"),
    "torchmetrics-hinge": ("relatives", "torchmetrics_hinge", f"torchmetrics' multiclass_hinge_loss: {OTHER}"),
    "keras-hinge": ("relatives", "keras_hinge", f"keras.losses.categorical_hinge: {OTHER}"),
    "optax-hinge": ("relatives", "optax_hinge", f"optax.losses.multiclass_hinge_loss: {OTHER}"),
}


def is_framework(spec: str) -> bool:
    """Return whether a name is that of one of these adapters."""
    kind, _, module = spec.partition(":")
    return spec in FRAMEWORKS or (bool(module) and kind == ARRAY_API.partition(":")[0])


def made(name: str, device: str) -> tuple[Any, str]:
    """Return the adapter of a name, and Python source that gets hold of it where multimargin is installed.

    Raises ImportError where its framework is not installed.
    """
    _, _, namespace = name.partition(":")
    module, attribute, _ = FRAMEWORKS[ARRAY_API if namespace else name]
    found = getattr(importlib.import_module(f".{module}", __package__), attribute)
    given = [word for word in (namespace, device) if word]
    location = f"multimargin_conformance.worker.frameworks.{module}"
    source = numpy_source(location, attribute, found, repr(namespace) if namespace else "")
    return found(*given) if isinstance(found, type) else found, source


def over_arrays(function: Any, device: str) -> Any:
    """Return a function over JAX arrays (`jax:module:attr`) as an adapter. Raises ImportError without JAX."""
    from .jax_composite import Function

    return Function(function, device or "cpu")
