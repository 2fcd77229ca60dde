"""Known faults of the class and its integration are rejected by a clause that they name, legal variants accepted."""

from __future__ import annotations

import os
import re

import pytest

from multimargin_conformance import check
from multimargin_reference.known import Fault, Variant

pytest.importorskip("torch", reason="PyTorch is not installed")

from multimargin_conformance.adapters.torch_class import known_faults, known_graphs, known_variants

SLOW = "MULTIMARGIN_SLOW" in os.environ
FAULTS = (*known_faults.FAULTS, *known_graphs.FAULTS)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.name)
def test_a_clause_that_it_names_rejects_a_known_fault(fault: Fault) -> None:
    for clause in fault.clauses:
        report = check(fault.make(), profile="torch", clause=clause, fail_fast=True)
        assert report.counts["error"] == 0
        assert report.failures, f"{fault.sentence} Not seen by {clause}"


VARIANTS = known_variants.VARIANTS if SLOW else known_variants.VARIANTS[::2]


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: v.name)
def test_a_legal_variant_is_accepted(variant: Variant) -> None:
    report = check(variant.make(), profile="torch")
    required = [v for v in report.failures if v.level == "MUST"]
    assert [f"{v.id}: {v.failure.message}" for v in required if v.failure] == []
    assert report.conformant


def test_every_clause_of_the_group_has_a_fault() -> None:
    assert {clause for fault in FAULTS for clause in fault.clauses} == {f"CLASS-{k}" for k in range(1, 10)}
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
    assert all(fault.sentence.endswith(".") for fault in FAULTS)


def kind(name: str) -> str:
    """Return an id without its dtype and call: what is checked, however often."""
    clause, _, check_name, part = name.split("/")
    short = re.sub(r"-(batched|unbatched)-.*|(-(none|mean|sum))?-p[12]$", "", check_name)
    return f"{clause}/{short}/{part}"


@pytest.mark.skipif(not SLOW, reason="takes minutes: set MULTIMARGIN_SLOW=1")
def test_every_check_is_seen_to_fail() -> None:
    planned, seen = set(), set()
    for fault in FAULTS:
        clauses = [f"CLASS-{k}" for k in range(1, 10) if k != 8 or "CLASS-8" in fault.clauses]
        report = check(fault.make(), profile="torch", clause=",".join(clauses))
        planned |= {kind(v.id) for v in report.verdicts}
        seen |= {kind(v.id) for v in report.failures}
    assert planned - seen == set()
