"""Check the shipped backends and the examples; write reports/published and their matrix: `make reports`.

usage: python scripts/publish.py [BACKEND...]    (the matrix is made of all that are there)

What runs on a GPU, or in an environment of its own (environments.py), is left as it is where that is not there.
"""

from __future__ import annotations

import getpass
import os
import subprocess
import sys
import sysconfig
import tempfile
from dataclasses import dataclass
from pathlib import Path

from environments import interpreter, ready

from multimargin_reports import Report, matrix, read

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "reports" / "published"
LARGEST = {"json": 2_000_000, "html": 1_000_000}  # bytes of one file
LARGEST_OF_OTHERS = 4_000_000  # where thousands of checks fail, each with its evidence
SUFFIXES = ("json", "html")
ANSWERS = (0, 1)  # conformant or not: both are published
MATRIX = "matrix"


PYTORCH, OURS = "PyTorch", "This package and its examples"
OPERATORS = "Operators of others"
COMPOSITES = "Composites: the loss composed by us of a framework's operations"
CONTROLS = "Negative controls: other losses, which must fail"


@dataclass(frozen=True)
class Published:
    """A backend's name on the command line, the profile, what builds it first, and the device that it needs.

    environment: of environments.py, where it runs. clause, select: what a run is limited to. processes: at once.
    """

    spec: str
    profile: str
    build: tuple[str, ...] = ()
    device: str = ""
    group: str = PYTORCH
    environment: str = ""
    clause: str = ""
    select: str = ""
    processes: int = 1


