"""Measure the HTML page: time, memory and size for many verdicts, made up or of a report file.

usage: python benchmarks/render.py [REPORT...] [--verdicts 20000]
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path

from multimargin_reports import Cause, Failure, Report, Verdict, read
from multimargin_reports.html import render

LONGEST, MOST_MEMORY, LARGEST = 5.0, 300, 1_000_000  # seconds, MiB, bytes
DTYPES = ("float16", "bfloat16", "float32", "float64")
CLAUSES = 74


def made_up(verdicts: int) -> Report:
    """Return a report in which every other check fails, each with a message of its own."""
    found = []
    for n in range(verdicts):
        clause, dtype = f"VALUE-{n % CLAUSES + 1}", DTYPES[n // 2 % 4]
        id_ = f"{clause}/{dtype}/{n:016x}/loss"
        words = f"loss[{n % 7}] = {n / 7}, but should be in [{n / 11}, {n / 10}] (case {n}) [{clause}, case {n:016x}]"
        failure = Failure(words, f"forward([[{n}.0, 1.0]], [0])", f"multimargin replay {n:016x}") if n % 2 else None
        found.append(Verdict(id_, clause, "a clause", "MUST", dtype, "fail" if n % 2 else "pass", "", "", failure))
    failed = [v.id for v in found if v.status == "fail"]
    causes = tuple(Cause(f"cause {n}", tuple(failed[n::200])) for n in range(200))
    return Report({"name": "made up", "version": "1"}, "full", "full", verdicts, tuple(found), causes=causes)


def measure(what: str) -> bool:
    """Print what one page takes, measured in this process alone; return whether that is within bounds."""
    report = made_up(int(what)) if what.isdecimal() else read(Path(what))
    before = time.perf_counter()
    size = len(render(report).encode())
    seconds = time.perf_counter() - before
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{what}: {len(report.verdicts):,} verdicts, {seconds:.2f} s, {memory:.0f} MiB at most, {size:,} bytes")
    return seconds <= LONGEST and memory <= MOST_MEMORY and size <= LARGEST


def main(arguments: list[str]) -> int:
    """Measure each page in a process of its own; 1 where one is beyond the bounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reports", nargs="*")
    parser.add_argument("--verdicts", type=int, default=20_000)
    parser.add_argument("--one", default="", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.one:
        return int(not measure(given.one))
    commands = [[sys.executable, __file__, "--one", what] for what in (str(given.verdicts), *given.reports)]
    return max(subprocess.run(command, check=False).returncode for command in commands)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
