"""Time of the drop-in on a GPU beside PyTorch eager, torch.compile and a copy, after the suite has checked the drop-in.

Times are of calls one after the other on inputs that take turns, so that no cache holds them, between two CUDA events:
what the host needs to make a call counts where the device waits for it. In each round the sides take turns. A copy of
input moves as many bytes as a forward and backward at the least: input read once, the gradient written once.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import torch
from tabulate import tabulate

CHECKED = "MULTIMARGIN_CHECK_TARGETS"
CACHE = 200e6  # bytes of inputs that take turns, at least
MOST_INPUTS = 64
BLOCK_S = 2e-3  # of calls between two events
HEADER = [
    "N x C",
    "dtype",
    "p",
    "weight",
    "side",
    "forward, us",
    "min to max",
    "and backward, us",
    "min to max",
    "extra",
]
Call = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Shape:
    """One comparison."""

    rows: int
    classes: int
    dtype: str = "float32"
    p: int = 1
    weighted: bool = False


SHAPES = (
    Shape(8192, 10),
    Shape(65536, 10),
    Shape(4096, 1000),
    Shape(256, 32000),
    Shape(64, 262144),
    Shape(1, 1000000),
    Shape(65536, 4096),
    Shape(4096, 1000, p=2, weighted=True),
    Shape(4096, 1000, "bfloat16"),
    Shape(256, 32000, "bfloat16"),
)
TINY = (Shape(40, 3), Shape(2, 2050, "float64", 2, True))


@dataclass(frozen=True)
class Spread:
    """Microseconds of a call over the rounds."""

    median: float
    smallest: float
    largest: float


@dataclass(frozen=True)
class Row:
    """One side at one shape; extra: bytes that a forward and backward takes, in bytes of input."""

    shape: Shape
    side: str
    forward: Spread | None
    both: Spread | None
    extra: float | None


def main() -> None:
    """Print the table, and write it as JSON and Markdown where asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--suite", default="full", help="profiles that are checked first, by commas; '' for none")
    parser.add_argument("--compile-seconds", type=float, default=120, help="for torch.compile, all shapes together")
    parser.add_argument("--output", type=Path, help="write the figures to this file, as JSON")
    parser.add_argument("--markdown", type=Path, help="write the table to this file")
    parser.add_argument("--dry", action="store_true", help="tiny shapes on the CPU, by Triton's interpreter")
    options = parser.parse_args()
    if options.dry:
        os.environ["TRITON_INTERPRET"] = "1"
    verdicts = {profile: suite(profile) for profile in ("" if options.dry else options.suite).split(",") if profile}
    for profile, verdict in verdicts.items():
        print(f"{profile}: {verdict}")
    rows = list(measured(TINY if options.dry else SHAPES, options))
    print(table(rows, "simple"))
    if options.output:
        found = {**machine(options.dry), "suite": verdicts, "rows": [asdict(row) for row in rows]}
        options.output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if options.markdown:
        options.markdown.write_text(page(rows, machine(options.dry), verdicts), encoding="utf-8")


