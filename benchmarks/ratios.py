"""Times and accuracy of every contender at every shape, in one process for each number of threads."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import problems
import torch
from accuracy import errors
from contenders import COMPILED, EAGER, JAX, MAKERS, Contender, bound, bound_to_numpy
from floors import COPIES, READS, Floor
from problems import DATA, OPTIONS, Problem, problem
from timing import interleaved, ratios, spread

FLOOR = "floor"  # beside the contenders: input read, or copied, where it is, by the way that the machine does fastest
PASSES = ("forward", "forward and backward")
OWN, THROUGH_NUMPY = "own arrays", "NumPy arrays"
FLOAT32, FLOAT64 = "float32", "float64"
Line = dict[str, Any]  # of speed.json


@dataclass(frozen=True)
class Setting:
    """What is compared: data as in problems.DATA, what as in PASSES, interface OWN or THROUGH_NUMPY."""

    threads: int
    dtype: str
    rows: int
    classes: int
    options: str
    data: str
    what: str
    interface: str


@dataclass(frozen=True)
class Run:
    """How a process takes times: rounds, seconds that one comparison may take, and which shapes and contenders."""

    threads: int
    rounds: int
    longest: float
    shapes: tuple[tuple[int, int], ...]
    names: tuple[str, ...]
    floors: dict[str, Floor]


def measure(run: Run) -> tuple[list[Line], list[Line]]:
    """Return all times and, where there is one thread, all errors."""
    timings: list[Line] = []
    wrong: list[Line] = []
    for shape in run.shapes:
        print(f"{run.threads} threads: {shape[0]} x {shape[1]}", file=sys.stderr, flush=True)
        for options in OPTIONS:
            made = {name: MAKERS[name](options.p) for name in run.names}
            first = problem(shape, options)
            if run.threads == 1:
                wrong.extend(_errors(made, first))
            timings.extend(_compared(run, made, first, DATA[0]))
            timings.extend(_compared(run, made, problem(shape, options, DATA[1]), DATA[1]))
            if first.x.size <= problems.SMALL:
                timings.extend(_compared(run, made, first, DATA[0], THROUGH_NUMPY))
            if shape[1] >= problems.WIDE:
                narrowed = {name: c for name, c in made.items() if name not in (COMPILED, JAX)}
                timings.extend(_compared(run, narrowed, problem(shape, options, dtype=FLOAT64), DATA[0]))
    return timings, wrong


def _compared(run: Run, made: dict[str, Contender], given: Problem, data: str, interface: str = OWN) -> Iterator[Line]:
    """Compare both passes of one problem; ratio: eager's time / the contender's in the same rounds."""
    bind = bound if interface == OWN else bound_to_numpy
    sides = {name: bind(contender, given) for name, contender in made.items()}
    out = np.empty_like(given.x)
    rows, classes = given.x.shape
    for what, forward in zip(PASSES, (True, False), strict=True):
        calls: dict[str, Any] = {
            name: (s.contender.ready, s.forward if forward else s.fused) for name, s in sides.items()
        }
        if interface == OWN and data == DATA[0]:
            ways, kind = (READS, "read") if forward else (COPIES, "copy")
            calls[FLOOR] = (lambda: None, ways[run.floors[kind].way](given.x, out))
        setting = Setting(run.threads, given.x.dtype.name, rows, classes, given.options.text, data, what, interface)
        times = interleaved(calls, run.rounds, run.longest, run.threads)
        for name, some in times.items():
            figures = {"seconds": spread(some), "ratio": ratios(times, name, EAGER)}
            yield {**asdict(setting), "contender": name, **figures}


def _errors(made: dict[str, Contender], given: Problem) -> Iterator[Line]:
    rows, classes = given.x.shape
    for name, contender in made.items():
        found = errors(given, *bound(contender, given).results())
        yield {"rows": rows, "classes": classes, "options": given.options.text, "contender": name, **asdict(found)}


def compile_all(shapes: tuple[tuple[int, int], ...], names: tuple[str, ...]) -> None:
    """Compile what torch.compile compiles, where it can; PyTorch keeps it on disk."""
    for shape in shapes if COMPILED in names else ():
        print(f"{torch.get_num_threads()} threads: compiling {shape[0]} x {shape[1]}", file=sys.stderr, flush=True)
        for options in OPTIONS:
            side = bound(MAKERS[COMPILED](options.p), problem(shape, options))
            side.forward()
            side.fused()
