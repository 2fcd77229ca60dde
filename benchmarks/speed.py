"""Time of PyTorch eager divided by the time of this package's NumPy functions, side by side in one run.

Float32, standard normal logits, p = 1, one thread. In each round both sides run one after the other, so that a busy
machine slows both; a ratio is the median over rounds, with the smallest and largest.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from tabulate import tabulate

from multimargin_reference.vectorized import multi_margin_loss, multi_margin_loss_and_grad

SHAPES = ((128, 10), (8192, 10), (4096, 1000), (256, 32000))
Call = Callable[[], object]


@dataclass(frozen=True)
class Ratio:
    """PyTorch eager's time / ours over the rounds of one comparison; medians of both times in seconds."""

    rows: int
    classes: int
    what: str
    eager: float
    ours: float
    median: float
    smallest: float
    largest: float


def main() -> None:
    """Print the table, and write it as JSON where asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help="interleaved rounds a comparison")
    parser.add_argument("--output", type=Path, help="write the figures to this file, as JSON")
    options = parser.parse_args()
    torch.set_num_threads(1)
    ratios = [ratio for shape in SHAPES for ratio in compare(*shape, options.rounds)]
    print(table(ratios))
    if options.output:
        options.output.write_text(json.dumps({**machine(), "ratios": [asdict(r) for r in ratios]}, indent=2) + "\n")


def compare(rows: int, classes: int, rounds: int) -> list[Ratio]:
    """Compare forward, and forward and backward, at one shape."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((rows, classes)).astype(np.float32), rng.integers(0, classes, rows)
    plain, target = torch.from_numpy(x), torch.from_numpy(y)
    leaf = plain.clone().requires_grad_()

    def backward() -> object:
        leaf.grad = None
        torch.nn.functional.multi_margin_loss(leaf, target).backward()  # type: ignore[no-untyped-call]
        return leaf.grad

    pairs: dict[str, tuple[Call, Call]] = {
        "forward": (
            lambda: torch.nn.functional.multi_margin_loss(plain, target),
            lambda: multi_margin_loss(x, y),
        ),
        "forward and backward": (backward, lambda: multi_margin_loss_and_grad(x, y)),
    }
    return [ratio(rows, classes, what, *pair, rounds) for what, pair in pairs.items()]


def ratio(rows: int, classes: int, what: str, eager: Call, ours: Call, rounds: int) -> Ratio:
    """Time both in interleaved rounds; short calls are repeated until a round takes about a millisecond."""
    repeats = max(1, int(1e-3 / max(seconds(eager, 2), seconds(ours, 2))))
    times = [(seconds(eager, repeats), seconds(ours, repeats)) for _ in range(rounds)]
    quotients = [e / o for e, o in times]
    eager_median, our_median = (statistics.median(side) for side in zip(*times, strict=True))
    spread = statistics.median(quotients), min(quotients), max(quotients)
    return Ratio(rows, classes, what, eager_median, our_median, *spread)


def seconds(call: Call, repeats: int) -> float:
    """Return the seconds that one call takes, averaged over `repeats`."""
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start) / repeats


def table(ratios: list[Ratio]) -> str:
    """Return the ratios as text, one comparison a line."""
    header = ["N x C", "what", "eager, us", "ours, us", "ratio", "min to max"]
    lines = [
        [
            f"{r.rows} x {r.classes}",
            r.what,
            r.eager * 1e6,
            r.ours * 1e6,
            r.median,
            f"{r.smallest:.2f} to {r.largest:.2f}",
        ]
        for r in ratios
    ]
    return tabulate(lines, header, floatfmt=("", "", ".0f", ".0f", ".2f", ""))


def machine() -> dict[str, str]:
    """Say what the figures were taken on."""
    return {
        "machine": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": torch.__version__,
    }


if __name__ == "__main__":
    main()
