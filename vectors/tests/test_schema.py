"""Vector files: what the schema and the reader accept, and hand-broken files, which they refuse."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from multimargin_vectors import Vector, VectorFileError, manifest, read_file
from multimargin_vectors.arrays import LARGEST_ARRAY, Stream, array_from_json, array_to_json
from multimargin_vectors.codec import vector_to_json
from multimargin_vectors.store import DATA, LARGEST_FILE, SCHEMA

FILES = sorted(manifest()["sha256"])


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return json.loads(SCHEMA.read_text(encoding="utf-8"))


def loaded(name: str) -> dict[str, Any]:
    return json.loads((DATA / name).read_text(encoding="utf-8"))


def first(name: str, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Return a file's head with the first vector that has what a test is about."""
    data = loaded(name)
    return data | {"vectors": [next(v for v in data["vectors"] if wanted(v))]}


def plain() -> dict[str, Any]:
    """Return a valid file of one small vector with literal arrays, a weight and a gradient."""
    return first("WEIGHT.json", lambda v: v["tier"] == "exact" and v["expected"]["gradient"] is not None)


def procedural() -> dict[str, Any]:
    return first("SHAPE.json", lambda v: "recipe" in v["call"]["input"] and "fill" in v["expected"]["gradient"])


def choice() -> dict[str, Any]:
    return first("SPECIAL.json", lambda v: v["tier"] == "choice" and v["expected"]["loss"]["also"])


def rejection() -> dict[str, Any]:
    return first("REJECT.json", lambda v: v["tier"] == "rejection")


MAKERS = (plain, procedural, choice, rejection)


def reading(tmp_path: Path, text: str | bytes) -> list[Vector]:
    path = tmp_path / "file.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_file(path)


def refused(tmp_path: Path, data: Any) -> str:
    with pytest.raises(VectorFileError) as caught:
        reading(tmp_path, data if isinstance(data, str | bytes) else json.dumps(data))
    return str(caught.value)


def at(data: Any, path: str) -> Any:
    """Return what is at a path such as "vectors.0.call"."""
    for key in path.split(".") if path else ():
        data = data[int(key)] if isinstance(data, list) else data[key]
    return data


def changed(data: Any, path: str, value: Any) -> Any:
    """Return a deep copy with one entry set; a callable value is applied to what was there."""
    copy = deepcopy(data)
    parent, _, key = path.rpartition(".")
    holder = at(copy, parent)
    place: Any = int(key) if isinstance(holder, list) else key
    holder[place] = value(holder[place]) if callable(value) else value
    return copy


def objects(data: Any, path: str = "") -> list[str]:
    """Return the paths of all objects within."""
    inner = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    found = [path] if isinstance(data, dict) else []
    return found + [p for key, value in inner for p in objects(value, f"{path}.{key}".lstrip("."))]


def subschemas(schema: Any) -> list[dict[str, Any]]:
    inner = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ()
    return ([schema] if isinstance(schema, dict) else []) + [s for value in inner for s in subschemas(value)]


@pytest.mark.parametrize("name", FILES)
def test_every_data_file_is_valid(name: str) -> None:
    assert len(read_file(DATA / name)) == manifest()["vectors"][name]


