"""The calls that PyTorch's own tests of multi_margin_loss make, and what they expect.

They come from the sample, reference and error inputs of the operator's OpInfo, those of the ModuleInfo of
MultiMarginLoss, the functional tests of common_nn, and the unknown reduction of test_nn; float32 and float64, on the
CPU.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from unittest import mock

import torch
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import multi_margin_loss

DTYPES = (torch.float32, torch.float64)
DEFAULTS: Mapping[str, Any] = {"p": 1, "margin": 1.0, "weight": None, "reduction": "mean"}


@dataclass(frozen=True)
class Arguments:
    """The arguments of one call of the loss; options holds p, margin and reduction."""

    input: Tensor
    target: Tensor
    weight: Tensor | None
    options: Mapping[str, Any]

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The tensors among the arguments."""
        return (self.input, self.target) if self.weight is None else (self.input, self.target, self.weight)

    @cached_property
    def arrays(self) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any] | None]:
        """Input, target and weight as arrays that share the tensors' memory, the same objects in every call.

        What the specification leaves open is put into a form that it defines, so that no legal implementation is
        rejected for it: a 0-d logit becomes (1,), and a (C,) input with a (1,) target becomes a batch of one row.
        """
        x, y = array_of(self.input), array_of(self.target)
        if x.ndim == 0:
            x = x.reshape(1)
        elif x.ndim == 1 and y.shape == (1,):
            x = x[None]
        return x, y, None if self.weight is None else array_of(self.weight)

    def changed(self, change: Callable[[Tensor], Tensor] = torch.clone) -> Arguments:
        """Return the same call with `change` of each tensor."""
        weight = None if self.weight is None else change(self.weight)
        return Arguments(change(self.input), change(self.target), weight, self.options)


@dataclass(frozen=True)
class Call:
    """A call that PyTorch's tests make, and what they expect of it.

    sample: whether every test makes it; the reference inputs are for the values alone. gradients: for each of
    grad_outputs. gradient_of_sum: for the sum of the loss, whose grad_output autograd expands.
    """

    sample: bool
    arguments: Arguments
    loss: Tensor
    reference: Tensor
    grad_outputs: tuple[Tensor, Tensor]
    gradients: tuple[Tensor, Tensor]
    gradient_of_sum: Tensor


@dataclass(frozen=True)
class Inputs:
    """The calls that one of PyTorch's test files makes, the invalid ones by a name."""

    calls: tuple[Call, ...]
    invalid: Mapping[str, Arguments]

    @property
    def samples(self) -> tuple[Call, ...]:
        """The calls that every test makes."""
        return tuple(call for call in self.calls if call.sample)


def inputs() -> Mapping[str, Inputs]:
    """Return by file the inputs of PyTorch's tests, the same in every run.

    Raises ModuleNotFoundError where expecttest is missing, which PyTorch's test machinery imports.
    """
    torch.manual_seed(0)
    return {
        "test_ops": Inputs(tuple(_operator_calls()), dict(_operator_errors())),
        "test_modules": Inputs(tuple(_module_calls()), dict(_module_errors())),
        "test_nn": Inputs(tuple(_functional_calls()), {"unknown reduction": _unknown_reduction()}),
    }


def array_of(tensor: Tensor) -> NDArray[Any]:
    """Return an array that shares a tensor's memory and knows what lies between its elements."""
    plain = tensor.detach()
    if plain.is_contiguous():
        contiguous: NDArray[Any] = plain.numpy()
        return contiguous
    whole = torch.empty(0, dtype=plain.dtype).set_(plain.untyped_storage()).numpy()
    strides = [step * plain.element_size() for step in plain.stride()]
    return as_strided(whole[plain.storage_offset() :], plain.shape, strides)


def internal(name: str) -> Any:
    """Return a module of PyTorch's test machinery, which carries no types."""
    return importlib.import_module(f"torch.testing._internal.{name}")


def _arguments(tensors: Sequence[Tensor], options: Mapping[str, Any]) -> Arguments:
    """Return a call of input and target with the operator's defaults filled in."""
    x, y = tensors
    filled = {**DEFAULTS, **options}
    weight = filled.pop("weight")
    return Arguments(x.detach(), y, weight, filled)


def _call(arguments: Arguments, sample: bool = True) -> Call:
    """Ask eager and the reference function of PyTorch's tests about a call."""
    a = arguments
    x = a.input.clone().requires_grad_()
    loss = multi_margin_loss(x, a.target, weight=a.weight, **a.options)
    grad_outputs = torch.randn_like(loss), torch.randn_like(loss)  # as the tests of layouts and devices draw them
    first, second = (torch.autograd.grad(loss, x, g, retain_graph=True)[0] for g in grad_outputs)
    (of_sum,) = torch.autograd.grad(loss.sum(), x)
    reference = internal("common_nn").multimarginloss_reference(a.input, a.target, weight=a.weight, **a.options)
    return Call(sample, a, loss.detach(), reference, grad_outputs, (first, second), of_sum)


def _operator() -> Any:
    return next(o for o in internal("common_methods_invocations").op_db if o.name == "nn.functional.multi_margin_loss")


def _operator_calls() -> Iterator[Call]:
    for dtype in DTYPES:
        for made in _operator().sample_inputs("cpu", dtype):
            yield _call(_arguments((made.input, *made.args), made.kwargs))
        for made in _operator().reference_inputs("cpu", dtype):
            yield _call(_arguments((made.input, *made.args), made.kwargs), sample=False)


def _operator_errors() -> Iterator[tuple[str, Arguments]]:
    """Yield the invalid calls, with one error each.

    PyTorch's own have random floating targets too, which its tests tell from the error in question by the message.
    """
    for number, error in enumerate(_operator().error_inputs("cpu")):
        made = error.sample_input
        (target,) = made.args
        dtype = target.dtype if "scalar type" in error.error_regex else torch.int64
        yield f"error input {number}", _arguments((made.input, torch.zeros_like(target, dtype=dtype)), made.kwargs)


def _module_inputs(kind: str) -> Iterator[Any]:
    module = next(m for m in internal("common_modules").module_db if m.module_cls is torch.nn.MultiMarginLoss)
    for dtype in DTYPES:
        made = getattr(module, f"{kind}_func")
        yield from made(module, device="cpu", dtype=dtype, requires_grad=False, training=False)


def _module_calls() -> Iterator[Call]:
    for made in _module_inputs("module_inputs"):
        yield _call(_arguments(made.forward_input.args, made.constructor_input.kwargs))


def _module_errors() -> Iterator[tuple[str, Arguments]]:
    for number, error in enumerate(_module_inputs("module_error_inputs")):
        made = error.module_error_input
        yield f"error input {number}", _arguments(made.forward_input.args, made.constructor_input.kwargs)


def _functional_calls() -> Iterator[Call]:
    """Yield the calls that common_nn's tests hide in closures: they are recorded instead of made."""
    with internal("common_utils").set_default_dtype(torch.double):
        for test in internal("common_nn").get_new_module_tests():
            if "multimargin" in test.get("fullname", "").lower():
                with mock.patch("torch.nn.functional.multi_margin_loss") as recorded:
                    test["constructor"]()(test["input_fn"]())
                yield _call(_arguments(recorded.call_args.args, recorded.call_args.kwargs))


def _unknown_reduction() -> Arguments:
    return _arguments((torch.randn(3, 5), torch.tensor([1, 0, 4])), {"reduction": "invalid"})
