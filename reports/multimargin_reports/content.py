"""What every text format says about a report: tables as rows and headers, causes as blocks, the conclusion."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from multimargin_reports.conclusions import conclusions as conclusions
from multimargin_reports.model import Cause, Failure, Report, Verdict
from multimargin_reports.text import one_line as one_line
from multimargin_reports.text import printable as printable

MOST_CLAUSES = 8  # named for one cause
ENDS = ("got", "lo", "hi", "nearest")
CELL_WORDS = {"fail": "FAIL", "known": "known FAIL", "error": "ERROR", "skip": "skipped"}
NUMBER = ("value", "float_hex", "hex")  # as decimal, as hexadecimal float, as bits

Table = tuple[list[list[str]], list[str]]  # rows and headers


@dataclass(frozen=True)
class Block:
    """What is said about one cause. clauses: the first one with its sentence, and how often which ones failed.

    clause: the id of that first one, "" where the report has none of the cause's verdicts.
    """

    title: str
    where: str
    equals: tuple[str, ...]
    clauses: tuple[str, ...]
    failure: Failure | None
    clause: str = ""


def describe(report: Report) -> str:
    """Return name and version of the backend, and its device."""
    backend = report.backend
    words = [one_line(str(backend[key])) for key in ("name", "version", "device") if backend.get(key)]
    return " ".join(word for word in words if word != "unknown")


def group_table(report: Report) -> Table:
    """Return the table clause group x dtype."""
    dtypes = sorted({v.dtype for v in report.verdicts}, key=lambda d: (len(d), d))
    groups = list(dict.fromkeys(v.group for v in report.verdicts))
    rows = [[group, *(_cell(report, group, dtype) for dtype in dtypes)] for group in groups]
    return rows, ["clauses", *dtypes]


def _cell(report: Report, group: str, dtype: str) -> str:
    chosen = [v for v in report.verdicts if v.group == group and v.dtype == dtype]
    found = Counter("known" if v.known else v.status for v in chosen)
    total = found.total()
    if not total:
        return "-"
    words = [f"{found[status]} {word}" for status, word in CELL_WORDS.items() if found[status]]
    return f"{', '.join(words)} of {total}" if words else f"{total} pass"


def blocks(report: Report) -> list[Block]:
    """Return one block a cause, or a failed clause where causes were not looked for."""
    found = {v.id: v for v in report.failures}
    causes = report.causes or _by_clause(report)
    return [_block(report, cause, [found[id_] for id_ in cause.verdicts if id_ in found]) for cause in causes]


def _by_clause(report: Report) -> tuple[Cause, ...]:
    clauses: dict[str, list[str]] = {}
    for verdict in (v for v in report.failures if not v.known):
        clauses.setdefault(verdict.label, []).append(verdict.id)
    return tuple(Cause(label, tuple(ids)) for label, ids in clauses.items())


def _block(report: Report, cause: Cause, verdicts: list[Verdict]) -> Block:
    where = f"{len(verdicts)} checks, {', '.join(dict.fromkeys(v.dtype for v in verdicts))}"
    equals = tuple(f"or equals: {sentence}" for _, sentence in cause.equals[1:])
    failure = verdicts[0].failure if verdicts else None
    clause = verdicts[0].clause if verdicts else ""
    return Block(cause.title, where, equals, tuple(_clauses(report, verdicts)), failure, clause)


def _clauses(report: Report, verdicts: list[Verdict]) -> Iterator[str]:
    counts = Counter(v.label for v in verdicts)
    for first in verdicts[:1]:
        yield f"{first.label} ({first.level}): {report.sentences.get(first.clause, '')}"
    if len(counts) > 1:
        others = [f"{label} ({count})" for label, count in counts.items()]
        yield f"breaks: {', '.join(others[:MOST_CLAUSES])}" + (", ..." if len(others) > MOST_CLAUSES else "")


def number_rows(evidence: Mapping[str, Any]) -> list[list[str]]:
    """Return result and enclosure as decimals, hexadecimal floats and bits; nothing where no number is wrong."""
    numbers = {name: evidence[name] for name in ENDS if isinstance(evidence.get(name), Mapping)}
    return [[name, *(one_line(str(ends.get(k, ""))) for k in NUMBER)] for name, ends in numbers.items()]


def ulp_text(evidence: Mapping[str, Any]) -> str:
    """Return the signed distance in ULP in words, "" where there is none."""
    ulp = evidence.get("ulp")
    return "" if ulp is None else f"{ulp:+.4g} ULP from the correctly rounded result"


def behaviour_table(report: Report) -> Table:
    """Return the table of behaviours, all dtypes together."""
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
    return rows, ["behaviour", "loss", "gradient", "clause", "for a user"]


def _meanings(meanings: Mapping[str, str]) -> str:
    """Return what the answers mean; which one is meant is said where there are several."""
    if len(meanings) == 1:
        return next(iter(meanings.values()))
    return "; ".join(f"{answer}: {text}" for answer, text in meanings.items())


def accuracy_table(report: Report) -> Table:
    """Return the table of accuracy, errors in ULP."""
    rows = [
        [
            a.dtype,
            a.part,
            str(a.count),
            f"{a.largest_ulp:.3g}",
            f"{a.median_ulp:.3g}",
            f"{a.correctly_rounded:.1%}",
            f"{a.bound_used:.1%}",
            f"{a.bias_ulp:+.3g}",
            a.accuracy_class,
        ]
        for a in report.accuracy
    ]
    headers = "accuracy, of, results, largest ULP, median ULP, correctly rounded, bound used, bias, class"
    return rows, headers.split(", ")


def known_lines(report: Report) -> list[str]:
    """Return a line for each failed clause and reason that was expected."""
    found = Counter((v.label, v.known) for v in report.failures if v.known)
    total = Counter(v.label for v in report.verdicts) if found else Counter()
    return [
        f"known FAIL {one_line(label)}: {count} of {total[label]} checks: {one_line(known)}"
        for (label, known), count in found.items()
    ]


def stale_lines(report: Report) -> list[str]:
    """Return a line for each expected failure that no longer fails."""
    return [f"STALE expected failure: {one_line(line)}" for line in report.stale]


def foot(report: Report) -> str:
    """Return the conclusion in one line."""
    counts = ", ".join(f"{count} {status}" for status, count in report.counts.items() if count)
    if report.not_started:
        stderr = report.not_started["stderr"]
        last = f"; the end of its stderr: {one_line(stderr)}" if stderr else ""
        return f"INVALID: the backend could not be started: {one_line(report.not_started['reason'])}{last}"
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
