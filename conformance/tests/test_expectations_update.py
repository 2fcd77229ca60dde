"""Expected failures written from a report: what an entry says, and `multimargin update-expectations`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from hypothesis import given
from hypothesis import strategies as st

from multimargin_conformance import Capabilities, check
from multimargin_conformance.expectations import Entry, load
from multimargin_conformance.expectations_update import Update, to_toml, update
from multimargin_reference import multi_margin_loss
from multimargin_reports import Failure, Report, Verdict, write

WHO = {"owner": "Ann", "link": "https://example.org/1", "reason": "a known fault"}


def entry(**given: str) -> Entry:
    return Entry(**{**WHO, "number": 1, "file": "e.toml", **given})  # type: ignore[arg-type]


def checked(run_kernels: Callable[..., Result], backend: str, path: Path, *more: object) -> Result:
    return run_kernels("check", f"py:expkernels:{backend}", "--clause", "VALUE-7", "--expected-failures", path, *more)


def test_update_expectations_makes_the_run_as_expected(run_kernels: Callable[..., Result], tmp_path: Path) -> None:
    path = tmp_path / "e.toml"
    run_kernels("check", "py:expkernels:wrong", "--clause", "VALUE-7", "--output", tmp_path / "out")
    report = tmp_path / "out" / "report.json"
    printed = run_kernels("update-expectations", report)
    assert (printed.exit_code, path.exists()) == (0, False)
    words = ("--owner", "Ann", "--link", "https://example.org/1", "--reason", "one class")
    written = run_kernels("update-expectations", report, "--output", path, *words)
    assert (written.exit_code, written.stdout) == (0, f"wrote {path}: 0 entries kept, 1 added\n")
    assert path.read_text(encoding="utf-8") == printed.stdout.replace('owner = "TODO"', 'owner = "Ann"').replace(
        'link = "TODO"', 'link = "https://example.org/1"'
    ).replace('reason = "TODO"', 'reason = "one class"')
    assert checked(run_kernels, "wrong", path).exit_code == 0
    again = run_kernels("update-expectations", report, "--output", path)
    assert again.stdout == f"wrote {path}: 1 entries kept, 0 added\n"
    assert load(path)[0].owner == "Ann"


def test_placeholders_are_refused(run_kernels: Callable[..., Result], tmp_path: Path) -> None:
    run_kernels("check", "py:expkernels:wrong", "--clause", "VALUE-7", "--output", tmp_path / "out")
    run_kernels("update-expectations", tmp_path / "out" / "report.json", "--output", tmp_path / "e.toml")
    result = checked(run_kernels, "wrong", tmp_path / "e.toml")
    assert result.exit_code == 2
    assert "e.toml entry 1: owner is still TODO: fill it in" in result.stderr


def test_update_expectations_drops_what_is_stale(
    run_kernels: Callable[..., Result], file: Callable[..., Path], tmp_path: Path
) -> None:
    path = file({"clause": "VALUE-7"}, {"clause": "VALUE-6"})
    run_kernels("check", "py:expkernels:right", "--clause", "VALUE-7", "--output", tmp_path / "out")
    result = run_kernels(
        "update-expectations", tmp_path / "out" / "report.json", "--keep", path, "--output", tmp_path / "n"
    )
    assert result.stdout == f"wrote {tmp_path / 'n'}: 1 entries kept, 0 added\n"
    assert result.stderr.startswith("left out: e.toml entry 1 (clause 'VALUE-7'): all ")
    assert [e.clause for e in load(tmp_path / "n")] == ["VALUE-6"]  # which did not run


@pytest.mark.parametrize(("words", "message"), [(("absent",), "REPORT absent"), (("expkernels.py",), "REPORT")])
def test_update_expectations_of_no_report_is_2(
    run_kernels: Callable[..., Result], words: tuple[str, ...], message: str
) -> None:
    result = run_kernels("update-expectations", *words)
    assert result.exit_code == 2
    assert message in result.stderr


def test_update_expectations_of_an_incomplete_run_is_4(run_kernels: Callable[..., Result], tmp_path: Path) -> None:
    write(replace(check(multi_margin_loss, clause="VALUE-7"), complete=False), tmp_path / "report.json")
    result = run_kernels("update-expectations", tmp_path / "report.json", "--output", tmp_path / "e.toml")
    assert result.exit_code == 4
    assert "not complete" in result.stderr
    assert not (tmp_path / "e.toml").exists()


def made(*failed: str, level: str = "MUST", passed: tuple[str, ...] = ()) -> Report:
    """Return a report with these verdicts, each CLAUSE/dtype/name/part."""
    failure = Failure("loss = 1, but should be 0\n\x1b[2J", "call", "replay")
    verdicts = [
        Verdict(name, name.split("/")[0], "t", level, name.split("/")[1], status, failure=failure)
        for status, names in (("fail", failed), ("pass", passed))
        for name in names
    ]
    backend = {"name": "kernel", "version": "1.0", "device": "cpu"}
    return Report(backend, "training", "training", len(verdicts), tuple(verdicts))


def test_an_entry_is_no_wider_than_what_fails() -> None:
    ids = [f"VALUE-7/{dtype}/x/{part}" for dtype in ("float32", "float64") for part in ("loss", "gradient")]
    cases = {
        tuple(ids): [{}],
        tuple(ids[:2]): [{"dtype": "float32"}],
        tuple(ids[::2]): [{"part": "loss"}],
        (ids[0],): [{"dtype": "float32", "part": "loss"}],
        (ids[0], ids[3]): [{}],
    }
    for failed, expected in cases.items():
        result = update(made(*failed, passed=tuple(i for i in ids if i not in failed)), **WHO)
        assert result.added == tuple(Entry(clause="VALUE-7", **WHO, **conditions) for conditions in expected)


def test_what_a_new_entry_was_made_from_is_noted_on_one_line() -> None:
    text = to_toml(update(made("VALUE-7/float32/x/loss", passed=("VALUE-7/float32/y/loss",))))
    assert "# VALUE-7 t: 1 of 2 checks fail; the first: loss = 1, but should be 0\\n\\x1b[2J\n[[expected]]\n" in text


def test_a_should_needs_no_entry() -> None:
    assert update(made("CLASS-6/float32/x/loss", level="SHOULD")).added == ()


def test_entries_for_another_version_are_kept_and_excuse_nothing() -> None:
    old = (entry(clause="VALUE-7", version="<1"), entry(clause="VALUE-7", device="cuda", number=2))  # type: ignore[arg-type]
    result = update(made("VALUE-7/float32/x/loss"), old)
    assert result.kept == old
    assert [e.clause for e in result.added] == ["VALUE-7"]


def test_an_entry_that_matches_nothing_is_left_out() -> None:
    result = update(made("VALUE-7/float32/x/loss"), [entry(clause="VALUE-77")])
    assert result.kept == ()
    assert len(result.dropped) == 1


@pytest.mark.parametrize("narrowed", [{"only": ["p=1"]}, {"dtypes": ["float64"]}, {"select": "VALUE-7/float64"}])
def test_a_narrowed_report_drops_nothing_that_it_left_out(narrowed: dict[str, Any]) -> None:
    report = check(multi_margin_loss, clause="VALUE-7", **narrowed)
    assert update(report, [entry(clause="VALUE-7")]).kept == (entry(clause="VALUE-7"),)
    assert update(check(multi_margin_loss, clause="VALUE-7"), [entry(clause="VALUE-7")]).kept == ()


def test_what_a_backend_does_not_declare_is_not_left_out_of_the_run() -> None:
    class Limited:
        forward = staticmethod(multi_margin_loss)
        capabilities = Capabilities(p=(1,), dtypes=("float32",))

    assert update(check(Limited(), clause="VALUE-7"), [entry(clause="VALUE-7")]).kept == ()


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip))
def test_any_text_survives_the_file(text: str) -> None:
    import tomllib

    result = Update((entry(clause="VALUE-7", reason=text),), (), (), ())
    assert tomllib.loads(to_toml(result))["expected"] == [{"clause": "VALUE-7", **WHO, "reason": text}]
