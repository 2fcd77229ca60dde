"""The command line: exit statuses, one clear line for every mistake, and where results go."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from multimargin_conformance.cli import CONFORMANT, INVALID, NOT_CONFORMANT, NOT_STARTED, USAGE, main
from multimargin_reference.clauses import CLAUSES
from multimargin_reports import read
from multimargin_vectors import load

QUICK = ("--clause", "VALUE-7")
KERNELS = """
import sys
from multimargin_conformance import Capabilities
from multimargin_reference import multi_margin_loss

def wrong(input, target, **options):
    return multi_margin_loss(input, target, **options) + 1

def ends(*arguments, **options):
    sys.exit(0)

def talks(input, target, **options):
    print("debug output of a kernel")
    return multi_margin_loss(input, target, **options)

def interrupted(*arguments, **options):
    raise KeyboardInterrupt

def steers(*arguments, **options):
    raise ValueError("\\x1b[2J\\x1b]0;owned\\x07 CONFORMANT\\r\\n\\nCONFORMANT to full: 100 pass")

class Limited:
    capabilities = Capabilities(p=(1,))
    def forward(self, input, target, **options):
        return multi_margin_loss(input, target, **options)

class Halves:
    capabilities = Capabilities(dtypes=("float16",))
    def forward(self, input, target, **options):
        return multi_margin_loss(input, target, **options)
"""

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command in a folder with a module of kernels."""
    (tmp_path / "clikernels.py").write_text(KERNELS, encoding="utf-8")
    (tmp_path / "ends_on_import.py").write_text("import sys\nsys.exit(0)\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "clikernels", raising=False)
    return lambda *words: CliRunner().invoke(main, [str(word) for word in words])


def one_line(result: Result) -> str:
    """Return the message of a command that failed before it had results."""
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert lines[-1].startswith("Error: ")
    assert len(lines) == 1 or lines[0].startswith("Usage: ")  # click's own messages show the usage first
    return lines[-1]


def test_the_statuses_are_as_published() -> None:
    assert (CONFORMANT, NOT_CONFORMANT, USAGE, NOT_STARTED, INVALID) == (0, 1, 2, 3, 4)


def test_conformant_is_0(run: Run) -> None:
    result = run("check", "reference", *QUICK)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1].startswith("CONFORMANT to training, only checks 'VALUE-7'")
    assert result.stderr == ""


def test_not_conformant_is_1(run: Run) -> None:
    result = run("check", "py:clikernels:wrong", *QUICK)
    assert result.exit_code == 1
    assert "\nFAIL 1 of " in result.stdout
    assert "VALUE-7 single class (MUST): " in result.stdout
    assert result.stdout.splitlines()[-1].startswith("NOT CONFORMANT")


def test_a_backend_that_ends_the_process_is_1(run: Run) -> None:
    result = run("check", "py:clikernels:ends", *QUICK)
    assert result.exit_code == 1
    assert "crashed: SystemExit" in result.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("check", "nothing"), "no backend 'nothing'"),
        (("check", "cmd:"), "cmd:./adapter"),
        (("check", "cmd:'"), "cannot be split"),
        (("check", "cmd:./adapter", "--no-isolate"), "is a program"),
        (("check", "reference", "--timeout", "0"), "timeout 0"),
        (("check", "reference", "--shard", "3/2"), "'3/2'"),
        (("check", "reference", "--shard", "1/2", "-j", "2"), "-j with --shard"),
        (("merge", "clikernels.py"), "clikernels.py"),
        (("check", "py:clikernels"), "py:module:attr"),
        (("check", "reference", "--profile", "torch"), "profile 'torch' is for functions over tensors"),
        (("check", "reference", "--profile", "everything"), "core, training, half, torch, full"),
        (("check", "reference", "--dtype", "float8"), "float8"),
        (("check", "reference", "--only", "p=3"), "p=3"),
        (("check", "reference", "--only", "colour=red"), "colour=red"),
        (("check", "reference", "--clause", "NOTHING-1"), "no check matches"),
        (("check", "reference", "-k", "nothing"), "no check matches"),
        (("check", "reference", "--seed", "x"), "x"),
        (("check", "reference", "--surprise"), "--surprise"),
        (("check",), "BACKEND"),
        (("check", "reference", "--output", "clikernels.py"), "clikernels.py"),
        (("replay", "zz", "--backend", "reference"), "vector ids"),
        (("replay", "", "--backend", "reference"), "vector ids"),
        (("replay", "0"), "--backend"),
        (("nothing",), "nothing"),
        (("vectors", "nothing"), "nothing"),
    ],
)
def test_wrong_usage_is_2(run: Run, words: tuple[str, ...], message: str) -> None:
    result = run(*words)
    assert result.exit_code == 2
    assert message in one_line(result)


