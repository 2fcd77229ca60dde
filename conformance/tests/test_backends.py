"""Naming a backend: what each name leads to, and how it fails when it leads nowhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from multimargin_conformance import BackendNotStarted, UnknownBackend, check
from multimargin_conformance.adapters import SHIPPED, names, resolve
from multimargin_reference import multi_margin_loss
from multimargin_reference.formats import DTYPES

KERNEL = """
from multimargin_conformance import Capabilities
from multimargin_reference import multi_margin_loss, multi_margin_loss_backward

__version__ = "2.5"
number = 7

class Kernel:
    name = "mine"
    def forward(self, input, target, **options):
        return multi_margin_loss(input, target, **options)
    def backward(self, grad_output, input, target, **options):
        return multi_margin_loss_backward(grad_output, input, target, **options)

class Limited(Kernel):
    capabilities = Capabilities(p=(1,))

class Outer:
    class Inner(Kernel):
        pass

class Needy(Kernel):
    def __init__(self, device):
        pass

class Ends(Kernel):
    def __init__(self):
        raise SystemExit(0)

instance = Kernel()
bad_capabilities = type("Bad", (Kernel,), {"capabilities": "all"})

def forward(input, target, **options):
    return multi_margin_loss(input, target, **options)

def __getattr__(name):
    if name == "explodes":
        raise RuntimeError("no such thing\\nas this")
    raise AttributeError(name)
"""

TENSORS = """
import torch
from torch.nn import functional

def function(input, target, *, p, margin, weight, reduction):
    return functional.multi_margin_loss(input, target, p=p, margin=margin, weight=weight, reduction=reduction)

class Module(torch.nn.Module):
    def __init__(self, p, margin, weight, reduction):
        super().__init__()
        self.loss = torch.nn.MultiMarginLoss(p=p, margin=margin, weight=weight, reduction=reduction)
    def forward(self, input, target):
        return self.loss(input, target)

class Raw:
    version = "9.9"
    def forward(self, input, target, *, p, margin, weight, reduction):
        with torch.no_grad():
            return function(input, target, p=p, margin=margin, weight=weight, reduction=reduction)
    def backward(self, grad_output, input, target, *, p, margin, weight, reduction):
        x = input.clone().requires_grad_()
        function(x, target, p=p, margin=margin, weight=weight, reduction=reduction).backward(grad_output)
        return x.grad

