"""Many reports side by side: profiles, clause groups, behaviours, accuracy and versions, one column a backend."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup
from tabulate import tabulate

from multimargin_reports.conclusions import PROFILES, conclusions
from multimargin_reports.content import describe
from multimargin_reports.markdown import escaped
from multimargin_reports.model import Behaviour, Report
from multimargin_reports.text import one_line

TITLE = "MultiMarginLoss: implementations side by side"
NOTHING = "-"
NAMED = 3  # clauses in one cell
VERSIONS = ("framework", "python", "numpy", "system", "cpu", "gpu", "multimargin", "revision")
NARROW, SOME = "only checks", "✓ of some checks only"  # a claim's words, and what a run of some proves
WORDS = {
    "conformant": "✓ yes",
    "known": "◇ but for known failures",
    "invalid": "! run not whole",
    "not checked": NOTHING,
}


Grouped = Sequence[Report] | Mapping[str, Sequence[Report]]  # in tables of their own, by the group's name


@dataclass(frozen=True)
class Section:
    """One table: a row is its name and one cell a column, of which there is one for each report, if not others."""

    title: str
    about: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def columns(reports: Sequence[Report]) -> list[str]:
    """Return what each report's column is called: backend, version and device, and a number where two are alike."""
    names = [describe(report) for report in reports]
    seen: Counter[str] = Counter()
    found = []
    for name in names:
        seen[name] += 1
        found.append(name if names.count(name) == 1 else f"{name} ({seen[name]})")
    return found


def sections(reports: Sequence[Report]) -> tuple[Section, ...]:
    """Return the tables; one without rows is left out."""
    names = tuple(columns(reports))
    choices = "Where the specification leaves a choice: the loss's answer, and the gradient's where it is another one."
    accuracy = "Accuracy class and largest error against the exact result."
    made = (
        Section("Profiles", "Whether no MUST of the profile fails.", tuple(PROFILES), tuple(_profiles(reports))),
        Section("Clause groups", "How many checks pass, or which clauses fail.", names, tuple(_groups(reports))),
        Section("Behaviours", choices, names, tuple(_behaviours(reports))),
        Section("Accuracy", accuracy, names, tuple(_accuracy(reports))),
        Section("Runs", "What was run, where, and with which versions.", names, tuple(_runs(reports))),
    )
    return tuple(section for section in made if section.rows)


def _profiles(reports: Sequence[Report]) -> Iterator[tuple[str, ...]]:
    for name, report in zip(columns(reports), reports, strict=True):
        found = {c.profile: c.status for c in conclusions(report)}
        words = {**WORDS, "conformant": SOME} if NARROW in report.claim else WORDS
        yield name, *(words.get(found[p]) or f"✗ no: {_failing(report, p)}" for p in PROFILES)


def _failing(report: Report, profile: str) -> str:
    dtypes = PROFILES[profile]
    torch = profile == "torch"
    clauses = [
        v.clause
        for v in report.failures
        if v.level == "MUST" and not v.known and v.dtype in dtypes and v.id.startswith("CLASS-") is torch
        if profile != "core" or not v.id.endswith("/gradient")
    ]
    return _named(clauses)


def _named(clauses: Sequence[str]) -> str:
    """Return the clauses that failed most, and how many more did."""
    names = [one_line(clause) for clause, _ in Counter(clauses).most_common()]
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _groups(reports: Sequence[Report]) -> Iterator[tuple[str, ...]]:
    names = dict.fromkeys(v.group for report in reports for v in report.verdicts)
    for group in names:
        yield one_line(group), *(_group(report, group) for report in reports)


def _group(report: Report, group: str) -> str:
    some = [v for v in report.verdicts if v.group == group]
    failed = [v.clause for v in some if v.status == "fail" and v.level == "MUST" and not v.known]
    known = sum(bool(v.known) for v in some)
    passed = sum(v.status == "pass" for v in some)
    if not passed + len(failed) + known:
        return NOTHING
    words = f"✗ {_named(failed)}" if failed else f"✓ {passed:,}"
    return f"{words}, {known} known failures" if known else words


def _behaviours(reports: Sequence[Report]) -> Iterator[tuple[str, ...]]:
    names = dict.fromkeys((b.clause, b.name) for report in reports for b in report.behaviours)
    for clause, name in names:
        cells = [_answers([b for b in r.behaviours if (b.clause, b.name) == (clause, name)]) for r in reports]
        yield f"{one_line(name)} ({one_line(clause)})", *cells


