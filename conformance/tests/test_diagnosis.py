"""Failures that explain themselves: grouped by cause, compared with known faults, shrunk, and as a program."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from multimargin_conformance import Capabilities, check, replay
from multimargin_conformance.backend import live
from multimargin_conformance.checks.item import Scope
from multimargin_conformance.checks.single import judge_call
from multimargin_conformance.diagnosis import causes
from multimargin_conformance.diagnosis.shrink import cost, shrink
from multimargin_conformance.diagnosis.snippet import snippet
from multimargin_conformance.session import Session
from multimargin_reference import multi_margin_loss, multi_margin_loss_backward
from multimargin_reference.case import Case
from multimargin_reference.formats import DTYPES
from multimargin_reference.known import FAULTS, MODEL
from multimargin_reports import Report, Verdict, write
from multimargin_vectors.codec import call_from_json, call_to_json

SLOW = "MULTIMARGIN_SLOW" in os.environ
BY_NAME = {fault.name: fault for fault in FAULTS}
SCOPE = Scope(("float32",), True, Capabilities())


def first(report: Report, number: int = 0) -> Verdict:
    return next(v for v in report.verdicts if v.id == report.causes[number].verdicts[0])


@pytest.mark.parametrize(
    "name",
    [
        "kink-full",
        *(["weight-before-power", "weight-of-each-class"] if SLOW else []),  # many failures
        "none-unbatched-one-element",
        "target-minus-one-accepted",
    ],
)
def test_a_known_fault_is_recognised(name: str) -> None:
    fault = BY_NAME[name]
    groups = {clause.split("-")[0] for clause in fault.clauses}
    of_its_groups = "" if SLOW else ",".join(f"{group}-*" for group in ("VALUE", *groups))
    report = check(fault.make(), dtypes=["float32"], clause=of_its_groups)
    assert fault.sentence in [sentence for _, sentence in report.causes[0].equals], report.causes
    assert report.causes[0].title.startswith("equals: ")
    assert {id_ for c in report.causes for id_ in c.verdicts} == {v.id for v in report.failures}


@pytest.mark.parametrize("fault", FAULTS if SLOW else FAULTS[::300], ids=lambda f: f.name)
def test_every_failure_has_one_cause_and_every_smallest_call_fails(fault: Any) -> None:
    report = check(fault.make(), dtypes=None if SLOW else ["float32"])
    ids = [id_ for cause in report.causes for id_ in cause.verdicts]
    assert sorted(ids) == sorted(v.id for v in report.failures)
    if any(clause.startswith("PURITY") for clause in fault.clauses):
        return  # what an earlier call or an address has to do with does not fail each time it is made alone
    for number in range(len(report.causes)):
        verdict = first(report, number)
        assert verdict.failure is not None
        if verdict.failure.case:
            case, _ = call_from_json(verdict.failure.case)
            part = "gradient" if verdict.id.endswith("gradient") else "loss"
            assert judge_call(Session(live(fault.make())), case, part, SCOPE) is not None


class Both:
    """Two faults at once: they have nothing to do with each other."""

    kink, weight = BY_NAME["kink-full"].make(), BY_NAME["weight-before-power"].make()

    def forward(self, *arguments: Any, **options: Any) -> Any:
        return self.weight.forward(*arguments, **options)

    def backward(self, grad_output: Any, input: Any, target: Any, **options: Any) -> Any:
        tied = options["p"] == 1 and options["weight"] is None
        return (self.kink if tied else self.weight).backward(grad_output, input, target, **options)


def test_two_faults_are_two_causes() -> None:
    report = check(Both(), dtypes=["float32"], clause="" if SLOW else "VALUE-*,WEIGHT-*,GRADIENT-*")
    sentences = {sentence for cause in report.causes for _, sentence in cause.equals}
    assert {BY_NAME["kink-full"].sentence, BY_NAME["weight-before-power"].sentence} <= sentences


def test_what_is_not_looked_into_is_grouped_by_clause(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = BY_NAME["weight-before-power"].make()

    def takes_any_p(input: Any, target: Any, *, p: Any, **options: Any) -> Any:
        return kernel.forward(input, target, p=p if p in (1, 2) else 1, **options)

    monkeypatch.setattr(causes, "MOST_CAUSES", 0)
    report = check(takes_any_p, clause="WEIGHT-2,REJECT-1", dtypes=["float32"])
    groups = {v.id: v.clause.split("-")[0] for v in report.failures}
    assert [{groups[id_] for id_ in cause.verdicts} for cause in report.causes] == [{"WEIGHT"}, {"REJECT"}]


def test_a_fault_that_nobody_knows_is_no_known_one() -> None:
    def odd(input: Any, target: Any, **options: Any) -> Any:
        wrong = np.any(input == 0.75) and options["p"] == 2
        return MODEL.forward(input, target, **options) + input.dtype.type(0.375 if wrong else 0)

    report = check(odd, dtypes=["float32"])
    assert report.failures
    assert all(not cause.equals for cause in report.causes)
    failure = first(report).failure
    assert failure is not None
    case, _ = call_from_json(failure.case)
    assert case.p == 2
    assert case.input.tolist() in ([[0.75]], [[0.0, 0.75]])
    assert (case.weight, case.margin, case.reduction) == (None, 1.0, "mean")


def test_without_time_to_shrink_it_the_call_that_failed_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(causes, "SECONDS", 0.0)
    fault = BY_NAME["kink-full"]
    report = check(fault.make(), dtypes=["float32"], clause="GRADIENT-4")
    assert len(report.causes) == 1
    failure = first(report).failure
    assert failure is not None
    case, _ = call_from_json(failure.case)
    assert judge_call(Session(live(fault.make())), case, "gradient", SCOPE) is not None


def test_causes_are_not_looked_for_when_the_first_failure_ends_the_run() -> None:
    report = check(BY_NAME["kink-full"].make(), fail_fast=True)
    assert report.failures
    assert report.causes == ()


def test_a_failure_that_does_not_come_back_is_kept_as_it_is() -> None:
    calls = iter(range(10**9))

    def flaky(input: Any, target: Any, **options: Any) -> Any:
        return MODEL.forward(input, target, **options) + input.dtype.type(next(calls) == 3)

    report = check(flaky, clause="VALUE-1")
    assert len(report.failures) == 1
    failure = first(report).failure
    assert failure is not None
    assert "shrunk" not in failure.message


def test_an_implementation_that_raises_everywhere_has_one_cause() -> None:
    def broken(*_arguments: Any, **_options: Any) -> Any:
        raise RuntimeError("no kernel image for device 3")

    report = check(broken, clause="VALUE-1,REDUCTION-*,GRADIENT-1")
    assert [len(c.verdicts) for c in report.causes] == [len(report.failures)]


def large_case() -> Case:
    generator = np.random.default_rng(5)
    x = generator.integers(-64, 64, (40, 30)).astype(np.float32) / 16
    weight = generator.integers(1, 9, 30).astype(np.float32)
    return Case(x, generator.integers(0, 30, 40), 2, 0.75, weight, "none", np.full(40, 1.5, np.float32))


def test_shrinking_goes_down_to_what_matters() -> None:
    case = large_case()
    value = case.input[17, 23]
    smallest = shrink(case, lambda c: bool(np.any(c.input == value)) and c.p == 2, row=17)
    assert smallest.input.tolist() == [[0.0, value]]  # the target's class stays
    assert (smallest.p, smallest.margin, smallest.weight, smallest.reduction) == (2, 1.0, None, "mean")
    assert cost(smallest) < cost(case)


def test_what_cannot_be_made_smaller_stays() -> None:
    case = large_case()
    assert shrink(case, lambda _: False) is case


def test_a_target_out_of_range_stays_out_of_range() -> None:
    case = replace(large_case(), target=np.where(np.arange(40) == 31, 35, 0))
    smallest = shrink(case, lambda c: bool(np.any(c.target >= c.input.shape[-1])))
    assert smallest.input.shape == (1, 1)
    assert int(smallest.target[0]) >= 1


@pytest.mark.usefixtures("usual_engine")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("part", ["loss", "gradient"])
def test_the_program_gives_what_the_call_gives(dtype: str, part: str) -> None:
    x = np.array([[0.1, -0.0, np.inf], [1 / 3, 2.5, -7.25]]).astype(DTYPES[dtype])
    weight, g = np.array([0.3, 2, 1]).astype(DTYPES[dtype]), np.array([-1.1, 0.5]).astype(DTYPES[dtype])
    case = Case(x, np.array([2, 1]), 1, 0.1, weight, "none", g)
    source = (
        "from multimargin_reference import multi_margin_loss as forward, multi_margin_loss_backward as backward\n"
        "_print = print\nprint = lambda result: _print(result.dtype, result.tobytes().hex())"
    )
    program = snippet(case, part, "numpy", source)
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    function = multi_margin_loss if part == "loss" else multi_margin_loss_backward
    expected = function(*([case.grad_output] if part == "gradient" else []), case.input, case.target, **case.options)
    assert printed.split() == [str(expected.dtype), expected.tobytes().hex()]


KERNEL = """
import numpy as np
from multimargin_reference.known import FAULTS

