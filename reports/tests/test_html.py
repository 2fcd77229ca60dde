"""The HTML page: whole, inert, bounded, readable, and the same for the same report.

The page of a small report is kept in gold/report.html, without style and script. After a wanted change, write it again:
MULTIMARGIN_GOLD=update python -m pytest reports/tests/test_html.py -k gold
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import os
import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from markupsafe import Markup

from multimargin_reports import Report
from multimargin_reports.html import environment, inert, page, render, write

GOLD = Path(__file__).parent / "gold" / "report.html"
VOID = {"meta", "link", "input", "br", "hr", "img"}
REFERENCES = ("aria-labelledby", "aria-describedby", "aria-controls", "for", "data-copy")
MILLION = 1_000_000


class Page(HTMLParser):
    """A page as its tags, with what is wrong in it."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.ids: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Record a tag."""
        found = {key: value or "" for key, value in attrs}
        assert len(found) == len(attrs), f"an attribute of {tag} is given twice"
        self.tags.append((tag, found))
        self.ids += [found["id"]] if "id" in found else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Record a tag of a drawing, which may close itself."""
        assert "svg" in self.open or tag == "svg"
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        """Close a tag: the one that was opened last."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Record text that is neither style nor script."""
        if self.open and self.open[-1] not in ("style", "script"):
            self.texts.append(data)

    @property
    def text(self) -> str:
        """All text."""
        return " ".join("".join(self.texts).split())

    def of(self, tag: str) -> Iterator[dict[str, str]]:
        """The attributes of each such tag."""
        return (attributes for name, attributes in self.tags if name == tag)


def check(text: str) -> Page:
    """Check what is true of every page."""
    found = Page(text)
    assert len(found.ids) == len(set(found.ids))
    for tag, attributes in found.tags:
        named = [name for key in REFERENCES for name in attributes.get(key, "").split()]
        if tag == "a":
            assert attributes["href"].startswith("#"), "a link leads out of the page"
            named.append(attributes["href"][1:])
        assert set(named) <= set(found.ids)
        assert not any(key.startswith("on") or key in ("style", "src", "srcset", "xlink:href") for key in attributes)
        assert tag not in ("link", "img", "iframe", "object", "embed", "base", "image", "use", "video", "audio")
        if tag == "th":
            assert attributes["scope"] in ("col", "row", "rowgroup")
        if tag == "svg":
            assert attributes.get("aria-hidden") == "true" or (attributes["role"] == "img" and attributes["aria-label"])
    tables = sum(1 for _ in found.of("table"))
    assert tables == sum(1 for _ in found.of("caption"))
    assert len(list(found.of("script"))) == len(list(found.of("style"))) == len(list(found.of("h1"))) == 1
    return found


def test_the_page_is_whole(everything: Report) -> None:
    found = check(render(everything))
    assert next(found.of("html"))["lang"] == "en"
    assert [name for name, _ in found.tags if name in ("main", "nav", "header")] == ["nav", "main", "header"]
    levels = [int(name[1]) for name, _ in found.tags if re.fullmatch("h[1-6]", name)]
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert next(found.of("a"))["href"] == "#content"


def test_the_page_says_what_is_in_the_report(everything: Report) -> None:
    text = check(render(everything)).text
    for words in (
        "kernel 1.2 on cpu",
        "Not conformant to full",
        "VALUE-4 (MUST): The target MUST NOT count.",
        "or equals: Another.",
        "The result is 0.75; legal is from 0.25 to 0.5 or NaN. It is 0.25 too large.",
        "+2.5 ULP from the correctly rounded result",
        "multimargin replay a3f9 --backend kernel",
        'print("<b>&", x)',
        "loss = 0.75, but should be 0.5 (exact)",
        "VALUE-4/float64/edge-3/loss",
        "fail as expected",
        "uninitialised memory (Ann, https://example.org/1)",
        "entry 3 no longer fails",
        "not run: an earlier check failed",
        "NaN at the target",
        "it counts 0",
        "87.5% of 56 correctly rounded",
        "Largest error 8,388,608 ULP, at C = 5, where the largest bound is 1e307 ULP.",
        "python3.11.2",
        "cpusnot known",
        "seed7",
        "rounds of a fixed set of calls0.125 s, 0.25 s",
        "23 of 23 planned checks",
    ):
        assert words in text


