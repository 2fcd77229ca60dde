"""From a backend's name to a running process that has said what it is."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import multimargin_vectors
from multimargin_conformance.adapters import KINDS, names
from multimargin_conformance.backend import BackendNotStarted, Subject, UnknownBackend, distribution_version
from multimargin_conformance.calling import FEATURES
from multimargin_conformance.capabilities import Capabilities
from multimargin_conformance.isolation.forks import Forks
from multimargin_conformance.isolation.link import Link, Request, Trouble
from multimargin_conformance.isolation.validate import violation
from multimargin_conformance.source import LIVE
from multimargin_conformance.worker.frameworks import is_framework

PROTOCOL = 1
WORKER = Path(__file__).resolve().parents[1] / "worker"
LARGEST_MEMORY = 16 << 30  # bytes of private memory for one process, where the machine has more
ON_THE_HOST = ("", "cpu")
STARTS = 3  # attempts, once a backend has been started


@dataclass(frozen=True)
class Limits:
    """What a process may take, and how it is run.

    timeout: seconds for one call. start_timeout: seconds to load and start. memory: bytes of private memory, 0 for no
    limit, None for the default: three quarters of the machine's, at most 16 GiB, and no limit on other devices. python:
    the interpreter of Python workers, this one where empty. validate: check every line against the published schema.
    """

    timeout: float = 30.0
    start_timeout: float = 180.0
    memory: int | None = None
    python: str = ""
    validate: bool = False


@dataclass(frozen=True)
class Opened:
    """A started backend: what it is, what it offers, its process, and how to start another one like it.

    begin: ask another process to start and do not wait for it; from a process that forks, where one is given (raises
    OSError where it does not). has_class: whether CLASS-1 to CLASS-4 apply, None where none of CLASS does.
    """

    subject: Subject
    features: frozenset[str]
    link: Link
    again: Callable[[int], Link]
    begin: Callable[..., Begun]
    command: Sequence[str]
    limits: Limits
    has_class: bool | None = None

    @property
    def is_worker(self) -> bool:
        """Whether the process is this package's own worker."""
        return not self.subject.spec.startswith("cmd:")


@dataclass(frozen=True)
class Begun:
    """A process that was asked to start, and the request that says so."""

    spec: str
    link: Link
    request: Request
    timeout: float

    def started(self) -> Link:
        """Return the process once it has started. Raises BackendNotStarted."""
        with _giving_up(self.spec, self.link):
            self.link.receive(self.timeout)
            _check(self.request.answer, self.spec)
        return self.link


def opened(
    spec: str, device: str = "", limits: Limits | None = None, meanwhile: Iterable[object] | None = None
) -> Opened:
    """Start a backend in a process of its own.

    meanwhile: what may be done while it starts, step by step. Raises UnknownBackend for a name that leads nowhere,
    BackendNotStarted where the process does not get to answer `start` as it should, ValueError for a limit that is
    none.
    """
    limits = limits or Limits()
    if not limits.timeout > 0 or not limits.start_timeout > 0:
        raise ValueError(f"timeout {limits.timeout:g}, but should be more than 0 seconds")
    command = _command(spec, device, limits)
    link, answer = _handshake(spec, command, device, limits, 0, meanwhile or _vectors())
    capabilities = _capabilities(answer["capabilities"], spec, link)
    own = {"framework": "stdio", "source": spec.partition(":")[2]} if spec.startswith("cmd:") else {}
    program = {**answer.get("program", {}), **own}
    subject = Subject(
        forward=_elsewhere,
        backward=_elsewhere if capabilities.gradient else None,
        name=answer["name"],
        version=answer["version"],
        capabilities=capabilities,
        spec=spec,
        device=answer.get("device", device),
        source=program.get("source", LIVE),
        framework=program.get("framework", "numpy"),
        compiles=answer.get("compiles", False),
        python=limits.python,
    )
    has_class = answer["integration"]["class"] if "integration" in answer else None

    def again(first_id: int) -> Link:
        return _begin(spec, command, device, limits, first_id).started()

    def begin(forks: Forks | None = None) -> Begun:
        return _begin(spec, command, device, limits, 0, forks)

    features = FEATURES.intersection(answer["features"])
    return Opened(subject, features, link, again, begin, command, limits, has_class)


def _elsewhere(*_arguments: Any, **_options: Any) -> Any:
    raise AssertionError("this backend runs in another process")


