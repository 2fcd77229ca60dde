"""Speed beside PyTorch eager and others, with the machine's floor, accuracy, memory, growth, and the suite's own cost.

Times of one number of threads are taken in one process, in turns: each round has every contender once, and a ratio is
the median over rounds of eager's time / the contender's. Float32, float64 from 1000 classes, margin 1, "mean". What
compiles does so before. Memory that is freed stays with the process, whoever frees it: a virtual machine may hand it
to its host after a second, and to take 64 MB of it again then takes longer than the calls that are timed. A goal that
is missed is shown like the others (goals.py).
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import problems
from speed_tables import COMPILED, JAX, full, short
from timing import Spread

LISTS = ("timings", "errors", "drop_in", "memory", "growth", "suite", "isolation")  # of speed.json
THREADED = ("times", "drop_in", "memory")  # parts, once a number of threads
PARTS = (*THREADED, "suite", "isolation")
COMPILING = "compile"
SLOW_TO_COMPILE = (COMPILED, JAX)
PACKAGES = ("numpy", "numba", "torch", "jax", "mpmath", "gmpy2")
GIVEN_BACK = {"MALLOC_MMAP_THRESHOLD_": "32768", "MALLOC_TOP_PAD_": "0", "MALLOC_TRIM_THRESHOLD_": "0"}  # memory.py
KEPT = {"MALLOC_MMAP_THRESHOLD_": str(1 << 32), "MALLOC_TRIM_THRESHOLD_": str(1 << 40)}  # glibc's, in bytes
FILES = {"data": "speed.json", "full": "speed.md", "short": "speed-readme.md", "picture": "growth.svg"}


@dataclass(frozen=True)
class Plan:
    """How much is done. longest: seconds of one comparison, past which it has fewer rounds; size: bytes of a floor."""

    rounds: int = 15
    longest: float = 3.0
    without: tuple[str, ...] = ()  # contenders
    threads: tuple[int, ...] = problems.THREADS
    dry: bool = False
    isolation_rounds: int = 2

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """(N, C), in the order of tables."""
        return problems.TINY if self.dry else problems.SHAPES


QUICK = Plan(rounds=5, longest=1.0, without=SLOW_TO_COMPILE[:1], isolation_rounds=1)
DRY = Plan(rounds=1, longest=0.0, without=SLOW_TO_COMPILE, threads=(1,), dry=True, isolation_rounds=0)


def main() -> None:
    """Measure and print, and write where asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, help="interleaved rounds of each comparison")
    parser.add_argument("--quick", action="store_true", help="few rounds, nothing for torch.compile to compile")
    parser.add_argument("--dry", action="store_true", help="tiny shapes, one thread, one round: does it run?")
    parser.add_argument("--output", type=Path, metavar="DIR", help=f"write {', '.join(FILES.values())} there")
    parser.add_argument("--again", type=Path, metavar="DIR", help="write tables and picture from speed.json there")
    parser.add_argument("--only", choices=PARTS, help="measure one part again, for the speed.json in --output")
    parser.add_argument("--part", choices=(*PARTS, COMPILING), help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    plan = DRY if options.dry else QUICK if options.quick else Plan()
    if options.rounds:
        plan = Plan(**{**asdict(plan), "rounds": options.rounds})
    if options.part:
        options.write.write_text(json.dumps(part(options.part, plan, options.threads), default=plain))
        return
    if options.again:
        data = json.loads((options.again / FILES["data"]).read_text(encoding="utf-8"))
    elif options.only and options.output:
        data = renewed(options.output, plan, options.only)
    else:
        data = everything(plan, (options.only,) if options.only else PARTS)
    if folder := options.output or options.again:
        write(data, folder)
    print(full(data))
    if data["failed"]:
        raise SystemExit(f"not everything was measured: {data['failed']}")


def part(name: str, plan: Plan, threads: int) -> dict[str, Any]:
    """Measure one part, in a process of its own, in whose environment the number of threads is set."""
    if name == "suite":
        return {"suite": importlib.import_module("suite_cost").measure(plan.dry)}
    if name == "isolation":
        isolation, rounds = importlib.import_module("isolation"), plan.isolation_rounds
        return {"isolation": [*isolation.rates(rounds), *isolation.checks(rounds)] if rounds else []}
    import torch

    torch.set_num_threads(threads)
    found: dict[str, Any] = importlib.import_module("speed_parts").PARTS[name](plan, threads)
    return found


def renewed(folder: Path, plan: Plan, name: str) -> dict[str, Any]:
    """Measure one part again and return the data with it. Raises ValueError where the others are another machine's."""
    data = json.loads((folder / FILES["data"]).read_text(encoding="utf-8"))
    if data["machine"] != machine():
        raise ValueError(f"measured on {data['machine']}, but should be {machine()}: measure everything there")
    return {**data, **{key: value for key, value in everything(plan, (name,)).items() if value}}


def everything(plan: Plan, parts: Sequence[str] = PARTS) -> dict[str, Any]:
    """Measure the parts, one after the other, and return the data of speed.json."""
    threads = [n for n in plan.threads if n <= (os.cpu_count() or 1)]
    jobs = [(name, n) for name in parts for n in (threads if name in THREADED else [max(threads)])]
    data: dict[str, Any] = {"machine": machine(), "rounds": plan.rounds, "left_out": {}, "failed": {}, "floors": {}}
    with tempfile.TemporaryDirectory() as folder:
        if COMPILED not in plan.without and set(parts) & set(THREADED):
            _together([(COMPILING, n) for n in threads], plan, Path(folder), len(threads))
        found = _together(jobs, plan, Path(folder), 2 if plan.dry else 1)
    for result in ({key: [] for key in LISTS}, *found):
        for key, value in result.items():
            if isinstance(value, dict):
                data[key].update(value)
            else:
                data[key] = [*data.get(key, []), *value]
    return data


def _together(jobs: Sequence[tuple[str, int]], plan: Plan, folder: Path, workers: int) -> list[dict[str, Any]]:
    """Run parts in processes of their own, so many at a time; one that fails leaves the others' figures."""

    def run(job: tuple[str, int]) -> dict[str, Any]:
        name, threads = job
        path = folder / f"{name}-{threads}.json"
        command = [sys.executable, __file__, "--part", name, "--threads", str(threads), "--write", str(path)]
        kind = ["--dry"] if plan.dry else ["--quick"] if plan.without else []
        status = subprocess.run(
            [*command, "--rounds", str(plan.rounds), *kind], env=environment(name, threads), check=False
        ).returncode
        if status:
            return {"failed": {f"{name}, {threads} threads": f"status {status}"}}
        found: dict[str, Any] = json.loads(path.read_text())
        return found

    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(run, jobs))


