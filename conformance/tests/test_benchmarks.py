"""The benchmark of detection runs, and what it prints and writes is what happened."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("expecttest", reason="PyTorch's own tests need it; it is in multimargin[dev]")

ROOT = Path(__file__).resolve().parents[2]


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
    assert [row["side"] for row in rows] == ["eager", "drop-in", "drop-in, unchecked", "copy"] * 2
    assert all(row["both"]["median"] > 0 for row in rows)
    assert table.read_text(encoding="utf-8").count("|\n") == 2 + len(rows)
