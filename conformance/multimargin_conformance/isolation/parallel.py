"""One run in several processes, each with a shard of it and a worker of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from multimargin_conformance.backend import BackendNotStarted, UnknownBackend
from multimargin_conformance.isolation.launch import Limits
from multimargin_conformance.sharding import merge
from multimargin_conformance.worker.limits import limit
from multimargin_reports import Report
from multimargin_reports.jsonfile import from_json, to_json
from multimargin_reports.logfile import joined

MODULE = "multimargin_conformance.isolation.parallel"
ERRORS: dict[str, type[Exception]] = {
    "ValueError": ValueError,
    "UnknownBackend": UnknownBackend,
    "BackendNotStarted": BackendNotStarted,
}


def check_in_parallel(backend: str, jobs: int, options: Mapping[str, Any], limits: Limits | None) -> Report:
    """Return the report of one run by `jobs` processes, verdict by verdict that of one process.

    Raises what check() raises.
    """
    given = {"backend": backend, **options, "limits": vars(limits or Limits())}
    log = given.pop("log", None)
    parts: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory() as folder:
        logs = [Path(folder) / f"{number}.jsonl" for number in range(1, jobs + 1)] if log else [None] * jobs
        try:
            for number, one in enumerate(logs, start=1):
                parts.append(_part({**given, "shard": f"{number}/{jobs}", "log": None if one is None else str(one)}))
            reports = [_report(data) for data in _outputs(parts)]
        finally:
            for part in parts:
                part.kill()
                part.wait()
        report = replace(merge(reports), duration_s=max(each.duration_s for each in reports))  # they ran at once
        if log:
            joined(Path(log), report, [one for one in logs if one is not None])
    return report


def _part(options: Mapping[str, Any]) -> subprocess.Popen[bytes]:
    """Start a part in a session of its own: the terminal's Ctrl-C reaches it once, from here."""
    code = f"import json, sys; sys.path[:] = json.loads(sys.argv[1]); from {MODULE} import main; main()"
    command = [sys.executable, "-c", code, json.dumps(sys.path)]
    part = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    assert part.stdin is not None
    part.stdin.write(json.dumps(options).encode())
    part.stdin.close()
    part.stdin = None
    return part


def _outputs(parts: list[subprocess.Popen[bytes]]) -> list[bytes]:
    """Wait for every part; an interruption is passed on, and what they had found by then is still read."""
    outputs: dict[int, bytes] = {}
    while len(outputs) < len(parts):
        try:
            for place, part in enumerate(parts):
                if place not in outputs:
                    outputs[place] = part.communicate()[0]
        except KeyboardInterrupt:
            for part in parts:
                part.send_signal(signal.SIGINT)
    return [outputs[place] for place in range(len(parts))]


def _report(data: bytes) -> Report:
    """Return a part's report, or raise what it ended with."""
    if not data:
        raise KeyboardInterrupt
    answer = json.loads(data)
    if "error" in answer:
        error = ERRORS.get(answer["error"], RuntimeError)(answer["message"])
        if isinstance(error, BackendNotStarted):
            error.stderr = answer["stderr"]
        raise error
    return from_json(answer["report"])


def main() -> None:
    """Run one part: options from stdin, the report to stdout."""
    from multimargin_conformance.runner import check

    limit(True, 0)
    options = json.loads(sys.stdin.buffer.read())
    limits = Limits(**options.pop("limits"))
    try:
        report = check(**options, limits=limits)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the whole of it is found
        answer: dict[str, Any] = {"report": to_json(report)}
    except KeyboardInterrupt:
        return
    except Exception as error:
        answer = {"error": type(error).__name__, "message": str(error), "stderr": getattr(error, "stderr", "")}
    sys.stdout.buffer.write(json.dumps(answer).encode())
