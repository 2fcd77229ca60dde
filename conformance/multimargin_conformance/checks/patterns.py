"""Plain patterns of logits and weights with every shape, reduction, power and margin: a shortcut may be taken for them.

All logits 0, negative or equal; weights negative or equal; the same target everywhere, or another one in each row.
Equal weights are handed over as a view with a zero stride, and in every other call whatever else is the same all along.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import product

import numpy as np

from multimargin_conformance.calling import ARGUMENTS, Arrays
from multimargin_conformance.capabilities import REDUCTIONS, Capabilities
from multimargin_conformance.checks.item import Item, Scope
from multimargin_conformance.checks.single import part_of
from multimargin_conformance.judge import judge
from multimargin_conformance.session import PASS, Result, Session, result_of
from multimargin_reference.case import Case
from multimargin_reference.exact_values import exact_values
from multimargin_reference.expectation import Values
from multimargin_reference.formats import DTYPES
from multimargin_vectors.draft import has_kink

LOGITS = {
    "zero": np.array([0.0, -0.0, 0.0, 0.0]),
    "negative": np.array([-2.0, -1.5, -0.5, -3.0]),
    "equal": np.array([1.5, 1.5, 1.5, 1.5]),
}
WEIGHTS = {
    "none": None,
    "negative": np.array([-1.0, -0.5, -2.0, -1.0]),
    "equal": np.array([2.0, 2.0, 2.0, 2.0]),
}
SHAPES = ((4,), (1, 4), (4, 4))
MARGINS = (1.0, 0.0, -0.5)
TARGETS = np.array([2, 0, 3, 1])
TIED = "-tied"  # how the names of checks end whose calls have z = 0
GRADIENTS: tuple[tuple[str, str, Callable[[Case], bool]], ...] = (
    ("GRADIENT-4", TIED, has_kink),
    ("GRADIENT-1", "", lambda case: not has_kink(case)),
)
CLAUSES = {clause: ["plain patterns"] for clause in ("VALUE-1", "GRADIENT-1", "GRADIENT-4")}


@dataclass(frozen=True)
class Made:
    """The calls with one pattern of logits in one dtype, out of those that are checked."""

    name: str
    dtype: str
    dtypes: tuple[str, ...]
    capabilities: Capabilities

    @property
    def calls(self) -> tuple[tuple[Case, Values], ...]:
        """The calls that are declared and exact, and what is legal; made once a process."""
        return _calls(self)


def items(scope: Scope) -> Iterator[Item]:
    """Yield one item a pattern of logits, dtype and part."""
    for dtype, name in product(scope.dtypes, LOGITS):
        made = Made(name, dtype, scope.dtypes, scope.capabilities)
        if any(_made(made)):
            yield _item(made, "loss", "VALUE-1", made.name, lambda _: True)
        for clause, name, chosen in GRADIENTS if scope.gradient else ():
            if any(chosen(case) for case, _ in _made(made)):
                yield _item(made, "gradient", clause, made.name + name, chosen)


def _item(made: Made, part: str, clause: str, name: str, chosen: Callable[[Case], bool]) -> Item:
    @cache
    def calls() -> list[tuple[Case, Values]]:
        return [pair for pair in made.calls if chosen(pair[0])]

    def run(session: Session) -> Result:
        for k, (case, values) in enumerate(calls()):
            given = _broadcast(case, part, all_of_them=bool(k % 2)) if session.offers("layouts") else {}
            observation = session.function(part)(case, **given)
            if finding := judge(part, observation, part_of(values, part), f"logits: {name}"):
                return result_of(replace(finding, case=case))
        return PASS

    return Item(f"{clause}/{made.dtype}/patterns-{name}/{part}", clause, made.dtype, part, run, kind="patterns")


def _broadcast(case: Case, part: str, *, all_of_them: bool) -> Arrays:
    """Return the weight, or all arguments, as views with a zero stride where they are the same all along."""
    found: Arrays = {}
    for name in ARGUMENTS[part] if all_of_them else ("weight",):
        array = getattr(case, name)
        if array is not None and array.ndim and (array == array.reshape(-1)[0]).all():
            found[name] = np.broadcast_to(array.reshape(-1)[0].copy(), array.shape)
    return found


@cache
def _calls(made: Made) -> tuple[tuple[Case, Values], ...]:
    return tuple(_made(made))


def _made(made: Made) -> Iterator[tuple[Case, Values]]:
    turn, kind = made.dtypes.index(made.dtype) % 2, DTYPES[made.dtype]
    every = product(SHAPES, REDUCTIONS, (1, 2), MARGINS, enumerate(WEIGHTS.values()))
    for k, (shape, reduction, p, margin, (j, weight)) in enumerate(every):
        # every other one, of which the other dtype has the rest; what is beside it in the product alternates too
        if len(made.dtypes) > 1 and (k + k // 3 + k // 9 + k // 18 + k // 54) % 2 != turn:
            continue
        rows = shape[0] if len(shape) == 2 else 1
        y = TARGETS[:rows] if (k // 2 + j) % 2 else np.full(rows, TARGETS[k % 4])
        grads = np.full(rows if reduction == "none" else (), (1.0, -0.5)[k // 2 % 2])
        grads = grads.reshape(shape[:-1]) if reduction == "none" else grads
        x = np.broadcast_to(LOGITS[made.name], (rows, 4)).reshape(shape).astype(kind)
        w = None if weight is None else weight.astype(kind)
        case = Case(x, y.reshape(shape[:-1]), p, margin, w, reduction, grads.astype(kind))
        if not made.capabilities.leaves_out(case) and (values := exact_values(case)) is not None:
            yield case, values
