"""Write every output and file that README.md shows again, from the real commands; --check [KIND...] compares instead.

A part lies between `<!-- KIND ARGUMENTS -->` and `<!-- end -->`. KIND is one of
file PATH; table PATH; section PATH TITLE; diff OLD NEW; run [without=WORD,...] ARGUMENTS OF multimargin.
without leaves out the paragraphs of the output that start with these words and says so by a line "[...]".
"""

from __future__ import annotations

import difflib
import platform
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
PART = re.compile(
    r"(?P<start><!-- (?P<kind>file|table|section|diff|run) (?P<rest>.*?) -->\n)(?P<shown>.*?)(?P<end><!-- end -->)",
    re.S,
)


def _without_garbage(found: re.Match[str]) -> str:
    """Return the lines of an enclosure without the result, whose length sets the others' columns."""
    ends = (f"  {name:8} {'  '.join(text.split())}\n" for name, text in zip(ENDS, found.groups()[1:], strict=True))
    return f"{found[1]}  {'got':8} <garbage>\n{''.join(ends)}"


ENDS = ("lo", "hi", "nearest")
# What is not the same twice. The README says so.
VOLATILE = (
    (re.compile(r"(checks in )[\d.]+( s)"), r"\1<time>\2"),
    (re.compile(r"(torch[\w-]* [\d.]+)\+\w+"), r"\1"),
    (re.compile(r"loss = \S+(, but should be [^\[]*\[SHAPE-[78] .*)"), r"loss = <garbage>\1"),
    (re.compile(r"(loss = <garbage>.*\n)  got .*\n  lo +(.*)\n  hi +(.*)\n  nearest +(.*)\n"), _without_garbage),
)
REFERENCE_MACHINE = sys.platform == "linux" and platform.machine() == "x86_64"
TRIES = 3  # uninitialised memory is right by luck now and then


def main() -> int:
    """Write README.md, or with --check return 1 when it is stale; the kinds named are compared, or all."""
    text, words = README.read_text(encoding="utf-8"), sys.argv[1:]
    if "--check" not in words:
        README.write_text(PART.sub(lambda part: f"{part['start']}{shown(part)}{part['end']}", text), encoding="utf-8")
        print("wrote README.md")
        return 0
    kinds = [word for word in words if word in SHOW] or SHOW
    stale = [part["rest"] for part in PART.finditer(text) if part["kind"] in kinds and not current(part)]
    if stale:
        print(f"README.md is stale: {'; '.join(stale)}: run `make readme`", file=sys.stderr)
    else:
        print("README.md is current" if REFERENCE_MACHINE else "README.md: outputs not compared: not Linux on x86-64")
    return 1 if stale else 0


def current(part: re.Match[str]) -> bool:
    """Return whether a part is what it should be; outputs are compared on the machine type they were made on."""
    if part["kind"] == "run" and not REFERENCE_MACHINE:
        return True
    return any(shown(part) == part["shown"] for _ in range(TRIES if part["kind"] == "run" else 1))


def shown(part: re.Match[str]) -> str:
    """Return what a part should show."""
    return SHOW[part["kind"]](part["rest"])


def file(path: str) -> str:
    """Return a Python file as a code block."""
    return f"```python\n{(ROOT / path).read_text(encoding='utf-8')}```\n"


def table(path: str) -> str:
    """Return a table that another command wrote, as it is."""
    return f"\n{(ROOT / path).read_text(encoding='utf-8')}\n"


def section(path_and_title: str) -> str:
    """Return what stands under one heading of a Markdown file, with stable words as in outputs."""
    path, title = path_and_title.split(" ", 1)
    text = (ROOT / path).read_text(encoding="utf-8")
    (body,) = re.findall(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    return f"\n{scrubbed(body.strip())}\n\n"


def diff(paths: str) -> str:
    """Return the difference of two files as a code block."""
    old, new = paths.split()
    before, after = ((ROOT / path).read_text(encoding="utf-8").splitlines() for path in (old, new))
    return "\n".join(["```diff", *difflib.unified_diff(before, after, old, new, n=0, lineterm=""), "```\n"])


def run(arguments: str) -> str:
    """Return a command, its output and its exit status as a code block."""
    words = arguments.split()
    without = words.pop(0).removeprefix("without=").split(",") if words[0].startswith("without=") else []
    command = [sys.executable, "-m", "multimargin_conformance.cli", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    text = shortened(scrubbed(done.stdout + done.stderr).rstrip("\n"), without)
    return f"```console\n$ multimargin {' '.join(words)}\n{text}\n$ echo $?\n{done.returncode}\n```\n"


def scrubbed(text: str) -> str:
    """Return an output with stable words in place of what varies, and no spaces at the ends of lines."""
    for pattern, stable in VOLATILE:
        text = pattern.sub(stable, text)
    return re.sub(r" +$", "", text, flags=re.M)


def shortened(text: str, without: list[str]) -> str:
    """Return an output without the paragraphs that start with one of the words."""
    kept = ["[...]" if p.split(None, 1)[0] in without else p for p in text.split("\n\n")]
    return "\n\n".join(p for k, p in enumerate(kept) if p != "[...]" or kept[k - 1] != p)


SHOW: dict[str, Callable[[str], str]] = {"file": file, "table": table, "section": section, "diff": diff, "run": run}

if __name__ == "__main__":
    sys.exit(main())
