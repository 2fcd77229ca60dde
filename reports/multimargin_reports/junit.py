"""The report as JUnit XML (report.xml): one test suite a clause group, one test case a clause and dtype.

The elements and attributes are those of the schema that Jenkins' xUnit plug-in publishes and pytest follows (xunit2),
which GitLab, GitHub's reporters, Azure and others read. A failed SHOULD and a known failure are skips, whose message
says so; a check that was not run is a skip too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree

from multimargin_reports.content import describe, foot, one_line
from multimargin_reports.model import Report, Verdict

MOST_IN_FULL = 5  # failures of one test case; the others are counted
Element = ElementTree.Element


def render(report: Report) -> str:
    """Return the report as XML text; nothing in it can leave the element that it stands in."""
    root = Element("testsuites", name=f"multimargin {describe(report)}", time=f"{report.duration_s:.3f}")
    suites = [_suite(report, group, some) for group, some in _groups(report).items()]
    if not report.valid or not report.planned:
        suites.append(_invalid(report))
    root.extend(suites)
    for key in ("tests", "failures", "errors"):
        root.set(key, str(sum(int(suite.get(key, "0")) for suite in suites)))
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'


def write(report: Report, path: Path) -> None:
    """Write an XML file."""
    path.write_text(render(report), encoding="utf-8")


def _groups(report: Report) -> dict[str, list[Verdict]]:
    groups: dict[str, list[Verdict]] = {}
    for verdict in report.verdicts:
        groups.setdefault(verdict.group, []).append(verdict)
    return groups


def _suite(report: Report, group: str, verdicts: Sequence[Verdict]) -> Element:
    cells: dict[tuple[str, str], list[Verdict]] = {}
    for verdict in verdicts:
        cells.setdefault((verdict.label, verdict.dtype), []).append(verdict)
    cases = [_case(label, dtype, some) for (label, dtype), some in cells.items()]
    found = Counter(child.tag for case in cases for child in case[:1])
    suite = Element("testsuite", name=group, tests=str(len(cases)))
    for key, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(key, str(found[tag]))
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in _properties(report):
        ElementTree.SubElement(properties, "property", name=name, value=one_line(value))
    suite.extend(cases)
    return suite


def _properties(report: Report) -> Iterator[tuple[str, str]]:
    yield "backend", describe(report)
    yield "profile", report.profile
    yield "claim", report.claim
    for name, value in report.environment.items():
        yield name, str(value)


def _case(label: str, dtype: str, verdicts: Sequence[Verdict]) -> Element:
    clause = verdicts[0].clause
    case = Element("testcase", classname=f"multimargin.{clause}", name=one_line(f"{label} [{dtype}]"))
    broken = [v for v in verdicts if v.status == "error"]
    wrong = [v for v in verdicts if v.status == "fail" and v.level == "MUST" and not v.known]
    excused = [v for v in verdicts if v.status == "fail" and v not in wrong]
    skipped = [v for v in verdicts if v.status == "skip"]
    total = len(verdicts)
    if broken:
        _add(case, "error", f"{len(broken)} of {total} checks could not be judged", broken)
    elif wrong:
        _add(case, "failure", f"{len(wrong)} of {total} checks fail", wrong)
    elif excused:
        why = ", ".join(dict.fromkeys(one_line(v.known) if v.known else "a SHOULD" for v in excused))
        _add(case, "skipped", f"{len(excused)} of {total} checks fail, which counts for nothing: {why}", excused)
    elif len(skipped) == total:
        _add(case, "skipped", f"none of {total} checks was run", skipped)
    return case


def _add(case: Element, tag: str, message: str, verdicts: Sequence[Verdict]) -> None:
    element = ElementTree.SubElement(case, tag, message=one_line(message), type=verdicts[0].clause)
    lines = [line for verdict in verdicts[:MOST_IN_FULL] for line in _lines(verdict)]
    if len(verdicts) > MOST_IN_FULL:
        lines.append(f"and {len(verdicts) - MOST_IN_FULL} more")
    element.text = "\n".join(lines)


def _lines(verdict: Verdict) -> Iterator[str]:
    failure = verdict.failure
    yield one_line(f"{verdict.id}: {failure.message if failure else verdict.reason}")
    if failure and failure.call:
        yield f"  call:   {one_line(failure.call)}"
    if failure:
        yield f"  replay: {one_line(failure.replay)}"


def _invalid(report: Report) -> Element:
    """Return a suite with an error: a run that proves nothing must not look like one that passed."""
    suite = Element("testsuite", name="run", tests="1", failures="0", errors="1", skipped="0")
    case = ElementTree.SubElement(suite, "testcase", classname="multimargin.run", name="the run is whole")
    ElementTree.SubElement(case, "error", message=foot(report), type="invalid")
    return suite
