"""Many reports side by side, as Markdown and as a page."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from multimargin_reports import Accuracy, Behaviour, Failure, Report, Verdict
from multimargin_reports.matrix import columns, html, markdown, sections

HOSTILE = "<script>alert(1)</script> | `x` \x1b[31m \u202e\n# heading"


def verdict(number: int, status: str = "pass", clause: str = "VALUE-4", part: str = "loss", **fields: Any) -> Verdict:
    failure = Failure("loss = 1, but should be 2", "forward(...)", "multimargin replay x") if status == "fail" else None
    given = {"title": "target term", "level": "MUST", "dtype": "float32", "failure": failure} | fields
    return Verdict(f"{clause}/{given['dtype']}/{number}/{part}", clause, status=status, **given)


def report(name: str, *verdicts: Verdict, **fields: Any) -> Report:
    given: dict[str, Any] = {
        "backend": {"name": name, "version": "1.2", "device": "cpu"},
        "profile": "training",
        "claim": "training",
        "planned": len(verdicts),
        "verdicts": verdicts,
        "environment": {"python": "3.11.7", "revision": "0123456789abcdef"},
    }
    return Report(**given | fields)


RIGHT = report(
    "right",
    verdict(0),
    verdict(1, part="gradient"),
    behaviours=(Behaviour("NaN", "SPECIAL-7", "loss", "float32", ("dropped",)),),
    accuracy=(Accuracy("float32", "loss", 9, 0.75, 0.25, 0.5, 0.5, 0.0, "within 1 ULP", (0.0,) * 9),),
)
WRONG = report(
    "wrong",
    verdict(0),
    verdict(1, "fail", part="gradient", clause="GRADIENT-4"),
    behaviours=(
        Behaviour("NaN", "SPECIAL-7", "loss", "float32", ("propagated",)),
        Behaviour("NaN", "SPECIAL-7", "gradient", "float32", ("dropped",)),
    ),
)
KNOWN = report("known", verdict(0, "fail", known="#1"), verdict(1, part="gradient"))
CUT = replace(RIGHT, complete=False)


def rows(*reports: Report) -> dict[str, tuple[str, ...]]:
    return {row[0]: row[1:] for section in sections(reports) for row in section.rows}


def test_each_backend_has_its_column() -> None:
    found = rows(RIGHT, WRONG, KNOWN, CUT)
    assert sections([RIGHT])[0].columns[:3] == ("core", "training", "half")
    assert found["right 1.2 cpu (1)"][:3] == ("✓ yes", "✓ yes", "-")
    assert found["wrong 1.2 cpu"][:3] == ("✓ yes", "✗ no: GRADIENT-4", "-")
    assert found["known 1.2 cpu"][:2] == ("◇ but for known failures",) * 2
    assert found["right 1.2 cpu (2)"][:3] == ("! run not whole",) * 3
    assert found["VALUE"] == ("✓ 2", "✓ 1", "✓ 1, 1 known failures", "✓ 2")
    assert found["GRADIENT"] == ("-", "✗ GRADIENT-4", "-", "-")
    assert found["NaN (SPECIAL-7)"] == ("dropped", "propagated; gradient: dropped", "-", "dropped")
    assert found["float32 loss"] == ("within 1 ULP, 0.75 ULP", "-", "-", "within 1 ULP, 0.75 ULP")
    assert found["revision"][0] == "0123456789ab"


def test_a_run_of_some_checks_is_not_said_to_be_conformant() -> None:
    narrow = replace(RIGHT, claim="training, only checks 'VALUE-*'")
    assert rows(narrow)["right 1.2 cpu"][:3] == ("✓ of some checks only", "✓ of some checks only", "-")


def test_columns_of_one_name_are_told_apart() -> None:
    assert columns([RIGHT, RIGHT, WRONG]) == ["right 1.2 cpu (1)", "right 1.2 cpu (2)", "wrong 1.2 cpu"]


@pytest.mark.parametrize("hostile", [HOSTILE, HOSTILE * 1000])
def test_what_a_backend_says_stays_in_its_cell(hostile: str) -> None:
    bad = report(
        hostile,
        verdict(0),
        claim=hostile,
        environment={"cpu": hostile},
        behaviours=(Behaviour(hostile, "SPECIAL-7", "loss", "float32", (hostile,)),),
    )
    text = markdown([bad, RIGHT])
    assert "\n# heading" not in text
    assert "\x1b" not in text
    widths = {line.count(" | ") for line in text.splitlines() if line.startswith("| ") and "\\|" not in line}
    assert widths == {2, 4}  # four profiles, two backends
    page = html([bad, RIGHT])
    assert "<script>alert" not in page
    assert "\x1b" not in page


def test_each_group_has_tables_of_its_own() -> None:
    grouped = {"Right <ones>": [RIGHT], "Wrong ones": [WRONG, KNOWN]}
    text = markdown(grouped, {"missing": "not run"})
    profiles = text.split("## Profiles")[1].split("\n## ")[0]
    assert re.findall(r"^### (.*)$", profiles, re.M) == [r"Right \<ones\>", "Wrong ones"]
    assert [line.split()[1] for line in profiles.splitlines() if " 1.2 cpu " in line] == ["right", "wrong", "known"]
    assert text.endswith("## Without a report\n\n- missing: not run\n")
    cells = Cells()
    cells.feed(html(grouped))
    assert cells.count["table"] == cells.count["h3"] == len(sections([RIGHT])) + len(sections([WRONG, KNOWN]))
    assert "<ones>" not in html(grouped)


class Cells(HTMLParser):
    """Counts a page's tables, rows and cells."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.count: dict[str, int] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        self.count[tag] = self.count.get(tag, 0) + 1


def test_the_page_has_what_the_text_has() -> None:
    cells = Cells()
    cells.feed(html([RIGHT, WRONG, KNOWN]))
    found = sections([RIGHT, WRONG, KNOWN])
    assert cells.count["table"] == cells.count["caption"] == len(found)
    assert cells.count["tr"] == sum(1 + len(section.rows) for section in found)
    assert "Clause groups" in html([RIGHT])
    assert html([RIGHT, WRONG]) == html([RIGHT, WRONG])
