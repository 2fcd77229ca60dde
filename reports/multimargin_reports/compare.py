"""Two reports compared: what fails now and did not, what passes now, other behaviours, accuracy and speed.

A regression is what a user of the old results would be hurt by: a failure that was none, a behaviour that is another
one, a worse accuracy class, a check that is no longer run though the run is of the same kind, or rounds of calls of
which the fastest is slower than the slowest one before, on the same machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from multimargin_reports.content import describe, one_line
from multimargin_reports.model import Accuracy, Behaviour, Report, Verdict

CLASSES = ("correctly rounded", "within 1 ULP", "widened", "in-dtype")  # of accuracy, from the best
SAME_MACHINE = ("machine", "cpu", "cpus", "gpu")
SAME_RUN = ("dtypes", "seed", "examples", "huge", "only")


@dataclass(frozen=True)
class Change:
    """One difference. kind: what sort it is, in words; text: one line, or a few."""

    kind: str
    text: str
    regression: bool


@dataclass(frozen=True)
class Comparison:
    """All differences between two reports. reason: why they cannot be compared, "" where they can."""

    old: str
    new: str
    changes: tuple[Change, ...]
    reason: str = ""

    @property
    def regressions(self) -> tuple[Change, ...]:
        """The changes for the worse."""
        return tuple(change for change in self.changes if change.regression)


def compare(old: Report, new: Report) -> Comparison:
    """Return what is different in `new`. A report that is invalid or incomplete is compared with nothing."""
    names = describe(old), describe(new)
    for word, report in (("old", old), ("new", new)):
        if not report.valid or not report.planned:
            return Comparison(*names, (), f"the {word} report is of a run that is not whole: it proves nothing")
    changes = (*_verdicts(old, new), *_behaviours(old, new), *_accuracy(old, new), *_speed(old, new))
    return Comparison(*names, changes)


def render(found: Comparison) -> str:
    """Return a comparison as text, the regressions first."""
    lines = [f"old: {found.old}", f"new: {found.new}"]
    if found.reason:
        return "\n".join([*lines, f"INVALID: {found.reason}"])
    ordered = sorted(found.changes, key=lambda change: not change.regression)
    for kind in dict.fromkeys(change.kind for change in ordered):
        some = [change for change in ordered if change.kind == kind]
        lines += ["", f"{kind}:", *(f"  {line}" for change in some for line in change.text.splitlines())]
    worse = len(found.regressions)
    lines += ["", f"REGRESSION: {worse} change{'s' * (worse > 1)} for the worse" if worse else "no regression"]
    return "\n".join(lines)


def _verdicts(old: Report, new: Report) -> Iterator[Change]:
    before = {v.id: v for v in old.verdicts}
    fails = [v for v in new.verdicts if _fails(v)]
    known = [v for v in fails if v.id in before]
    yield from _grouped("newly failing", (v for v in known if before[v.id].status != "fail"), new, regression=True)
    yield from _grouped(
        "failing, not in the old report", (v for v in fails if v.id not in before), new, regression=True
    )
    after = {v.id: v for v in new.verdicts}
    fixed = [v for v in old.verdicts if _fails(v) and v.id in after and after[v.id].status == "pass"]
    yield from _grouped("newly passing", fixed, old, regression=False)
    gone = [v for v in old.verdicts if v.status != "skip" and (v.id not in after or after[v.id].status == "skip")]
    if _same_run(old, new):
        yield from _grouped("no longer checked", gone, old, regression=True)
    elif gone:
        clauses = ", ".join(dict.fromkeys(one_line(v.clause) for v in gone))
        text = f"{len(gone)} checks of {clauses}: the new report is of another run ({one_line(new.claim)})"
        yield Change("no longer checked", text, regression=False)


def _fails(verdict: Verdict) -> bool:
    """Whether a verdict is a failure that counts: of a MUST, and not known."""
    return verdict.status == "fail" and verdict.level == "MUST" and not verdict.known


def _same_run(old: Report, new: Report) -> bool:
    """Whether both runs were to check the same, by the same suite."""
    versions = all(old.environment.get(key) == new.environment.get(key) for key in ("multimargin", "vectors_sha256"))
    options = all(old.options.get(key) == new.options.get(key) for key in SAME_RUN)
    return versions and options and (old.profile, old.claim) == (new.profile, new.claim)


def _grouped(kind: str, verdicts: Iterable[Verdict], report: Report, *, regression: bool) -> Iterator[Change]:
    """Yield one change a cause of the report that the verdicts are of, or a clause: how many checks, and the first."""
    causes = {id_: cause.title for cause in report.causes for id_ in cause.verdicts}
    groups: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        groups.setdefault(causes.get(verdict.id, verdict.label), []).append(verdict)
    for title, some in groups.items():
        dtypes = ", ".join(dict.fromkeys(v.dtype for v in some))
        clauses = ", ".join(dict.fromkeys(v.clause for v in some))
        checks = "1 check" if len(some) == 1 else f"{len(some)} checks"
        first = next((v for v in some if v.failure), some[0])
        text = f"{one_line(title)}: {checks} of {clauses} ({dtypes}), such as {one_line(first.id)}"
        if first.failure and kind != "newly passing":
            text += f"\n  {one_line(first.failure.message)}"
        yield Change(kind, text, regression)


def _behaviours(old: Report, new: Report) -> Iterator[Change]:
    before = {_key(b): b for b in old.behaviours}
    changed: dict[tuple[str, ...], list[str]] = {}
    for b in new.behaviours:
        was = before.get(_key(b))
        if was is not None and set(was.answers) != set(b.answers):
            changed.setdefault((b.clause, b.name, b.part, _answers(was), _answers(b)), []).append(b.dtype)
    for (clause, name, part, was_text, text), dtypes in changed.items():
        words = f"{clause} {one_line(name)}, {part} ({', '.join(dtypes)}): {was_text} -> {text}"
        yield Change("changed behaviour", words, regression=True)


def _key(b: Behaviour) -> tuple[str, str, str, str]:
    return b.name, b.clause, b.part, b.dtype


def _answers(b: Behaviour) -> str:
    return " and ".join(one_line(answer) for answer in sorted(b.answers))


def _accuracy(old: Report, new: Report) -> Iterator[Change]:
    before = {(a.dtype, a.part): a for a in old.accuracy}
    for a in new.accuracy:
        was = before.get((a.dtype, a.part))
        if was is None or _figures(was) == _figures(a):
            continue
        worse = CLASSES.index(a.accuracy_class) > CLASSES.index(was.accuracy_class)
        kind = "other accuracy class" if a.accuracy_class != was.accuracy_class else "other accuracy, of one class"
        yield Change(kind, f"{a.part} {a.dtype}: {_accuracy_text(was)} -> {_accuracy_text(a)}", worse)


def _figures(a: Accuracy) -> tuple[object, ...]:
    return a.accuracy_class, a.count, a.largest_ulp, a.median_ulp, a.correctly_rounded


def _accuracy_text(a: Accuracy) -> str:
    rounded = f"{a.correctly_rounded:.1%} correctly rounded"
    return f"{a.accuracy_class} (largest {a.largest_ulp:.3g} ULP, median {a.median_ulp:.3g}, {rounded})"


def _speed(old: Report, new: Report) -> Iterator[Change]:
    """Yield a change where no round of one run took as long as any of the other's: what differs less is noise."""
    machines = [[report.environment.get(key) for key in SAME_MACHINE] for report in (old, new)]
    alike = machines[0] == machines[1] and old.options.get("isolated") == new.options.get("isolated")
    if not old.timing or not new.timing or not alike:
        return
    ratio = _median(new.timing) / _median(old.timing)
    if min(new.timing) > max(old.timing):
        yield Change("slower", f"{ratio:.2f} times as long for the same calls: every round is slower", regression=True)
    elif max(new.timing) < min(old.timing):
        yield Change("faster", f"{ratio:.2f} times as long for the same calls: every round is faster", regression=False)


def _median(seconds: tuple[float, ...]) -> float:
    return sorted(seconds)[len(seconds) // 2]
