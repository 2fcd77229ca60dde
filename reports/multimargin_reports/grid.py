"""The table clause x dtype as data: what every cell says, and which checks are listed under it, within a budget."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import escape

from multimargin_reports.model import Report, Verdict
from multimargin_reports.text import bounded

ORDER = ("float16", "bfloat16", "float32", "float64")
MOST_CLAUSES = 300
LISTED = 350_000  # bytes of listed checks in one page
STEPS = (200, 50, 20, 10, 5, 2, 1)  # so many checks are listed under one message, the first that fits
MESSAGES = (40, 40, 20, 10, 5, 2, 1)  # and so many messages in one cell
LONGEST_MESSAGE, LONGEST_ID = 300, 120
MARKUP = 320  # bytes of the page around the texts of one listing
ADDRESS = re.compile(r" \[[^][]*\]$")  # what a message ends with: clause, case, backend
ANCHOR = re.compile(r"[A-Z]{2,12}-\d{1,3}")
WORST = ("error", "fail", "should", "known", "skip", "pass")  # the first that a cell has is what it is
UNLISTED = ("pass",)


@dataclass(frozen=True)
class Cell:
    """The verdicts of one clause in one dtype: how many of each kind (WORST), and what those are called together."""

    counts: Mapping[str, int]

    @property
    def total(self) -> int:
        """How many verdicts there are."""
        return sum(self.counts.values())

    @property
    def status(self) -> str:
        """The worst kind, "none" where there is no verdict; skips do not hide passes."""
        found = [kind for kind in WORST if self.counts.get(kind)]
        return "none" if not found else "pass" if found == ["skip", "pass"] else found[0]


@dataclass(frozen=True)
class Listing:
    """Checks of one dtype with one outcome and one message. more: how many are not named."""

    dtype: str
    kind: str
    message: str
    ids: tuple[str, ...]
    more: int

    @property
    def cost(self) -> int:
        """About how many bytes of the page this takes."""
        texts = (self.message, *self.ids)
        return MARKUP + sum(len(str(escape(text)).encode("utf-8", "replace")) + 1 for text in texts)


@dataclass(frozen=True)
class Row:
    """One clause. anchor: its name in links. left_out: messages that are not listed."""

    anchor: str
    clause: str
    title: str
    level: str
    sentence: str
    cells: Mapping[str, Cell]
    listings: tuple[Listing, ...]
    left_out: int

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of verdicts that the clause has in any dtype."""
        return tuple(kind for kind in WORST if any(cell.counts.get(kind) for cell in self.cells.values()))


@dataclass(frozen=True)
class Group:
    """One clause group with all its verdicts by dtype, and its clauses."""

    name: str
    cells: Mapping[str, Cell]
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Grid:
    """The whole table. left_out: clauses that have no row."""

    dtypes: tuple[str, ...]
    groups: tuple[Group, ...]
    left_out: int = 0

    @property
    def kinds(self) -> Mapping[str, int]:
        """By kind, how many clauses have verdicts of it."""
        return Counter(kind for group in self.groups for row in group.rows for kind in row.kinds)

    @property
    def anchors(self) -> Mapping[str, str]:
        """By clause, its name in links."""
        return {row.clause: row.anchor for group in self.groups for row in group.rows}


def kind_of(verdict: Verdict) -> str:
    """Return the kind of a verdict: its status, with failures that were expected or break a SHOULD apart."""
    if verdict.status != "fail":
        return verdict.status
    return "known" if verdict.known else "fail" if verdict.level == "MUST" else "should"


def grid(report: Report) -> Grid:
    """Return the table; a page with it is bounded in size whatever the verdicts are."""
    found: dict[str, list[Verdict]] = {}
    for verdict in report.verdicts:
        found.setdefault(verdict.clause, []).append(verdict)
    by_clause = dict(list(found.items())[:MOST_CLAUSES])
    dtypes = tuple(sorted({v.dtype for v in report.verdicts}, key=lambda d: (d not in ORDER, _place(ORDER, d), d)))
    listed = {clause: tuple(_listings(verdicts, dtypes)) for clause, verdicts in by_clause.items()}
    chosen = _within_budget(listed)
    groups = list(dict.fromkeys([*(v.id.split("-")[0] for v in report.verdicts), *map(_group, by_clause)]))
    rows: dict[str, list[Row]] = {}
    for number, clause in enumerate(sorted(by_clause, key=_natural)):
        sentence = report.sentences.get(clause, "")
        row = _row(by_clause[clause], f"clause-{number}", sentence, dtypes, chosen[clause])
        rows.setdefault(_group(clause), []).append(row)
    made = tuple(_group_of(name, rows[name], dtypes) for name in groups if name in rows)
    return Grid(dtypes, made, len(found) - len(by_clause))


