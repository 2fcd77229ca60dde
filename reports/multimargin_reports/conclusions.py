"""What a run says about each profile, from its verdicts alone: one sentence a profile."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from multimargin_reports.model import Report, Verdict
from multimargin_reports.text import counted, one_line

SINGLE, HALF = ("float32", "float64"), ("float16", "bfloat16")
PROFILES = {"core": SINGLE, "training": SINGLE, "half": HALF, "torch": SINGLE}  # and the dtypes that each asks for
WORDS = {
    "conformant": "Conformant",
    "not conformant": "Not conformant",
    "known": "As expected, not conformant",
    "invalid": "Proves nothing",
    "not checked": "Not checked",
}
NAMED = 4  # clauses named in one sentence
LONGEST_CLAIM = 200  # characters
DTYPES_ONLY = re.compile(r"(no dtype|(b?float\d\d( and )?)+) only")


@dataclass(frozen=True)
class Conclusion:
    """What a run says about one profile. status: out of WORDS. checks: how many verdicts it rests on."""

    profile: str
    status: str
    text: str
    checks: int

    @property
    def sentence(self) -> str:
        """The whole sentence."""
        return f"{WORDS[self.status]}: {self.text}."


def headline(report: Report) -> tuple[str, str]:
    """Return the status of the whole run, out of WORDS, and what it says about what the run claims."""
    claim = one_line(report.claim)
    if not report.valid or not report.planned:
        return "invalid", f"This run proves nothing: {invalidity(report)}"
    if report.conformant:
        stale = f", but {counted(len(report.stale), 'expected failure')} did not happen" if report.stale else ""
        return "known" if stale else "conformant", f"Conformant to {claim}{stale}"
    return (
        ("known", f"As expected, not conformant to {claim}")
        if report.as_expected
        else ("not conformant", f"Not conformant to {claim}")
    )


def conclusions(report: Report) -> tuple[Conclusion, ...]:
    """Return one conclusion for each of the four profiles.

    A verdict belongs to profiles by what its check asked for, which its id says: a check of VALUE-1 that finds a wrong
    shape is a verdict about REDUCTION-4, and part of what the check of VALUE-1 is part of.
    """
    found: dict[str, list[Verdict]] = {profile: [] for profile in PROFILES}
    for verdict in report.verdicts:
        for profile in _profiles(verdict):
            found[profile].append(verdict)
    broken = invalidity(report)
    return tuple(_conclusion(report, profile, chosen, broken) for profile, chosen in found.items())


def _profiles(verdict: Verdict) -> Iterator[str]:
    if verdict.id.startswith("CLASS-"):
        yield "torch"
    elif verdict.dtype in HALF:
        yield "half"
    elif verdict.dtype in SINGLE:
        yield "training"
        if not of_gradient(verdict):
            yield "core"


def of_gradient(verdict: Verdict) -> bool:
    """Return whether the check is about the gradient."""
    return verdict.id.endswith("/gradient")


def invalidity(report: Report) -> str:
    """Return why a run proves nothing, "" where it is valid."""
    counts, found = report.counts, len(report.verdicts)
    if report.not_started:
        return "the backend could not be started"
    if not report.planned and not found:
        return "nothing was planned"
    if counts["error"]:
        return f"the suite itself broke in {counted(counts['error'], 'check')}"
    if report.planned != found:
        return f"{found:,} of {report.planned:,} planned checks have a verdict"
    return "" if report.complete else "it was not completed"


def _conclusion(report: Report, profile: str, verdicts: Sequence[Verdict], broken: str) -> Conclusion:
    missing = _missing(profile, verdicts)
    status, text = ("not checked", missing) if missing else _judged(verdicts)
    if broken:
        status, text = "invalid", f"{broken}; {missing if missing else f'so far {text}'}"
    elif not missing and (narrowed := narrowing(report, profile, verdicts)):
        text = f"{text}; narrowed to: {narrowed}"
    return Conclusion(profile, status, text, len(verdicts))


def _missing(profile: str, verdicts: Sequence[Verdict]) -> str:
    """Return why a profile was not checked, "" where it was."""
    if not verdicts:
        return "this run has no checks of it"
    if profile == "training" and not any(of_gradient(v) for v in verdicts):
        return "this run has no gradients"
    if all(v.status == "skip" for v in verdicts):
        return f"all {counted(len(verdicts), 'check')} were skipped"
    return ""


def _judged(verdicts: Sequence[Verdict]) -> tuple[str, str]:
    """Return status and words of verdicts, of which not all are skips."""
    must = [v for v in verdicts if v.status == "fail" and v.level == "MUST"]
    unknown = [v for v in must if not v.known]
    passed = sum(v.status == "pass" for v in verdicts)
    parts = [f"{counted(passed, 'check')} {'passes' if passed == 1 else 'pass'}"]
    status = "conformant" if passed else "not conformant"
    if unknown:
        status = "not conformant"
        parts = [f"{_share(unknown, verdicts)} a MUST ({_clauses(unknown)})"]
        parts += [_known(len(must) - len(unknown))] if len(must) > len(unknown) else []
    elif must:
        status = "known"
        parts = [f"{_share(must, verdicts)} a MUST, as was expected ({_clauses(must)})"]
    should = [v for v in verdicts if v.status == "fail" and v.level != "MUST"]
    parts += [f"{_fails(len(should))} a SHOULD ({_clauses(should)})"] if should else []
    skipped = sum(v.status == "skip" for v in verdicts)
    return status, "; ".join(parts + ([f"{skipped:,} skipped"] if skipped else []))


def _share(failed: Sequence[Verdict], verdicts: Sequence[Verdict]) -> str:
    return f"{len(failed):,} of {counted(len(verdicts), 'check')} {'fails' if len(failed) == 1 else 'fail'}"


def _known(count: int) -> str:
    return "1 more is a known failure" if count == 1 else f"{count:,} more are known failures"


def _fails(count: int) -> str:
    return f"{count:,} {'fails' if count == 1 else 'fail'}"


def _clauses(verdicts: Sequence[Verdict]) -> str:
    """Return the clauses that failed most, as many as are named, and how many more there are."""
    names = [one_line(name) for name, _ in Counter(v.clause for v in verdicts).most_common()]
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more clause{'s' * (more > 1)}" if more > 0 else "")


def narrowing(report: Report, profile: str, verdicts: Sequence[Verdict]) -> str:
    """Return in words what the run left out of a profile: of the claim, what bears on it."""
    seen = {v.dtype for v in verdicts}
    dtypes = [d for d in PROFILES[profile] if d in seen]
    words = [f"{' and '.join(dtypes)}"] if len(dtypes) < len(PROFILES[profile]) else []
    _, *left_out = report.claim.split(", ")
    gradient = any(of_gradient(v) for v in verdicts)
    for word in left_out:
        implied = DTYPES_ONLY.fullmatch(word) or (word == "no gradient" and (gradient or profile == "core"))
        if not implied and (word != "function only" or profile == "torch"):
            words.append(word.removesuffix(" only"))
    if report.options.get("shard"):
        words.append("one shard of a run")
    text = one_line(", ".join(words))
    return text if len(text) <= LONGEST_CLAIM else f"{text[: LONGEST_CLAIM - 3]}..."
