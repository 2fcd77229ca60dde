"""The golden vectors on disk: one JSON file a clause group and a manifest with SHA-256 sums."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from multimargin_reference.formats import DTYPES
from multimargin_vectors.codec import vector_from_json, vector_to_json
from multimargin_vectors.flags import FLAGS
from multimargin_vectors.model import FORMAT_VERSION, GENERATOR_VERSION, Outline, Vector

DATA = Path(str(files("multimargin_vectors") / "data"))
SCHEMA = Path(str(files("multimargin_vectors") / "vectors.schema.json"))
LARGEST_FILE = 64 << 20  # bytes
NUMBER = {"$ref": "#/$defs/number"}


class VectorFileError(ValueError):
    """A vector file that is not what this version reads; the message says where and why."""


def rendered(vectors: Iterable[Vector]) -> dict[str, str]:
    """Return the text of every file by name, the manifest included."""
    groups: dict[str, list[Vector]] = {}
    for vector in vectors:
        groups.setdefault(vector.group, []).append(vector)
    texts = {f"{group}.json": _file_text(group, members) for group, members in groups.items()}
    sums = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in sorted(texts.items())}
    counts = {f"{group}.json": len(members) for group, members in groups.items()}
    manifest = {"format": "multimargin-vectors", "version": FORMAT_VERSION, "sha256": sums, "vectors": counts}
    return {**texts, "manifest.json": json.dumps(manifest, indent=1, sort_keys=True) + "\n"}


def _file_text(group: str, vectors: list[Vector]) -> str:
    used = sorted({flag for v in vectors for flag in v.flags})
    head = {
        "format": "multimargin-vectors",
        "version": FORMAT_VERSION,
        "generator": GENERATOR_VERSION,
        "group": group,
        "notes": {flag: {"bug": FLAGS[flag][0], "effect": FLAGS[flag][1]} for flag in used},
    }
    body = ",\n".join(json.dumps(vector_to_json(v), separators=(",", ":"), allow_nan=False) for v in vectors)
    return json.dumps(head, indent=1)[:-2] + ',\n "vectors": [\n' + body + "\n]}\n"


def read_file(path: Path, *, validate: bool = True) -> list[Vector]:
    """Return the vectors of one file. Raises VectorFileError where the file is not valid.

    validate: check against the JSON Schema, as for every file that is not this package's own.
    """
    if path.stat().st_size > LARGEST_FILE:
        raise VectorFileError(f"{path} has {path.stat().st_size} bytes, but should have at most {LARGEST_FILE}")
    try:
        data = json.loads(path.read_text(encoding="utf-8"), parse_constant=_not_json)
        if validate:
            _validate(path, data)
        vectors = [vector_from_json(v, data["group"]) for v in data["vectors"]]
        if validate:
            _check_decimals(vectors, data["vectors"])
        return vectors
    except VectorFileError:
        raise
    except (ValueError, LookupError, TypeError, AssertionError, RecursionError, OverflowError) as error:
        raise VectorFileError(f"{path}: {type(error).__name__}: {error}") from error


def _validate(path: Path, data: Any) -> None:
    from jsonschema.exceptions import best_match

    if error := best_match(_validator().iter_errors(data)):
        raise VectorFileError(f"{path}: {error.json_path}: {error.message[:200]}")


@cache
def _validator() -> Any:
    """Return the schema's validator, which takes longer to import than a list of the vectors."""
    import jsonschema

    draft = jsonschema.Draft202012Validator

    def items(validator: Any, items: Any, instance: Any, schema: Any) -> Iterator[Any]:
        """Pass arrays of plain numbers at once, as most are; all else as the schema says, item by item."""
        if not (items == NUMBER and isinstance(instance, list) and all(map(_is_plain, instance))):
            yield from draft.VALIDATORS["items"](validator, items, instance, schema)

    kind = jsonschema.validators.extend(draft, {"items": items})  # type: ignore[no-untyped-call]
    return kind(json.loads(SCHEMA.read_text(encoding="utf-8")))


def _is_plain(value: Any) -> bool:
    """Whether a value is certainly a number of the schema."""
    return type(value) in (int, float) and abs(value) <= sys.float_info.max


def _not_json(name: str) -> float:
    raise ValueError(f"{name} is not JSON: special numbers are written as strings")


def _check_decimals(vectors: list[Vector], written: list[Any]) -> None:
    """Raise ValueError where decimals and bits differ: readers of one would see another vector than readers of both."""
    for vector, data in zip(vectors, written, strict=True):
        if vector_to_json(vector) != data:
            raise ValueError(f"vector {vector.id!r}: decimals and bits do not fit each other: the file was edited")


def manifest() -> Mapping[str, Any]:
    """Return the manifest of the installed vectors."""
    data: dict[str, Any] = json.loads((DATA / "manifest.json").read_text(encoding="utf-8"))
    return data


def manifest_sha256() -> str:
    """Return the SHA-256 of the manifest, which stands for all vectors."""
    return hashlib.sha256((DATA / "manifest.json").read_bytes()).hexdigest()


@cache
def load() -> tuple[Vector, ...]:
    """Return all installed vectors, in file and then in file order."""
    names = sorted(manifest()["sha256"])
    return tuple(vector for name in names for vector in read_file(DATA / name, validate=False))


@cache
def outlines() -> tuple[Outline, ...]:
    """Return what a list shows of each installed vector, in the order of `load`; no array is decoded."""
    files = (json.loads((DATA / name).read_text(encoding="utf-8")) for name in sorted(manifest()["sha256"]))
    return tuple(_outline(v) for file in files for v in file["vectors"])


def _outline(v: Mapping[str, Any]) -> Outline:
    dtype = v["call"]["input"]["dtype"]
    named = tuple(v["clauses"]), tuple(v["gradient_clauses"])
    return Outline(v["id"], dtype if dtype in DTYPES else "float64", v["tier"], *named, v["comment"])


@cache
def by_id() -> Mapping[str, Vector]:
    """Return all installed vectors by id."""
    return {vector.id: vector for vector in load()}
