"""What the project promises: PyTorch's real faults, the package's own backends, known faults and legal variants."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import multimargin_reports
from multimargin_conformance import check
from multimargin_conformance.checks import clauses_checked, sizes
from multimargin_conformance.cli import main
from multimargin_reference.clauses import CLAUSES
from multimargin_reference.expectation import expected_values

SLOW = "MULTIMARGIN_SLOW" in os.environ


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, list(arguments))
    return result.exit_code, result.output


def test_reference_is_conformant_by_numpy_alone(monkeypatch: pytest.MonkeyPatch):
    """The engine of other tests, Numba's where it is installed, is checked to `full` in test_runner."""
    monkeypatch.setattr("multimargin_reference.vectorized.engine", lambda: None)
    report = check("reference", profile="half", isolate=False)
    assert report.conformant
    assert report.counts["skip"] == 0


def test_oracle_is_conformant_in_every_dtype():
    # the whole of `full` takes the scalar loop minutes: it has batches of 65,600 rows
    clauses = "VALUE-1,VALUE-2,VALUE-3,VALUE-4,VALUE-7,WEIGHT-*,GRADIENT-4,SPECIAL-*,REJECT-*"
    report = check("oracle", "full", clause=clauses, select="" if SLOW else "*/????????????????/*", isolate=False)
    assert report.conformant
    assert report.planned > 2000


def test_every_clause_has_a_check():
    assert set(clauses_checked()) == set(CLAUSES)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_fast_grid_enclosures_contain_the_derived_ones(dtype):
    small = [plan for plan in sizes.plans(dtype) if np.prod(plan.shape) <= 100]
    assert len(small) > 100
    for plan in small:
        fast, derived = sizes.expectation(plan), expected_values(sizes.call(plan))
        for wide, narrow in ((fast.loss, derived.loss), (fast.gradient, derived.gradient)):
            assert wide is not None
            assert narrow is not None
            assert np.all(wide.lo <= narrow.lo), plan
            assert np.all(wide.hi >= narrow.hi), plan


def test_report_is_written_and_read(tmp_path: Path):
    status, output = run("check", "reference", "--clause", "VALUE-*", "--output", str(tmp_path / "out"))
    assert status == 0
    assert "CONFORMANT to training, only checks 'VALUE-*'" in output
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"report.json", "report.jsonl"}
    report = multimargin_reports.read(tmp_path / "out" / "report.json")
    assert report.conformant
    counts = json.loads((tmp_path / "out" / "report.json").read_text())["counts"]
    assert counts["planned"] == counts["pass"] + counts["fail"] + counts["error"] + counts["skip"]


@pytest.mark.parametrize(
    ("arguments", "status", "line"),
    [
        (("check", "nothing-of-this-name"), 2, "no backend 'nothing-of-this-name'"),
        (("check", "reference", "--profile", "best"), 2, "profile 'best', but should be one of core"),
        (("check", "reference", "--dtype", "float8"), 2, "dtype 'float8'"),
        (("check", "reference", "--clause", "NOTHING-1"), 2, "no check matches"),
        (("check", "cmd:./adapter", "--no-isolate"), 2, "is a program"),
        (("check", "py:no_module_of_this_name:f"), 3, "ModuleNotFoundError"),
        (("check", "py:math:pi"), 3, "neither callable"),
        (("check", "py:math:no_attribute"), 3, "has no 'no_attribute'"),
        (("replay", "zz", "--backend", "reference"), 2, "'zz' is the start of 0 vector ids"),
    ],
)
def test_bad_calls_end_with_one_clear_line(arguments, status, line):
    got, output = run(*arguments)
    assert got == status
    assert line in output
    assert "Traceback" not in output
    assert len(output.strip().splitlines()) == 1


def test_replay_of_a_failure_fails_again(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("zero.py").write_text(
        "import numpy as np\n\ndef loss(input, target, *, p, margin, weight, reduction):\n"
        "    return np.zeros((), input.dtype)\n"
    )
    failure = next(v for v in check("py:zero.py:loss", clause="VALUE-1").failures if v.case)
    assert failure.failure is not None
    words = failure.failure.replay.split()
    status, output = run(*words[1:])
    assert status == 1
    assert failure.id in output
