"""The pytest front, as a third party uses it: the wheel installed beside a project of its own, and pytest run there."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest

from multimargin_conformance.backend import live
from multimargin_conformance.calling import InProcess
from multimargin_conformance.checks.item import Item
from multimargin_conformance.judge import Finding
from multimargin_conformance.session import PASS, Result
from multimargin_conformance.suite import Cell
from multimargin_conformance.suite import Run as Run_

pytest.importorskip("hatchling", reason="hatchling builds the wheel; it is in multimargin[dev]")
ROOT = Path(__file__).resolve().parents[2]
FEW = "VALUE-7 or GRADIENT-4-kink and exact-grid"
KERNEL = """
import os
from multimargin_reference import multi_margin_loss, multi_margin_loss_backward

class Kernel:
    version = "3.1"
    def forward(self, input, target, **options):
        return multi_margin_loss(input, target, **options)
    def backward(self, grad_output, input, target, **options):
        return multi_margin_loss_backward(grad_output, input, target, **options)

class Faulty(Kernel):
    def forward(self, input, target, **options):
        return super().forward(input, target, **options) + (input.shape[-1] == 1)

class Shapes(Kernel):
    def forward(self, input, target, **options):
        result = super().forward(input, target, **options)
        return result.reshape((1, *result.shape)) if input.shape[-1:] == (1,) else result

class Crashing(Kernel):
    def forward(self, input, target, **options):
        if input.shape[-1] == 1:
            os.abort()
        return super().forward(input, target, **options)

def hostile(*arguments, **options):
    raise ValueError("\\x1b[2J\\n=== 100 passed ===")
"""
EXPECTED = """
[[expected]]
clause = "{clause}"
{case}
owner = "Ann"
link = "https://example.org/1"
reason = "one class costs one"
"""

Run = Callable[..., subprocess.CompletedProcess[str]]


def _done(command: list[str], **options: object) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel of this working tree, installed as a project's own environment has it."""
    folder = tmp_path_factory.mktemp("project")
    _done([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], cwd=ROOT)
    (wheel,) = folder.glob("multimargin-*.whl")
    target = folder / ".venv" / "site-packages"
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--no-index", "--target", str(target)]
    _done([sys.executable, "-m", "pip", "install", *options, str(wheel)])
    (folder / ".venv" / "pyvenv.cfg").touch()  # pytest leaves environments out when it looks for tests
    return target


@pytest.fixture
def run(site: Path) -> Run:
    """Run pytest in the project's folder, with a kernel and a configuration of its own."""
    project = site.parent.parent
    (project / "kernel.py").write_text(KERNEL, encoding="utf-8")
    (project / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\npython_files = spec_*.py\n", "utf-8")

    def running(*words: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *map(str, words)]
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "PYTHON"))}
        environment |= {"PYTHONPATH": str(site), "COLUMNS": "200", "MULTIMARGIN_ENGINE": "numpy"}  # starts at once
        return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False, env=environment)

    return running


def suite(run: Run, backend: str, *words: object, select: str = FEW) -> subprocess.CompletedProcess[str]:
    name = backend if ":" not in backend and backend != "Kernel" else f"py:kernel:{backend.removeprefix(':')}"
    few = ("-k", select) if select else ()
    return run("--pyargs", "multimargin_conformance", "--multimargin-backend", name, *few, *words)


def last(done: subprocess.CompletedProcess[str]) -> str:
    return done.stdout.splitlines()[-1]


def expected(site: Path, clause: str, case: str = "") -> tuple[str, Path]:
    path = site.parent.parent / "expected-failures.toml"
    path.write_text(EXPECTED.format(clause=clause, case=f'case = "{case}"' if case else ""), encoding="utf-8")
    return "--multimargin-expected-failures", path


