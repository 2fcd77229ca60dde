"""Properties as checks: each is one item a dtype and part, with as many generated calls as the scope asks for.

What is tried is in multimargin_conformance.properties, which is imported when the first property runs: with Hypothesis
that takes a fifth of a second.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from multimargin_conformance.capabilities import REDUCTIONS, Capabilities
from multimargin_conformance.checks.item import Generated, Item, Scope
from multimargin_conformance.session import Result, Session
from multimargin_reference.formats import HALVES

PARTS = ("loss", "gradient")


@dataclass(frozen=True)
class Property:
    """A property and the clauses that it shows: of the loss, and of the gradient ("": it is not about it).

    needs: what has to be declared: "batched" input, "every p", "every reduction". halves: whether it is for them too.
    """

    name: str
    loss: str
    gradient: str
    needs: tuple[str, ...] = ()
    halves: bool = True

    def clause(self, part: str) -> str:
        """Return the clause that it shows of a part."""
        return self.loss if part == "loss" else self.gradient

    def is_declared(self, c: Capabilities) -> bool:
        """Whether a backend declares what the property needs."""
        lacking = {
            "batched": "batched" not in c.shapes,
            "every p": len(c.p) < 2,
            "every reduction": len(c.reductions) < len(REDUCTIONS),
            "none": "none" not in c.reductions,
            "a number": not {"mean", "sum"} & set(c.reductions),
        }
        return not any(lacking[need] for need in self.needs)


PROPERTIES = (
    Property("exact-grid", "VALUE-9", "GRADIENT-11"),
    Property("any-size", "SHAPE-4", "SHAPE-4", halves=False),
    Property("in-general", "VALUE-9", "GRADIENT-11"),
    Property("not-negative", "VALUE-3", ""),
    Property("one-class-more", "VALUE-5", "GRADIENT-6"),
    Property("classes-far-below", "VALUE-5", "GRADIENT-5"),
    Property("order-of-classes", "VALUE-1", "GRADIENT-1"),
    Property("order-of-rows", "SHAPE-1", "GRADIENT-9", ("batched",)),
    Property("rows-one-by-one", "SHAPE-1", "GRADIENT-9", ("batched", "none")),
    Property("equal-rows", "SHAPE-3", "GRADIENT-9", ("batched",)),
    Property("reductions-agree", "REDUCTION-5", "GRADIENT-6", ("batched", "every reduction")),
    Property("linear-in-weight", "WEIGHT-2", "GRADIENT-7"),
    Property("linear-in-grad-output", "", "GRADIENT-8"),
    Property("unit-hinges", "VALUE-2", "GRADIENT-2", ("every p",)),
    Property("shifted-rows", "VALUE-1", "GRADIENT-1"),
    Property("monotone-in-margin", "VALUE-6", ""),
    Property("monotone-in-logits", "VALUE-1", ""),
    Property("convex", "VALUE-3", ""),
    Property("subgradient", "", "GRADIENT-1", ("a number",)),
    Property("sums-to-zero", "", "GRADIENT-3"),
)
CLAUSES = {"PURITY-3": ["calls in any order"]}
for _property in PROPERTIES:
    for _clause in dict.fromkeys(filter(None, (_property.loss, _property.gradient))):
        CLAUSES.setdefault(_clause, []).append(f"property {_property.name}")


def items(scope: Scope) -> Iterator[Item]:
    """Yield one item a dtype, property and part."""
    for dtype in scope.dtypes:
        for one in PROPERTIES:
            if one.is_declared(scope.capabilities) and (one.halves or dtype not in HALVES):
                for part in PARTS:
                    if one.clause(part) and (scope.gradient or part == "loss"):
                        yield _item(one, dtype, part, scope.generated)
        yield from (_orders(scope, dtype, part) for part in (PARTS if scope.gradient else PARTS[:1]))


def _orders(scope: Scope, dtype: str, part: str) -> Item:
    dtypes = (dtype, *(other for other in scope.dtypes if other != dtype))

    def run(session: Session) -> Result:
        from multimargin_conformance.properties.stateful import try_orders

        return try_orders(session, dtypes, part, scope.generated)

    return Item(f"PURITY-3/{dtype}/orders/{part}", "PURITY-3", dtype, part, run, kind="orders", prepare=imported)


def _item(one: Property, dtype: str, part: str, generated: Generated) -> Item:
    def run(session: Session) -> Result:
        from multimargin_conformance.properties.table import try_property

        return try_property(session, one.name, dtype, part, generated)

    name = f"{one.clause(part)}/{dtype}/property-{one.name}/{part}"
    return Item(name, one.clause(part), dtype, part, run, kind="property", prepare=imported)


def imported() -> None:
    """Import what properties need: Hypothesis, whose plugins look through all objects that there are by then."""
    import multimargin_conformance.properties.stateful
    import multimargin_conformance.properties.table  # noqa: F401
