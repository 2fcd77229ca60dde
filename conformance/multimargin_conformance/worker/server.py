"""Requests in, answers out: what the protocol's commands do."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

import numpy as np

from .answers import call, options
from .loading import Backend, Refused, load
from .memory import LARGE, Argument, Raw, described, to_bytes, to_json
from .steps import Together, Turns, switching

PROTOCOL = 1
FEATURES = ["digests", "held", "layouts", "long-lines", "raw", "threads", "types"]
ARGUMENTS = {"forward": ("input", "target", "weight"), "backward": ("grad_output", "input", "target", "weight")}
MOST_DIFFERENT = 8  # results of one threaded call that are reported


class Server:
    """One backend and what is held for the suite: named arguments and results."""

    def __init__(self, spec: str) -> None:
        self.spec = spec
        self.backend: Backend | None = None
        self.served: Any = None  # the checks of CLASS, once they were asked for
        self.arguments: dict[str, Argument] = {}
        self.results: dict[int, Any] = {}
        self.behind = b""
        self.commands: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "start": self._start,
            "run": self._run,
            "echo": self._echo,
            "held": self._held,
            "write": self._write,
            "drop": self._drop,
            "threads": self._threads,
            "items": self._items,
            "item": self._item,
            "stop": lambda _request: {"status": "stopped"},
        }

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to one request; a request that cannot be understood is answered by "error".

        The bytes behind a line are its field `raw`; those of the answer are `behind` it.
        """
        self.behind = b""
        try:
            fields = self.commands[request["cmd"]](request)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            fields = {"status": "error", "reason": f"{type(error).__name__}: {error}"}
        return {"id": request.get("id"), **fields}

    def _start(self, request: dict[str, Any]) -> dict[str, Any]:
        if PROTOCOL not in request["protocol"]:
            return {"status": "refused", "reason": f"this worker speaks protocol {PROTOCOL} only"}
        try:
            self.backend = load(self.spec, request["device"])
        except Refused as error:
            return {"status": "refused", "reason": str(error), "unknown": error.unknown}
        integration = self.backend.integration
        return {
            "status": "started",
            "protocol": PROTOCOL,
            "name": self.backend.name,
            "version": self.backend.version,
            "device": self.backend.device or request["device"],
            "capabilities": self.backend.capabilities,
            "features": FEATURES,
            **({"program": self.backend.program} if self.backend.program else {}),
            **({"compiles": True} if self.backend.compiles else {}),
            **({"integration": {"class": bool(integration.has_class)}} if integration is not None else {}),
        }

    def _function(self, op: str) -> Callable[..., Any]:
        assert self.backend is not None
        function = self.backend.forward if op == "forward" else self.backend.backward
        if function is None:
            raise ValueError("backward was not declared")
        return function

    def _run(self, request: dict[str, Any]) -> dict[str, Any]:
        raw = Raw(request.get("raw", b""))
        arguments = {name: self._argument(request[name], raw) for name in ARGUMENTS[request["op"]]}
        arrays = {name: None if a is None else a.view for name, a in arguments.items()}
        outcome = call(self._function(request["op"]), arrays, options(request))
        if request.get("keep") and outcome.value is not None:
            self.results[request["id"]] = outcome.value
        fields = outcome.fields
        if outcome.value is not None:
            fields["result"] = self._result(outcome.value, "raw" in request)
            if self.behind:
                fields["raw"] = len(self.behind)
        if request.get("digests"):
            fields["digests"] = {name: a.digest() for name, a in arguments.items() if a is not None}
        return fields

    def _result(self, value: Any, may_be_behind: bool) -> dict[str, Any]:
        """Return a result as JSON data, its elements behind the line where they are many and the request's were."""
        if not may_be_behind or value.nbytes < LARGE:
            return to_json(value)
        self.behind = to_bytes(value)
        return described(value)

    def _argument(self, data: dict[str, Any] | None, raw: Raw) -> Argument | None:
        """Return an array in memory: the very memory of an earlier one where it has the same name and form."""
        if data is None:
            return None
        name = data.get("block")
        known = self.arguments.get(name) if name else None
        if known is not None and known.view.shape == tuple(data["shape"]) and known.layout == data.get("layout"):
            known.write(data, raw)
            return known
        made = Argument(data, raw)
        if name:
            self.arguments[name] = made
        return made

    def _echo(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"status": "echoed", "arrays": [to_json(Argument(data, Raw()).view) for data in request["arrays"]]}

    def _held(self, request: dict[str, Any]) -> dict[str, Any]:
        result = self.results[request["result"]]
        fields = {"status": "returned", "result": to_json(result)}
        if "fill" in request and result.flags.writeable:
            result[...] = np.frombuffer(bytes.fromhex(request["fill"]), dtype=result.dtype)[0]
        return fields

    def _write(self, request: dict[str, Any]) -> dict[str, Any]:
        for data in request["arrays"]:
            self._argument(data, Raw())
        return {"status": "done"}

    def _drop(self, _request: dict[str, Any]) -> dict[str, Any]:
        self.arguments.clear()
        self.results.clear()
        return {"status": "done"}

    def _items(self, request: dict[str, Any]) -> dict[str, Any]:
        fields: dict[str, Any] = self._integration().listed(request["scope"])
        return fields

    def _item(self, request: dict[str, Any]) -> dict[str, Any]:
        fields: dict[str, Any] = self._integration().judged(request["scope"], request["item"])
        return fields

    def _integration(self) -> Any:
        """Return what makes the checks of CLASS; only adapters of multimargin have any, so multimargin is there."""
        if self.backend is None or self.backend.integration is None:
            raise ValueError("no integration was declared")
        if self.served is None:
            from multimargin_conformance.isolation.integration import Served

            self.served = Served(self.backend.integration)
        return self.served

    def _threads(self, request: dict[str, Any]) -> dict[str, Any]:
        """Make every run in turn, again and again, in several threads at once, each beginning elsewhere.

        In a single round the threads take turns at each step.
        """
        runs, count = request["runs"], request["threads"]
        answers: list[list[dict[str, Any]]] = [[] for _ in runs]
        steps, turns, together = request["rounds"] * len(runs) // count, Turns(count), Together(count)

        def work(thread: int) -> None:
            stepping = turns.taken() if request["rounds"] == 1 else nullcontext()
            with np.errstate(all="ignore"), stepping:  # the caller's settings do not reach a new thread
                for step in range(steps):
                    if request["rounds"] > 1:
                        together.begin(step)
                    index = (step + thread * len(runs) // count) % len(runs)
                    _note(answers[index], self._run(runs[index]))

        with switching(often=request["rounds"] > 1), ThreadPoolExecutor(count) as pool:
            list(pool.map(work, range(count)))
        return {"status": "threaded", "answers": answers}


def _note(known: list[dict[str, Any]], fields: dict[str, Any]) -> None:
    if fields not in known and len(known) < MOST_DIFFERENT:
        known.append(fields)