COMPILED = "examples/compiled_drop_in.py"
TO_COMPILE = 2  # each takes 8 GB
ON_GPU = max(1, (os.cpu_count() or 1) * 3 // 4)  # targets out of range take further ones
SOME = "VALUE-*"
VECTORS = "*/????????????????/*"


def _built(folder: str) -> tuple[str, ...]:
    return ("make", "-s", "-C", f"examples/{folder}", f"PYTHON={sys.executable}")


def _control(spec: str, environment: str) -> Published:
    return Published(spec, "core", group=CONTROLS, environment=environment, clause=SOME, select=VECTORS)


BACKENDS = {
    "torch": Published("torch", "full"),
    "torch-decomposition": Published("torch-decomposition", "full"),
    "torch-compile": Published("torch-compile", "training", processes=TO_COMPILE),
    "torch-compile-aot": Published("torch-compile-aot", "training", processes=TO_COMPILE),
    "torch-compile-module": Published("torch:examples/compiled_module.py:MultiMarginLoss", "torch"),
    "torch-cuda": Published("torch", "full", device="cuda", processes=ON_GPU),
    "libtorch": Published("cmd:examples/libtorch/adapter", "training", _built("libtorch")),
    "torch-1.13": Published("torch-operator", "training", environment="debian"),
    "onnx-export": Published("onnx-export", "training", environment="onnx"),
    "paddle": Published("paddle", "training", group=OPERATORS, environment="paddle"),
    "paddle-2.6": Published("paddle", "training", group=OPERATORS, environment="paddle-2"),
    "mindspore": Published("mindspore", "training", group=OPERATORS, environment="mindspore"),
    "mindspore-ops": Published("mindspore-ops", "training", group=OPERATORS, environment="mindspore"),
    "jax": Published("jax", "training", group=COMPOSITES, environment="jax"),
    "mlx": Published("mlx", "training", group=COMPOSITES, environment="mlx"),
    "tensorflow": Published("tensorflow", "training", group=COMPOSITES, environment="tensorflow"),
    "tinygrad": Published("tinygrad", "training", group=COMPOSITES, environment="tinygrad"),
    "onnxruntime": Published("onnxruntime", "training", group=COMPOSITES, environment="onnx"),
    "array-api-numpy": Published("array-api:numpy", "training", group=COMPOSITES, environment="jax"),
    "array-api-strict": Published("array-api:array_api_strict", "training", group=COMPOSITES, environment="jax"),
    "array-api-torch": Published("array-api:torch", "training", group=COMPOSITES, environment="onnx"),
    "array-api-jax": Published("array-api:jax.numpy", "training", group=COMPOSITES, environment="jax"),
    "array-api-mlx": Published("array-api:mlx.core", "training", group=COMPOSITES, environment="mlx"),
    "reference": Published("reference", "full", group=OURS),
    "oracle": Published("oracle", "full", group=OURS),
    "torch-reference": Published("torch-reference", "full", group=OURS),
    "torch-reference-compile": Published(f"torch:{COMPILED}:MultiMarginLoss", "full", group=OURS, processes=TO_COMPILE),
    "torch-reference-cuda": Published("torch-reference", "full", device="cuda", group=OURS, processes=ON_GPU),
    "cpp": Published("cmd:examples/cpp/adapter", "training", _built("cpp"), group=OURS),
    "javascript": Published("cmd:node examples/javascript/adapter.mjs", "training", group=OURS),
    "sklearn-hinge": _control("sklearn-hinge", "onnx"),
    "torchmetrics-hinge": _control("torchmetrics-hinge", "onnx"),
    "keras-hinge": _control("keras-hinge", "tensorflow"),
    "optax-hinge": _control("optax-hinge", "jax"),
}
PROFILES = {name: backend.profile for name, backend in BACKENDS.items()}
ON_A_GPU = tuple(name for name, backend in BACKENDS.items() if backend.device == "cuda")
NO_GPU = "not run: no GPU"
NO_ENVIRONMENT = "not run: no environment {!r}: make backends"


def publish(name: str) -> str:
    """Check one backend; return its conclusion. Raises RuntimeError where the run gave none."""
    backend = BACKENDS[name]
    if name in ON_A_GPU and not _has_gpu():
        return f"{name}: {NO_GPU}"
    if backend.environment and not ready(backend.environment):
        return f"{name}: {NO_ENVIRONMENT.format(backend.environment)}"
    if backend.build:
        subprocess.run(backend.build, cwd=ROOT, check=True)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "multimargin_conformance.cli", "check", backend.spec, "--output", folder]
        command += ["--profile", backend.profile, "--format", ",".join(SUFFIXES), "-j", str(backend.processes)]
        python = interpreter(backend.environment) if backend.environment else ""
        more = {"--device": backend.device, "--python": python, "--clause": backend.clause, "-k": backend.select}
        command += [word for option, value in more.items() if value for word in (option, value)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode not in ANSWERS:
            raise RuntimeError(f"{name}: status {done.returncode}: {done.stderr.strip()}")
        for suffix in SUFFIXES:
            text = without_paths((Path(folder) / f"report.{suffix}").read_text(encoding="utf-8"))
            most = LARGEST_OF_OTHERS if backend.environment else LARGEST[suffix]
            if len(text.encode()) > most:
                raise RuntimeError(f"{name}.{suffix} has {len(text.encode())} bytes, but should have at most {most}")
            (FOLDER / f"{name}.{suffix}").write_text(text, encoding="utf-8")
    conclusion = [line for line in done.stdout.splitlines() if "CONFORMANT" in line]
    return f"{name}: {conclusion[-1][:100]}"


def without_paths(text: str) -> str:
    """Return a report without this machine's folders: tracebacks have them, and so have errors of compiled code."""
    folders = {
        f"{sysconfig.get_path('purelib')}/": "",
        f"{ROOT}/": "",
        f"{sys.base_prefix}/": "PYTHON/",
        f"{Path.home()}/": "HOME/",
        _compiled(): "COMPILED",
    }
    for folder, word in folders.items():
        text = text.replace(folder, word)
    return text


def _compiled() -> str:
    """Return where torch.compile leaves what it compiled, which its crashes name."""
    return os.environ.get("TORCHINDUCTOR_CACHE_DIR", f"{tempfile.gettempdir()}/torchinductor_{getpass.getuser()}")


def _has_gpu() -> bool:
    code = "import sys, torch; sys.exit(not torch.cuda.is_available())"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def write_matrix() -> None:
    """Write all published reports side by side, and what is published nowhere because it has run nowhere."""
    grouped, missing = matrix_of(FOLDER)
    for suffix, render in (("md", matrix.markdown), ("html", matrix.html)):
        (FOLDER / f"{MATRIX}.{suffix}").write_text(render(grouped, missing), encoding="utf-8")


def matrix_of(folder: Path) -> tuple[dict[str, list[Report]], dict[str, str]]:
    """Return the published reports by group, and why the others are missing."""
    grouped: dict[str, list[Report]] = {}
    missing = {}
    for name, backend in BACKENDS.items():
        if (path := folder / f"{name}.json").is_file():
            grouped.setdefault(backend.group, []).append(read(path))
        else:
            missing[name] = NO_GPU if name in ON_A_GPU else NO_ENVIRONMENT.format(backend.environment)
    return grouped, missing


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
