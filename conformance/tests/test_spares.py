"""Processes that are forked and started ahead for calls that may end them: same answers, and nothing left behind."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from multimargin_conformance import check
from multimargin_conformance.backend import BackendNotStarted
from multimargin_conformance.isolation import spares as spares_module
from multimargin_conformance.isolation.forks import Forks
from multimargin_conformance.isolation.launch import Opened, opened
from multimargin_conformance.isolation.link import Request, Trouble
from multimargin_conformance.isolation.spares import Spares
from multimargin_conformance.rejudging import rejudge
from multimargin_reports import Report
from multimargin_reports.logfile import read_log

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="forked processes are waited for by pidfd")

BACKEND = """import os
import numpy as np

ended = False


def forward(input, target, **options):
    global ended
    with open("parents.txt", "a") as file:
        file.write(f"{os.getpid()} {os.getppid()}\\n")
    if input.shape == (1, 7):
        os.abort()
    ended = ended or bool(((target < 0) | (target >= input.shape[-1])).any())
    if ended:
        raise RuntimeError("device-side assert triggered")
    return np.zeros((), input.dtype)
"""
ABORTING = '"op":"forward","p":1,"margin":"000000000000f03f","reduction":"mean","weight":null,' + ",".join(
    f'"{name}":{{"dtype":"{dtype}","shape":{shape},"hex":"{"00" * size}"}}'
    for name, dtype, shape, size in (("input", "float64", "[1,7]", 56), ("target", "int64", "[1]", 8))
)


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Opened]:
    (tmp_path / "ending.py").write_text(BACKEND, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    found = opened("py:ending.py:forward", "gpu")
    yield found
    found.link.kill()


def running(pid: int) -> bool:
    """Whether a process is there and has not ended."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except FileNotFoundError:
        return False


def test_the_first_is_started_and_the_others_are_forked_ahead(there: Opened) -> None:
    spares = Spares(there, most=3)
    try:
        links = [spares.take(number) for number in (0, 10, 20)]
        parents = [Path(f"/proc/{link.process._pid}/stat").read_text().split()[3] for link in links]
        assert parents[0] == str(os.getpid()) != parents[1] == parents[2]
        assert [link.next_id >= number for link, number in zip(links, (0, 10, 20), strict=True)] == [True] * 3
        assert len(spares._begun) == 3
        pids = [link.process._pid for link in (*links, *(b.link for b in spares._begun))]
        assert all(running(pid) for pid in pids)
        for link in links:
            spares.retire(link)
        assert select.select([], [], [], 0) == ([], [], [])
    finally:
        spares.close()
    assert not any(running(pid) for pid in pids)


def test_how_a_forked_process_ended_is_known(there: Opened) -> None:
    spares = Spares(there, most=1)
    try:
        spares.retire(spares.take(0))
        link = spares.take(5)
        link.send(Request("run", ABORTING))
        link.process.flush()
        with pytest.raises(Trouble, match="the process was ended by SIGABRT"):
            link.receive(30)
    finally:
        spares.close()


