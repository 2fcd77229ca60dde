"""Expected failures: which failures of an implementation are known, why, and when they no longer are.

The file is TOML, a list of tables:

    [[expected]]
    clause = "SHAPE-7"            # a glob over clause ids; or case = a glob over vector ids and verdict ids; or both
    dtype = "float32"             # optional: a glob over dtypes
    part = "loss"                 # optional: "loss" or "gradient"
    device = "cpu"                # optional: a glob over the backend's device ("cuda" fits "cuda:0" too)
    version = ">=2.8,<2.14"       # optional: a PEP 440 specifier for the backend's version
    owner = "Ann Example"
    link = "https://example.org/issues/12"
    reason = "the sum of an empty batch is uninitialised memory"

It is strict. An entry whose device and version fit the run is stale, and fails the run, when every check that it
matches passes, or when it matches no check at all. One failure among its matches is enough to keep it: what fails by
chance, such as uninitialised memory, passes by chance too, so that an entry that had to fail on every match could not
be written down. A glob that is wider than the failure hides what breaks later, so the report counts how many of a
clause's checks fail, and `multimargin update-expectations` writes one entry a clause, by dtype and part where not all
fail.
An entry is not judged when part of what it matches was left out of the run (-k, --clause, --dtype, --only, -x).
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from multimargin_conformance.capabilities import ALL_DTYPES
from multimargin_conformance.checks.item import Item
from multimargin_reports import Verdict
from multimargin_reports.content import one_line

PARTS = ("loss", "gradient")
WHAT = ("clause", "case")
CONDITIONS = ("dtype", "part", "device", "version")
REQUIRED = ("owner", "link", "reason")
KEYS = (*WHAT, *CONDITIONS, *REQUIRED)
PLACEHOLDER = "TODO"  # what update-expectations writes where it was not told; refused here
RAN = ("pass", "fail")
LARGEST_FILE = 1 << 20  # bytes


class ExpectationsError(ValueError):
    """A file of expected failures that cannot be used: a usage error, with the file and the entry's number."""


@dataclass(frozen=True)
class Entry:
    """One expected failure. number: its place in the file, from 1; file: the file's name."""

    clause: str = ""
    case: str = ""
    dtype: str = ""
    part: str = ""
    device: str = ""
    version: str = ""
    owner: str = ""
    link: str = ""
    reason: str = ""
    number: int = 0
    file: str = ""

    @property
    def label(self) -> str:
        """The entry as messages name it: where it is and what it is for."""
        what = ", ".join(f"{key} {getattr(self, key)!r}" for key in (*WHAT, *CONDITIONS) if getattr(self, key))
        return f"{self.file} entry {self.number} ({what})"

    @property
    def known(self) -> str:
        """Why a failure was expected, who looks after it and where, in one line."""
        return one_line(f"{self.reason} ({self.owner}, {self.link})")

    def holds(self, device: str, version: str) -> bool:
        """Return whether the entry is for a backend of this device and version.

        Raises ExpectationsError where the entry asks for a version and the backend has none that can be compared.
        """
        if self.device and not any(fnmatchcase(name, self.device) for name in (device, device.split(":")[0])):
            return False
        if not self.version:
            return True
        try:
            return SpecifierSet(self.version).contains(Version(version), prereleases=True)
        except InvalidVersion as error:
            message = f"the backend's version is {version!r}, which PEP 440 cannot compare: leave the version out"
            raise ExpectationsError(f"{self.label}: {message}") from error

    def covers(self, item: Item) -> bool:
        """Return whether the entry could excuse a failure of a planned check."""
        named = any(fnmatchcase(clause, self.clause or "*") for clause in (item.clause, *item.also))
        return named and self.reaches(item)

    def reaches(self, item: Item) -> bool:
        """Return whether the entry could excuse a failure of a planned check that speaks about another clause.

        A result of the wrong shape, for one, is reported under the clause of shapes whatever was being checked.
        """
        return self._fits(item.case, item.id, item.dtype, item.part)

    def excuses(self, verdict: Verdict) -> bool:
        """Return whether a verdict is a failure that the entry expects."""
        if verdict.status != "fail" or not fnmatchcase(verdict.clause, self.clause or "*"):
            return False
        return self._fits(verdict.case, verdict.id, verdict.dtype, part_of(verdict.id))

    def _fits(self, case: str, name: str, dtype: str, part: str) -> bool:
        if self.part not in ("", part) or not fnmatchcase(dtype, self.dtype or "*"):
            return False
        return not self.case or fnmatchcase(case, self.case) or fnmatchcase(name, self.case)


def part_of(verdict_id: str) -> str:
    """Return which result a verdict is about: ids of checks of the gradient end in it."""
    return "gradient" if verdict_id.endswith("/gradient") else "loss"


