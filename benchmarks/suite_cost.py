"""What the suite itself costs: a whole check, the commands' start, and exact results a second."""

from __future__ import annotations

import importlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from importlib.util import find_spec
from typing import Any, TypeVar

import numpy as np
from goals import ALL_KNOWN
from judge_rate import judged_per_second
from timing import Spread, seconds, spread

from multimargin_reference import exact, oracle
from multimargin_reference.case import Case

COMMAND = (sys.executable, "-m", "multimargin_conformance.cli")
STARTS = (("--version",), ("clauses",))
STARTED = 10  # times
CHECK = ("check", "reference", "--profile", "training")
LIVE = """
import json, sys, time
from multimargin_conformance import check
from multimargin_conformance.adapters.reference import ReferenceBackend
times = []
for _ in range({times}):
    began = time.perf_counter()
    report = check(ReferenceBackend(), "training", fail_fast=True, clause={clause!r})
    times.append(time.perf_counter() - began)
    assert report.conformant, report.failures
print(json.dumps(times))
"""
KNOWN = """
import json, time
from multimargin_conformance import check
from multimargin_reference.known import FAULTS, VARIANTS
seen = [fault for fault in FAULTS if "DTYPE-2" not in fault.clauses]  # those are of halves
times = []
for found, step in ((seen, {faults}), (VARIANTS, {variants})):
    times.append([])
    for each in found[::step]:
        implementation = each.make()
        began = time.perf_counter()
        report = check(implementation, "training", fail_fast=True, clause={clause!r})
        times[-1].append(time.perf_counter() - began)
        assert report.conformant == (found is VARIANTS), each.name
print(json.dumps(times))
"""
KNOWN_STEPS = {"faults": 15, "variants": 12}  # of the catalogue: eight faults to one legal variant
PROCESSES, WARM = 3, 2  # processes that check, and checks of each after its first
LONGEST = 60.0  # seconds after which no other process begins
EXACT_SHAPES = ((8, 10), (32, 1000))
EXACT_SECONDS, EXACT_ROUNDS = 0.4, 3
BITS = 400  # of mpmath's numbers: enough for every sum here to be exact


T = TypeVar("T")


@dataclass(frozen=True)
class Cost:
    """Seconds, or results a second."""

    what: str
    how: str
    unit: str
    figure: Spread


def measure(dry: bool) -> list[Cost]:
    """Return everything; a dry run checks one clause and does each thing once."""
    _say("checks")
    clause = "VALUE-1" if dry else ""
    costs = [*checks(clause), *known(clause)]
    _say("starts")
    costs.extend(starts(1 if dry else STARTED))
    _say("exact results")
    for rows, classes in ((2, 3),) if dry else EXACT_SHAPES:
        costs.extend(exact_rates(rows, classes, 0.0 if dry else EXACT_SECONDS))
    return [*costs, *fast_judge(dry)]


def _say(text: str) -> None:
    print(f"the suite: {text}", file=sys.stderr, flush=True)


def checks(clause: str) -> Iterator[Cost]:
    """Check the reference as a live object, first in a process and again in it; and by the command, start and all.

    With a clause, a dry run: once, and not by the command.
    """
    code = LIVE.format(times=1 + WARM, clause=clause)
    command = [sys.executable, "-c", code]
    lives = _several(lambda: json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout), clause)
    what = "check(reference, training, fail_fast)"
    yield Cost(what, "first in a process", "s", spread(times[0] for times in lives))
    yield Cost(what, "again in it", "s", spread(t for times in lives for t in times[1:]))
    if not clause:
        took = _several(lambda: _process([*COMMAND, *CHECK]), clause)
        yield Cost(f"multimargin {' '.join(CHECK)}", "the process", "s", spread(took))


def known(clause: str) -> Iterator[Cost]:
    """Check known faults and legal variants, some of all, one after another in a process; the first one counts too.

    With a clause, a dry run: one of each.
    """
    steps = dict.fromkeys(KNOWN_STEPS, 10**6) if clause else KNOWN_STEPS
    command = [sys.executable, "-c", KNOWN.format(**steps, clause=clause)]
    faults, variants = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    yield Cost("check(known fault, training, fail_fast)", f"{len(faults)} in a process", "s", spread(faults))
    yield Cost("check(legal variant, training, fail_fast)", f"{len(variants)} after them", "s", spread(variants))
    yield Cost(ALL_KNOWN, "mean", "s", spread([statistics.mean([*faults, *variants])]))


