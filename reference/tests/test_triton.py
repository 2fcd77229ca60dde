"""The Triton kernels: triton_cases.py in processes of their own, by the interpreter where there is no GPU."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
if find_spec("triton") is None:
    pytest.skip("Triton is not installed: multimargin[triton]", allow_module_level=True)

CASES = Path(__file__).with_name("triton_cases.py")
GROUPS = ["boundaries", "special or kink", "not boundaries and not special and not kink"]


@pytest.mark.parametrize("group", GROUPS)
def test_kernels(group: str) -> None:
    interpreted = {} if torch.cuda.is_available() else {"TRITON_INTERPRET": "1"}
    environment = os.environ | interpreted | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", group, str(CASES)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