raw = Raw()
made = Module(1, 1.0, None, "mean")
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A current directory with modules of its own; what importing them leaves behind is undone."""
    (tmp_path / "mykernel.py").write_text(KERNEL, encoding="utf-8")
    (tmp_path / "mytensors.py").write_text(TENSORS, encoding="utf-8")
    for name, text in BROKEN.items():
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith(("my", "broken_")):
            del sys.modules[name]


BROKEN = {
    "broken_import": "import a_module_that_does_not_exist\n",
    "broken_syntax": "def forward(:\n",
    "broken_raises": "raise RuntimeError('first line\\nsecond line')\n",
    "broken_exit": "import sys\nsys.exit(0)\n",
    "broken_encoding": "# \x00\n",
    "broken_needs_torch": "raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')\n",
}
VECTORS = "*/????????????????/*"  # alone: the oracle takes its time for large calls


def conformant(spec: str, select: str = "") -> bool:
    report = check(spec, clause="VALUE-[12],GRADIENT-1,REJECT-3", select=select)
    assert report.counts["error"] == 0
    assert report.planned > 100
    return report.conformant


@pytest.mark.parametrize(("name", "select"), [("oracle", VECTORS), ("reference", "")])
def test_shipped_backends_are_right(name: str, select: str) -> None:
    subject = resolve(name)
    assert (subject.name, subject.spec) == (name, name)
    assert subject.backward is not None
    assert conformant(name, select)


def test_every_shipped_backend_is_listed_and_described() -> None:
    assert set(names()) >= set(SHIPPED)
    assert all(names().values())


@pytest.mark.parametrize(
    "spec",
    [
        "py:mykernel:Kernel",
        "py:mykernel:instance",
        "py:mykernel:Outer.Inner",
        "py:mykernel:forward",
        "py:mykernel:Limited",
        "py:mykernel.py:Kernel",
        "py:./mykernel.py:Kernel",
        "py:multimargin_conformance.adapters.reference:ReferenceBackend",
    ],
)
@pytest.mark.usefixtures("folder")
def test_python_names(spec: str) -> None:
    subject = resolve(spec)
    assert (subject.name, subject.spec) == (spec, spec)
    assert (subject.backward is None) == spec.endswith(":forward")
    assert conformant(spec)


def test_an_absolute_path(folder: Path) -> None:
    assert conformant(f"py:{folder / 'mykernel.py'}:Kernel")


@pytest.mark.usefixtures("folder")
def test_the_current_directory_is_searched_first(folder: Path) -> None:
    (folder / "mykernel2.py").write_text("here = True\ndef forward(*_, **__): raise ValueError\n", encoding="utf-8")
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mykernel2.py").write_text("here = False\n", encoding="utf-8")
    sys.path.append(str(elsewhere))
    assert resolve("py:mykernel2:forward").forward.__module__ == "mykernel2"
    assert sys.modules["mykernel2"].here


@pytest.mark.usefixtures("folder")
def test_the_version_is_the_modules() -> None:
    assert resolve("py:mykernel:Kernel").version == "2.5"


@pytest.mark.usefixtures("folder")
def test_declared_capabilities_are_kept() -> None:
    assert resolve("py:mykernel:Limited").capabilities.p == (1,)
    assert check("py:mykernel:Limited", clause="VALUE-[12]").claim.startswith("training, p = 1 only")


@pytest.mark.parametrize(
    "spec", ["", "nothing", "Torch", "py", "py:", "torch:", "cmd:./a", "py:mykernel", "py::Kernel"]
)
@pytest.mark.usefixtures("folder")
def test_names_that_nothing_answers_to(spec: str) -> None:
    with pytest.raises(UnknownBackend) as caught:
        resolve(spec)
    assert "\n" not in str(caught.value)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UnknownBackend, match=r"oracle, paddle, reference, .*torch"):
        resolve("nothing")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("py:no_such_module_anywhere:attr", "ModuleNotFoundError"),
        ("py:no/such/file.py:attr", "no file no/such/file.py"),
        ("py:mykernel:absent", "has no 'absent'"),
        ("py:mykernel:Kernel.absent", "has no 'Kernel.absent'"),
        ("py:mykernel:number", "int, neither callable nor with a forward"),
        ("py:mykernel:explodes", "RuntimeError"),
        ("py:mykernel:Needy", "Needy"),
        ("py:mykernel:Ends", "SystemExit"),
        ("py:mykernel:bad_capabilities", "capabilities is a str"),
        ("py:broken_import:attr", "a_module_that_does_not_exist"),
        ("py:broken_syntax:attr", "SyntaxError"),
        ("py:broken_raises:attr", "RuntimeError: first line"),
        ("py:broken_exit:attr", "SystemExit"),
        ("py:broken_exit.py:attr", "SystemExit"),
        ("py:broken_encoding:attr", "Error"),
        ("py:broken_needs_torch:attr", "install PyTorch"),
        ("py:.relative:attr", "TypeError"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_backends_that_cannot_be_started(spec: str, message: str) -> None:
    with pytest.raises(BackendNotStarted, match=message):
        resolve(spec)
    with pytest.raises(BackendNotStarted):
        check(spec)


@pytest.mark.usefixtures("folder")
def test_a_module_that_failed_to_import_is_not_left_behind() -> None:
    with pytest.raises(BackendNotStarted):
        resolve("py:broken_raises.py:attr")
    assert "broken_raises" not in sys.modules


def test_a_file_named_as_a_library_does_not_take_its_place(folder: Path) -> None:
    (folder / "numpy.py").write_text("def forward(*_, **__): raise ValueError\n", encoding="utf-8")
    assert callable(resolve("py:numpy.py:forward").forward)
    assert sys.modules["numpy"] is np


ALIKE = ("torch:mytensors.py:function", "torch:mytensors:Raw", "torch:torch.nn.functional:multi_margin_loss")


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        ("torch:mytensors:function", "TensorBackend"),
        ("torch:mytensors.py:function", "TensorBackend"),
        ("torch:mytensors:Module", "TensorBackend"),
        ("torch:mytensors:Raw", "RawKernel"),
        ("torch:mytensors:raw", "RawKernel"),
        ("torch:torch.nn:MultiMarginLoss", "TensorBackend"),
        ("torch:torch.nn.functional:multi_margin_loss", "TensorBackend"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_tensor_names(spec: str, kind: str) -> None:
    pytest.importorskip("torch")
    subject = resolve(spec)
    assert type(subject.forward.__self__).__name__ == kind  # type: ignore[attr-defined]
    assert (subject.name, subject.device) == (spec, "cpu")
    assert subject.backward is not None
    if spec not in ALIKE:  # to another that is checked
        assert conformant(spec)


@pytest.mark.usefixtures("folder")
def test_a_raw_kernels_version_is_its_own() -> None:
    pytest.importorskip("torch")
    assert resolve("torch:mytensors:raw").version == "9.9"


@pytest.mark.parametrize("spec", ["torch:mytensors:made", "torch:mytensors:absent", "torch:mykernel:number"])
@pytest.mark.usefixtures("folder")
def test_tensor_names_that_lead_to_no_kernel(spec: str) -> None:
    pytest.importorskip("torch")
    with pytest.raises(BackendNotStarted):
        resolve(spec)


@pytest.mark.parametrize("spec", ["torch", "torch-decomposition", "torch-reference", "torch:mytensors:raw"])
@pytest.mark.usefixtures("folder")
def test_a_device_that_is_not_there_is_a_failure_to_start(spec: str) -> None:
    pytest.importorskip("torch")
    with pytest.raises(BackendNotStarted, match="nonsense"):
        check(spec, device="nonsense:7")


@pytest.mark.parametrize("dtype", DTYPES)
def test_tensors_round_trip(dtype: str) -> None:
    pytest.importorskip("torch")
    from multimargin_conformance.adapters.torch import to_array, to_tensor

    kind = DTYPES[dtype]
    special = np.array([[0.5, -0.0, np.nan], [np.inf, -np.inf, 1 + 2**-7]]).astype(kind)
    for array in layouts(special):
        tensor = to_tensor(array)
        back = to_array(tensor)
        assert str(tensor.dtype) == f"torch.{dtype}"
        assert (back.dtype, back.shape) == (array.dtype, array.shape)
        assert back.tobytes() == array.tobytes()


def layouts(array: Any) -> list[Any]:
    memory = np.zeros(array.nbytes + 1, dtype=np.uint8)
    unaligned = memory[1:].view(array.dtype).reshape(array.shape)
    unaligned[...] = array
    read_only = array.copy()
    read_only.flags.writeable = False
    return [
        array,
        array.T,
        array[::-1, ::-1],
        array[:, ::2],
        array[0, 0, ...],
        array[:0],
        np.broadcast_to(array[:1], (4, 3)),
        unaligned,
        read_only,
    ]


def test_absent_tensors_stay_absent() -> None:
    pytest.importorskip("torch")
    from multimargin_conformance.adapters.torch import to_array, to_tensor

    assert to_tensor(None) is None
    assert to_array(0.5) == 0.5


def test_integer_targets_stay_integers() -> None:
    torch = pytest.importorskip("torch")
    from multimargin_conformance.adapters.torch import to_tensor

    assert to_tensor(np.array([2**62, -1])).tolist() == [2**62, -1]
    assert to_tensor(np.array(1)).dtype == torch.int64


def test_a_live_function_needs_no_name() -> None:
    assert check(multi_margin_loss, clause="VALUE-7").backend["name"] == "multi_margin_loss"
