"""A run in parts: which checks belong to which shard, and what a shard's report keeps so that all of them make one."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from multimargin_conformance.accuracy import Errors, figures
from multimargin_conformance.checks.item import Item
from multimargin_conformance.expectations import Use, stale
from multimargin_conformance.shard_causes import Lead, causes_of
from multimargin_conformance.verdicts import halves
from multimargin_reference.clauses import CLAUSES
from multimargin_reports import Behaviour, Report, Verdict

SAME = ("backend", "profile", "claim", "environment")  # between the shards of one run


class MergeError(ValueError):
    """Reports that are not the shards of one run; the message says why."""


@dataclass(frozen=True)
class Shard:
    """Part `index` of `of`, counted from 1."""

    index: int
    of: int


def shard_of(text: str) -> Shard:
    """Return i/n as a shard. Raises ValueError."""
    found = re.fullmatch(r"([0-9]{1,4})/([0-9]{1,4})", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise ValueError(f"shard {text!r}, but should be i/n with i from 1 to n, such as 1/2")
    return Shard(int(found[1]), int(found[2]))


def share(items: Sequence[Item], shard: Shard) -> list[int]:
    """Return the places of a shard's items.

    The items of one clause and dtype stay together, since the limits on lost processes count over them. Raises
    ValueError where there are fewer such groups than shards.
    """
    sizes = Counter((item.clause, item.dtype) for item in items)
    if shard.of > len(sizes):
        raise ValueError(f"{shard.of} shards of {len(sizes)} clauses and dtypes, but should be at most as many")
    loads = [0] * shard.of
    home: dict[tuple[str, str], int] = {}
    for group, size in sizes.most_common():
        home[group] = loads.index(min(loads))
        loads[home[group]] += size
    return [place for place, item in enumerate(items) if home[item.clause, item.dtype] == shard.index - 1]


def record(
    shard: Shard, places: Sequence[int], planned: int, behaviours: Sequence[int], errors: Mapping[Any, list[Errors]]
) -> dict[str, Any]:
    """Return what a shard's report keeps: where its verdicts and behaviours come in the whole run, and all errors."""
    rows = [{"dtype": dtype, "part": part, **asdict(e)} for (dtype, part), some in errors.items() for e in some]
    kept = {"places": list(places), "planned": planned, "behaviours": [places[k] for k in behaviours], "errors": rows}
    return {"index": shard.index, "of": shard.of, **kept}


def merge(reports: Sequence[Report]) -> Report:
    """Return the report of the run that these are the shards of.

    Raises MergeError.
    """
    parts = [_record_of(report) for report in reports]
    _same_run(reports, parts)
    verdicts = _in_order([(place, v) for r, p in zip(reports, parts, strict=True) for place, v in _placed(r, p)])
    if [place for place, _ in verdicts] != list(range(parts[0]["planned"])):
        raise MergeError(f"the shards' verdicts are not each of the {parts[0]['planned']} planned ones once")
    kept = [_leads(report, part) for report, part in zip(reports, parts, strict=True)]
    causes, shown = causes_of(reports, kept, [verdict for _, verdict in verdicts])
    accuracy = figures(_errors(parts)) if not reports[0].options.get("fail_fast") else ()
    options = {name: value for name, value in reports[0].options.items() if name != "shard"}
    return replace(
        reports[0],
        planned=parts[0]["planned"],
        verdicts=tuple(shown),
        causes=causes,
        behaviours=(*_behaviours(reports, parts), *halves(accuracy)),
        accuracy=accuracy,
        sentences={v.clause: CLAUSES[v.clause].sentence for _, v in verdicts if v.clause in CLAUSES},
        complete=all(report.complete for report in reports),
        options=options,
        stale=stale(_uses(parts), shown),
        duration_s=sum(report.duration_s for report in reports),
    )


