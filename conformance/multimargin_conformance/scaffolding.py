"""Adapters to begin with: the protocol in a language, with the loss left to fill in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path


class ScaffoldError(ValueError):
    """A folder that an adapter cannot be written to; the text says why and what to do."""


@dataclass(frozen=True)
class Template:
    """What is written: its folder in the package, the command that builds it ("" for none) and the one that runs it.

    loss: the file to fill in.
    """

    folder: str
    build: str
    run: str
    loss: str


TEMPLATES: Mapping[str, Template] = {
    "python": Template("python", "", "python3 adapter.py", "loss.py"),
    "c++": Template("cpp", "make", "./adapter", "loss.cpp"),
    "javascript": Template("javascript", "", "node adapter.mjs", "loss.mjs"),
}


def contents(language: str) -> dict[str, bytes]:
    """Return the files of a language's adapter by name. Raises KeyError for a language that is not in TEMPLATES."""
    folder = files("multimargin_conformance") / "templates" / TEMPLATES[language].folder
    found = {entry.name: entry.read_bytes() for entry in folder.iterdir() if entry.is_file()}
    return dict(sorted(found.items()))


def scaffold(language: str, folder: Path, force: bool = False) -> list[Path]:
    """Write an adapter to a folder, which is made; return the files.

    Raises ScaffoldError for a folder that is not empty (unless forced: files of the same names are then replaced) or
    cannot be written to, KeyError for a language that is not in TEMPLATES.
    """
    made = contents(language)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not force and any(folder.iterdir()):
            raise ScaffoldError(f"{folder} is not empty: name another folder, or add --force to replace files in it")
        for name, data in made.items():
            (folder / name).write_bytes(data)
    except OSError as error:
        raise ScaffoldError(f"{error.filename or folder}: {error.strerror}: name another folder") from error
    return [folder / name for name in made]
