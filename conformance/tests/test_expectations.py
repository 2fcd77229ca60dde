"""Expected failures: what a file may say, what it excuses, and when an entry is stale."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result

from multimargin_conformance import check
from multimargin_conformance.checks.item import Item
from multimargin_conformance.expectations import Entry, ExpectationsError, in_force, load, part_of
from multimargin_conformance.runner import everything
from multimargin_conformance.session import PASS
from multimargin_reference import multi_margin_loss, multi_margin_loss_backward
from multimargin_reports import Verdict, read, write

WHO = {"owner": "Ann", "link": "https://example.org/1", "reason": "a known fault"}


class Right:
    """A right implementation."""

    version: str = "2.13.0+cpu"
    device = "cuda:0"

    def forward(self, input: Any, target: Any, **options: Any) -> Any:
        return multi_margin_loss(input, target, **options)

    def backward(self, grad_output: Any, input: Any, target: Any, **options: Any) -> Any:
        return multi_margin_loss_backward(grad_output, input, target, **options)


class Wrong(Right):
    """Wrong where there is one class (VALUE-7) and the dtype is float32."""

    def forward(self, input: Any, target: Any, **options: Any) -> Any:
        wrong = input.shape[-1:] == (1,) and input.dtype == np.float32 and options["p"] == 1
        return super().forward(input, target, **options) + np.float32(wrong).astype(input.dtype)


class WrongShape(Right):
    """Wrong in the shape of a result where there is one class: REDUCTION-4, whatever was being checked."""

    def forward(self, input: Any, target: Any, **options: Any) -> Any:
        result = super().forward(input, target, **options)
        return result.reshape((1, *result.shape)) if input.shape[-1:] == (1,) and options["p"] == 1 else result


def entry(**given: str) -> Entry:
    return Entry(**{**WHO, "number": 1, "file": "e.toml", **given})  # type: ignore[arg-type]


def lines(**given: object) -> str:
    return "[[expected]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in given.items())


GOOD = lines(clause="VALUE-7", **WHO)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (lines(**WHO), "entry 1: neither clause nor case"),
        (GOOD + lines(clause="VALUE-7", owner="Ann", link="x"), "entry 2: no reason"),
        (lines(clause="VALUE-7", link="x", reason="y"), "entry 1: no owner"),
        (lines(clause="VALUE-7", owner="x", reason="y"), "entry 1: no link"),
        (lines(clause="VALUE-7", **WHO | {"owner": "TODO"}), "entry 1: owner is still TODO: fill it in"),
        (lines(clause="VALUE-7", **WHO | {"reason": " "}), "entry 1: reason = ' '"),
        (lines(clause="", **WHO), "entry 1: clause = ''"),
        (lines(clause=["VALUE-7"], **WHO), "entry 1: clause = "),
        (lines(clause="VALUE-7", colour="red", **WHO), "entry 1: unknown key 'colour'"),
        (lines(clause="VALUE-7", number="3", **WHO), "entry 1: unknown key 'number'"),
        (lines(clause="VALUE-7", dtype="float8", **WHO), "entry 1: dtype 'float8'"),
        (lines(clause="VALUE-7", part="weight", **WHO), "entry 1: part 'weight'"),
        (lines(clause="VALUE-7", version="2.8 or so", **WHO), "entry 1: version '2.8 or so'"),
        (GOOD + "surprise = ", "not TOML"),
        ("surprise = 1\n" + GOOD, "'surprise', but should be a list"),
        ("expected = 3\n", "a list of"),
        ("expected = [3]\n", "entry 1: not a table"),
        ("[expected]\nclause = 'x'\n", "a list of"),
    ],
)
def test_a_wrong_file_says_what_is_wrong_and_where(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "e.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ExpectationsError) as caught:
        check(Right(), clause="VALUE-7", expected_failures=path)
    assert message in str(caught.value)
    assert "e.toml" in str(caught.value)


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "e.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ExpectationsError, match=r"e\.toml: "):
        load(path)


def test_a_file_is_read_whole(file: Callable[..., Path]) -> None:
    tables = {"clause": "VALUE-*", "case": "a*", "dtype": "float*", "part": "loss", "device": "cpu", "version": ">=2"}
    assert load(file({"clause": "SHAPE-7"}, tables)) == (entry(clause="SHAPE-7"), entry(**tables, number=2))  # type: ignore[arg-type]


def test_an_empty_file_expects_nothing(file: Callable[..., Path]) -> None:
    assert load(file()) == ()


@pytest.mark.parametrize(
    ("given", "holds"),
    [
        ({}, True),
        ({"device": "cuda"}, True),
        ({"device": "cuda:0"}, True),
        ({"device": "cu*"}, True),
        ({"device": "cuda:1"}, False),
        ({"device": "cpu"}, False),
        ({"version": ">=2.8,<2.14"}, True),
        ({"version": "==2.13.0"}, True),
        ({"version": "<2.13"}, False),
        ({"version": ">=2.14"}, False),
        ({"device": "cpu", "version": ">=2.8"}, False),
    ],
    ids=str,
)
def test_conditions_on_device_and_version(given: dict[str, str], holds: bool) -> None:
    assert bool(in_force([entry(clause="*", **given)], "cuda:0", "2.13.0+cpu")) is holds


def test_a_version_that_cannot_be_compared_is_usage() -> None:
    in_force([entry(clause="*")], "cpu", "unknown")
    with pytest.raises(ExpectationsError, match=r"e\.toml entry 1 .*'unknown'.*leave the version out"):
        in_force([entry(clause="*", version=">=2")], "cpu", "unknown")


ITEM = Item("VALUE-7/float32/a3f9c1e2/gradient", "VALUE-7", "float32", "gradient", lambda _: PASS, "a3f9c1e2")


@pytest.mark.parametrize(
    ("given", "matches"),
    [
        ({"clause": "VALUE-7"}, True),
        ({"clause": "VALUE-*"}, True),
        ({"clause": "VALUE"}, False),
        ({"clause": "value-7"}, False),
        ({"case": "a3f9c1e2"}, True),
        ({"case": "a3f9*"}, True),
        ({"case": "VALUE-7/float32/*"}, True),
        ({"case": "a3f9"}, False),
        ({"clause": "VALUE-7", "case": "b*"}, False),
        ({"clause": "VALUE-8", "case": "a*"}, False),
        ({"clause": "VALUE-7", "dtype": "float32"}, True),
        ({"clause": "VALUE-7", "dtype": "float*"}, True),
        ({"clause": "VALUE-7", "dtype": "float64"}, False),
        ({"clause": "VALUE-7", "part": "gradient"}, True),
        ({"clause": "VALUE-7", "part": "loss"}, False),
    ],
    ids=str,
)
def test_what_an_entry_matches(given: dict[str, str], matches: bool) -> None:
    verdict = Verdict(ITEM.id, ITEM.clause, "single class", "MUST", ITEM.dtype, "fail", ITEM.case)
    assert entry(**given).covers(ITEM) is matches
    assert entry(**given).excuses(verdict) is matches
    assert not entry(**given).excuses(replace(verdict, status="pass"))


def test_the_part_is_in_the_id_of_every_check() -> None:
    assert [item.id for item in everything() if part_of(item.id) != item.part] == []


def test_known_failures_keep_their_verdicts(file: Callable[..., Path]) -> None:
    report = check(Wrong(), clause="VALUE-7", expected_failures=file({"clause": "VALUE-7"}))
    assert report.failures
    assert {v.known for v in report.failures} == {"a known fault (Ann, https://example.org/1)"}
    assert not any(v.known for v in report.verdicts if v.status == "pass")
    assert (report.conformant, report.as_expected, report.stale) == (False, True, ())


def test_other_failures_stay_unknown(file: Callable[..., Path]) -> None:
    report = check(Wrong(), clause="VALUE-7,VALUE-1", expected_failures=file({"clause": "VALUE-7", "dtype": "float64"}))
    assert report.failures
    assert not any(v.known for v in report.failures)
    assert not report.as_expected


def test_without_a_file_as_expected_is_conformant() -> None:
    for backend in (Right(), Wrong()):
        report = check(backend, clause="VALUE-7")
        assert report.as_expected is report.conformant


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"clause": "VALUE-7"}, "checks that it matches pass: remove it"),
        ({"clause": "VALUE-77"}, "matches no check that there is: correct or remove it"),
        ({"case": "zz"}, "matches no check"),
        ({"clause": "VALUE-7", "device": "cuda", "version": "<3"}, "pass: remove it"),
    ],
    ids=str,
)
def test_a_stale_entry_fails_the_run(file: Callable[..., Path], table: dict[str, str], words: str) -> None:
    report = check(Right(), clause="VALUE-7", expected_failures=file(table))
    assert report.conformant
    assert not report.as_expected
    (line,) = report.stale
    assert line.startswith(f"e.toml entry 1 ({next(iter(table))} ")
    assert words in line


@pytest.mark.parametrize(
    ("table", "options"),
    [
        ({"clause": "VALUE-7", "device": "cpu"}, {}),
        ({"clause": "VALUE-7", "version": "<2"}, {}),
        ({"clause": "VALUE-6"}, {}),
        ({"clause": "VALUE-[67]"}, {}),
        ({"clause": "VALUE-7"}, {"select": "VALUE-7/float32"}),
        ({"clause": "VALUE-7"}, {"dtypes": ["float64"]}),
        ({"clause": "VALUE-7", "dtype": "float32"}, {"dtypes": ["float64"]}),
        ({"clause": "VALUE-7", "dtype": "float16"}, {}),
        ({"clause": "VALUE-7"}, {"only": ["p=2"]}),
        ({"clause": "GRADIENT-4"}, {"profile": "core"}),
    ],
    ids=str,
)
def test_an_entry_is_not_judged_on_what_was_left_out(
    file: Callable[..., Path], table: dict[str, str], options: dict[str, Any]
) -> None:
    report = check(Right(), clause="VALUE-7", expected_failures=file(table), **options)
    assert report.stale == ()
    assert report.as_expected


def test_an_entry_is_not_judged_on_what_did_not_run(file: Callable[..., Path]) -> None:
    tables = ({"clause": "VALUE-8"}, {"clause": "VALUE-1"})
    report = check(Wrong(), clause="VALUE-*", fail_fast=True, expected_failures=file(*tables))
    assert report.counts["skip"] > 0
    assert report.stale == ()


def test_one_failure_keeps_an_entry(file: Callable[..., Path]) -> None:
    report = check(Wrong(), clause="VALUE-7", expected_failures=file({"clause": "VALUE-7"}))
    assert report.counts["pass"] > report.counts["fail"] > 0
    assert report.stale == ()


def test_each_entry_is_judged_alone(file: Callable[..., Path]) -> None:
    tables = ({"clause": "VALUE-7", "dtype": "float64"}, {"clause": "VALUE-7"}, {"clause": "VALUE-7", "dtype": "*32"})
    report = check(Wrong(), clause="VALUE-7", expected_failures=file(*tables))
    assert [line.split(" (")[0] for line in report.stale] == ["e.toml entry 1"]
    assert not report.as_expected


def test_a_failure_that_another_clause_is_charged_with(file: Callable[..., Path]) -> None:
    report = check(WrongShape(), clause="VALUE-7", expected_failures=file({"clause": "REDUCTION-4"}))
    assert {v.clause for v in report.failures} == {"REDUCTION-4"}
    assert (report.as_expected, report.stale) == (True, ())
    report = check(WrongShape(), clause="VALUE-7", expected_failures=file({"clause": "VALUE-7"}))
    assert (report.as_expected, report.stale) == (False, ())  # it does not pass, and fails in another way


def test_a_known_failure_does_not_stop_a_run(file: Callable[..., Path]) -> None:
    stopped = check(Wrong(), clause="VALUE-7", fail_fast=True)
    assert stopped.counts["skip"] > 0
    report = check(Wrong(), clause="VALUE-7", fail_fast=True, expected_failures=file({"clause": "VALUE-7"}))
    assert report.counts["skip"] == 0
    assert report.as_expected


def test_known_failures_and_stale_entries_are_in_the_report_file(file: Callable[..., Path], tmp_path: Path) -> None:
    report = check(Wrong(), clause="VALUE-7", expected_failures=file({"clause": "VALUE-7"}, {"clause": "NONE-1"}))
    write(report, tmp_path / "report.json")
    again = read(tmp_path / "report.json")
    assert [v.known for v in again.failures] == [v.known for v in report.failures]
    assert again.stale == report.stale != ()


# The command line


def checked(run_kernels: Callable[..., Result], backend: str, path: Path, *more: object) -> Result:
    return run_kernels("check", f"py:expkernels:{backend}", "--clause", "VALUE-7", "--expected-failures", path, *more)


def test_as_expected_is_0(run_kernels: Callable[..., Result], file: Callable[..., Path]) -> None:
    result = checked(run_kernels, "wrong", file({"clause": "VALUE-7"}))
    assert result.exit_code == 0
    last = result.stdout.splitlines()[-1]
    assert last.startswith("AS EXPECTED: ")
    assert "known failures (VALUE-7), not conformant to core" in last
    assert "known FAIL VALUE-7 single class: " in result.stdout
    assert "checks: a known fault (Ann, https://example.org/1)" in result.stdout


def test_a_stale_entry_is_1(run_kernels: Callable[..., Result], file: Callable[..., Path]) -> None:
    result = checked(run_kernels, "right", file({"clause": "VALUE-7"}))
    assert result.exit_code == 1
    assert "STALE expected failure: e.toml entry 1 (clause 'VALUE-7'): all " in result.stdout
    assert result.stdout.splitlines()[-1].startswith("NOT AS EXPECTED, though conformant to core")


def test_a_wrong_file_is_2(run_kernels: Callable[..., Result], tmp_path: Path) -> None:
    result = checked(run_kernels, "right", tmp_path / "absent.toml")
    assert result.exit_code == 2
    assert "absent.toml: No such file" in result.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [("# " + "x" * (1 << 20), "should have at most 1048576"), ("a = " + "[" * 100_000, "not TOML")],
    ids=["too large", "too deep"],
)
def test_a_hostile_file_is_one_clear_error(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "hostile.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ExpectationsError, match=message):
        load(tmp_path / "hostile.toml")
