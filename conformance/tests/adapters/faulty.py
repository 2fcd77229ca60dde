"""A right adapter (forward, float64, no NumPy) that does one thing wrong: faulty.py FAULT VICTIM MARKER.

VICTIM is the CRC-32 of the request that the fault is for; MARKER is a file that outlives the process.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

FAULT, VICTIM, MARKER = sys.argv[1], sys.argv[2], Path(sys.argv[3])
Request = dict[str, Any]
CAPABILITIES = {
    "dtypes": ["float64"],
    "p": [1, 2],
    "reductions": ["none", "mean", "sum"],
    "shapes": ["batched", "unbatched"],
    "gradient": False,
    "permissions": [],
}
STARTED = {
    "status": "started",
    "protocol": 1,
    "name": "faulty",
    "version": "1",
    "capabilities": CAPABILITIES,
    "features": [],
}


def numbers(array: Request | None, code: str) -> list[Any]:
    raw = bytes.fromhex(array["hex"]) if array else b""
    return list(struct.unpack(f"<{len(raw) // 8}{code}", raw))


def loss(request: Request) -> Request:
    x, y, w = numbers(request["input"], "d"), numbers(request["target"], "q"), numbers(request["weight"], "d")
    (margin,) = struct.unpack("<d", bytes.fromhex(request["margin"]))
    shape, classes = request["target"]["shape"], request["input"]["shape"][-1]
    rows = []
    for row, target in enumerate(y):
        z = [margin - x[row * classes + target] + x[row * classes + i] for i in range(classes) if i != target]
        rows.append(sum((w[target] if w else 1) * max(0.0, v) ** request["p"] for v in z) / classes)
    if request["reduction"] != "none":
        rows, shape = [sum(rows) / (len(rows) if request["reduction"] == "mean" else 1)], []
    return {"dtype": "float64", "shape": shape, "hex": struct.pack(f"<{len(rows)}d", *rows).hex()}


def right(request: Request) -> Request:
    try:
        return {"id": request["id"], "status": "returned", "result": loss(request)}
    except (ArithmeticError, LookupError, TypeError, struct.error) as error:
        return {"id": request["id"], "status": "rejected", "type": type(error).__name__, "message": str(error)}


def write(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]


LATER: list[bytes] = []  # answers of FAULT "segfault-buffered", which are lost when it ends


def say(answer: Any) -> None:
    line = json.dumps(answer).encode() + b"\n"
    if FAULT == "segfault-buffered":
        LATER.append(line)
    else:
        write(line)


def lines() -> Iterator[bytes]:
    """Yield requests; answers that are kept back are written before more are read."""
    unread = b""
    while data := os.read(0, 1 << 16):
        *whole, unread = (unread + data).split(b"\n")
        yield from whole
        write(b"".join(LATER))
        LATER.clear()


def result(**changes: Any) -> Callable[[Request], None]:
    def answer(request: Request) -> None:
        say({**right(request), "result": {**loss(request), **changes}})

    return answer


def fields(**changes: Any) -> Callable[[Request], None]:
    return lambda request: say({**right(request), **changes})


def instead(line: bytes) -> Callable[[Request], None]:
    return lambda _request: write(line)


def before(act: Callable[[], Any]) -> Callable[[Request], None]:
    def answer(request: Request) -> None:
        act()
        say(right(request))

    return answer


def after(act: Callable[[], Any]) -> Callable[[Request], None]:
    def answer(request: Request) -> None:
        say(right(request))
        act()

    return answer


def by(number: int) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


def once(request: Request) -> None:
    if not MARKER.exists():
        MARKER.touch()
        by(signal.SIGSEGV)()
    say(right(request))


def in_two_writes(request: Request) -> None:
    line = json.dumps(right(request)).encode() + b"\n"
    write(line[:20])
    time.sleep(0.05)
    write(line[20:])


def out_of_order(request: Request) -> None:
    say(right(json.loads(sys.stdin.readline())))
    say(right(request))


def fork_and_go_on() -> None:
    if os.fork() == 0:
        time.sleep(3600)


def grandchild() -> None:
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])


def hog() -> None:
    kept = []
    while True:
        kept.append(bytearray(64 << 20))


def ignore_termination() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def spin() -> None:
    while True:
        pass


VICTIM_FAULTS: dict[str, Callable[[Request], Any]] = {
    "segfault": before(lambda: ctypes.string_at(0)),
    "segfault-buffered": before(lambda: ctypes.string_at(0)),
    "abort": before(os.abort),
    "division": before(by(signal.SIGFPE)),
    "killed": before(by(signal.SIGKILL)),
    "exit-0": before(lambda: os._exit(0)),
    "exit-7": before(lambda: os._exit(7)),
    "exit-with-words": before(lambda: sys.exit("the kernel gave up")),
    "segfault-after": after(by(signal.SIGSEGV)),
    "segfault-once": once,
    "spin": before(spin),
    "sleep": before(lambda: time.sleep(3600)),
    "sleep-deaf": before(lambda: (ignore_termination(), time.sleep(3600))),
    "stop-itself": before(by(signal.SIGSTOP)),
    "hog": before(hog),
    "grandchild-then-exit": before(lambda: (grandchild(), os._exit(3))),
    "grandchild": before(grandchild),
    "fork": before(fork_and_go_on),
    "garbage": instead(b"Segmentation fault (not really)\n"),
    "garbage-and-answer": before(lambda: write(b"debug: x = 1\n")),
    "garbage-flood": before(lambda: write(b"0123456789abcde\n" * (100 << 16))),
    "not-utf-8": instead(b'{"id": 1, "status": "\xff\xfe"}\n'),
    "empty-line": instead(b"\n"),
    "zeros": instead(b"\0" * 100 + b"\n"),
    "half-a-line": before(lambda: (write(b'{"id": 1, "sta'), os._exit(0))),
    "two-writes": in_two_writes,
    "list": instead(b"[1, 2]\n"),
    "nan": lambda r: write(b'{"id": %d, "status": "returned", "result": NaN}\n' % r["id"]),
    "deep": instead(b"[" * 100_000 + b"\n"),
    "huge-number": instead(b'{"id": ' + b"9" * 10_000 + b"}\n"),
    "too-long": instead(b"x" * (9 << 20)),
    "text-id": lambda r: say({**right(r), "id": str(r["id"])}),
    "true-id": lambda r: say({**right(r), "id": True}),
    "unread": lambda _r: say({"id": 0, "status": "error", "reason": "what is this"}),
    "wrong-id": lambda r: say({**right(r), "id": r["id"] + 1000}),
    "negative-id": lambda r: say({**right(r), "id": -1}),
    "twice": lambda r: (say(right(r)), say(right(r))),
    "out-of-order": out_of_order,
    "no-status": lambda r: say({"id": r["id"]}),
    "unknown-status": fields(status="fine"),
    "done": fields(status="done"),
    "unsupported": lambda r: say({"id": r["id"], "status": "unsupported", "reason": "not today"}),
    "error": lambda r: say({"id": r["id"], "status": "error", "reason": "what is that"}),
    "rejected": lambda r: say({"id": r["id"], "status": "rejected", "type": "E", "message": "\x1b[2J no"}),
    "rejected-silently": lambda r: say({"id": r["id"], "status": "rejected"}),
    "no-result": lambda r: say({"id": r["id"], "status": "returned"}),
    "result-is-text": fields(result="0.5"),
    "float32": result(dtype="float32"),
    "object-dtype": result(dtype="object"),
    "wrong-shape": result(shape=[1, 1, 1]),
    "negative-shape": result(shape=[-1]),
    "text-shape": result(shape="1"),
    "huge-shape": result(shape=[1 << 60, 1 << 60]),
    "short": result(hex="00"),
    "no-hex": result(hex="zz" * 8),
    "null-hex": result(hex=None),
    "raw-unasked": fields(raw=8),
    "raw-text": fields(raw="8"),
    "no-elements": lambda r: say({**right(r), "result": {"dtype": "float64", "shape": []}}),
    "closes-stdout": before(lambda: (os.close(1), time.sleep(3600))),
    "closes-stdin": after(lambda: (os.close(0), time.sleep(3600))),
    "stderr-flood": before(lambda: sys.stderr.write("x" * (10 << 20))),
    "late-in-time": before(lambda: time.sleep(0.2)),
}
START_FAULTS: dict[str, Callable[[Request], Any]] = {
    "start-exit": lambda _r: sys.exit("no such device"),
    "start-segfault": lambda _r: by(signal.SIGSEGV)(),
    "start-hang": lambda _r: time.sleep(3600),
    "start-silent": lambda _r: os.close(1),
    "start-garbage": lambda _r: write(b"hello\n"),
    "start-refused": lambda r: say({"id": r["id"], "status": "refused", "reason": "no licence\nat all"}),
    "start-version-2": lambda r: say({"id": r["id"], **STARTED, "protocol": 2}),
    "start-wrong-id": lambda _r: say({"id": 9, **STARTED}),
    "start-returned": lambda r: say({"id": r["id"], "status": "done"}),
    "start-capabilities": lambda r: say({"id": r["id"], **STARTED, "capabilities": {"dtypes": "all"}}),
    "start-dtype": lambda r: say({"id": r["id"], **STARTED, "capabilities": {**CAPABILITIES, "dtypes": ["int4"]}}),
    "start-no-dtype": lambda r: say({"id": r["id"], **STARTED, "capabilities": {**CAPABILITIES, "dtypes": []}}),
    "start-feature": lambda r: say({"id": r["id"], **STARTED, "features": ["magic"]}),
    "start-more": lambda r: say({"id": r["id"], **STARTED, "expected": True}),
}
STOP_FAULTS: dict[str, Callable[[Request], Any]] = {
    "stop-hang": lambda _r: time.sleep(3600),
    "stop-crash": lambda _r: by(signal.SIGSEGV)(),
    "stop-deaf": lambda _r: (ignore_termination(), time.sleep(3600)),
    "stop-garbage": lambda _r: write(b"bye\n"),
}


def fault_of(request: Request) -> str:
    """Return the fault that a request is the victim of; FAULT "many": VICTIM is a file of faults by request."""
    body = {name: value for name, value in request.items() if name not in ("id", "cmd")}
    return FAULTS.get(f"{zlib.crc32(json.dumps(body, sort_keys=True).encode()):08x}", "")


FAULTS: dict[str, str] = json.loads(Path(VICTIM).read_text()) if FAULT == "many" else {VICTIM: FAULT}


def main() -> None:
    started = False
    for line in lines() if FAULT == "segfault-buffered" else sys.stdin:
        request = json.loads(line)
        command = request["cmd"]
        if command == "start":
            again = MARKER.exists() and FAULT == "restart-exit"
            MARKER.touch() if FAULT == "restart-exit" else None
            if again:
                sys.exit("only once")
            START_FAULTS.get(FAULT, lambda r: say({"id": r["id"], **STARTED}))(request)
            started = True
        elif command == "stop":
            STOP_FAULTS.get(FAULT, lambda r: say({"id": r["id"], "status": "stopped"}))(request)
            return
        elif command == "echo":
            arrays = [{k: a[k] for k in ("dtype", "shape", "hex")} for a in request["arrays"]]
            if FAULT == "echo-quiets":
                arrays = [{**a, "hex": a["hex"].replace("010000000000f07f", "010000000000f87f")} for a in arrays]
            if FAULT == "echo-forgets-sign":
                arrays = [{**a, "hex": a["hex"].replace("0000000000000080", "0000000000000000")} for a in arrays]
            say({"id": request["id"], "status": "echoed", "arrays": arrays})
        elif started and (fault := fault_of(request)) in VICTIM_FAULTS:
            VICTIM_FAULTS[fault](request)
        elif FAULT == "always-sleeps":
            time.sleep(3600)
        elif FAULT == "always-exits":
            sys.exit(9)
        elif FAULT == "restart-exit" and fault_of(request):
            by(signal.SIGSEGV)()
        else:
            say(right(request))


main()
