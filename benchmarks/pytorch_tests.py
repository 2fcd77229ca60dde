"""PyTorch's own tests of multi_margin_loss, applied to an implementation over NumPy arrays.

Where PyTorch compares the operator with itself (layouts, autograd), eager's result is expected here, which is stricter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from pytorch_inputs import Arguments, Inputs, array_of, internal
from torch import Tensor
from torch.testing import assert_close

from multimargin_conformance.adapters.tensors import to_tensor
from multimargin_reference.known import Backend


def first_failure(make: Callable[[], Backend], given: Mapping[str, Inputs]) -> str:
    """Return which of PyTorch's tests fails first and the first line of why, "" where none does.

    Each file has an implementation of its own, as each is a process of its own.
    """
    for file, of_file in given.items():
        implementation = make()
        for name, test in TESTS.items():
            try:
                test(implementation, of_file)
            except Exception as error:
                return f"{file} {name}: {type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
    return ""


def forward(implementation: Backend, arguments: Arguments) -> Tensor:
    """Return an implementation's loss as a tensor. Raises what it raises, and TypeError for no array of numbers."""
    x, y, w = arguments.arrays
    return _tensor(implementation.forward(x, y, weight=w, **arguments.options))


def backward(implementation: Backend, grad_output: Tensor, arguments: Arguments) -> Tensor:
    """Return an implementation's gradient as a tensor. Raises as `forward` does."""
    x, y, w = arguments.arrays
    with torch.enable_grad():  # eager needs it inside of a Function's backward
        gradient = _tensor(implementation.backward(array_of(grad_output), x, y, weight=w, **arguments.options))
    return gradient.reshape(arguments.input.shape) if gradient.shape == x.shape else gradient


def _tensor(value: Any) -> Tensor:
    tensor: Tensor = to_tensor(np.asarray(value))
    return tensor


class _Adapted(torch.autograd.Function):
    """An implementation as an operator with autograd; `input` is that of `arguments`."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, implementation: Backend, arguments: Arguments) -> Tensor:
        assert input.data_ptr() == arguments.input.data_ptr()
        ctx.implementation, ctx.arguments = implementation, arguments
        return forward(implementation, arguments)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> Any:
        return backward(ctx.implementation, grad_output, ctx.arguments), None, None


def differentiable(implementation: Backend, arguments: Arguments, input: Tensor) -> Tensor:
    """Return an implementation's loss as a tensor that autograd can differentiate by `input`."""
    loss: Tensor = _Adapted.apply(input, implementation, arguments)  # type: ignore[no-untyped-call]
    return loss


def check_values(implementation: Backend, given: Inputs) -> None:
    """Compare the loss with eager's and with the reference function's."""
    for call in given.calls:
        loss = forward(implementation, call.arguments.changed())
        assert_close(loss, call.loss)
        assert_close(loss, call.reference)


def check_errors(implementation: Backend, given: Inputs) -> None:
    """Make the invalid calls; any error will do, since types and messages are each implementation's own."""
    for name, arguments in given.invalid.items():
        x, y, w = arguments.changed().arrays
        try:
            implementation.forward(x, y, weight=w, **arguments.options)
        except Exception:
            continue
        raise AssertionError(f"{name} was answered")


def check_gradients(implementation: Backend, given: Inputs) -> None:
    """Compare the gradient with eager's."""
    for call in given.calls:
        made = call.arguments.changed()
        forward(implementation, made)
        assert_close(backward(implementation, call.grad_outputs[0].clone(), made), call.gradients[0])


def check_autograd(implementation: Backend, given: Inputs) -> None:
    """Compare what autograd makes of a second backward, and of the loss's sum, with what it makes of eager."""
    for call in given.samples:
        made = call.arguments.changed()
        x = made.input.requires_grad_()
        loss = differentiable(implementation, made, x)
        for grad_output in call.grad_outputs:
            loss.backward(grad_output.clone(), retain_graph=True)  # type: ignore[no-untyped-call]
        assert_close(x.grad, call.gradients[0] + call.gradients[1])
        assert_close(torch.autograd.grad(loss.sum(), x)[0], call.gradient_of_sum)


def check_layouts(implementation: Backend, given: Inputs) -> None:
    """Compare loss and gradient with eager's where no argument is contiguous."""
    for call in given.samples:
        for layout in LAYOUTS:
            made = call.arguments.changed(layout)
            x = made.input.requires_grad_()
            loss = differentiable(implementation, made, x)
            (gradient,) = torch.autograd.grad(loss, x, layout(call.grad_outputs[0]))
            assert_close(gradient, call.gradients[0])
            assert_close(loss.detach(), call.loss)


def check_arguments(implementation: Backend, given: Inputs) -> None:
    """Compare the arguments with what they were, after forward and after backward."""
    for call in given.samples:
        made, ones = call.arguments.changed(), torch.ones_like(call.loss)
        grad_output = ones.clone()
        forward(implementation, made)
        backward(implementation, grad_output, made)
        for left, right in zip((*made.tensors, grad_output), (*call.arguments.tensors, ones), strict=True):
            assert_close(left, right, rtol=0, atol=0)


def check_by_differences(implementation: Backend, given: Inputs) -> None:
    """Run gradcheck, every element by itself; without vmap, which NumPy cannot take part in."""
    for call in given.samples:
        if call.loss.dtype == torch.float64:
            made = call.arguments.changed()
            function = partial(differentiable, implementation, made)
            assert torch.autograd.gradcheck(function, (made.input.requires_grad_(),), check_grad_dtypes=True)


def _every_second(tensor: Tensor) -> Tensor:
    """Return the tensor between elements that are NaN or 12 (test_ops)."""
    result: Tensor = internal("common_utils").noncontiguous_like(tensor.detach())
    return result


def _doubled(tensor: Tensor) -> Tensor:
    """Return the tensor as every second element of one that holds each twice (test_modules)."""
    return tensor.repeat_interleave(2, dim=-1)[..., ::2] if tensor.dim() else tensor.clone()


def _between_rows(tensor: Tensor) -> Tensor:
    """Return the tensor with gaps after the first axis that is longer than 1 (common_nn)."""
    axis = next((axis + 1 for axis, length in enumerate(tensor.shape) if length > 1), tensor.dim())
    return torch.stack([torch.zeros_like(tensor), tensor], axis).select(axis, 1)


LAYOUTS = (_every_second, _doubled, _between_rows)
TESTS: Mapping[str, Callable[[Backend, Inputs], None]] = {
    "errors": check_errors,
    "values": check_values,
    "gradients": check_gradients,
    "autograd": check_autograd,
    "layouts": check_layouts,
    "arguments": check_arguments,
    "gradcheck": check_by_differences,
}
