"""Calls of a backend in another process, sent ahead where that is safe."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from multimargin_conformance.calling import LONGEST_LINE, Arrays, Call
from multimargin_conformance.isolation.launch import ON_THE_HOST, Opened
from multimargin_conformance.isolation.link import Request
from multimargin_conformance.isolation.pipeline import NOT_RUN, Pipeline
from multimargin_conformance.isolation.spares import Spares
from multimargin_conformance.isolation.wire import Broken, array_text, observation, run_text
from multimargin_conformance.judge import Finding, no_result
from multimargin_conformance.outcome import Crashed, Malformed, Observation, Outcome, Returned
from multimargin_conformance.session import BESIDE, Result, Settled

if TYPE_CHECKING:
    from multimargin_conformance.checks.item import Item

WINDOW = 64  # requests that may be sent ahead
WINDOW_BYTES = 1 << 20
T = TypeVar("T")


class WorkerCaller:
    """The caller of one opened backend."""

    def __init__(self, opened: Opened) -> None:
        self.opened, self.features = opened, opened.features
        self.pipeline = Pipeline(opened, self._prepare)
        self.place, self.key, self.part = 0, ("", ""), "loss"
        self._items: Sequence[Item] = ()
        self._sent_to = 0  # the place of the first item whose calls were not sent ahead
        self._prepared_to = 0  # the place of the first item that was not prepared ahead
        self._queue: deque[Request] = deque()  # sent ahead, not asked for
        self._queued = 0  # bytes of it
        self._blocks: dict[int, tuple[Any, str]] = {}  # arrays that were handed over, kept so that ids stay theirs
        self._holds = False  # whether the process was asked to hold anything
        self._spares = Spares(opened)  # of which one at a time is the side's
        self._side: WorkerCaller | None = None

    def ahead(self, items: Sequence[T]) -> Iterator[T]:
        """Yield the items; calls of later ones may be sent while one runs."""
        self._begin()
        self._items = items  # type: ignore[assignment] # the caller in this process takes anything
        for place, item in enumerate(self._items):
            self.place, self.key, self.part = place, (item.clause, item.dtype), item.part
            self._sent_to = max(self._sent_to, place)
            self._let_go()
            yield items[place]

    def _begin(self) -> None:
        """Forget an earlier run: what is left of it is no matter of this one's items."""
        self.pipeline.begin()
        self._queue.clear()
        self._queued = self._sent_to = self._prepared_to = self.place = 0

    def _prepare(self) -> bool:
        """Compute what a later item will need, while the process works; return False where there is none."""
        for place in range(max(self.place + 1, self._prepared_to), len(self._items)):
            self._prepared_to = place + 1
            if (prepare := self._items[place].prepare) is not None:
                prepare()
                return True
        return False

    def settle(self, result: Result) -> Result:
        """Return the result, or the failure that a call of this item ended in without being asked about."""
        charge = self.pipeline.charges.pop(self.place, None)
        if charge is None or result.status not in ("pass", "skip"):
            return result
        return Result("fail", no_result(self.part, charge))

    def late(self) -> Mapping[int, Result]:
        """Return the items with a call that was answered twice, or that ended the process unasked."""
        self.pipeline.hear()
        found = {r.place: Malformed("a second answer to the same request") for r in self.pipeline.second_answers()}
        charges: dict[int, Outcome] = {**found, **self.pipeline.charges}
        failed = {p: Result("fail", no_result(self._items[p].part, o)) for p, o in charges.items() if p >= 0}
        return {**failed, **(self._side.late() if self._side else {})}

    def call(self, call: Call) -> Observation:
        """Make one call, or wait for it where it was sent ahead."""
        self._allow()
        request = self._sent_ahead(call) or self._sent(call)
        self.pipeline.wait(request)
        if request.answer is NOT_RUN:
            self._allow()
        return self._observation(request)

    def reject(self, valid: Call | None, call: Call) -> Observation:
        """Make both calls; what may poison a device gets a process of its own, as long as valid calls work there."""
        if valid is None or self._on_the_host:
            if valid is not None:
                self.call(valid)
            return self.call(call)
        side = self._beside()
        if not side.fit_for(valid):
            if (link := side.pipeline.give_back()) is not None:
                self._spares.retire(link)
            side.pipeline.charges.clear()
            side.call(valid)
        return side.call(call)

    def reject_further(self, valid: Call, call: Call) -> Observation | None:
        """Make both calls in the process of the call before, if it is still good for valid ones."""
        side = self if self._on_the_host else self._beside()
        if not side.fit_for(valid):
            side.pipeline.charges.clear()
            return None
        return side.call(call)

    def fit_for(self, valid: Call) -> bool:
        """Return whether the process answers a valid call with a result."""
        return isinstance(self.call(valid).outcome, Returned)

    def now(self, observation: Observation) -> Observation:
        """Return the observation with the result as the process holds it now."""
        if observation.held is None:
            return observation
        seen = self._held(observation, "")
        return replace(seen, changed=observation.changed, held=observation.held)

    def fill(self, observation: Observation, value: float) -> None:
        """Overwrite every element of a result that is held."""
        if observation.held is not None and isinstance(observation.outcome, Returned):
            element = np.asarray(value).astype(observation.outcome.value.dtype).tobytes().hex()
            self._held(observation, f',"fill":"{element}"')

    def write(self, arrays: Arrays) -> None:
        """Write arrays that were handed over again, with what they contain now."""
        known = [(a, self._blocks[id(a)][1]) for a in arrays.values() if a is not None and id(a) in self._blocks]
        if "held" in self.features and known:
            texts = [array_text(a, name, "layouts" in self.features)[0] for a, name in known]
            self._ask("write", f'"arrays":[{",".join(texts)}]')

    def threads(self, calls: Sequence[Call], threads: int, rounds: int) -> list[list[Observation]]:
        """Let the process make the calls from several threads of its own."""
        self._allow()
        made = [run_text(call, self.features, {}) for call in calls]
        runs = ",".join(f"{{{text}}}" for text, _ in made)
        request = self._ask("threads", f'"threads":{threads},"rounds":{rounds},"runs":[{runs}]')
        nothing: list[list[Observation]] = [[] for _ in calls[1:]]
        if not isinstance(request.answer, dict):
            return [[self._observation(request)], *nothing]
        try:
            seen = _seen(request.answer, len(calls))
            return [[observation(f, digests) for f in some] for some, (_, digests) in zip(seen, made, strict=True)]
        except Broken as error:
            return [[Observation(Malformed(str(error)))], *nothing]

    def ask(self, cmd: str, body: str) -> Any:
        """Send a request and return the answer's fields, or the outcome that it is charged with."""
        return self._ask(cmd, body).answer

    def close(self) -> None:
        """End every process."""
        if self._side is not None:
            self._side.close()
        self._spares.close()
        self.pipeline.close()

    @property
    def _on_the_host(self) -> bool:
        return self.opened.subject.device in ON_THE_HOST

    def _beside(self) -> WorkerCaller:
        """Return the caller of a second process, for this item."""
        if self._side is None:
            take = self._spares.take
            self._side = WorkerCaller(replace(self.opened, link=take(0), again=take))
        side = self._side
        if side.place != self.place:
            side._let_go()
        side._items, side.place, side.key, side.part = self._items, self.place, self.key, self.part
        side._sent_to = len(self._items)
        return side

    def _let_go(self) -> None:
        """Forget what belongs to earlier items."""
        while self._queue and self._queue[0].place < self.place:
            self._taken()
        if self._holds and self.pipeline.link is not None:
            self.pipeline.submit([self._request("drop", "")])
        self._holds = False
        self._blocks.clear()

    def _allow(self) -> None:
        """End the item where too many of its kind ended in the same way."""
        if reason := self.pipeline.exhausted(self.key):
            raise Settled(Result("fail", Finding(f"not run: {reason}")))

    def _request(self, cmd: str, body: str) -> Request:
        return Request(cmd, body, self.place, self.key)

    def _ask(self, cmd: str, body: str) -> Request:
        request = self._request(cmd, body)
        self.pipeline.submit([request])
        self.pipeline.wait(request)
        return request

    def _sent(self, call: Call) -> Request:
        """Send a call now."""
        blocks = self._named(call) if "held" in self.features else {}
        self._holds = self._holds or call.keep or bool(blocks)
        behind: list[bytes] = []
        body, digests = run_text(call, self.features, blocks, behind)
        request = replace(self._request("run", body), digests=digests, keep=call.keep, raw=b"".join(behind))
        self.pipeline.submit([request])
        return request

    def _named(self, call: Call) -> dict[str, str]:
        """Return names of memory for the arrays that the check handed over, the same for the same array."""
        names = {}
        for name in call.given:
            if (array := call.given[name]) is not None:
                names[name] = self._blocks.setdefault(id(array), (array, str(len(self._blocks))))[1]
        return names

    def _sent_ahead(self, call: Call) -> Request | None:
        """Return the request of a call that was sent ahead, after sending more."""
        if len(self._queue) <= WINDOW // 2:
            self.pipeline.submit(list(self._upcoming()))
        head = self._queue[0] if self._queue else None
        if head is None or head.tag is None or head.tag[0] != call.part or head.tag[1] is not call.case:
            return None
        return self._taken()

    def _taken(self) -> Request:
        request = self._queue.popleft()
        self._queued -= len(request.body) + len(request.raw)
        return request

    def _upcoming(self) -> Iterator[Request]:
        """Yield the requests of the next items whose calls are known, as far as the window reaches."""
        while self._sent_to < len(self._items) and len(self._queue) < WINDOW and self._queued < WINDOW_BYTES:
            item = self._items[self._sent_to]
            calls = item.calls() if item.calls is not None else ()
            if not calls or (len(calls) > 1 and not self._on_the_host):
                return  # its calls depend on answers, or are not for this process
            key = (item.clause, item.dtype)
            for case, replaced in () if self.pipeline.exhausted(key) else calls:
                behind: list[bytes] = []
                body, digests = run_text(Call(item.part, case, replaced), self.features, {}, behind)
                if len(body) + BESIDE > LONGEST_LINE:
                    break  # the check will see that it cannot be made
                tag = (item.part, case)
                request = Request("run", body, self._sent_to, key, tag, digests, raw=b"".join(behind))
                self._queue.append(request)
                self._queued += len(body) + len(request.raw)
                yield request
            self._sent_to += 1

    def _observation(self, request: Request) -> Observation:
        if not isinstance(request.answer, dict):
            return Observation(request.answer)
        try:
            seen = observation(request.answer, request.digests)
        except Broken as error:
            outcome = Malformed(str(error))
            self.pipeline.charge(request, outcome)
            return Observation(outcome)
        kept = request.keep and isinstance(seen.outcome, Returned)
        return replace(seen, held=request.id) if kept else seen

    def _held(self, seen: Observation, more: str) -> Observation:
        """Ask for a result that is held."""
        assert seen.held is not None
        if not self.pipeline.holds(seen.held):
            return Observation(Crashed("the process that held an earlier result ended"))
        return self._observation(self._ask("held", f'"result":{seen.held}{more}'))


def _seen(answer: Mapping[str, Any], count: int) -> list[list[Mapping[str, Any]]]:
    """Return the different answers by call. Raises Broken."""
    seen = answer.get("answers")
    well_formed = (
        answer.get("status") == "threaded"
        and type(seen) is list
        and len(seen) == count
        and all(type(some) is list and some and all(type(a) is dict for a in some) for some in seen)
    )
    if not well_formed:
        raise Broken(f"an answer to threads without a list of answers for each of {count} runs")
    assert isinstance(seen, list)
    return seen
