"""Calls timed in turns, so that a busy machine slows them all; medians and quartiles over the rounds."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

ROUND = 2e-3  # seconds of one turn: shorter calls are repeated
LONGEST_ROUND = 20e-3  # where the slowest call takes longer than ROUND, turns take as long as that, but no longer
SHORT = 5e-3  # seconds of a call before which one more comes, which is not timed
REST = 5e-3  # seconds before a turn, where threads of the one before may still spin
FEWEST = 5  # rounds, however long they take
Call = Callable[[], Any]


@dataclass(frozen=True)
class Spread:
    """Median and quartiles."""

    median: float
    lower: float
    upper: float


def spread(values: Iterable[float]) -> Spread:
    """Return median and quartiles of one or more values."""
    some = sorted(values)
    lower, median, upper = statistics.quantiles(some, n=4, method="inclusive") if len(some) > 1 else some * 3
    return Spread(median, lower, upper)


def seconds(call: Call, repeats: int = 1) -> float:
    """Return the seconds that one call takes, averaged over `repeats`."""
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start) / repeats


def interleaved(
    calls: Mapping[str, tuple[Call, Call]], rounds: int, longest: float, threads: int = 1
) -> dict[str, list[float]]:
    """Return the seconds of each (ready, call) in each round; another one is first in each.

    There are fewer rounds, but FEWEST, where they would take more than `longest` seconds together. All turns of a round
    are equally long, up to LONGEST_ROUND: after one in one thread, another processor needs some milliseconds to wake.
    """
    single = {name: _single(*pair) for name, pair in calls.items()}
    length = min(max(ROUND, *single.values()), LONGEST_ROUND)
    turns = {name: _turn(*pair, single[name], length, threads) for name, pair in calls.items()}
    times: dict[str, list[float]] = {name: [] for name in calls}
    names = list(calls)
    collecting = gc.isenabled()
    gc.disable()
    try:
        began = time.perf_counter()
        for k in range(rounds):
            if k >= FEWEST and time.perf_counter() - began > longest:
                break
            for name in names[k % len(names) :] + names[: k % len(names)]:
                times[name].append(turns[name]())
    finally:
        if collecting:
            gc.enable()
    return times


def ratios(times: Mapping[str, list[float]], name: str, base: str) -> Spread:
    """Return how many times as fast as `base` it is, round by round."""
    return spread(b / t for b, t in zip(times[base], times[name], strict=True))


def _single(ready: Call, call: Call) -> float:
    """Return the seconds of one call, after one that compiles whatever it does."""
    ready()
    call()
    return min(seconds(call), seconds(call))


def _turn(ready: Call, call: Call, took: float, length: float, threads: int) -> Callable[[], float]:
    """Return what times a call that `took` seconds, repeated for `length` seconds."""
    repeats = max(1, round(length / took))

    def turn() -> float:
        ready()
        if threads > 1:
            time.sleep(REST)
        if took < SHORT:
            call()
        return seconds(call, repeats)

    return turn
