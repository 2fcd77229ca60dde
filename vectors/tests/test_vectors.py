"""The golden vectors: what is in them, against the scalar oracle and against themselves."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
import pytest

from multimargin_reference import exact, oracle
from multimargin_reference.case import Case
from multimargin_reference.clauses import CLAUSES
from multimargin_reference.enclosures import in_domain
from multimargin_reference.expectation import Choice, Enclosures, Rejection, Values, expected_values
from multimargin_reference.formats import DTYPES, FORMATS
from multimargin_vectors import Vector, by_id, load, manifest
from multimargin_vectors.codec import ARGUMENTS, call_from_json, call_to_json, vector_from_json, vector_to_json
from multimargin_vectors.flags import FLAGS
from multimargin_vectors.model import TIERS, Outline
from multimargin_vectors.store import DATA, outlines

FILES = sorted(manifest()["sha256"])
MANY_ROWS = 5000  # Fractions of more rows take seconds a vector
SLOW = pytest.mark.skipif("MULTIMARGIN_SLOW" not in os.environ, reason="slow: set MULTIMARGIN_SLOW=1")


@cache
def loaded(name: str) -> dict[str, Any]:
    return json.loads((DATA / name).read_text(encoding="utf-8"))


@cache
def valid() -> tuple[Vector, ...]:
    return tuple(v for v in load() if not isinstance(v.expected, Rejection))


def values(vector: Vector) -> Values:
    expected = vector.expected.values if isinstance(vector.expected, Choice) else vector.expected
    assert isinstance(expected, Values)
    return expected


def enclosures(vector: Vector) -> list[Enclosures]:
    return [e for e in (values(vector).loss, values(vector).gradient) if e is not None]


def as_batch(vector: Vector) -> Case:
    """Return the documented call that a vector's call, unusual or not, stands for, as a batch: the same numbers."""
    case, dtype = vector.case, DTYPES[vector.dtype]
    rows = case.target.size
    one = case.target.ndim == 0 or case.input.ndim < 2
    x = case.input.astype(dtype).reshape((rows, -1) if one else case.input.shape)
    weight = None if case.weight is None else case.weight.astype(dtype)
    target = case.target.astype(np.int64).reshape(rows)
    return Case(x, target, int(case.p), case.margin, weight, case.reduction, case.grad_output)


def flat(nested: Any) -> list[Any]:
    return [v for inner in nested for v in flat(inner)] if isinstance(nested, list) else [nested]


def rounded_once(numbers: list[Any], dtype: str) -> list[float]:
    return [float(FORMATS[dtype].round(v)) for v in numbers]


def same(a: Any, b: Any) -> bool:
    return bool(np.array_equal(np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64), equal_nan=True))


def failing(vectors: Any, holds: Any) -> list[str]:
    return [f"{v.id} {v.comment}" for v in vectors if not holds(v)]


def test_ids_are_unique_over_all_files() -> None:
    ids = Counter(v["id"] for name in FILES for v in loaded(name)["vectors"])
    assert [i for i, count in ids.items() if count > 1] == []
    assert len(ids) == len(load()) == len(by_id())


@pytest.mark.parametrize("name", FILES)
def test_ids_are_derived_from_the_call_alone(name: str) -> None:
    for data in loaded(name)["vectors"]:
        assert call_from_json(data["call"])[0].id == data["id"]


def test_an_id_changes_with_every_argument() -> None:
    vector = next(v for v in load() if v.case.weight is not None and v.case.grad_output is not None and not v.recipes)
    data = call_to_json(vector.case, {})
    changes: list[dict[str, Any]] = [
        {"p": data["p"] + 2},
        {"reduction": "average"},
        {"margin": {"value": 9, "hex": np.array(9.0, dtype="<f8").tobytes().hex()}},
        {"weight": None},
        {"grad_output": None},
        {"weight": data["grad_output"], "grad_output": data["weight"]},
    ]
    for name in ARGUMENTS:
        size = len(data[name]["hex"])
        changes.append({name: data[name] | {"hex": "1" * size}})
        changes.append({name: data[name] | {"shape": [*data[name]["shape"], 1]}})
    ids = [vector.id, *(call_from_json(data | change)[0].id for change in changes)]
    assert len(set(ids)) == len(ids)


