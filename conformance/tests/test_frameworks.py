"""Adapters of other frameworks: what can be known of them where the frameworks are missing, and where they are not."""

from __future__ import annotations

import importlib
import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from multimargin_conformance import BackendNotStarted, Capabilities, UnknownBackend, check
from multimargin_conformance.isolation import Limits
from multimargin_conformance.worker import frameworks
from multimargin_conformance.worker.frameworks import FRAMEWORKS, composite
from multimargin_reports.model import replay_command

SLOW = "MULTIMARGIN_SLOW" in os.environ

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(frameworks.__file__).parent
VECTORS = "*/float32/????????????????/*"  # each size is compiled
FUNCTION = """
import jax.numpy as jnp

def loss(input, target, *, p, margin, weight, reduction):
    z = margin - jnp.take_along_axis(input, target[:, None], 1) + input
    h = jnp.where((z {} 0) & (jnp.arange(input.shape[1]) != target[:, None]), z, 0) ** p
    rows = (h if weight is None else h * weight[target][:, None]).sum(1) / input.shape[1]
    return rows if reduction == "none" else getattr(jnp, reduction)(rows)
"""


class Composite:
    """The composite of the array API, over NumPy itself."""

    capabilities = Capabilities(dtypes=("float32", "float64"))

    def forward(self, input: Any, target: Any, *, p: Any, margin: Any, weight: Any, reduction: Any) -> Any:
        composite.checked(input, target, p, margin, weight, reduction)
        x, y = composite.batch(input, target)
        found = composite.loss(np, x, y, p=int(p), margin=float(margin), weight=weight, reduction=reduction)
        return np.reshape(found, target.shape if reduction == "none" else ())

    def backward(
        self, grad_output: Any, input: Any, target: Any, *, p: Any, margin: Any, weight: Any, reduction: Any
    ) -> Any:
        composite.checked(input, target, p, margin, weight, reduction)
        x, y = composite.batch(input, target)
        g = np.reshape(grad_output, (-1,) if reduction == "none" else ())
        options: dict[str, Any] = {"p": int(p), "margin": float(margin), "weight": weight, "reduction": reduction}
        return composite.gradient(np, g, x, y, **options).reshape(input.shape)


def test_the_composite_fails_where_numpy_wraps_an_index_and_nowhere_else() -> None:
    report = check(Composite(), dtypes=None if SLOW else ["float32"])
    assert report.valid
    assert {verdict.clause for verdict in report.failures} == {"REJECT-3"}


@pytest.mark.parametrize(("rows", "classes"), [(1, 1), (4, 5), (5, 4), (0, 3), (17, 64)])
def test_padded_arrays_hold_what_was_given_and_zeros(rows: int, classes: int) -> None:
    x, y, w = np.ones((rows, classes), np.float32), np.ones(rows, np.int64), np.ones(classes, np.float32)
    wide_x, wide_y, wide_w, margin, *sizes = composite.padded(x, y, w, 2)
    assert (margin, sizes) == (2.0, [rows, classes])
    assert (wide_x.sum(), wide_y.sum(), wide_w.sum()) == (rows * classes, rows, classes)
    assert wide_x.shape == (len(wide_y), len(wide_w))
    assert all(size in (4, 16, 64) for size in wide_x.shape)
    assert (wide_x.dtype, wide_y.dtype, wide_w.dtype) == (x.dtype, y.dtype, w.dtype)


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_an_adapter_is_one_file_that_needs_nothing_of_multimargin(name: str) -> None:
    module, attribute, text = FRAMEWORKS[name]
    source = (FOLDER / f"{module}.py").read_text(encoding="utf-8")
    assert f"class {attribute}" in source or f"def {attribute}(" in source
    assert "multimargin_" not in source
    assert len(source.splitlines()) < 200
    assert text


@pytest.mark.parametrize("isolate", [True, False])
def test_a_framework_that_is_missing_is_said_to_be(isolate: bool) -> None:
    with pytest.raises(BackendNotStarted, match=r"mindspore: ModuleNotFoundError: No module named 'mindspore'"):
        check("mindspore", isolate=isolate)


def test_an_adapter_runs_under_an_interpreter_without_multimargin(tmp_path: Path) -> None:
    """A stand-in for PaddlePaddle is all that this interpreter has besides NumPy."""
    pytest.importorskip("torch", reason="PyTorch is not installed")
    (tmp_path / "paddle.py").write_text(STAND_IN, encoding="utf-8")
    python = tmp_path / "python"
    packages = Path(np.__file__).parents[1]
    hidden = "import sys; sys.modules.update(multimargin_conformance=None, multimargin_reference=None)"
    (tmp_path / "sitecustomize.py").write_text(hidden, encoding="utf-8")
    python.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path}:{packages} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    report = check("paddle", clause="VALUE-4,GRADIENT-4,SHAPE-2", limits=Limits(python=str(python)))
    assert report.backend["version"] == "a stand-in"
    assert report.conformant
    assert report.backend["python"] == str(python)
    assert replay_command(report.backend, "x").endswith(f"--backend paddle --device cpu --python {python}")


STAND_IN = """
import sys
import torch
from types import SimpleNamespace

assert sys.modules["multimargin_conformance"] is None
__version__ = "a stand-in"


def set_device(name):
    assert name == "cpu"


def to_tensor(array):
    return Tensor(array)


class Tensor:
    def __init__(self, array):
        self.tensor, self.stop_gradient = torch.tensor(array), True

    def numpy(self):
        return self.tensor.detach().numpy()


def _loss(input, label, weight, **options):
    input.tensor.requires_grad_(not input.stop_gradient)
    found = Tensor(0.0)
    weight = None if weight is None else weight.tensor
    found.tensor = torch.nn.functional.multi_margin_loss(input.tensor, label.tensor, weight=weight, **options)
    return found


def grad(outputs, inputs, grad_outputs):
    found = Tensor(0.0)
    (found.tensor,) = torch.autograd.grad(outputs[0].tensor, inputs[0].tensor, grad_outputs[0].tensor)
    return [found]


nn = SimpleNamespace(functional=SimpleNamespace(multi_margin_loss=_loss))
"""


