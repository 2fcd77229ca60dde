"""Both rates: every known fault is rejected, by a clause that it names, and every legal variant is accepted.

A spread of the catalogue by default, with every fault of a real project and every clause; all with MULTIMARGIN_SLOW=1.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterator, Sequence
from functools import cache

import pytest

from multimargin_conformance import Capabilities, check
from multimargin_conformance.checks import plan
from multimargin_conformance.checks.blocks import KINDS
from multimargin_conformance.checks.effects import EFFECTS, KEPT, STAYING
from multimargin_conformance.checks.invalid import REASONS
from multimargin_conformance.checks.item import Item, Scope
from multimargin_conformance.checks.properties import PROPERTIES
from multimargin_conformance.checks.threads import HOW
from multimargin_conformance.checks.unusual import UNUSUAL
from multimargin_conformance.profiles import PROFILES
from multimargin_reference.clauses import CLAUSES
from multimargin_reference.known import FAULTS, VARIANTS, Fault, Variant
from multimargin_vectors import load

SLOW = "MULTIMARGIN_SLOW" in os.environ
STEP = 80
PROJECTS = re.compile("PyTorch|PaddlePaddle|burn|cunn|MindSpore|JAX|ONNX|cross entropy|Crammer-Singer")
UNSEEN = (  # what PyTorch's own tests cannot see, and fixed tolerances cannot either
    "kink-full",
    "kink-half",
    "grad-output-absolute",
    "input-overwritten-by-backward",
    "target-minus-one-accepted",
    "target-equal-to-classes-accepted",
    "target-too-large-clipped",
    "empty-mean-garbage",
    "empty-sum-garbage",
    "classes-past-1024-ignored",
    "terms-clamped-at-1e4",
    "relative-error",
    "varies-by-an-ulp",
    "threads-share-scratch",
)


def spread(faults: Sequence[Fault] = FAULTS) -> list[Fault]:
    """Return every fault of a real project, one for each clause, and every so many of the rest."""
    by_clause = {clause: fault for fault in reversed(faults) for clause in fault.clauses}
    chosen = {fault.name for fault in by_clause.values()} | set(UNSEEN)
    chosen |= {f.name for f in faults if PROJECTS.search(f.sentence)} | {f.name for f in faults[::STEP]}
    return [f for f in faults if SLOW or f.name in chosen]


def profile(fault: Fault) -> str:
    """Return the profile to reject it on: `training`, unless it names nothing that `training` can see."""
    return "full" if "DTYPE-2" in fault.clauses else "training"


# By a run of everything: some of them, for the clauses that a fault names are a part of it.
@pytest.mark.parametrize("fault", spread()[:: 1 if SLOW else 4], ids=lambda f: f.name)
def test_a_known_fault_is_rejected(fault: Fault) -> None:
    report = check(fault.make(), profile=profile(fault), fail_fast=True)
    assert report.counts["error"] == 0
    assert not report.conformant, fault.sentence
    assert report.counts["fail"] == 1


@pytest.mark.parametrize("fault", spread(), ids=lambda f: f.name)
def test_a_clause_that_it_names_rejects_a_known_fault(fault: Fault) -> None:
    report = check(fault.make(), profile="full", clause=",".join(fault.clauses), fail_fast=True)
    assert report.counts["error"] == 0
    assert report.failures, f"{fault.sentence} Not seen by {', '.join(fault.clauses)}"


@pytest.mark.parametrize("variant", VARIANTS if SLOW else VARIANTS[::STEP], ids=lambda v: v.name)
def test_a_legal_variant_is_accepted(variant: Variant) -> None:
    report = check(variant.make(), profile="full")
    assert [v.failure.message for v in report.failures if v.failure] == []
    assert report.conformant


@pytest.mark.parametrize("variant", VARIANTS if SLOW else VARIANTS[::3], ids=lambda v: v.name)
def test_a_legal_variant_is_accepted_where_it_rounds(variant: Variant) -> None:
    rounds = "VALUE-[59],GRADIENT-11,REDUCTION-5,SPECIAL-6,REJECT-1"
    report = check(variant.make(), profile="full", clause=rounds, dtypes=("bfloat16", "float32"))
    assert [v.failure.message for v in report.failures if v.failure] == []
    assert report.conformant


def test_the_spread_covers_every_clause_and_every_real_fault() -> None:
    names = {fault.name for fault in spread()}
    choices = {c for v in load() for c in v.clauses if v.tier == "choice"}
    judged = {c.id for c in CLAUSES.values() if c.profile != "torch"} - choices
    judged |= {c for v in load() for c in v.clauses if v.tier != "choice"}
    assert {clause for f in spread() for clause in f.clauses} >= judged
    assert names >= set(UNSEEN)
    assert sum(bool(PROJECTS.search(f.sentence)) for f in FAULTS) > 25


# Every check must be seen to fail once, on its own.

HEX = "[0-9a-f]" * 16
FAMILIES = {
    "vectors": f"*/{HEX}/*",
    "repeated": "*/repeated-*",
    "one shape": "*/threads-one-shape/*",
    "first": "*/gradient-first/*",
    "instances": "*/instances-*",
    "close": "*/close-*",
    "by steps": "*/threads-by-steps/*",
    **{f"by steps, {how}": f"*/threads-by-steps-{how}/*" for how in (*HOW, "both-parts")},
    "threads": "*/threads/*",
    "no batch": "*/threads-no-batch/*",
    "ladder": "*/ladder-*",
    **{f"blocks {kind.name}": f"*/{kind.name}-of-*" for kind in KINDS},
    "edges": "*/edge-*",
    "hundreds": "*/held-by-hundreds/*",
    "held large": "*/held-large/*",
    "held over others": "*/held-over-others/*",
    "among many": "*/among-many-*",
    "threads of sizes": "*/threads-of-sizes/*",
    "threads beside rejections": "*/threads-beside-rejections/*",
    "many logits placed": "*/many-logits-placed/*",
    "many logits read-only": "*/many-logits-read-only/*",
    "zero strides": "*/zero-strides-along-many/*",
    "in one memory": "*/one-memory/*",
    "one memory": "*/threads-one-memory/*",
    "magnitudes": "*/magnitudes-*",
    "patterns": "*/patterns-*",
    "corners": "*/corners/*",
    "bulk": "*/bulk-*",
    "dense": "*/dense-*",
    "vast": "*/vast/*",
    "windows": "*/windows/*",
    "large threads": "*/threads-large/*",
    "long threads": "*/threads-long/*",
    "after rejection": "*/after-rejection/*",
    "strided threads": "*/threads-strided*",
    "digits in layouts": "*/digits-in-layouts-*",
    "digits": "*/digits-p*",
    "rewritten after the other": "*/rewritten-*-after-*",
    "rewritten": "*/rewritten-*",
    "gradients after a loss": "*/gradients-after-a-loss/*",
    "after the other of the same": "*-of-the-same/*",
    "after the other": "*/*-after-*/*",
    **{f"unusual {name}": f"*/unusual-{name}/*" for name in UNUSUAL},
    "options": "*/every-option-again/*",
    **{f"{kind} calls": f"*/{kind}-*" for kind in ("strided", "large", "empty")},
    "sizes": "*/sizes-*",
    "tiles": "*/tiles-*",
    "pairs": "*/pair-*",
    "arguments": "*/arguments-*",
    "crossed": "*/crossed-*",
    **{f"contexts {name}": f"*/contexts-{name}/*" for name in (*REASONS, *EFFECTS)},
    **{f"placed {name}": f"*/placed-{name}/*" for name in EFFECTS if name not in STAYING},
    **{f"overwritten {name}": f"*/overwritten-{name}/*" for name in KEPT},
    "orders": "*/orders/*",
    **{f"property {one.name}": f"*/property-{one.name}/*" for one in PROPERTIES},
}
Kind = tuple[str, str, str]


def family(item: Item) -> str:
    return next(name for name, glob in FAMILIES.items() if fnmatch.fnmatchcase(item.id, glob))


@cache
def kinds() -> dict[Kind, list[Item]]:
    """Return the planned checks by clause, family and part."""
    found: dict[Kind, list[Item]] = {}
    for item in plan(Scope(PROFILES["full"].dtypes, True, Capabilities())):
        found.setdefault((item.clause, family(item), item.part), []).append(item)
    return found


def candidates(clause: str) -> Iterator[Fault]:
    """Yield faults that name the clause, then those that name one of its group, then all others."""
    group = clause.split("-")[0]
    yield from (f for f in FAULTS if clause in f.clauses)
    yield from (f for f in FAULTS if clause not in f.clauses and any(c.startswith(f"{group}-") for c in f.clauses))
    yield from (f for f in FAULTS if not any(c.startswith(f"{group}-") for c in f.clauses))


@pytest.mark.parametrize("kind", kinds(), ids=" ".join)
def test_every_check_is_seen_to_fail_alone(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("multimargin_conformance.runner.plan", lambda *_: kinds()[kind])
    for fault in candidates(kind[0]):
        report = check(fault.make(), profile="full", fail_fast=True)
        assert report.counts["error"] == 0
        if report.failures:
            return
    pytest.fail(f"no known fault is rejected by {' '.join(kind)} alone")


def test_every_kind_of_check_is_known() -> None:
    assert {name for _, name, _ in kinds()} == set(FAMILIES)
    assert {clause for clause, _, _ in kinds()} <= set(CLAUSES)
    purity = {clause for clause in CLAUSES if clause.startswith("PURITY")}
    assert {(c, "vectors", part) for c in purity for part in ("loss", "gradient")} <= set(kinds())
