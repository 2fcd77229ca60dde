"""Vectors to JSON and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multimargin_reference.case import Case
from multimargin_reference.expectation import Choice, Enclosures, Expectation, Rejection, Values
from multimargin_reference.formats import DTYPES
from multimargin_vectors.arrays import array_from_json, array_to_json, checked_size, number, numbers, raw_bytes
from multimargin_vectors.model import Vector

LARGEST_LITERAL = 128  # elements; larger expectations are written as a fill and its exceptions
ARGUMENTS = ("input", "target", "weight", "grad_output")


def vector_to_json(vector: Vector) -> dict[str, Any]:
    """Return a vector as JSON data."""
    return {
        "id": vector.id,
        "clauses": list(vector.clauses),
        "gradient_clauses": list(vector.gradient_clauses),
        "tier": vector.tier,
        "comment": vector.comment,
        "flags": list(vector.flags),
        "call": call_to_json(vector.case, vector.recipes),
        "expected": _expected_to_json(vector.expected),
    }


def vector_from_json(data: Mapping[str, Any], group: str) -> Vector:
    """Return a vector of a group's file from JSON data. Raises ValueError where the id does not fit the call."""
    case, recipes = call_from_json(data["call"])
    vector = Vector(
        case,
        _expected_from_json(data["expected"]),
        tuple(data["clauses"]),
        tuple(data["gradient_clauses"]),
        data["tier"],
        data["comment"],
        tuple(data["flags"]),
        group,
        recipes,
    )
    if vector.id != data["id"]:
        raise ValueError(f"vector {data['id']!r} has the id {vector.id!r} by its call: the file was edited")
    return vector


def call_to_json(case: Case, recipes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a call as JSON data."""
    arrays = {name: getattr(case, name) for name in ARGUMENTS}
    encoded = {k: None if a is None else array_to_json(a, recipes.get(k)) for k, a in arrays.items()}
    margin = {"value": number(case.margin), "hex": np.array(case.margin, dtype="<f8").tobytes().hex()}
    return {**encoded, "p": case.p, "margin": margin, "reduction": case.reduction}


def call_from_json(data: Mapping[str, Any]) -> tuple[Case, dict[str, Any]]:
    """Return a call and its recipes from JSON data."""
    decoded = {name: None if data[name] is None else array_from_json(data[name]) for name in ARGUMENTS}
    arrays = {name: pair[0] if pair else None for name, pair in decoded.items()}
    recipes = {name: pair[1] for name, pair in decoded.items() if pair and pair[1]}
    margin = float(np.frombuffer(bytes.fromhex(data["margin"]["hex"]), dtype="<f8")[0])
    input_, target = arrays["input"], arrays["target"]
    assert input_ is not None
    assert target is not None
    case = Case(input_, target, data["p"], margin, arrays["weight"], data["reduction"], arrays["grad_output"])
    return case, recipes


def _expected_to_json(expected: Expectation) -> dict[str, Any]:
    if isinstance(expected, Rejection):
        return {"kind": "rejection", "clause": expected.clause}
    values = expected.values if isinstance(expected, Choice) else expected
    gradient = None if values.gradient is None else enclosures_to_json(values.gradient)
    results = {"loss": enclosures_to_json(values.loss), "gradient": gradient}
    if isinstance(expected, Choice):
        return {"kind": "choice", "behaviour": expected.behaviour, "answers": dict(expected.answers), **results}
    return {"kind": "values", **results}


def _expected_from_json(data: Mapping[str, Any]) -> Expectation:
    if data["kind"] == "rejection":
        return Rejection(data["clause"])
    gradient = None if data["gradient"] is None else enclosures_from_json(data["gradient"])
    values = Values(enclosures_from_json(data["loss"]), gradient)
    return Choice(data["behaviour"], data["answers"], values) if data["kind"] == "choice" else values


def enclosures_to_json(e: Enclosures) -> dict[str, Any]:
    """Return the legal values of one array as JSON data."""
    head: dict[str, Any] = {"dtype": e.dtype, "shape": list(e.shape)}
    if e.lo.size > LARGEST_LITERAL:
        return {**head, **_sparse_to_json(e)}
    ends = {"lo": numbers(e.lo), "hi": numbers(e.hi), "nearest": numbers(e.nearest)}
    also = {str(k): sorted(names) for k, names in e.also.items()}
    wide = None if e.wide_lo is None or e.wide_hi is None else {"lo": numbers(e.wide_lo), "hi": numbers(e.wide_hi)}
    return {**head, **ends, "also": also, "bits": _bits(e), "widened": wide}


def enclosures_from_json(data: Mapping[str, Any]) -> Enclosures:
    """Return the legal values of one array from JSON data."""
    shape = tuple(data["shape"])
    size = checked_size(shape)
    if "fill" in data:
        lo, hi, nearest = _sparse_from_json(data, size)
        return Enclosures(shape, data["dtype"], lo, hi, nearest)
    lo, hi, nearest = (_numbers_from_json(data[k], size) for k in ("lo", "hi", "nearest"))
    also = {int(k): frozenset(names) for k, names in data["also"].items()}
    if any(k >= size for k in also):
        raise ValueError(f"`also` has index {max(also)}, but the result has {size} elements")
    wide = data["widened"]
    ends = [_numbers_from_json(wide[k], size) if wide else None for k in ("lo", "hi")]
    return Enclosures(shape, data["dtype"], lo, hi, nearest, also, ends[0], ends[1])


def _numbers_from_json(values: Sequence[Any], size: int) -> NDArray[np.float64]:
    if len(values) != size:
        raise ValueError(f"an expectation has {len(values)} numbers, but should have {size}")
    return np.array([float(v) for v in values], dtype=np.float64)


def _bits(e: Enclosures) -> dict[str, str] | None:
    """Return the ends' and the nearest value's bits, once when they are all the same."""
    if e.dtype is None:
        return None
    dtype = DTYPES[e.dtype]
    arrays = (
        {"nearest": e.nearest}
        if e.exact and np.array_equal(e.lo, e.nearest)
        else {"lo": e.lo, "hi": e.hi, "nearest": e.nearest}
    )
    positive = {name: np.where(np.isnan(a), np.nan, a) for name, a in arrays.items()}  # 0 * inf: a NaN of either sign
    return {name: raw_bytes(values.astype(dtype)).hex() for name, values in positive.items()}


def _sparse_to_json(e: Enclosures) -> dict[str, Any]:
    if e.also:
        raise ValueError("a large expectation cannot have special values beside its intervals")
    rows = np.stack([e.lo, e.hi, e.nearest])
    fills, counts = np.unique(rows, axis=1, return_counts=True)
    fill = fills[:, int(np.argmax(counts))]
    different = np.flatnonzero((rows != fill[:, None]).any(axis=0))
    if different.size > LARGEST_LITERAL:
        raise ValueError(f"a large expectation has {different.size} exceptions to its fill")
    return {"fill": numbers(fill), "at": {str(k): numbers(rows[:, k]) for k in different.tolist()}}


def _sparse_from_json(data: Mapping[str, Any], size: int) -> NDArray[np.float64]:
    rows = np.empty((3, size), dtype=np.float64)
    rows[:] = np.array([float(v) for v in data["fill"]])[:, None]
    for k, values in data["at"].items():
        rows[:, int(k)] = [float(v) for v in values]
    return rows
