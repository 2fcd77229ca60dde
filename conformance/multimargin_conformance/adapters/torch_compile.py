"""torch.compile of torch.nn.functional.multi_margin_loss: by inductor, and by aot_eager.

Compiling costs seconds a graph, so sizes, strides and margin are symbols: one graph serves all calls of the same
dtypes, ranks, p, reduction and kind of layout, with or without a weight; only sizes 0 and 1 have graphs of their own.
Nothing can fall back to eager code unseen: with fullgraph=True PyTorch raises where it would, and the function that is
compiled refuses to run uncompiled. A target out of range can abort the process under inductor: such calls go to a
throwaway one.
"""

from __future__ import annotations

import logging
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
import torch._dynamo.config
import torch._dynamo.utils
from numpy.typing import NDArray

from multimargin_conformance.adapters.throwaway import Child
from multimargin_conformance.adapters.torch import TensorBackend
from multimargin_conformance.backend import BackendNotStarted
from multimargin_conformance.outcome import Concluded, Malformed, text_of

SETTINGS = {
    "recompile_limit": 1 << 20,  # of graphs a function; past it nothing more would be compiled
    "accumulated_recompile_limit": 1 << 20,
    "suppress_errors": False,  # True would run eager code where compiling fails
    "specialize_float": False,  # so that margin can be a symbol
}
LOUD = ("torch._subclasses.fake_tensor",)  # loggers that print a traceback for each call that is rejected in tracing
FLOATS_AS_TENSORS = "TENSORIFY_PYTHON_SCALARS"  # PyTorch's own switch
SOURCE = "import torch\nmulti_margin_loss = torch.compile(torch.nn.functional.multi_margin_loss, backend={!r})\n"


class Compiled(TensorBackend):
    """The function compiled by one of torch.compile's backends; its calls are made in this process, all of them."""

    def __init__(self, compiler: str, device: str = "cpu") -> None:
        self._compiled = torch.compile(refusing_eager, backend=compiler, dynamic=True, fullgraph=True)
        self._symbolic = compiler == "aot_eager"
        super().__init__(self._call, compiler, device)
        for logger in () if "TORCH_LOGS" in os.environ else LOUD:
            logging.getLogger(logger).setLevel(logging.CRITICAL)

    def _call(self, *arguments: Any, **options: Any) -> Any:
        _set_limits()
        with _floats_stay_floats() if self._symbolic else nullcontext():
            return self._compiled(*arguments, **options)


class Guarded:
    """A compiled backend whose calls with a target out of range are made in a throwaway process.

    Raises BackendNotStarted where nothing can be compiled, such as without a C++ compiler.
    """

    compiles, framework = True, "torch"

    def __init__(self, compiler: str, name: str, device: str = "cpu") -> None:
        self.name, self.device, self.version = name, device, torch.__version__
        self.source = SOURCE.format(compiler)
        self.here = Compiled(compiler, device)
        self.away = Child(f"{__name__}:Compiled", compiler, device)
        _probe(self.here, name)

    def forward(self, input: NDArray[Any], target: NDArray[Any], **options: Any) -> Any:
        """Return the loss."""
        if not out_of_range(input, target):
            return self.here.forward(input, target, **options)
        return self._away("forward", {"input": input, "target": target}, options)

    def backward(self, grad_output: NDArray[Any], input: NDArray[Any], target: NDArray[Any], **options: Any) -> Any:
        """Return the gradient with respect to input, by autograd through the compiled function."""
        if not out_of_range(input, target):
            return self.here.backward(grad_output, input, target, **options)
        return self._away("backward", {"grad_output": grad_output, "input": input, "target": target}, options)

    def _away(self, method: str, arrays: dict[str, NDArray[Any]], options: dict[str, Any]) -> Any:
        weight = options.pop("weight")
        return self.away.call(method, {**arrays, "weight": weight}, options)


class TorchCompile(Guarded):
    """torch.compile with its default backend, inductor: generated C++ on a CPU, Triton on a GPU."""

    def __init__(self, device: str = "cpu") -> None:
        super().__init__("inductor", "torch-compile", device)


class TorchCompileAot(Guarded):
    """torch.compile with aot_eager: traced, differentiated and decomposed, then run by eager kernels."""

    def __init__(self, device: str = "cpu") -> None:
        super().__init__("aot_eager", "torch-compile-aot", device)


def refusing_eager(input: Any, target: Any, *, p: Any, margin: Any, weight: Any, reduction: Any) -> Any:
    """Return the loss; the test of compiling is a constant in compiled code and false in every other."""
    if not torch.compiler.is_dynamo_compiling():
        raise Concluded(Malformed("a result of uncompiled code, but should be compiled"))
    return torch.nn.functional.multi_margin_loss(input, target, p=p, margin=margin, weight=weight, reduction=reduction)


def out_of_range(input: NDArray[Any], target: NDArray[Any]) -> bool:
    """Return whether a target is no class of the input."""
    classes = input.shape[-1] if input.ndim else 1
    return bool(target.dtype.kind in "iu" and ((target < 0) | (target >= classes)).any())


def _probe(backend: Compiled, name: str) -> None:
    """Compile one graph, so that what keeps every call from being compiled is said once, before the run."""
    try:
        x, y = torch.zeros(2, 3, device=backend.device), torch.zeros(2, dtype=torch.int64, device=backend.device)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch's own, which a caller may have made errors
            backend.function(x, y, p=1, margin=1.0, weight=None, reduction="mean")
    except Concluded:
        message = "torch.compile is switched off here: unset TORCHDYNAMO_DISABLE and TORCH_COMPILE_DISABLE"
        raise BackendNotStarted(f"{name}: {message}") from None
    except Exception as error:
        hint = "; inductor needs a C++ compiler (CXX, or g++ in PATH)" if backend.name == "inductor" else ""
        raise BackendNotStarted(f"{name}: {type(error).__name__}: {text_of(error)}{hint}") from error


def _set_limits() -> None:
    """Set what decides whether code is compiled: in each call, for in some versions a thread has its own settings.

    They are left as they are set: to restore them would undo another thread's.
    """
    for setting, value in SETTINGS.items():
        if getattr(torch._dynamo.config, setting) != value:
            setattr(torch._dynamo.config, setting, value)


_lock = threading.Lock()
_inside: list[str | None] = []  # what the switch was before, once for every call that is under way


@contextmanager
def _floats_stay_floats() -> Iterator[None]:
    """Switch off that floats become tensors.

    aot_eager has no tensor form of `margin - u` and would make each margin a constant, with a graph of its own.
    """
    with _lock:
        _inside.append(os.environ.get(FLOATS_AS_TENSORS) if not _inside else _inside[0])
        _switch("0")
    try:
        yield
    finally:
        with _lock:
            before = _inside.pop()
            if not _inside:
                _switch(before)


def _switch(value: str | None) -> None:
    """Set the switch, and let it be read again: PyTorch 2.13 reads it once in a process and keeps what it read."""
    if value is None:
        os.environ.pop(FLOATS_AS_TENSORS, None)
    else:
        os.environ[FLOATS_AS_TENSORS] = value
    if kept := getattr(torch._dynamo.utils, "_is_tensorify_enabled", None):
        getattr(kept, "cache_clear", lambda: None)()
