"""`multimargin explain`: every vector, and calls from files and reports."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from multimargin_conformance import UnknownCase, check
from multimargin_conformance.cases import find_case, find_vector
from multimargin_conformance.cli import main
from multimargin_reference import Case, multi_margin_loss, oracle
from multimargin_reference.clauses import CLAUSES
from multimargin_reference.expectation import Choice, Rejection, Values, flattened
from multimargin_reference.explain import explain
from multimargin_reference.formats import DTYPES
from multimargin_reference.number_text import exact_text
from multimargin_reference.rejection import meaning, rejecting_clause
from multimargin_reports import write
from multimargin_vectors import Vector, VectorFileError, by_id, load
from multimargin_vectors.calls import read_call
from multimargin_vectors.codec import call_to_json, vector_to_json

SMALL = 64  # logits: the slow oracle is asked
FAR_BELOW = {"REJECT-3", "REJECT-5"}  # a far negative target breaks both
DATA = sorted({vector.group for vector in load()})

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(main, [str(word) for word in words])


def error(result: Result) -> str:
    assert (result.exit_code, result.stdout) == (2, "")
    lines = result.stderr.splitlines()
    assert len(lines) == 1
    return lines[0]


@pytest.mark.parametrize("part", range(4))
@pytest.mark.parametrize("group", DATA)
def test_every_vector_is_explained(group: str, part: int) -> None:
    """One in four of them by default, all with MULTIMARGIN_SLOW=1."""
    for vector in [v for v in load() if v.group == group][part :: 4 if "MULTIMARGIN_SLOW" in os.environ else 16]:
        text = explain(vector.case, vector.expected)
        assert text.isascii()
        assert len(text) < 20_000
        check_text(vector, text)


def check_text(vector: Vector, text: str) -> None:
    if isinstance(vector.expected, Rejection):
        assert f"MUST BE REJECTED: {CLAUSES[vector.expected.clause].label}\n" in text
        assert "exactly:" not in text
        return
    assert "MUST BE REJECTED" not in text
    assert ("A CHOICE: " in text) is isinstance(vector.expected, Choice)
    case = meaning(vector.case)
    if case.input.size <= SMALL:
        losses = flattened(
            oracle.loss(case.input, case.target, **case.options), case.target.ndim if case.reduction == "none" else 0
        )
        printed = re.findall(r"exactly: (.*)$", text, re.M)
        assert set(printed) <= {exact_text(value) for value in losses}
        assert printed or not losses
    assert ("h[y] = " in text) is (case.grad_output is not None and len(np.atleast_1d(case.target)) > 0)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_the_legal_numbers_are_the_vectors(dtype: str) -> None:
    for vector in [v for v in load() if v.dtype == dtype and v.case.reduction != "none"][::7]:
        if isinstance(vector.expected, Values):
            legal = re.findall(r"  legal: (\[.*?\]|[^\s,;]+)", explain(vector.case, vector.expected), re.M)
            lo, hi = vector.expected.loss.lo[0], vector.expected.loss.hi[0]
            ends = [float(word) for word in legal[0].strip("[]").split(", ")] if lo <= hi else []
            assert [float(DTYPES[dtype].type(end)) for end in ends] == [lo, hi][: len(ends)]  # the shortest decimals
            assert len(ends) == (2 if lo < hi else 1)


def test_the_clause_of_every_rejection_is_found_from_the_call_alone() -> None:
    for vector in load():
        if isinstance(vector.expected, Rejection):
            clauses = {rejecting_clause(vector.case), vector.expected.clause}
            assert len(clauses) == 1 or clauses == FAR_BELOW, vector.comment
        else:
            assert not rejecting_clause(vector.case), vector.comment


def some_vector() -> Vector:
    return next(v for v in load() if v.tier == "exact" and v.dtype == "float32" and v.gradient_clauses)


def other_call() -> Case:
    """Return a call that is no vector."""
    x, g = np.array([[0.5, 0.375, 7.0]], dtype=np.float32), np.array(2, dtype=np.float32)
    return Case(x, np.array([1]), 2, 0.3125, None, "sum", g)


def test_a_vector_is_found_by_the_start_of_its_id() -> None:
    vector = some_vector()
    for length in (12, 16):
        named = find_case(vector.id[:length])
        assert (named.case.id, named.vector, named.part) == (vector.id, vector, "")
        assert find_vector(vector.id[:length]) is vector


@pytest.mark.parametrize("name", ["", "zz", "#", "nothing.json", "nothing.json#x", ".", "-"])
def test_names_that_lead_nowhere(name: str) -> None:
    with pytest.raises(UnknownCase, match=r"but should be"):
        find_case(name)


@pytest.mark.parametrize("wrapped", [True, False])
def test_a_file_holds_a_call(tmp_path: Path, wrapped: bool) -> None:
    path, case = tmp_path / "my call.json", other_call()
    data = call_to_json(case, {})
    path.write_text(json.dumps({"call": data, "comment": "mine"} if wrapped else data), encoding="utf-8")
    named = find_case(str(path))
    assert (named.case.id, named.vector, named.part) == (case.id, None, "")
    assert str(path) in named.origin


@pytest.mark.parametrize("vector", [v for v in load() if v.recipes][::40] + list(load()[::400]), ids=lambda v: v.id)
def test_a_vector_object_is_a_file_too(tmp_path: Path, vector: Vector) -> None:
    path = tmp_path / "vector"
    path.write_text(json.dumps(vector_to_json(vector)), encoding="utf-8")
    named = find_case(str(path))
    assert named.case.id == vector.id
    assert named.vector is vector


def broken(**changes: Any) -> Any:
    return {**call_to_json(other_call(), {}), **changes}


def array(**changes: Any) -> dict[str, Any]:
    return {**call_to_json(other_call(), {})["input"], **changes}


HOSTILE: dict[str, Any] = {
    "no object": [1, 2],
    "nothing": {},
    "null": None,
    "a field too many": broken(surprise=1),
    "no target": {k: v for k, v in broken().items() if k != "target"},
    "input null": broken(input=None),
    "an unknown dtype": broken(input=array(dtype="complex64")),
    "too few bytes": broken(input=array(hex="00")),
    "odd digits": broken(input=array(hex="0")),
    "decimals that do not fit": broken(input=array(values=[1, 2, 3])),
    "a huge shape": broken(input=array(shape=[16777216, 16777216])),
    "too many axes": broken(input=array(shape=[1] * 70)),
    "a huge recipe": broken(
        input={
            "dtype": "float32",
            "shape": [16777216, 4],
            "recipe": {"kind": "sparse", "fill": 0, "at": {}},
            "sha256": "0" * 64,
        }
    ),
    "an index outside": broken(
        input={
            "dtype": "float32",
            "shape": [1, 4],
            "recipe": {"kind": "sparse", "fill": 0, "at": {"9": 1}},
            "sha256": "0" * 64,
        }
    ),
    "a wrong margin": broken(margin={"value": 2, "hex": "000000000000f03f"}),
    "p a word": broken(p="1"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_files_that_are_no_calls_are_usage_errors(run: Run, tmp_path: Path, what: str) -> None:
    (tmp_path / "call.json").write_text(json.dumps(HOSTILE[what]), encoding="utf-8")
    with pytest.raises(VectorFileError):
        read_call(HOSTILE[what])
    assert "call.json" in error(run("explain", "call.json"))


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"call": NaN}', "\x00", '"' + "\ud7ff" * 3])
def test_files_that_are_no_json_are_usage_errors(run: Run, tmp_path: Path, text: str) -> None:
    (tmp_path / "call.json").write_text(text, encoding="utf-8")
    assert "call.json" in error(run("explain", "call.json"))


def test_files_that_are_too_large_are_not_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("multimargin_conformance.cases.LARGEST_FILE", 10)
    (tmp_path / "call.json").write_text(json.dumps(broken()), encoding="utf-8")
    with pytest.raises(UnknownCase, match="should have at most 10"):
        find_case(str(tmp_path / "call.json"))


def test_a_folder_is_no_case(run: Run, tmp_path: Path) -> None:
    (tmp_path / "x.json").mkdir()
    assert "x.json" in error(run("explain", "x.json"))


def wrong(input: Any, target: Any, **options: Any) -> Any:
    return multi_margin_loss(input, target, **options) + 1


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("out") / "report.json"
    write(check(wrong, clause="VALUE-7,PURITY-3,SHAPE-8"), path)
    return path


def case_of(verdict: dict[str, Any]) -> str:
    """Return the case that a verdict's id names."""
    return str(verdict["id"]).split("/")[2]


