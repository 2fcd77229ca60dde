"""The environments of backends that cannot share this project's: what is installed there, and how large it is."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ".backends"  # in the root, ignored by git


@dataclass(frozen=True)
class Environment:
    """One virtual environment, or an interpreter that the system brings.

    requirements: for pip. megabytes, seconds: of installing, measured once on two cores. interpreter: the system's own,
    in place of an environment. imports: what has to be there. needs: what pip does not install, for the user.
    """

    requirements: tuple[str, ...]
    megabytes: int
    seconds: int
    imports: str
    interpreter: str = ""
    needs: str = ""


ENVIRONMENTS = {
    "jax": Environment(
        ("jax==0.10.2", "optax==0.2.8", "array-api-compat==1.16.0", "array-api-strict==2.6.1", "numpy==2.4.6"),
        700,
        60,
        "jax, optax, array_api_compat, array_api_strict",
    ),
    "mlx": Environment(
        ("mlx[cpu]==0.32.4", "array-api-compat==1.16.0", "ml-dtypes==0.6.0", "numpy==2.4.6"),
        138,
        10,
        "mlx.core, array_api_compat",
    ),
    "tinygrad": Environment(
        ("tinygrad==0.14.0", "ml-dtypes==0.6.0", "numpy==2.4.6"), 140, 12, "tinygrad", needs="clang in PATH"
    ),
    "onnx": Environment(
        (
            "torch==2.13.0",
            "onnx==1.23.2",
            "onnxruntime==1.32.0",
            "onnxscript==0.7.2",
            "array-api-compat==1.16.0",
            "scikit-learn==1.9.1",
            "torchmetrics==1.9.0",
            "numpy==2.4.6",
        ),
        1300,
        60,
        "torch, onnx, onnxruntime, onnxscript, array_api_compat, sklearn, torchmetrics",
    ),
    "paddle": Environment(("paddlepaddle==3.3.1", "numpy==2.4.6"), 868, 25, "paddle"),
    "paddle-2": Environment(("paddlepaddle==2.6.2", "numpy==1.26.4", "setuptools==65.5.0"), 590, 25, "paddle"),
    "tensorflow": Environment(("tensorflow-cpu==2.21.0", "numpy==2.4.6"), 1544, 65, "tensorflow, keras"),
    "mindspore": Environment(("mindspore==2.10.0", "numpy==2.4.6"), 2801, 85, "mindspore"),
    "debian": Environment(
        (),
        250,
        30,
        "torch, numpy",
        interpreter="/usr/bin/python3",
        needs="Debian's packages python3-torch, python3-numpy",
    ),
}


def interpreter(name: str) -> str:
    """Return the path of an environment's Python, from the root."""
    return ENVIRONMENTS[name].interpreter or f"{FOLDER}/{name}/bin/python"


def ready(name: str) -> bool:
    """Return whether everything that an environment is for can be imported there."""
    python = ROOT / interpreter(name)
    command = [str(python), "-c", f"import {ENVIRONMENTS[name].imports}"]
    return python.exists() and subprocess.run(command, capture_output=True, check=False).returncode == 0


def install(name: str) -> str:
    """Make an environment; return why it could not be made, "" where it is ready."""
    environment = ENVIRONMENTS[name]
    if environment.interpreter:
        return f"it needs {environment.needs}"
    python = ROOT / interpreter(name)
    commands = [
        [sys.executable, "-m", "venv", "--clear", str(python.parents[1])],
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *environment.requirements],
    ]
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            return (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
    return "" if ready(name) else f"{environment.imports}: an import fails"
