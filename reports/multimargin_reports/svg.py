"""Elements of inline SVG as text: escaped, with short numbers, the same bytes for the same arguments."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from markupsafe import Markup, escape

from multimargin_reports.text import bounded

LONGEST = 60  # characters of one label
MINUS = "\N{MINUS SIGN}"


def element(name: str, *content: Markup | str, **attributes: Any) -> Markup:
    """Return one element. attributes: `class_` for class, `text_anchor` for text-anchor; None leaves one out."""
    given = {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items() if value is not None}
    words = "".join(f' {key}="{escape(_short(value))}"' for key, value in given.items())
    inside = Markup("").join(escape(part) for part in content)
    return Markup(f"<{name}{words}>{inside}</{name}>" if inside else f"<{name}{words}/>")


def _short(value: Any) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def drawing(width: int, height: int, label: str, parts: Iterable[Markup]) -> Markup:
    """Return a picture that a screen reader announces by its label; it scales with the page."""
    box = f"0 0 {width} {height}"
    return element("svg", *parts, class_="plot", viewBox=box, role="img", aria_label=bounded(label, 400))


def text(x: float, y: float, words: str, anchor: str = "middle", class_: str | None = None) -> Markup:
    """Return a label at a place. anchor: start, middle or end."""
    shown = None if anchor == "start" else anchor
    return element("text", bounded(words, LONGEST), x=float(x), y=float(y), text_anchor=shown, class_=class_)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """Return a straight line."""
    return element(
        "path", d=f"M{_short(float(x1))} {_short(float(y1))}L{_short(float(x2))} {_short(float(y2))}", class_=class_
    )


def box(x: float, y: float, width: float, height: float, class_: str, rx: int | None = None) -> Markup:
    """Return a rectangle."""
    size = {"x": float(x), "y": float(y), "width": float(width), "height": float(height)}
    return element("rect", **size, rx=rx, class_=class_)
