"""The report as a badge: an SVG picture, and the JSON that shields.io's endpoint badges are made from."""

from __future__ import annotations

import json
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from multimargin_reports.content import one_line
from multimargin_reports.model import Report

LABEL = "MultiMarginLoss"
COLOURS = {"right": "#1a7f37", "known": "#7d5b00", "wrong": "#c1272d", "invalid": "#57606a"}  # 4.5:1 with white
NAMED = {"right": "brightgreen", "known": "yellow", "wrong": "red", "invalid": "lightgrey"}
LETTER, PADDING, HEIGHT = 6.6, 6, 20  # pixels of 11 px Verdana, on average
LONGEST = 60  # characters of the message


def message(report: Report) -> tuple[str, str]:
    """Return what the badge says and how it stands: right, known, wrong or invalid."""
    profile = report.profile if report.claim == report.profile else f"{report.profile} (limited)"
    if not report.valid or not report.planned:
        return f"{profile}: invalid", "invalid"
    if report.conformant:
        return f"{profile}: conformant", "right"
    if report.as_expected:
        return f"{profile}: known failures", "known"
    clauses = len({v.clause for v in report.failures if v.level == "MUST" and not v.known})
    if not clauses:
        return f"{profile}: not as expected", "wrong"
    return f"{profile}: {clauses} clause{'s' if clauses > 1 else ''} fail{'' if clauses > 1 else 's'}", "wrong"


def render(report: Report) -> str:
    """Return the badge as SVG, readable without fonts of its own and by screen readers."""
    text, state = message(report)
    text = one_line(text)[:LONGEST]
    left, right = (round(len(part) * LETTER + 2 * PADDING) for part in (LABEL, text))
    title = escape(f"{LABEL}: {text}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="{HEIGHT}" role="img" '
        f"aria-label={quoteattr(f'{LABEL}: {text}')}>"
        f"<title>{title}</title>"
        f'<rect width="{left}" height="{HEIGHT}" fill="#24292f"/>'
        f'<rect x="{left}" width="{right}" height="{HEIGHT}" fill="{COLOURS[state]}"/>'
        '<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" text-anchor="middle">'
        f"{_text(LABEL, left / 2, left)}{_text(text, left + right / 2, right)}"
        "</g></svg>\n"
    )


def _text(text: str, middle: float, width: int) -> str:
    length = width - 2 * PADDING
    return f'<text x="{middle:g}" y="14" textLength="{length}">{escape(text)}</text>'


def write(report: Report, path: Path) -> None:
    """Write an SVG file."""
    path.write_text(render(report), encoding="utf-8")


def shields(report: Report) -> str:
    """Return the JSON that an endpoint badge of shields.io is made from."""
    text, state = message(report)
    data = {"schemaVersion": 1, "label": LABEL, "message": one_line(text)[:LONGEST], "color": NAMED[state]}
    return json.dumps({**data, "isError": state == "invalid"}, indent=1) + "\n"
