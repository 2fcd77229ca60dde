"""Which vector each clause needs: the file on disk is true, and what computes and verifies it can fail."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from multimargin_conformance import necessity, needed
from multimargin_conformance.capabilities import ALL_DTYPES
from multimargin_conformance.kills import faults_by_name, killed, rejecting, vector_items
from multimargin_conformance.necessity import (
    Need,
    cells,
    needs,
    read,
    rendered,
    without_vectors,
    wrong_cells,
    wrong_need,
)
from multimargin_reference.clauses import CLAUSES

SLOW = "MULTIMARGIN_SLOW" in os.environ
LISTED = read()
NEEDED = [need for need in LISTED if need.vector]
STEP = 24


def label(need: Need) -> str:
    return f"{need.clause}-{need.dtype}"


def test_every_applicable_cell_is_listed_once() -> None:
    assert wrong_cells(LISTED) == []
    assert len({(n.clause, n.dtype) for n in LISTED}) == len(LISTED)
    assert {n.clause for n in LISTED} == set(CLAUSES)
    assert {n.dtype for n in LISTED if n.clause != "DTYPE-2"} == set(ALL_DTYPES)


def test_a_cell_is_needed_or_redundant_with_a_reason() -> None:
    for need in LISTED:
        assert bool(need.vector) != bool(need.redundant), label(need)
        assert bool(need.vector) == bool(need.fault and need.part and need.only), label(need)
        assert need.vectors or need.redundant.startswith("no vector: "), label(need)


def test_most_cells_with_vectors_are_needed() -> None:
    assert len(NEEDED) > 0.8 * sum(need.vectors > 0 for need in LISTED)


@pytest.mark.parametrize("need", NEEDED if SLOW else NEEDED[::STEP], ids=label)
def test_the_fault_lives_without_the_vector(need: Need) -> None:
    assert wrong_need(need) == ""


def test_a_missing_and_an_unknown_cell_are_seen() -> None:
    first, *rest = LISTED
    assert wrong_cells(rest) == [f"{first.clause} {first.dtype}: no vectors listed, but there are {first.vectors}"]
    unknown = replace(first, clause="VALUE-99")
    assert wrong_cells([*LISTED, unknown]) == [
        f"VALUE-99 {first.dtype}: {first.vectors} vectors listed, but there are no"
    ]
    assert len(wrong_cells([replace(first, vectors=first.vectors + 1), *rest])) == 1


def test_a_fault_that_other_vectors_reject_too_is_seen() -> None:
    need = next(n for n in NEEDED if n.only == "this kernel" and n.clause == "SPECIAL-1")
    assert wrong_need(need) == ""
    message = wrong_need(replace(need, fault="no-hinge", only="this dtype"))
    assert "no-hinge is rejected by" in message
    assert message.endswith(f"but should be by {need.vector} alone: run make needed")


@pytest.mark.parametrize("change", [{"fault": "nothing"}, {"vector": "0" * 16}, {"only": "nowhere"}, {"part": "none"}])
def test_an_entry_about_what_does_not_exist_is_seen(change: dict[str, str]) -> None:
    assert "no such fault, vector of this cell, or restriction" in wrong_need(replace(NEEDED[0], **change))  # type: ignore[arg-type]


def ids_of(clause: str, dtype: str) -> list[str]:
    return [item.id for item in cells()[clause, dtype]]


def entry(kills: dict[str, list[str]], clause: str, dtype: str = "float32") -> Need:
    return next(n for n in needs(kills) if (n.clause, n.dtype) == (clause, dtype))


def test_a_vector_is_needed_by_the_widest_fault_that_it_alone_rejects() -> None:
    first, second, *_ = ids_of("SPECIAL-1", "float32")
    alone = entry({"no-hinge": [first, second], "hinge-by-product": [second]}, "SPECIAL-1")
    assert (alone.fault, alone.only) == ("hinge-by-product", "this dtype")
    assert alone.vector == next(i.case for i in vector_items() if i.id == second)


def test_a_fault_that_names_the_clause_goes_first() -> None:
    (first, *_) = ids_of("SPECIAL-1", "float32")
    assert entry({"hinge-by-product": [first], "no-hinge": [first]}, "SPECIAL-1").fault == "hinge-by-product"


def alike() -> list[str]:
    """Two items of VALUE-3 that differ in their target alone, so that no fault can be wrong for one of them only."""
    items = [i for i in cells()["VALUE-3", "float32"] if i.part == "loss"]
    by_key: dict[object, list[str]] = {}
    for item in items:
        by_key.setdefault(necessity.ONLY["this shape"](item), []).append(item.id)
    return next(ids[:2] for ids in by_key.values() if len(ids) > 1)


def test_vectors_that_stand_in_for_each_other_are_redundant() -> None:
    found = entry({"no-hinge": alike()}, "VALUE-3")
    assert found.vector == ""
    assert "stand in for each other: without all of them no-hinge lives" in found.redundant


def test_a_cell_that_others_cover_names_them() -> None:
    first = alike()[0]
    key = necessity.ONLY["this shape"]
    item = next(i for i in vector_items() if i.id == first)
    other = next(i for i in vector_items() if key(i) == key(item) and i.clause == "VALUE-1" and not i.also)
    found = entry({"no-hinge": [first, other.id]}, "VALUE-3")
    assert found.redundant.endswith("those of VALUE-1 reject too")


def test_a_cell_whose_vectors_reject_nothing_says_so() -> None:
    assert entry({}, "VALUE-3").redundant == "no known fault is rejected by its vectors"


def test_a_cell_without_vectors_needs_a_reason() -> None:
    assert without_vectors(("PURITY-3", "float16")).startswith("no vector: ")
    with pytest.raises(LookupError, match="VALUE-1 float32 has no vector"):
        without_vectors(("VALUE-1", "float32"))


def test_a_fault_is_run_on_a_fresh_backend_each_time() -> None:
    first_zero = faults_by_name()["first-call-zero"]
    items = [i for i in cells()["VALUE-1", "float32"] if i.part == "loss"][:3]
    assert len(rejecting(first_zero, items)) == 3


def test_every_item_that_rejects_a_fault_is_found() -> None:
    name, ids = killed("weight-negative-rejected")
    assert name == "weight-negative-rejected"
    assert set(ids) == {i.id for i in rejecting(faults_by_name()[name], vector_items())}
    assert set(ids) & set(ids_of("WEIGHT-3", "float32"))


def test_the_file_is_what_is_written() -> None:
    assert necessity.FILE.read_text(encoding="utf-8") == rendered(LISTED)


def test_another_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text('{"format": "multimargin-needed-vectors", "version": 2, "cells": []}', encoding="utf-8")
    with pytest.raises(ValueError, match="2, but should be multimargin-needed-vectors 1"):
        read(path)


@pytest.mark.parametrize(("lines", "status", "text"), [([], 0, "is current: "), (["VALUE-1 float32: x"], 1, ": x")])
def test_check_tells_by_its_status(
    lines: list[str],
    status: int,
    text: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["needed", "--check"])
    monkeypatch.setattr(necessity, "differences", lambda _jobs: lines)
    assert needed.main() == status
    assert text in capsys.readouterr().out


def test_the_file_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["needed"])
    monkeypatch.setattr(necessity, "FILE", tmp_path / "needed.json")
    monkeypatch.setattr(necessity, "measured", lambda _jobs: {})
    assert needed.main() == 0
    assert wrong_cells(read(tmp_path / "needed.json")) == []
    assert "0 needed" in capsys.readouterr().out


@pytest.mark.skipif(not SLOW, reason="runs every known fault on every vector: a quarter of an hour")
def test_the_file_is_what_is_computed() -> None:
    assert needs(necessity.measured(os.cpu_count() or 1)) == LISTED