def test_nothing_comes_from_elsewhere(everything: Report) -> None:
    text = render(everything)
    found = Page(text)
    for _, attributes in found.tags:
        assert not any("//" in value or "javascript:" in value for value in attributes.values())
    assert "url(" not in text
    assert "@import" not in text
    assert not re.search(r"https?:", text.replace("https://example.org/1", ""))


def test_the_policy_permits_this_style_and_this_script_alone(everything: Report) -> None:
    text = render(everything)
    policy = next(a["content"] for a in Page(text).of("meta") if a.get("http-equiv") == "Content-Security-Policy")
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    for kind in ("style", "script"):
        inside = text.partition(f"<{kind}>")[2].partition(f"</{kind}>")[0]
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert rules[f"{kind}-src"] == f"'sha256-{digest}'"
    assert text.index("Content-Security-Policy") < text.index("<style>")


def test_the_same_report_gives_the_same_bytes(tmp_path: Path, everything: Report) -> None:
    write(everything, tmp_path / "report.html")
    environment.cache_clear()
    assert (tmp_path / "report.html").read_bytes() == render(everything).encode()
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def scrubbed(text: str) -> str:
    """Return a page without style, script and their digests."""
    text = re.sub(r"(?s)<(style|script)>.*?</\1>", r"<\1></\1>", text)
    return re.sub(r"sha256-[A-Za-z0-9+/=]+", "sha256-", text)


def test_gold(everything: Report) -> None:
    text = scrubbed(render(everything))
    if os.environ.get("MULTIMARGIN_GOLD") == "update":
        GOLD.parent.mkdir(exist_ok=True)
        GOLD.write_text(text, encoding="utf-8")
    assert text == GOLD.read_text(encoding="utf-8")


