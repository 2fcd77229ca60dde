"""Check the shipped backends and write reports/published/<backend>.json and .md: `make reports`.

usage: python scripts/publish.py [BACKEND...]
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "reports" / "published"
LARGEST = 1_000_000  # bytes of one JSON file
PROFILES = {
    "torch": "full",
    "torch-decomposition": "full",
    "torch-compile": "training",
    "torch-compile-aot": "training",
    "torch-reference": "full",
    "reference": "full",
    "oracle": "full",
}
ANSWERS = (0, 1)  # conformant or not: both are published


def publish(backend: str, profile: str) -> str:
    """Check one backend; return its conclusion. Raises RuntimeError where the run gave none."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "multimargin_conformance.cli", "check", backend, "--profile", profile]
        done = subprocess.run(
            [*command, "--output", folder, "--format", "json,markdown"], capture_output=True, text=True, check=False
        )
        if done.returncode not in ANSWERS:
            raise RuntimeError(f"{backend}: status {done.returncode}: {done.stderr.strip()}")
        for suffix in ("json", "md"):
            text = (Path(folder) / f"report.{suffix}").read_text(encoding="utf-8")
            if len(text.encode()) > LARGEST:
                raise RuntimeError(
                    f"{backend}.{suffix} has {len(text.encode())} bytes, but should have at most {LARGEST}"
                )
            (FOLDER / f"{backend}.{suffix}").write_text(text, encoding="utf-8")
    conclusion = [line for line in done.stdout.splitlines() if "CONFORMANT" in line]
    return f"{backend}: {conclusion[-1][:100]}"


def main(names: list[str]) -> int:
    """Publish the backends that are named, or all."""
    if unknown := set(names) - set(PROFILES):
        print(f"no published backend {', '.join(sorted(unknown))}; there are: {', '.join(PROFILES)}", file=sys.stderr)
        return 2
    FOLDER.mkdir(exist_ok=True)
    for backend in names or PROFILES:
        print(publish(backend, PROFILES[backend]), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