def environment(name: str, threads: int) -> dict[str, str]:
    """Return the environment of a part: so many threads for everyone, the engine chosen by the benchmark."""
    kept = {key: value for key, value in os.environ.items() if key != "MULTIMARGIN_ENGINE"}
    if name not in (*THREADED, COMPILING):
        return kept
    libraries = ("OMP", "OPENBLAS", "MKL", "NUMBA")
    numbers = {**{f"{library}_NUM_THREADS": str(threads) for library in libraries}, "NPROC": str(threads)}  # NPROC: jax
    allocator = GIVEN_BACK if name == "memory" else KEPT
    compiler = {} if name == COMPILING else {"TORCHINDUCTOR_COMPILE_THREADS": "1"}
    return {**kept, **numbers, **allocator, **compiler, "JAX_PLATFORMS": "cpu"}


def machine() -> dict[str, Any]:
    """Say what the figures were taken on."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: found for name in PACKAGES if (found := _version(name))},
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def plain(value: Any) -> Any:
    """Return a dataclass as JSON data; a Spread as [lower, median, upper], to four digits."""
    if isinstance(value, Spread):
        return [float(f"{v:.4g}") for v in (value.lower, value.median, value.upper)]
    return {name: getattr(value, name) for name in value.__dataclass_fields__}


def write(data: dict[str, Any], folder: Path) -> None:
    """Write all files; in speed.json one figure a line. Without matplotlib there is no picture."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = []
    for key, value in data.items():
        lines = ",\n".join(f"  {json.dumps(item)}" for item in value) if isinstance(value, list) else ""
        entries.append(f" {json.dumps(key)}: " + (f"[\n{lines}\n ]" if lines else json.dumps(value)))
    (folder / FILES["data"]).write_text("{\n" + ",\n".join(entries) + "\n}\n", encoding="utf-8")
    (folder / FILES["full"]).write_text(full(data, FILES["picture"]) + "\n", encoding="utf-8")
    (folder / FILES["short"]).write_text(short(data) + "\n", encoding="utf-8")
    try:
        importlib.import_module("growth_plot").draw(data["growth"], folder / FILES["picture"])
    except ImportError as error:
        print(f"no picture of growth: {error}", file=sys.stderr)


if __name__ == "__main__":
    main()