def test_a_third_partys_ci(run: Run, site: Path) -> None:
    """Without the file the faulty kernel fails, with it it is an xfail, and the repaired kernel fails the file."""
    done = suite(run, ":Faulty")
    assert done.returncode == 1
    assert "FAILED multimargin_conformance.suite::VALUE-7-single-class[float32-exact-grid]" in done.stdout
    assert ", but should be 0.0 (exact grid: nothing rounds) [VALUE-7 single class, case " in done.stdout
    assert "replay: multimargin replay " in done.stdout
    assert "Traceback" not in done.stdout

    done = suite(run, ":Faulty", "-rx", "--junitxml", "out.xml", *expected(site, "VALUE-7"))
    assert done.returncode == 0
    assert "checks fail: one class costs one (Ann, https://example.org/1)" in done.stdout
    assert " 4 xfailed" in last(done)
    root = ET.parse(site.parent.parent / "out.xml").getroot()
    cases = {case.get("name"): case for case in root.iter("testcase")}
    assert cases["VALUE-7-single-class[float64-exact-grid]"].find("skipped") is not None
    assert cases["GRADIENT-4-kink[float32-exact-grid]"].find("skipped") is None
    assert {case.get("classname") for case in cases.values()} == {"multimargin_conformance.suite"}

    done = suite(run, ":Kernel", *expected(site, "VALUE-7", "*single*"))
    assert done.returncode == 1
    assert "expected-failures.toml entry 1 (clause 'VALUE-7', case '*single*'): all " in done.stdout
    assert "checks that it matches pass: remove it" in done.stdout
    assert "1 failed" in last(done)


def test_a_crash_costs_its_own_tests_alone(run: Run) -> None:
    words = ("--multimargin-timeout", "20", "--multimargin-dtype", "float32")
    done = suite(run, ":Crashing", *words, select="VALUE-6 or VALUE-7")
    assert done.returncode == 1
    assert "crashed: the process was ended by SIGABRT" in done.stdout
    failed = {line.rpartition("::")[2].split(" ")[0] for line in done.stdout.splitlines() if line.startswith("FAILED")}
    of_one_class = {"VALUE-7-single-class[float32-exact-grid]", "VALUE-7-single-class[float32-contexts]"}
    assert failed == {*of_one_class, "VALUE-6-margin[float32-contexts]"}  # some of those have one class too
    assert " 3 failed, 6 passed" in last(done)


def test_runxfail_fails_what_is_known(run: Run, site: Path) -> None:
    done = suite(run, ":Faulty", "--runxfail", *expected(site, "VALUE-7"))
    assert done.returncode == 1
    assert "4 failed" in last(done)


def test_an_entry_that_matches_nothing_fails(run: Run, site: Path) -> None:
    done = suite(run, ":Kernel", *expected(site, "VALUE-77"))
    assert done.returncode == 1
    assert "matches no check that there is: correct or remove it" in done.stdout


def test_an_entry_for_a_dtype_that_was_left_out_is_not_judged(run: Run, site: Path) -> None:
    done = suite(run, ":Kernel", "--multimargin-dtype", "float64", *expected(site, "VALUE-7"))
    assert done.returncode == 0
    assert "float32" not in done.stdout


def test_a_failure_that_another_clause_is_charged_with(run: Run, site: Path) -> None:
    """The entry's own checks are not selected; its test looks at all of them."""
    select = "VALUE-7 or expected-failures"
    done = suite(run, ":Shapes", *expected(site, "REDUCTION-4"), select=select)
    assert done.returncode == 0, done.stdout
    assert " 4 xfailed" in last(done)


def test_an_entry_is_not_stale_where_its_checks_fail_in_another_way(run: Run, site: Path) -> None:
    done = suite(run, ":Shapes", *expected(site, "VALUE-7"), select="expected-failures")
    assert (done.returncode, "1 passed" in last(done)) == (0, True)


def cell(clause: str, *results: Result) -> Cell:
    """Return a test of checks with these results, without a pytest session around it."""
    checks = [
        Item(f"{clause}/float32/{k}/loss", clause, "float32", "loss", lambda _, result=result: result)
        for k, result in enumerate(results)
    ]
    made: Cell = object.__new__(Cell)
    made.run, made.items, made.user_properties = (
        Run_(live(print), InProcess(live(print)), checks, checks, ()),
        checks,
        [],
    )
    return made


FAILED = Result("fail", Finding("loss = 1, but should be 0"))


def test_a_should_is_an_xfail() -> None:
    cell("CLASS-6", PASS).runtest()
    with pytest.raises(pytest.xfail.Exception, match="1 of 2 checks fail: a SHOULD: loss = 1"):
        cell("CLASS-6", PASS, FAILED).runtest()


@pytest.mark.parametrize("clause", ["CLASS-6", "VALUE-1"])
def test_an_error_of_the_suite_fails_the_test(clause: str) -> None:
    with pytest.raises(pytest.fail.Exception, match=f"{clause}/float32/1/loss: broken"):
        cell(clause, FAILED if clause == "CLASS-6" else PASS, Result("error", reason="broken")).runtest()


