"""The benchmarks run, and what they print and write is what happened."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("expecttest", reason="PyTorch's own tests need it; it is in multimargin[dev]")

ROOT = Path(__file__).resolve().parents[2]
SECTIONS = (
    "Goals",
    "Ratios to PyTorch eager",
    "Float64",
    "Through NumPy arrays",
    "Drop-in",
    "Share of the memory floor",
    "Accuracy",
    "Memory beyond inputs and outputs",
    "Growth",
    "The suite's own cost",
)


def test_both_sides_catch_the_first_faults_and_accept_the_model(tmp_path: Path) -> None:
    written, table = tmp_path / "detection.json", tmp_path / "detection.md"
    script = ROOT / "benchmarks" / "detection.py"
    command = [sys.executable, str(script), "--limit", "3", "--output", str(written), "--markdown", str(table)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "not caught by PyTorch's tests: 0" in done.stdout
    assert table.read_text(encoding="utf-8").count("|\n") == 5
    data = json.loads(written.read_text(encoding="utf-8"))
    assert set(data["counts"]["faults"].values()) == {3}
    assert all(f["suite"].startswith("VALUE-") and f["pytorch"].startswith("test_ops") for f in data["faults"].values())
    assert list(data["variants"].values()) == [{"group": "", "only_in_halves": False, "pytorch": "", "suite": ""}]


def test_the_benchmark_of_the_drop_in_runs_without_a_gpu(tmp_path: Path) -> None:
    pytest.importorskip("triton", reason="Triton is not installed: multimargin[triton]")
    written, table = tmp_path / "gpu.json", tmp_path / "gpu.md"
    script = ROOT / "benchmarks" / "gpu.py"
    command = [
        sys.executable,
        str(script),
        "--dry",
        "--rounds",
        "1",
        "--output",
        str(written),
        "--markdown",
        str(table),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = json.loads(written.read_text(encoding="utf-8"))["rows"]
    assert [row["side"] for row in rows] == ["eager", "drop-in", "drop-in, checked", "copy"] * 2
    assert all(row["both"]["median"] > 0 for row in rows)
    assert table.read_text(encoding="utf-8").count("|\n") == 2 + len(rows)


def _speed(*arguments: str | Path) -> str:
    command = [sys.executable, str(ROOT / "benchmarks" / "speed.py"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_dry_run_of_speed_measures_and_writes_everything(tmp_path: Path) -> None:
    printed = _speed("--dry", "--output", tmp_path)
    data = json.loads((tmp_path / "speed.json").read_text(encoding="utf-8"))
    timings = data["timings"]
    assert {line["contender"] for line in timings} >= {"eager", "ours, NumPy", "torch by hand", "floor"}
    assert all(line["seconds"][1] > 0 and line["ratio"][1] > 0 for line in timings)
    assert {line["ratio"][1] for line in timings if line["contender"] == "eager"} == {1.0}
    assert {(line["dtype"], line["interface"]) for line in timings} == {
        ("float32", "own arrays"),
        ("float32", "NumPy arrays"),
        ("float64", "own arrays"),
    }
    assert all(e["loss"] < 1e-6 and e["gradient"] < 1e-5 and e["kinks"] == 0 for e in data["errors"])
    assert {line["along"] for line in data["growth"]} == {"N", "C"}
    assert {line["how"] for line in data["drop_in"] if line["ratio"][1] > 0} == {"function", "module"}
    assert {line["how"] for line in data["suite"]} >= {
        "first in a process",
        "fractions.Fraction loop",
        "oracle",
        "exact",
    }
    text = (tmp_path / "speed.md").read_text(encoding="utf-8")
    assert tuple(line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")) == SECTIONS
    assert all(f"## {section}\n" in printed for section in SECTIONS)
    written = {path: path.read_bytes() for path in tmp_path.iterdir()}
    _speed("--again", tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == written
    (tmp_path / "speed.json").write_text(json.dumps({**data, "machine": {"cpu": "another"}}), encoding="utf-8")
    with pytest.raises(AssertionError, match="measure everything there"):
        _speed("--dry", "--only", "isolation", "--output", tmp_path)