HOSTILE = {
    "a script": "<script>alert(1)</script>",
    "the end of a script": "</script></style></title></pre>--><svg onload=alert(1)>",
    "a quote": "\" onmouseover='alert(1)' x=`",
    "a link": "javascript:alert(1) //evil.example/x.js https://evil.example",
    "a template": "{{ 7 * 7 }}{% raw %}{# #}",
    "entities": "&lt;script&gt; &#60;b&#62; &amp;amp;",
    "escape sequences": "\x1b[2J\x1b]0;owned\x07",
    "controls": "a\x00b\x08c\x7fd\x85e\x9bf\rg\x0bh",
    "right to left": "\u202egnihtyreve \u2066isolate\u2069 \u200f",
    "right to left letters": "\u05d0\u05d1\u05d2 \u0627\u0644\u0639",
    "zero width": "con\u200bform\u200dant\ufeff",
    "line separators": "a\u2028b\u2029c",
    "a lone surrogate": "a\ud800b",
    "tags": "\U000e0041\U000e0042",
    "private use": "\ue000\U0010ffff",
    "marks upon marks": "e" + "\u0301" * 5000,
    "a megabyte": "x" * (1 << 20),
    "a megabyte of quotes": '"' * (1 << 20),
    "a megabyte of escapes": "\x1b" * (1 << 20),
    "many lines": "line\n" * 300_000,
    "emoji": "\U0001f600" * 100_000,
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_text_is_inert(make_hostile: Callable[[str], Report], what: str) -> None:
    text = render(make_hostile(HOSTILE[what]))
    text.encode("utf-8")
    found = check(text)
    assert [name for name, _ in found.tags] == [name for name, _ in Page(render(make_hostile("x"))).tags]
    assert all(c.isprintable() or c == "\n" for c in "".join(found.texts))
    assert all(value.isprintable() for _, attributes in found.tags for value in attributes.values())
    assert len(text.encode()) < MILLION / 2


def test_what_is_cut_says_how_long_it_was(make_hostile: Callable[[str], Report]) -> None:
    text = Page(render(make_hostile("x" * (1 << 20)))).text
    assert "… (1,048,576 characters in all)" in text
    assert "x" * 7000 not in text


def test_what_a_template_prints_is_bounded_without_being_asked() -> None:
    assert inert(Markup("<b>")) == Markup("<b>")
    assert inert("a\x00b\n") == "a\\x00b\\n"
    assert len(str(inert("x" * 5000))) < 400
    template = environment().from_string("{{ text }}<i>{{ text|wide }}</i>")
    assert template.render(text="<b>\u202e") == "&lt;b&gt;\\u202e<i>&lt;b&gt;\\u202e</i>"


@pytest.mark.parametrize("message", ["", '"<&>' * 300, "\U0001f600" * 500], ids=["plain", "markup", "emoji"])
def test_twenty_thousand_verdicts_stay_below_a_megabyte(make_large: Callable[..., Report], message: str) -> None:
    text = render(make_large(20_000, message))
    assert 100_000 < len(text.encode()) < MILLION
    found = check(text)
    assert "20,000 of 20,000 planned checks" in found.text
    assert "more causes, not shown in full" in found.text
    assert "and 1 more" in found.text or "more messages are not shown" in found.text


def test_reports_without_much_are_whole(make_report: Callable[..., Report], make_verdict: Callable[..., Any]) -> None:
    passed = make_verdict("VALUE-1/float32/1/loss")
    assert "No check failed." in check(render(make_report(passed))).text
    assert "No clause was checked." in check(render(make_report())).text
    reason = {"reason": "it ended with status 1", "stderr": "Traceback:\n  no such module"}
    text = check(render(make_report(not_started=reason, complete=False))).text
    assert "This run proves nothing: the backend could not be started" in text
    assert "it ended with status 1" in text
    assert "no such module" in text
    failed = make_verdict("VALUE-1/float32/1/loss", "fail", known="a reason")
    assert "Every failure was expected." in check(render(make_report(failed, passed))).text


def test_odd_evidence_is_left_out(make_report: Callable[..., Report], make_verdict: Callable[..., Any]) -> None:
    for evidence in ({"got": 1, "lo": []}, {"got": {"value": True}, "lo": {}, "hi": {}}, {"ulp": "<b>", "also": 3}):
        failed = make_verdict("VALUE-1/float32/1/loss", "fail")
        object.__setattr__(failed.failure, "evidence", evidence)
        found = check(render(make_report(failed)))
        assert not any(attributes.get("class") == "plot" for attributes in found.of("svg"))


def test_another_page_in_this_style() -> None:
    found = check(page("Many <backends>", Markup("<h1>Many backends</h1>")))
    assert "Many <backends>" in found.text
    made = environment().from_string('{% import "macros.html.j2" as m %}{{ m.pill("pass", text) }}')
    assert made.render(text="<b>") == ('<span class="pill pass"><span aria-hidden="true">✓</span> &lt;b&gt;</span>')


def schemes() -> dict[str, dict[str, str]]:
    """Return the colours of both schemes by name."""
    style = str(environment().globals["style"])
    light, dark = (dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", part)) for part in style.split("@media", 2)[:2])
    return {"light": light, "dark": light | dark}


def luminance(colour: str) -> float:
    """Return the relative luminance of WCAG 2."""
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


KINDS = ("pass", "fail", "known", "should", "skip", "error")
TEXTS = [("text", "bg"), ("text", "panel"), ("muted", "bg"), ("muted", "panel"), ("link", "bg"), ("link", "panel")]
TEXTS += [(kind, f"{kind}-bg") for kind in KINDS] + [(kind, "bg") for kind in KINDS] + [("pass", "panel")]
MARKS = [("mark", "bg"), ("mark", "band"), ("far", "bg"), ("far", "beyond"), ("focus", "bg"), ("focus", "panel")]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(scheme: str) -> None:
    colours = schemes()[scheme]
    for pairs, least in ((TEXTS, 4.5), (MARKS, 3.0)):
        for front, back in pairs:
            one, two = sorted((luminance(colours[front]), luminance(colours[back])))
            assert (two + 0.05) / (one + 0.05) >= least, (front, back)


def test_the_style_has_every_scheme_and_paper() -> None:
    style = str(environment().globals["style"])
    used = set(re.findall(r"var\(--([a-z-]+)\)", style))
    assert used - {"mono"} <= schemes()["light"].keys()
    assert used - {"mono"} <= schemes()["dark"].keys()
    for words in ("prefers-color-scheme: dark", "@media print", ":focus-visible", "max-width: 44rem", "forced-colors"):
        assert words in style