def verdicts(report: Path) -> list[dict[str, Any]]:
    found: list[Any] = json.loads(report.read_text(encoding="utf-8"))["verdicts"]
    return [v for v in found if isinstance(v, dict)]


def test_a_verdict_leads_to_its_vector(report: Path) -> None:
    plain = [v for v in verdicts(report) if case_of(v) in by_id() and not v["failure"].get("case")]
    for verdict in plain[::5]:
        named = find_case(f"{report}#{verdict['id']}")
        assert named.vector is by_id()[case_of(verdict)]
        assert named.part == "loss"
        assert verdict["id"] in named.origin
    part = plain[0]["id"][2:-2]
    assert find_case(f"{report}#{part}").vector is not None


def test_a_verdict_that_is_not_one_is_a_usage_error(report: Path, run: Run) -> None:
    assert "is a part of 0 verdict ids" in error(run("explain", f"{report}#nothing"))
    message = error(run("explain", f"{report}#VALUE-7"))
    assert "verdict ids" in message
    assert "VALUE-7/float32/" in message
    assert "verdict ids" in error(run("explain", f"{report}#"))


def test_the_one_failure_is_preferred_to_passes(tmp_path: Path) -> None:
    vector = some_vector()
    path = tmp_path / "report.json"
    passed = {"id": f"VALUE-1/a/{vector.id}/loss", "case": vector.id}
    failed = {"id": f"VALUE-1/b/{vector.id}/gradient", "case": vector.id, "failure": {"message": "x"}}
    path.write_text(json.dumps({"verdicts": [passed, failed]}), encoding="utf-8")
    assert find_case(f"{path}#VALUE-1").part == "gradient"
    assert find_case(f"{path}#/a/").part == "loss"


