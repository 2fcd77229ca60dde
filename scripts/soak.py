"""Many faults in one run, in random order: each must cost its own case a verdict and no other.

`make soak ARGS="--rounds 20 --seed 3"`; the seed that fails is printed.
"""

from __future__ import annotations

import argparse
import importlib
import json
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "conformance" / "tests"))

from multimargin_conformance import check  # noqa: E402

faults: Any = importlib.import_module("test_isolation")

LATE = {"spin", "sleep", "sleep-deaf", "stop-itself", "out-of-order", "closes-stdout"}
ODD = {"out-of-order", "segfault-buffered"}  # these act on other requests too
SOME = {**faults.SOME, "select": "VALUE-*/float64/*/loss"}


def round_of(seed: int, cases: list[str], groups: dict[str, str]) -> list[str]:
    """Run once with a fault on every twentieth case or so; return what was wrong."""
    chance = random.Random(seed)
    chosen = chance.sample(cases, len(cases) // 20)
    late: dict[str, int] = {}
    plan: dict[str, str] = {}
    for case in chosen:
        fault = chance.choice(sorted(set(faults.VICTIM) - ODD))
        late[groups[case]] = late.get(groups[case], 0) + (fault in LATE)
        plan[case] = fault if fault not in LATE or late[groups[case]] <= 2 else "short"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plan.json"
        path.write_text(json.dumps({faults.digest(case): fault for case, fault in plan.items()}), encoding="utf-8")
        report = check(faults.spec("many", str(path), Path(folder)), limits=faults.QUICK, **SOME)
    found = {v.case: v.failure.message for v in report.failures if v.failure}
    wrong = [f"{case}: {plan.get(case, 'no fault')}, but {found.get(case, 'passed')}" for case in found.keys() ^ plan]
    wrong += [f"{c}: {plan[c]}, but {found[c]}" for c in found.keys() & plan if faults.VICTIM[plan[c]] not in found[c]]
    return wrong if report.valid else [*wrong, "the run was not valid"]


def main() -> None:
    """Run the rounds; exit 1 where one was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    verdicts = check("reference", isolate=False, **SOME).verdicts
    times = Counter(faults.digest(v.case) for v in verdicts)  # calls that differ in grad_output alone are one request
    groups = {v.case: v.clause for v in verdicts if times[faults.digest(v.case)] == 1}
    failed = False
    for seed in range(given.seed, given.seed + given.rounds):
        wrong = round_of(seed, list(groups), groups)
        print(f"seed {seed}: {len(groups)} cases, {len(wrong)} wrong verdicts", *wrong, sep="\n  ")
        failed = failed or bool(wrong)
    sys.exit(failed)


if __name__ == "__main__":
    main()
