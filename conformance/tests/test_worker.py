"""Python backends in a worker: the same verdicts as in this process, whatever they do to the worker."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from multimargin_conformance import BackendNotStarted, UnknownBackend, check, replay
from multimargin_conformance.adapters import resolve
from multimargin_conformance.backend import subject as made_subject
from multimargin_conformance.isolation import Limits, echo_probe, opened, parallel
from multimargin_conformance.isolation.parallel import check_in_parallel
from multimargin_conformance.sharding import MergeError, merge, shard_of
from multimargin_reference.known import FAULTS as FAULTS_OF_THE_OPERATOR
from multimargin_reports import Cause, Report
from multimargin_reports.jsonfile import from_json, to_json

WORKER = Path(__file__).parents[1] / "multimargin_conformance" / "worker"
SOME = {"profile": "core", "dtypes": ["float64"], "select": "VALUE-7/float64/*"}
RIGHT = "from multimargin_reference import multi_margin_loss as forward\n"
KERNELS = {  # what a module does: on import, and in its forward
    "prints": ("print('on import')", "print('a print'); import os; os.write(1, b'from C\\n'); print('x' * 200000)"),
    "reads": ("", "import sys, os; assert sys.stdin.read() == '' and os.read(0, 9) == b''"),
    "warns": ("", "import warnings; warnings.warn('careful')"),
    "threads": ("", "import threading, time; threading.Thread(target=time.sleep, args=(3600,)).start()"),
    "forks": ("import os", "os.fork()"),
    "exits_later": ("import atexit, time; atexit.register(lambda: time.sleep(3600))", "pass"),
    "changes_folder": ("", "import os; os.chdir('/')"),
}
ENDS = {
    "exits": ("import os", "os._exit(0)", "ended with status 0"),
    "raises_exit": ("import sys", "sys.exit(3)", "crashed: SystemExit: 3"),
    "interrupts": ("", "raise KeyboardInterrupt", "crashed: KeyboardInterrupt"),
    "segfaults": ("import ctypes", "ctypes.string_at(0)", "SIGSEGV"),
    "closes": ("import os", "os.closerange(3, 100)", "ended with status"),
    "recurses": (
        "",
        "return forward(input, target, p=p, margin=margin, weight=weight, reduction=reduction)",
        "Recursi",
    ),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def kernel(folder: Path, name: str, first: str, act: str) -> str:
    text = (
        f"{first}\nfrom multimargin_reference import multi_margin_loss\n"
        f"def forward(input, target, *, p, margin, weight, reduction):\n    {act}\n"
        "    return multi_margin_loss(input, target, p=p, margin=margin, weight=weight, reduction=reduction)\n"
    )
    (folder / f"kernel_{name}.py").write_text(text, encoding="utf-8")
    return f"py:kernel_{name}:forward"


@pytest.mark.parametrize("name", KERNELS)
def test_what_a_backend_does_beside_its_answers_does_not_matter(name: str, folder: Path) -> None:
    report = check(kernel(folder, name, *KERNELS[name]), limits=Limits(timeout=20), **SOME)
    assert report.counts["pass"] == report.planned > 10


@pytest.mark.parametrize("name", ENDS)
def test_what_ends_a_worker_is_a_failure_of_every_call(name: str, folder: Path) -> None:
    first, act, text = ENDS[name]
    report = check(kernel(folder, name, first, act), limits=Limits(timeout=20), fail_fast=True, **SOME)
    (failure,) = report.failures
    assert failure.failure is not None
    assert text in failure.failure.message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import a_module_that_does_not_exist", "ModuleNotFoundError"),
        ("import sys; sys.exit(0)", "SystemExit"),
        ("import os; os.write(2, b'bye'); os._exit(5)", "status 5 before it was started; the end of its stderr: bye"),
        ("import ctypes; ctypes.string_at(0)", "SIGSEGV"),
        ("import time; time.sleep(3600)", "no answer in 3 s"),
        ("forward = 7", "is a int, neither callable nor with a forward"),
        ("other = 7", "has no 'forward'"),
        ("class forward:\n def __init__(self): raise OSError('device')", "forward() failed: OSError: device"),
        ("def forward(): pass\nforward.capabilities = 'all'", "capabilities is a str"),
        ("def forward(): pass\nforward.capabilities = {'dtypes': ['float8']}", "'float8'"),
        ("def forward(): pass\nforward.capabilities = {'p': []}", "$.capabilities.p"),
    ],
)
def test_a_backend_that_does_not_start_is_said_to(text: str, message: str, folder: Path) -> None:
    (folder / "kernel_bad.py").write_text(text, encoding="utf-8")
    with pytest.raises(BackendNotStarted) as caught:
        check("py:kernel_bad:forward", limits=Limits(start_timeout=3), **SOME)
    assert message in str(caught.value)


@pytest.mark.parametrize("spec", ["nothing", "py:kernel", "py::f", "py:", "torch:", "cmd:", "cmd:'", "no:m:f"])
def test_a_name_that_leads_nowhere_is_a_mistake_of_the_users(spec: str) -> None:
    with pytest.raises(UnknownBackend):
        check(spec)


def test_a_worker_says_of_a_backend_what_this_process_says(folder: Path) -> None:
    text = RIGHT + (
        "class Limited:\n    version = '7'\n    device = 'npu'\n"
        "    def forward(self, *a, **k): pass\n    def backward(self, *a, **k): pass\n"
    )
    (folder / "kernel_said.py").write_text(text, encoding="utf-8")
    for spec in ("py:kernel_said:forward", "py:kernel_said:Limited", "py:kernel_said.py:Limited", "reference"):
        there, here = opened(spec), resolve(spec)
        there.link.kill()
        for name in ("name", "version", "spec", "device"):
            assert getattr(there.subject, name) == getattr(here, name), (spec, name)
        assert there.subject.capabilities == replace(here.capabilities, gradient=here.backward is not None)
        assert (there.subject.backward is None) == (here.backward is None)
    assert made_subject(len).name == "len"


def test_a_worker_gives_the_verdicts_of_this_process() -> None:
    options = {"profile": "full", "clause": "PURITY-*,REJECT-[123],SHAPE-[12],DTYPE-*,SPECIAL-1", "dtypes": ["float32"]}
    inside, outside = (check("reference", isolate=isolate, **options) for isolate in (False, True))
    assert outside.verdicts == inside.verdicts
    assert (outside.behaviours, outside.accuracy) == (inside.behaviours, inside.accuracy)
    assert outside.counts["pass"] == outside.planned > 400


FAULTS = {  # what a kernel does wrong that shows only in memory that the suite does not share with it: clause
    "PURITY-1": "if input.flags.writeable: input.flat[0] += 1",
    "PURITY-1 ": "if input.base is not None: ctypes.c_char.from_address(input.ctypes.data - 1).value = b'7'",
    "PURITY-2": "kept[0] = kept.get(0, 0) + 1; return right(input, target, **o) * (1 + kept[0] % 2 * 2.0**-23)",
    "PURITY-3": "return kept.setdefault(id(input), (input, right(input, target, **o)))[1]",
    "PURITY-4": "r = right(input, target, **o); kept.setdefault(r.shape, r)[...] = r; return kept[r.shape]",
    "PURITY-5": "b = input if input.base is None else input.base; "
    "input = np.frombuffer(b.tobytes(), input.dtype, input.size).reshape(input.shape)",
    "PURITY-6": "input[...] = input",
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_of_memory_show_across_the_pipe(name: str, folder: Path) -> None:
    act, clause = FAULTS[name], name.strip()
    text = (
        "import ctypes, numpy as np\nfrom multimargin_reference import multi_margin_loss as right\nkept = {}\n"
        f"def forward(input, target, **o):\n    {act}\n    return right(input, target, **o)\n"
    )
    (folder / "kernel_fault.py").write_text(text, encoding="utf-8")
    report = check("py:kernel_fault:forward", "core", ["float32"], clause=clause, fail_fast=True, isolate=True)
    assert clause in {v.clause for v in report.failures}


def test_shared_scratch_memory_shows_under_threads(folder: Path) -> None:
    text = (
        "import time\nfrom multimargin_reference import multi_margin_loss as right\nscratch = {}\n"
        "def forward(input, target, **o):\n    scratch['x'] = input.copy(); scratch['y'] = target, o\n"
        "    time.sleep(0)\n    y, o = scratch['y']\n    return right(scratch['x'], y, **o)\n"
    )
    (folder / "kernel_race.py").write_text(text, encoding="utf-8")
    report = check("py:kernel_race:forward", "core", ["float32"], select="/threads", isolate=True)
    assert report.counts["fail"] == report.planned - 1 == 16  # with the same arrays scratch is the same too


def test_another_interpreter_needs_nothing_of_ours(folder: Path) -> None:
    (folder / "kernel_alone.py").write_text(
        "import sys, numpy as np\n"
        "def forward(input, target, *, p, margin, weight, reduction):\n"
        "    assert not any(name.startswith(('multimargin', 'ml_dtypes')) for name in sys.modules if name != "
        "'ml_dtypes')\n    raise ValueError('not yet')\n",
        encoding="utf-8",
    )
    limits = Limits(python=sys.executable)
    report = check("py:kernel_alone:forward", "core", ["float64"], clause="REJECT-1", limits=limits)
    assert report.counts["pass"] == report.planned > 0


def test_a_worker_by_its_path_imports_nothing_of_ours() -> None:
    code = (
        "import runpy, sys\nsys.argv = ['worker', 'py:math:fsum']\n"
        f"try: runpy.run_path({str(WORKER)!r}, run_name='__main__')\nfinally: pass\n"
    )
    lines = '{"id":0,"cmd":"start","protocol":[1],"suite":"s","device":""}\n{"id":1,"cmd":"stop"}\n'
    done = subprocess.run([sys.executable, "-X", "importtime", "-c", code], input=lines, capture_output=True, text=True)
    assert [json.loads(line)["status"] for line in done.stdout.splitlines()] == ["started", "stopped"]
    assert "_multimargin_worker.server" in done.stderr
    assert "multimargin_" not in done.stderr.replace("_multimargin_worker", "")


def test_what_needs_multimargin_says_so(folder: Path) -> None:
    shim = folder / "python"
    shim.write_text(f'#!/bin/sh\nexec {sys.executable} -I "$@"\n', encoding="utf-8")
    shim.chmod(0o755)
    bare = subprocess.run([str(shim), "-c", "import multimargin_conformance"], capture_output=True, check=False)
    if bare.returncode == 0:
        pytest.skip("this interpreter has multimargin installed")
    with pytest.raises(BackendNotStarted, match="is an adapter of multimargin"):
        check("reference", limits=Limits(python=str(shim)))


def test_replay_is_isolated_too(folder: Path) -> None:
    case = check("reference", **SOME).verdicts[0].case
    (verdict,) = replay(case, kernel(folder, "exits", *ENDS["exits"][:2]), isolate=True)
    assert verdict.failure is not None
    assert "status 0" in verdict.failure.message


@pytest.mark.parametrize("backend", ["reference", "oracle"])
def test_shipped_backends_echo_every_bit(backend: str) -> None:
    assert echo_probe(backend) is None


@pytest.mark.parametrize("compiles", [True, False])
def test_what_compiles_has_the_time_of_a_start(compiles: bool, folder: Path) -> None:
    act = "import time; time.sleep(0.6 if not hasattr(forward, 'slept') else 0); forward.slept = True"
    name = kernel(folder, f"compiles_{compiles}", "", act)
    path = folder / f"kernel_compiles_{compiles}.py"
    path.write_text(f"{path.read_text(encoding='utf-8')}forward.compiles = {compiles}\n", encoding="utf-8")
    report = check(name, limits=Limits(timeout=0.3, start_timeout=60), **SOME)
    assert report.conformant is compiles


def test_what_an_adapter_concluded_is_the_outcome(folder: Path) -> None:
    text = (
        "from multimargin_conformance.outcome import Concluded, Crashed, Malformed, TimedOut\n"
        "class Outcomes:\n"
        "    def forward(self, input, *a, **k):\n"
        "        raise Concluded([Crashed('there'), Malformed('a text'), TimedOut(3.0)][input.ndim])\n"
    )
    (folder / "kernel_concluded.py").write_text(text, encoding="utf-8")
    for shape, words in (("batched", "no answer in 3 s"), ("unbatched", "returned a text")):
        options = {**SOME, "select": "SHAPE-[12]/float64/*", "only": [f"shape={shape}"]}
        messages = {v.failure.message for v in check("py:kernel_concluded:Outcomes", **options).failures if v.failure}
        assert messages
        assert all(words in message for message in messages)


SHARDED = {"profile": "full", "clause": "VALUE-*,GRADIENT-2,SPECIAL-*", "dtypes": ["float32", "float16"]}


@pytest.fixture(scope="module")
def parts() -> list[Report]:
    made = [check("reference", isolate=False, shard=f"{k}/3", **SHARDED) for k in (1, 2, 3)]
    return [from_json(json.loads(json.dumps(to_json(report)))) for report in made]


@pytest.fixture(scope="module")
def whole() -> Report:
    return check("reference", isolate=False, **SHARDED)


def test_merged_shards_are_one_run_byte_for_byte(parts: list[Report], whole: Report) -> None:
    assert all(report.planned == len(report.verdicts) > 0 for report in parts)
    for order in (parts, parts[::-1]):
        merged = replace(merge(order), duration_s=whole.duration_s)
        assert json.dumps(to_json(merged)) == json.dumps(to_json(whole))


@pytest.mark.parametrize(("name", "shards"), [("kink-full", 5), ("weight-twice", 2), ("nan-instead-of-error", 3)])
def test_merged_shards_have_the_causes_of_one_run(name: str, shards: int) -> None:
    """Failures of one cause may lie in several shards; the smallest call is that of the whole run."""
    fault = next(fault for fault in FAULTS_OF_THE_OPERATOR if fault.name == name)
    options = {
        "profile": "full",
        "clause": "VALUE-[1-4],GRADIENT-[1-4],WEIGHT-[12],REJECT-[1-5]",
        "dtypes": ["float32", "float64"],
    }
    parts = [check(fault.make(), shard=f"{k}/{shards}", **options) for k in range(1, shards + 1)]
    merged = merge([from_json(to_json(part)) for part in parts])
    whole = check(fault.make(), **options)
    assert whole.causes
    assert json.dumps(to_json(replace(merged, duration_s=whole.duration_s))) == json.dumps(to_json(whole))


@pytest.mark.usefixtures("usual_engine")
def test_runs_in_parallel_are_one_run_byte_for_byte(whole: Report) -> None:
    found = check_in_parallel("reference", 2, SHARDED, None)
    report = replace(found, duration_s=whole.duration_s, options={**found.options, "isolated": False})
    assert json.dumps(to_json(report)) == json.dumps(to_json(whole))


def test_a_run_in_parallel_takes_as_long_as_its_longest_part(
    parts: list[Report], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts on several machines have taken the sum."""
    timed = [replace(part, duration_s=float(2 + place)) for place, part in enumerate(parts)]
    answers = [json.dumps({"report": to_json(part)}).encode() for part in timed]
    monkeypatch.setattr(parallel, "_part", lambda _: SimpleNamespace(kill=lambda: None, wait=lambda: None))
    monkeypatch.setattr(parallel, "_outputs", lambda _: answers)
    assert check_in_parallel("reference", len(parts), SHARDED, None).duration_s == 1 + len(parts)
    assert merge(timed).duration_s == sum(part.duration_s for part in timed) > 1 + len(parts)