def test_the_first_failures_are_shown_and_the_others_counted() -> None:
    with pytest.raises(pytest.fail.Exception) as caught:
        cell("VALUE-1", PASS, *[FAILED] * 5).runtest()
    text = str(caught.value)
    assert text.startswith("5 of 6 checks fail\n\nloss = 1, but should be 0 [VALUE-1 hinge sum, ")
    assert text.count("but should be 0") == text.count("  replay: ") == 3
    assert text.endswith("\n\nand 2 more")


def test_a_wrong_file_is_one_clear_line(run: Run, site: Path) -> None:
    option, path = expected(site, "VALUE-7")
    path.write_text("[[expected]]\nclause = 'VALUE-7'\n", encoding="utf-8")
    done = suite(run, ":Kernel", option, path)
    assert done.returncode == 2
    assert "multimargin: expected-failures.toml entry 1: no owner" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nothing",), "no backend 'nothing'"),
        ((":absent",), "has no 'absent'"),
        (("reference", "--multimargin-profile", "everything"), "core, training, half, torch, full"),
        (("reference", "--multimargin-dtype", "float16"), "nothing to check"),
    ],
)
def test_what_cannot_be_started_is_one_clear_line(run: Run, words: tuple[str, ...], message: str) -> None:
    done = suite(run, *words)
    assert done.returncode == 2
    assert [line for line in done.stdout.splitlines() if line.startswith("multimargin: ") and message in line]
    assert "Traceback" not in done.stdout + done.stderr


def test_without_a_backend_there_is_one_skipped_test(run: Run) -> None:
    done = run("--pyargs", "multimargin_conformance", "-rs")
    assert (done.returncode, "1 skipped" in last(done)) == (0, True)
    assert "give --multimargin-backend" in done.stdout


def test_ids_read_well_and_can_be_given_again(run: Run) -> None:
    done = suite(run, "reference", "--collect-only", "-q", select="")
    ids = [line for line in done.stdout.splitlines() if "::" in line]
    assert len(set(ids)) == len(ids) > 150
    wanted = "multimargin_conformance.suite::GRADIENT-4-kink[float32-exact-grid]"
    assert wanted in ids
    again = run("--pyargs", wanted, "--multimargin-backend", "reference", "-v")
    assert again.returncode == 0
    assert "1 passed" in last(again)


def test_x_stops_at_the_first_failure_and_not_at_a_known_one(run: Run, site: Path) -> None:
    assert "stopping after 1 failures" in suite(run, ":Faulty", "-x").stdout
    assert suite(run, ":Faulty", "-x", *expected(site, "VALUE-7")).returncode == 0


def test_xdist_gives_the_same(run: Run, site: Path) -> None:
    pytest.importorskip("xdist")
    done = suite(run, ":Faulty", "-n", "2", *expected(site, "VALUE-7"))
    assert done.returncode == 0
    assert " 3 passed, 4 xfailed in " in last(done)  # GRADIENT-4 in two dtypes, and the entry


def test_behaviours_are_listed_and_are_properties(run: Run, site: Path) -> None:
    done = suite(run, "reference", "-v", "--junitxml", "out.xml", select="SHAPE-8")
    section = done.stdout.split("multimargin behaviours")[1].splitlines()
    assert any(line.startswith("SHAPE-8 mean of an empty batch, loss: ") for line in section)
    names = [p.get("name") for p in ET.parse(site.parent.parent / "out.xml").getroot().iter("property")]
    assert "multimargin behaviour: SHAPE-8 mean of an empty batch, loss, float32" in names


def test_hostile_text_stays_on_its_line(run: Run) -> None:
    done = suite(run, ":hostile", select="VALUE-7")
    assert done.returncode == 1
    assert "\x1b" not in done.stdout
    assert "=== 100 passed ===" not in done.stdout.splitlines()


def test_a_projects_own_run_imports_nothing_heavy(run: Run, site: Path) -> None:
    heavy = "{'numpy', 'hypothesis.core', 'multimargin_conformance.runner', 'multimargin_reference', 'torch'}"
    test = site.parent.parent / "spec_own.py"
    test.write_text(f"import sys\n\ndef test_own():\n    assert {heavy} & set(sys.modules) == set()\n", "utf-8")
    done = run(test, "-p", "no:hypothesispytest", "-p", "no:xdist")
    assert (done.returncode, "1 passed" in last(done)) == (0, True), done.stdout
