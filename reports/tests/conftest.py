"""Made-up reports that the tests of the HTML page share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from multimargin_reports import Accuracy, Behaviour, Cause, Failure, Report, Verdict

DTYPES = ("float16", "bfloat16", "float32", "float64")
KNOWN = "uninitialised memory (Ann, https://example.org/1)"
PROGRAM = 'import numpy as np\n\nx = np.array([[1.0, 0.0]])\nprint("<b>&", x)\n'


def number(value: float | str, float_hex: str = "0x1.8p-1", bits: str = "0000403f") -> dict[str, Any]:
    """Return one number of a failure's evidence."""
    return {"value": value, "float_hex": float_hex, "hex": bits}


def failure(message: str = "loss = 0.75, but should be 0.5 (exact) [VALUE-4 target term, case a3f9]") -> Failure:
    """Return a failure with evidence and a program."""
    evidence = {
        "part": "loss",
        "got": number(0.75),
        "lo": number(0.25),
        "hi": number(0.5),
        "nearest": number(0.375),
        "also": ["nan"],
        "ulp": 2.5,
    }
    return Failure(message, "forward([[0.5]], [0])", "multimargin replay a3f9 --backend kernel", evidence, {}, PROGRAM)


def verdict(id_: str, status: str = "pass", **fields: Any) -> Verdict:
    """Return a verdict; clause and dtype come from its id."""
    clause, dtype, *_ = id_.split("/")
    given = {"title": "target term", "level": "MUST", "failure": failure() if status == "fail" else None} | fields
    return Verdict(id_, given.pop("clause", clause), dtype=dtype, status=status, **given)


def accuracy(dtype: str, part: str) -> Accuracy:
    """Return figures with a histogram and errors by classes, tails and bounds beyond the picture included."""
    histogram = ((-1024.0, 1), (-0.5, 4), (-0.25, 9), (0.0, 30), (0.25, 8), (0.75, 2), (4.0, 1), (8388608.0, 1))
    by_classes = ((1, 2, 0.0, 3.5), (2, 8, 0.5, 12.0), (5, 20, 8388608.0, 1e307), (1000, 26, 0.75, 14.0))
    quantiles = (-1024.0, -0.5, -0.5, -0.25, 0.0, 0.25, 0.75, 4.0, 8388608.0)
    figures = (56, 8388608.0, 0.25, 0.875, 0.5, -0.0625, "in-dtype", quantiles)
    return Accuracy(dtype, part, *figures, histogram, by_classes)


def report(*verdicts: Verdict, **fields: Any) -> Report:
    """Return a report of these verdicts."""
    given: dict[str, Any] = {
        "backend": {"name": "kernel", "version": "1.2", "device": "cpu", "spec": "py:kernel.py:Kernel"},
        "profile": "full",
        "claim": "full",
        "planned": len(verdicts),
        "verdicts": verdicts,
    }
    return Report(**given | fields)


