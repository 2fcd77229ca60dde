"""The report as one HTML page: no network, nothing a backend says is more than text, bounded in size.

Another page in the same style: `page(title, body)`, or a template that extends base.html.j2 in `environment()`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from multimargin_reports.conclusions import PROFILES, WORDS, conclusions, headline
from multimargin_reports.content import (
    Block,
    accuracy_table,
    behaviour_table,
    blocks,
    known_lines,
    number_rows,
    stale_lines,
    ulp_text,
)
from multimargin_reports.grid import ORDER, WORST, Cell, Grid, grid
from multimargin_reports.model import Accuracy, Report
from multimargin_reports.numberline import number_line
from multimargin_reports.plots import Plot, errors_by_classes, histogram, share_bar, tail
from multimargin_reports.text import bounded, bounded_lines, counted

NAME, SHORT, WIDE, PROGRAM = 120, 300, 1000, 6000  # characters: of a name, a text, a message or command, a program
FULL = 200_000  # bytes of causes that are shown in full
OPEN = 1  # causes that are open at first
LINKED = 5  # causes that are named at the top
MOST_ROWS = 200  # of a table
MOST_ROUNDS = 10  # of timing
MOST_PLOTS = 8  # dtypes and parts that are plotted
GLYPHS = {
    "pass": "✓",
    "fail": "✗",
    "should": "△",
    "known": "◇",
    "skip": "○",
    "error": "!",
    "conformant": "✓",
    "not conformant": "✗",
    "invalid": "!",
    "not checked": "○",
}
CLASSES = {"conformant": "pass", "not conformant": "fail", "known": "known", "invalid": "error", "not checked": "skip"}
CLAUSE = re.compile(r"\b[A-Z]+-[0-9]+\b")
KIND_WORDS = {
    "pass": "pass",
    "fail": "fail",
    "should": "fail a SHOULD",
    "known": "fail as expected",
    "skip": "skipped",
    "error": "error",
}
ASKS = {
    "core": "losses",
    "training": "losses and gradients",
    "half": "losses and gradients",
    "torch": "autograd, transforms, compilation",
}


def render(report: Report) -> str:
    """Return the whole page; the same report gives the same bytes."""
    return environment().get_template("report.html.j2").render(_content(report))


def write(report: Report, path: Path) -> None:
    """Write an HTML file."""
    path.write_text(render(report), encoding="utf-8")


def page(title: str, body: Markup) -> str:
    """Return another page in this style; body: what stands in <main>, escaped already."""
    return environment().get_template("base.html.j2").render(title=title, body=body)


@cache
def environment() -> Environment:
    """Return the templates with their filters: whatever they print goes through `inert` and is escaped."""
    made = Environment(
        loader=PackageLoader("multimargin_reports"),
        autoescape=True,
        finalize=inert,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, script = (Markup(_asset(name)) for name in ("style.css", "script.js"))
    made.globals |= {"style": style, "script": script, "policy": _policy(style, script)}
    made.globals |= {"glyph": GLYPHS.__getitem__, "cell_words": cell_words, "counts_words": counts_words}
    made.globals |= {"status_class": CLASSES.__getitem__, "kind_words": KIND_WORDS, "words": WORDS, "counted": counted}
    made.filters |= {"wide": _wide, "program": _program, "lines": _lines, "id_lines": _id_lines, "without": _without}
    made.filters["whole_names"] = _whole_names
    made.filters["name"] = lambda text: escape(bounded(text, NAME))
    return made


def _asset(name: str) -> str:
    return (files("multimargin_reports") / "templates" / name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    """Return the Content-Security-Policy: this style and this script, nothing else, from nowhere else."""
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, script)]
    return (
        f"default-src 'none'; style-src 'sha256-{hashes[0]}'; script-src 'sha256-{hashes[1]}'; "
        "base-uri 'none'; form-action 'none'"
    )


def inert(value: Any) -> Any:
    """Return what a template prints: markup of ours as it is, any other text on one line of bounded length."""
    return value if hasattr(value, "__html__") else bounded(str(value), SHORT)


def _wide(text: str) -> Markup:
    return escape(bounded(text, WIDE))


def _program(text: str) -> Markup:
    return escape(bounded_lines(text.rstrip("\n"), PROGRAM))


def _lines(text: str) -> Markup:
    return escape(bounded_lines(text, WIDE))


def _whole_names(text: str) -> Markup:
    """Return text in which the name of a clause is not broken at the end of a line."""
    return Markup(CLAUSE.sub(r'<span class="nb">\g<0></span>', str(_wide(text))))


def _id_lines(ids: Sequence[str]) -> Markup:
    """Return ids, bounded already, one a line."""
    return Markup("\n").join(ids)


def _without(text: str, prefix: str) -> Markup:
    return _wide(text.removeprefix(prefix))


@dataclass(frozen=True)
class CellWords:
    """What a cell shows, what it shows where there is room, and what that means."""

    shown: str
    of: str
    what: str


def cell_words(cell: Cell) -> CellWords:
    """Return what a cell says."""
    kind = cell.status
    count = cell.counts[kind]
    of = "" if count == cell.total else f" of {cell.total:,}"
    return CellWords(f"{count:,}", of, KIND_WORDS[kind])


def counts_words(cell: Cell) -> str:
    """Return the counts of a cell in words, the worst first."""
    found = [f"{cell.counts[kind]:,} {KIND_WORDS[kind]}" for kind in WORST if cell.counts.get(kind)]
    return ", ".join(found) or "no checks"


def _content(report: Report) -> dict[str, Any]:
    """Return everything that the template shows."""
    table = grid(report)
    found = blocks(report) if report.causes or report.counts["fail"] else []
    shown = _failures(found, table)
    rows = sum(len(group.rows) for group in table.groups)
    return {
        "report": report,
        "title": _title(report),
        "head": headline(report),
        "totals": list(_totals(report)),
        "conclusions": conclusions(report),
        "asks": {name: f"{ASKS[name]}, {' and '.join(dtypes)}" for name, dtypes in PROFILES.items()},
        "causes": f"{len(found):,}",
        "lead": _lead(report, found),
        "failures": Markup("\n").join(shown),
        "more_causes": found[len(shown) :],
        "first_causes": found[: min(LINKED, len(shown))],
        "more_links": max(0, len(found) - LINKED),
        "chosen": next((kind for kind in ("error", "fail", "should") if table.kinds.get(kind)), ""),
        "known": known_lines(report),
        "stale": stale_lines(report),
        "grid": table,
        "clauses": f"{rows:,}",
        "kinds": [(kind, table.kinds[kind]) for kind in WORST if table.kinds.get(kind)],
        **_measured(report),
        **_run(report),
    }


def _title(report: Report) -> str:
    words = [str(report.backend.get(key) or "") for key in ("name", "version", "device")]
    return f"{bounded(' '.join(w for w in words if w), 120)}: MultiMarginLoss conformance, {report.profile}"


def _totals(report: Report) -> Iterator[str]:
    for kind, count in report.counts.items():
        if count or kind in ("pass", "fail"):
            yield f"{count:,} {KIND_WORDS[kind]}"
    yield f"{len(report.verdicts):,} of {report.planned:,} planned checks"
    yield f"{report.duration_s:.1f} s"


def _lead(report: Report, found: Sequence[Block]) -> str:
    """Return how the failures are grouped, in one sentence."""
    if not report.causes:
        return f"By clause, {counted(len(found), 'clause')}: causes were not looked for."
    known = sum(bool(v.known) for v in report.failures)
    expected = f"; {known:,} of them {'was' if known == 1 else 'were'} expected" if known else ""
    causes = f"{counted(report.counts['fail'], 'failed check')}, {counted(len(found), 'probable cause')}{expected}"
    return f"{causes}. A cause is shown by the smallest call that still fails."


def _failures(found: Sequence[Block], table: Grid) -> list[Markup]:
    """Return the causes in full, as many as fit into FULL bytes and one at least."""
    template = environment().get_template("failure.html.j2")
    shown: list[Markup] = []
    size = 0
    for number, block in enumerate(found, start=1):
        failure = block.failure
        evidence = failure.evidence if failure else {}
        text = template.render(
            number=number,
            block=block,
            failure=failure,
            opened=number <= OPEN,
            anchor=table.anchors.get(block.clause, ""),
            line=number_line(evidence),
            rows=number_rows({k: v for k, v in evidence.items() if isinstance(v, Mapping)}),
            ulp=ulp_text(evidence) if isinstance(evidence.get("ulp"), int | float) else "",
        )
        size += len(text.encode())
        if shown and size > FULL:
            break
        shown.append(Markup(text))
    return shown


@dataclass(frozen=True)
class Figure:
    """The plots of one dtype and part."""

    name: str
    histogram: Plot
    classes: Plot


def _measured(report: Report) -> dict[str, Any]:
    """Return what is shown of accuracy and behaviours."""
    figures: Sequence[Accuracy] = sorted(report.accuracy[:MOST_ROWS], key=_figure_order)
    plotted = [a for a in figures if a.histogram][:MOST_PLOTS]
    reach = tail(plotted)
    rows, headers = behaviour_table(report)
    accuracy_rows, accuracy_headers = accuracy_table(replace(report, accuracy=tuple(figures)))
    return {
        "accuracy": (accuracy_rows, accuracy_headers),
        "bars": [share_bar(a.correctly_rounded) for a in figures],
        "figures": [Figure(f"{a.dtype} {a.part}", histogram(a, reach), errors_by_classes(a)) for a in plotted],
        "behaviours": rows[:MOST_ROWS],
        "behaviour_headers": headers,
    }


def _figure_order(figures: Accuracy) -> tuple[int, str, bool]:
    known = ORDER.index(figures.dtype) if figures.dtype in ORDER else len(ORDER)
    return known, figures.dtype, figures.part == "gradient"


def _run(report: Report) -> dict[str, Any]:
    """Return the tables about the run itself."""
    capabilities = report.backend.get("capabilities")
    declared = dict(capabilities) if isinstance(capabilities, Mapping) else {}
    counts = {"planned": report.planned, "executed": len(report.verdicts), **report.counts}
    times = [["duration", f"{report.duration_s:.1f} s"]]
    if report.timing:
        times.append(["rounds of a fixed set of calls", ", ".join(f"{s:.3g} s" for s in report.timing[:MOST_ROUNDS])])
    return {
        "count_rows": [*([k, f"{v:,}"] for k, v in counts.items()), *times],
        "capability_rows": _pairs({"spec": report.backend.get("spec") or "a live object", **declared}),
        "option_rows": _pairs({"profile": report.profile, "claim": report.claim, **report.options}),
        "environment_rows": _pairs(report.environment),
    }


def _pairs(data: Mapping[str, Any]) -> list[list[str]]:
    return [[str(key), _value(value)] for key, value in list(data.items())[:MOST_ROWS]]


def _value(value: Any) -> str:
    """Return a value in words: lists by commas, the rest as JSON has it."""
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple):
        return ", ".join(_value(each) for each in value[:MOST_ROWS]) or "none"
    words = {None: "not known", True: "yes", False: "no"}
    if value is None or isinstance(value, bool):
        return words[value]
    return json.dumps(value, default=str)
