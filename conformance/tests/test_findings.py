"""FINDINGS.md: each program shows what its entry says, and the published report of the backend has the failure."""

from __future__ import annotations

import re
import runpy
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from multimargin_reference.clauses import CLAUSES
from multimargin_reports import read

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "scripts"))  # what publish.py imports
PUBLISH = runpy.run_path(str(ROOT / "scripts" / "publish.py"))
ENTRY = re.compile(
    r"^## (?P<title>.*?)\n\n- Where: .*?\n- Clauses: (?P<clauses>.*?)\. Report: (?P<report>.*?)\.\n"
    r"- For a user: .*?\n- Upstream: .*?\.\n\n"
    r"```python\n(?P<program>.*?)```\n\n```text\n(?P<prints>.*?)```\n",
    re.M | re.S,
)


@dataclass(frozen=True)
class Finding:
    """One entry; behaviours: that its clauses leave open; report: the published ones, or why there is none."""

    title: str
    clauses: tuple[str, ...]
    behaviours: tuple[str, ...]
    report: str
    program: str
    prints: str


def findings() -> list[Finding]:
    text = (ROOT / "FINDINGS.md").read_text(encoding="utf-8")
    found = []
    for entry in ENTRY.finditer(text):
        clauses, behaviours = re.findall(r"[A-Z]+-\d+", entry["clauses"]), re.findall(r'"(.*?)"', entry["clauses"])
        shown = entry["report"], entry["program"], entry["prints"]
        found.append(Finding(entry["title"], tuple(clauses), tuple(behaviours), *shown))
    assert len(found) == len(re.findall(r"^## ", text, re.M))
    return found


def printed(program: str, python: str, folder: Path) -> str:
    """Return what a program prints in a folder, and how it ended where it did not end by itself."""
    command = [python, "-W", "ignore", "-c", program]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    last = " ".join(done.stderr.split("\n")[-3:]) if done.returncode < 0 else _error(done.stderr)
    if done.returncode < 0:
        return f"{done.stdout}ended by {signal.Signals(-done.returncode).name}: {last}\n"
    return f"{done.stdout}ended with status {done.returncode}: {last}\n" if done.returncode else done.stdout


def interpreter_of(finding: Finding) -> str:
    """Return what runs an entry's program: this Python, or that of the environment that its report is of."""
    name = re.sub(r"^none, of (\S+):.*", r"\1", finding.report).split(", ")[0]
    environment = PUBLISH["BACKENDS"][name].environment if name in PUBLISH["BACKENDS"] else ""
    if not environment:
        return sys.executable
    if not PUBLISH["ready"](environment):
        pytest.skip(f"no environment {environment!r}: make backends")
    return str(ROOT / PUBLISH["interpreter"](environment))


def _error(text: str) -> str:
    """Return the last line that an exception begins, as far as its end."""
    lines = [line for line in text.splitlines() if re.match(r"\w+(Error|Exception): ", line)]
    return lines[-1] if lines else text


@pytest.mark.parametrize("finding", findings(), ids=lambda f: f.title.split(".")[0])
def test_a_program_prints_what_its_entry_says(finding: Finding, tmp_path: Path) -> None:
    if '"cuda"' in finding.program and not torch.cuda.is_available():
        pytest.skip("no CUDA device is available")
    pattern = re.escape(finding.prints).replace(re.escape("..."), ".*")
    got = printed(finding.program, interpreter_of(finding), tmp_path)
    assert re.fullmatch(pattern, got, re.S), got
    assert len(finding.program.splitlines()) <= 6


@pytest.mark.parametrize("finding", findings(), ids=lambda f: f.title.split(".")[0])
def test_the_suite_finds_it(finding: Finding) -> None:
    assert set(finding.clauses) <= set(CLAUSES)
    if finding.report.startswith("none"):
        pytest.skip(finding.report)
    reports = [read(ROOT / "reports" / "published" / f"{name}.json") for name in finding.report.split(", ")]
    if finding.behaviours:  # open to all, and answered otherwise than by eager code
        eager = read(ROOT / "reports" / "published" / "torch.json")
        for name in finding.behaviours:
            here, there = ({a for b in r.behaviours if b.name == name for a in b.answers} for r in (reports[0], eager))
            assert here
            assert here != there
        return
    assert set(finding.clauses) <= {verdict.clause for report in reports for verdict in report.failures}
