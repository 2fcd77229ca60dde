"""`multimargin explain`: clauses, groups and checks; and the table of clauses."""

from __future__ import annotations

import re
from typing import Any

import pytest
from click.testing import CliRunner, Result

from multimargin_conformance.checks import clauses_checked
from multimargin_conformance.cli import main
from multimargin_reference.clauses import CLAUSES, GROUPS
from multimargin_reference.known import FAULTS
from multimargin_vectors import load


def run(*words: str) -> Result:
    return CliRunner().invoke(main, words)


def error(result: Result) -> str:
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    return line


@pytest.mark.parametrize("clause", CLAUSES.values(), ids=CLAUSES)
def test_every_clause_is_explained(clause: Any) -> None:
    result = run("explain", clause.id.lower())
    assert result.exit_code == 0
    text = " ".join(result.stdout.split())
    for words in (clause.label, f"level {clause.level}, profile {clause.profile}", clause.source, clause.sentence):
        assert " ".join(words.split()) in text
    assert " ".join(clause.example.split()) in text
    named = [fault for fault in FAULTS if clause.id in fault.clauses]
    assert f"Known faults that it must catch: {len(named)}" in text or not named
    assert all(f"{fault.name}: {fault.sentence}" in text for fault in named[:3])
    vectors = sum(clause.id in (*v.clauses, *v.gradient_clauses) for v in load())
    assert f"Checked by {vectors} vectors" in text or not vectors
    assert (f"--clause {clause.id}" in text) is (clause.id in clauses_checked())


@pytest.mark.parametrize("clause", [c for c in CLAUSES if c in clauses_checked()][::9])
def test_the_command_that_a_clause_names_runs_it_alone(clause: str) -> None:
    line = next(line for line in run("explain", clause).stdout.splitlines() if line.startswith("To check it alone"))
    backend = "torch-reference" if clause.startswith("CLASS") else "reference"
    if backend != "reference":
        pytest.importorskip("torch", reason="PyTorch is not installed")
    words = line.partition("multimargin ")[2].replace("BACKEND", backend).split()
    result = run(*words)
    assert result.exit_code == 0
    assert f"only checks '{clause}'" in result.stdout


@pytest.mark.parametrize("group", GROUPS)
def test_every_group_is_explained(group: str) -> None:
    result = run("explain", group)
    text = " ".join(result.stdout.split())
    assert result.exit_code == 0
    assert all(" ".join(c.sentence.split()) in text for c in CLAUSES.values() if c.group == group)
    assert not any(c.label in text for c in CLAUSES.values() if c.group != group)


@pytest.mark.parametrize("name", ["VALUE-99", "NOTHING-1", "value-0"])
def test_clauses_that_are_not_there_are_usage_errors(name: str) -> None:
    assert "multimargin clauses" in error(run("explain", name))


@pytest.mark.parametrize("group", GROUPS)
def test_the_table_of_a_group(group: str) -> None:
    result = run("clauses", "--group", group.lower())
    assert result.exit_code == 0
    rows = [re.split(r" {2,}", line) for line in result.stdout.splitlines()[2:]]
    members = [clause for clause in CLAUSES.values() if clause.group == group]
    assert [row[:3] for row in rows] == [[c.label, c.level, c.profile] for c in members]
    for clause, row in zip(members, rows, strict=True):
        vectors = sum(clause.id in (*v.clauses, *v.gradient_clauses) for v in load())
        others = len([text for text in clauses_checked().get(clause.id, []) if not text.startswith("vector ")])
        faults = sum(clause.id in fault.clauses for fault in FAULTS)
        assert [int(cell) for cell in row[3:]] == [vectors, others, faults]


def test_an_unknown_group_is_a_usage_error() -> None:
    assert ", ".join(GROUPS) in error(run("clauses", "--group", "NOTHING"))


def test_a_check_of_a_vector_is_explained_by_its_case() -> None:
    vector = next(v for v in load() if v.clauses)
    text = run("explain", f"{vector.clauses[0]}/{vector.case.dtype}/{vector.id}/loss").stdout
    assert text == run("explain", vector.id).stdout


def test_a_check_that_makes_calls_of_its_own_is_explained_by_its_clause() -> None:
    id_ = "GRADIENT-4/float32/magnitudes-tied-logits/gradient"
    text = run("explain", id_).stdout
    assert text.startswith(run("explain", "GRADIENT-4").stdout.rstrip())
    assert f"multimargin explain REPORT#{id_}" in text


def test_a_check_of_a_clause_that_is_not_there_is_a_usage_error() -> None:
    assert "multimargin clauses" in error(run("explain", "VALUE-99/float32/nothing/loss"))
