"""The explained mutants of mutants.toml are about lines that are still there; `make mutants` checks the rest."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path
from typing import Any

import multimargin_reference

FOLDER = Path(multimargin_reference.__file__).parent
EXPLAINED = Path(__file__).resolve().parents[1] / "mutants.toml"


def function(module: str, names: list[str]) -> list[str]:
    """Return the lines, stripped, of a function or a method of a module."""
    text = (FOLDER / f"{module}.py").read_text(encoding="utf-8")
    node: Any = ast.parse(text)
    for name in names:
        node = next(n for n in node.body if isinstance(n, ast.ClassDef | ast.FunctionDef) and n.name == name)
    return [line.strip() for line in text.splitlines()[node.lineno - 1 : node.end_lineno]]


def test_explained_lines_are_there() -> None:
    entries = tomllib.loads(EXPLAINED.read_text(encoding="utf-8"))["mutant"]
    assert entries
    for entry in entries:
        module, *names = entry["function"].split(".")
        lines = function(module, names)
        assert [t for t in entry["removed"].split("\n") if t not in lines] == [], entry
        assert all(added != entry["removed"] for added in entry["added"])
