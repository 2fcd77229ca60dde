"""Two reports compared: what is a regression, what is a change, and what is noise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from multimargin_reports import Accuracy, Behaviour, Cause, Failure, Report, Verdict
from multimargin_reports.compare import compare, render

MACHINE = {"multimargin": "0.1.0", "vectors_sha256": "0" * 64, "machine": "x86_64", "cpu": "A", "cpus": 2}


def verdict(number: int, status: str = "pass", clause: str = "VALUE-4", **fields: Any) -> Verdict:
    failure = Failure("loss = 1, but should be 2", "forward(...)", "multimargin replay x") if status == "fail" else None
    given = {"title": "target term", "level": "MUST", "dtype": "float32", "failure": failure} | fields
    return Verdict(f"{clause}/{given['dtype']}/{number}", clause, status=status, **given)


def figures(accuracy_class: str = "in-dtype", largest: float = 2.0) -> Accuracy:
    return Accuracy("float32", "loss", 9, largest, 0.25, 0.5, 0.5, 0.0, accuracy_class, (0.0,) * 9)


def report(*verdicts: Verdict, **fields: Any) -> Report:
    given: dict[str, Any] = {
        "backend": {"name": "kernel", "version": "1.2", "device": "cpu"},
        "profile": "training",
        "claim": "training",
        "planned": len(verdicts),
        "verdicts": verdicts,
        "environment": MACHINE,
        "options": {"seed": 0, "isolated": True},
        "accuracy": (figures(),),
        "behaviours": (Behaviour("NaN", "SPECIAL-7", "loss", "float32", ("dropped",)),),
        "timing": (1.0, 1.1, 1.2),
    }
    return Report(**given | fields)


OLD = report(verdict(0), verdict(1), verdict(2, "fail"))
# What changes, the sort of change, and whether it is one for the worse.
CHANGES: dict[str, tuple[Report, str, bool]] = {
    "a check fails": (
        replace(OLD, verdicts=(verdict(0), verdict(1, "fail"), verdict(2, "fail"))),
        "newly failing",
        True,
    ),
    "a check passes": (replace(OLD, verdicts=(verdict(0), verdict(1), verdict(2))), "newly passing", False),
    "a new check fails": (
        replace(OLD, verdicts=(*OLD.verdicts, verdict(3, "fail")), planned=4),
        "failing, not in the old report",
        True,
    ),
    "a check is gone": (replace(OLD, verdicts=OLD.verdicts[1:], planned=2), "no longer checked", True),
    "a check is skipped": (
        replace(OLD, verdicts=(verdict(0, "skip"), *OLD.verdicts[1:])),
        "no longer checked",
        True,
    ),
    "fewer were asked for": (
        replace(OLD, verdicts=OLD.verdicts[1:], planned=2, profile="core", claim="core"),
        "no longer checked",
        False,
    ),
    "a behaviour": (
        replace(OLD, behaviours=(replace(OLD.behaviours[0], answers=("propagated",)),)),
        "changed behaviour",
        True,
    ),
    "a better class": (replace(OLD, accuracy=(figures("within 1 ULP", 0.9),)), "other accuracy class", False),
    "a worse error": (replace(OLD, accuracy=(figures(largest=2.5),)), "other accuracy, of one class", False),
    "slower": (replace(OLD, timing=(1.21, 1.3, 1.5)), "slower", True),
    "faster": (replace(OLD, timing=(0.7, 0.8, 0.9)), "faster", False),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_found(name: str) -> None:
    new, kind, regression = CHANGES[name]
    found = compare(OLD, new)
    assert [(c.kind, c.regression) for c in found.changes] == [(kind, regression)]
    assert ("REGRESSION: 1" in render(found)) is regression
    assert f"\n{kind}:\n" in render(found)


def test_a_worse_class_is_a_regression() -> None:
    better = replace(OLD, accuracy=(figures("within 1 ULP", 0.9),))
    assert [c.kind for c in compare(better, OLD).regressions] == ["other accuracy class"]


NOTHING: dict[str, Report] = {
    "the same": OLD,
    "rounds that overlap are noise": replace(OLD, timing=(1.15, 1.4, 2.0)),
    "another machine": replace(OLD, timing=(5.0, 6.0, 7.0), environment=MACHINE | {"cpu": "B"}),
    "another way of calling": replace(OLD, timing=(5.0, 6.0, 7.0), options={"seed": 0, "isolated": False}),
    "no timing": replace(OLD, timing=()),
    "a SHOULD": replace(OLD, verdicts=(verdict(0, "fail", level="SHOULD"), *OLD.verdicts[1:])),
    "a known failure": replace(OLD, verdicts=(verdict(0, "fail", known="#1"), *OLD.verdicts[1:])),
    "a behaviour that was not asked for before": replace(
        OLD, behaviours=(*OLD.behaviours, Behaviour("inf - inf", "SPECIAL-8", "loss", "float32", ("dropped",)))
    ),
}


@pytest.mark.parametrize("name", NOTHING)
def test_what_is_no_change(name: str) -> None:
    assert compare(OLD, NOTHING[name]).changes == ()
    assert render(compare(OLD, NOTHING[name])).endswith("no regression")


def test_what_failed_as_expected_does_not_newly_fail_without_the_expectation() -> None:
    old = replace(OLD, verdicts=(verdict(0, "fail", known="#1"), *OLD.verdicts[1:]))
    assert compare(old, replace(OLD, verdicts=(verdict(0, "fail"), *OLD.verdicts[1:]))).changes == ()


@pytest.mark.parametrize("broken", [replace(OLD, complete=False), replace(OLD, planned=9), report()])
def test_a_run_that_is_not_whole_is_compared_with_nothing(broken: Report) -> None:
    for found in (compare(OLD, broken), compare(broken, OLD)):
        assert "proves nothing" in found.reason
        assert found.changes == ()
        assert "INVALID" in render(found)


def test_failures_are_grouped_by_their_cause() -> None:
    wrong = (verdict(0, "fail"), verdict(1, "fail", dtype="float64"), verdict(2, "fail"))
    cause = Cause("equals: the kink is full", (wrong[0].id, wrong[1].id))
    old = replace(OLD, verdicts=(verdict(0), verdict(1, dtype="float64"), verdict(2, "fail")))
    (change,) = compare(old, replace(OLD, verdicts=wrong, causes=(cause,))).changes
    assert change.text.startswith("equals: the kink is full: 2 checks of VALUE-4 (float32, float64)")


def test_hostile_text_stays_on_its_line() -> None:
    hostile = "x\nREGRESSION: 0\x1b[2J"
    new = replace(
        OLD,
        backend={"name": hostile, "version": hostile},
        verdicts=(verdict(0, "fail", failure=Failure(hostile, "", "")), *OLD.verdicts[1:]),
        behaviours=(replace(OLD.behaviours[0], answers=(hostile,)),),
    )
    text = render(compare(OLD, new))
    assert "\x1b" not in text
    assert "\nREGRESSION: 0" not in text
