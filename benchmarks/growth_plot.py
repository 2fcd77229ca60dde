"""The picture of growth: time over N and over C, log-log, with the fitted exponents."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from growth import FIXED, ORDER, Line
from ratios import PASSES

COLOURS = dict(zip(ORDER, ("#555555", "#0060a8", "#58a6d6", "#c8651b"), strict=True))
MARKS = dict(zip(ORDER, "osv^", strict=True))
SETTINGS = {
    "svg.hashsalt": "growth",
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def draw(data: list[dict[str, Any]], path: Path) -> None:
    """Write the picture of speed.json's lines of growth, as SVG. Raises ImportError without matplotlib."""
    lines = [Line(**each) for each in data]
    with import_module("matplotlib").rc_context(SETTINGS):
        figure = import_module("matplotlib.figure").Figure(figsize=(10, 7.5), layout="constrained")
        for axes, (along, what) in zip(
            figure.subplots(2, 2).flat, [(a, w) for w in PASSES for a in FIXED], strict=True
        ):
            for line in lines:
                if (line.along, line.what) == (along, what):
                    _add(axes, line)
            axes.set(xscale="log", yscale="log", title=f"{what}, {FIXED[along]}", xlabel=along, ylabel="seconds")
            axes.grid(color="#dddddd", linewidth=0.6)
            axes.legend(frameon=False, fontsize=8)
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})


def _add(axes: Any, line: Line) -> None:
    threads = "" if line.threads == 1 else f", {line.threads} threads"
    axes.plot(
        line.sizes,
        line.seconds,
        color=COLOURS[line.contender],
        marker=MARKS[line.contender],
        markersize=3.5,
        linewidth=1.4,
        linestyle="-" if line.threads == 1 else "--",
        label=f"{line.contender}{threads}: exponent {line.exponent:.2f}",
    )
