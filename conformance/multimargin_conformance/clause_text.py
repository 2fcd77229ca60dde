"""Clauses for readers: what one says, what checks it, and which known faults it must catch."""

from __future__ import annotations

import textwrap
from collections import Counter

from multimargin_conformance.checks import clauses_checked, other_checks
from multimargin_conformance.clause_table import clauses_table
from multimargin_conformance.profiles import PROFILES
from multimargin_reference.clauses import CLAUSES, Clause
from multimargin_reference.known import FAULTS
from multimargin_reference.spec import GROUP_TEXTS
from multimargin_vectors.store import outlines

MOST_FAULTS = 5
WIDTH = 100


def clause_text(clause: Clause) -> str:
    """Return everything about one clause."""
    return "\n\n".join([_head(clause), _example(clause), _checks(clause), _faults(clause), _alone(clause)])


def group_text(group: str) -> str:
    """Return a group's clauses with their sentences, and the table of what checks them."""
    members = [clause for clause in CLAUSES.values() if clause.group == group]
    sentences = [f"{clause.label} ({clause.level})\n{_wrapped(clause.sentence)}" for clause in members]
    more = f"One of them in full: multimargin explain {members[0].id}"
    return "\n\n".join([f"{group}: {GROUP_TEXTS[group]}", *sentences, clauses_table(group), more])


def _head(clause: Clause) -> str:
    head = f"{clause.label}\nlevel {clause.level}, profile {clause.profile}, source: {clause.source}"
    return f"{head}\n\n{_wrapped(clause.sentence)}"


def _wrapped(text: str, indent: str = "  ") -> str:
    return textwrap.fill(text, WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)


def _example(clause: Clause) -> str:
    lines = textwrap.indent(clause.example, "  ")
    return f"Example, after `from multimargin_reference.examples import *`:\n{lines}"


def _checks(clause: Clause) -> str:
    """Say what checks a clause: vectors by dtype, and checks that make their own calls."""
    dtypes = Counter(v.dtype for v in outlines() if clause.id in (*v.clauses, *v.gradient_clauses))
    others = other_checks().get(clause.id, [])
    if not dtypes and not others:
        return "Nothing in this version checks it."
    lines = []
    if dtypes:
        by_dtype = ", ".join(f"{count} {dtype}" for dtype, count in dtypes.items())
        lines.append(f"Checked by {dtypes.total()} vectors ({by_dtype}): multimargin vectors list --clause {clause.id}")
    if others:
        lines.append(f"Checked by {len(others)} check{'s' * (len(others) != 1)} with calls of {_own(others)} own:")
        lines += [_wrapped(text, "    ") for text in others]
    return "\n".join(lines)


def _own(others: list[str]) -> str:
    return "their" if len(others) > 1 else "its"


def _faults(clause: Clause) -> str:
    named = [fault for fault in FAULTS if clause.id in fault.clauses]
    if not named:
        return "No known fault names it."
    lines = [f"Known faults that it must catch: {len(named)}{', such as' if len(named) > MOST_FAULTS else ''}"]
    lines += [_wrapped(f"{fault.name}: {fault.sentence}") for fault in named[:MOST_FAULTS]]
    return "\n".join(lines)


def _alone(clause: Clause) -> str:
    if clause.profile not in PROFILES or clause.id not in clauses_checked():
        return "It cannot be run alone in this version."
    return f"To check it alone: multimargin check BACKEND --profile {clause.profile} --clause {clause.id}"