def test_every_flag_has_a_note_and_every_note_is_used() -> None:
    assert {flag for v in load() for flag in v.flags} == set(FLAGS)
    assert all(bug and effect for bug, effect in FLAGS.values())


def test_every_vector_has_a_flag() -> None:
    assert failing(load(), lambda v: v.flags) == []


@pytest.mark.parametrize("name", FILES)
def test_a_files_notes_are_those_of_its_flags(name: str) -> None:
    data = loaded(name)
    used = {flag for v in data["vectors"] for flag in v["flags"]}
    assert data["notes"] == {flag: {"bug": FLAGS[flag][0], "effect": FLAGS[flag][1]} for flag in used}


def test_every_clause_named_exists() -> None:
    named = {c for v in load() for c in (*v.clauses, *v.gradient_clauses)}
    assert named - set(CLAUSES) == set()
    assert all(v.clauses for v in load())


def test_a_rejection_names_its_clause_first() -> None:
    rejections = [v for v in load() if isinstance(v.expected, Rejection)]
    assert failing(rejections, lambda v: v.clauses[0] == v.expected.clause) == []
    assert failing(rejections, lambda v: v.tier == "rejection") == []


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_one_group(name: str) -> None:
    group = loaded(name)["group"]
    assert name == f"{group}.json"
    assert group in {clause.group for clause in CLAUSES.values()}


def test_tiers_are_known_and_fit_the_expectation() -> None:
    assert {v.tier for v in load()} <= set(TIERS)
    assert failing(load(), lambda v: (v.tier == "choice") == isinstance(v.expected, Choice)) == []


@pytest.mark.parametrize("name", FILES)
def test_the_manifests_sums_fit(name: str) -> None:
    assert hashlib.sha256((DATA / name).read_bytes()).hexdigest() == manifest()["sha256"][name]
    assert len(loaded(name)["vectors"]) == manifest()["vectors"][name]


def test_the_manifest_names_every_file() -> None:
    assert {path.name for path in DATA.iterdir()} == {*FILES, "manifest.json"}
    assert set(manifest()["vectors"]) == set(FILES)


def test_the_folder_stays_small() -> None:
    assert sum(path.stat().st_size for path in DATA.iterdir()) < 8 << 20


@pytest.mark.parametrize("name", FILES)
def test_reading_and_writing_again_is_the_identity(name: str) -> None:
    for data in loaded(name)["vectors"]:
        again = vector_to_json(vector_from_json(data, loaded(name)["group"]))
        assert json.dumps(again) == json.dumps(data), data["id"]


def test_writing_and_reading_again_is_the_identity() -> None:
    for vector in load():
        again = vector_from_json(json.loads(json.dumps(vector_to_json(vector))), vector.group)
        for field in ("clauses", "gradient_clauses", "tier", "comment", "flags", "group", "recipes", "id"):
            assert getattr(again, field) == getattr(vector, field), vector.id
        assert contents(again) == contents(vector), vector.id


def contents(vector: Vector) -> list[Any]:
    """Return everything in a vector's arrays, to the bit."""
    expected = [] if isinstance(vector.expected, Rejection) else enclosures(vector)
    ends = [a for e in expected for a in (e.lo, e.hi, e.nearest, e.wide_lo, e.wide_hi)]
    arrays = [*(getattr(vector.case, name) for name in ARGUMENTS), *ends]
    seen = [None if a is None else (a.dtype, a.shape, a.tobytes()) for a in arrays]
    return [*seen, type(vector.expected), *((e.shape, e.dtype, e.also) for e in expected)]