def _place(order: Sequence[str], name: str) -> int:
    return order.index(name) if name in order else len(order)


def _group(clause: str) -> str:
    return clause.split("-")[0]


def _natural(clause: str) -> tuple[str, int, str]:
    number = clause.partition("-")[2]
    return _group(clause), int(number) if number.isdecimal() and len(number) < 9 else 0, clause


def _row(
    verdicts: Sequence[Verdict], number: str, sentence: str, dtypes: Sequence[str], listed: tuple[Listing, ...]
) -> Row:
    first = verdicts[0]
    counts: dict[str, Counter[str]] = {dtype: Counter() for dtype in dtypes}
    messages = {(v.dtype, kind_of(v), _message(v)) for v in verdicts if kind_of(v) not in UNLISTED}
    for verdict in verdicts:
        counts[verdict.dtype][kind_of(verdict)] += 1
    anchor = first.clause if ANCHOR.fullmatch(first.clause) else number
    levels = ", ".join(sorted({v.level for v in verdicts}))
    cells = {dtype: Cell(found) for dtype, found in counts.items()}
    return Row(anchor, first.clause, first.title, levels, sentence, cells, listed, len(messages) - len(listed))


def _group_of(name: str, rows: Sequence[Row], dtypes: Sequence[str]) -> Group:
    def together(dtype: str) -> Cell:
        return Cell(sum((Counter(row.cells[dtype].counts) for row in rows), Counter()))

    return Group(name, {dtype: together(dtype) for dtype in dtypes}, tuple(rows))


def _message(verdict: Verdict) -> str:
    """Return what a verdict says, without the address at its end: the same for checks that fail alike."""
    said = verdict.failure.message if verdict.failure else verdict.reason
    text = bounded(ADDRESS.sub("", said) if len(said) <= LONGEST_MESSAGE * 4 else said, LONGEST_MESSAGE)
    return f"{text} (known: {bounded(verdict.known, LONGEST_MESSAGE)})" if verdict.known else text


def _listings(verdicts: Sequence[Verdict], dtypes: Sequence[str]) -> Iterator[tuple[str, str, str, list[str]]]:
    """Return dtype, kind, message and ids of all that did not pass: by dtype, the worst and the most common first."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for verdict in verdicts:
        if (kind := kind_of(verdict)) not in UNLISTED:
            found.setdefault((verdict.dtype, kind, _message(verdict)), []).append(bounded(verdict.id, LONGEST_ID))
    for key in sorted(found, key=lambda k: (dtypes.index(k[0]), WORST.index(k[1]), -len(found[k]))):
        yield (*key, found[key])


Found = Mapping[str, tuple[tuple[str, str, str, list[str]], ...]]


def _within_budget(found: Found) -> dict[str, tuple[Listing, ...]]:
    """Return the listings by clause: as many checks and messages as fit into LISTED bytes, the same for every cell."""
    chosen: dict[str, tuple[Listing, ...]] = {}
    for ids, messages in zip(STEPS, MESSAGES, strict=True):
        chosen = {clause: tuple(_shortened(listings, ids, messages)) for clause, listings in found.items()}
        if sum(listing.cost for listings in chosen.values() for listing in listings) <= LISTED:
            break
    return chosen


def _shortened(found: Sequence[tuple[str, str, str, list[str]]], ids: int, messages: int) -> Iterator[Listing]:
    seen: Counter[str] = Counter()
    for dtype, kind, message, names in found:
        seen[dtype] += 1
        if seen[dtype] <= messages:
            yield Listing(dtype, kind, message, tuple(names[:ids]), max(0, len(names) - ids))
