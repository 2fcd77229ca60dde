"""However a run ends, no process is left behind, and what was found by then is kept."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from multimargin_conformance import check
from multimargin_conformance.checks.rejections import VALID
from multimargin_conformance.cli import INVALID
from multimargin_reports import read

MARK = "MULTIMARGIN_TEST_MARK"
KERNEL = """
import os, time
from pathlib import Path
from multimargin_reference import multi_margin_loss
calls = 0

def forward(input, target, **options):
    global calls
    calls += 1
    if calls > 20:
        Path(os.environ["MULTIMARGIN_TEST_MARK"], f"hangs-{os.getpid()}").touch()
        time.sleep(3600)
    return multi_margin_loss(input, target, **options)
"""
POISONED = """
from multimargin_reference import multi_margin_loss
poisoned = False

def forward(input, target, **options):
    global poisoned
    if poisoned:
        raise RuntimeError("device-side assert triggered")
    try:
        return multi_margin_loss(input, target, **options)
    except IndexError:
        poisoned = True
        raise
"""


def marked(mark: str) -> list[int]:
    """Return the processes that were started with a mark, zombies aside."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if f"{MARK}={mark}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except (OSError, ValueError):
            continue
    return found


def until(condition: Callable[[], bool], seconds: float = 60) -> bool:
    limit = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > limit:
            return False
        time.sleep(0.05)
    return True


def judged(folder: Path) -> int:
    """Return in how many logs of a run, its own or its parts', a check has passed."""
    return sum('"status":"pass"' in log.read_text(encoding="utf-8") for log in folder.rglob("*.jsonl"))


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Start `multimargin check` on a backend that hangs after some calls; wait until it does, and some are judged."""
    (tmp_path / "hangs.py").write_text(KERNEL, encoding="utf-8")

    def start(*words: str, hanging: int = 1) -> subprocess.Popen[str]:
        command = [
            sys.executable,
            "-m",
            "multimargin_conformance.cli",
            "check",
            "py:hangs:forward",
            "--isolate",
            *words,
        ]
        (tmp_path / "parts").mkdir()
        environment = {**os.environ, MARK: str(tmp_path), "TMPDIR": str(tmp_path / "parts")}
        before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored, as under nohup, it would stay so
        try:
            process = subprocess.Popen(
                [*command, "--profile", "core", "--clause", "VALUE-[17]", "--output", "out"],
                cwd=tmp_path,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        finally:
            signal.signal(signal.SIGINT, before)
        assert until(lambda: len(list(tmp_path.glob("hangs-*"))) >= hanging)
        assert until(lambda: judged(tmp_path) >= hanging)
        return process

    return start


@pytest.mark.parametrize("words", [(), ("-j", "2")], ids=["one process", "two processes"])
def test_an_interruption_leaves_an_incomplete_report_and_no_process(
    words: tuple[str, ...], run: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    process = run(*words, hanging=2 if words else 1)
    os.killpg(process.pid, signal.SIGINT)  # as the terminal does
    output, errors = process.communicate(timeout=60)
    assert process.returncode == INVALID, errors
    assert "INVALID" in output
    report = read(tmp_path / "out" / "report.json")
    assert not report.complete
    assert not report.conformant
    assert report.counts["pass"] > 0
    assert report.counts["skip"] > 0
    assert report.planned == len(report.verdicts) == report.counts["pass"] + report.counts["skip"]
    assert until(lambda: not marked(str(tmp_path)))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("words", [(), ("-j", "2")], ids=["one process", "two processes"])
def test_the_end_of_the_suite_is_the_end_of_everything(
    words: tuple[str, ...], number: signal.Signals, run: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    process = run(*words, hanging=2 if words else 1)
    assert len(marked(str(tmp_path))) >= 2
    process.send_signal(number)
    process.communicate(timeout=60)
    assert until(lambda: not marked(str(tmp_path)))


def test_a_run_leaves_no_files_and_no_descriptors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    options = {"profile": "core", "clause": "VALUE-7", "dtypes": ["float64"]}
    check("reference", isolate=True, **options)
    before = set(os.listdir("/proc/self/fd"))
    (tmp_path / "ends.py").write_text("def forward(*a, **k):\n    import os; os.abort()\n", encoding="utf-8")
    assert check("py:ends.py:forward", fail_fast=True, isolate=True, **options).counts["fail"] == 1
    assert len(set(os.listdir("/proc/self/fd")) - before) == 0
    assert sorted(os.listdir(tmp_path)) == ["ends.py"]


@pytest.mark.parametrize(("device", "passes"), [("gpu", True), ("cpu", False)])
def test_what_may_poison_a_device_has_a_process_of_its_own(
    device: str, passes: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "poisoned.py").write_text(POISONED, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    options = {"profile": "core", "clause": "REJECT-5,PURITY-6", "dtypes": ["float64"], "only": ["p=1"]}
    report = check("py:poisoned:forward", device=device, isolate=True, **options)
    left_out = tuple(f"/{kind}-" for kind in VALID)  # on a device
    one_by_one = [v for v in report.verdicts if not any(kind in v.id for kind in left_out)]
    statuses = {c: {v.status for v in one_by_one if v.clause == c} for c in ("REJECT-5", "PURITY-6")}
    assert statuses == {"REJECT-5": {"pass"}, "PURITY-6": {"pass" if passes else "fail"}}
