"""Reports: what a run may claim, what a report file must be, and what the text may contain."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from multimargin_reports import (
    Accuracy,
    Behaviour,
    Cause,
    Failure,
    Report,
    ReportFileError,
    Verdict,
    from_json,
    read,
    to_json,
    write,
)
from multimargin_reports.content import number_rows, printable
from multimargin_reports.jsonfile import LARGEST_FILE, schema
from multimargin_reports.model import STATUSES
from multimargin_reports.terminal import MOST_FAILURES, render

MESSAGE = "loss[2] = 0.75, but should be 0.5 (exact grid: nothing rounds) [VALUE-4 target term, case a3f9c1e2]"
NUMBER = {"value": 0.75, "float_hex": "0x1.8p-1", "hex": "0000403f"}
FAILURE = Failure(
    MESSAGE,
    "forward([[0.5]], [0])  # float32",
    "multimargin replay a3f9c1e2 --backend kernel",
    {"ulp": 2, "got": NUMBER, "lo": NUMBER | {"value": "nan"}},
    {"p": 1},
    "import numpy as np\nprint(forward())\n",
)


def verdict(number: int, status: str, clause: str = "VALUE-4", **fields: Any) -> Verdict:
    failure = FAILURE if status == "fail" else None
    given = {"title": "target term", "level": "MUST", "dtype": "float32", "failure": failure} | fields
    return Verdict(f"{clause}/{number}", clause, status=status, **given)


def report(*statuses: str, **fields: Any) -> Report:
    verdicts = tuple(verdict(number, status) for number, status in enumerate(statuses))
    given: dict[str, Any] = {
        "backend": {"name": "kernel", "version": "1.2", "device": "cpu"},
        "profile": "training",
        "claim": "training",
        "planned": len(verdicts),
        "verdicts": verdicts,
    }
    return Report(**given | fields)


def full() -> Report:
    """Return a report with something of everything."""
    verdicts = (
        verdict(0, "pass"),
        verdict(1, "fail", case="a3f9c1e2b4d5f607"),
        verdict(2, "fail", dtype="float64"),
        verdict(3, "skip", "PURITY-2", title="repeatable", reason="not run: an earlier check failed"),
        verdict(4, "pass", "PURITY-2", title="repeatable", dtype="float64"),
        verdict(5, "fail", "REJECT-9", title="weight size", level="SHOULD", failure=None),
    )
    return report(
        verdicts=verdicts,
        planned=len(verdicts),
        behaviours=(
            Behaviour("NaN at the target", "SPECIAL-7", "loss", "float32", ("dropped",), {"dropped": "it counts 0"}),
            Behaviour("NaN at the target", "SPECIAL-7", "gradient", "float32", ("dropped", "propagated")),
        ),
        accuracy=(Accuracy("float32", "loss", 12, 1.5, 0.25, 0.75, 0.125, -0.0625, "in-dtype", (-1.5, 0.0, 0.5)),),
        causes=(
            Cause("equals: One too many.", ("VALUE-4/1", "VALUE-4/2"), (("one", "One too many."), ("two", "Another."))),
            Cause("REJECT-9 weight size", ("REJECT-9/5",)),
        ),
        sentences={"VALUE-4": "The target MUST NOT count."},
        environment={"python": "3.11.2", "cpus": None, "count": 2},
        options={"dtypes": ["float32"], "seed": 7},
        duration_s=1.5,
    )


GOLD = """\
kernel 1.2 cpu, profile training: 6 checks in 1.5 s

clauses    float32         float64
---------  --------------  -----------
VALUE      1 FAIL of 2     1 FAIL of 1
PURITY     1 skipped of 1  1 pass
REJECT     1 FAIL of 1     -

