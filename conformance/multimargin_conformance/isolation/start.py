"""A backend ready to be called, in this process or in another."""

from __future__ import annotations

import select
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from multimargin_conformance.adapters import resolve
from multimargin_conformance.backend import Subject, UnknownBackend, live
from multimargin_conformance.calling import Caller, InProcess
from multimargin_conformance.isolation.caller import WorkerCaller
from multimargin_conformance.isolation.integration import RemoteIntegration
from multimargin_conformance.isolation.launch import Limits, opened


@contextmanager
def started(
    backend: Any,
    device: str,
    isolate: bool | None,
    limits: Limits | None,
    meanwhile: Iterable[object] | None = None,
) -> Iterator[tuple[Subject, Caller]]:
    """Start a backend; whatever was started for it ends with the context.

    isolate: in a process of its own; None: whatever is named by a string, where the system has poll (not on Windows).
    limits: for that process alone. meanwhile: what may be done while it starts, step by step. Raises ValueError where a
    live object should be isolated or limits are given that nothing keeps, UnknownBackend or BackendNotStarted where a
    string does not lead to a backend.
    """
    caller: Caller
    if limits not in (None, Limits()) and (isolate is False or not isinstance(backend, str)):
        raise ValueError("timeout, memory, python and validate are for a backend in a process of its own")
    if not isinstance(backend, str):
        if isolate:
            raise ValueError("isolate=True, but a live object cannot be sent elsewhere; name it py:module:attr")
        subject = live(backend, device=device)
        caller = InProcess(subject)
    elif isolate is False or (isolate is None and not hasattr(select, "poll")):
        if backend.startswith("cmd:"):
            raise UnknownBackend(f"{backend!r} is a program: it cannot run in this process (--no-isolate)")
        subject = resolve(backend, device=device)
        caller = InProcess(subject)
    else:
        there = opened(backend, device, limits, meanwhile)
        worker = WorkerCaller(there)
        subject, caller = there.subject, worker
        if there.has_class is not None:
            subject = replace(subject, integration=RemoteIntegration(there.has_class, worker.ask))
    try:
        yield subject, caller
    finally:
        caller.close()
