"""What isolation costs: calls a second through a worker, and a whole check, beside the same in this process.

A call is one loss or one gradient of 8 x 10 float32 logits. Sides take turns in each round; medians, smallest and
largest over the rounds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
from tabulate import tabulate

from multimargin_conformance.checks.item import Item
from multimargin_conformance.isolation import started
from multimargin_conformance.outcome import Returned
from multimargin_conformance.session import PASS, Result, Session
from multimargin_reference.case import Case

ROOT = Path(__file__).resolve().parents[1]
CALLS = 8000
PARTS = ("loss", "gradient")
EMPTY = """import numpy as np

class Empty:
    def forward(self, input, target, **options):
        return np.zeros((), input.dtype)

    def backward(self, grad_output, input, target, **options):
        return np.zeros(input.shape, input.dtype)
"""


@dataclass(frozen=True)
class Rate:
    """Calls a second, or seconds of a check, over the rounds."""

    what: str
    how: str
    median: float
    smallest: float
    largest: float


def main() -> None:
    """Print the table, and write it as JSON where asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, help="write the figures to this file, as JSON")
    options = parser.parse_args()
    found = [*rates(options.rounds), *checks(options.rounds)]
    header = ["what", "how", "median", "min to max"]
    rows = [[r.what, r.how, r.median, f"{r.smallest:.4g} to {r.largest:.4g}"] for r in found]
    print(tabulate(rows, header, floatfmt=".4g"))
    if options.output:
        options.output.write_text(json.dumps([asdict(r) for r in found], indent=2) + "\n", encoding="utf-8")


def rates(rounds: int) -> list[Rate]:
    """Return calls a second: of nothing and of the reference, in this process and in a worker; of the C++ example."""
    items = list(_items())
    with tempfile.TemporaryDirectory() as folder, ExitStack() as running:
        (Path(folder) / "empty.py").write_text(EMPTY, encoding="utf-8")
        names = {"nothing": f"py:{folder}/empty.py:Empty", "the reference": "reference"}
        sides: dict[tuple[str, str], Callable[[], float]] = {}
        for what, name in names.items():
            here, there = (running.enter_context(_running(name, isolate)) for isolate in (False, True))
            sides[what, "in this process"] = partial(_ahead, here, items)
            sides[what, "Python worker, sent ahead"] = partial(_ahead, there, items)
            sides[what, "Python worker, one by one"] = partial(_one_by_one, there, items)
        cpp = running.enter_context(_running(_example(folder), True))
        sides["the C++ example", "sent ahead"] = partial(_ahead, cpp, items)
        sides["the C++ example", "one by one"] = partial(_one_by_one, cpp, items)
        figures = [[CALLS / side() for side in sides.values()] for _ in range(rounds)]
    return [
        Rate(what, f"calls a second, {how}", statistics.median(some), min(some), max(some))
        for (what, how), some in zip(sides, zip(*figures, strict=True), strict=True)
    ]


def checks(rounds: int) -> list[Rate]:
    """Return the seconds of `multimargin check torch`, start-up and all, and isolated / in one process."""
    sides = {"in this process": "--no-isolate", "isolated": "--isolate"}
    figures = [[_check(option) for option in sides.values()] for _ in range(rounds)]
    columns = dict(zip(sides, zip(*figures, strict=True), strict=True))
    quotients = [b / a for a, b in figures]
    seconds = [Rate("check torch", f"s, {how}", statistics.median(c), min(c), max(c)) for how, c in columns.items()]
    return [
        *seconds,
        Rate("check torch", "isolated / in this process", statistics.median(quotients), min(quotients), max(quotients)),
    ]


def _check(option: str) -> float:
    command = [sys.executable, "-m", "multimargin_conformance.cli", "check", "torch", option]
    begin = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
    return time.perf_counter() - begin


def _example(folder: str) -> str:
    """Build the example in C++ and return its name as a backend."""
    shared = ROOT / "conformance" / "multimargin_conformance" / "templates" / "cpp"
    command = ["make", "-s", "-C", str(ROOT / "examples" / "cpp"), f"BUILD={folder}", f"SHARED={shared}"]
    subprocess.run(command, check=True)
    return f"cmd:{folder}/adapter"


@contextmanager
def _running(backend: str, isolate: bool) -> Iterator[Session]:
    with started(backend, "", isolate, None) as (subject, caller):
        yield Session(subject, caller=caller)


def _items() -> Iterator[Item]:
    rng = np.random.default_rng(0)
    for number in range(CALLS):
        x, y = rng.standard_normal((8, 10)).astype(np.float32), rng.integers(0, 10, 8)
        yield _item(Case(x, y, grad_output=np.array(1, np.float32)), PARTS[number % 2])


def _item(case: Case, part: str) -> Item:
    def run(session: Session) -> Result:
        assert isinstance(session.function(part)(case).outcome, Returned)
        return PASS

    return Item(f"VALUE-9/float32/{case.id}/{part}", "VALUE-9", "float32", part, run, calls=lambda: [(case, {})])


def _ahead(session: Session, items: list[Item]) -> float:
    begin = time.perf_counter()
    for item in session.caller.ahead(items):
        item.run(session)
    return time.perf_counter() - begin


def _one_by_one(session: Session, items: list[Item]) -> float:
    begin = time.perf_counter()
    list(session.caller.ahead(list[Item]()))  # of no item anything is sent ahead
    for item in items:
        item.run(session)
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
