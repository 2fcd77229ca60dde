"""ONNX Runtime on the CPU: the loss and its gradient, written out as graphs of ONNX operators."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx.checker
import onnx.parser
import onnxruntime

from .composite import batch, checked

DTYPES = {"dtypes": ["float16", "float32", "float64"]}
TYPES = {"float16": "float16", "float32": "float", "float64": "double"}
HINGES = """
    one_axis = Constant <value_ints = [1]> ()
    size = Shape <start = 1, end = 2> (x)
    count = Squeeze (size)
    from = Constant <value_int = 0> ()
    step = Constant <value_int = 1> ()
    places = Range (from, count, step)
    column = Unsqueeze (y, one_axis)
    own = Equal (column, places)
    target_logit = GatherElements <axis = 1> (x, column)
    ahead = Sub (margin, target_logit)
    z = Add (ahead, x)
    zero_float = Constant <value_float = 0.0> ()
    zero = CastLike (zero_float, x)
    positive = Greater (z, zero)
    other = Not (own)
    active = And (positive, other)
    hinge = Where (active, z, zero)
"""
WEIGHTED = """
    row_weight = Gather (weight, y)
"""
LOSS = {
    1: "    terms = Identity (hinge)\n",
    2: "    terms = Mul (hinge, hinge)\n",
}
LOSS_WEIGHTED = """
    weight_column = Unsqueeze (row_weight, one_axis)
    scaled = Mul (weight_column, terms)
    counted = Where (active, scaled, zero)
"""
LOSS_REDUCED = {
    "none": "    result = Identity (rows)\n",
    "mean": "    result = ReduceMean <keepdims = 0> (rows)\n",
    "sum": "    result = ReduceSum <keepdims = 0> (rows)\n",
}
FACTORS = """
    row_shape = Shape (y)
    row_g = Expand (g, row_shape)
    classes = CastLike (count, x)
"""
SLOPES = {
    1: "    one_float = Constant <value_float = 1.0> ()\n    slope = CastLike (one_float, x)\n",
    2: "    slope = Add (hinge, hinge)\n",
}
GRADIENT = """
    factor_column = Unsqueeze (factor, one_axis)
    products = Mul (slope, factor_column)
    slopes = Where (active, products, zero)
    total = ReduceSum <keepdims = 1> (slopes, one_axis)
    opposite = Neg (total)
    result = Where (own, opposite, slopes)
"""


class OnnxRuntime:
    """A graph for each dtype, p, reduction and kind of weight; all sizes share it."""

    name, version, device = "onnxruntime", onnxruntime.__version__, "cpu"
    capabilities = DTYPES

    def __init__(self) -> None:
        self._sessions: dict[Any, Any] = {}

    def forward(self, input: Any, target: Any, *, p: Any, margin: Any, weight: Any, reduction: Any) -> Any:
        """Return the loss."""
        checked(input, target, p, margin, weight, reduction)
        found = self._run(_loss_graph(int(p), weight is not None, reduction), input, target, margin, weight=weight)
        return found.reshape(target.shape if reduction == "none" else ())

    def backward(
        self, grad_output: Any, input: Any, target: Any, *, p: Any, margin: Any, weight: Any, reduction: Any
    ) -> Any:
        """Return the gradient with respect to input."""
        checked(input, target, p, margin, weight, reduction)
        g = np.reshape(grad_output, (-1,) if reduction == "none" else ())
        graph = _gradient_graph(int(p), weight is not None, reduction)
        return self._run(graph, input, target, margin, weight=weight, g=g).reshape(input.shape)

    def _run(self, graph: str, input: Any, target: Any, margin: Any, **more: Any) -> Any:
        x, y = batch(input, target)
        name = TYPES[input.dtype.name]
        key = (graph, name, "g" in more and more["g"].ndim)
        if key not in self._sessions:
            self._sessions[key] = _session(graph, name, {k: v.ndim for k, v in more.items() if v is not None})
        arrays = {"x": x, "y": y, "margin": np.asarray(margin, x.dtype), **more}
        plain = {k: np.ascontiguousarray(a).reshape(a.shape) for k, a in arrays.items() if a is not None}
        return self._sessions[key].run(None, plain)[0]


def _loss_graph(p: int, weighted: bool, reduction: str) -> str:
    weighting = WEIGHTED + LOSS_WEIGHTED if weighted else "    counted = Identity (terms)\n"
    mean = "    rows = ReduceMean <keepdims = 0> (counted, one_axis)\n"
    return HINGES + LOSS[p] + weighting + mean + LOSS_REDUCED[reduction]


def _gradient_graph(p: int, weighted: bool, reduction: str) -> str:
    weighting = WEIGHTED + "    g_w = Mul (row_g, row_weight)\n" if weighted else "    g_w = Identity (row_g)\n"
    factor = "    g_c = Div (g_w, classes)\n"
    if reduction == "mean":
        factor += "    row_count = Size (y)\n    n = CastLike (row_count, x)\n    factor = Div (g_c, n)\n"
    else:
        factor += "    factor = Identity (g_c)\n"
    return HINGES + FACTORS + weighting + factor + SLOPES[p] + GRADIENT


def _session(graph: str, name: str, ranks: dict[str, int]) -> Any:
    sizes = {"weight": "[C]", "g": "[N]" if ranks.get("g") else ""}
    more = "".join(f", {name}{sizes[key]} {key}" for key in ranks)
    head = f'<ir_version: 9, opset_import: ["" : 18]>\nloss ({name}[N,C] x, int64[N] y, {name} margin{more})'
    shape = "[N,C]" if "g" in ranks else "[N]" if "result = Identity" in graph else ""
    model = onnx.parser.parse_model(f"{head} => ({name}{shape} result) {{{graph}}}")
    onnx.checker.check_model(model)
    return onnxruntime.InferenceSession(model.SerializeToString())
