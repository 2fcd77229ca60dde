"""The parts of speed.py that call the contenders."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import drop_in
import growth
import memory
import ratios
from contenders import available
from floors import SIZE, floors

if TYPE_CHECKING:
    from speed import Plan

TINY = 1 << 20


def times(plan: Plan, threads: int) -> dict[str, Any]:
    """Return floors, times, errors and growth."""
    names, left_out = available(plan.without)
    floor = floors(plan.rounds, TINY if plan.dry else SIZE, threads)
    timings, errors = ratios.measure(ratios.Run(threads, plan.rounds, plan.longest, plan.shapes, names, floor))
    lines = growth.measure(plan.rounds, plan.longest, names, threads, plan.dry)
    return {
        "floors": {str(threads): floor},
        "left_out": left_out,
        "timings": timings,
        "errors": errors,
        "growth": lines,
    }


def beyond(plan: Plan, threads: int) -> dict[str, Any]:
    """Return memory."""
    names, _ = available(plan.without)
    return {"memory": memory.measure(plan.shapes, names, threads)}


def compiled(plan: Plan, threads: int) -> dict[str, Any]:  # noqa: ARG001
    """Compile, where that can be done."""
    names, _ = available(())
    ratios.compile_all(plan.shapes, names)
    return {}


def dropped_in(plan: Plan, threads: int) -> dict[str, Any]:
    """Return the drop-in's times."""
    return {"drop_in": list(drop_in.measure(plan.rounds, plan.longest, threads, plan.dry))}


PARTS: dict[str, Callable[[Plan, int], dict[str, Any]]] = {
    "times": times,
    "drop_in": dropped_in,
    "memory": beyond,
    "compile": compiled,
}