@pytest.mark.parametrize(
    ("backend", "message"),
    [
        ("py:no_such_module_anywhere:attr", "ModuleNotFoundError"),
        ("py:no_such_file.py:attr", "no file"),
        ("py:clikernels:absent", "has no 'absent'"),
        ("py:clikernels:KERNELS", "has no 'KERNELS'"),
        ("py:math:pi", "neither callable"),
        ("py:ends_on_import:attr", "SystemExit"),
        ("py:ends_on_import.py:attr", "SystemExit"),
    ],
)
@pytest.mark.parametrize("command", ["check", "replay"])
def test_a_backend_that_cannot_be_started_is_3(run: Run, command: str, backend: str, message: str) -> None:
    words = ("check", backend) if command == "check" else ("replay", load()[0].id, "--backend", backend)
    result = run(*words)
    assert result.exit_code == 3
    assert message in one_line(result)


def test_an_interrupted_run_is_4(run: Run) -> None:
    result = run("check", "py:clikernels:interrupted", "--no-isolate", *QUICK)
    assert result.exit_code == 4
    assert "INVALID" in result.stdout


def test_nothing_to_check_is_4(run: Run) -> None:
    result = run("check", "py:clikernels:Halves", "--profile", "training")
    assert result.exit_code == 4
    assert "INVALID" in result.stdout
    assert "CONFORMANT" not in result.stdout


