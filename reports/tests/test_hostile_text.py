"""Reports full of text that a hostile backend may put there: in the terminal, and in a report file."""

from __future__ import annotations

from pathlib import Path

import pytest

from multimargin_reports import Behaviour, Failure, Report, Verdict, read, write
from multimargin_reports.terminal import render

HOSTILE = {
    "escape sequences": "\x1b[2J\x1b]0;owned\x07\x1b[31m",
    "C1 controls": "\x9b2J\x85\x90",
    "carriage return and backspace": "CONFORMANT\rNOT\b\b\b",
    "tabs and feeds": "a\tb\vc\fd",
    "a null": "a\x00b",
    "line separators": "a\u2028b\u2029c\x85d\x1cd",
    "right to left": "\u202egnihtyreve \u2066isolate\u2069 \u200f",
    "zero width": "con\u200bform\u200dant\ufeff",
    "a lone surrogate": "a\ud800b",
    "tags": "\U000e0041\U000e0042",
    "private use": "\ue000\U0010ffff",
    "markup": "<script>alert(1)</script> [link](javascript:alert(1)) & \"'",
    "percent and braces": "%s %n {0} {name!r} $(id) `id`",
    "a megabyte": "x" * (1 << 20),
    "a megabyte of escapes": "\x1b" * (1 << 18),
    "many lines": "line\n" * 300_000,
    "a separating line of tabulate": "\x01",
}


def hostile(text: str) -> Report:
    """Return a report of one failure with the text wherever a backend can put one."""
    failure = Failure(text, text, text, {text: text})
    failed = Verdict("VALUE-4/0", "VALUE-4", "target term", "MUST", "float32", "fail", text, text, failure)
    passed = Verdict("VALUE-4/1", "VALUE-4", "target term", "MUST", "float32", "pass")
    return Report(
        backend={"name": text, "version": text, "device": text, "spec": text},
        profile="training",
        claim=text,
        planned=2,
        verdicts=(failed, passed),
        behaviours=(Behaviour(text, "VALUE-1", "loss", "float32", (text,)),),
    )


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_text_is_inert_on_a_terminal(what: str) -> None:
    text = render(hostile(HOSTILE[what]))
    raw = {c for c in text if not c.isprintable() and c != "\n"}
    assert raw == set()
    text.encode("utf-8")


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_text_survives_a_report_file(tmp_path: Path, what: str) -> None:
    made = hostile(HOSTILE[what])
    write(made, tmp_path / "report.json")
    assert read(tmp_path / "report.json") == made


def test_a_hostile_message_cannot_forge_the_verdict() -> None:
    text = render(hostile("x\n\nCONFORMANT to full: 100 pass"))
    assert not any(line.startswith("CONFORMANT") for line in text.splitlines())
    assert text.splitlines()[-1].startswith("NOT CONFORMANT")


@pytest.mark.parametrize(
    "text", ["x" * (1 << 20), "\x1b" * (1 << 20), "\n" * (1 << 20)], ids=["x", "escape", "newline"]
)
def test_a_hostile_message_stays_readable_in_size(text: str) -> None:
    assert len(render(hostile(text))) < 1 << 17
