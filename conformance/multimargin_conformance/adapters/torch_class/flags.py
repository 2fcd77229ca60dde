"""CLASS-3: size_average and reduce, in all nine pairs, with every reduction and a wrong one."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from typing import Any

from multimargin_conformance.adapters.torch_class.calls import (
    Implementation,
    expected_part,
    item,
    outcome_of,
    value_finding,
)
from multimargin_conformance.adapters.torch_class.cases import batched
from multimargin_conformance.checks.item import Item
from multimargin_conformance.judge import Finding
from multimargin_conformance.session import Session
from multimargin_reference.case import Case

FLAGS = (None, True, False)
REDUCTIONS = ("none", "mean", "sum", "average")  # the last one is wrong, and not looked at where a flag is given


def meant(size_average: bool | None, reduce: bool | None, reduction: str) -> str:
    """Return the reduction that the arguments stand for."""
    if size_average is None and reduce is None:
        return reduction
    if reduce is False:
        return "none"
    return "sum" if size_average is False else "mean"


def items(implementation: Implementation, dtypes: tuple[str, ...]) -> Iterator[Item]:
    """Yield the items of CLASS-3; a wrong reduction that no flag overrides is CLASS-2's."""
    for size_average, reduce, reduction in itertools.product(FLAGS, FLAGS, REDUCTIONS):
        result = meant(size_average, reduce, reduction)
        if result != "average" and implementation.offers(case := batched(dtypes[0], reduction=result)):
            flags = {"size_average": size_average, "reduce": reduce, "reduction": reduction}
            yield _item(implementation, f"legacy-flags-({size_average},{reduce})-{reduction}", case, flags)


def _item(i: Implementation, name: str, case: Case, flags: dict[str, Any]) -> Item:
    how = ", ".join(f"{key}={value!r}" for key, value in flags.items())

    def find(_session: Session) -> Finding | None:
        made: list[Any] = []

        def body(_i: Implementation, _case: Case) -> Any:
            x, y, _ = i.arguments(case)
            made.append(i.module(case.p, case.margin, i.tensor(case.weight), **flags))
            return made[0](x, y)

        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            outcome = outcome_of(body, i, case)
        wrong = value_finding("loss", outcome, expected_part(case, "loss"), how)
        given = flags["size_average"] is not None or flags["reduce"] is not None
        return wrong or _miscounted(caught, int(given), how) or _misnamed(made[0], case.reduction, how)

    return item("CLASS-3", case.dtype, name, "loss", find)


def _miscounted(caught: list[warnings.WarningMessage], should: int, how: str) -> Finding | None:
    """The constructor and one call together: a call must not warn again."""
    if len(caught) == should:
        return None
    texts = "".join(f"; {w.category.__name__}: {w.message}" for w in caught)
    return Finding(f"the number of warnings is {len(caught)}, but should be {should} ({how}){texts}")


def _misnamed(module: Any, should: str, how: str) -> Finding | None:
    got = getattr(module, "reduction", None)
    return None if got == should else Finding(f"module.reduction = {got!r}, but should be {should!r} ({how})")
