"""Write expected failures from a report: keep the entries that still hold, add one for each newly failed clause."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache

from multimargin_conformance.capabilities import ALL_DTYPES, Capabilities
from multimargin_conformance.checks import plan
from multimargin_conformance.checks.item import Item, Scope
from multimargin_conformance.expectations import (
    PLACEHOLDER,
    Entry,
    ExpectationsError,
    in_force,
    keys_of,
    part_of,
    stale,
    uses,
)
from multimargin_conformance.profiles import find_profile
from multimargin_conformance.runner import everything
from multimargin_reports import Report, Verdict
from multimargin_reports.content import one_line

HEAD = "# Expected failures: `multimargin check BACKEND --expected-failures FILE`\n"


@dataclass(frozen=True)
class Update:
    """The new list of entries, and one line for each entry that was left out as stale."""

    kept: tuple[Entry, ...]
    added: tuple[Entry, ...]
    dropped: tuple[str, ...]
    notes: tuple[str, ...]  # beside each added entry, what it was made from


def update(
    report: Report,
    old: Sequence[Entry] = (),
    *,
    owner: str = PLACEHOLDER,
    link: str = PLACEHOLDER,
    reason: str = PLACEHOLDER,
) -> Update:
    """Return the entries that make a run like the report's as expected.

    old: entries to keep with all that they say, but for those that the report shows to be stale. owner, link, reason:
    of the new entries. Only MUST failures are written down: others fail no run.
    Raises ExpectationsError for a report that is not valid: what did not run would be missing.
    """
    if not report.valid:
        raise ExpectationsError("the run of this report is not complete: run it again to the end")
    device, version = str(report.backend.get("device", "")), str(report.backend["version"])
    current = in_force(old, device, version)
    planned = _planned(report)
    lines = {entry: stale(uses([entry], report.verdicts, planned, everything), report.verdicts) for entry in current}
    kept = tuple(entry for entry in old if not lines.get(entry))
    unknown = [v for v in report.failures if v.level == "MUST" and not any(e.excuses(v) for e in kept if e in current)]
    made = [_added(verdicts, report) for verdicts in _by_clause(unknown)]
    added = tuple(replace(entry, owner=owner, link=link, reason=reason) for entries, _ in made for entry in entries)
    notes = tuple(note for entries, note in made for _ in entries)
    return Update(kept, added, tuple(line for found in lines.values() for line in found), notes)


@cache
def _plan(dtypes: tuple[str, ...], gradient: bool, capabilities: Capabilities) -> tuple[Item, ...]:
    return tuple(plan(Scope(dtypes, gradient, capabilities)))


def _planned(report: Report) -> tuple[Item, ...]:
    """Return what the profile asked of the backend; with --only, whose capabilities are narrowed, of any backend."""
    declared = report.backend.get("capabilities", {})
    profile = find_profile(report.profile)
    capabilities = Capabilities() if report.options.get("only") or not declared else Capabilities(**declared)
    dtypes = tuple(d for d in profile.dtypes if d in capabilities.dtypes)
    return _plan(dtypes, profile.gradient and capabilities.gradient, capabilities)


def _by_clause(verdicts: Iterable[Verdict]) -> Iterator[list[Verdict]]:
    groups: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        groups.setdefault(verdict.clause, []).append(verdict)
    yield from groups.values()


def _added(failed: list[Verdict], report: Report) -> tuple[list[Entry], str]:
    """Return the entries for one clause: by dtype and by part only where not all of them fail."""
    clause = failed[0].clause
    beside = [v for v in report.verdicts if v.clause == clause]
    dtypes = _only({v.dtype for v in failed}, {v.dtype for v in beside})
    parts = _only({part_of(v.id) for v in failed}, {part_of(v.id) for v in beside})
    entries = [Entry(clause=clause, dtype=dtype, part=part) for dtype in dtypes for part in parts]
    failure = next((v.failure for v in failed if v.failure), None)
    first = f"; the first: {failure.message}" if failure else ""
    note = one_line(f"{clause} {failed[0].title}: {len(failed)} of {len(beside)} checks fail{first}")
    used = [e for e in entries if any(e.excuses(v) for v in failed)]
    return used, note


def _only(failed: set[str], there: set[str]) -> list[str]:
    """Return the conditions that are needed: none where all fail."""
    order = [*ALL_DTYPES, "loss", "gradient"]
    return [""] if failed == there else sorted(failed, key=order.index)


def to_toml(result: Update) -> str:
    """Return the file's text. Comments of an earlier file are not kept."""
    blocks = [_table(entry, "") for entry in result.kept]
    blocks += [_table(entry, note) for entry, note in zip(result.added, result.notes, strict=True)]
    return "\n".join([HEAD, *blocks]) if blocks else f"{HEAD}# none\n"


def _table(entry: Entry, note: str) -> str:
    lines = [f"# {note}"] if note else []
    lines += ["[[expected]]", *(f"{key} = {_text(value)}" for key, value in keys_of(entry).items())]
    return "\n".join(lines) + "\n"


def _text(value: str) -> str:
    """Return a TOML basic string: JSON's, but for DEL, which TOML wants escaped, too."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
