"""JUnit XML and badges: what common viewers accept, and that nothing in a report can leave its place."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import xmlschema

from multimargin_reports import Failure, Report, Verdict
from multimargin_reports.badge import message, shields
from multimargin_reports.badge import render as badge
from multimargin_reports.junit import render as junit

SCHEMA = xmlschema.XMLSchema(str(Path(__file__).parent / "junit.xsd"))
HOSTILE = "<script>alert('x')</script> & ]]> \x00\x1b[31m \u202ertl \ud800 \ufffe"


def verdict(number: int, status: str = "pass", clause: str = "VALUE-4", **fields: Any) -> Verdict:
    failure = Failure("loss = 1, but should be 2", "forward(...)", "multimargin replay x") if status == "fail" else None
    given = {"title": "target term", "level": "MUST", "dtype": "float32", "failure": failure} | fields
    return Verdict(f"{clause}/{given['dtype']}/{number}", clause, status=status, **given)


def report(*verdicts: Verdict, **fields: Any) -> Report:
    given: dict[str, Any] = {"profile": "training", "claim": "training", "planned": len(verdicts), "verdicts": verdicts}
    return Report(**{"backend": {"name": "kernel", "version": "1.2", "device": "cpu"}, **given, **fields})


RIGHT = report(verdict(0), verdict(1), verdict(2, clause="PURITY-2"))
WRONG = report(
    verdict(0),
    verdict(1, "fail"),
    verdict(2, "fail", dtype="float64"),
    verdict(3, clause="PURITY-2"),
    verdict(4, "skip", "PURITY-3", reason="not run"),
    verdict(5, "fail", "SHAPE-1", level="SHOULD"),
)
KNOWN = report(verdict(0), verdict(1, "fail", known="#7, by someone"))
BROKEN = report(verdict(0), verdict(1, "error", reason="the suite itself failed"))
CUT = report(verdict(0), complete=False)
EMPTY = report()
HOSTILE_REPORT = report(
    verdict(0, "fail", failure=Failure(HOSTILE * 3, HOSTILE, HOSTILE)),
    backend={"name": HOSTILE, "version": HOSTILE, "device": ""},
    environment={"cpu": HOSTILE},
)
ALL = {
    "right": RIGHT,
    "wrong": WRONG,
    "known": KNOWN,
    "broken": BROKEN,
    "cut": CUT,
    "empty": EMPTY,
    "hostile": HOSTILE_REPORT,
}


@pytest.mark.parametrize("name", ALL)
def test_junit_is_what_a_strict_schema_accepts(name: str) -> None:
    SCHEMA.validate(junit(ALL[name]))


@pytest.mark.parametrize("name", ALL)
def test_junit_counts_are_those_of_its_elements(name: str) -> None:
    root = ElementTree.fromstring(junit(ALL[name]))
    for node in (root, *root.iter("testsuite")):
        assert int(node.get("tests", "-1")) == len(list(node.iter("testcase")))
        assert int(node.get("failures", "-1")) == len(list(node.iter("failure")))
        assert int(node.get("errors", "-1")) == len(list(node.iter("error")))


def test_junit_has_a_case_for_each_clause_and_dtype() -> None:
    root = ElementTree.fromstring(junit(WRONG))
    found = {case.get("name"): [child.tag for child in case] for case in root.iter("testcase")}
    assert found == {
        "VALUE-4 target term [float32]": ["failure"],
        "VALUE-4 target term [float64]": ["failure"],
        "PURITY-2 target term [float32]": [],
        "PURITY-3 target term [float32]": ["skipped"],
        "SHAPE-1 target term [float32]": ["skipped"],
    }


@pytest.mark.parametrize(("name", "errors"), [("right", 0), ("known", 0), ("broken", 2), ("cut", 1), ("empty", 1)])
def test_junit_of_a_run_that_proves_nothing_does_not_look_right(name: str, errors: int) -> None:
    assert ElementTree.fromstring(junit(ALL[name])).get("errors") == str(errors)


def test_junit_says_why_a_known_failure_is_skipped() -> None:
    (skipped,) = ElementTree.fromstring(junit(KNOWN)).iter("skipped")
    assert "#7, by someone" in skipped.get("message", "")


def test_junit_names_a_few_failures_and_counts_the_rest() -> None:
    root = ElementTree.fromstring(junit(report(*(verdict(number, "fail") for number in range(50)))))
    (failure,) = root.iter("failure")
    assert failure.get("message") == "50 of 50 checks fail"
    assert failure.text is not None
    assert failure.text.count("replay:") == 5
    assert failure.text.endswith("and 45 more")


@pytest.mark.parametrize(
    ("name", "text", "state"),
    [
        ("right", "training: conformant", "right"),
        ("wrong", "training: 1 clause fails", "wrong"),
        ("known", "training: known failures", "known"),
        ("broken", "training: invalid", "invalid"),
        ("cut", "training: invalid", "invalid"),
        ("empty", "training: invalid", "invalid"),
    ],
)
def test_a_badge_says_what_the_report_does(name: str, text: str, state: str) -> None:
    assert message(ALL[name]) == (text, state)
    assert ">" + text + "<" in badge(ALL[name])
    assert json.loads(shields(ALL[name]))["message"] == text
    assert json.loads(shields(ALL[name]))["isError"] is (state == "invalid")


def test_a_narrowed_run_is_no_unlimited_claim() -> None:
    assert message(replace(RIGHT, claim="training, float32 only"))[0] == "training (limited): conformant"


def test_a_stale_expectation_is_not_as_expected() -> None:
    assert message(replace(RIGHT, stale=("entry 1",)))[1] == "right"  # conformant all the same
    assert message(replace(KNOWN, stale=("entry 1",)))[1] == "wrong"


@pytest.mark.parametrize("name", ALL)
def test_a_badge_is_xml(name: str) -> None:
    ElementTree.fromstring(badge(replace(ALL[name], profile=HOSTILE, claim=HOSTILE)))
