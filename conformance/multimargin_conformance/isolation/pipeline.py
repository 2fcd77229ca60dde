"""Requests to a process that may end at any of them: restarted, replayed, and charged to the one that did it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from multimargin_conformance.backend import BackendNotStarted
from multimargin_conformance.isolation.launch import Opened, restarted
from multimargin_conformance.isolation.link import Link, Request, Trouble
from multimargin_conformance.outcome import Crashed, Malformed, Outcome, TimedOut

MOST = {"late": 3, "crashed": 20, "malformed": 20}  # of one clause and dtype; then its remaining items are not run
MOST_IN_VAIN = 25  # processes that are lost before one has answered a call; then nothing is run
LONGEST_STDERR = 2000  # characters of evidence
STOP_S = 5.0
NOT_RUN = Malformed("not run")
LONGER = ("items", "item")  # requests that have the time of a start
Key = tuple[str, str]


class Pipeline:
    """One process at a time, and what its predecessors left unanswered."""

    def __init__(self, opened: Opened, meanwhile: Callable[[], bool] = lambda: False) -> None:
        """meanwhile: does a piece of work that an answer need not wait for; returns False when there is none left."""
        self.link: Link | None = opened.link
        self.charges: dict[int, Outcome] = {}  # by the place of the item
        self._meanwhile = meanwhile
        self._again, self._limits, self._compiles = opened.again, opened.limits, opened.subject.compiles
        self._next_id, self._first_id = opened.link.next_id, 0
        self._broken = ""
        self._answered = False
        self._losses: Counter[tuple[str, Key]] = Counter()
        self._twice: list[Request] = []

    def submit(self, requests: Iterable[Request]) -> None:
        """Send requests; a process is started where there is none."""
        for request in requests:
            if self._ready():
                assert self.link is not None
                self.link.send(request)
            else:
                request.answer = Crashed(self._broken)
        if self.link is not None:
            self.link.process.flush()

    def wait(self, request: Request) -> None:
        """Return when the request has its answer: the adapter's, or the outcome that it is charged with."""
        while request.answer is None:
            assert self.link is not None
            if self.link.process.is_silent and self._meanwhile():
                continue
            try:
                self.link.receive(self._timeout())
                self._answered = True
            except Trouble as trouble:
                self._recover(trouble)

    def _timeout(self) -> float:
        """Return the seconds for the earliest request; what may compile has the time of a start."""
        assert self.link is not None
        longer = self._compiles or (bool(self.link.waiting) and self.link.waiting[0].cmd in LONGER)
        return max(self._limits.timeout, self._limits.start_timeout if longer else 0.0)

    def holds(self, number: int) -> bool:
        """Return whether the process that answered a request is still there."""
        return self.link is not None and number >= self._first_id

    def exhausted(self, key: Key) -> str:
        """Return why no more calls of a clause and dtype are made, "" where they are."""
        if not self._losses:
            return ""
        if not self._answered and self._losses.total() >= MOST_IN_VAIN:
            return f"{MOST_IN_VAIN} processes were lost, and none had answered a call"
        for kind, most in MOST.items():
            if self._losses[kind, key] >= most:
                return f"{most} earlier calls of {key[0]} in {key[1]} {WORDS[kind]}"
        return ""

    def charge(self, request: Request, outcome: Outcome) -> None:
        """Make an outcome the answer of a request, and remember it for its item."""
        request.answer = outcome
        self.charges.setdefault(request.place, outcome)

    def begin(self) -> None:
        """Forget which items earlier requests were for."""
        self.charges.clear()
        self._twice.clear()
        if self.link is not None:
            self.link.forget()

    def second_answers(self) -> list[Request]:
        """Return the requests that were answered twice."""
        return [*self._twice, *(self.link.twice if self.link else [])]

    def hear(self) -> None:
        """Hear what the process still says before it answers once more."""
        if self.link is not None and not self._asked(self.link, Request("echo", '"arrays":[]')):
            self._forget()

    def close(self) -> None:
        """End the process; one that waits for requests is asked to stop."""
        if self.link is None:
            return
        if not self.link.waiting and self._asked(self.link, Request("stop", "")):
            self.link.process.leave()
        else:
            self.link.kill()
        self._forget()

    def give_back(self) -> Link | None:
        """Return the process, which is no good for further calls; the next request has another one."""
        link = self.link
        if link is not None:
            self._forget()
        return link

    def _asked(self, link: Link, request: Request) -> bool:
        """Ask for what no item is charged with; return whether it was answered."""
        try:
            link.send(request)
            link.process.flush()
            while request.answer is None:
                link.receive(min(STOP_S, self._limits.timeout))
        except Trouble:
            return False
        return True

    def _ready(self) -> bool:
        """Return whether there is a process, started anew if need be; one that cannot be is not tried again."""
        if self.link is None and not self._broken:
            try:
                self.link = restarted(self._again, self._next_id)
                self._first_id = self._next_id
            except BackendNotStarted as error:
                self._broken = f"the process ended and could not be started again: {error}"
        return self.link is not None

    def _forget(self) -> list[Request]:
        """Let go of the process; return what it left unanswered."""
        assert self.link is not None
        left, self._next_id = list(self.link.waiting), self.link.next_id
        self._twice += self.link.twice
        self.link = None
        return left

    def _recover(self, trouble: Trouble) -> None:
        """Charge one request; the others are answered by another process."""
        guilty, *rest = self._forget()
        if trouble.kind != "late" and rest:
            guilty, trouble, rest = self._replayed([guilty, *rest], trouble)
        self._losses[trouble.kind, guilty.key] += 1
        self.charge(guilty, _outcome(trouble))
        for request in rest:
            if self.exhausted(request.key):
                request.answer = NOT_RUN
        self.submit(request for request in rest if request.answer is None)

    def _replayed(self, left: list[Request], trouble: Trouble) -> tuple[Request, Trouble, list[Request]]:
        """Run what was left one by one; return the one that ends the process again, or the first, and the rest."""
        for place, request in enumerate(left):
            try:
                self.submit([request])
                if request.answer is None and self.link is not None:
                    self.link.receive(self._timeout())
            except Trouble as again:
                self._forget()
                return request, again, left[place + 1 :]
        reason = f"{trouble.reason} ({len(left)} calls were under way; alone, none of them did that again)"
        return left[0], Trouble(trouble.kind, reason, trouble.stderr), []


WORDS = {"late": "were not answered in time", "crashed": "ended the process", "malformed": "were answered by no answer"}


def _outcome(trouble: Trouble) -> Outcome:
    stderr = trouble.stderr[-LONGEST_STDERR:]
    if trouble.kind == "late":
        return TimedOut(trouble.seconds, stderr)
    return Crashed(trouble.reason, stderr) if trouble.kind == "crashed" else Malformed(trouble.reason)
