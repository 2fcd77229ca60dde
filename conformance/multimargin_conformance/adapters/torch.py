"""PyTorch: eager, its decomposition, this package's drop-in, and anything over tensors (`torch:module:attr`)."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from typing import Any

import torch
from numpy.typing import NDArray

from multimargin_conformance.adapters.tensors import to_array, to_tensor
from multimargin_conformance.adapters.torch_class import TorchIntegration
from multimargin_conformance.capabilities import Capabilities

CPU_EAGER_DTYPES = ("float32", "float64")  # the CPU kernel says "not implemented for 'Half'"
REDUCTION_CODES = {"none": 0, "mean": 1, "sum": 2}


def _prepare(device: str) -> None:
    """Make a device's context and load what every call needs; raises where there is no such device.

    The first call takes seconds there, which processes that are started ahead have behind them then.
    """
    one = torch.ones(1, device=device, requires_grad=True)
    if not one.is_cpu and not one.is_meta:
        one.sum().backward()  # type: ignore[no-untyped-call]
        one.cpu()


class TensorBackend:
    """A function over tensors with F.multi_margin_loss's signature as a backend; the gradient is autograd's.

    source: Python source that defines the function as `multi_margin_loss`. cls: the nn.Module class that belongs to it,
    for the checks of CLASS.
    """

    framework = "torch"
    source = "from torch.nn.functional import multi_margin_loss"

    def __init__(
        self, function: Callable[..., Any], name: str, device: str = "cpu", cls: Callable[..., Any] | None = None
    ) -> None:
        _prepare(device)
        self.function, self.name, self.device = function, name, device
        self.integration = TorchIntegration(function, cls, device)
        self.version = torch.__version__

    def forward(self, input: NDArray[Any], target: NDArray[Any], *, weight: NDArray[Any] | None, **options: Any) -> Any:
        """Return the loss."""
        tensors = [to_tensor(a, self.device) for a in (input, target, weight)]
        return to_array(self.function(tensors[0], tensors[1], weight=tensors[2], **options))

    def backward(
        self,
        grad_output: NDArray[Any],
        input: NDArray[Any],
        target: NDArray[Any],
        *,
        weight: NDArray[Any] | None,
        **options: Any,
    ) -> Any:
        """Return the gradient with respect to input, by autograd."""
        x, y, w = (to_tensor(a, self.device) for a in (input, target, weight))
        x = x.requires_grad_()
        loss = self.function(x, y, weight=w, **options)
        (gradient,) = torch.autograd.grad(loss, x, grad_outputs=to_tensor(grad_output, self.device))
        return to_array(gradient)


class TorchEager(TensorBackend):
    """torch.nn.functional.multi_margin_loss and torch.nn.MultiMarginLoss."""

    def __init__(self, device: str = "cpu") -> None:
        super().__init__(torch.nn.functional.multi_margin_loss, "torch", device, torch.nn.MultiMarginLoss)
        if device == "cpu":
            self.capabilities = Capabilities(dtypes=CPU_EAGER_DTYPES)


class TorchDecomposition(TensorBackend):
    """The decomposition that torch.compile, export and meta tensors use in place of the kernel."""

    source = """from torch._decomp import get_decompositions

operator = torch.ops.aten.multi_margin_loss.default
decomposed = get_decompositions([operator])[operator]


def multi_margin_loss(input, target, p=1, margin=1.0, weight=None, reduction="mean"):
    return decomposed(input, target, p, margin, weight, {"none": 0, "mean": 1, "sum": 2}[reduction])
"""

    def __init__(self, device: str = "cpu") -> None:
        from torch._decomp import get_decompositions

        operator = torch.ops.aten.multi_margin_loss.default
        decomposed = get_decompositions([operator])[operator]

        def function(input: Any, target: Any, *, p: Any, margin: Any, weight: Any, reduction: Any) -> Any:
            if p not in (1, 2):  # as torch.nn.functional checks before it dispatches
                raise ValueError("only p == 1 and p == 2 supported")
            if reduction not in REDUCTION_CODES:
                raise ValueError(f"{reduction} is not a valid value for reduction")
            if weight is not None and weight.dim() != 1:
                raise ValueError("weight must be one-dimensional")
            return decomposed(input, target, p, margin, weight, REDUCTION_CODES[reduction])

        super().__init__(function, "torch-decomposition", device)


class TorchReference(TensorBackend):
    """multimargin_reference.torch: multi_margin_loss and MultiMarginLoss.

    On CUDA targets are checked, unless the environment says otherwise: its kernels answer small calls too then, and a
    target out of range costs no process.
    """

    source = "from multimargin_reference.torch import multi_margin_loss"

    def __init__(self, device: str = "cpu") -> None:
        from multimargin_reference.aten import CHECKED
        from multimargin_reference.torch import MultiMarginLoss, multi_margin_loss

        os.environ.setdefault(CHECKED, "1")
        super().__init__(multi_margin_loss, "torch-reference", device, MultiMarginLoss)


class RawKernel:
    """An object with forward and backward over tensors: a kernel without autograd."""

    framework = "torch-kernel"

    def __init__(self, kernel: Any, device: str) -> None:
        _prepare(device)
        self.kernel, self.device = kernel, device
        self.version = str(getattr(kernel, "version", torch.__version__))
        if isinstance(declared := getattr(kernel, "capabilities", None), Capabilities):
            self.capabilities = declared

    def forward(self, input: NDArray[Any], target: NDArray[Any], *, weight: NDArray[Any] | None, **options: Any) -> Any:
        """Return the loss."""
        x, y, w = (to_tensor(a, self.device) for a in (input, target, weight))
        return to_array(self.kernel.forward(x, y, weight=w, **options))

    def backward(
        self,
        grad_output: NDArray[Any],
        input: NDArray[Any],
        target: NDArray[Any],
        *,
        weight: NDArray[Any] | None,
        **options: Any,
    ) -> Any:
        """Return the kernel's own gradient."""
        g, x, y, w = (to_tensor(a, self.device) for a in (grad_output, input, target, weight))
        return to_array(self.kernel.backward(g, x, y, weight=w, **options))


def wrapped(attribute: Any, device: str = "") -> Any:
    """Return a function, nn.Module class or raw kernel over tensors as a backend."""
    device = device or "cpu"
    name = str(getattr(attribute, "__qualname__", type(attribute).__qualname__))
    if inspect.isclass(attribute) and issubclass(attribute, torch.nn.Module):

        def through_module(input: Any, target: Any, *, weight: Any, **options: Any) -> Any:
            return attribute(weight=weight, **options).to(input.device)(input, target)

        return TensorBackend(through_module, name, device, attribute)
    made = attribute() if inspect.isclass(attribute) else attribute
    if callable(getattr(made, "forward", None)) and callable(getattr(made, "backward", None)):
        return RawKernel(made, device)
    if isinstance(made, torch.nn.Module) or not callable(made):
        raise TypeError(f"{name} should be a function, an nn.Module class, or an object with forward and backward")
    backend = TensorBackend(made, name, device)
    if isinstance(declared := getattr(made, "capabilities", None), Capabilities):
        backend.capabilities = declared  # type: ignore[attr-defined]
    return backend