def test_an_error_of_the_suite_is_4(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("multimargin_conformance.runner.plan", lambda *_: 1 / 0)
    result = run("check", "reference")
    assert result.exit_code == 4
    assert "the suite itself failed: ZeroDivisionError" in result.stderr


def test_output_is_the_report_and_nothing_else(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "out"
    result = run("check", "py:clikernels:wrong", *QUICK, "--output", folder)
    assert result.exit_code == 1
    assert {path.name for path in folder.iterdir()} == {"report.json", "report.jsonl"}
    report = read(folder / "report.json")
    assert not report.conformant
    assert report.backend["spec"] == "py:clikernels:wrong"
    assert json.loads((folder / "report.json").read_text(encoding="utf-8"))["counts"]["planned"] == report.planned


def test_output_replaces_an_earlier_report(run: Run, tmp_path: Path) -> None:
    for backend, conformant in (("py:clikernels:wrong", False), ("reference", True)):
        run("check", backend, *QUICK, "--output", tmp_path / "out")
        assert read(tmp_path / "out" / "report.json").conformant is conformant


def test_output_that_cannot_be_written_is_2_before_anything_is_run(run: Run) -> None:
    result = run("check", "py:clikernels:talks", *QUICK, "--output", "clikernels.py/out")
    assert result.exit_code == 2
    assert "clikernels.py" in one_line(result)


def test_without_output_nothing_is_written(run: Run, tmp_path: Path) -> None:
    before = {path.name for path in tmp_path.iterdir()}
    run("check", "reference", *QUICK)
    assert {path.name for path in tmp_path.iterdir()} == before


def test_k_selects_by_id(run: Run, tmp_path: Path) -> None:
    run("check", "reference", "-k", "VALUE-7/float32", "--output", tmp_path / "out")
    report = read(tmp_path / "out" / "report.json")
    assert report.planned > 2
    assert all(v.id.startswith("VALUE-7/float32") for v in report.verdicts)


def test_dtype_and_only_narrow_the_claim(run: Run) -> None:
    result = run("check", "reference", *QUICK, "--dtype", "float64", "--only", "p=1", "--only", "reduction=sum")
    assert result.exit_code == 0
    assert "CONFORMANT to training, float64 only, p = 1 only, reduction sum only" in result.stdout


def test_x_stops_at_the_first_failure(run: Run) -> None:
    result = run("check", "py:clikernels:wrong", "-x", *QUICK)
    assert result.exit_code == 1
    assert "1 fail" in result.stdout
    assert "skip" in result.stdout


def test_replay_takes_the_start_of_an_id(run: Run) -> None:
    vector = next(v for v in load() if v.tier == "exact" and v.clauses[0] == "VALUE-1" and v.dtype == "float32")
    for length in (12, 16):
        right = run("replay", vector.id[:length], "--backend", "reference")
        assert right.exit_code == 0
        assert all(line.startswith("pass") for line in right.stdout.splitlines())
        wrong = run("replay", vector.id[:length], "--backend", "py:clikernels:wrong")
        assert wrong.exit_code == 1
        assert f"case {vector.id}" in wrong.stdout


def test_an_ambiguous_replay_is_2(run: Run) -> None:
    assert "is the start of" in one_line(run("replay", load()[0].id[:1], "--backend", "reference"))


def test_a_replay_that_was_interrupted_is_4(run: Run) -> None:
    result = run("replay", load()[0].id, "--backend", "py:clikernels:interrupted", "--no-isolate")
    assert result.exit_code == 4


def test_a_replay_of_what_is_not_declared_is_4(run: Run) -> None:
    vector = next(v for v in load() if v.case.p == 2 and v.dtype == "float32" and v.tier == "exact")
    result = run("replay", vector.id, "--backend", "py:clikernels:Limited")
    assert result.exit_code == 4
    assert "not for this backend" in one_line(result)


def test_hostile_output_does_not_reach_the_terminal(run: Run) -> None:
    vector = next(v for v in load() if v.clauses[0] == "VALUE-7" and v.dtype == "float32")
    for words in (
        ("check", "py:clikernels:steers", *QUICK),
        ("replay", vector.id, "--backend", "py:clikernels:steers"),
    ):
        result = run(*words)
        assert result.exit_code == 1
        assert all(c.isprintable() or c == "\n" for c in result.stdout)
        assert not any(line.startswith("CONFORMANT") for line in result.stdout.splitlines())


def test_backends_are_listed(run: Run) -> None:
    names = [line.split()[0] for line in run("backends").stdout.splitlines()]
    assert {"oracle", "reference", "torch", "torch-decomposition", "torch-reference"} <= set(names)


def test_clauses_are_listed(run: Run) -> None:
    lines = run("clauses").stdout.splitlines()[2:]  # below the heads of the table
    assert [line.split()[0] for line in lines] == list(CLAUSES)
    assert all(clause.title in line for clause, line in zip(CLAUSES.values(), lines, strict=True))


def test_vectors_are_listed(run: Run) -> None:
    assert len(run("vectors", "list").stdout.splitlines()) == len(load())
    lines = run("vectors", "list", "--clause", "GRADIENT-4").stdout.splitlines()
    assert 0 < len(lines) < len(load())
    assert all("GRADIENT-4" in line for line in lines)


@pytest.mark.parametrize(
    "words", [(), ("check",), ("replay",), ("vectors",), ("vectors", "list"), ("clauses",), ("explain",), ("smoke",)]
)
def test_help_is_there(run: Run, words: tuple[str, ...]) -> None:
    result = run(*words, "-h")
    assert result.exit_code == 0
    assert result.stdout.startswith("Usage: ")


def piped(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "multimargin_conformance.cli", *words]
    path = os.pathsep.join(p for p in sys.path if p)
    environment = os.environ | {"PYTHONPATH": path, "PYTHONWARNINGS": "error", "PYTHONIOENCODING": "ascii"}
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=environment)


def test_results_go_to_stdout_in_a_pipe(tmp_path: Path) -> None:
    (tmp_path / "clikernels.py").write_text(KERNELS, encoding="utf-8")
    done = piped("check", "py:clikernels:wrong", *QUICK, folder=tmp_path)
    assert done.returncode == 1
    assert "NOT CONFORMANT" in done.stdout
    assert done.stderr == ""


def test_errors_go_to_stderr_in_a_pipe(tmp_path: Path) -> None:
    done = piped("check", "py:no_such_module_anywhere:attr", folder=tmp_path)
    assert done.returncode == 3
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("Error: the backend could not be started")


def test_a_closed_pipe_is_no_traceback(tmp_path: Path) -> None:
    command = f"{sys.executable} -m multimargin_conformance.cli vectors list | head -1"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    options = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True}
    done = subprocess.run(command, shell=True, check=True, **options)
    assert done.stdout.count("\n") == 1
    assert "Traceback" not in done.stderr


