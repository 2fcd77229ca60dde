"""The checks of CLASS on a backend in another process: they need the framework, so they run where it is.

RemoteIntegration is the suite's half, Served the worker's. The worker answers `items` with what is to be checked in a
scope, and `item` with what one check found.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from multimargin_conformance.backend import Subject
from multimargin_conformance.capabilities import Capabilities
from multimargin_conformance.checks.item import Item, Scope
from multimargin_conformance.isolation.wire import Broken
from multimargin_conformance.judge import Finding, no_result
from multimargin_conformance.outcome import Malformed, Outcome
from multimargin_conformance.session import Result, Session
from multimargin_reference.clauses import CLAUSES

STATUSES = ("pass", "fail", "error", "skip")
FIELDS = ("id", "clause", "dtype", "part", "kind")  # of an item, all of them texts
Ask = Callable[[str, str], Any]  # a command and its fields as text, to the answer: a dict, or what was charged


@dataclass(frozen=True)
class RemoteIntegration:
    """What an adapter in another process offers beyond forward and backward. ask: sends a request there."""

    has_class: bool
    ask: Ask

    def class_items(self, scope: Scope) -> Iterator[Item]:
        """Yield the items that the adapter has for a scope; one failed item where it does not say which."""
        answer = self.ask("items", f'"scope":{json.dumps(_scope_data(scope))}')
        try:
            found = listed_items(answer)
        except Broken as broken:
            finding = Finding(f"the items of the class: {broken}")
            yield Item("CLASS-1/float32/items/loss", "CLASS-1", "float32", "loss", lambda _s: Result("fail", finding))
            return
        for fields in found:
            run = self._run(scope, fields["id"], fields["part"])
            yield Item(fields["id"], fields["clause"], fields["dtype"], fields["part"], run, kind=fields["kind"])

    def _run(self, scope: Scope, name: str, part: str) -> Callable[[Session], Result]:
        def run(session: Session) -> Result:
            answer = self.ask("item", f'"item":{json.dumps(name)},"scope":{json.dumps(_scope_data(scope))}')
            if not isinstance(answer, dict):
                return Result("fail", no_result(part, answer))
            try:
                result, answers = judged_result(answer)
            except Broken as broken:
                return Result("fail", Finding(str(broken)))
            for answered in answers:
                session.answered(*answered)
            return result

        return run


def _scope_data(scope: Scope) -> dict[str, Any]:
    return {
        "dtypes": list(scope.dtypes),
        "gradient": scope.gradient,
        "operator": scope.operator,
        "capabilities": {
            name: list(v) if isinstance(v, tuple) else v for name, v in asdict(scope.capabilities).items()
        },
    }


def listed_items(answer: dict[str, Any] | Outcome) -> list[dict[str, str]]:
    """Return the fields of the items that an answer lists. Raises Broken."""
    items = answer.get("items") if isinstance(answer, dict) and answer.get("status") == "listed" else None
    if type(items) is not list:
        raise Broken(f"{_words(answer)}, but should be listed")
    for fields in items:
        texts = type(fields) is dict and all(type(fields.get(name)) is str for name in FIELDS)
        if not texts or set(fields) != set(FIELDS) or fields["clause"] not in CLAUSES:
            raise Broken("an item that is not as published")
    return items


def judged_result(answer: Mapping[str, Any]) -> tuple[Result, list[list[str]]]:
    """Return what a check found, and the choices that it observed. Raises Broken."""
    verdict, reason, finding, answers = (answer.get(name) for name in ("verdict", "reason", "finding", "answers"))
    if answer.get("status") != "judged" or verdict not in STATUSES or type(reason) is not str:
        raise Broken(f"{_words(dict(answer))}, but should be judged, with a verdict and a reason")
    if type(answers) is not list or not all(_are_texts(some, 5) for some in answers):
        raise Broken("observed choices that are not as published")
    return Result(verdict, _finding(finding), reason), answers


def _finding(data: Any) -> Finding | None:
    if data is None:
        return None
    known = type(data) is dict and _are_texts([data.get("message"), data.get("clause")], 2)
    if not known or type(data.get("evidence")) is not dict or data["clause"] not in ("", *CLAUSES):
        raise Broken("a finding that is not as published")
    return Finding(data["message"], data["evidence"], data["clause"])


def _are_texts(values: Any, count: int) -> bool:
    return type(values) is list and len(values) == count and all(type(v) is str for v in values)


def _words(answer: dict[str, Any] | Outcome) -> str:
    if isinstance(answer, dict):
        return f"an answer with status {str(answer.get('status'))[:60]!r} ({str(answer.get('reason', ''))[:200]})"
    return answer.reason if isinstance(answer, Malformed) else str(answer)[:200]


class Served:
    """The worker's half: the checks of one backend's integration."""

    def __init__(self, integration: Any) -> None:
        self.integration = integration
        self.scope: Mapping[str, Any] = {}
        self.items: dict[str, Item] = {}

    def listed(self, scope: Mapping[str, Any]) -> dict[str, Any]:
        """Answer `items`."""
        self._make(scope)
        listed = [{name: getattr(item, name) for name in FIELDS} for item in self.items.values()]
        return {"status": "listed", "items": listed}

    def _make(self, data: Mapping[str, Any]) -> None:
        if data == self.scope:
            return
        declared: dict[str, Any] = {
            name: tuple(v) if isinstance(v, list) else v for name, v in data["capabilities"].items()
        }
        plain = {**data, "dtypes": tuple(data["dtypes"]), "capabilities": Capabilities(**declared)}
        self.items = {item.id: item for item in self.integration.class_items(Scope(**plain))}
        self.scope = data

    def judged(self, scope: Mapping[str, Any], name: str) -> dict[str, Any]:
        """Answer `item`; an error of the check itself is the suite's."""
        self._make(scope)
        item, session = self.items[name], Session(Subject(_nothing, None, "", "", Capabilities()))
        try:
            result = item.run(session)
        except Exception as error:
            result = Result("error", reason=f"the suite itself failed: {type(error).__name__}: {error}")
        answers = [[*key, answer] for key, some in session.answers.items() for answer in some]
        finding = None if result.finding is None else asdict(result.finding)
        return {
            "status": "judged",
            "verdict": result.status,
            "reason": result.reason,
            "finding": finding,
            "answers": answers,
        }


def _nothing(*_arguments: Any, **_options: Any) -> Any:
    raise AssertionError("the checks of CLASS call the framework themselves")
