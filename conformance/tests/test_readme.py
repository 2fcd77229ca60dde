"""The README's outputs are what its commands print, and they say what it says; what is stale in it is named.

`make lint` compares everything else that it shows.
"""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from multimargin_conformance.cli import main

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SCRIPT = runpy.run_path(str(ROOT / "scripts" / "readme.py"))
RUNS = {part["rest"].split()[-1]: part for part in SCRIPT["PART"].finditer(README) if part["kind"] == "run"}
WRONG, RIGHT = (f"py:examples/{name}_kernel.py:Kernel" for name in ("wrong", "right"))


def _run(*arguments: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, check=False)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A folder with the script, the kernels and a README that shows only the fix, all current."""
    for name in ("scripts/readme.py", "examples/wrong_kernel.py", "examples/right_kernel.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (part,) = re.findall(r"<!-- diff .*?<!-- end -->\n", README, re.S)
    (tmp_path / "README.md").write_text(part, encoding="utf-8")
    assert _run("scripts/readme.py", "--check", cwd=tmp_path).returncode == 0
    return tmp_path


def test_a_stale_readme_is_one_clear_line(copy: Path) -> None:
    (copy / "examples" / "right_kernel.py").write_text("other = 1\n", encoding="utf-8")
    done = _run("scripts/readme.py", "--check", cwd=copy)
    expected = "README.md is stale: examples/wrong_kernel.py examples/right_kernel.py: run `make readme`\n"
    assert (done.returncode, done.stderr) == (1, expected)


def test_a_stale_readme_is_written_again(copy: Path) -> None:
    current = (copy / "README.md").read_text(encoding="utf-8")
    (copy / "README.md").write_text(current.replace("z > 0", "z > 1"), encoding="utf-8")
    assert _run("scripts/readme.py", cwd=copy).returncode == 0
    assert (copy / "README.md").read_text(encoding="utf-8") == current


def test_every_part_is_filled() -> None:
    parts = re.findall(r"<!-- (file|diff|run) .*?-->\n(.*?)<!-- end -->", README, re.S)
    assert [kind for kind, shown in parts if shown] == ["file", "run", "diff", "run", "run"]


def test_no_volatile_text_is_shown() -> None:
    assert re.findall(r"checks in [\d.]+ s|torch [\d.]+\+\w+|loss = (?!<garbage>)\S+, .*\[SHAPE-[78] ", README) == []


def _printed(backend: str, shown: Callable[[re.Match[str]], str]) -> str:
    """Return what the README's command for a backend prints, and compare it with what is shown."""
    part = RUNS[backend]
    for _ in range(SCRIPT["TRIES"]):
        text = shown(part)
        if not SCRIPT["REFERENCE_MACHINE"] or text == part["shown"]:
            return text
    assert text == part["shown"], "README.md is stale: run `make readme`"
    return text


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Callable[[re.Match[str]], str]:
    """Run the command in this process, which knows already what is legal.

    The kernels are called in it too: they have to be accepted as live objects as well. What PyTorch returns for an
    empty batch is what was in its process's memory.
    """

    def run(command: list[str], **_: Any) -> SimpleNamespace:
        assert command[:3] == [sys.executable, "-m", "multimargin_conformance.cli"]
        words = command[3:] if command[-1] == "torch" else [*command[3:], "--no-isolate"]
        done = CliRunner().invoke(main, words)
        return SimpleNamespace(stdout=done.stdout, stderr=done.stderr, returncode=done.exit_code)

    monkeypatch.chdir(ROOT)
    script = runpy.run_path(str(ROOT / "scripts" / "readme.py"))
    script["run"].__globals__["subprocess"] = SimpleNamespace(run=run)
    return lambda part: str(script["shown"](part))


def test_the_wrong_kernel_is_rejected_on_the_kink_alone(here: Callable[[re.Match[str]], str]) -> None:
    text = _printed(WRONG, here)
    assert text.endswith("\n$ echo $?\n1\n```\n")
    assert re.findall(r"^  (\S+ \S+) \(MUST\)", text, re.M) == ["GRADIENT-4 kink"]
    assert re.search(r"gradient\[0, 0\] = -0\.5, but should be 0\.0 \(exact grid", text)


def test_the_shown_replay_command_fails_again() -> None:
    words = re.findall(r"replay: multimargin (replay .*wrong_kernel.*)", README)[0].split()
    done = _run("-m", "multimargin_conformance.cli", *words)
    assert done.returncode == 1
    assert "GRADIENT-4 kink" in done.stdout


def test_the_right_kernel_is_accepted(here: Callable[[re.Match[str]], str]) -> None:
    text = _printed(RIGHT, here)
    assert (text.endswith("\n$ echo $?\n0\n```\n"), "FAIL" in text) == (True, False)


def test_every_other_output_is_what_its_command_prints(here: Callable[[re.Match[str]], str]) -> None:
    assert set(RUNS) == {WRONG, RIGHT, "torch"}
    pytest.importorskip("torch", reason="PyTorch is not installed")
    text = _printed("torch", here)
    assert re.search(
        r"^NOT CONFORMANT to training: \d+ pass, \d+ fail; clauses SHAPE-7 [^;,]+, sum, SHAPE-8 [^;,]+, mean$",
        text,
        re.M,
    )


def test_a_kind_that_is_not_named_is_not_compared(copy: Path) -> None:
    (copy / "examples" / "right_kernel.py").write_text("other = 1\n", encoding="utf-8")
    assert _run("scripts/readme.py", "--check", "file", cwd=copy).returncode == 0
    assert _run("scripts/readme.py", "--check", "file", "diff", cwd=copy).returncode == 1


def test_finite_differences_do_not_see_the_fault() -> None:
    space: dict[str, Any] = {}
    exec((ROOT / "examples" / "wrong_kernel.py").read_text(encoding="utf-8"), space)
    kernel, rng, step = space["Kernel"](), np.random.default_rng(0), 1e-7
    for p in (1, 2):
        x, y, along = rng.standard_normal((8, 5)), rng.integers(0, 5, 8), rng.standard_normal((8, 5))
        options: dict[str, Any] = {"p": p, "margin": 1.0, "weight": rng.random(5), "reduction": "sum"}
        ahead, behind = (kernel.forward(x + s * along, y, **options) for s in (step, -step))
        slope = (kernel.backward(np.array(1.0), x, y, **options) * along).sum()
        assert slope == pytest.approx((ahead - behind) / (2 * step), rel=1e-6)  # README: it "finds nothing"


def test_the_kernels_differ_in_one_character() -> None:
    wrong, right = ((ROOT / "examples" / f"{name}_kernel.py").read_text("utf-8") for name in ("wrong", "right"))
    assert wrong.replace("z >= 0", "z > 0") == right != wrong
