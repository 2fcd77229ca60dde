"""examples/consume_vectors.py: passes on the vectors, fails when it or they are wrong."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from multimargin_vectors.store import DATA

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "consume_vectors.py"
SABOTAGE = {
    "divisor": (") / c)", ") / (c - 1 or 1))"),
    "target-term": (" if i != t)", ")"),
    "power": ("h * h if p == 2 else h", "h"),
    "weight": ("w[t] * (", "w[0] * ("),
    "hinge-not-clipped": ("max(0.0, margin - x[n * c + t] + x[n * c + i])", "margin - x[n * c + t] + x[n * c + i]"),
    "margin": ("margin - x", "1.0 - x"),
    "reduction": ("len(y) if reduction == ", "c if reduction == "),
}


def _run(script: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", script, *arguments]  # -I: without this repository's packages on the path
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_consumer_passes() -> None:
    done = _run(SCRIPT)
    assert done.returncode == 0, done.stdout + done.stderr
    passed, chosen = map(int, re.findall(r"^(\d+) of (\d+) vectors passed", done.stdout, re.M)[0])
    assert passed == chosen > 500


@pytest.mark.parametrize("name", SABOTAGE)
def test_a_sabotaged_implementation_fails(name: str, tmp_path: Path) -> None:
    text, (old, new) = SCRIPT.read_text(encoding="utf-8"), SABOTAGE[name]
    assert text.count(old) == 1
    sabotaged = tmp_path / "consumer.py"
    sabotaged.write_text(text.replace(old, new), encoding="utf-8")
    done = _run(sabotaged, DATA)
    assert done.returncode == 1, done.stdout
    assert "FAIL" in done.stdout


def _changed(vector: dict[str, Any]) -> None:
    loss = vector["expected"]["loss"]
    loss["lo"] = loss["hi"] = [v + 0.5 for v in loss["lo"]]


def test_a_changed_vector_fails(tmp_path: Path) -> None:
    data = json.loads((DATA / "VALUE.json").read_text(encoding="utf-8"))
    vector = next(v for v in data["vectors"] if v["tier"] == "exact" and v["call"]["input"]["dtype"] == "float64")
    _changed(vector)
    (tmp_path / "VALUE.json").write_text(json.dumps(data), encoding="utf-8")
    done = _run(SCRIPT, tmp_path)
    assert done.returncode == 1
    assert done.stdout.splitlines()[0].startswith(f"FAIL {vector['id']}")
    assert len(done.stdout.splitlines()) == 2


def test_an_empty_folder_is_no_success(tmp_path: Path) -> None:
    assert _run(SCRIPT, tmp_path).returncode == 1


def test_the_consumer_needs_the_standard_library_alone() -> None:
    nodes = list(ast.walk(ast.parse(SCRIPT.read_text(encoding="utf-8"))))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names = plain | {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in names} <= sys.stdlib_module_names