def load(path: Path | str) -> tuple[Entry, ...]:
    """Read a file of expected failures. Raises ExpectationsError, which says which entry is wrong and how."""
    try:
        if (size := Path(path).stat().st_size) > LARGEST_FILE:
            raise ExpectationsError(f"{path} has {size} bytes, but should have at most {LARGEST_FILE}")
        data = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except ExpectationsError:
        raise
    except OSError as error:
        raise ExpectationsError(f"expected failures {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # not TOML, not UTF-8, or nested without end
        raise ExpectationsError(f"expected failures {path}: not TOML: {error}") from error
    tables = data.pop("expected", [])
    if data or not isinstance(tables, list):
        found = ", ".join(data) or "expected"
        raise ExpectationsError(f"expected failures {path}: {found!r}, but should be a list of [[expected]] tables")
    return tuple(_entry(table, number, Path(path).name) for number, table in enumerate(tables, start=1))


def _entry(table: Any, number: int, file: str) -> Entry:
    wrong = _wrong(table) if isinstance(table, Mapping) else "not a table"
    if wrong:
        raise ExpectationsError(f"{file} entry {number}: {wrong}")
    return Entry(**table, number=number, file=file)


def _wrong(table: Mapping[str, Any]) -> str:
    """Return what is wrong with an entry's table, "" where nothing is."""
    for key, value in table.items():
        if key not in KEYS:
            return f"unknown key {key!r}, but should be out of {', '.join(KEYS)}"
        if not isinstance(value, str) or not value.strip():
            return f"{key} = {value!r}, but should be a text that is not empty"
    if not any(key in table for key in WHAT):
        return "neither clause nor case, but should have a glob for one of them"
    for key in REQUIRED:
        if key not in table:
            return f"no {key}, but should have owner, link and reason"
        if table[key].strip() == PLACEHOLDER:
            return f"{key} is still {PLACEHOLDER}: fill it in"
    return next((text for key, check in CHECKS.items() if key in table and (text := check(table[key]))), "")


def _wrong_dtype(glob: str) -> str:
    known = any(fnmatchcase(name, glob) for name in ALL_DTYPES)
    return "" if known else f"dtype {glob!r}, but should match one of {', '.join(ALL_DTYPES)}"


def _wrong_part(part: str) -> str:
    return "" if part in PARTS else f"part {part!r}, but should be one of {', '.join(PARTS)}"


def _wrong_version(specifier: str) -> str:
    try:
        SpecifierSet(specifier)
    except InvalidSpecifier:
        return f"version {specifier!r}, but should be a PEP 440 specifier such as '>=2.8,<2.14'"
    return ""


CHECKS = {"dtype": _wrong_dtype, "part": _wrong_part, "version": _wrong_version}


def in_force(entries: Sequence[Entry], device: str, version: str) -> tuple[Entry, ...]:
    """Return the entries that are for this backend. Raises ExpectationsError as Entry.holds does."""
    return tuple(entry for entry in entries if entry.holds(device, version))


def marked(verdict: Verdict, entries: Sequence[Entry]) -> Verdict:
    """Return the verdict, with what is known about it where an entry expects it; the first such entry counts."""
    known = next((entry.known for entry in entries if entry.excuses(verdict)), "")
    return replace(verdict, known=known) if known else verdict


@dataclass(frozen=True)
class Use:
    """What a run, or a shard of one, has to do with an entry.

    used: whether a failure was excused by it. matched: ids of the checks that it matches. line: what to say where all
    of them pass, "" where there is nothing to say.
    """

    used: bool
    matched: tuple[str, ...]
    line: str


def uses(
    entries: Sequence[Entry],
    verdicts: Sequence[Verdict],
    planned: Sequence[Item],
    everything: Callable[[], Sequence[Item]],
) -> list[Use]:
    """Return what became of each entry that is in force.

    planned: what the profile asks of this backend, before the user left anything out. everything: all checks there are,
    of any profile; asked for only where an entry matches nothing of what was planned.
    """
    failed = [verdict for verdict in verdicts if verdict.status == "fail"]
    return [_use(entry, failed, planned, everything) for entry in entries]


def _use(
    entry: Entry, failed: Sequence[Verdict], planned: Sequence[Item], everything: Callable[[], Sequence[Item]]
) -> Use:
    matched = tuple(item.id for item in planned if entry.covers(item))
    if matched:
        line = passes(entry, len(matched))
    else:
        line = "" if any(entry.covers(item) for item in everything()) else matches_nothing(entry)
    return Use(any(entry.excuses(verdict) for verdict in failed), matched, line)


def stale(found: Sequence[Use], verdicts: Sequence[Verdict]) -> tuple[str, ...]:
    """Return one line for each entry that fails the run: no failure used it, and all that it matches ran and passed."""
    statuses = {verdict.id: verdict.status for verdict in verdicts}
    unused = [use for use in found if not use.used and use.line]
    return tuple(use.line for use in unused if all(statuses.get(name) == "pass" for name in use.matched))


def matches_nothing(entry: Entry) -> str:
    """Return the line of an entry that names no check."""
    return f"{one_line(entry.label)} matches no check that there is: correct or remove it"


def passes(entry: Entry, count: int) -> str:
    """Return the line of an entry whose checks pass."""
    checks = "the check that it matches passes" if count == 1 else f"all {count} checks that it matches pass"
    return f"{one_line(entry.label)}: {checks}: remove it"


def keys_of(entry: Entry) -> dict[str, str]:
    """Return the keys and values of an entry as a file has them."""
    return {f.name: value for f in fields(entry) if f.name in KEYS and (value := getattr(entry, f.name))}
