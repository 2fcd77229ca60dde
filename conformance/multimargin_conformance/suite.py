"""The checks as pytest tests: one a clause, dtype and kind of check, and one an expected failure.

Collected by pytest_plugin.py. A test's id reads like GRADIENT-4-kink[float32-exact-grid]. It runs its checks through
the same code as `multimargin check`, fails with the messages of the verdicts, and is an xfail where all that failed was
expected, or is a SHOULD. --runxfail makes these fail too, as everywhere. A test of its own for each expected failure
makes the file strict: it fails where nothing that the entry matches does, in one process or in many.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from multimargin_conformance.backend import BackendNotStarted, Subject, UnknownBackend
from multimargin_conformance.calling import Caller
from multimargin_conformance.checks import plan
from multimargin_conformance.checks.item import Generated, Item
from multimargin_conformance.expectations import (
    Entry,
    in_force,
    load,
    marked,
    matches_nothing,
    passes,
)
from multimargin_conformance.isolation import Limits, started
from multimargin_conformance.ordering import in_turn
from multimargin_conformance.profiles import find_profile, scope_of
from multimargin_conformance.pytest_plugin import BEHAVIOUR
from multimargin_conformance.runner import everything, late_verdicts, run_some
from multimargin_conformance.session import Session
from multimargin_reference.clauses import CLAUSES
from multimargin_reports import Verdict
from multimargin_reports.content import one_line

MOST_IN_FULL = 3  # failures of one test; the others are counted
MOST_LINES = 20  # of one message


@dataclass(frozen=True)
class Run:
    """What is checked: the backend, how it is called, the planned checks, and the expected failures that are for it.

    whole: what would have been planned without --multimargin-dtype.
    """

    subject: Subject
    caller: Caller
    items: Sequence[Item]
    whole: Sequence[Item]
    entries: Sequence[Entry]

    def session(self) -> Session:
        """Return a session of its own for one test."""
        return Session(self.subject, caller=self.caller)

    def each(self, items: Sequence[Item], session: Session) -> Iterator[Verdict]:
        """Yield the verdict of each check, as it is run."""
        for verdict in run_some(items, session):
            yield marked(verdict, self.entries)

    def all(self, items: Sequence[Item], session: Session) -> list[Verdict]:
        """Return the verdicts of all checks, with what became known when the last one had run."""
        verdicts = list(self.each(items, session))
        late = late_verdicts(items, session)
        return [marked(late[v.id], self.entries) if v.id in late else v for v in verdicts]


def prepare(config: pytest.Config) -> Run:
    """Return what pytest's options ask for.

    Raises ValueError, UnknownBackend or BackendNotStarted where that cannot be run.
    """
    profile = find_profile(config.getoption("multimargin_profile"))
    file = config.getoption("multimargin_expected_failures")
    entries = load(file) if file else ()
    backend, device, isolate = (config.getoption(f"multimargin_{name}") for name in ("backend", "device", "isolate"))
    limits = Limits(config.getoption("multimargin_timeout"), python=config.getoption("multimargin_python"))
    running = ExitStack()
    config.add_cleanup(running.close)
    under_test, caller = running.enter_context(started(backend, device, isolate, limits))
    entries = in_force(entries, under_test.device, under_test.version)
    generated = Generated(*(config.getoption(f"multimargin_{name}") for name in ("seed", "examples", "huge")))
    items = plan(scope_of(profile, under_test, config.getoption("multimargin_dtype") or None, generated))
    if not items:
        raise ValueError(f"nothing to check: the backend declares none of what profile {profile.name} asks for")
    return Run(under_test, caller, items, plan(scope_of(profile, under_test, generated=generated)), entries)


class Suite(pytest.File):
    """All tests of one backend."""

    def collect(self) -> Iterator[pytest.Item]:
        """Yield the tests in the order in which `multimargin check` runs the checks, the expected failures last."""
        if not self.config.getoption("multimargin_backend"):
            yield NoBackend.from_parent(self, name="backend")
            return
        try:
            run = prepare(self.config)
        except (ValueError, UnknownBackend, BackendNotStarted) as error:
            raise self.CollectError(f"multimargin: {one_line(str(error))}") from error
        for name, items in cells(run.items).items():
            yield Cell.from_parent(self, name=name, run=run, items=items)
        for entry in run.entries:
            if judged(entry, run):
                yield ExpectedFailure.from_parent(self, name=entry_name(entry), run=run, entry=entry)


def cells(items: Sequence[Item]) -> dict[str, list[Item]]:
    """Return the checks by test: clause and title, dtype, kind of check."""
    found: dict[str, list[Item]] = {}
    for item in (items[place] for place in in_turn(items)):
        slug = re.sub(r"[^a-z0-9]+", "-", CLAUSES[item.clause].title.lower().replace("'", "")).strip("-")
        found.setdefault(f"{item.clause}-{slug}[{item.dtype}-{item.kind}]", []).append(item)
    return found


def entry_name(entry: Entry) -> str:
    """Return the name of an entry's test: its number, and what it is for without what pytest's own syntax uses."""
    what = re.sub(r"[^\w.*?!-]+", "-", "-".join(text for text in (entry.clause, entry.case, entry.dtype) if text))
    return f"expected-failures[{entry.number}-{what}]"


def judged(entry: Entry, run: Run) -> bool:
    """Return whether the entry can be judged: all that it matches is planned, or there is nothing that it matches."""
    matched = {item.id for item in run.whole if entry.covers(item)}
    if matched:
        return matched <= {item.id for item in run.items}
    return not any(entry.covers(item) for item in everything())


class NoBackend(pytest.Item):
    """What is collected without a backend."""

    def runtest(self) -> None:
        """Say which option is missing."""
        pytest.skip("no backend to check: give --multimargin-backend, such as torch or py:module:attr")

    def reportinfo(self) -> tuple[Any, None, str]:
        """Return where the test is and what it is called."""
        return self.path, None, self.name


class Cell(pytest.Item):
    """All checks of one clause, dtype and kind."""

    def __init__(self, *, run: Run, items: Sequence[Item], **given: Any) -> None:
        super().__init__(**given)
        self.run, self.items = run, items

    def runtest(self) -> None:
        """Run the checks; fail, or xfail where all that failed was expected or is a SHOULD."""
        session = self.run.session()
        verdicts = self.run.all(self.items, session)
        for (name, clause, part, dtype), answers in session.answers.items():
            key = f"{BEHAVIOUR}{clause} {name}, {part}, {dtype}"
            self.user_properties.append((one_line(key), one_line(", ".join(answers))))
        bad = [v for v in verdicts if v.status != "pass"]
        wrong = [v for v in bad if v.status == "error" or not (v.known or v.level == "SHOULD")]
        if bad and not wrong:
            pytest.xfail("; ".join(dict.fromkeys(excuse(v, bad, verdicts) for v in bad)))
        if bad:  # with --runxfail, pytest.xfail() does nothing
            pytest.fail(described(wrong or bad, len(verdicts)), pytrace=False)

    def reportinfo(self) -> tuple[Any, None, str]:
        """Return where the test is and what it is called."""
        return self.path, None, self.name


def excuse(verdict: Verdict, bad: Sequence[Verdict], verdicts: Sequence[Verdict]) -> str:
    """Return why a failure is none of the test, and of how many checks that is so."""
    alike = [v for v in bad if v.known == verdict.known]
    why = verdict.known or f"a SHOULD: {one_line(verdict.failure.message) if verdict.failure else verdict.label}"
    return f"{len(alike)} of {len(verdicts)} checks fail: {why}"


def described(bad: Sequence[Verdict], total: int) -> str:
    """Return the message of a failed test: the first failures in full, and how many there are."""
    lines = [f"{len(bad)} of {total} checks fail"]
    for verdict in bad[:MOST_IN_FULL]:
        if verdict.failure is None:
            lines += ["", one_line(f"{verdict.id}: {verdict.reason}")]
            continue
        failure = verdict.failure
        lines += ["", *(one_line(line) for line in failure.message.splitlines()[:MOST_LINES])]
        lines += [f"  call:   {one_line(failure.call)}"] if failure.call else []
        lines += [f"  replay: {one_line(failure.replay)}"]
    if len(bad) > MOST_IN_FULL:
        lines += ["", f"and {len(bad) - MOST_IN_FULL} more"]
    return "\n".join(lines)


class ExpectedFailure(pytest.Item):
    """One entry of the expected failures: something that it matches has to fail."""

    def __init__(self, *, run: Run, entry: Entry, **given: Any) -> None:
        super().__init__(**given)
        self.run, self.entry = run, entry

    def runtest(self) -> None:
        """Run what the entry matches until something fails; then what fails under another clause than its own."""
        matched = [item for item in self.run.items if self.entry.covers(item)]
        if not matched:
            pytest.fail(matches_nothing(self.entry), pytrace=False)
        session, failed = self.run.session(), False
        for verdict in self.run.each(matched, session):
            failed = failed or verdict.status != "pass"
            if self.entry.excuses(verdict):
                return
        others = [item for item in self.run.items if self.entry.reaches(item) and not self.entry.covers(item)]
        if failed or any(self.entry.excuses(verdict) for verdict in self.run.each(others, session)):
            return  # where it fails in another way, that failure is another test's
        pytest.fail(passes(self.entry, len(matched)), pytrace=False)

    def reportinfo(self) -> tuple[Any, None, str]:
        """Return where the test is and what it is called."""
        return self.path, None, self.name
