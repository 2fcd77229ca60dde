"""What each property is tried on, and its test; checks/properties.py says what it is about, without Hypothesis."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from hypothesis import strategies as st

from multimargin_conformance.capabilities import Capabilities
from multimargin_conformance.checks.item import Generated
from multimargin_conformance.properties import judged, relations
from multimargin_conformance.properties.drawing import POSITIVE, SIGNED, calls
from multimargin_conformance.properties.engine import Calls, Search, tried
from multimargin_conformance.session import Result, Session

Strategy = Callable[[str, Capabilities], st.SearchStrategy[Any]]
NOT_NEGATIVE = (None, *POSITIVE)


@dataclass(frozen=True)
class Try:
    """A test of one drawn value for a part, and the strategy for a dtype and what is declared.

    slower: by how much it takes longer than others, and so is tried less often.
    """

    test: Callable[[Calls, Any, str], None]
    strategy: Strategy = calls
    slower: int = 1


def _on(test: Callable[[Calls, Any, str], None], **limits: Any) -> Try:
    """Try a test on calls of the exact grid within limits (drawing.calls)."""
    return Try(test, partial(calls, **limits))


TRIES = {
    "exact-grid": Try(judged.on_the_exact_grid),
    "any-size": Try(judged.of_any_size, judged.calls_of_any_size),
    "in-general": Try(judged.in_general, judged.general_calls, slower=3),
    "not-negative": _on(judged.not_negative, weights=NOT_NEGATIVE),
    "one-class-more": _on(judged.one_class_more, most=16),
    "classes-far-below": _on(relations.classes_far_below, most=32),
    "order-of-classes": _on(relations.classes_in_another_order),
    "order-of-rows": _on(relations.rows_in_another_order, batched=True),
    "rows-one-by-one": _on(relations.rows_one_by_one, batched=True, reductions=("none",), most=16),
    "equal-rows": _on(relations.equal_rows, batched=True, most=32),
    "reductions-agree": _on(relations.reductions_agree, batched=True),
    "linear-in-weight": _on(relations.linear_in_weight, weights=SIGNED),
    "linear-in-grad-output": Try(relations.linear_in_grad_output),
    "unit-hinges": _on(relations.powers_of_unit_hinges, most=16),
    "shifted-rows": Try(relations.shifted_rows),
    "monotone-in-margin": _on(relations.monotone_in_margin, weights=NOT_NEGATIVE),
    "monotone-in-logits": _on(relations.monotone_in_logits, weights=NOT_NEGATIVE),
    "convex": _on(relations.convex, weights=NOT_NEGATIVE),
    "subgradient": _on(relations.subgradient, weights=NOT_NEGATIVE, reductions=("mean", "sum")),
    "sums-to-zero": Try(relations.gradient_sums_to_zero),
}


def try_property(session: Session, name: str, dtype: str, part: str, generated: Generated) -> Result:
    """Return whether a property holds for the values that are drawn."""
    chosen, search = TRIES[name], Search(f"{name}/{dtype}/{part}", generated.seed, shrinks=session.shrinks)
    count, declared = max(1, generated.examples // chosen.slower), session.subject.capabilities
    known = _drawn_before(name, dtype, part, generated, declared)
    return tried(session, _strategy(name, dtype, declared), chosen.test, search, part, count, known)


@cache
def _strategy(name: str, dtype: str, capabilities: Capabilities) -> st.SearchStrategy[Any]:
    """Return a property's strategy, the same for every backend that declares the same."""
    return TRIES[name].strategy(dtype, capabilities)


@cache
def _drawn_before(*_search: Hashable) -> list[Any]:
    """Return where the values of a search are kept, once it has passed: to draw them takes longer than to try them."""
    return []