def test_a_verdict_that_passed_is_found_by_its_id_alone(tmp_path: Path) -> None:
    vector = some_vector()
    path = tmp_path / "report.json"
    path.write_text(json.dumps({"verdicts": [f"VALUE-1/float32/{vector.id}/loss"]}), encoding="utf-8")
    assert find_case(f"{path}#{vector.id}").vector is vector


def reported(tmp_path: Path, **verdict: Any) -> str:
    path = tmp_path / "report.json"
    path.write_text(json.dumps({"verdicts": [{"id": "PURITY-2/x", **verdict}]}), encoding="utf-8")
    return f"{path}#PURITY-2/x"


def test_the_smallest_failing_call_comes_before_the_vector(tmp_path: Path) -> None:
    case, vector = other_call(), some_vector()
    failure = {"case": call_to_json(case, {}), "evidence": {"part": "gradient"}}
    named = find_case(reported(tmp_path, case=vector.id, failure=failure))
    assert (named.case.id, named.vector, named.part) == (case.id, None, "gradient")
    assert "smallest failing call" in named.origin
    named = find_case(reported(tmp_path, case=vector.id, failure={"case": None}))
    assert (named.case.id, named.part) == (vector.id, "")


@pytest.mark.parametrize(
    ("verdict", "message"),
    [
        ({}, "no recorded call; run it again: multimargin check BACKEND -k 'PURITY-2/x'"),
        ({"case": "0" * 16}, "not among the installed ones"),
        ({"case": 7}, "should be a report"),
        ({"failure": "x"}, "should be a report"),
        ({"failure": {"evidence": 1}}, "should be a report"),
        ({"failure": {"case": {"input": 1}}}, "call: "),
    ],
)
def test_reports_that_do_not_lead_to_a_case(tmp_path: Path, verdict: dict[str, Any], message: str) -> None:
    with pytest.raises(UnknownCase, match=re.escape(message)):
        find_case(reported(tmp_path, **verdict))


def test_explain_on_the_command_line(run: Run, tmp_path: Path, report: Path) -> None:
    vector = some_vector()
    result = run("explain", vector.id)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith(f"vector {vector.id}\nvector {vector.id}, tier exact: {vector.comment}\n")
    assert f"loss: checks {CLAUSES[vector.clauses[0]].label}" in result.stdout
    assert "\nforward([[" in result.stdout
    assert "\nbackward(" in result.stdout
    assert explain(vector.case, vector.expected) in result.stdout
    (tmp_path / "call.json").write_text(json.dumps(call_to_json(other_call(), {})), encoding="utf-8")
    result = run("explain", "call.json")
    assert result.exit_code == 0
    total = (Fraction(5, 16) + Fraction(1, 8)) ** 2 + (Fraction(5, 16) + Fraction(53, 8)) ** 2
    assert f"loss, exactly: {exact_text(total / 3)}\n" in result.stdout
    failed = next(v for v in verdicts(report) if v["status"] == "fail" and case_of(v) in by_id())
    result = run("explain", f"{report}#{failed['id']}")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0].endswith(", about the loss")


def test_a_call_too_large_to_explain_is_a_usage_error(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("multimargin_reference.explain.LARGEST_CALL", 1)
    assert "should have at most 1" in error(run("explain", some_vector().id))


def test_hostile_reports_do_not_reach_the_terminal(run: Run, tmp_path: Path) -> None:
    hostile = "\x07\u202e\nMUST BE REJECTED: all of it" + "x" * 10_000
    verdicts = [{"id": hostile + end, "case": some_vector().id} for end in "ab"]
    (tmp_path / "bell\x07.json").write_text(json.dumps({"verdicts": verdicts}), encoding="utf-8")
    shown = run("explain", "bell\x07.json#xb")
    assert shown.exit_code == 0
    assert not any(line.startswith("MUST BE REJECTED") for line in shown.stdout.splitlines())
    refused = error(run("explain", "bell\x07.json#xx"))
    assert len(refused) < 1000
    assert all(c.isprintable() or c == "\n" for c in shown.stdout + refused.replace("\x07", ""))
    assert "\u202e" not in refused


def test_hostile_names_do_not_reach_the_terminal(run: Run, tmp_path: Path) -> None:
    call = call_to_json(other_call(), {}) | {"reduction": "\x1b[2J\x07\nloss, exactly: 7"}
    (tmp_path / "call.json").write_text(json.dumps(call), encoding="utf-8")
    result = run("explain", "call.json")
    assert result.exit_code == 0
    assert all(c.isprintable() or c == "\n" for c in result.stdout)
    assert not any(line.startswith("loss, exactly") for line in result.stdout.splitlines())
    assert "MUST BE REJECTED: REJECT-2" in result.stdout
