"""Check the shipped backends and the examples; write reports/published and their matrix: `make reports`.

usage: python scripts/publish.py [BACKEND...]    (the matrix is made of all that are there)

What runs on a GPU is left as it is where there is none.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from multimargin_reports import matrix, read

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "reports" / "published"
LARGEST = 1_000_000  # bytes of one file
SUFFIXES = ("json", "html")
ANSWERS = (0, 1)  # conformant or not: both are published
MATRIX = "matrix"


@dataclass(frozen=True)
class Published:
    """A backend's name on the command line, the profile, what builds it first, and the device that it needs."""

    spec: str
    profile: str
    build: tuple[str, ...] = ()
    device: str = ""


def _built(folder: str) -> tuple[str, ...]:
    return ("make", "-s", "-C", f"examples/{folder}", f"PYTHON={sys.executable}")


BACKENDS = {
    "torch": Published("torch", "full"),
    "torch-decomposition": Published("torch-decomposition", "full"),
    "torch-compile": Published("torch-compile", "training"),
    "torch-compile-aot": Published("torch-compile-aot", "training"),
    "torch-reference": Published("torch-reference", "full"),
    "torch-cuda": Published("torch", "full", device="cuda"),
    "torch-reference-cuda": Published("torch-reference", "full", device="cuda"),
    "reference": Published("reference", "full"),
    "oracle": Published("oracle", "full"),
    "cpp": Published("cmd:examples/cpp/adapter", "training", _built("cpp")),
    "javascript": Published("cmd:node examples/javascript/adapter.mjs", "training"),
    "libtorch": Published("cmd:examples/libtorch/adapter", "training", _built("libtorch")),
}
PROFILES = {name: backend.profile for name, backend in BACKENDS.items()}
ON_A_GPU = tuple(name for name, backend in BACKENDS.items() if backend.device == "cuda")
NO_GPU = "not run: no GPU"


def publish(name: str) -> str:
    """Check one backend; return its conclusion. Raises RuntimeError where the run gave none."""
    backend = BACKENDS[name]
    if name in ON_A_GPU and not _has_gpu():
        return f"{name}: {NO_GPU}"
    if backend.build:
        subprocess.run(backend.build, cwd=ROOT, check=True)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "multimargin_conformance.cli", "check", backend.spec, "--output", folder]
        command += ["--profile", backend.profile, "--format", ",".join(SUFFIXES)]
        command += ["--device", backend.device] if backend.device else []
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode not in ANSWERS:
            raise RuntimeError(f"{name}: status {done.returncode}: {done.stderr.strip()}")
        for suffix in SUFFIXES:
            text = (Path(folder) / f"report.{suffix}").read_text(encoding="utf-8")
            if len(text.encode()) > LARGEST:
                raise RuntimeError(f"{name}.{suffix} has {len(text.encode())} bytes, but should have at most {LARGEST}")
            (FOLDER / f"{name}.{suffix}").write_text(text, encoding="utf-8")
    conclusion = [line for line in done.stdout.splitlines() if "CONFORMANT" in line]
    return f"{name}: {conclusion[-1][:100]}"


def _has_gpu() -> bool:
    code = "import sys, torch; sys.exit(not torch.cuda.is_available())"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def write_matrix() -> None:
    """Write all published reports side by side, and what is published nowhere because it has run nowhere."""
    reports = [read(path) for name in BACKENDS if (path := FOLDER / f"{name}.json").is_file()]
    missing = {name: NO_GPU for name in ON_A_GPU if not (FOLDER / f"{name}.json").is_file()}
    for suffix, render in (("md", matrix.markdown), ("html", matrix.html)):
        (FOLDER / f"{MATRIX}.{suffix}").write_text(render(reports, missing), encoding="utf-8")


def main(names: list[str]) -> int:
    """Publish the backends that are named, or all."""
    if unknown := set(names) - set(BACKENDS):
        print(f"no published backend {', '.join(sorted(unknown))}; there are: {', '.join(BACKENDS)}", file=sys.stderr)
        return 2
    FOLDER.mkdir(exist_ok=True)
    for name in names or BACKENDS:
        print(publish(name), flush=True)
    write_matrix()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
