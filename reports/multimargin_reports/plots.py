"""Plots of accuracy as inline SVG: signed errors, errors by number of classes, the share correctly rounded."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from multimargin_reports.model import Accuracy
from multimargin_reports.svg import MINUS, box, drawing, element, line, text
from multimargin_reports.text import counted

WIDTH = 360
FINE = 4  # ULP: below, bins are a quarter of an ULP wide
MOST = 400  # bins, or numbers of classes, that are drawn
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
LARGEST_POWER = 1100  # of two, beyond any dtype's errors in ULP
SMALLEST_ERROR, LARGEST_ERROR = 1e-3, 1e300  # ULP: what lies beyond is drawn there


@dataclass(frozen=True)
class Plot:
    """A picture, what it shows in words, and its numbers as rows and headers."""

    picture: Markup
    words: str
    rows: list[list[str]]
    headers: list[str]


def share_bar(share: float) -> Markup:
    """Return a bar for a share from 0 to 1; the number stands beside it as text."""
    part = min(max(share, 0.0), 1.0) * 60
    return element(
        "svg",
        box(0, 0, 60, 8, "track"),
        box(0, 0, part, 8, "bar"),
        class_="share",
        viewBox="0 0 60 8",
        aria_hidden="true",
    )


def tail(figures: Sequence[Accuracy]) -> int:
    """Return the largest power of two that any histogram reaches: all of them are drawn to one scale."""
    ends = [abs(middle) for a in figures for middle, _ in a.histogram[:MOST] if math.isfinite(middle)]
    return max([3, *(min(math.frexp(end)[1], LARGEST_POWER) for end in ends if end >= FINE)])


LEFT, RIGHT, MIDDLE, FLOOR, TOP = 6.0, 354.0, 180.0, 100.0, 16.0
INNER = 104.0  # half the width of what is drawn linearly, up to FINE


def histogram(figures: Accuracy, reach: int) -> Plot:
    """Return the distribution of signed errors: linear within 4 ULP, by powers of two beyond, up to 2**reach."""
    bins = [(m, n) for m, n in figures.histogram[:MOST] if math.isfinite(m)]
    words = _histogram_words(figures, bins)
    label = f"{figures.dtype} {figures.part}: how often which error in ULP occurs. {words}"
    parts = (*_histogram_frame(reach), *_bars(bins, reach))
    rows = [[_bin_name(m), f"{n:,}"] for m, n in bins]
    return Plot(drawing(WIDTH, 126, label, parts), words, rows, ["error (ULP)", "results"])


def _bin_name(middle: float) -> str:
    return f"{middle:+g}" if abs(middle) < FINE else f"{'-' if middle < 0 else '+'}2{_power(math.frexp(middle)[1] - 1)}"


def _power(exponent: int) -> str:
    return str(exponent).translate(SUPERSCRIPTS)


def _histogram_words(figures: Accuracy, bins: Sequence[tuple[float, int]]) -> str:
    far = sum(n for m, n in bins if abs(m) >= FINE)
    parts = [f"{figures.correctly_rounded:.1%} of {figures.count:,} correctly rounded"]
    if len(figures.signed_ulp) == 9:
        parts.append(f"nine in ten between {figures.signed_ulp[2]:+.2g} and {figures.signed_ulp[6]:+.2g} ULP")
    parts.append(f"{counted(far, 'result')} beyond 4 ULP" if far else "none beyond 4 ULP")
    return "; ".join(parts) + "."


def _place(middle: float, reach: int) -> tuple[float, float]:
    """Return where a bin's bar begins, and its width."""
    if abs(middle) < FINE:
        width = INNER / FINE / 4
        return MIDDLE + middle * 4 * width - width / 2, width
    width = (RIGHT - MIDDLE - INNER) / (reach - 2)
    steps = min(max(math.frexp(middle)[1] - 3, 0), reach - 3)
    begin = INNER + steps * width
    return (MIDDLE + begin, width) if middle > 0 else (MIDDLE - begin - width, width)


def _histogram_frame(reach: int) -> Iterator[Markup]:
    yield box(LEFT, TOP, MIDDLE - INNER - LEFT, FLOOR - TOP, "beyond")
    yield box(MIDDLE + INNER, TOP, RIGHT - MIDDLE - INNER, FLOOR - TOP, "beyond")
    half = INNER / FINE / 2
    yield box(MIDDLE - half, TOP, 2 * half, FLOOR - TOP, "band")
    yield text(LEFT, TOP - 4, "too small", "start")
    yield text(MIDDLE, TOP - 4, "± ½ ULP")
    yield text(RIGHT, TOP - 4, "too large", "end")
    yield line(LEFT, FLOOR, RIGHT, FLOOR, "axis")
    for ulp in (-4, -2, 0, 2, 4):
        x = MIDDLE + ulp * INNER / FINE
        yield line(x, FLOOR, x, FLOOR + 4, "axis")
        yield text(x, FLOOR + 15, f"{ulp:+d}".replace("-", MINUS) if ulp else "0")
    yield text(LEFT, FLOOR + 15, f"{MINUS}2{_power(reach)}", "start")
    yield text(RIGHT, FLOOR + 15, f"+2{_power(reach)}", "end")


