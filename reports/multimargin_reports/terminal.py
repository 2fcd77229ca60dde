"""The report as text: clause group x dtype, failures, behaviours, accuracy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from tabulate import tabulate

from multimargin_reports.model import Cause, Report, Verdict

MOST_FAILURES = 12  # causes printed in full; the JSON report has all
MOST_LINES = 20  # of one message
MOST_CLAUSES = 8  # named for one cause
LONGEST = 1000  # characters of one text that are printed
ENDS = ("got", "lo", "hi", "nearest")
NUMBER = ("value", "float_hex", "hex")  # as decimal, as hexadecimal float, as bits


def render(report: Report) -> str:
    """Return the whole report as text."""
    parts = [_head(report), _table(report), *_failures(report), _behaviours(report), _accuracy(report), _foot(report)]
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
    found = Counter(v.status for v in report.verdicts if v.group == group and v.dtype == dtype)
    total = found.total()
    if not total:
        return "-"
    words = [
        f"{found[s]} {word}" for s, word in (("fail", "FAIL"), ("error", "ERROR"), ("skip", "skipped")) if found[s]
    ]
    return f"{', '.join(words)} of {total}" if words else f"{total} pass"


def _failures(report: Report) -> Iterator[str]:
    """Yield one block a cause, or a failed clause where no causes were looked for."""
    causes = report.causes or _by_clause(report)
    for number, cause in enumerate(causes[:MOST_FAILURES], start=1):
        yield _block(report, cause, f"{number} of {len(causes)}")
    if len(causes) > MOST_FAILURES:
        rest = ", ".join(one_line(cause.title) for cause in causes[MOST_FAILURES:])
        yield f"and {len(causes) - MOST_FAILURES} more causes: {rest}"


def _by_clause(report: Report) -> tuple[Cause, ...]:
    clauses: dict[str, list[str]] = {}
    for verdict in report.failures:
        clauses.setdefault(verdict.label, []).append(verdict.id)
    return tuple(Cause(label, tuple(ids)) for label, ids in clauses.items())


def _block(report: Report, cause: Cause, number: str) -> str:
    """Return everything about one cause: what it is, where it shows, and its first failure in full."""
    found = {v.id: v for v in report.failures}
    verdicts = [found[id_] for id_ in cause.verdicts if id_ in found]
    dtypes = ", ".join(dict.fromkeys(v.dtype for v in verdicts))
    lines = [f"FAIL {number}: {one_line(cause.title)}: {len(verdicts)} checks, {dtypes}"]
    lines += [f"  or equals: {one_line(sentence)}" for _, sentence in cause.equals[1:]]
    lines += [f"  {one_line(text)}" for text in _clauses(report, verdicts)]
    failure = verdicts[0].failure if verdicts else None
    if failure:
        lines += [f"  {one_line(line)}" for line in failure.message.splitlines()[:MOST_LINES]]
        lines += [f"  {line}" for line in _numbers(failure.evidence)]
        lines += [f"  call:   {one_line(failure.call)}"] if failure.call else []
        lines += [f"  replay: {one_line(failure.replay)}"]
        lines += ["  program:"] if failure.snippet else []
        lines += [f"    {one_line(line)}" for line in failure.snippet.splitlines()[:MOST_LINES]]
    return "\n".join(lines)


def _clauses(report: Report, verdicts: list[Verdict]) -> Iterator[str]:
    """Yield the first failure's clause with its sentence, and how often which clauses failed."""
    counts = Counter(v.label for v in verdicts)
    for clause in list(dict.fromkeys(v.clause for v in verdicts))[:1]:
        yield f"{verdicts[0].label} ({verdicts[0].level}): {report.sentences.get(clause, '')}"
    if len(counts) > 1:
        others = [f"{label} ({count})" for label, count in counts.items()]
        yield f"breaks: {', '.join(others[:MOST_CLAUSES])}" + (", ..." if len(others) > MOST_CLAUSES else "")


def _numbers(evidence: Mapping[str, Any]) -> list[str]:
    """Return result and enclosure as decimals, hexadecimal floats and bits, and the distance in ULP."""
    rows = [[name, *(one_line(str(evidence[name].get(k, ""))) for k in NUMBER)] for name in ENDS if name in evidence]
    if not rows:
        return []
    ulp = evidence.get("ulp")
    words = [] if ulp is None else [f"{ulp:+.4g} ULP from the correctly rounded result"]
    return [*tabulate(rows, tablefmt="plain", disable_numparse=True).splitlines(), *words]


def _behaviours(report: Report) -> str:
    found: dict[tuple[str, str], dict[str, list[str]]] = {}
    meanings: dict[tuple[str, str], dict[str, str]] = {}
    for b in report.behaviours:
        key = (one_line(b.name), b.clause)
        found.setdefault(key, {}).setdefault(b.part, []).extend(one_line(answer) for answer in b.answers)
        meanings.setdefault(key, {}).update({one_line(k): one_line(v) for k, v in b.meanings.items()})
    rows = [
        [
            name,
            *(", ".join(dict.fromkeys(parts.get(part, ["-"]))) for part in ("loss", "gradient")),
            clause,
            _meanings(meanings[name, clause]),
        ]
        for (name, clause), parts in found.items()
    ]
    headers = ["behaviour", "loss", "gradient", "clause", "for a user"]
    return tabulate(rows, headers=headers, tablefmt="simple", disable_numparse=True) if rows else ""


def _meanings(meanings: Mapping[str, str]) -> str:
    """Return what the answers mean; which one is meant is said where there are several."""
    if len(meanings) == 1:
        return next(iter(meanings.values()))
    return "; ".join(f"{answer}: {text}" for answer, text in meanings.items())


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
            f"{a.bias_ulp:+.3g}",
            a.accuracy_class,
        ]
        for a in report.accuracy
    ]
    headers = [
        "accuracy",
        "of",
        "results",
        "largest ULP",
        "median ULP",
        "correctly rounded",
        "bound used",
        "bias",
        "class",
    ]
    return tabulate(rows, headers=headers, tablefmt="simple", disable_numparse=True) if rows else ""


def _foot(report: Report) -> str:
    counts = ", ".join(f"{count} {status}" for status, count in report.counts.items() if count)
    if not report.planned:
        return "INVALID: nothing to check: the backend declares none of what this profile asks for"
    if not report.valid:
        return f"INVALID: {report.planned} planned, {counts}; this run proves nothing"
    if report.conformant:
        return f"CONFORMANT to {one_line(report.claim)}: {counts}"
    clauses = dict.fromkeys(one_line(v.label) for v in report.failures)
    return f"NOT CONFORMANT to {one_line(report.claim)}: {counts}; clauses {', '.join(clauses)}"
