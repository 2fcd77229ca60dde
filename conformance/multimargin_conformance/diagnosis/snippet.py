"""A program that makes one call: for a failure's report, in the framework of the implementation under test."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multimargin_conformance.calling import Call
from multimargin_conformance.isolation.wire import run_text
from multimargin_reference.case import Case

LARGEST = 256  # elements of an argument that are written out
WIDTH = 100


def snippet(case: Case, part: str, framework: str, source: str, vector: str = "", device: str = "cpu") -> str:
    """Return a program that makes a call and prints the result.

    framework: "numpy", "torch", "torch-kernel" or "stdio". source: Python source that defines the functions, or the
    command of a program that speaks PROTOCOL.md. vector: the id of the golden vector that a large call is. part: "loss"
    or "gradient".
    """
    if framework == "stdio":
        return stdio_snippet(case, part, source)
    if framework == "numpy":
        return numpy_snippet(case, part, source, vector)
    return torch_snippet(case, part, source, vector, device, kernel=framework == "torch-kernel")


def stdio_snippet(case: Case, part: str, command: str) -> str:
    """Return shell lines that send a call to a program and print its answers."""
    if case.input.size > LARGEST or case.target.size > LARGEST:
        return f"# a call of {case.input.shape} is too large to be written out: run the replay command instead\n"
    start = '{"id":0,"cmd":"start","protocol":[1],"suite":"","device":""}'
    run = f'{{"id":1,"cmd":"run",{run_text(Call(part, case), frozenset(), {})[0]}}}'
    return f"{command} <<'END'\n{start}\n{run}\nEND\n"


def numpy_snippet(case: Case, part: str, source: str, vector: str = "") -> str:
    """Return a program over NumPy arrays. `source` defines `forward` and, for the gradient, `backward`."""
    if (large := _large(case, vector)) is not None:
        body = large
    else:
        body = "\n".join(f"{name} = {numpy_array(array)}" for name, array in _arguments(case, part))
    halves = "import ml_dtypes\n" if case.dtype == "bfloat16" else ""
    names = ", ".join(name for name, _ in _arguments(case, part) if name != "weight")
    call = f"{'forward' if part == 'loss' else 'backward'}({names}, {_options(case)})"
    return f"{halves}import numpy as np\n{source}\n\n{body}\nprint({call})\n"


def torch_snippet(case: Case, part: str, source: str, vector: str, device: str, *, kernel: bool) -> str:
    """Return a program over tensors. `source` defines `multi_margin_loss`, whose gradient is autograd's.

    kernel: `source` defines `forward` and `backward` instead.
    """
    lines = ["import torch", source, ""]
    if (large := _large(case, vector)) is not None:
        names = [name for name, _ in _arguments(case, part)]
        lines += [large, *(f"{name} = torch.from_numpy({name}.copy())" for name in names)]
    else:
        lines += [f"{name} = {torch_tensor(array)}" for name, array in _arguments(case, part)]
    if device not in ("", "cpu"):
        lines += [f"{name} = {name}.to({device!r})" for name, _ in _arguments(case, part)]
    if kernel:
        names_given = "input, target" if part == "loss" else "grad_output, input, target"
        call = f"{'forward' if part == 'loss' else 'backward'}({names_given}, {_options(case)})"
    else:
        call = f"multi_margin_loss(input, target, {_options(case)})"
    if part == "loss" or kernel:
        return "\n".join([*lines, f"print({call})", ""])
    return "\n".join([*lines, "input.requires_grad_()", f"{call}.backward(grad_output)", "print(input.grad)", ""])


def numpy_array(array: NDArray[Any]) -> str:
    """Return NumPy source for an array; every number reads back as the same bits."""
    dtype = "ml_dtypes.bfloat16" if array.dtype.name == "bfloat16" else f"np.{array.dtype.name}"
    if not array.size:
        return f"np.zeros({array.shape}, {dtype})"
    return f"np.array({_list(array, 'np.')}, {dtype})"


def torch_tensor(array: NDArray[Any]) -> str:
    """Return PyTorch source for a tensor."""
    if not array.size:
        return f"torch.zeros({array.shape}, dtype=torch.{array.dtype.name})"
    return f"torch.tensor({_list(array, 'torch.')}, dtype=torch.{array.dtype.name})"


def _arguments(case: Case, part: str) -> list[tuple[str, NDArray[Any]]]:
    names = ("input", "target", "weight") if part == "loss" else ("grad_output", "input", "target", "weight")
    return [(name, array) for name in names if (array := getattr(case, name)) is not None]


def _options(case: Case) -> str:
    weight = "None" if case.weight is None else "weight"
    return f"p={case.p!r}, margin={_number(case.margin, '')}, weight={weight}, reduction={case.reduction!r}"


def _large(case: Case, vector: str) -> str | None:
    """Return source that takes large arguments from the golden vectors; None where they can be written out."""
    if case.input.size <= LARGEST and case.target.size <= LARGEST:
        return None
    names = "input, target, weight, grad_output"
    if not vector:
        return f"# a call of {case.input.shape} is too large to be written out: run the replay command instead"
    values = ", ".join(f"case.{name}" for name in names.split(", "))
    return f"from multimargin_vectors import by_id\n\ncase = by_id()[{vector!r}].case\n{names} = {values}"


def _list(array: NDArray[Any], module: str) -> str:
    values = array.tolist() if array.dtype.kind in "iub" else array.astype(np.float64).tolist()
    return _nested(values, array.dtype, module)


def _nested(values: Any, dtype: Any, module: str) -> str:
    if isinstance(values, list):
        return f"[{', '.join(_nested(v, dtype, module) for v in values)}]"
    return str(values) if isinstance(values, int | bool) else _number(_shortest(values, dtype), module)


def _shortest(value: float, dtype: Any) -> float:
    """Return the double with the shortest decimal that still reads back as the same value of the dtype."""
    if not math.isfinite(value) or dtype.name == "float64":
        return value
    text = float(str(np.float64(value).astype(dtype)))
    return text if float(np.float64(text).astype(dtype)) == value else value


def _number(value: float, module: str) -> str:
    if math.isfinite(value):
        return repr(value)
    return f"{module}{value}" if module else f"float({str(value)!r})"
