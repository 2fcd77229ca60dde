"""Which checks a run has, and their order where the first failure ends it: everything once, every kind soon."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase as fnmatch
from typing import Any

import pytest

from multimargin_conformance import check
from multimargin_conformance.capabilities import ALL_DTYPES, Capabilities
from multimargin_conformance.checks import OPERATOR, plan, spoken_about
from multimargin_conformance.checks.first import KIND
from multimargin_conformance.checks.item import Generated, Item, Scope
from multimargin_conformance.ordering import breadth_first, costs, in_turn, sort_of
from multimargin_reference import multi_margin_loss, multi_margin_loss_backward
from multimargin_reference.clauses import CLAUSES

ITEMS = plan(Scope(("float32", "float64"), True, Capabilities()))


def takes(item: Item) -> int:
    return costs()[sort_of(item)]


class Accepting:
    """Right, but takes a p that is nearly 2: the specification has the clause about it among the last."""

    def forward(self, input: Any, target: Any, **options: Any) -> Any:
        return multi_margin_loss(input, target, **{**options, "p": 2 if options["p"] == 1.99 else options["p"]})

    def backward(self, grad_output: Any, input: Any, target: Any, **options: Any) -> Any:
        return multi_margin_loss_backward(grad_output, input, target, **options)


@pytest.mark.parametrize("ordered", [in_turn, breadth_first])
def test_every_check_has_one_place_and_the_first_call_the_first(
    ordered: Callable[[Sequence[Item]], Sequence[int]],
) -> None:
    places = ordered(ITEMS)
    assert sorted(places) == list(range(len(ITEMS)))
    assert ITEMS[places[0]].kind == KIND


def test_every_sort_was_measured_and_nothing_else() -> None:
    assert costs().keys() == {sort_of(item) for item in ITEMS}, "run scripts/costs.py"


def test_the_first_round_has_every_clause_in_the_order_of_the_specification() -> None:
    items = [item for item in ITEMS if takes(item) == 1 and item.kind != KIND]
    first = len({(item.clause, item.part, sort_of(item)) for item in items})
    places = breadth_first(items)[:first]
    assert list(places) == sorted(places)
    clauses = {items[place].clause for place in places}
    assert clauses == {item.clause for item in items}
    assert clauses >= {clause.id for clause in CLAUSES.values() if clause.group == "REJECT"}


def test_every_clause_has_its_turn_before_what_takes_longest() -> None:
    order = [ITEMS[place] for place in breadth_first(ITEMS)]
    longest = max(costs().values())
    before = order[: next(k for k, item in enumerate(order) if takes(item) >= longest / 4)]
    assert {item.clause for item in before} == {item.clause for item in ITEMS}


def test_a_fault_of_a_late_clause_ends_the_run_soon_and_verdicts_keep_their_order() -> None:
    report = check(Accepting(), fail_fast=True)
    assert [v.clause for v in report.failures] == ["REJECT-1"]
    assert report.counts["pass"] < report.planned / 4
    assert report.planned == len(report.verdicts) == report.counts["pass"] + 1 + report.counts["skip"]
    assert [v.id for v in report.verdicts] == [item.id for item in ITEMS]


def test_of_what_takes_as_long_every_sort_has_a_turn_before_one_has_its_second() -> None:
    seen: Counter[tuple[str, str, str]] = Counter()
    numbers = defaultdict(list)
    for item in (ITEMS[place] for place in breadth_first(ITEMS)):
        sort = item.clause, item.part, sort_of(item)
        seen[sort] += 1
        if item.kind != KIND:
            numbers[takes(item)].append(seen[sort])
    assert len(numbers) > 5
    assert all(found == sorted(found) and max(found) > 1 for found in numbers.values())


@pytest.mark.parametrize("permissions", [(), ("flush-subnormals", "accumulator", "run-to-run-variation")])
def test_modules_say_what_their_checks_are_about(permissions: tuple[str, ...]) -> None:
    """A run of some clauses plans no others."""
    scope = Scope(ALL_DTYPES, True, Capabilities(permissions=permissions), generated=Generated(huge=True))
    for module in OPERATOR:
        assert {name for item in module.items(scope) for name in (item.clause, *item.also)} <= {*spoken_about(module)}


@pytest.mark.parametrize("clause", ["VALUE-9", "GRADIENT-*,SHAPE-4", "CLASS-1"])
def test_what_is_selected_is_selected_of_everything(clause: str) -> None:
    scope, globs = Scope(("float64",), True, Capabilities()), clause.split(",")
    named = [i for i in plan(scope) if any(fnmatch(n, glob) for n in (i.clause, *i.also) for glob in globs)]
    assert [item.id for item in plan(scope, clause=clause)] == [item.id for item in named]
    assert [item.id for item in plan(scope, "*/loss", clause)] == [i.id for i in named if i.id.endswith("/loss")]
