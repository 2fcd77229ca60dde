"""Judge an implementation by the golden vectors with nothing but the standard library.

usage: python consume_vectors.py [FOLDER]

Put your implementation in the place of `loss`. Left out here: large inputs (given by a recipe), half precision,
rejections, choices and gradients.
"""

import json
import struct
import sys
from pathlib import Path
from typing import Any

DATA = Path(__file__).resolve().parent.parent / "vectors" / "multimargin_vectors" / "data"
FORMATS = {"float32": "<f", "float64": "<d"}


def loss(x: list[float], y: list[int], p: int, margin: float, w: list[float], reduction: str) -> list[float]:
    """Return the losses of a batch, x flat: one a row for none, otherwise one."""
    c, losses = len(w), []
    for n, t in enumerate(y):
        hinges = (max(0.0, margin - x[n * c + t] + x[n * c + i]) for i in range(c) if i != t)
        losses.append(sum(w[t] * (h * h if p == 2 else h) for h in hinges) / c)
    return losses if reduction == "none" else [sum(losses) / (len(y) if reduction == "mean" else 1)]


def rounded(value: float, dtype: str) -> float:
    """Return a double rounded to the dtype; beyond the largest float32 that is infinity."""
    try:
        return float(struct.unpack(FORMATS[dtype], struct.pack(FORMATS[dtype], value))[0])
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def passes(call: dict[str, Any], expected: dict[str, Any]) -> bool:
    """Call the implementation and judge every number: lo <= got <= hi, or got is in also."""
    dtype, classes = call["input"]["dtype"], ([1] + call["input"]["shape"])[-1]
    x, w = ([float(v) for v in (call[k] or {"values": [1] * classes})["values"]] for k in ("input", "weight"))
    results = loss(x, call["target"]["values"], call["p"], float(call["margin"]["value"]), w, call["reduction"])
    got, lo, hi = [rounded(v, dtype) for v in results], expected["lo"], expected["hi"]
    legal = [float(lo[k]) <= v <= float(hi[k]) or str(v) in expected["also"].get(str(k), ()) for k, v in enumerate(got)]
    return len(legal) == len(lo) and all(legal)


def usable(vector: dict[str, Any]) -> bool:
    """Return whether this consumer can represent the vector."""
    literal = all("recipe" not in (vector["call"][k] or {}) for k in ("input", "target", "weight"))
    return vector["expected"]["kind"] == "values" and literal and vector["call"]["input"]["dtype"] in FORMATS


def main() -> int:
    """Judge every usable vector of a folder; return 1 where one fails."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else DATA
    vectors = [v for path in sorted(folder.glob("[A-Z]*.json")) for v in json.loads(path.read_text("utf-8"))["vectors"]]
    chosen = [v for v in vectors if usable(v)]
    failed = [v for v in chosen if not passes(v["call"], v["expected"]["loss"])]
    for vector in failed[:10]:
        print(f"FAIL {vector['id']} {' '.join(vector['clauses'])}: {vector['comment']}")
    print(f"{len(chosen) - len(failed)} of {len(chosen)} vectors passed, {len(vectors) - len(chosen)} left out")
    return 1 if failed or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
