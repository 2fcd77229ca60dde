"""The fault x clause matrix and the self-test's processes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from multimargin_conformance import matrix, selftest
from multimargin_conformance.checks.item import Item
from multimargin_conformance.cli import main
from multimargin_conformance.kills import mapped, vector_items
from multimargin_conformance.matrix import Matrix, Row, as_json, as_markdown, as_text
from multimargin_reference.known import FAULTS, VARIANTS
from multimargin_vectors import by_id

ROWS = (
    Row("one", ("VALUE-1",), {"VALUE-1": 3, "GRADIENT-4": 2}),
    Row("two", ("WEIGHT-1",), {"VALUE-1": 1}),
    Row("three", ("PURITY-3",), {}),
)


@pytest.fixture
def few_items(monkeypatch: pytest.MonkeyPatch) -> tuple[Item, ...]:
    """Plan a few vectors only."""
    items = tuple(i for i in vector_items() if i.clause in ("VALUE-1", "WEIGHT-3") and i.dtype == "float32")[::8]
    monkeypatch.setattr(matrix, "_planned", lambda: items)
    return items


def test_a_row_counts_every_check_that_rejects(few_items: tuple[Item, ...]) -> None:
    found = matrix.row("no-hinge")
    assert found.fault == "no-hinge"
    assert set(found.rejected_by) <= {i.clause for i in few_items}
    assert sum(found.rejected_by.values()) > 10
    assert found.foreseen == bool({"VALUE-1", "VALUE-3"} & set(found.rejected_by))
    changed = sum(bool(by_id()[i.case].case.target.any()) for i in few_items)
    assert matrix.row("target-zeroed").rejected_by == {"PURITY-1": changed}


def test_what_is_foreseen_is_named() -> None:
    assert [row.foreseen for row in ROWS] == [True, False, False]


def test_faults_by_clause() -> None:
    found = Matrix(ROWS)
    assert [row.fault for row in found.rejecting("VALUE-1")] == ["one", "two"]
    assert [row.fault for row in found.alone("VALUE-1")] == ["two"]
    assert "VALUE-1" not in found.unneeded
    assert "GRADIENT-4" in found.unneeded
    assert not any(clause.startswith("CLASS") for clause in found.clauses)


def test_json_holds_every_fault_and_clause() -> None:
    data = json.loads(as_json(Matrix(ROWS)))
    assert [fault["fault"] for fault in data["faults"]] == ["one", "two", "three"]
    assert data["faults"][0]["rejected_by"] == {"VALUE-1": 3, "GRADIENT-4": 2}
    assert {"clause": "VALUE-1", "faults": 2, "alone": ["two"]} in data["clauses"]


def test_markdown_counts_by_group() -> None:
    lines = as_markdown(Matrix(ROWS)).splitlines()
    (one,) = (line for line in lines if line.startswith("| one"))
    assert [cell.strip() for cell in one.split("|")[1:5]] == ["one", "VALUE-1", "yes", "3"]


def test_text_shows_what_is_missed_and_not_foreseen() -> None:
    lines = as_text(Matrix(ROWS)).splitlines()
    assert lines[:3] == [
        "one: GRADIENT-4 2, VALUE-1 3",
        "two: VALUE-1 1 (not foreseen)",
        "three: MISSED (not foreseen)",
    ]
    assert lines[-1].startswith("clauses that no fault needs: VALUE-2 ")


def chosen(*names: str) -> list[selftest.Fault]:
    return [fault for fault in FAULTS if fault.name in names]


@pytest.mark.usefixtures("few_items")
def test_the_matrix_decides_what_is_missed() -> None:
    seen: list[tuple[int, int]] = []
    outcome = selftest.selftest(chosen("no-hinge", "kink-full"), (), lambda *done: seen.append(done), matrix=True)
    assert outcome.matrix is not None
    assert [d.fault.name for d in outcome.missed] == ["kink-full"]
    assert seen == [(1, 2), (2, 2)]
    assert not outcome.passed


def test_processes_find_what_one_finds() -> None:
    faults, variants = chosen("no-hinge", "reduction-absent-means-none"), ()
    assert selftest.selftest(faults, variants, jobs=2) == selftest.selftest(faults, variants)


def test_values_are_mapped_in_order() -> None:
    assert list(mapped(abs, [-3, 2, -1], 2)) == list(mapped(abs, [-3, 2, -1])) == [3, 2, 1]


def test_a_false_alarm_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selftest, "accuse", lambda variant: f"{variant.name} is wrong")
    outcome = selftest.selftest((), VARIANTS[:1])
    assert [alarm.message for alarm in outcome.false_alarms] == [f"{VARIANTS[0].name} is wrong"]
    assert not outcome.passed


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["selftest", *arguments])
    return result.exit_code, result.output


@pytest.mark.usefixtures("few_items")
def test_the_command_writes_the_matrix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = selftest.selftest
    monkeypatch.setattr(selftest, "selftest", lambda **options: whole(chosen("no-hinge"), (), **options))
    status, output = run("--matrix", "--output", str(tmp_path / "out"))
    assert "no-hinge: " in output
    assert "detection 1 of 1, false alarms 0 of 0" in output
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["matrix.json", "matrix.md"]
    assert json.loads((tmp_path / "out" / "matrix.json").read_text())["faults"][0]["fault"] == "no-hinge"
    assert status in (0, 1)


def test_output_is_for_the_matrix(tmp_path: Path) -> None:
    assert run("--output", str(tmp_path)) == (2, "Error: --output writes the matrix: add --matrix\n")


def test_no_process_is_no_number_of_processes() -> None:
    status, output = run("-j", "0")
    assert status == 2
    assert "0 is not in the range x>=1" in output