def test_pytorchs_operator_is_found_by_numpy_alone() -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    report = check("torch-operator", clause="VALUE-*,GRADIENT-4,SHAPE-7", select="*/float32/*")
    assert {verdict.clause for verdict in report.failures} == {"SHAPE-7"}


@pytest.mark.parametrize(("sign", "failing"), [(">", set()), (">=", {"GRADIENT-4"})])
def test_a_function_over_jax_arrays_is_a_backend(
    sign: str, failing: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("jax", reason="JAX is not installed: multimargin[jax]")
    (tmp_path / "kernel.py").write_text(FUNCTION.format(sign), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    report = check("jax:kernel.py:loss", only=("shape=batched",), clause="VALUE-4,GRADIENT-4", select=VECTORS)
    assert {verdict.clause for verdict in report.failures} == failing


def test_jax_is_checked_where_it_is_installed() -> None:
    pytest.importorskip("jax", reason="JAX is not installed: multimargin[jax]")
    report = check("jax", clause="VALUE-4,GRADIENT-4,REJECT-4", select=VECTORS)
    assert {verdict.clause for verdict in report.failures} == {"REJECT-4"}  # it never rejects an index


def test_any_namespace_of_the_array_api_is_a_backend() -> None:
    pytest.importorskip("array_api_compat", reason="array-api-compat is not installed: multimargin[array-api]")
    report = check("array-api:numpy", clause="VALUE-*,GRADIENT-4,REJECT-3")
    assert report.valid
    assert report.backend["version"] == np.__version__
    assert {verdict.clause for verdict in report.failures} == {"REJECT-3"}  # NumPy counts it from the end
    assert any("kernel = Namespace('numpy')" in v.failure.snippet for v in report.failures if v.failure)


@pytest.mark.parametrize("pads", [True, False])
def test_padded_for_compilers_it_gives_the_same(pads: bool) -> None:
    pytest.importorskip("array_api_compat", reason="array-api-compat is not installed: multimargin[array-api]")
    module = importlib.import_module("multimargin_conformance.worker.frameworks.array_api")
    namespace = module.Namespace("numpy")
    namespace._pads = pads
    report = check(namespace, clause="VALUE-*,WEIGHT-*,REDUCTION-*,SHAPE-*,GRADIENT-*", select=VECTORS)
    assert report.valid
    assert not report.failures


@pytest.mark.parametrize(
    ("name", "reason"),
    [("math", "math has no asarray"), ("kernel", "kernel has no arange, "), ("nothing", "No module named 'nothing'")],
)
def test_what_is_no_namespace_is_said_to_be_none(
    name: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("array_api_compat", reason="array-api-compat is not installed: multimargin[array-api]")
    (tmp_path / "kernel.py").write_text(NAMESPACE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(BackendNotStarted, match=reason):
        check(f"array-api:{name}")


NAMESPACE = """
class Array:
    def __init__(self, _): pass
    def __array_namespace__(self, **_): return __import__(__name__)

asarray = Array
"""


def test_a_backend_of_no_namespace_is_unknown() -> None:
    with pytest.raises(UnknownBackend, match=r"no backend 'array-api:'; shipped: array-api:MODULE, "):
        check("array-api:")


def test_make_backends_says_what_it_would_do() -> None:
    script = ROOT / "scripts" / "backends.py"
    done = subprocess.run([sys.executable, script, "--dry"], capture_output=True, text=True, check=True)
    environments = runpy.run_path(str(ROOT / "scripts" / "environments.py"))["ENVIRONMENTS"]
    assert [line.split()[0] for line in done.stdout.splitlines()[2 : 2 + len(environments)]] == list(environments)
    assert "mindspore, mindspore-ops" in done.stdout
    wrong = subprocess.run([sys.executable, script, "paddel"], capture_output=True, text=True, check=False)
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.startswith("no environment paddel; there are: jax, mlx")


def test_an_environment_that_cannot_be_made_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    backends = importlib.import_module("backends")
    environments = importlib.import_module("environments")
    monkeypatch.setattr(environments, "ROOT", tmp_path)
    nothing = environments.Environment(("./no-such-package",), 1, 1, "nothing_of_this_name")
    system = environments.Environment((), 1, 1, "json", interpreter=sys.executable)
    monkeypatch.setattr(backends, "ENVIRONMENTS", environments.ENVIRONMENTS)
    monkeypatch.setitem(environments.ENVIRONMENTS, "broken", nothing)
    monkeypatch.setitem(environments.ENVIRONMENTS, "there", system)
    seen: list[str] = []
    monkeypatch.setattr(backends, "publish", lambda name: seen.append(name) or f"{name}: seen")
    monkeypatch.setattr(backends, "write_matrix", lambda: seen.append("the matrix"))
    monkeypatch.setattr(backends, "_backends", lambda name: [f"one of {name}"])
    assert backends.main(["broken", "there"]) == 1
    assert seen == ["one of there", "the matrix"]
    printed = capsys.readouterr()
    assert printed.err.startswith("broken: not made: ")
    assert "no-such-package" in printed.err
    assert "one of there: seen" in printed.out