def _bars(bins: Sequence[tuple[float, int]], reach: int) -> Iterator[Markup]:
    most = max([1, *(count for _, count in bins)])
    for middle, count in bins:
        x, width = _place(middle, reach)
        height = max(2.0, (FLOOR - TOP) * count / most)  # a single result is still seen
        gap = 0.6 if width > 3 else 0.0
        yield box(x + gap / 2, FLOOR - height, width - gap, height, "bar" if abs(middle) < FINE else "far")


@dataclass(frozen=True)
class Axes:
    """A logarithmic plot: from which to which exponent of ten the errors, and of two the numbers of classes, go."""

    low: int
    high: int
    classes: int

    def x(self, classes: int) -> float:
        """Return the place of a number of classes."""
        return 44 + 300 * min(math.log2(max(classes, 1)), self.classes) / self.classes

    def y(self, ulp: float) -> float:
        """Return the place of an error; what lies outside is drawn at the edge."""
        exponent = math.log10(ulp) if ulp > 0 else self.low
        share = (min(max(exponent, self.low), self.high) - self.low) / (self.high - self.low)
        return 132 - 114 * share


def errors_by_classes(figures: Accuracy) -> Plot:
    """Return the largest error and the largest bound for each number of classes, both axes logarithmic."""
    rows = [row for row in figures.by_classes[:MOST] if math.isfinite(row[2]) and not math.isnan(row[3])]
    axes = _axes(rows)
    words = _classes_words(rows)
    label = f"{figures.dtype} {figures.part}: largest error in ULP by number of classes, with the bound. {words}"
    parts = [*_log_frame(axes), *(part for row in rows for part in _marks(row, axes))]
    table = [[f"{c:,}", f"{n:,}", _size(error), _size(bound)] for c, n, error, bound in rows]
    return Plot(drawing(WIDTH, 152, label, parts), words, table, ["C", "results", "largest error", "largest bound"])


def _axes(rows: Sequence[tuple[int, int, float, float]]) -> Axes:
    errors = [min(max(error, SMALLEST_ERROR), LARGEST_ERROR) for _, _, error, _ in rows] or [1.0]
    bounds = sorted(bound for *_, bound in rows if 0 < bound < math.inf) or [1.0]
    low = math.floor(math.log10(min(errors)))
    usual = bounds[len(bounds) // 2]  # bounds where terms cancel go to the largest float: an arrow says so
    high = math.ceil(math.log10(max(*errors, min(usual, 1e6)) * 2))
    classes = max([1, *(c for c, *_ in rows)])
    return Axes(low, max(high, low + 1), max(1, math.ceil(math.log2(classes))))


def _classes_words(rows: Sequence[tuple[int, int, float, float]]) -> str:
    if not rows:
        return "No results."
    classes, _, error, bound = max(rows, key=lambda row: row[2])
    return f"Largest error {_size(error)} ULP, at C = {classes:,}, where the largest bound is {_size(bound)} ULP."


def _size(ulp: float) -> str:
    """Return an error with three digits, in full where that is readable."""
    return f"{ulp:,.0f}" if 100 <= ulp < 1e8 else f"{ulp:.3g}".replace("e+", "e")


def _log_frame(axes: Axes) -> Iterator[Markup]:
    step = math.ceil((axes.high - axes.low) / 6)
    for exponent in range(axes.low, axes.high + 1, step):
        y = axes.y(10.0**exponent)
        yield line(44, y, 350, y, "rule")
        yield text(40, y + 3.5, {0: "1", 1: "10", -1: "0.1"}.get(exponent, f"10{_power(exponent)}"), "end")
    yield text(6, 9, "ULP", "start")
    yield line(44, 132, 350, 132, "axis")
    for exponent in range(0, axes.classes + 1, math.ceil(axes.classes / 6)):
        x = axes.x(2**exponent)
        yield line(x, 132, x, 136, "axis")
        yield text(x, 147, f"{2**exponent:,}" if exponent < 14 else f"2{_power(exponent)}")
    yield text(354, 147, "C", "end")


def _marks(row: tuple[int, int, float, float], axes: Axes) -> Iterator[Markup]:
    classes, _, error, bound = row
    x, y, limit = axes.x(classes), axes.y(error), axes.y(bound)
    yield line(x, y, x, limit, "stem")
    if bound > 10.0**axes.high:
        yield element("path", d=f"M{x - 3:.1f} {limit - 1:.1f}l3 -5l3 5z", class_="limit")
    else:
        yield line(x - 4, limit, x + 4, limit, "limit")
    yield element("circle", cx=x, cy=y, r=2.6, class_="point" if error > 0 else "point zero")
