"""What a run depended on: versions, the machine, and the revisions of the suite and of the code that it checked."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import multimargin_vectors.store
from multimargin_conformance.backend import UNKNOWN, Subject, distribution_version

SECONDS = 5.0  # for a program that is asked; a machine that is slower than this goes without the answer
CPU_NAME = re.compile(r"^(?:model name|Hardware|Model)\s*:\s*(.+)$", re.MULTILINE)


def environment(under_test: Subject | None = None) -> dict[str, Any]:
    """Return names and versions of everything that a result may depend on; what cannot be found out is left out.

    under_test: the backend, None where it could not be started.
    """
    found = {
        "multimargin": distribution_version("multimargin"),
        "revision": revision(Path(__file__).parent),
        "code_revision": code_revision(under_test.spec) if under_test is not None else "",
        "framework": under_test.framework if under_test is not None else "",
        "vectors_sha256": multimargin_vectors.store.manifest_sha256(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "ml_dtypes": distribution_version("ml_dtypes"),
        "system": platform.platform(),
        "machine": platform.machine(),
        "cpu": cpu_name(),
        "cpus": os.cpu_count(),
        "gpu": gpu_and_driver() if under_test is not None and under_test.device.startswith("cuda") else "",
    }
    return {name: value for name, value in found.items() if value not in ("", None, UNKNOWN)}


def code_revision(spec: str) -> str:
    """Return the revision of the code that a backend's name leads to: of a file's folder, or the current one."""
    kind, colon, rest = spec.partition(":")
    if not colon:
        return ""  # a shipped adapter, or a live object
    path = Path(rest.split(" ")[0] if kind == "cmd" else rest.rpartition(":")[0])
    return revision(path.resolve().parent if path.is_file() else Path.cwd())


@cache
def revision(folder: Path) -> str:
    """Return the commit that a folder's files are of, with "+changes" where they are not all as committed; or ""."""
    top = _said(["git", "-C", str(folder), "rev-parse", "HEAD"])
    tracked = _said(["git", "-C", str(folder), "ls-files", "--", "."])
    if not top or not tracked:  # an installed package that happens to lie inside of a repository
        return ""
    changed = _said(["git", "-C", str(folder), "status", "--porcelain", "--untracked-files=no"])
    return f"{top}+changes" if changed else top


@cache
def cpu_name() -> str:
    """Return the processor's name, "" where the system does not say."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor()
    found = CPU_NAME.search(text)
    return found[1].strip() if found else platform.processor()


def gpu_and_driver() -> str:
    """Return names and driver versions of the GPUs, "" where no tool says them."""
    return "; ".join(_said(["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]).splitlines())


def _said(command: Sequence[str]) -> str:
    """Return what a program prints, "" where it is not there, fails, or takes too long."""
    program = shutil.which(command[0])
    if program is None:
        return ""
    try:
        done = subprocess.run(
            [program, *command[1:]], capture_output=True, text=True, check=False, timeout=SECONDS, errors="replace"
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
