"""Properties, drawn orders of calls and huge sizes: right implementations pass, each sees faults, failures shrink."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from multimargin_conformance import check, replay
from multimargin_conformance.capabilities import ALL_DTYPES, Capabilities
from multimargin_conformance.checks import huge, plan, properties
from multimargin_conformance.checks.huge import Size
from multimargin_conformance.checks.item import Generated, Item, Scope
from multimargin_conformance.cli import main
from multimargin_conformance.kills import faults_by_name, session_of
from multimargin_conformance.properties.table import TRIES
from multimargin_reference import multi_margin_loss, multi_margin_loss_backward
from multimargin_reference.exact_values import exact_values
from multimargin_reference.known import MODEL, VARIANTS
from multimargin_reports import Report
from multimargin_vectors.calls import read_call

REFERENCE = SimpleNamespace(name="vectorized", forward=multi_margin_loss, backward=multi_margin_loss_backward)
SEEN_BY = {  # a fault that each property is to see, in its part
    ("exact-grid", "loss"): "hinge-one-side-clipped",
    ("exact-grid", "gradient"): "power-halved",
    ("any-size", "loss"): "hinge-softplus",
    ("any-size", "gradient"): "divisor-wraps-at-8-bits",
    ("in-general", "loss"): "target-term-kept",
    ("in-general", "gradient"): "divisor-classes-minus-one",
    ("not-negative", "loss"): "no-hinge",
    ("one-class-more", "loss"): "divisor-classes-minus-one",
    ("one-class-more", "gradient"): "divisor-classes-minus-one",
    ("classes-far-below", "loss"): "divisor-twice",
    ("classes-far-below", "gradient"): "margin-scaled-by-logit",
    ("order-of-classes", "loss"): "weight-reversed",
    ("order-of-classes", "gradient"): "weight-of-row-number",
    ("order-of-rows", "loss"): "weight-of-row-number",
    ("order-of-rows", "gradient"): "weight-normalised-to-mean",
    ("rows-one-by-one", "loss"): "weight-of-row-number",
    ("rows-one-by-one", "gradient"): "offset-of-first-row",
    ("equal-rows", "loss"): "none-cumulative",
    ("equal-rows", "gradient"): "mean-unbiased",
    ("reductions-agree", "loss"): "divisor-mean-only",
    ("reductions-agree", "gradient"): "weight-not-for-none",
    ("linear-in-weight", "loss"): "weight-added",
    ("linear-in-weight", "gradient"): "weight-before-power",
    ("linear-in-grad-output", "gradient"): "grad-output-absolute",
    ("unit-hinges", "loss"): "power-halved",
    ("unit-hinges", "gradient"): "slope-without-two",
    ("shifted-rows", "loss"): "one-against-all",
    ("shifted-rows", "gradient"): "margin-scaled-by-logit",
    ("monotone-in-margin", "loss"): "no-hinge",
    ("monotone-in-logits", "loss"): "sign-swapped",
    ("convex", "loss"): "hinge-one-side-clipped",
    ("subgradient", "gradient"): "gradient-negated",
    ("sums-to-zero", "gradient"): "target-gradient-zero",
}


def items(dtype: str, examples: int = 4, seed: int = 0) -> dict[tuple[str, str], Item]:
    scope = Scope((dtype,), True, Capabilities(), generated=Generated(seed, examples))
    return {(name_of(item), item.part): item for item in properties.items(scope)}


def name_of(item: Item) -> str:
    return item.id.split("/")[2].removeprefix("property-")


def test_every_property_is_tried_and_sees_a_fault() -> None:
    assert {one.name for one in properties.PROPERTIES} == TRIES.keys()
    assert items("float32").keys() - {("orders", "loss"), ("orders", "gradient")} == SEEN_BY.keys()


@pytest.mark.parametrize("dtype", ALL_DTYPES)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_model_has_every_property(dtype: str, seed: int) -> None:
    session = session_of(MODEL_AS_FAULT)
    for item in items(dtype, examples=12, seed=seed).values():
        result = item.run(session)
        assert (result.status, result.finding) == ("pass", None), item.id


MODEL_AS_FAULT = SimpleNamespace(name="model", make=lambda: MODEL)


@pytest.mark.parametrize(("name", "part"), SEEN_BY)
def test_each_property_sees_a_fault(name: str, part: str) -> None:
    fault = faults_by_name()[SEEN_BY[name, part]]
    result = items("float64", examples=40)[name, part].run(session_of(fault))
    assert result.status == "fail"
    assert result.finding is not None
    assert result.finding.case is not None


@pytest.mark.parametrize("name", ["cache-by-shape", "result-buffer-reused", "backward-of-last-forward", "first-p-kept"])
def test_orders_of_calls_see_state(name: str) -> None:
    fault = faults_by_name()[name]
    found = items("float32", examples=20)
    assert "fail" in {found["orders", part].run(session_of(fault)).status for part in ("loss", "gradient")}


def test_a_failure_is_shrunk() -> None:
    finding = items("float32", examples=40)["exact-grid", "loss"].run(session_of(faults_by_name()["no-hinge"])).finding
    assert finding is not None
    assert finding.case is not None
    assert finding.case.input.size <= 4
    assert exact_values(finding.case) is not None


def test_a_failure_is_not_shrunk_where_that_is_not_asked_for() -> None:
    session = session_of(faults_by_name()["hinge-softplus"])
    sizes = []
    for shrinks in (True, False):
        finding = items("float32", examples=40)["any-size", "loss"].run(replace(session, shrinks=shrinks)).finding
        assert finding is not None
        assert finding.case is not None
        sizes.append(finding.case.input.size)
    assert sizes[0] < 10 < sizes[1]


def found(report: Report) -> list[tuple[str, str]]:
    return [(v.id, v.failure.message.split(" [")[0] if v.failure else "") for v in report.verdicts]


def drawn(seed: int) -> list[bytes]:
    seen: list[bytes] = []

    def forward(input: Any, target: Any, **options: Any) -> Any:
        seen.append(input.tobytes())
        return multi_margin_loss(input, target, **options)

    check(forward, dtypes=["float64"], select="property-any-size", seed=seed)
    return seen


def test_a_seed_gives_the_same_calls_and_another_seed_others() -> None:
    assert drawn(3) == drawn(3) != drawn(4)


def test_seed_and_examples_are_recorded() -> None:
    report = check(REFERENCE, dtypes=["float64"], select="property-convex", seed=5, examples=2)
    assert (report.options["seed"], report.options["examples"], report.options["huge"]) == (5, 2, False)
    with pytest.raises(ValueError, match="at least 1"):
        check(REFERENCE, examples=0)


def test_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    check(REFERENCE, dtypes=["float32"], select="o[pr]", examples=20)
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_declared_is_not_drawn() -> None:
    one = Capabilities(p=(1,), reductions=("sum",), shapes=("unbatched",))
    for item in properties.items(Scope(("float32",), True, one)):
        assert item.run(session_of(MODEL_AS_FAULT)).status == "pass", item.id
        assert name_of(item) not in ("unit-hinges", "reductions-agree", "rows-one-by-one", "equal-rows")


def test_variants_that_round_otherwise_have_every_property() -> None:
    for variant in VARIANTS[::10]:
        report = check(variant.make(), dtypes=["float32"], select="property", examples=10)
        assert report.conformant, variant.name


def test_properties_in_a_worker_find_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("kernel.py").write_text(KERNEL)
    here, there = (
        check("py:kernel.py:kernel", dtypes=["float32"], clause="GRADIENT-8,PURITY-3", select="o[pr]", isolate=isolate)
        for isolate in (False, True)
    )
    assert found(here) == found(there)
    assert not here.conformant


KERNEL = """
from multimargin_reference.known import FAULTS

