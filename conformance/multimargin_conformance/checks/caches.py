"""PURITY-3 with calls that a careless key takes for one: each answer must be that of its own call.

Each pair differs in one thing that a hash, a printed form, a checksum, a sample or the values alone do not show.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multimargin_conformance.checks.item import Item, Scope
from multimargin_conformance.checks.single import part_of
from multimargin_conformance.judge import Finding, judge
from multimargin_conformance.session import Result, Session, result_of
from multimargin_reference.case import Case
from multimargin_reference.exact_values import legal_values
from multimargin_reference.expectation import Enclosures
from multimargin_reference.formats import DTYPES, HALVES
from multimargin_reference.grid_enclosure import grid_values

LONG = 1200  # NumPy prints an array of more than 1000 elements without its middle
FAR = 5003  # classes, so that the middle is past the first kilobytes, and the array longer than a sample
MIDDLE = 601  # odd, and no multiple of any stride that samples are taken with
CLAUSES = {"PURITY-3": ["pairs of calls that a careless key takes for one"]}
Pair = tuple[Case, Case]


def items(scope: Scope) -> Iterator[Item]:
    """Yield one item a dtype, pair and part."""
    for dtype in scope.dtypes:
        for name in PAIRS:
            if any(_left_out(scope, case) for case in pair(name, dtype)):
                continue
            for part in ("loss", "gradient") if scope.gradient else ("loss",):
                yield _item(name, dtype, part)


def _left_out(scope: Scope, case: Case) -> bool:
    return case.dtype not in scope.dtypes or bool(scope.capabilities.leaves_out(case))


def _item(name: str, dtype: str, part: str) -> Item:
    def run(session: Session) -> Result:
        first, second = pair(name, dtype)
        session.function(part)(first)
        why = f"after a call that differs in nothing but {name}"
        finding = judge(part, session.function(part)(second), expected(name, dtype, part), why)
        return result_of(finding and Finding(finding.message, finding.evidence, _clause(finding)))

    slug = name.replace(" ", "-")
    return Item(f"PURITY-3/{dtype}/pair-{slug}/{part}", "PURITY-3", dtype, part, run)


def _clause(finding: Finding) -> str:
    """A wrong shape or dtype comes from the other call here; a changed argument does not."""
    return finding.clause if finding.clause == "PURITY-1" else ""


@cache
def pair(name: str, dtype: str) -> Pair:
    """Return the two calls of a pair, made once a process."""
    first, second = PAIRS[name](DTYPES[dtype])
    return first, second


@cache
def expected(name: str, dtype: str, part: str) -> Enclosures:
    """Return what is legal for the second call of a pair: all are on a grid."""
    case = pair(name, dtype)[1]
    values = legal_values(case) if case.dtype in HALVES else grid_values(case)
    return part_of(values, part)


def _small(dtype: Any, **changes: Any) -> Case:
    x = np.array([[0.25, 3.5, 1.0, -0.5], [2.0, 0.5, 4.25, 1.75]], dtype)
    case = Case(x, np.array([0, 1]), reduction="none", grad_output=np.array([1.0, -2.0], dtype))
    return replace(case, **changes)


def _margins(dtype: Any) -> Pair:
    """-1 and -2, whose hashes are equal in Python."""
    return _small(dtype, margin=-1.0), _small(dtype, margin=-2.0)


def _wide(dtype: Any, rows: int = 2, classes: int = LONG) -> Case:
    """Rows of which few classes are active: what is far from the ends must count all the same."""
    x = np.full((rows, classes), -8.0, dtype)
    x[:, 1] = 1.5
    x[np.arange(rows), np.resize([0, MIDDLE], rows)] = 2.0
    weight = np.ones(classes, dtype)
    y, grads = np.resize([0, MIDDLE], rows), np.ones(rows, dtype)
    return Case(x, y, p=1, weight=weight, reduction="none", grad_output=grads)


def _tall(dtype: Any) -> Case:
    """Many rows, each with a loss of its own whichever the target is."""
    x = np.tile(np.array([[0.25, 0.5]], dtype), (LONG, 1))
    return Case(x, np.zeros(LONG, np.int64), reduction="none", grad_output=np.ones(LONG, dtype))


def _swapped(dtype: Any) -> Pair:
    """Two targets that change places, where their number, ends, sum and exclusive or stay what they are."""
    first = _with(_tall(dtype), "target", MIDDLE, 1)
    return first, replace(first, target=np.roll(first.target, 2))


def _with(case: Case, name: str, place: int | tuple[int, int], value: float) -> Case:
    changed: NDArray[Any] = getattr(case, name).copy()
    changed[place] = value
    replaced: dict[str, Any] = {name: changed}
    return replace(case, **replaced)


def _dtypes(dtype: Any) -> Pair:
    """The same values in another dtype: float64 beside float32, float32 beside all others."""
    other = np.float64 if np.dtype(dtype) == np.float32 else np.float32
    return _small(dtype), _small(other)


def _close_margin(dtype: Any) -> Pair:
    """The same margin in float64 after a dtype that does not hold it: a class is active by less than they differ."""
    before = np.float32 if np.dtype(dtype) == np.float64 else dtype
    margin = 1.0 + 3 * 2.0 ** -(33 + np.dtype(dtype).itemsize)  # of this pair alone
    case = _with(_small(np.float64, margin=margin), "input", (0, 3), 0.25 - margin + 2.0**-44)
    assert case.grad_output is not None
    return replace(case, input=case.input.astype(before), grad_output=case.grad_output.astype(before)), case


def _last_digits(dtype: Any) -> Pair:
    """A logit that differs in a digit that a narrower dtype does not have."""
    step = {"float64": 2.0**-40, "float32": 2.0**-16}.get(np.dtype(dtype).name, 0.25)
    return _small(dtype, p=2), _with(_small(dtype, p=2), "input", (0, 1), 3.5 + step)


def _batch_of_one(dtype: Any) -> Pair:
    one = _small(dtype, input=_small(dtype).input[:1], target=np.array([0]), grad_output=np.ones(1, dtype))
    return one, replace(one, input=one.input[0], target=one.target[0], grad_output=np.ones((), dtype))


PAIRS: dict[str, Callable[[Any], Pair]] = {
    "margins of one hash": _margins,
    "a logit in the middle": lambda dtype: (_wide(dtype), _with(_wide(dtype), "input", (0, MIDDLE), 4.0)),
    "a logit far inside": lambda dtype: (
        _wide(dtype, 4, FAR),
        _with(_wide(dtype, 4, FAR), "input", (2, FAR - MIDDLE), 4.0),
    ),
    "a weight in the middle": lambda dtype: (_wide(dtype), _with(_wide(dtype), "weight", MIDDLE, 2.0)),
    "a target in the middle": lambda dtype: (_tall(dtype), _with(_tall(dtype), "target", MIDDLE, 1)),
    "two targets that change places": _swapped,
    "a grad_output in the middle": lambda dtype: (_tall(dtype), _with(_tall(dtype), "grad_output", MIDDLE, -2.0)),
    "the dtype": _dtypes,
    "the dtype at a close margin": _close_margin,
    "the last digits": _last_digits,
    "the batch of one": _batch_of_one,
}