@pytest.mark.parametrize("name", FILES)
def test_decimals_and_bits_are_the_same_numbers(name: str) -> None:
    for data in loaded(name)["vectors"]:
        for array in (data["call"][argument] for argument in ARGUMENTS):
            if array is not None and "values" in array:
                kind = DTYPES.get(array["dtype"], np.dtype(array["dtype"] if array["dtype"] not in DTYPES else "f8"))
                bits = np.frombuffer(bytes.fromhex(array["hex"]), dtype=kind)
                assert same([float(v) for v in array["values"]], bits.astype(np.float64)), data["id"]


def legal(e: Enclosures, index: int, value: float) -> bool:
    if e.lo[index] <= value <= e.hi[index]:
        return True
    name = "nan" if np.isnan(value) else str(value) if np.isinf(value) else "0" if value == 0 else ""
    return name in e.also.get(index, ())


def test_nearest_is_inside_its_enclosure() -> None:
    for vector in valid():
        for e in enclosures(vector):
            inside = (e.lo <= e.nearest) & (e.nearest <= e.hi)
            outside = [i for i in np.flatnonzero(~inside).tolist() if not legal(e, i, float(e.nearest[i]))]
            assert outside == [], f"{vector.id} {vector.comment}"


def small(vector: Vector) -> bool:
    return not vector.recipes and in_domain(as_batch(vector))


@pytest.mark.parametrize("dtype", DTYPES)
def test_nearest_is_the_scalar_oracles_result_rounded_once(dtype: str) -> None:
    chosen = [v for v in valid() if v.dtype == dtype and small(v)]
    assert len(chosen) > 100
    for vector in chosen:
        case, expected = as_batch(vector), values(vector)
        options = {"p": case.p, "margin": case.margin, "weight": case.weight, "reduction": case.reduction}
        loss = flat(oracle.loss(case.input, case.target, **options))
        assert same(rounded_once(loss, dtype), expected.loss.nearest), f"{vector.id} {vector.comment}"
        if expected.gradient is not None:
            slope = None if case.grad_output is None else case.grad_output
            shape = case.target.shape if case.reduction == "none" else ()
            slope = np.ones(shape, dtype=DTYPES[dtype]) if slope is None else slope.reshape(shape)
            gradient = flat(oracle.gradient(slope, case.input, case.target, **options))
            assert same(rounded_once(gradient, dtype), expected.gradient.nearest), f"{vector.id} {vector.comment}"


def procedural(tall: bool) -> list[Vector]:
    return [v for v in valid() if v.recipes and (v.case.target.size > MANY_ROWS) == tall]


def check_procedural(vector: Vector) -> None:
    expected, dtype = values(vector), vector.dtype
    assert same(rounded_once(list(exact.loss(vector.case)), dtype), expected.loss.nearest), vector.comment
    if expected.gradient is not None:
        gradient = flat(exact.gradient(vector.case))
        once = {key: rounded_once([v], dtype)[0] for key, v in {id(v): v for v in gradient}.items()}
        assert same([once[id(v)] for v in gradient], expected.gradient.nearest), vector.comment


def test_nearest_of_procedural_vectors_is_the_exact_result_rounded_once() -> None:
    assert len(procedural(tall=False)) > 50
    for vector in procedural(tall=False):
        check_procedural(vector)


@SLOW
def test_nearest_of_tall_procedural_vectors_is_the_exact_result_rounded_once() -> None:
    assert procedural(tall=True)
    for vector in procedural(tall=True):
        check_procedural(vector)


def test_ends_are_on_the_dtypes_grid() -> None:
    for vector in valid():
        for e in enclosures(vector):
            dtype = DTYPES[e.dtype or vector.dtype]
            for end in (e.lo, e.hi, e.nearest, e.wide_lo, e.wide_hi):
                with np.errstate(over="ignore"):
                    assert end is None or same(end, end.astype(dtype)), f"{vector.id} {vector.comment}"


def test_an_enclosure_is_never_empty() -> None:
    for vector in valid():
        for e in enclosures(vector):
            empty = np.flatnonzero(~(e.lo <= e.hi)).tolist()
            assert all(e.also.get(i) for i in empty), f"{vector.id} {vector.comment}"
            assert not np.isnan(e.lo).any()
            assert not np.isnan(e.hi).any()


