"""What a run says about each profile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from multimargin_reports import Report
from multimargin_reports.conclusions import PROFILES, WORDS, headline
from multimargin_reports.content import conclusions

LOSS, GRADIENT = "VALUE-1/float32/a/loss", "GRADIENT-1/float64/b/gradient"
DOUBLE = "VALUE-1/float64/a/loss"
HALVES = ("VALUE-1/float16/a/loss", "VALUE-1/bfloat16/a/gradient")
CLASS = ("CLASS-5/float32/a/gradient", "CLASS-5/float64/a/loss")
UNKNOWN, EXPECTED = {"status": "fail"}, {"status": "fail", "known": "it is so"}
ALL = (LOSS, DOUBLE, GRADIENT, *HALVES, *CLASS)
NOTHING = "Not checked: this run has no checks of it."

Make = Callable[..., Any]


@pytest.fixture
def said(make_report: Make, make_verdict: Make) -> Callable[..., dict[str, str]]:
    """Return what gives the sentences by profile for ids, those in `changed` with other fields."""

    def sentences(*ids: str, changed: dict[str, dict[str, Any]] | None = None, **fields: Any) -> dict[str, str]:
        verdicts = [make_verdict(id_, **(changed or {}).get(id_, {})) for id_ in ids]
        found = conclusions(make_report(*verdicts, **fields))
        assert [c.profile for c in found] == list(PROFILES)
        assert all(c.sentence.startswith(f"{WORDS[c.status]}: ") and "\n" not in c.sentence for c in found)
        return {c.profile: c.sentence for c in found}

    return sentences


Said = Callable[..., dict[str, str]]


def test_all_pass(said: Said) -> None:
    assert said(*ALL) == {
        "core": "Conformant: 2 checks pass.",
        "training": "Conformant: 3 checks pass.",
        "half": "Conformant: 2 checks pass.",
        "torch": "Conformant: 2 checks pass.",
    }


@pytest.mark.parametrize(
    ("id_", "broken"),
    [
        (LOSS, {"core", "training"}),
        (GRADIENT, {"training"}),
        (HALVES[0], {"half"}),
        (HALVES[1], {"half"}),
        (CLASS[0], {"torch"}),
    ],
)
def test_a_failure_counts_where_it_belongs(said: Said, id_: str, broken: set[str]) -> None:
    found = said(*ALL, changed={id_: UNKNOWN})
    assert {profile for profile, text in found.items() if text.startswith("Not conformant")} == broken


def test_a_failure_belongs_to_what_its_check_asked_for(said: Said) -> None:
    found = said(*CLASS, changed={CLASS[1]: {**UNKNOWN, "clause": "REDUCTION-4"}})
    assert found["core"] == NOTHING
    assert found["torch"] == "Not conformant: 1 of 2 checks fails a MUST (REDUCTION-4)."


def test_a_profile_without_verdicts_is_not_checked(said: Said) -> None:
    found = said(LOSS, DOUBLE)
    assert found["core"].startswith("Conformant")
    assert found["training"] == "Not checked: this run has no gradients."
    assert found["half"] == found["torch"] == NOTHING
    skipped = said(*HALVES, changed={id_: {"status": "skip"} for id_ in HALVES})
    assert skipped["half"] == "Not checked: all 2 checks were skipped."


def test_should_is_mentioned_and_does_not_count(said: Said) -> None:
    found = said(*ALL, changed={LOSS: {**UNKNOWN, "level": "SHOULD"}})
    assert found["core"] == "Conformant: 1 check passes; 1 fails a SHOULD (VALUE-1)."
    alone = said(HALVES[0], changed={HALVES[0]: {**UNKNOWN, "level": "SHOULD"}})
    assert alone["half"].startswith("Not conformant: 0 checks pass; 1 fails a SHOULD")


def test_known_failures_are_said(said: Said) -> None:
    found = said(*ALL, changed={LOSS: EXPECTED})
    assert found["core"] == "As expected, not conformant: 1 of 2 checks fails a MUST, as was expected (VALUE-1)."
    both = said(*ALL, changed={LOSS: EXPECTED, DOUBLE: UNKNOWN})
    assert both["core"] == "Not conformant: 1 of 2 checks fails a MUST (VALUE-1); 1 more is a known failure."


def test_clauses_are_named_as_far_as_there_is_room(said: Said) -> None:
    ids = [f"VALUE-{n}/float32/a/loss" for n in range(1, 7)]
    text = said(*ids, changed=dict.fromkeys(ids, UNKNOWN))["core"]
    assert "6 of 6 checks fail a MUST (VALUE-1, VALUE-2, VALUE-3, VALUE-4 and 2 more clauses)" in text


@pytest.mark.parametrize(
    ("fields", "first"),
    [
        ({"complete": False}, "it was not completed"),
        ({"planned": 9}, "7 of 9 planned checks have a verdict"),
        ({"not_started": {"reason": "x", "stderr": ""}}, "the backend could not be started"),
        ({"changed": {HALVES[0]: {"status": "error"}}}, "the suite itself broke in 1 check"),
    ],
)
def test_an_invalid_run_says_so_first(said: Said, fields: dict[str, Any], first: str) -> None:
    found = said(*ALL, **fields)
    assert found["core"] == f"Proves nothing: {first}; so far 2 checks pass."
    assert all(text.startswith("Proves nothing: ") for text in found.values())


def test_an_empty_run_proves_nothing(said: Said) -> None:
    assert set(said().values()) == {"Proves nothing: nothing was planned; this run has no checks of it."}


@pytest.mark.parametrize(
    ("claim", "core", "torch"),
    [
        ("full, p = 1 only", "p = 1", "p = 1"),
        ("full, float32 and float64 only", "", ""),
        ("full, bfloat16 only, no gradient", "", ""),
        ("full, function only", "", "function"),
        ("full, with permission: x, only checks 'VALUE-*'", "with permission: x, only checks 'VALUE-*'", None),
    ],
)
def test_a_narrowed_claim_is_said(said: Said, claim: str, core: str, torch: str | None) -> None:
    found = said(*ALL, claim=claim)
    for profile, words in (("core", core), ("torch", core if torch is None else torch)):
        text = f"Conformant: 2 checks pass{f'; narrowed to: {words}' if words else ''}."
        assert found[profile] == text


def test_dtypes_and_shards_narrow(said: Said) -> None:
    assert said(LOSS)["core"].endswith("; narrowed to: float32.")
    assert said(LOSS, DOUBLE, options={"shard": {"part": 1}})["core"].endswith("; narrowed to: one shard of a run.")
    assert len(said(LOSS, claim="full, " + "x" * 5000)["core"]) < 300


@pytest.mark.parametrize(
    ("fields", "status", "text"),
    [
        ({}, "conformant", "Conformant to full"),
        ({"stale": ("one",)}, "known", "Conformant to full, but 1 expected failure did not happen"),
        ({"changed": UNKNOWN}, "not conformant", "Not conformant to full"),
        ({"changed": EXPECTED}, "known", "As expected, not conformant to full"),
        ({"complete": False}, "invalid", "This run proves nothing: it was not completed"),
    ],
)
def test_the_headline(make_report: Make, make_verdict: Make, fields: dict[str, Any], status: str, text: str) -> None:
    given = dict(fields)
    verdicts = make_verdict(LOSS, **given.pop("changed", {})), make_verdict(DOUBLE)
    made: Report = make_report(*verdicts, **given)
    assert headline(made) == (status, text)
