"""The wheel holds what it should, and imports point one way (CONTRIBUTING.md)."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {  # package: the packages of ours that it may import beside itself
    "multimargin_reference": set(),
    "multimargin_reports": set(),
    "multimargin_vectors": {"multimargin_reference"},
    "multimargin_conformance": {"multimargin_reference", "multimargin_reports", "multimargin_vectors"},
}
TRITON = {"multimargin_reference/triton_kernels.py", "multimargin_reference/triton_loss.py"}
NUMBA = {f"multimargin_reference/numba_{name}.py" for name in ("ahead", "engine", "kernels", "rows")}
TORCH = re.compile(
    r"multimargin_reference/(aten|torch|torch_operators|triton_loss|numba_loss)\.py|"
    r"multimargin_conformance/adapters/(torch|torch_compile|tensors|torch_class/\w+)\.py|"
    r"multimargin_conformance/worker/frameworks/(torch_operator|onnx_export|relatives)\.py"
)
SOURCES = {name: ROOT / name.removeprefix("multimargin_") / name for name in PACKAGES}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The names of the files in a wheel that is built here and now."""
    pytest.importorskip("hatchling", reason="hatchling builds the wheel; it is in multimargin[dev]")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("multimargin-*.whl")
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


def test_the_wheel_holds_every_file_of_the_packages_and_nothing_else(wheel: list[str]) -> None:
    files = [
        path
        for source in SOURCES.values()
        for path in source.rglob("*")
        if path.is_file() and path.parent.name != "__pycache__"
    ]
    expected = {path.relative_to(ROOT).as_posix().split("/", 1)[1] for path in files}
    assert {name for name in wheel if ".dist-info/" not in name} == expected


@pytest.mark.parametrize("package", PACKAGES)
def test_the_wheel_holds_each_package_and_its_type_marker(wheel: list[str], package: str) -> None:
    assert {f"{package}/__init__.py", f"{package}/py.typed"} <= set(wheel)


def test_the_wheel_holds_what_scaffold_writes(wheel: list[str]) -> None:
    folder = "multimargin_conformance/templates"
    losses = {f"{folder}/python/loss.py", f"{folder}/cpp/loss.cpp", f"{folder}/javascript/loss.mjs"}
    assert losses <= set(wheel)
    assert {f"{folder}/cpp/{name}" for name in ("Makefile", "README.md", "adapter.cpp", "json.hpp")} <= set(wheel)


def test_the_wheel_holds_the_data(wheel: list[str]) -> None:
    vectors = {name for name in wheel if name.startswith("multimargin_vectors/data/")}
    assert {"multimargin_vectors/data/manifest.json", "multimargin_vectors/data/VALUE.json"} <= vectors
    schemas = {name for name in wheel if name.endswith(".schema.json")}
    assert schemas == {
        "multimargin_vectors/vectors.schema.json",
        "multimargin_reports/log.schema.json",
        "multimargin_reports/report.schema.json",
        "multimargin_conformance/protocol.schema.json",
    }


def test_the_wheel_holds_no_tests_and_the_license(wheel: list[str]) -> None:
    assert [name for name in wheel if "tests/" in name or Path(name).name.startswith("test_")] == []
    assert [name for name in wheel if name.endswith("/licenses/LICENSE")]


def _modules() -> Iterator[tuple[str, str, ast.Module]]:
    for package, source in SOURCES.items():
        for path in sorted(source.rglob("*.py")):
            name = f"{package}/{path.relative_to(source).as_posix()}"
            yield package, name, ast.parse(path.read_text(encoding="utf-8"))


def _imported(tree: ast.Module) -> set[str]:
    """Return the top-level names of all absolute imports, those in functions included."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


def test_imports_point_one_way() -> None:
    wrong = [
        f"{name} imports {other}"
        for package, name, tree in _modules()
        for other in sorted(_imported(tree) & (PACKAGES.keys() - PACKAGES[package] - {package}))
    ]
    assert wrong == []


def test_torch_is_imported_in_its_adapters_alone() -> None:
    importing = {name for _, name, tree in _modules() if "torch" in _imported(tree)}
    assert {name for name in importing if not TORCH.fullmatch(name)} == set()
    assert {"multimargin_reference/torch.py", "multimargin_conformance/adapters/torch.py"} <= importing


def test_triton_is_imported_for_its_kernels_alone() -> None:
    assert {name for _, name, tree in _modules() if "triton" in _imported(tree)} == TRITON


def test_numba_is_imported_for_its_kernels_alone() -> None:
    assert {name for _, name, tree in _modules() if "numba" in _imported(tree)} == NUMBA


def test_the_import_rules_see_imports_in_functions() -> None:
    text = "def f():\n import torch.nn\n from multimargin_reports.model import Report\nfrom . import x\n"
    assert _imported(ast.parse(text)) == {"torch", "multimargin_reports"}
