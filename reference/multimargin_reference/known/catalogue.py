"""What a known fault and a legal variant are, and the five ways in which they are made from the model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from multimargin_reference.known.model import MODEL, Backend, Custom, Model, Request

Answer = Callable[[Request], Any]


@dataclass(frozen=True)
class Fault:
    """One wrong implementation: `make()` gives a fresh backend that at least one of `clauses` must catch."""

    name: str
    sentence: str
    clauses: tuple[str, ...]
    make: Callable[[], Backend]


@dataclass(frozen=True)
class Variant:
    """One legal implementation: `make()` gives a fresh backend that nothing may reject."""

    name: str
    sentence: str
    make: Callable[[], Backend]


def fault(name: str, sentence: str, clauses: str, **steps: Any) -> Fault:
    """Exchange steps of the model; `clauses` are separated by spaces."""
    return Fault(name, sentence, tuple(clauses.split()), lambda: replace(MODEL, name=name, **steps))


def stateful(name: str, sentence: str, clauses: str, start: Callable[[], Answer]) -> Fault:
    """Answer every call by what `start()` returned; it is called once for each backend, so no state is shared."""
    return Fault(name, sentence, tuple(clauses.split()), lambda: Custom(name, start()))


def answered(name: str, sentence: str, clauses: str, answer: Answer) -> Fault:
    """Answer every call by a function that keeps nothing."""
    return stateful(name, sentence, clauses, lambda: answer)


def before(name: str, sentence: str, clauses: str, change: Callable[[Request], Request], model: Model = MODEL) -> Fault:
    """Change the arguments before the model sees them."""
    return stateful(name, sentence, clauses, lambda: lambda request: model.answer(change(request)))


def after(name: str, sentence: str, clauses: str, change: Callable[[Any, Request], Any], model: Model = MODEL) -> Fault:
    """Change the model's answer."""
    return stateful(name, sentence, clauses, lambda: lambda request: change(model.answer(request), request))


def variant(name: str, sentence: str, **steps: Any) -> Variant:
    """Exchange steps of the model by others that are legal."""
    return Variant(name, sentence, lambda: replace(MODEL, name=name, **steps))