FAIL 1 of 2: equals: One too many.: 2 checks, float32, float64
  or equals: Another.
  VALUE-4 target term (MUST): The target MUST NOT count.
  loss[2] = 0.75, but should be 0.5 (exact grid: nothing rounds) [VALUE-4 target term, case a3f9c1e2]
  got  0.75  0x1.8p-1  0000403f
  lo   nan   0x1.8p-1  0000403f
  +2 ULP from the correctly rounded result
  call:   forward([[0.5]], [0])  # float32
  replay: multimargin replay a3f9c1e2 --backend kernel
  program:
    import numpy as np
    print(forward())

FAIL 2 of 2: REJECT-9 weight size: 1 checks, float32
  REJECT-9 weight size (SHOULD):

behaviour          loss     gradient             clause     for a user
-----------------  -------  -------------------  ---------  ------------
NaN at the target  dropped  dropped, propagated  SPECIAL-7  it counts 0

accuracy    of    results    largest ULP    median ULP    correctly rounded    bound used    bias     class
----------  ----  ---------  -------------  ------------  -------------------  ------------  -------  --------
float32     loss  12         1.5            0.25          75.0%                12.5%         -0.0625  in-dtype

NOT CONFORMANT to training: 2 pass, 3 fail, 1 skip; clauses VALUE-4 target term, REJECT-9 weight size"""


def test_the_text_of_a_report() -> None:
    assert "\n".join(line.rstrip() for line in render(full()).splitlines()) == GOLD


def test_the_text_of_a_conformant_report() -> None:
    assert render(report("pass", "pass")).endswith("CONFORMANT to training: 2 pass")
    assert "NOT" not in render(report("pass"))


def test_the_text_of_an_invalid_report() -> None:
    text = render(report("pass", planned=2))
    assert "INVALID: 2 planned, 1 pass" in text
    assert "CONFORMANT" not in text


def test_a_call_that_should_be_rejected_has_no_numbers_to_show() -> None:
    returned = replace(FAILURE, evidence={"got": "[0. 0.]"})
    made = report("pass")
    wrong = replace(made.verdicts[0], status="fail", failure=returned)
    assert number_rows(returned.evidence) == []
    assert FAILURE.message in render(replace(made, verdicts=(wrong,)))


def test_many_failed_clauses_are_counted() -> None:
    verdicts = tuple(verdict(k, "fail", f"VALUE-{k + 1}") for k in range(MOST_FAILURES + 3))
    text = render(report(verdicts=verdicts, planned=len(verdicts)))
    assert text.count("\nFAIL ") == MOST_FAILURES
    assert "and 3 more causes: VALUE-13 target term" in text


@pytest.mark.parametrize(
    ("made", "conformant", "valid"),
    [
        (report("pass"), True, True),
        (report("pass", "skip"), True, True),
        (report("pass", "fail"), False, True),
        (report("fail"), False, True),
        (report("pass", "error"), False, False),
        (report("pass", complete=False), False, False),
        (report("pass", planned=2), False, False),
        (report("pass", "pass", planned=1), False, False),
        (report("skip", "skip"), False, True),
        (report(), False, True),
        (report(verdicts=(verdict(0, "pass"), verdict(1, "fail", level="SHOULD")), planned=2), True, True),
        (report(verdicts=(verdict(1, "fail", level="SHOULD"),), planned=1), False, True),
        (full(), False, True),
    ],
    ids=["pass", "skips", "fail", "only fail", "error", "interrupted", "verdict missing", "verdict too many"]
    + ["nothing passed", "nothing planned", "SHOULD fails", "only SHOULD", "full"],
)
def test_conformant(made: Report, conformant: bool, valid: bool) -> None:
    assert made.conformant is conformant
    assert made.valid is valid


KNOWN = "uninitialised memory (Ann, https://example.org/1)"


def expected(*stale: str, failed: str = KNOWN, status: str = "pass") -> Report:
    """Return a report with a check of that status, and a failure that is known or is not."""
    return report(verdicts=(verdict(0, status), verdict(1, "fail", known=failed)), planned=2, stale=stale)


@pytest.mark.parametrize(
    ("made", "as_expected"),
    [
        (report("pass"), True),
        (report("pass", stale=("entry 1 is stale",)), False),
        (report("skip"), False),
        (expected(), True),
        (expected(failed=""), False),
        (expected("entry 1 is stale"), False),
        (expected(status="skip"), True),
        (expected(status="error"), False),
        (expected(status="fail"), False),
        (replace(expected(), complete=False), False),
        (report(verdicts=(verdict(0, "pass"), verdict(1, "fail", level="SHOULD")), planned=2), True),
    ],
    ids=["pass", "pass, stale", "nothing ran", "known", "unknown", "known, stale", "known alone", "error"]
    + ["known and unknown", "interrupted", "SHOULD"],
)
def test_as_expected(made: Report, as_expected: bool) -> None:
    assert made.as_expected is as_expected


def test_known_failures_are_not_conformant() -> None:
    assert expected().conformant is False


def test_the_text_of_known_failures() -> None:
    text = render(expected())
    assert "VALUE      1 known FAIL of 2" in text
    assert f"\n\nknown FAIL VALUE-4 target term: 1 of 2 checks: {KNOWN}\n\n" in text
    assert MESSAGE not in text
    last = "AS EXPECTED: 1 known failures (VALUE-4), not conformant to training: 1 pass, 1 fail"
    assert text.splitlines()[-1] == last


def test_the_text_of_stale_expectations() -> None:
    text = render(report("pass", stale=("entry 1: remove it\nCONFORMANT",)))
    assert "\n\nSTALE expected failure: entry 1: remove it\\nCONFORMANT\n\n" in text
    last = "NOT AS EXPECTED, though conformant to training: 1 pass; stale expected failures: 1"
    assert text.splitlines()[-1] == last
    assert render(expected("entry 1")).splitlines()[-1] == (
        "NOT CONFORMANT to training: 1 pass, 1 fail; known failures: 1; stale expected failures: 1"
    )


def test_the_last_line_names_the_clauses_that_were_not_expected() -> None:
    made = report(
        verdicts=(verdict(0, "pass"), verdict(1, "fail", known=KNOWN), verdict(2, "fail", "SHAPE-1")), planned=3
    )
    last = "NOT CONFORMANT to training: 1 pass, 2 fail; clauses SHAPE-1 target term; known failures: 1"
    assert render(made).splitlines()[-1] == last


def test_counts_have_every_status() -> None:
    assert report().counts == dict.fromkeys(STATUSES, 0)
    assert full().counts == {"pass": 2, "fail": 3, "error": 0, "skip": 1}
    assert len(full().failures) == 3


@pytest.mark.parametrize(
    "made", [full(), report("pass"), report("pass", "error"), report(), report("skip"), expected("entry 1")]
)
def test_a_report_file_is_read_back_whole(tmp_path: Path, made: Report) -> None:
    write(made, tmp_path / "report.json")
    assert read(tmp_path / "report.json") == made
    assert from_json(json.loads(json.dumps(to_json(made)))) == made


def test_a_report_file_is_valid_by_its_schema(tmp_path: Path) -> None:
    write(full(), tmp_path / "report.json")
    jsonschema.Draft202012Validator.check_schema(schema())
    jsonschema.validate(json.loads((tmp_path / "report.json").read_text(encoding="utf-8")), schema())


def test_only_the_report_is_written(tmp_path: Path) -> None:
    write(full(), tmp_path / "report.json")
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


def edited(**changes: Any) -> dict[str, Any]:
    return to_json(full()) | changes


def counts(**changes: int) -> dict[str, Any]:
    return {"counts": to_json(full())["counts"] | changes}


def verdicts(change: dict[str, Any], place: int = 1) -> dict[str, Any]:
    data = to_json(full())["verdicts"]
    data[place] = {k: v for k, v in (data[place] | change).items() if v is not None}
    return {"verdicts": data}


EDITED: dict[str, dict[str, Any]] = {
    "conformant": {"conformant": True},
    "conformant as a number": {"conformant": 1},
    "one failure less": counts(**{"fail": 2, "pass": 3}),
    "a count of its own": counts(flaky=0),
    "a negative count": counts(skip=-1),
    "a count as a fraction": counts(skip=0.5),  # type: ignore[arg-type]
    "a verdict removed": {"verdicts": to_json(full())["verdicts"][1:]},
    "a verdict doubled": {"verdicts": to_json(full())["verdicts"] + to_json(full())["verdicts"][:1]},
    "a failure passed": verdicts({"status": "pass"}),
    "a MUST that became a SHOULD": {**verdicts({"level": "SHOULD"}), "conformant": True},
    "an unknown status": verdicts({"status": "flaky"}),
    "an unknown level": verdicts({"level": "MAY"}),
    "an unknown dtype": verdicts({"dtype": "float8"}),
    "no status": verdicts({"status": None}),
    "a clause in words": verdicts({"clause": "target term"}),
    "an unknown key": {"surprise": 1},
    "an unknown key in a verdict": verdicts({"surprise": 1}),
    "a failure without a message": verdicts({"failure": {"call": "", "replay": "", "evidence": {}}}),
    "another format": {"format": "multimargin-vectors"},
    "another version": {"version": 2},
    "another profile": {"profile": "everything"},
    "a negative duration": {"duration_s": -1},
    "a backend without a name": {"backend": {"version": "1"}},
    "no verdicts": {"verdicts": None},
    "a known failure without a reason": verdicts({"known": ""}),
    "stale as a text": {"stale": "entry 1"},
}


@pytest.mark.parametrize("what", EDITED)
def test_edited_reports_are_refused(tmp_path: Path, what: str) -> None:
    path = tmp_path / "report.json"
    path.write_text(json.dumps(edited(**EDITED[what])), encoding="utf-8")
    with pytest.raises(ReportFileError):
        read(path)


def test_a_report_with_verdicts_missing_proves_nothing() -> None:
    assert from_json(edited(**counts(planned=7))).valid is False
    with pytest.raises(ReportFileError):
        from_json(to_json(report("pass")) | {"counts": to_json(report("pass"))["counts"] | {"planned": 2}})


def test_an_unedited_report_is_not_refused() -> None:
    assert from_json(edited()) == full()


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 200_000, b'{"counts":' * 200_000, b"{}", b"\x00"],
    ids=lambda text: repr(text[:12]),
)
def test_files_that_are_no_reports_are_refused(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "report.json"
    path.write_bytes(text)
    with pytest.raises(ReportFileError):
        read(path)


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize("key", ["duration_s", "options", "environment"])
def test_numbers_that_are_not_json_are_refused(tmp_path: Path, key: str, literal: str) -> None:
    value = "HERE" if key == "duration_s" else {"value": "HERE"}
    path = tmp_path / "report.json"
    path.write_text(json.dumps(edited(**{key: value})).replace('"HERE"', literal), encoding="utf-8")
    with pytest.raises(ReportFileError):
        read(path)


def test_reports_cut_short_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    write(full(), path)
    text = path.read_bytes()
    for length in range(0, len(text) - 3, 61):
        path.write_bytes(text[:length])
        with pytest.raises(ReportFileError):
            read(path)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    with path.open("wb") as file:
        file.truncate(LARGEST_FILE + 1)
    with pytest.raises(ReportFileError, match=str(LARGEST_FILE)):
        read(path)


def test_printable_keeps_text_as_it_is() -> None:
    assert printable("Größe β² 2\n≤ 1") == "Größe β² 2\n≤ 1"
    assert printable("\x1b[0m") == "\\x1b[0m"


def test_a_report_is_a_value() -> None:
    assert replace(full(), profile="core") != full()
    assert full() == full()
