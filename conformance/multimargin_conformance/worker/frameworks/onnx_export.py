"""PyTorch's operator by torch.onnx.export(dynamo=True), which decomposes it, run by ONNX Runtime on the CPU.

Exporting costs seconds: each graph serves all sizes, and its margin, which export makes a constant, is made an input.
"""

from __future__ import annotations

import logging
import warnings
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import helper, numpy_helper

MARGIN = 729 / 1024  # exact in every dtype, so that it is found again in an exported graph
DTYPES = {"dtypes": ["float16", "float32", "float64"], "gradient": False}


class Loss(torch.nn.Module):
    """What is exported."""

    def __init__(self, p: Any, reduction: Any) -> None:
        super().__init__()
        self.p, self.reduction = p, reduction

    def forward(self, x: Any, y: Any, weight: Any = None) -> Any:
        """Return the loss."""
        return torch.nn.functional.multi_margin_loss(
            x, y, p=self.p, margin=MARGIN, weight=weight, reduction=self.reduction
        )


class OnnxExport:
    """The exported forward; a rank, dtype, p, reduction and kind of weight is one graph."""

    name, device = "onnx-export", "cpu"
    version = f"{onnxruntime.__version__} (torch {torch.__version__})"
    capabilities = DTYPES
    compiles = True

    def __init__(self) -> None:
        self._sessions: dict[Any, Any] = {}
        self._refused: dict[Any, Exception] = {}

    def forward(self, input: Any, target: Any, *, p: Any, margin: Any, weight: Any, reduction: Any) -> Any:
        """Return the loss."""
        given = {"x": input, "y": target} if weight is None else {"x": input, "y": target, "weight": weight}
        key = (type(p), p, reduction, *((name, a.dtype, a.ndim) for name, a in given.items()))
        if key in self._refused:
            raise self._refused[key].with_traceback(None)
        if key not in self._sessions:
            try:
                self._sessions[key] = _exported(p, reduction, given)
            except Exception as error:  # takes as long each time
                self._refused[key] = error
                raise
        arrays = {name: np.ascontiguousarray(a).reshape(a.shape) for name, a in given.items()}
        return self._sessions[key].run(None, {**arrays, "margin": np.asarray(margin, input.dtype)})[0]


def _exported(p: Any, reduction: Any, given: dict[str, Any]) -> Any:
    """Export a graph for arrays like these, and load it. Raises what PyTorch and ONNX Runtime raise."""
    sizes = {"x": ("N", "C")[2 - given["x"].ndim :], "y": ("N",)[: given["y"].ndim], "weight": ("C",)}
    dims = {name: torch.export.Dim(name) for name in "NC"}
    shapes = tuple({place: dims[size] for place, size in enumerate(sizes[name])} for name in given)
    samples = tuple(
        torch.zeros([{"N": 3, "C": 5}[size] for size in sizes[name]], dtype=getattr(torch, a.dtype.name))
        for name, a in given.items()
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        program: Any = torch.onnx.export(Loss(p, reduction), samples, dynamo=True, dynamic_shapes=shapes, verbose=False)
        logging.disable(logging.NOTSET)
    return onnxruntime.InferenceSession(_with_margin(program.model_proto).SerializeToString())


def _with_margin(model: Any) -> Any:
    """Make the margin of a graph an input."""
    values = {initializer.name: numpy_helper.to_array(initializer) for initializer in model.graph.initializer}
    (found,) = (i for i in model.graph.initializer if values[i.name].shape == () and values[i.name] == MARGIN)
    model.graph.initializer.remove(found)
    model.graph.input.append(helper.make_tensor_value_info("margin", found.data_type, []))
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            if name == found.name:
                node.input[place] = "margin"
    onnx.checker.check_model(model)
    return model
