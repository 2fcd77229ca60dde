"""One wrong number and what it should be: drawn on a number line, and in words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from markupsafe import Markup

from multimargin_reports.svg import MINUS, box, drawing, element, line, text
from multimargin_reports.text import bounded

WIDTH, AXIS = 360, 38.0  # AXIS: where the line lies, from above
LEFT, RIGHT = 30.0, 330.0
BROKEN = 6  # a result further off than so many widths of the interval breaks the line
GAP = 7.0  # a result outside is drawn at least so far outside
SPECIAL = {"nan": "NaN", "inf": "+∞", "-inf": f"{MINUS}∞"}
CHARACTER = 8.0  # width of one, in a label
Number = Fraction | float  # exact where finite, a float where not


@dataclass(frozen=True)
class Line:
    """A picture, where one can be drawn, and the same in words."""

    picture: Markup | None
    words: str


def number_line(evidence: Mapping[str, Any]) -> Line | None:
    """Return the result and the legal interval; None where the evidence is not about a number."""
    got, lo, hi, nearest = (_number(evidence.get(key)) for key in ("got", "lo", "hi", "nearest"))
    if got is None or lo is None or hi is None:
        return None
    names = [SPECIAL.get(str(name), str(name)) for name in _list(evidence.get("also"))]
    interval = None if _is_nan(lo) or _is_nan(hi) or lo > hi else (lo, hi)
    words = _words(got, interval, names)
    if interval is None:
        return Line(None, words)
    return Line(drawing(WIDTH, 66, words, _parts(got, interval, nearest)), words)


def _list(value: Any) -> Sequence[Any]:
    return value[:8] if isinstance(value, list | tuple) else ()


def _number(data: Any) -> Number | None:
    """Return the number that one entry of the evidence holds, None where it holds none."""
    value = data.get("value") if isinstance(data, Mapping) else None
    if isinstance(value, str) and value in SPECIAL:
        return float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return Fraction(float(value)) if math.isfinite(float(value)) else float(value)
    except OverflowError:
        return None


def _is_nan(number: Number) -> bool:
    return isinstance(number, float) and math.isnan(number)


def _texts(*numbers: Number) -> list[str]:
    """Return numbers with as few digits as tell them apart."""
    for digits in range(4, 18):
        found = [_text(number, digits) for number in numbers]
        if len(set(found)) == len(set(numbers)):
            break
    return found


def _text(number: Number, digits: int) -> str:
    if isinstance(number, float):
        return SPECIAL[str(number)]
    return f"{float(number):.{digits}g}".replace("-", MINUS).replace("e+", "e")


def _words(got: Number, interval: tuple[Number, Number] | None, names: Sequence[str]) -> str:
    lo, hi = interval or (got, got)
    here, first, last = _texts(got, lo, hi)
    legal = [] if interval is None else [f"exactly {first}" if lo == hi else f"from {first} to {last}"]
    legal += [bounded(name, 40) for name in names]
    return f"The result is {here}; legal is {' or '.join(legal) or 'no number'}.{_distance(got, interval)}"


def _distance(got: Number, interval: tuple[Number, Number] | None) -> str:
    """Return how far a finite result lies from a finite interval."""
    if interval is None or isinstance(got, float) or interval[0] <= got <= interval[1]:
        return ""
    end = interval[0] if got < interval[0] else interval[1]
    if isinstance(end, float):
        return ""
    try:
        size = _text(abs(got - end), 3)
    except OverflowError:
        size = "more than the largest float"
    return f" It is {size} too {'small' if got < end else 'large'}."


@dataclass(frozen=True)
class Layout:
    """Places: the legal interval's ends, the result (None: not on the line), whether the scale changes between."""

    lo: float
    hi: float
    got: float | None
    broken: bool = False


def _layout(got: Number, lo: Number, hi: Number) -> Layout:
    if isinstance(lo, float) or isinstance(hi, float):
        return _open(got, lo, hi)
    if isinstance(got, float):
        beside = {"inf": RIGHT, "-inf": LEFT}.get(str(got))
        half = 40.0 if lo < hi else 0.0
        return Layout(180 - half, 180 + half, beside, beside is not None)
    distance = max(lo - got, got - hi, Fraction(0))
    if lo < hi and distance > BROKEN * (hi - lo):
        return Layout(210, 300, 60, True) if got < lo else Layout(60, 150, 300, True)
    begin, end = min(lo, got), max(hi, got)
    span = end - begin or Fraction(1)
    a, b, c = (float(LEFT + 24 + (RIGHT - LEFT - 48) * ((number - begin) / span)) for number in (lo, hi, got))
    return Layout(a, b, min(c, a - GAP) if got < lo else max(c, b + GAP) if got > hi else c)


def _open(got: Number, lo: Number, hi: Number) -> Layout:
    """Return the layout of an interval without one of its ends, or both."""
    a = LEFT - 12 if lo == -math.inf else RIGHT - 12 if lo == math.inf else 150.0
    b = RIGHT + 12 if hi == math.inf else LEFT + 12 if hi == -math.inf else 210.0
    if _is_nan(got):
        return Layout(a, b, None)
    return Layout(a, b, 80.0 if got < lo else 280.0 if got > hi else 180.0, True)


def _parts(got: Number, interval: tuple[Number, Number], nearest: Number | None) -> Iterator[Markup]:
    lo, hi = interval
    place = _layout(got, lo, hi)
    here, first, last = _texts(got, lo, hi)
    yield line(12, AXIS, 348, AXIS, "axis")
    if place.broken and place.got is not None:
        middle = (place.got + (place.hi if place.got > place.hi else place.lo)) / 2
        yield element("path", d=f"M{middle - 5:.1f} {AXIS + 6:.0f}l4 -12m2 12l4 -12", class_="cut")
    if place.lo == place.hi:
        yield element("path", d=f"M{place.lo:.1f} {AXIS - 7:.0f}l6 7l-6 7l-6 -7z", class_="legal")
    else:
        yield box(place.lo, AXIS - 5, place.hi - place.lo, 10, "legal", rx=3)
        yield from _nearest(nearest, lo, hi, place)
    legal = first if lo == hi else f"[{first}, {last}]"
    yield _named((place.lo + place.hi) / 2, AXIS + 22, f"legal {legal}", "said")
    if place.got is None:
        yield text(180, 16, f"result {here}, not on the line", class_="wrong")
        return
    x = place.got
    yield element("path", d=f"M{x - 5:.1f} {AXIS - 5:.0f}l10 10m0 -10l-10 10", class_="cross")
    yield _named(x, 20, f"result {here}", "wrong")


def _nearest(nearest: Number | None, lo: Number, hi: Number, place: Layout) -> Iterator[Markup]:
    """Return the mark of the correctly rounded result, where it lies within an interval that is drawn to scale."""
    numbers = (nearest, lo, hi)
    if any(n is None or isinstance(n, float) for n in numbers) or not lo <= nearest <= hi:  # type: ignore[operator]
        return
    share = (nearest - lo) / (hi - lo)  # type: ignore[operator]
    x = place.lo + (place.hi - place.lo) * float(share)
    yield line(x, AXIS - 8, x, AXIS + 8, "exact")


def _named(x: float, y: float, words: str, class_: str) -> Markup:
    """Return a label that does not leave the picture."""
    half = len(words) * CHARACTER / 2
    return text(min(max(x, half + 4), WIDTH - half - 4), y, words, class_=class_)