kernel = next(f for f in FAULTS if f.name == "kink-full").make()
"""


def test_the_program_in_a_report_shows_the_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("kernel.py").write_text(KERNEL)
    failure = first(check("py:kernel.py:kernel", clause="GRADIENT-4")).failure
    assert failure is not None
    printed = subprocess.run([sys.executable, "-c", failure.snippet], capture_output=True, text=True, check=True).stdout
    assert "-0.5" in printed


def test_the_program_over_tensors_shows_the_fault() -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    failure = first(check("torch-decomposition", clause="GRADIENT-4", dtypes=["float32"])).failure
    assert failure is not None
    printed = subprocess.run([sys.executable, "-c", failure.snippet], capture_output=True, text=True, check=True).stdout
    assert "-0.5" in printed


def test_replay_takes_the_id_of_a_check() -> None:
    report = check(BY_NAME["kink-full"].make(), clause="SHAPE-4,GRADIENT-4")
    for verdict in (report.failures[0], report.verdicts[0]):
        (again,) = replay(verdict.id, BY_NAME["kink-full"].make())
        assert (again.id, again.status) == (verdict.id, verdict.status)


def test_replay_takes_a_reports_smallest_call_and_a_file(tmp_path: Path) -> None:
    fault = BY_NAME["weight-before-power"]
    report = check(fault.make(), clause="WEIGHT-2", dtypes=["float32"])
    verdict = first(report)
    assert verdict.failure is not None
    write(report, tmp_path / "report.json")
    (tmp_path / "call.json").write_text(json.dumps(dict(verdict.failure.case)), encoding="utf-8")
    (again,) = replay(f"{tmp_path}/report.json#{verdict.id}", fault.make())
    assert (again.status, again.clause) == ("fail", "WEIGHT-2")
    assert {v.status for v in replay(f"{tmp_path}/call.json", fault.make())} >= {"fail"}
    assert {v.status for v in replay(f"{tmp_path}/call.json", MODEL)} == {"pass"}


@pytest.mark.parametrize("dtype", ["int32", "uint8"])
def test_replay_of_an_unusual_call_may_be_rejected_but_not_wrong(tmp_path: Path, dtype: str) -> None:
    def converting(input: Any, target: Any, **options: Any) -> Any:
        return MODEL.forward(input, target.astype(np.int64), **options)

    case = Case(np.array([[0.5, 2.0]], np.float32), np.array([1], dtype))
    (tmp_path / "call.json").write_text(json.dumps(call_to_json(case, {})), encoding="utf-8")
    name = f"{tmp_path}/call.json"
    assert [v.status for v in replay(name, MODEL)] == ["pass"]
    assert [v.status for v in replay(name, converting)] == ["pass"]
    assert [v.status for v in replay(name, lambda x, y, **o: converting(x, y, **o) + x.dtype.type(1))] == ["fail"]