def _several(run: Callable[[], T], clause: str) -> list[T]:
    began, results = time.perf_counter(), [run()]
    while not clause and len(results) < PROCESSES and time.perf_counter() - began < LONGEST:
        results.append(run())
    return results


def starts(times: int) -> Iterator[Cost]:
    """Start the command for something that needs no backend."""
    for words in STARTS:
        took = [_process([*COMMAND, *words]) for _ in range(times)]
        yield Cost(f"multimargin {' '.join(words)}", "the process", "s", spread(took))


def _process(command: list[str]) -> float:
    return seconds(lambda: subprocess.run(command, stdout=subprocess.DEVNULL, check=True))


def exact_rates(rows: int, classes: int, least: float) -> Iterator[Cost]:
    """Return exact losses a second of one case, p = 1: by whichever arithmetic is installed, all of them equal."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((rows, classes)).astype(np.float32)
    case = Case(x, rng.integers(0, classes, rows))
    ways = {name: way for name, (module, way) in WAYS.items() if find_spec(module)}
    expected = fraction_loop(case)
    for name, way in ways.items():
        if way(case) != expected:
            raise ValueError(f"{name}: {way(case)}, but should be {expected}")
    rounds = [{name: _rate(way, case, least) for name, way in ways.items()} for _ in range(EXACT_ROUNDS)]
    for name in ways:
        rates = spread(each[name] for each in rounds)
        yield Cost(f"exact loss, {rows} x {classes}", name, "results/s", rates)


def _rate(way: Callable[[Case], Any], case: Case, least: float) -> float:
    began, count = time.perf_counter(), 0
    while not count or time.perf_counter() - began < least:
        way(case)
        count += 1
    return count / (time.perf_counter() - began)


def fraction_loop(case: Case) -> Fraction:
    """The formula as a loop over fractions.Fraction."""
    total = Fraction(0)
    for x, y in zip(case.input.tolist(), case.target.tolist(), strict=True):
        threshold = Fraction(x[y]) - Fraction(case.margin)
        for i, v in enumerate(x):
            z = Fraction(v) - threshold
            if i != y and z > 0:
                total += z
    return total / case.input.size


def gmpy2_loop(case: Case) -> Fraction:
    """The same over gmpy2.mpq."""
    mpq: Any = importlib.import_module("gmpy2").mpq
    total = mpq(0)
    for x, y in zip(case.input.tolist(), case.target.tolist(), strict=True):
        threshold = mpq(x[y]) - mpq(case.margin)
        for i, v in enumerate(x):
            z = mpq(v) - threshold
            if i != y and z > 0:
                total += z
    total /= case.input.size
    return Fraction(int(total.numerator), int(total.denominator))


def mpmath_loop(case: Case) -> Fraction:
    """The same over mpmath.mpf, with so many bits that no sum is rounded."""
    mpmath: Any = importlib.import_module("mpmath")
    mpf = mpmath.mpf
    with mpmath.workprec(BITS):
        total = mpf(0)
        for x, y in zip(case.input.tolist(), case.target.tolist(), strict=True):
            threshold = mpf(x[y]) - mpf(case.margin)
            for i, v in enumerate(x):
                z = mpf(v) - threshold
                if i != y and z > 0:
                    total += z
        digits, exponent = total.man_exp
    return Fraction(int(digits)) * Fraction(2) ** int(exponent) / case.input.size


WAYS: dict[str, tuple[str, Callable[[Case], Fraction]]] = {  # name: what it needs, and how
    "fractions.Fraction loop": ("fractions", fraction_loop),
    "mpmath loop": ("mpmath", mpmath_loop),
    "gmpy2 loop": ("gmpy2", gmpy2_loop),
    "oracle": ("multimargin_reference", lambda case: oracle.loss(case.input, case.target)),
    "exact": ("multimargin_reference", lambda case: exact.loss(case)[0]),
}


def fast_judge(dry: bool) -> Iterator[Cost]:
    """Return the results a second that the fast judge decides, and the exact rules that it stands for."""
    rounds = [judged_per_second(1) for _ in range(1 if dry else EXACT_ROUNDS)]
    for name in rounds[0]:
        dtype, _, judge = name.partition(" ")
        yield Cost(f"{judge} judge", dtype, "results/s", spread(each[name] for each in rounds))