def _record_of(report: Report) -> Mapping[str, Any]:
    """Return a report's record, which may come from a file that was edited. Raises MergeError."""
    found = report.options.get("shard")
    if not isinstance(found, dict):
        raise MergeError("a report that is no shard: run multimargin check with --shard i/n")
    numbers = [found.get(name) for name in ("index", "of", "planned")]
    lists = [found.get(name) for name in ("places", "behaviours")]
    well_formed = all(type(n) is int for n in numbers) and all(
        type(some) is list and all(type(n) is int for n in some) for some in lists
    )
    if not well_formed or type(found.get("errors")) is not list:
        raise MergeError("a shard's record that is not of this version: the file was edited")
    if len(found["places"]) != len(report.verdicts) or len(found["behaviours"]) != len(report.behaviours):
        raise MergeError("a shard's record that does not fit its verdicts: the file was edited or cut short")
    return found


def _leads(report: Report, part: Mapping[str, Any]) -> list[Lead]:
    """Return what a shard kept of its causes. Raises MergeError."""
    ids = {verdict.id for verdict in report.verdicts}
    try:
        kept = [Lead.of(data) for data in part["leads"]]
    except (KeyError, TypeError, ValueError) as error:
        raise MergeError("a shard's record of its causes that is not of this version: the file was edited") from error
    if len(kept) != len(report.causes):
        raise MergeError("a shard's record of its causes that does not fit them: the file was edited")
    if any(not cause.verdicts or not ids.issuperset(cause.verdicts) for cause in report.causes):
        raise MergeError("a cause of verdicts that are not the shard's: the file was edited")
    return kept


def _uses(parts: Sequence[Mapping[str, Any]]) -> list[Use]:
    """Return what became of each expected failure in the whole run. Raises MergeError."""
    try:
        columns = [[Use(**entry) for entry in part["entries"]] for part in parts]
        if any(not isinstance(use.line, str) or not isinstance(use.matched, list) for some in columns for use in some):
            raise TypeError
        return [replace(some[0], used=any(use.used for use in some)) for some in zip(*columns, strict=True)]
    except (KeyError, TypeError, ValueError) as error:
        raise MergeError("shards of runs with different expected failures, or a file that was edited") from error


def _same_run(reports: Sequence[Report], parts: Sequence[Mapping[str, Any]]) -> None:
    if not reports:
        raise MergeError("nothing to merge")
    of, indices = parts[0]["of"], sorted(part["index"] for part in parts)
    if {part["of"] for part in parts} != {of}:
        raise MergeError("shards of runs that were divided differently")
    if len(set(indices)) != len(indices):
        raise MergeError(f"shard {next(i for i in indices if indices.count(i) > 1)}/{of} twice")
    if missing := sorted(set(range(1, of + 1)) - set(indices)):
        raise MergeError(f"shards {', '.join(f'{i}/{of}' for i in missing)} are missing")
    for name in SAME:
        if any(getattr(report, name) != getattr(reports[0], name) for report in reports):
            raise MergeError(f"shards of different runs: {name} differs")
    plain = [{k: v for k, v in report.options.items() if k != "shard"} for report in reports]
    if any(options != plain[0] for options in plain) or len({part["planned"] for part in parts}) > 1:
        raise MergeError("shards of different runs: options differ")


def _placed(report: Report, part: Mapping[str, Any]) -> list[tuple[int, Verdict]]:
    return list(zip(part["places"], report.verdicts, strict=True))


def _in_order(placed: list[tuple[int, Verdict]]) -> list[tuple[int, Verdict]]:
    return sorted(placed, key=lambda pair: pair[0])


def _behaviours(reports: Sequence[Report], parts: Sequence[Mapping[str, Any]]) -> tuple[Behaviour, ...]:
    both = zip(reports, parts, strict=True)
    placed = [pair for r, p in both for pair in zip(p["behaviours"], r.behaviours, strict=True)]
    return tuple(behaviour for _, behaviour in sorted(placed, key=lambda pair: pair[0]))


def _errors(parts: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], list[Errors]]:
    groups: dict[tuple[str, str], list[Errors]] = {}
    for row in (row for part in parts for row in part["errors"]):
        try:
            numbers = row["rounded"], row["widened"], row["classes"], row["bound"]
            errors = Errors(list(row["ulp"]), list(row["bound_used"]), *numbers)
            groups.setdefault((row["dtype"], row["part"]), []).append(errors)
        except (KeyError, TypeError) as error:
            raise MergeError("a shard's errors that are not of this version: the file was edited") from error
    return groups