def test_a_widened_enclosure_is_within_the_other() -> None:
    halves = [(v, e) for v in valid() for e in enclosures(v) if e.wide_lo is not None and e.wide_hi is not None]
    assert halves
    for vector, e in halves:
        assert vector.dtype in ("float16", "bfloat16")
        real = e.lo <= e.hi
        assert np.all((e.lo <= e.wide_lo) & (e.wide_lo <= e.wide_hi) & (e.wide_hi <= e.hi) | ~real), vector.comment


def test_shapes_and_dtypes_are_those_of_the_call() -> None:
    for vector in valid():
        case, expected = vector.case, values(vector)
        unusual = isinstance(vector.expected, Choice) and expected.loss.dtype is None
        assert expected.loss.shape == (case.target.shape if case.reduction == "none" else ())
        assert expected.loss.lo.size == np.prod(expected.loss.shape, dtype=int)
        assert unusual or expected.loss.dtype == vector.dtype
        if expected.gradient is not None:
            assert expected.gradient.shape == case.input.shape
            assert expected.gradient.lo.size == case.input.size


def test_what_is_exact_is_one_point() -> None:
    chosen = [v for v in load() if v.tier == "exact"]
    assert len(chosen) > 1000
    assert failing(chosen, lambda v: all(e.exact and np.array_equal(e.lo, e.nearest) for e in enclosures(v))) == []


def test_a_gradient_clause_has_a_gradient() -> None:
    assert failing(valid(), lambda v: not v.gradient_clauses or values(v).gradient is not None) == []


def test_a_fresh_expectation_is_the_recorded_one() -> None:
    chosen = [v for v in valid() if not isinstance(v.expected, Choice) and not v.recipes][::29]
    for vector in chosen:
        for ours, recorded in zip(_parts(expected_values(vector.case)), _parts(values(vector)), strict=True):
            assert same(ours.lo, recorded.lo), vector.comment
            assert same(ours.hi, recorded.hi), vector.comment
            assert ours.also == recorded.also, vector.comment


def _parts(v: Values) -> list[Enclosures]:
    return [e for e in (v.loss, v.gradient) if e is not None]


def ties(case: Case) -> int:
    """Count the z that are exactly 0, in rational numbers, at finite logits but the target's."""
    margin, found = Fraction(case.margin), 0
    for row, y in zip(case.input.astype(np.float64), case.target.tolist(), strict=True):
        if not np.isfinite(row[y]):
            continue
        wanted = Fraction(float(row[y])) - margin
        tied = float(wanted) == row  # float() rounds to nearest, so an exact tie is among these
        tied[y] = False
        found += sum(Fraction(float(v)) == wanted for v in row[tied])
    return found


def test_only_the_kinks_own_vectors_have_a_tie() -> None:
    kinks = [v for v in valid() if "GRADIENT-4" in v.gradient_clauses]
    assert sum(ties(as_batch(v)) > 0 for v in kinks) > 20
    others = [v for v in valid() if "GRADIENT-4" not in v.gradient_clauses and np.isfinite(v.case.margin)]
    assert failing(others, lambda v: not ties(as_batch(v))) == []


def test_a_nan_margin_may_drop_propagate_or_count_as_active() -> None:
    chosen = [v for v in valid() if np.isnan(v.case.margin)]
    assert {v.case.p for v in chosen} == {1, 2}
    for vector in chosen:
        gradient, active = values(vector).gradient, 1 / vector.case.input.shape[-1]
        assert gradient is not None
        for index, target in enumerate([True, False, False, False]):
            permitted = {
                0.0: True,
                -3 * active: target and vector.case.p == 1,
                active: not target and vector.case.p == 1,
            }
            assert all(legal(gradient, index, value) == expected for value, expected in permitted.items())
            assert legal(gradient, index, np.nan)
            assert not legal(gradient, index, -active / 2 if not target else active)


def test_an_outline_is_what_a_list_shows_of_its_vector() -> None:
    assert list(outlines()) == [
        Outline(v.id, v.dtype, v.tier, v.clauses, v.gradient_clauses, v.comment) for v in load()
    ]