def _answers(behaviours: Sequence[Behaviour]) -> str:
    parts: dict[str, list[str]] = {}
    for b in behaviours:
        parts.setdefault(b.part, []).extend(one_line(answer) for answer in b.answers)
    words = {part: ", ".join(dict.fromkeys(answers)) for part, answers in parts.items()}
    loss, gradient = words.get("loss", ""), words.get("gradient", "")
    return "; gradient: ".join(dict.fromkeys(word for word in (loss, gradient) if word)) or NOTHING


def _accuracy(reports: Sequence[Report]) -> Iterator[tuple[str, ...]]:
    found = [{(a.dtype, a.part): a for a in report.accuracy} for report in reports]
    for dtype, part in sorted({key for one in found for key in one}, key=lambda key: (len(key[0]), key)):
        figures = [one.get((dtype, part)) for one in found]
        yield f"{dtype} {part}", *(f"{a.accuracy_class}, {a.largest_ulp:.3g} ULP" if a else NOTHING for a in figures)


def _runs(reports: Sequence[Report]) -> Iterator[tuple[str, ...]]:
    yield "checks", *(f"{report.planned:,}, profile {report.profile}" for report in reports)
    yield "claim", *(one_line(report.claim) for report in reports)
    yield "duration", *(f"{report.duration_s:.0f} s" for report in reports)
    for key in VERSIONS:
        values = [_short(report.environment, key) for report in reports]
        if any(value != NOTHING for value in values):
            yield key, *values


def _short(environment: Mapping[str, object], key: str) -> str:
    text = one_line(str(environment.get(key, "") or NOTHING))
    return text[:12] if key == "revision" else text


def markdown(reports: Grouped, missing: Mapping[str, str] | None = None) -> str:
    """Return the tables as Markdown; text from a backend is escaped. missing: names without a report, and why."""
    parts = [f"# {TITLE}"]
    for title, by_group in _by_title(reports).items():
        parts += [f"## {title}", next(iter(by_group.values())).about]
        for group, section in by_group.items():
            rows = [[escaped(cell) for cell in row] for row in section.rows]
            headers = ["", *(escaped(name) for name in section.columns)]
            parts += [f"### {escaped(group)}"] if group else []
            parts.append(tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True))
    if missing:
        parts += ["## Without a report", "\n".join(f"- {escaped(n)}: {escaped(why)}" for n, why in missing.items())]
    return "\n\n".join(parts) + "\n"


def html(reports: Grouped, missing: Mapping[str, str] | None = None) -> str:
    """Return the tables as one HTML page in the style of the reports. missing: names without a report, and why."""
    from multimargin_reports.html import page

    body = Markup("\n").join(
        Markup("<section><h2>{}</h2>\n{}</section>").format(
            title, Markup("\n").join(_table(section, group) for group, section in by_group.items())
        )
        for title, by_group in _by_title(reports).items()
    )
    if missing:
        lines = Markup("\n").join(Markup("<li>{}: {}</li>").format(name, why) for name, why in missing.items())
        body += Markup("\n<section><h2>Without a report</h2>\n<ul>\n{}\n</ul></section>").format(lines)
    return page(TITLE, Markup("<h1>{}</h1>\n{}").format(TITLE, body))


def _by_title(reports: Grouped) -> dict[str, dict[str, Section]]:
    """Return the tables by their titles, and by group of reports."""
    groups = reports if isinstance(reports, Mapping) else {"": reports}
    found: dict[str, dict[str, Section]] = {}
    for group, some in groups.items():
        for section in sections(some):
            found.setdefault(section.title, {})[group] = section
    return found


def _table(section: Section, group: str) -> Markup:
    head = Markup("").join(Markup('<th scope="col">{}</th>').format(name) for name in section.columns)
    rows = Markup("\n").join(
        Markup('<tr><th scope="row">{}</th>{}</tr>').format(
            row[0], Markup("").join(Markup("<td>{}</td>").format(cell) for cell in row[1:])
        )
        for row in section.rows
    )
    return Markup(
        "{0}"
        '<div class="scroll" tabindex="0" role="region" aria-label="{1}"><table><caption>{2}</caption>'
        "<thead><tr><td></td>{3}</tr></thead><tbody>\n{4}\n</tbody></table></div>"
    ).format(
        Markup("<h3>{}</h3>\n").format(group) if group else "",
        f"{section.title}: {group}" if group else section.title,
        section.about,
        head,
        rows,
    )