def test_without_forks_processes_are_started(there: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(_command: object) -> Forks:
        raise OSError("no such system call")

    monkeypatch.setattr(spares_module, "Forks", refusing)
    spares = Spares(there, most=1)
    try:
        links = [spares.take(0), spares.take(0)]
        assert {Path(f"/proc/{link.process._pid}/stat").read_text().split()[3] for link in links} == {str(os.getpid())}
        for link in links:
            link.kill()
    finally:
        spares.close()


def test_a_process_that_forks_and_ends_is_done_without(there: Opened) -> None:
    spares = Spares(there, most=1)
    try:
        spares.retire(spares.take(0))
        spares.retire(spares.take(0))
        assert spares._forks is not None
        spares._forks._process.kill()
        spares._forks._process.wait()
        for _ in range(3):  # the one ahead ends with the process that forked it: at once, or a moment later
            with suppress(BackendNotStarted):
                link = spares.take(0)
                parent = Path(f"/proc/{link.process._pid}/stat").read_text().split()[3]
                link.kill()
                if parent == str(os.getpid()):
                    return
        pytest.fail("every process is a forked one")
    finally:
        spares.close()


SMALL = """import os
from pathlib import Path


class Backend:
    \"\"\"Starts only while fewer than four others run: so much memory has its device.\"\"\"

    def forward(self, input, target, **options):
        raise NotImplementedError

    @property
    def version(self):
        folder = Path("contexts")
        folder.mkdir(exist_ok=True)
        held = [p for p in folder.iterdir() if int(p.name) != os.getpid() and Path("/proc", p.name, "fd").is_dir()]
        if len([p for p in held if "Z" not in Path("/proc", p.name, "stat").read_text().split()[2]]) >= 4:
            raise MemoryError("out of memory")
        (folder / str(os.getpid())).touch()
        return "1"


backend = Backend()
"""


def test_a_device_with_memory_for_few_processes_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "small.py").write_text(SMALL, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(spares_module, "PAUSES_S", (0.0, 0.0, 0.0))
    found = opened("py:small.py:backend", "gpu")
    spares = Spares(found, most=6)
    try:
        for number in range(10):
            spares.retire(spares.take(number))
        assert spares.most < 4
    finally:
        spares.close()
        found.link.kill()


def test_each_call_that_ends_a_device_has_a_process_and_all_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ending.py").write_text(BACKEND, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    before = set(os.listdir("/proc/self/fd"))
    options = {"profile": "core", "clause": "REJECT-5", "dtypes": ["float64"], "only": ["p=1"]}
    report = check("py:ending.py:forward", device="gpu", isolate=True, **options)  # type: ignore[arg-type]
    assert report.counts["pass"] > 5
    assert report.counts["fail"] == 0
    calls = [line.split() for line in (tmp_path / "parents.txt").read_text().splitlines()]
    forked = {pid for pid, parent in calls if parent != str(os.getpid())}
    assert len(forked) >= report.counts["pass"] - 1
    assert len({parent for _, parent in calls}) == 2
    assert set(os.listdir("/proc/self/fd")) == before
    assert not any(running(int(pid)) for pid, _ in calls)


SURVIVING = """import os
import numpy as np


def forward(input, target, **options):
    with open("calls.txt", "a") as file:
        file.write(f"{os.getpid()} {int(target.min() < 0)}\\n")
    if (target < 0).any() and not ACCEPTED:
        raise IndexError("target out of range")
    return np.zeros((), input.dtype)
"""
CONTEXTS = {"profile": "core", "clause": "REJECT-3", "dtypes": ["float64"], "only": ["p=1"]}


def of_contexts(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **options: object) -> Report:
    (tmp_path / "there.py").write_text(source, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    select = "*/contexts-target-negative-*/*"
    return check("py:there.py:forward", device="gpu", isolate=True, select=select, **CONTEXTS, **options)  # type: ignore[arg-type]


def test_a_device_that_survives_has_every_call_of_a_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = of_contexts(SURVIVING.replace("ACCEPTED", "False"), tmp_path, monkeypatch)
    assert report.counts["pass"] == len(report.verdicts) > 1
    calls = [line.split() for line in (tmp_path / "calls.txt").read_text().splitlines()]
    invalid = [pid for pid, negative in calls if negative == "1"]
    assert len(set(invalid)) == 1
    assert len(invalid) > 5 * len(report.verdicts)


def test_a_device_that_takes_targets_out_of_range_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = of_contexts(SURVIVING.replace("ACCEPTED", "True"), tmp_path, monkeypatch)
    assert report.counts["fail"] == len(report.verdicts)


def test_a_device_that_does_not_survive_has_one_call_of_a_check_and_its_log_is_judged_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log.jsonl"
    report = of_contexts(BACKEND, tmp_path, monkeypatch, log=log)
    assert report.counts["pass"] == len(report.verdicts) > 1
    again = rejudge(read_log(log))
    assert again.judged == len(report.verdicts)
    assert not again.differences