def test_the_schema_is_a_schema(schema: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_every_object_of_the_schema_is_closed(schema: dict[str, Any]) -> None:
    opened = [s for s in subschemas(schema["$defs"]) if s.get("type") in ("object", ["object", "null"])]
    delegating = [s for s in opened if "additionalProperties" not in s]
    assert len(opened) - len(delegating) >= 12
    assert all("$ref" in json.dumps([s.get("then"), s.get("allOf")]) for s in delegating)
    assert schema["additionalProperties"] is False
    assert all(s["additionalProperties"] is False for s in opened if s not in delegating)


@pytest.mark.parametrize("make", MAKERS)
def test_a_single_vector_is_a_file(tmp_path: Path, make: Callable[[], Any]) -> None:
    data = make()
    (vector,) = reading(tmp_path, json.dumps(data))
    assert vector.id == data["vectors"][0]["id"]


@pytest.mark.parametrize("make", MAKERS)
def test_unknown_keys_are_refused_everywhere(tmp_path: Path, make: Callable[[], Any]) -> None:
    data = make()
    for path in objects(data):
        message = refused(tmp_path, changed(data, f"{path}.surprise".lstrip("."), 1))
        assert "surprise" in message, path


@pytest.mark.parametrize("make", MAKERS)
def test_missing_keys_are_refused_everywhere(tmp_path: Path, make: Callable[[], Any]) -> None:
    data, optional = make(), ("notes", "answers", "also", "at")
    for path in objects(data):
        if path.split(".")[-1] in optional:
            continue
        for key in at(data, path):
            copy = deepcopy(data)
            del at(copy, path)[key]
            assert refused(tmp_path, copy), f"{path}.{key}"


CALL, LOSS = "vectors.0.call", "vectors.0.expected.loss"
BROKEN: dict[str, tuple[Callable[[], Any], str, Any]] = {
    "edited id": (plain, "vectors.0.id", "0123456789abcdef"),
    "id in capitals": (plain, "vectors.0.id", str.upper),
    "id with a newline": (plain, "vectors.0.id", lambda i: i + "\n"),
    "format": (plain, "format", "multimargin-report"),
    "format version": (plain, "version", 2),
    "version as a fraction": (plain, "version", 1.5),
    "version as a boolean": (plain, "version", True),
    "no vectors": (plain, "vectors", []),
    "vectors as an object": (plain, "vectors", {}),
    "vector as a string": (plain, "vectors.0", "vector"),
    "tier": (plain, "vectors.0.tier", "nearly exact"),
    "clause in small letters": (plain, "vectors.0.clauses", ["value-1"]),
    "clause twice": (plain, "vectors.0.clauses", ["VALUE-1", "VALUE-1"]),
    "p as a boolean": (plain, f"{CALL}.p", True),
    "p as a string": (plain, f"{CALL}.p", "1"),
    "p edited": (plain, f"{CALL}.p", lambda p: 3 - p),
    "reduction edited": (plain, f"{CALL}.reduction", "average"),
    "reduction as a number": (plain, f"{CALL}.reduction", 0),
    "margin's bits edited": (plain, f"{CALL}.margin.hex", "000000000000f0bf"),
    "margin's decimal edited": (plain, f"{CALL}.margin.value", 1.0625),
    "margin's bits too short": (plain, f"{CALL}.margin.hex", ""),
    "input null": (plain, f"{CALL}.input", None),
    "input's decimals edited": (plain, f"{CALL}.input.values.0", 1e-3),
    "input's decimal as a string": (plain, f"{CALL}.input.values.0", "0.5"),
    "input's decimals too few": (plain, f"{CALL}.input.values", lambda v: v[1:]),
    "one byte too few": (plain, f"{CALL}.input.hex", lambda h: h[2:]),
    "one byte too many": (plain, f"{CALL}.input.hex", lambda h: h + "00"),
    "half a byte": (plain, f"{CALL}.input.hex", lambda h: h[1:]),
    "bytes in capitals": (plain, f"{CALL}.input.hex", str.upper),
    "bytes with a space": (plain, f"{CALL}.input.hex", lambda h: h[:2] + " " + h[2:]),
    "no hexadecimal digits": (plain, f"{CALL}.input.hex", lambda h: "xx" + h[2:]),
    "no bytes": (plain, f"{CALL}.input.hex", ""),
    "dtype unknown": (plain, f"{CALL}.input.dtype", "float128"),
    "dtype of objects": (plain, f"{CALL}.input.dtype", "object"),
    "dtype changed": (plain, f"{CALL}.input.dtype", lambda d: "float64" if d == "float32" else "float32"),
    "shape huge": (plain, f"{CALL}.input.shape", [LARGEST_ARRAY, LARGEST_ARRAY]),
    "axis huge": (plain, f"{CALL}.input.shape", [10**30]),
    "axis just too long": (plain, f"{CALL}.input.shape", [LARGEST_ARRAY + 1]),
    "rank huge": (plain, f"{CALL}.input.shape", [1] * 65),
    "axis negative": (plain, f"{CALL}.input.shape", [-1]),
    "axis as a fraction": (plain, f"{CALL}.input.shape", [0.5]),
    "axis as a boolean": (plain, f"{CALL}.input.shape", [True]),
    "shape of the same size": (plain, f"{CALL}.input.shape", lambda s: [1, *s]),
    "loss's shape huge": (plain, f"{LOSS}.shape", [LARGEST_ARRAY, LARGEST_ARRAY]),
    "loss's shape of another size": (plain, f"{LOSS}.shape", [7]),
    "loss's dtype unknown": (plain, f"{LOSS}.dtype", "int64"),
    "end moved": (plain, f"{LOSS}.lo.0", lambda v: v - 1),
    "end as a name": (plain, f"{LOSS}.hi.0", "Infinity"),
    "one end too many": (plain, f"{LOSS}.lo", lambda v: [*v, 0]),
    "no ends": (plain, f"{LOSS}.hi", []),
    "nearest edited": (plain, f"{LOSS}.nearest.0", lambda v: v + 1),
    "bits edited": (plain, f"{LOSS}.bits.nearest", lambda h: h[:-2] + "7f"),
    "bits null": (plain, f"{LOSS}.bits", None),
    "also past the end": (plain, f"{LOSS}.also", {"99": ["nan"]}),
    "also negative": (plain, f"{LOSS}.also", {"-1": ["nan"]}),
    "also a number": (plain, f"{LOSS}.also", {"0": ["1"]}),
    "also nothing": (plain, f"{LOSS}.also", {"0": []}),
    "also twice": (choice, f"{LOSS}.also", {"0": ["nan", "nan"]}),
    "expectation of another kind": (plain, "vectors.0.expected.kind", "rejection"),
    "kind unknown": (plain, "vectors.0.expected.kind", "approximately"),
    "answer unknown": (choice, "vectors.0.expected.answers", {"finite": "0", "zero": "0"}),
    "single answer": (choice, "vectors.0.expected.answers", {"finite": "0"}),
    "wrong SHA-256": (procedural, f"{CALL}.input.sha256", lambda s: ("1" if s[0] == "0" else "0") + s[1:]),
    "SHA-256 cut": (procedural, f"{CALL}.input.sha256", lambda s: s[:-1]),
    "recipe's fill edited": (procedural, f"{CALL}.input.recipe.fill", 31.5),
    "recipe's fill NaN for integers": (procedural, f"{CALL}.target.recipe.fill", "nan"),
    "recipe's fill out of range": (procedural, f"{CALL}.input.recipe.fill", 1e300),
    "recipe unknown": (procedural, f"{CALL}.input.recipe.kind", "mersenne"),
    "recipe's place past the end": (procedural, f"{CALL}.input.recipe.at", {"99999999": 1}),
    "recipe's place negative": (procedural, f"{CALL}.input.recipe.at", {"-1": 1}),
    "recipe's place with a zero": (procedural, f"{CALL}.input.recipe.at", {"01": 1}),
    "recipe's shape huge": (procedural, f"{CALL}.input.shape", [LARGEST_ARRAY, 4096]),
    "recipe of another shape": (procedural, f"{CALL}.input.shape", lambda s: s[::-1]),
    "recipe and values": (procedural, f"{CALL}.input.values", [1]),
    "fill of two numbers": (procedural, "vectors.0.expected.gradient.fill", [0, 0]),
    "exception past the end": (procedural, "vectors.0.expected.gradient.at", {"99999999": [0, 0, 0]}),
    "rejection without a clause": (rejection, "vectors.0.expected.clause", ""),
    "notes of another shape": (plain, "notes", {"flag": "text"}),
}


@pytest.mark.parametrize("what", BROKEN)
def test_hand_broken_files_are_refused(tmp_path: Path, what: str) -> None:
    make, path, value = BROKEN[what]
    data = make() if not path.startswith(f"{CALL}.target.recipe") else tall()
    assert refused(tmp_path, changed(data, path, value))


def tall() -> dict[str, Any]:
    return first("SHAPE.json", lambda v: "recipe" in v["call"]["target"])


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", '"NaN"', '"nan\\n"', "null"])
def test_special_numbers_have_one_spelling(tmp_path: Path, literal: str) -> None:
    text = json.dumps(changed(plain(), f"{LOSS}.lo.0", "HERE"))
    assert refused(tmp_path, text.replace('"HERE"', literal))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b" \n",
        b"\xff\xfe\x00",
        b"\xc3(",
        b"{",
        b"[]",
        b"null",
        b"7",
        b'"vectors"',
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b"[" * 200_000 + b"]" * 200_000,
        b'{"version": ' + b"1" * 10_000 + b"}",
        b'{"vectors": [[]]}',
        b"\x00" * 64,
    ],
    ids=lambda text: repr(text[:12]),
)
def test_files_that_hold_no_vectors_are_refused(tmp_path: Path, text: bytes) -> None:
    assert "file.json" in refused(tmp_path, text)