def test_shards_merge_to_one_report(run: Run) -> None:
    for part in ("1/2", "2/2"):
        assert run("check", "reference", "--clause", "VALUE-[17]", "--shard", part, "--output", part[0]).exit_code == 0
    merged = run("merge", "1/report.json", "2/report.json", "--output", "both")
    assert merged.exit_code == 0
    whole = run("check", "reference", "--clause", "VALUE-[17]", "-j", "2")
    assert whole.exit_code == 0
    assert merged.stdout.splitlines()[1:-1] == whole.stdout.splitlines()[1:]  # but for the time and the file
    assert read(Path("both/report.json")).conformant


def test_several_processes_keep_expected_failures_strictly(run: Run) -> None:
    """An entry may be for checks of several shards: it is stale where no failure in any of them used it."""
    Path("expected.toml").write_text(
        "".join(
            f"[[expected]]\nclause = '{clause}'\nowner = 'Ann'\nlink = 'https://example.org'\nreason = 'known'\n"
            for clause in ("VALUE-*", "REJECT-1", "VALUE-77")
        ),
        encoding="utf-8",
    )
    words = ("check", "py:clikernels:wrong", "--profile", "core", "--clause", "VALUE-[17],REJECT-1")
    several, one = (run(*words, "--expected-failures", "expected.toml", *more) for more in (("-j", "2"), ()))
    assert several.exit_code == one.exit_code == 1
    found = [line for line in one.stdout.splitlines() if line.startswith("STALE")]
    assert len(found) == 2
    assert [line for line in several.stdout.splitlines() if line.startswith("STALE")] == found


def test_one_shard_is_not_a_run(run: Run) -> None:
    run("check", "reference", *QUICK, "--shard", "1/2", "--output", "one")
    result = run("merge", "one/report.json")
    assert result.exit_code == USAGE
    assert "shards 2/2 are missing" in one_line(result)


def test_what_a_backend_wrote_before_it_ended_cannot_steer_the_terminal(run: Run) -> None:
    Path("steers.py").write_text("import os; os.write(2, b'\\x1b[2Jbye'); os._exit(5)", encoding="utf-8")
    result = run("check", "py:steers:forward", "--isolate", *QUICK)
    assert result.exit_code == NOT_STARTED
    assert "\\x1b[2Jbye" in one_line(result)


@pytest.mark.parametrize("words", [(), ("-j", "2")], ids=["one process", "two processes"])
def test_why_a_backend_did_not_start_is_in_the_report(words: tuple[str, ...], run: Run) -> None:
    Path("dies.py").write_text("import os; os.write(2, b'no such device'); os._exit(5)", encoding="utf-8")
    result = run("check", "py:dies:forward", "--output", "out", "--format", "json,markdown", *words)
    assert result.exit_code == NOT_STARTED
    report = read(Path("out/report.json"))
    assert (report.conformant, report.valid, report.planned) == (False, False, 0)
    assert report.not_started["stderr"] == "no such device"
    assert "status 5 before it was started" in report.not_started["reason"]
    assert "could not be started" in Path("out/report.md").read_text(encoding="utf-8")


def test_a_program_is_checked_by_its_command(run: Run) -> None:
    result = run("check", "cmd:no-such-program --option", *QUICK)
    assert result.exit_code == NOT_STARTED
    assert "no-such-program: No such file" in one_line(result)