@pytest.fixture(scope="session")
def everything() -> Report:
    """Return a report with something of everything."""
    verdicts = [verdict(f"VALUE-{n}/{dtype}/case-{n}/loss") for n in (1, 2, 10) for dtype in DTYPES]
    verdicts += [
        verdict("VALUE-4/float32/a3f9c1e2b4d5f607/loss", "fail"),
        *(verdict(f"VALUE-4/float64/edge-{n}/loss", "fail") for n in range(5)),
        verdict("GRADIENT-1/float32/one/gradient", title="active elements"),
        verdict("GRADIENT-1/float64/two/gradient", "fail", title="active elements", known=KNOWN),
        verdict("GRADIENT-2/float64/three/gradient", "skip", title="power", reason="not run: an earlier check failed"),
        verdict("CLASS-6/float32/vmap/loss", "fail", title="transforms", level="SHOULD", failure=None),
        verdict("CLASS-6/float32/grad/loss", title="transforms"),
    ]
    ids = tuple(v.id for v in verdicts if v.status == "fail" and v.clause == "VALUE-4")
    return report(
        *verdicts,
        behaviours=(
            Behaviour("NaN at the target", "SPECIAL-7", "loss", "float32", ("dropped",), {"dropped": "it counts 0"}),
            Behaviour("NaN at the target", "SPECIAL-7", "gradient", "float32", ("dropped", "propagated")),
        ),
        accuracy=tuple(accuracy(dtype, part) for dtype in ("float64", "float32") for part in ("gradient", "loss")),
        causes=(
            Cause("equals: One too many.", ids, (("one", "One too many."), ("two", "Another."))),
            Cause("CLASS-6 transforms", ("CLASS-6/float32/vmap/loss",)),
        ),
        sentences={"VALUE-4": "The target MUST NOT count.", "GRADIENT-1": "It MUST be the slope."},
        environment={"python": "3.11.2", "cpus": None, "count": 2},
        options={"dtypes": ["float32"], "seed": 7, "huge": False, "only": []},
        duration_s=1.5,
        timing=(0.125, 0.25),
        stale=("entry 3 no longer fails",),
    )


def hostile(text: str) -> Report:
    """Return a report with the text wherever a backend, or whoever wrote the file, can put one."""
    failed = failure(text)
    failed = Failure(text, text, text, {**failed.evidence, "also": [text], "got": number(0.75, text, text)}, {}, text)
    verdicts = [verdict(f"VALUE-1/float32/{n}/loss", "fail", failure=failed, reason=text, title=text) for n in (1, 2)]
    verdicts += [verdict(f"VALUE-2/float32/{text}/loss", "fail", failure=failed, known=text or "x", case=text)]
    verdicts += [verdict("VALUE-2/float64/4/loss", "error", reason=text), verdict("VALUE-2/float64/5/gradient")]
    return report(
        *verdicts,
        claim=text,
        backend={"name": text, "version": text, "device": text, "spec": text, "capabilities": {text: [text, {}]}},
        behaviours=(Behaviour(text, "VALUE-1", "loss", "float32", (text,), {text: text}),),
        causes=(Cause(text, tuple(v.id for v in verdicts[:2]), (("a", text), ("b", text))),),
        sentences={"VALUE-1": text},
        environment={text: text},
        options={text: [text]},
        stale=(text,),
    )


def large(verdicts: int, message: str = "") -> Report:
    """Return a report of so many verdicts, half of them failures with messages of their own, in 74 clauses."""
    made = []
    for n in range(verdicts):
        id_ = f"VALUE-{n % 74 + 1}/{DTYPES[n % 4]}/{n:016x}/loss"
        words = f"loss = {n / 7}, but should be {n / 11}; {message} [VALUE-1, case {n:016x}, kernel 1.2 cpu]"
        made.append(verdict(id_, "fail", failure=failure(words)) if n % 2 else verdict(id_))
    failed = [v.id for v in made if v.status == "fail"]
    causes = tuple(Cause(f"cause {n}", tuple(failed[n::500])) for n in range(500))
    figures = tuple(accuracy(dtype, part) for dtype in DTYPES for part in ("loss", "gradient"))
    sentences = {v.clause: "The loss MUST lie in its enclosure, " * 8 for v in made}
    return report(*made, causes=causes, sentences=sentences, accuracy=figures)


@pytest.fixture(scope="session")
def make_hostile() -> Callable[[str], Report]:
    """Return what makes a hostile report."""
    return hostile


@pytest.fixture(scope="session")
def make_large() -> Callable[..., Report]:
    """Return what makes a large report."""
    return large


@pytest.fixture(scope="session")
def make_report() -> Callable[..., Report]:
    """Return what makes a report of verdicts."""
    return report


@pytest.fixture(scope="session")
def make_verdict() -> Callable[..., Verdict]:
    """Return what makes a verdict."""
    return verdict
