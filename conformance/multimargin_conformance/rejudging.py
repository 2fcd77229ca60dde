"""A run judged again from its log by today's oracle and checks, without the backend."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from multimargin_conformance.backend import UNKNOWN, Subject
from multimargin_conformance.calling import Arrays, Call
from multimargin_conformance.capabilities import Capabilities
from multimargin_conformance.checks import plan
from multimargin_conformance.checks.item import Generated, Item, Scope
from multimargin_conformance.judge import Finding
from multimargin_conformance.outcome import Observation
from multimargin_conformance.recording import Event, Reading, Unrecorded, call_name
from multimargin_conformance.runner import quiet
from multimargin_conformance.session import Result, Session, Settled
from multimargin_reports import ReportFileError
from multimargin_reports.logfile import Log

NOT_ASKED = ("error", "skip")  # verdicts that no answer led to
T = TypeVar("T")


@dataclass(frozen=True)
class Difference:
    """A check whose verdict is another one today. clause: the one that a failure breaks today, if it is one."""

    id: str
    recorded: str
    today: str
    message: str = ""

    def __str__(self) -> str:
        return f"{self.id}: recorded {self.recorded}, today {self.today}" + (
            f": {self.message}" if self.message else ""
        )


@dataclass(frozen=True)
class Rejudged:
    """What became of a log's verdicts. left: by reason, the ids of those that cannot be judged from a log."""

    judged: int
    differences: tuple[Difference, ...]
    left: Mapping[str, tuple[str, ...]]


class Recorded:
    """A caller that answers from a log; one check's events at a time."""

    def __init__(self, features: frozenset[str]) -> None:
        self.features = features
        self._reading = Reading()
        self._events: list[Event] = []
        self._next = 0

    def begin(self, events: Sequence[Event]) -> None:
        """Answer from these events from now on; answers that nobody asked for are read, since others refer to them."""
        for event in self._events[self._next :]:
            with suppress(Unrecorded):
                self._read(event)
        self._events, self._next = list(events), 0

    def call(self, call: Call) -> Observation:
        """Return what the call was answered with."""
        return self._answer("call", call_name(call))

    def reject(self, valid: Call | None, call: Call) -> Observation:  # noqa: ARG002
        """Return what the second call was answered with."""
        return self._answer("reject", call_name(call))

    def reject_further(self, valid: Call, call: Call) -> Observation | None:  # noqa: ARG002
        """Return the same, or None where the call was not made."""
        return next(iter(self._event("reject", call_name(call))), None)

    def now(self, observation: Observation) -> Observation:  # noqa: ARG002
        """Return what was seen when the result was looked at again."""
        return self._answer("now")

    def threads(self, calls: Sequence[Call], threads: int, rounds: int) -> list[list[Observation]]:  # noqa: ARG002
        """Return what the threads saw."""
        answers = self._event("threads")
        if len(answers) != len(calls):
            raise Unrecorded("answers to other calls from several threads")
        return [some if isinstance(some, list) else [some] for some in answers]

    def fill(self, observation: Observation, value: float) -> None:
        """Do nothing: what came of it is in the log."""

    def write(self, arrays: Arrays) -> None:
        """Do nothing, likewise."""

    def ahead(self, items: Sequence[T]) -> Iterator[T]:
        """Yield the items."""
        yield from items

    def settle(self, result: Result) -> Result:
        """Return the result, or how the backend's process ended the check."""
        if self._next < len(self._events) and self._events[self._next].get("event") == "settled":
            try:
                self._event("settled")
            except Settled as settled:
                return settled.result
        return result

    def late(self) -> Mapping[int, Result]:
        """Return nothing: the log's verdicts have it."""
        return {}

    def close(self) -> None:
        """Do nothing."""

    def _answer(self, kind: str, name: str = "") -> Observation:
        seen = next(iter(self._event(kind, name)), None)
        if not isinstance(seen, Observation):
            raise Unrecorded("an event without its answer")
        return seen

    def _event(self, kind: str, name: str = "") -> list[Any]:
        """Read the next event. Raises Unrecorded where it is another one, Settled where the check ended with it."""
        if self._next >= len(self._events):
            raise Unrecorded("a call that was not made then")
        event = self._events[self._next]
        self._next += 1
        found = self._read(event)
        if event.get("event") == "settled":
            message = str(event.get("message"))
            status = str(event.get("status"))
            raise Settled(Result(status, Finding(message)) if status == "fail" else Result(status, reason=message))
        if event.get("event") != kind or event.get("call", "") != name:
            raise Unrecorded("another call than was made then")
        return found

    def _read(self, event: Any) -> list[Any]:
        """Return an event's answers. Raises Unrecorded where it is none."""
        if type(event) is not dict:
            raise Unrecorded("an event that is no object")
        if event.get("event") == "threads":
            answers = event.get("answers")
            if type(answers) is not list or not all(type(some) is list for some in answers):
                raise Unrecorded("an event of threads without lists of answers")
            return [[self._reading.answer(one) for one in some] for some in answers]
        return [self._reading.answer(event["answer"])] if "answer" in event else []


def rejudge(log: Log) -> Rejudged:
    """Judge every check of a log again. Raises ReportFileError where its head is none of this version's."""
    subject, scope, features = _read_head(log)
    caller = Recorded(features)
    session = Session(subject, caller=caller)
    items = {item.id: item for item in plan(scope)}
    differences: list[Difference] = []
    left: dict[str, list[str]] = {}
    judged = 0
    with quiet():
        for line in log.checks():
            id_, status = line["id"], line["status"]
            events = line.get("calls", [])
            caller.begin(events if type(events) is list else [])
            reason, result = _again(items.get(id_), status, session)
            if result is None:
                left.setdefault(reason, []).append(id_)
                continue
            judged += 1
            if result.status != status:
                message = result.finding.message if result.finding else result.reason
                differences.append(Difference(id_, status, result.status, message))
    return Rejudged(judged, tuple(differences), {reason: tuple(ids) for reason, ids in left.items()})


def _again(item: Item | None, status: str, session: Session) -> tuple[str, Result | None]:
    """Return the result of a check today, or why there is none."""
    if status in NOT_ASKED:
        return "not run then", None
    if item is None:
        return "not among the checks that a log is enough for (CLASS), or of this version", None
    try:
        result = session.caller.settle(item.run(session))
    except Settled as settled:
        return "", settled.result
    except Unrecorded as error:
        return f"the check makes other calls today: {error}", None
    return "", result


def _read_head(log: Log) -> tuple[Subject, Scope, frozenset[str]]:
    head = log.head
    try:
        backend, scope = head["backend"], head["scope"]
        declared = backend["capabilities"]
        names = ("dtypes", "p", "reductions", "shapes", "permissions")
        capabilities = Capabilities(**{name: tuple(declared[name]) for name in names}, gradient=declared["gradient"])
        backward = _no_backend if declared["gradient"] else None
        subject = Subject(_no_backend, backward, backend["name"], UNKNOWN, capabilities, device=backend["device"])
        generated = Generated(scope["seed"], scope["examples"], scope["huge"])
        planned = Scope(tuple(scope["dtypes"]), scope["gradient"], capabilities, scope["operator"], None, generated)
        return subject, planned, frozenset(head["features"])
    except (KeyError, TypeError, ValueError) as error:
        raise ReportFileError(f"{log.path}: its head does not say what was checked: {error!r}") from error


def _no_backend(*_arguments: Any, **_options: Any) -> Any:
    raise AssertionError("a log is judged without the backend")