def _command(spec: str, device: str, limits: Limits) -> list[str]:
    kind, _, rest = spec.partition(":")
    memory = str(_memory(device, limits))
    if kind == "cmd":
        return [sys.executable, "-I", "-S", str(WORKER / "limits.py"), memory, *_words(rest, spec)]
    if kind == "py" and not (rest.rpartition(":")[0] and rest.rpartition(":")[2]):
        raise UnknownBackend(f"{spec!r}, but should be py:module:attr or a path/file.py:attr")
    if spec not in names() and not is_framework(spec) and not (kind in KINDS and rest):
        raise UnknownBackend(
            f"no backend {spec!r}; shipped: {', '.join(sorted(names()))}; yours: py:module:attr, torch:module:attr, "
            "jax:module:attr, py:path/to/file.py:attr or cmd:./adapter"
        )
    paths = [] if limits.python else [word for entry in sys.path if entry for word in ("--path", entry)]
    return [limits.python or sys.executable, str(WORKER), spec, "--child", "--memory", memory, *paths]


def _words(text: str, spec: str) -> list[str]:
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise UnknownBackend(f"{spec!r} cannot be split into words: {error}") from error
    if not words:
        raise UnknownBackend(f"{spec!r}, but should be cmd:./adapter and its arguments")
    return words


def _memory(device: str, limits: Limits) -> int:
    if limits.memory is not None:
        return limits.memory
    if device not in ON_THE_HOST:
        return 0  # drivers of devices map more than the machine has
    try:
        return min(LARGEST_MEMORY, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 4 * 3)
    except (ValueError, OSError):
        return LARGEST_MEMORY


def _handshake(
    spec: str, command: Sequence[str], device: str, limits: Limits, first_id: int, meanwhile: Iterable[object]
) -> tuple[Link, dict[str, Any]]:
    """Start the process and ask it to start; return it and its answer. Raises BackendNotStarted."""
    begun = _begin(spec, command, device, limits, first_id)
    with _giving_up(spec, begun.link):
        for _ in meanwhile:
            if begun.link.process.said_something():
                break
    return begun.started(), begun.request.answer


def _begin(
    spec: str, command: Sequence[str], device: str, limits: Limits, first_id: int, forks: Forks | None = None
) -> Begun:
    """Start the process and ask it to start. Raises BackendNotStarted, and OSError of a process that forks."""
    try:
        link = Link(command, first_id, limits.validate, forks)
    except OSError as error:
        if forks is not None:
            raise
        raise BackendNotStarted(f"{spec}: {command[0]}: {error.strerror}") from error
    suite = f"multimargin {distribution_version('multimargin')}"
    request = Request("start", f'"protocol":[{PROTOCOL}],"suite":"{suite}","device":{json.dumps(device)}')
    with _giving_up(spec, link):
        link.send(request)
        link.process.flush()
    return Begun(spec, link, request, limits.start_timeout)


@contextmanager
def _giving_up(spec: str, link: Link) -> Iterator[None]:
    """End the process where it cannot be gone on with. Raises BackendNotStarted, with its stderr."""
    try:
        yield
    except Trouble as trouble:
        failed = BackendNotStarted(_words_of(spec, trouble.reason, trouble.stderr))
        failed.stderr = trouble.stderr
        raise failed from trouble
    except BackendNotStarted as refused:
        link.kill()
        refused.stderr = link.process.stderr
        raise
    except BaseException:
        link.kill()
        raise


def _vectors() -> Iterator[object]:
    """Read what a run needs anyway, and keeps."""
    yield multimargin_vectors.load()


def _check(answer: dict[str, Any], spec: str) -> None:
    """Raise where an answer to `start` is not one to go on with."""
    wrong = violation(answer)
    if answer["status"] == "refused" and not wrong:
        raise (UnknownBackend if answer.get("unknown") else BackendNotStarted)(answer["reason"])
    if answer["status"] != "started" or wrong:
        raise BackendNotStarted(f"{spec}: its answer to start is not as published: {wrong or answer['status'][:60]}")
    if answer["protocol"] != PROTOCOL:
        raise BackendNotStarted(f"{spec}: it speaks protocol {answer['protocol']}, but should speak {PROTOCOL}")


def _words_of(spec: str, reason: str, stderr: str) -> str:
    last = f"; the end of its stderr: {stderr[-800:]}" if stderr else "; it wrote nothing to stderr"
    return f"{spec}: {reason} before it was started{last}"


def _capabilities(data: dict[str, Any], spec: str, link: Link) -> Capabilities:
    try:
        declared: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in data.items()}
        return Capabilities(**declared)
    except ValueError as error:
        link.kill()
        raise BackendNotStarted(f"{spec}: {error}") from error


def restarted(again: Callable[[int], Link], first_id: int) -> Link:
    """Start another process like an earlier one, in a few attempts. Raises BackendNotStarted."""
    for _ in range(STARTS - 1):
        try:
            return again(first_id)
        except BackendNotStarted:
            continue
    return again(first_id)
