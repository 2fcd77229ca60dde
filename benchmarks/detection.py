"""How many of the known faults this suite catches, and how many PyTorch's own tests of the operator do.

Both sides get the same implementations, the catalogue of `multimargin selftest`, in one run. On PyTorch's side an
implementation takes the kernel's place in its tests, on the CPU, in float32 and float64 (pytorch_inputs.py,
pytorch_tests.py): inputs of OpInfo, ModuleInfo and common_nn; values and gradients against eager, and values against
the reference function, by assert_close with its default tolerances; gradcheck; strided arguments; error inputs; whether
an argument was changed. Eager itself passes, or nothing is measured. What raises is caught by the test that it broke.

In PyTorch's favour: tests that it runs between devices are run on the CPU, against eager; gradients get random
grad_outputs, and are compared before autograd can cast or reshape them; gradcheck looks at every element by itself; an
error input has no second error. Against it: any error will do for an error input, since types and messages are each
implementation's own. Not run: what needs an operator of PyTorch's dispatcher (declared dtypes, vmap, tracing, meta
tensors), which nothing over arrays can pass.

Not fair to compare: PyTorch's CPU kernels have no halves, so that its tests cannot find the faults that show in halves
alone; "in float32 or float64" counts the others. And the catalogue was written together with this suite: of faults that
nobody thought of, the figures say nothing.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import statistics
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from pytorch_inputs import Inputs, inputs
from pytorch_tests import first_failure
from tabulate import tabulate

from multimargin_conformance import check
from multimargin_conformance.adapters.torch import TorchEager
from multimargin_reference.clauses import GROUPS
from multimargin_reference.known import FAULTS, VARIANTS, Fault, Variant

FLOATS = ("float32", "float64")
SIDES = ("this suite", "PyTorch's tests")
VARIANTS_LINE = "legal variants (a false alarm each)"
T = TypeVar("T")


@dataclass(frozen=True)
class Judged:
    """What rejected a fault or a variant first, a clause and one of PyTorch's tests; "" where nothing did.

    group: the clauses that should catch the fault, "" for a variant. only_in_halves: what this suite saw of it.
    """

    name: str
    group: str
    suite: str
    pytorch: str
    only_in_halves: bool
    seconds: tuple[float, float]

    @property
    def rejected(self) -> tuple[bool, bool]:
        """Whether each side rejected it."""
        return bool(self.suite), bool(self.pytorch)


def main() -> None:
    """Print the tables and the faults that were not caught, and write them where asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, default=len(FAULTS), help="the first faults alone, and as many variants")
    parser.add_argument("--output", type=Path, help="write what became of each fault to this file, as JSON")
    parser.add_argument("--markdown", type=Path, help="write the table of faults to this file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    try:
        given = inputs()
    except ModuleNotFoundError as error:
        raise SystemExit(f"PyTorch's own tests need {error.name}, which is in multimargin[dev]") from error
    if failed := first_failure(TorchEager, given):
        raise SystemExit(f"PyTorch eager fails its own tests here, so they are not applied as they should be: {failed}")
    faults = [judge_fault(fault, given) for fault in FAULTS[: options.limit]]
    some = math.ceil(len(VARIANTS) * len(faults) / len(FAULTS))
    variants = [judge_variant(variant, given) for variant in VARIANTS[:some]]
    print("\n\n".join([table(faults, variants), times(faults, variants), *missed(faults), *alarms(variants)]))
    if options.output:
        text = json.dumps(as_data(faults, variants), indent=2, sort_keys=True)
        options.output.write_text(text + "\n", encoding="utf-8")
    if options.markdown:
        options.markdown.write_text(table(faults, variants, "github") + "\n", encoding="utf-8")


def judge_fault(fault: Fault, given: Mapping[str, Inputs]) -> Judged:
    """Run both sides until each has caught a fault."""
    (clause, only_in_halves), ours = timed(lambda: caught_by_suite(fault))
    test, theirs = timed(lambda: first_failure(fault.make, given))
    return Judged(fault.name, fault.clauses[0].split("-")[0], clause, test, only_in_halves, (ours, theirs))


def caught_by_suite(fault: Fault) -> tuple[str, bool]:
    """Return the first clause that catches a fault, "" for none, and whether only halves show it.

    As `multimargin selftest` does, by the clauses that the fault names and then by all; the dtypes that PyTorch's tests
    have come first.
    """
    for dtypes in (FLOATS, None):
        for clauses in (fault.clauses, ()):
            with suppress(ValueError):  # where none of the named clauses is checked in these dtypes
                report = check(fault.make(), "full", dtypes, clause=",".join(clauses), fail_fast=True)
                if report.failures:
                    return report.failures[0].clause, dtypes is None
    return "", False


def judge_variant(variant: Variant, given: Mapping[str, Inputs]) -> Judged:
    """Run both sides to the end, or until PyTorch's has rejected a variant, in the dtypes that both have."""
    report, ours = timed(lambda: check(variant.make(), "full", FLOATS))
    clause = next((verdict.clause for verdict in report.failures), "" if report.conformant else "no valid run")
    test, theirs = timed(lambda: first_failure(variant.make, given))
    return Judged(variant.name, "", clause, test, False, (ours, theirs))


def timed(call: Callable[[], T]) -> tuple[T, float]:
    """Return what a call returns and the seconds that it took."""
    start = time.perf_counter()
    return call(), time.perf_counter() - start


def counts(judged: Sequence[Judged]) -> dict[str, int]:
    """Return the number of faults or variants, of those that float32 or float64 show, and of those each side caught."""
    shown = sum(not j.only_in_halves for j in judged)
    caught = {f"caught by {name}": sum(j.rejected[side] for j in judged) for side, name in enumerate(SIDES)}
    return {"known faults": len(judged), "in float32 or float64": shown, **caught}


def table(faults: Sequence[Judged], variants: Sequence[Judged], form: str = "simple") -> str:
    """Return the faults caught by each side, one group of clauses a line, and the variants rejected."""
    groups = {group: [f for f in faults if f.group == group] for group in GROUPS}
    lines = {**{group: some for group, some in groups.items() if some}, "all": faults, VARIANTS_LINE: variants}
    rows = [[name, *counts(some).values()] for name, some in lines.items()]
    return tabulate(rows, ["clauses", *counts(faults)], form)


def times(faults: Sequence[Judged], variants: Sequence[Judged]) -> str:
    """Return the seconds that an implementation takes on each side, as text."""

    def line(what: str, figure: Callable[[list[float]], float], judged: Sequence[Judged]) -> list[Any]:
        return [what, *(figure([j.seconds[side] for j in judged]) for side in range(2))]

    lines = [
        line("a fault, until caught, median", statistics.median, faults),
        line("a variant, to the end, median", statistics.median, variants),
        line("one of them, mean", statistics.fmean, [*faults, *variants]),
        line("all of them", sum, [*faults, *variants]),
    ]
    return tabulate(lines, ["seconds", *SIDES], floatfmt=".2f")


def missed(faults: Sequence[Judged]) -> list[str]:
    """Return for each side the names of the faults that it did not catch, by group, as text."""
    return [_named(f"not caught by {name}", [f for f in faults if not f.rejected[i]]) for i, name in enumerate(SIDES)]


def alarms(variants: Sequence[Judged]) -> list[str]:
    """Return for each side that rejected a legal variant the names of those, as text."""
    wrong = [[v for v in variants if v.rejected[side]] for side in range(2)]
    return [_named(f"rejected wrongly by {name}", some) for name, some in zip(SIDES, wrong, strict=True) if some]


def _named(title: str, judged: Sequence[Judged]) -> str:
    groups = dict.fromkeys(j.group for j in judged)
    names = {group: ", ".join(j.name for j in judged if j.group == group) for group in groups}
    lines = [f"{group}: {some}" if group else some for group, some in names.items()]
    indented = [
        textwrap.fill(line, 118, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)
        for line in lines
    ]
    return "\n".join([f"{title}: {len(judged)}", *indented])


def as_data(faults: Sequence[Judged], variants: Sequence[Judged]) -> dict[str, Any]:
    """Return everything as JSON data; but for "seconds", "machine" and "versions" it is the same in every run."""
    return {
        "faults": {f.name: _without_times(f) for f in faults},
        "variants": {v.name: _without_times(v) for v in variants},
        "counts": {"faults": counts(faults), "variants": counts(variants)},
        "seconds": {j.name: j.seconds for j in (*faults, *variants)},
        "machine": f"{platform.system()} {platform.machine()}",
        "versions": {"python": platform.python_version(), "numpy": np.__version__, "torch": torch.__version__},
    }


def _without_times(judged: Judged) -> dict[str, Any]:
    return {key: value for key, value in asdict(judged).items() if key not in ("name", "seconds")}


if __name__ == "__main__":
    main()
