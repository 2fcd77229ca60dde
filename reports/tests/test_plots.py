"""Drawings: within their frames, true to scale where they say so, in words for everyone, whatever the numbers are."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import pytest

from multimargin_reports import Accuracy, Report
from multimargin_reports.grid import LISTED, grid
from multimargin_reports.numberline import number_line
from multimargin_reports.plots import Plot, errors_by_classes, histogram, share_bar, tail
from multimargin_reports.svg import element
from multimargin_reports.text import bounded, bounded_lines

EMPTY = Accuracy("float32", "loss", 1, 0.0, 0.0, 1.0, 0.0, 0.0, "correctly rounded")


def places(svg: str, tag: str, *names: str) -> list[list[float]]:
    """Return attributes of all elements of one kind, as numbers."""
    return [[float(e.get(name, "nan")) for name in names] for e in ElementTree.fromstring(svg).iter(tag)]


def within(plot: Plot) -> None:
    """Check that everything lies within the picture, and that it is well-formed."""
    svg = str(plot.picture)
    _, _, width, height = (float(n) for n in ElementTree.fromstring(svg).get("viewBox", "").split())
    for x, y, w, h in places(svg, "rect", "x", "y", "width", "height"):
        assert 0 <= x <= x + w <= width + 0.1
        assert 0 <= y <= y + h <= height + 0.1
    for x, y in [*places(svg, "text", "x", "y"), *places(svg, "circle", "cx", "cy")]:
        assert 0 <= x <= width
        assert 0 <= y <= height


def test_the_plots_of_a_report(everything: Report) -> None:
    for figures in everything.accuracy:
        for plot in (histogram(figures, tail(everything.accuracy)), errors_by_classes(figures)):
            within(plot)
            assert plot.words in plot.picture.unescape()
            assert plot == (histogram(figures, 24) if plot.headers[0] != "C" else errors_by_classes(figures))


def test_the_reach_of_the_tails(everything: Report) -> None:
    assert tail(()) == 3
    assert tail([EMPTY]) == 3
    assert tail(everything.accuracy) == 24  # 2 ** 23 and below 2 ** 24


def test_bars_are_as_high_as_their_counts() -> None:
    made = histogram(replace(EMPTY, histogram=((-0.25, 25), (0.0, 100), (0.25, 50), (64.0, 1))), 7)
    heights = sorted(
        float(e.get("height", 0))
        for e in ElementTree.fromstring(str(made.picture)).iter("rect")
        if e.get("class") in ("bar", "far")
    )
    assert heights == pytest.approx([2, 21, 42, 84])  # one result in a hundred is raised until it is seen
    assert made.rows == [["-0.25", "25"], ["+0", "100"], ["+0.25", "50"], ["+2⁶", "1"]]


@pytest.mark.parametrize(
    "bins",
    [(), ((0.0, 1),), ((-1e308, 1), (1e308, 10**12)), ((math.inf, 3), (math.nan, 2)), ((-5e-324, 1), (3.75, 1))]
    + [tuple((k / 4, 1) for k in range(5000))],
)
def test_odd_histograms(bins: Any) -> None:
    figures = replace(EMPTY, histogram=bins)
    within(histogram(figures, tail([figures])))


@pytest.mark.parametrize(
    "rows",
    [(), ((1, 1, 0.0, 0.0),), ((1, 1, 1e308, 1e308), (10**9, 1, 5e-324, math.inf)), ((3, 1, math.inf, math.nan),)]
    + [((3, 1, 1.0, math.nan), (0, 1, 2.0, 3.0)), tuple((k, 1, k / 7, 14.0) for k in range(1, 3000))],
)
def test_odd_errors_by_classes(rows: Any) -> None:
    within(errors_by_classes(replace(EMPTY, by_classes=rows)))


def test_errors_and_bounds_are_in_place() -> None:
    made = errors_by_classes(replace(EMPTY, by_classes=((2, 5, 0.1, 10.0), (8, 5, 1.0, 10.0), (32, 5, 0.0, 1e300))))
    svg = str(made.picture)
    (x1, y1), (x2, y2), (x3, y3) = places(svg, "circle", "cx", "cy")
    assert x2 - x1 == pytest.approx(x3 - x2, abs=0.02)  # 2, 8, 32: the same factor, the same distance
    assert y3 > y1 > y2
    assert svg.count('class="limit"') == 3
    assert svg.count('z" class="limit"') == 1  # an arrow: beyond the picture
    assert svg.count('class="point zero"') == 1


@pytest.mark.parametrize(("share", "width"), [(0.0, 0), (0.5, 30), (1.0, 60), (7.0, 60), (-1.0, 0)])
def test_the_share_bar(share: float, width: float) -> None:
    assert places(str(share_bar(share)), "rect", "width")[1] == [width]


def evidence(got: Any, lo: Any, hi: Any, nearest: Any = 0.0, also: Any = ()) -> dict[str, Any]:
    """Return evidence of these values."""
    values = {"got": got, "lo": lo, "hi": hi, "nearest": nearest}
    return {**{key: {"value": value} for key, value in values.items()}, "also": list(also)}


TINY = 2.0**-40
LINES = {
    "a point": (evidence(-0.5, 0.0, 0.0), "The result is -0.5; legal is exactly 0. It is 0.5 too small."),
    "near": (evidence(0.75, 0.25, 0.5), "The result is 0.75; legal is from 0.25 to 0.5. It is 0.25 too large."),
    "far": (evidence(1e30, 1.0, 1.5), "The result is 1e30; legal is from 1 to 1.5. It is 1e30 too large."),
    "one ULP": (
        evidence(1 + TINY, 1.0, 1.0),
        "The result is 1.000000000001; legal is exactly 1. It is 9.09e-13 too large.",
    ),
    "not a number": (evidence("nan", 1.0, 2.0), "The result is NaN; legal is from 1 to 2."),
    "infinite": (evidence("-inf", 1.0, 2.0), "The result is -∞; legal is from 1 to 2."),
    "overflow": (evidence(1.0, "inf", "inf"), "The result is 1; legal is exactly +∞."),
    "half open": (evidence(1.0, 2.0, "inf"), "The result is 1; legal is from 2 to +∞. It is 1 too small."),
    "specials alone": (evidence(1.0, 2.0, 1.0, also=["nan", "inf"]), "The result is 1; legal is NaN or +∞."),
    "nothing": (evidence(1.0, "nan", "nan"), "The result is 1; legal is no number."),
    "and NaN": (
        evidence(1.0, 0.0, 0.0, also=["nan"]),
        "The result is 1; legal is exactly 0 or NaN. It is 1 too large.",
    ),
    "largest": (
        evidence(-1.7e308, 1.7e308, 1.7e308),
        "The result is -1.7e308; legal is exactly 1.7e308. It is more than the largest float too small.",
    ),
    "smallest": (
        evidence(5e-324, 0.0, 0.0),
        "The result is 4.941e-324; legal is exactly 0. It is 4.94e-324 too large.",
    ),
    "inside": (evidence(0.25, 0.0, 1.0), "The result is 0.25; legal is from 0 to 1."),
}


@pytest.mark.parametrize("what", LINES)
def test_number_lines(what: str) -> None:
    given, words = LINES[what]
    line = number_line(given)
    assert line is not None
    assert line.words.replace("\N{MINUS SIGN}", "-") == words
    assert (line.picture is None) == (what in ("specials alone", "nothing"))
    if line.picture is not None:
        within(Plot(line.picture, "", [], []))
        assert ElementTree.fromstring(str(line.picture)).get("aria-label") == line.words


def drawn(svg: str, class_: str) -> float:
    """Return where the first path of a class begins, from the left."""
    found = next(e for e in ElementTree.fromstring(svg).iter("path") if e.get("class") == class_)
    return float(re.findall(r"M(-?[\d.]+)", found.get("d", ""))[0])


@pytest.mark.parametrize(("got", "left"), [(-0.5, True), (0.24, True), (0.51, False), (1e300, False)])
def test_the_result_is_on_the_right_side(got: float, left: bool) -> None:
    line = number_line(evidence(got, 0.25, 0.5))
    assert line is not None
    (legal,) = (
        (float(e.get("x", 0)), float(e.get("x", 0)) + float(e.get("width", 0)))
        for e in ElementTree.fromstring(str(line.picture)).iter("rect")
    )
    cross = drawn(str(line.picture), "cross") + 5
    assert (cross < legal[0]) if left else (cross > legal[1])
    assert ('class="cut"' in str(line.picture)) == (abs(got) > 2)  # far away: the line is broken


@pytest.mark.parametrize(
    "given",
    [{}, {"got": 1}, {"got": {}, "lo": {}, "hi": {}}, evidence(True, 0.0, 0.0), evidence("x", 0.0, 0.0)]
    + [evidence(10**400, 0.0, 0.0), evidence(None, 0.0, 0.0)],
)
def test_what_is_no_number_has_no_line(given: dict[str, Any]) -> None:
    assert number_line(given) is None


def test_elements_are_escaped() -> None:
    assert element("text", "<b>&", x=1.0, class_='"') == '<text x="1" class="&#34;">&lt;b&gt;&amp;</text>'
    assert element("path", d=None) == "<path/>"


def test_text_is_bounded() -> None:
    assert bounded("a\nb\x1b") == "a\\nb\\x1b"
    assert bounded("x" * 12, 10) == "xxxxxxxxxx… (12 characters in all)"
    assert bounded("\x1b" * 9, 10) == "\\x1b\\x1b\\x… (9 characters in all)"
    assert bounded_lines("a\nb") == "a\nb"
    assert bounded_lines("\n" * 2000).count("\n") < 100
    assert bounded_lines("line\n" * 100, 8) == "line\nlin… (500 characters in all)"


def test_checks_that_fail_alike_are_listed_together(everything: Report) -> None:
    rows = {row.clause: row for group in grid(everything).groups for row in group.rows}
    listings = rows["VALUE-4"].listings
    assert [(x.dtype, x.kind, len(x.ids), x.more) for x in listings] == [
        ("float32", "fail", 1, 0),
        ("float64", "fail", 5, 0),
    ]
    assert listings[0].message == "loss = 0.75, but should be 0.5 (exact)"
    assert rows["GRADIENT-2"].kinds == ("skip",)
    assert rows["CLASS-6"].kinds == ("should", "pass")
    assert [row.clause for row in rows.values()][:4] == ["VALUE-1", "VALUE-2", "VALUE-4", "VALUE-10"]
    assert grid(everything).dtypes == ("float16", "bfloat16", "float32", "float64")


def test_every_verdict_is_counted_and_what_is_listed_is_bounded(make_large: Any) -> None:
    made = grid(make_large(9_000, "<&>" * 50))
    rows = [row for group in made.groups for row in group.rows]
    assert sum(cell.total for row in rows for cell in row.cells.values()) == 9_000
    assert sum(cell.total for group in made.groups for cell in group.cells.values()) == 9_000
    assert sum(listing.cost for row in rows for listing in row.listings) <= LISTED
    assert all(row.listings for row in rows if "fail" in row.kinds)
    assert sum(len(x.ids) + x.more for row in rows for x in row.listings) + sum(r.left_out for r in rows) == 4_500