def test_parallel_runs_raise_what_one_run_raises() -> None:
    with pytest.raises(UnknownBackend, match="no backend 'nothing'"):
        check_in_parallel("nothing", 2, SHARDED, None)
    with pytest.raises(ValueError, match="no check matches"):
        check_in_parallel("reference", 2, {"select": "nothing"}, None)


def test_what_is_no_whole_run_is_refused(parts: list[Report], whole: Report) -> None:
    edited = replace(parts[0], options={**parts[0].options, "shard": {**parts[0].options["shard"], "places": []}})
    other = replace(parts[0], environment={**parts[0].environment, "numpy": "0"})
    seed = replace(parts[0], options={**parts[0].options, "seed": 1})
    short = replace(parts[0], verdicts=parts[0].verdicts[1:])
    caused = replace(parts[0], causes=(Cause("a cause that nobody found", (parts[0].verdicts[0].id,)),))
    for reports, message in (
        ((), "nothing to merge"),
        ((whole,), "is no shard"),
        ((parts[0], parts[2]), "shards 2/3 are missing"),
        ((*parts, parts[1]), "shard 2/3 twice"),
        ((edited, *parts[1:]), "does not fit its verdicts"),
        ((short, *parts[1:]), "does not fit its verdicts"),
        ((caused, *parts[1:]), "record of its causes"),
        ((other, *parts[1:]), "environment differs"),
        ((seed, *parts[1:]), "options differ"),
    ):
        with pytest.raises(MergeError, match=message):
            merge(reports)


def test_an_incomplete_shard_makes_an_incomplete_run(parts: list[Report]) -> None:
    merged = merge([replace(parts[0], complete=False), *parts[1:]])
    assert not merged.complete
    assert not merged.conformant


@pytest.mark.parametrize("text", ["", "1", "0/2", "3/2", "1/0", "a/b", "1/2/3", "-1/2", "1/99999"])
def test_a_shard_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="should be i/n"):
        shard_of(text)


def test_more_shards_than_groups_are_refused() -> None:
    with pytest.raises(ValueError, match="at most as many"):
        check("reference", isolate=False, shard="1/99", **SOME)
