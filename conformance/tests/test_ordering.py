"""The order of checks where the first failure ends the run: everything once, and some of every kind soon."""

from __future__ import annotations

from typing import Any

from multimargin_conformance import check
from multimargin_conformance.capabilities import Capabilities
from multimargin_conformance.checks import plan
from multimargin_conformance.checks.item import Scope
from multimargin_conformance.ordering import TAKES, breadth_first, takes
from multimargin_reference import multi_margin_loss, multi_margin_loss_backward
from multimargin_reference.clauses import CLAUSES

ITEMS = plan(Scope(("float32", "float64"), True, Capabilities()))


class Accepting:
    """Right, but takes a p that is nearly 2: the specification has the clause about it among the last."""

    def forward(self, input: Any, target: Any, **options: Any) -> Any:
        return multi_margin_loss(input, target, **{**options, "p": 2 if options["p"] == 1.99 else options["p"]})

    def backward(self, grad_output: Any, input: Any, target: Any, **options: Any) -> Any:
        return multi_margin_loss_backward(grad_output, input, target, **options)


def test_every_check_has_one_place() -> None:
    assert sorted(breadth_first(ITEMS)) == list(range(len(ITEMS)))


def test_the_first_round_has_every_clause_in_the_order_of_the_specification() -> None:
    items = [item for item in ITEMS if takes(item) == 1]
    first = len({(item.clause, item.part, item.kind) for item in items})
    places = breadth_first(items)[:first]
    assert places == sorted(places)
    clauses = {items[place].clause for place in places}
    assert clauses == {item.clause for item in items}
    assert clauses >= {clause.id for clause in CLAUSES.values() if clause.group == "REJECT"}


def test_every_clause_has_its_turn_before_what_takes_longest() -> None:
    order = [ITEMS[place] for place in breadth_first(ITEMS)]
    longest = max(TAKES.values())
    before = order[: next(k for k, item in enumerate(order) if takes(item) >= longest / 4)]
    assert {item.clause for item in before} == {item.clause for item in ITEMS}


def test_a_fault_of_a_late_clause_ends_the_run_soon_and_verdicts_keep_their_order() -> None:
    report = check(Accepting(), fail_fast=True)
    assert [v.clause for v in report.failures] == ["REJECT-1"]
    assert report.counts["pass"] < report.planned / 4
    assert report.planned == len(report.verdicts) == report.counts["pass"] + 1 + report.counts["skip"]
    assert [v.id for v in report.verdicts] == [item.id for item in ITEMS]