def suite(profile: str) -> str:
    """Check the drop-in on the GPU; return the conclusion. Ends the program where it does not conform.

    Targets are checked, so that the kernels answer small calls too: otherwise those are handed over to ATen.
    """
    command = [sys.executable, "-m", "multimargin_conformance.cli", "check", "torch-reference", "--device", "cuda"]
    command += ["--profile", profile, "-j", str(max(1, (os.cpu_count() or 1) - 2))]
    environment = os.environ | {CHECKED: "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    conclusion = [line for line in done.stdout.splitlines() if "CONFORMANT" in line]
    if done.returncode:
        sys.exit("\n".join([*conclusion, done.stdout[:4000], done.stderr[-2000:]]))
    return conclusion[-1]


def measured(shapes: tuple[Shape, ...], options: argparse.Namespace) -> Iterator[Row]:
    """Yield the sides of each shape."""
    from multimargin_reference.torch import multi_margin_loss

    device = "cpu" if options.dry else "cuda"
    compiling = Compiling(0 if options.dry else options.compile_seconds)
    for shape in shapes:
        inputs, arguments = made(shape, device)
        eager, ours = (_call(f, *arguments) for f in (torch.nn.functional.multi_margin_loss, multi_margin_loss))
        sides = {"eager": eager, "drop-in": ours, "drop-in, checked": _checked(ours)}
        compiled = compiling.made(shape, inputs[0], arguments)
        sides |= {"torch.compile": compiled} if compiled else {}
        yield from compared(shape, sides, inputs, options.rounds)


def made(shape: Shape, device: str) -> tuple[list[torch.Tensor], tuple[Any, ...]]:
    """Return leaves that take turns, and target, p, margin and weight."""
    dtype = getattr(torch, shape.dtype)
    size = shape.rows * shape.classes * dtype.itemsize
    count = 2 if device == "cpu" else max(2, min(MOST_INPUTS, int(CACHE / size)))
    torch.manual_seed(0)
    plain = [torch.randn(shape.rows, shape.classes, device=device).to(dtype) for _ in range(count)]
    target = torch.randint(0, shape.classes, (shape.rows,), device=device)
    weight = torch.rand(shape.classes, device=device).to(dtype) if shape.weighted else None
    return [x.requires_grad_() for x in plain], (target, shape.p, 1.0, weight)


def compared(shape: Shape, sides: dict[str, Call], inputs: list[torch.Tensor], rounds: int) -> Iterator[Row]:
    """Yield a row for each side, and for a copy."""
    destination = torch.empty_like(inputs[0])

    def both(call: Call) -> Call:
        def run(x: torch.Tensor) -> torch.Tensor:
            x.grad = None
            call(x).backward()  # type: ignore[no-untyped-call]
            return x

        return run

    def forward(call: Call) -> Call:
        def run(x: torch.Tensor) -> torch.Tensor:
            with torch.no_grad():
                return call(x)

        return run

    calls = {(side, "forward"): forward(call) for side, call in sides.items()}
    calls |= {(side, "both"): both(call) for side, call in sides.items()}
    calls["copy", "both"] = lambda x: destination.copy_(x.detach())
    repeats = {key: _repeats(call, inputs) for key, call in calls.items()}
    times: dict[tuple[str, str], list[float]] = {key: [] for key in calls}
    for _ in range(rounds):
        for key, call in calls.items():
            times[key].append(_microseconds(call, inputs, repeats[key]))
    spreads = {key: Spread(statistics.median(some), min(some), max(some)) for key, some in times.items()}
    extra = {side: _extra(calls[side, "both"], inputs) for side in sides}
    for side in (*sides, "copy"):
        yield Row(shape, side, spreads.get((side, "forward")), spreads[side, "both"], extra.get(side))
    for x in inputs:
        x.grad = None


class Compiling:
    """torch.compile of the operator, as long as its time lasts; sizes are symbols, so a graph serves several shapes."""

    def __init__(self, seconds: float) -> None:
        self.left = seconds
        self.slowest = 0.0
        self.known: dict[tuple[str, int, bool], Callable[..., torch.Tensor]] = {}

    def made(self, shape: Shape, x: torch.Tensor, arguments: tuple[Any, ...]) -> Call | None:
        """Return the compiled function, warm, or None where the time is over or nothing can be compiled."""
        key = shape.dtype, shape.p, shape.weighted
        if self.left <= self.slowest:
            return None
        began = time.perf_counter()
        operator = torch.nn.functional.multi_margin_loss
        function = self.known.setdefault(key, torch.compile(operator, dynamic=True, fullgraph=True))
        call = _call(function, *arguments)
        try:
            with torch.no_grad():
                call(x)
            call(x).backward()  # type: ignore[no-untyped-call]
        except Exception as error:  # no C compiler, or a shape that it cannot
            print(f"torch.compile, {shape}: {type(error).__name__}", file=sys.stderr)
            return None
        finally:
            x.grad = None
            took = time.perf_counter() - began
            self.left, self.slowest = self.left - took, max(self.slowest, took)
        return call


def _call(function: Callable[..., torch.Tensor], target: torch.Tensor, p: int, margin: float, weight: Any) -> Call:
    return lambda x: function(x, target, p, margin, weight)


def _checked(call: Call) -> Call:
    def run(x: torch.Tensor) -> torch.Tensor:
        os.environ[CHECKED] = "1"
        try:
            return call(x)
        finally:
            del os.environ[CHECKED]

    return run


def _repeats(call: Call, inputs: list[torch.Tensor]) -> int:
    """Warm up, and return how many calls take a block's time."""
    _microseconds(call, inputs, len(inputs))
    return max(2, int(BLOCK_S * 1e6 / _microseconds(call, inputs, 4)))


def _microseconds(call: Call, inputs: list[torch.Tensor], repeats: int) -> float:
    """Return the microseconds that one call takes, averaged over `repeats`."""
    turns = cycle(inputs)
    if not inputs[0].is_cuda:
        start = time.perf_counter()
        for _ in range(repeats):
            call(next(turns))
        return (time.perf_counter() - start) / repeats * 1e6
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    torch.cuda.synchronize()
    begin.record()
    for _ in range(repeats):
        call(next(turns))
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end)) / repeats * 1e3


def _extra(call: Call, inputs: list[torch.Tensor]) -> float | None:
    """Return the most bytes that a call takes beside its arguments, the gradient included, in bytes of input."""
    x = inputs[0]
    if not x.is_cuda:
        return None
    x.grad = None
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    call(x)
    return (torch.cuda.max_memory_allocated() - before) / (x.numel() * x.element_size())


def table(rows: list[Row], style: str) -> str:
    """Return the rows as text."""
    return tabulate(
        [_texts(row) for row in rows], HEADER, tablefmt=style, disable_numparse=True, colalign=["left"] * 10
    )


def _texts(row: Row) -> list[str]:
    s = row.shape
    times = [text for spread in (row.forward, row.both) for text in _spread(spread)]
    extra = "" if row.extra is None else f"{row.extra:.2f}"
    return [f"{s.rows} x {s.classes}", s.dtype, str(s.p), "yes" if s.weighted else "", row.side, *times, extra]


def _spread(spread: Spread | None) -> tuple[str, str]:
    if spread is None:
        return "", ""
    return f"{spread.median:.1f}", f"{spread.smallest:.1f} to {spread.largest:.1f}"


def page(rows: list[Row], where: dict[str, str], verdicts: dict[str, str]) -> str:
    """Return the table as a page of Markdown."""
    words = " ".join(__doc__.split("\n\n")[1].split())
    on = ", ".join(f"{name} {value}" for name, value in where.items())
    judged = "".join(f"The suite before, with targets checked: {verdict}.\n\n" for verdict in verdicts.values())
    return (
        f"# The drop-in on a GPU\n\n{on}; reduction mean. {words}\n\n{judged}"
        "Extra: the most memory that a forward and backward takes, the gradient included, in sizes of input. Checked:"
        f" with {CHECKED}=1, a target out of range is a Python error, for which each call waits, and nothing is handed"
        f" over to ATen; otherwise the device asserts targets.\n\n{table(rows, 'github')}\n"
    )


def machine(dry: bool) -> dict[str, str]:
    """Say what the figures were taken on."""
    import triton

    return {
        "device": "CPU, Triton's interpreter" if dry else torch.cuda.get_device_name(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "triton": triton.__version__,
    }


if __name__ == "__main__":
    main()
