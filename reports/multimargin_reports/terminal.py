"""The report as text: clause group x dtype, failures, behaviours, accuracy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tabulate import tabulate

from multimargin_reports.model import Report, Verdict

MOST_FAILURES = 12  # clauses printed in full; the JSON report has all
MOST_LINES = 20  # of one message
LONGEST = 1000  # characters of one text that are printed
CELL_WORDS = {"fail": "FAIL", "known": "known FAIL", "error": "ERROR", "skip": "skipped"}


def render(report: Report) -> str:
    """Return the whole report as text."""
    failures = [*_failures(report), *_known(report), *_stale(report)]
    parts = [_head(report), _table(report), *failures, _behaviours(report), _accuracy(report), _foot(report)]
    return printable("\n\n".join(part for part in parts if part))


def printable(text: str) -> str:
    """Return text with control characters escaped: a backend's name or message must not steer the terminal."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def one_line(text: str) -> str:
    """Return text on one line of bounded length: a name or message must not look like a line of the report."""
    shortened = text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
    return printable(shortened).replace("\n", "\\n")


def describe(report: Report) -> str:
    """Return name and version of the backend, and its device."""
    backend = report.backend
    words = [one_line(str(backend[key])) for key in ("name", "version", "device") if backend.get(key)]
    return " ".join(word for word in words if word != "unknown")


def _head(report: Report) -> str:
    return f"{describe(report)}, profile {report.profile}: {report.planned} checks in {report.duration_s:.1f} s"


def _table(report: Report) -> str:
    dtypes = sorted({v.dtype for v in report.verdicts}, key=lambda d: (len(d), d))
    groups = list(dict.fromkeys(v.group for v in report.verdicts))
    rows = [[group, *(_cell(report, group, dtype) for dtype in dtypes)] for group in groups]
    return tabulate(rows, headers=["clauses", *dtypes], tablefmt="simple")


def _cell(report: Report, group: str, dtype: str) -> str:
    chosen = [v for v in report.verdicts if v.group == group and v.dtype == dtype]
    found = Counter("known" if v.known else v.status for v in chosen)
    total = found.total()
    if not total:
        return "-"
    words = [f"{found[status]} {word}" for status, word in CELL_WORDS.items() if found[status]]
    return f"{', '.join(words)} of {total}" if words else f"{total} pass"


def _failures(report: Report) -> Iterator[str]:
    """Yield one block a failed clause: its first failure in full, and how many more there are."""
    clauses: dict[str, list[Verdict]] = {}
    for verdict in (v for v in report.failures if not v.known):
        clauses.setdefault(one_line(verdict.label), []).append(verdict)
    for label, verdicts in list(clauses.items())[:MOST_FAILURES]:
        yield _block(report, label, verdicts)
    if len(clauses) > MOST_FAILURES:
        yield f"and failures of {len(clauses) - MOST_FAILURES} more clauses: {', '.join(list(clauses)[MOST_FAILURES:])}"


def _block(report: Report, label: str, verdicts: list[Verdict]) -> str:
    first = verdicts[0]
    dtypes = ", ".join(dict.fromkeys(v.dtype for v in verdicts))
    lines = [f"FAIL {label} ({first.level}): {len(verdicts)} of {_total(report, label)} checks, {dtypes}"]
    if first.failure:
        lines += [f"  {one_line(line)}" for line in first.failure.message.splitlines()[:MOST_LINES]]
        lines += [f"  call:   {one_line(first.failure.call)}"] if first.failure.call else []
        lines += [f"  replay: {one_line(first.failure.replay)}"]
    return "\n".join(lines)


def _known(report: Report) -> Iterator[str]:
    """Yield one block: a line for each failed clause and reason that was expected."""
    found = Counter((one_line(v.label), one_line(v.known)) for v in report.failures if v.known)
    lines = [
        f"known FAIL {label}: {count} of {_total(report, label)} checks: {known}"
        for (label, known), count in found.items()
    ]
    if lines:
        yield "\n".join(lines)


def _stale(report: Report) -> Iterator[str]:
    """Yield one block: a line for each expected failure that no longer fails."""
    if report.stale:
        yield "\n".join(f"STALE expected failure: {one_line(line)}" for line in report.stale)


def _total(report: Report, label: str) -> int:
    return sum(one_line(v.label) == label for v in report.verdicts)


def _behaviours(report: Report) -> str:
    found: dict[tuple[str, str], dict[str, list[str]]] = {}
    for b in report.behaviours:
        answers = [one_line(answer) for answer in b.answers]
        found.setdefault((one_line(b.name), b.clause), {}).setdefault(b.part, []).extend(answers)
    rows = [
        [name, *(", ".join(dict.fromkeys(parts.get(part, ["-"]))) for part in ("loss", "gradient")), clause]
        for (name, clause), parts in found.items()
    ]
    headers = ["behaviour", "loss", "gradient", "clause"]
    return tabulate(rows, headers=headers, tablefmt="simple", disable_numparse=True) if rows else ""


def _accuracy(report: Report) -> str:
    rows = [
        [
            a.dtype,
            a.part,
            a.count,
            f"{a.largest_ulp:.3g}",
            f"{a.median_ulp:.3g}",
            f"{a.correctly_rounded:.1%}",
            f"{a.bound_used:.1%}",
            a.accuracy_class,
        ]
        for a in report.accuracy
    ]
    headers = ["accuracy", "of", "results", "largest ULP", "median ULP", "correctly rounded", "bound used", "class"]
    return tabulate(rows, headers=headers, tablefmt="simple", disable_numparse=True) if rows else ""


def _foot(report: Report) -> str:
    counts = ", ".join(f"{count} {status}" for status, count in report.counts.items() if count)
    if not report.planned:
        return "INVALID: nothing to check: the backend declares none of what this profile asks for"
    if not report.valid:
        return f"INVALID: {report.planned} planned, {counts}; this run proves nothing"
    return f"{_judgement(report)}: {counts}{_wrong(report)}"


def _judgement(report: Report) -> str:
    claim = one_line(report.claim)
    if report.conformant:
        return f"NOT AS EXPECTED, though conformant to {claim}" if report.stale else f"CONFORMANT to {claim}"
    if report.as_expected:
        known = [v for v in report.failures if v.known]
        clauses = ", ".join(dict.fromkeys(v.clause for v in known))
        return f"AS EXPECTED: {len(known)} known failures ({clauses}), not conformant to {claim}"
    return f"NOT CONFORMANT to {claim}"


def _wrong(report: Report) -> str:
    """Return what a run that is neither conformant nor as expected failed by, in the last line's words."""
    if report.as_expected:
        return ""
    labels = dict.fromkeys(one_line(v.label) for v in report.failures if not v.known)
    known = sum(bool(v.known) for v in report.failures)
    parts = {"clauses": ", ".join(labels), "known failures:": known, "stale expected failures:": len(report.stale)}
    return "".join(f"; {words} {value}" for words, value in parts.items() if value)
