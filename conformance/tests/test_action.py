"""The composite action, and an install from the repository at one revision: their commands, run as they stand."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
STEPS = {step["name"]: step for step in ACTION["runs"]["steps"]}
INSTALL, CHECK = "Install multimargin", "Check the implementation"
FILES = {"report.json", "report.jsonl", "report.html", "report.xml", "report.md", "badge.svg"}
FAULTY = """
from multimargin_reference.vectorized import multi_margin_loss as forward_
from multimargin_reference.vectorized import multi_margin_loss_backward as backward

def forward(input, target, **options):
    return forward_(input, target, **options) + (input.shape[-1] == 1)
"""
pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="the steps are for bash")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the action's own step installed into, without anything from the network."""
    folder = tmp_path_factory.mktemp("site")
    done = step(INSTALL, {}, folder, **offline(folder))
    assert done.returncode == 0, done.stderr
    return folder


def offline(folder: Path) -> dict[str, str]:
    """Return what makes pip use what is installed here, and put the package into a folder."""
    options = {"target": str(folder), "no_deps": "1", "no_index": "1"}
    options["no_build_isolation"] = "0"  # pip takes what follows "no_" for what is set: no isolation
    return {f"PIP_{name.upper()}": value for name, value in options.items()}


def step(name: str, inputs: dict[str, str], folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a step's commands as a workflow does: inputs with their defaults, in variables."""
    defaults = {key: value.get("default", "") for key, value in ACTION["inputs"].items()}
    values = {f"inputs.{k}": v for k, v in {**defaults, "python": sys.executable, **inputs}.items()}
    values["github.action_path"] = str(ROOT)
    given = {k: re.sub(r"\$\{\{ (.*?) \}\}", lambda found: values[found[1]], v) for k, v in STEPS[name]["env"].items()}
    files = {f"GITHUB_{kind}": str(folder / kind) for kind in ("OUTPUT", "STEP_SUMMARY")}
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", STEPS[name]["run"]],
        cwd=folder,
        env={**os.environ, **given, **files, **more},
        capture_output=True,
        text=True,
        check=False,
    )


def checked(site: Path, folder: Path, **inputs: str) -> tuple[int, str]:
    (folder / "kernels.py").write_text(FAULTY, encoding="utf-8")
    given = {"backend": "py:kernels.py:forward", "profile": "core", "arguments": "--clause VALUE-[78]", **inputs}
    done = step(CHECK, {name.replace("_", "-"): value for name, value in given.items()}, folder, PYTHONPATH=str(site))
    assert f"status={done.returncode}" in (folder / "OUTPUT").read_text(encoding="utf-8").splitlines()
    return done.returncode, done.stdout + done.stderr


def test_a_right_implementation_passes_and_leaves_its_reports(site: Path, tmp_path: Path) -> None:
    status, text = checked(site, tmp_path, backend="reference")
    assert status == 0, text
    assert {path.name for path in (tmp_path / "multimargin-report").iterdir()} == FILES
    assert "CONFORMANT" in (tmp_path / "STEP_SUMMARY").read_text(encoding="utf-8")


def test_a_wrong_one_fails_and_does_not_where_that_is_expected_or_the_baseline(site: Path, tmp_path: Path) -> None:
    status, text = checked(site, tmp_path)
    assert status == 1, text
    expected = tmp_path / "known.toml"
    expected.write_text(
        '[[expected]]\nclause = "VALUE-7"\nowner = "me"\nlink = "https://example.org/1"\nreason = "known"\n', "utf-8"
    )
    assert checked(site, tmp_path, expected_failures="known.toml")[0] == 0
    shutil.move(tmp_path / "multimargin-report", tmp_path / "before")
    status, text = checked(site, tmp_path, baseline="before/report.jsonl")
    assert status == 0, text
    assert "no regression" in text


def test_an_input_is_never_a_command(site: Path, tmp_path: Path) -> None:
    status, text = checked(
        site, tmp_path, backend='x"; touch broken; echo "', arguments="$(touch broken)", output="o $(touch broken)"
    )
    assert status == 2, text
    assert not (tmp_path / "broken").exists()


def test_the_outputs_and_inputs_that_are_used_are_declared() -> None:
    text = (ROOT / "action.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"\$\{\{ inputs\.([\w-]+) \}\}", text)) == set(ACTION["inputs"])
    for name in STEPS.values():
        assert "${{" not in name["run"]


def test_it_installs_from_the_repository_at_one_revision(tmp_path: Path) -> None:
    found = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    if found.returncode:
        pytest.skip("this is no clone: there is no revision to install")
    requirement = f"git+{ROOT.as_uri()}@{found.stdout.strip()}"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", requirement]
    done = subprocess.run(command, env={**os.environ, **offline(tmp_path)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    code = "import multimargin_conformance; print(multimargin_conformance.__file__)"
    where = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert where.stdout.startswith(str(tmp_path))