kernel = next(f for f in FAULTS if f.name == "grad-output-absolute").make()
"""


def test_calls_that_failed_are_written_as_candidates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("kernel.py").write_text(KERNEL)
    arguments = ["check", "py:kernel.py:kernel", "--dtype", "float64", "-k", "linear-in-grad", "--output", "out"]
    with pytest.raises(SystemExit, match="1"):
        main([*arguments, "--no-isolate", "--examples", "20"])
    (path,) = Path("out/candidates").iterdir()
    assert [p.name for p in Path("out").glob("*.json")] == ["report.json"]
    data = json.loads(path.read_text())
    assert data["check"] == "GRADIENT-8/float64/property-linear-in-grad-output/gradient"
    assert read_call(data["call"]).input.size <= 4
    assert "fail" in {verdict.status for verdict in replay(str(path), "py:kernel.py:kernel", isolate=False)}


SMALL = (Size("SHAPE-4", 2, 2048), Size("SHAPE-5", 1300, 2))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("name", "clauses"),
    [
        ("classes-past-1024-ignored", {"SHAPE-4"}),
        ("rows-past-1024-ignored", {"SHAPE-5"}),
        ("gradient-past-1024-zero", {"SHAPE-4"}),
        ("loss-always-zero", {"SHAPE-4", "SHAPE-5"}),
        ("none-column", {"SHAPE-4", "SHAPE-5"}),
        ("target-zeroed", {"SHAPE-4", "SHAPE-5"}),
    ],
)
def test_huge_calls_are_compared_with_small_ones(
    name: str, clauses: set[str], dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huge, "SIZES", SMALL)
    planned = list(huge.items(Scope((dtype,), True, Capabilities(), generated=Generated(huge=True))))
    assert {item.run(session_of(MODEL_AS_FAULT)).status for item in planned} == {"pass"}
    results = {item.id: item.run(session_of(faults_by_name()[name])) for item in planned}
    assert {id_.split("/")[0] for id_, result in results.items() if result.status == "fail"} == clauses


def test_huge_calls_are_planned_only_when_asked_for() -> None:
    scope = Scope(ALL_DTYPES, True, Capabilities())
    assert not [item for item in plan(scope) if item.kind == "huge"]
    assert len(list(huge.items(Scope(ALL_DTYPES, True, Capabilities(), generated=Generated(huge=True))))) == 16


def test_huge_calls_are_skipped_with_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    report = check("reference", dtypes=["float32"], huge=True, select="huge", isolate=True)
    assert {v.reason for v in report.verdicts} == {"calls of this size are made in one process only: add --no-isolate"}
    monkeypatch.setattr(huge, "_memory", lambda: 1 << 20)
    report = check(REFERENCE, dtypes=["float32"], huge=True, select="huge")
    assert all("GiB of memory are needed" in v.reason for v in report.verdicts)
    assert np.all([v.status == "skip" for v in report.verdicts])