def test_deep_nesting_within_a_valid_file_is_refused(tmp_path: Path) -> None:
    text = json.dumps(changed(plain(), "vectors.0.comment", "HERE"))
    for depth in (500, 5_000, 200_000):
        assert refused(tmp_path, text.replace('"HERE"', "[" * depth + "]" * depth))


def test_files_cut_short_are_refused(tmp_path: Path) -> None:
    text = json.dumps(plain())
    for length in range(0, len(text) - 1, 37):
        assert refused(tmp_path, text[:length])


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large.json"
    with path.open("wb") as file:
        file.truncate(LARGEST_FILE + 1)
    with pytest.raises(VectorFileError, match=str(LARGEST_FILE)):
        read_file(path)


def test_a_message_stays_short(tmp_path: Path) -> None:
    assert len(refused(tmp_path, changed(plain(), "vectors.0.call.reduction", ["x" * 100_000]))) < 1000


def test_a_stream_recipe_survives_the_file(schema: dict[str, Any]) -> None:
    recipe = Stream("float32", (3, 5), seed=2**64 - 1, levels=7, low=-3, scale=0.25)
    data = json.loads(json.dumps(array_to_json(recipe.build(), recipe)))
    array, read = array_from_json(data)
    assert read == recipe
    assert array.tobytes() == recipe.build().tobytes()
    jsonschema.validate(data, {"$ref": "#/$defs/array", "$defs": schema["$defs"]})


def test_reading_and_writing_again_is_the_identity(tmp_path: Path) -> None:
    for make in MAKERS:
        data = make()
        (vector,) = reading(tmp_path, json.dumps(data))
        assert vector_to_json(vector) == data["vectors"][0]
