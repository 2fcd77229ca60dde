"""The adapters in examples/: built from what is there, and judged as their README says."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from multimargin_conformance import check
from multimargin_conformance.isolation import Limits
from multimargin_conformance.scaffolding import TEMPLATES, scaffold
from multimargin_reports import Report

SLOW = "MULTIMARGIN_SLOW" in os.environ
ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
SHARED = ROOT / "conformance" / "multimargin_conformance" / "templates"
FEW = "VALUE-1,SHAPE-[27],GRADIENT-4,SPECIAL-2,REJECT-5,PURITY-1"
VECTORS = "*/????????????????/*"
EMPTY = {"SHAPE-7", "SHAPE-8"}  # PyTorch returns memory as it finds it for an empty batch
QUICK_BUILD = "CXXFLAGS=-O1 -Wall -Wextra -Werror"  # -O0 makes a run four times as long


def _need(*tools: str) -> None:
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"needs {' and '.join(missing)}")


def _make(folder: Path, build: Path, *options: str) -> str:
    """Build an example and return it as a backend's name."""
    command = ["make", "-C", str(folder), f"BUILD={build}", f"SHARED={SHARED / 'cpp'}", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return f"cmd:{build / 'adapter'}"


@cache
def _cpp() -> str:
    _need("make", "g++")
    build = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, build)
    return _make(EXAMPLES / "cpp", build, QUICK_BUILD)


def _javascript() -> str:
    _need("node")
    return f"cmd:node {EXAMPLES / 'javascript' / 'adapter.mjs'}"


BUILDERS: Mapping[str, Callable[[], str]] = {"cpp": _cpp, "javascript": _javascript}
BOTH = pytest.mark.parametrize("name", BUILDERS)


def _failing(report: Report) -> set[str]:
    return {v.clause for v in report.verdicts if v.status not in ("pass", "skip")}


@BOTH
def test_an_example_speaks_the_protocol_as_published(name: str) -> None:
    report = check(BUILDERS[name](), clause=FEW, select=VECTORS, limits=Limits(validate=True))
    assert (report.conformant, report.complete, _failing(report)) == (True, True, set())
    checked = {v.clause for v in report.verdicts if v.status == "pass"}
    assert {"VALUE-1", "GRADIENT-4", "REJECT-5", "SPECIAL-2", "PURITY-1"} <= checked
    assert {v.dtype for v in report.verdicts} == {"float32", "float64"}


@BOTH
def test_an_example_is_conformant_to_training(name: str) -> None:
    dtype = {"cpp": "float64", "javascript": "float32"}[name]  # lines of float64 are the longest
    report = check(BUILDERS[name](), profile="training", dtypes=None if SLOW else [dtype])
    assert (report.conformant, report.complete, _failing(report)) == (True, True, set())
    assert report.claim == ("training" if SLOW else f"training, {dtype} only")
    skipped = {v.reason for v in report.verdicts if v.status == "skip"}
    assert skipped == {
        f"the adapter does not offer {name} (PROTOCOL.md)" for name in ("held", "layouts", "raw", "threads", "types")
    }


def test_libtorch_has_the_failures_of_eager(tmp_path: Path) -> None:
    _need("make", "g++")
    if find_spec("torch") is None:
        pytest.skip("needs torch")
    backend = _make(EXAMPLES / "libtorch", tmp_path, f"PYTHON={sys.executable}", "CXXFLAGS=-O0")
    some = "VALUE-*,SHAPE-[!45],DTYPE-*,SPECIAL-*,PURITY-*" if SLOW else "VALUE-1,SHAPE-[178],DTYPE-*,SPECIAL-7"
    there, here = check(backend, clause=some), check("torch", clause=some, isolate=False)
    assert (_failing(there), _failing(here)) == (EMPTY, EMPTY)
    assert (there.complete, here.complete) == (True, True)
    assert _behaviours(there) == _behaviours(here)


def _behaviours(report: Report) -> list[Any]:
    """Return what was observed, without what differs from call to call."""
    return [b for b in report.behaviours if b.clause not in EMPTY]


@pytest.mark.parametrize(
    ("language", "folder", "files"),
    [("c++", "cpp", ["loss.cpp"]), ("c++", "libtorch", ["loss.cpp"]), ("javascript", "javascript", ["loss.mjs"])],
)
def test_an_example_is_a_scaffold_with_the_loss_filled_in(language: str, folder: str, files: list[str]) -> None:
    """Of the protocol part an example has nothing of its own: it takes it from where scaffold does."""
    own = {path.name for path in (EXAMPLES / folder).iterdir() if path.suffix in (".cpp", ".hpp", ".mjs")}
    linked = {"adapter.mjs", "protocol.mjs"} if language == "javascript" else set()
    assert own == {*files, *linked}
    assert TEMPLATES[language].loss in files


def test_the_javascript_example_starts_as_the_scaffold_does() -> None:
    example, template = (folder / "adapter.mjs" for folder in (EXAMPLES / "javascript", SHARED / "javascript"))
    assert example.read_text(encoding="utf-8") == template.read_text(encoding="utf-8")


FAULTS = {  # what a wrong loss would be, and a clause that it breaks
    "cpp": (("z > 0) visit", "z >= 0) visit"), "GRADIENT-4"),
    "javascript": (("sum / C", "sum / (C - 1)"), "VALUE-5"),
}


@BOTH
def test_a_scaffold_with_the_loss_of_an_example_is_judged_by_that_loss(name: str, tmp_path: Path) -> None:
    """The example's loss in the files that scaffold writes is right; with a fault it is not."""
    language = {"cpp": "c++", "javascript": "javascript"}[name]
    template = TEMPLATES[language]
    _need(*(["make", "g++"] if template.build else ["node"]))
    scaffold(language, tmp_path)
    (before, after), clause = FAULTS[name]
    text = (EXAMPLES / name / template.loss).read_text(encoding="utf-8")
    assert text.count(before) == 1
    for loss, failing in ((text, set()), (text.replace(before, after), {clause})):
        (tmp_path / template.loss).write_text(loss, encoding="utf-8")
        backend = f"cmd:node {tmp_path / 'adapter.mjs'}"
        if template.build:
            backend = _make(tmp_path, tmp_path, QUICK_BUILD, "SHARED=.")
        assert _failing(check(backend, clause=clause)) == failing
