"""check() on live objects: what is planned, counted and claimed, and that no backend makes it raise."""

from __future__ import annotations

import sys
import types
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from multimargin_conformance import Backend, Capabilities, UnknownCase, UnknownProfile, check, replay
from multimargin_conformance.checks import clauses_checked, effects, plan
from multimargin_conformance.checks.item import Generated, Item, Scope
from multimargin_conformance.profiles import PROFILES
from multimargin_conformance.session import Result
from multimargin_reference import multi_margin_loss, multi_margin_loss_backward
from multimargin_reference.clauses import CLAUSES
from multimargin_reports import Report, read, terminal, write
from multimargin_vectors import load

SMALL = "VALUE-[12]"  # enough checks to see anything by, in a fraction of a second


class Right:
    """A right implementation with a name, a version and a gradient."""

    name, version = "right", "7.1"

    def forward(self, input: Any, target: Any, **options: Any) -> Any:
        return multi_margin_loss(input, target, **options)

    def backward(self, grad_output: Any, input: Any, target: Any, **options: Any) -> Any:
        return multi_margin_loss_backward(grad_output, input, target, **options)


class Limited(Right):
    def __init__(self, **declared: Any) -> None:
        self.capabilities = Capabilities(**declared)


def reconciled(report: Report) -> Report:
    assert report.planned == len(report.verdicts) == sum(report.counts.values())
    assert len({v.id for v in report.verdicts}) == report.planned
    assert report.counts["error"] == 0, next(v.reason for v in report.verdicts if v.status == "error")
    assert type(report.conformant) is bool
    return report


def clauses_of(report: Report) -> set[str]:
    return {v.clause for v in report.failures}


def parts(report: Report) -> set[str]:
    return {v.id.rsplit("/", 1)[-1] for v in report.verdicts}


def test_an_object() -> None:
    report = reconciled(check(Right(), clause=SMALL))
    assert report.conformant
    assert (report.backend["name"], report.backend["version"]) == ("right", "7.1")
    assert report.claim == f"training, only checks '{SMALL}'"


def test_an_object_is_a_backend() -> None:
    assert isinstance(Right(), Backend)


def test_a_whole_run_is_conformant_and_reconciles() -> None:
    report = reconciled(check(Right(), profile="full"))
    assert report.conformant
    assert report.counts == {"pass": report.planned, "fail": 0, "error": 0, "skip": 0}
    assert report.claim == "full"
    assert {a.part for a in report.accuracy} == {"loss", "gradient"}
    assert {a.dtype for a in report.accuracy} == set(PROFILES["full"].dtypes)


def test_a_module() -> None:
    module = types.ModuleType("kernels")
    module.forward = Right().forward  # type: ignore[attr-defined]
    module.backward = Right().backward  # type: ignore[attr-defined]
    module.__version__ = "3.2"  # type: ignore[attr-defined]
    sys.modules["kernels"] = module
    try:
        report = reconciled(check(module, clause="GRADIENT-4"))
    finally:
        del sys.modules["kernels"]
    assert report.conformant
    assert (report.backend["name"], report.backend["version"]) == ("kernels", "3.2")


def test_a_class_is_made_once() -> None:
    report = reconciled(check(Right, clause=SMALL))
    assert report.conformant


def test_a_bare_function_is_checked_without_the_gradient() -> None:
    report = reconciled(check(multi_margin_loss, clause=SMALL))
    assert report.conformant
    assert report.claim.startswith("core, no gradient")
    assert "training" not in report.claim
    assert "gradient" not in parts(report)
    assert report.backend["capabilities"]["gradient"] is False


def test_the_core_profile_has_no_gradient() -> None:
    assert parts(reconciled(check(Right(), "core", clause="*-4"))) == {"loss"}
    assert parts(reconciled(check(Right(), "training", clause="GRADIENT-4"))) == {"gradient"}


@pytest.mark.parametrize("profile", [name for name, profile in PROFILES.items() if profile.operator])
def test_a_profile_has_its_dtypes(profile: str) -> None:
    report = reconciled(check(Right(), profile, clause=SMALL))
    assert {v.dtype for v in report.verdicts} == set(PROFILES[profile].dtypes)
    assert report.conformant


def test_dtypes_narrow_the_run_and_the_claim() -> None:
    report = reconciled(check(Right(), "full", dtypes=["bfloat16", "float64"], clause=SMALL))
    assert {v.dtype for v in report.verdicts} == {"bfloat16", "float64"}
    assert "bfloat16 and float64 only" in report.claim


def test_dtypes_outside_the_profile_leave_nothing_to_check() -> None:
    report = check(Right(), "training", dtypes=["float16"])
    assert report.planned == 0
    assert not report.conformant


def test_only_narrows_the_run_and_the_claim() -> None:
    whole = check(Right(), clause="VALUE-*")
    report = reconciled(check(Right(), only=["p=1", "reduction=mean,sum", "shape=batched"], clause="VALUE-*"))
    assert 0 < report.planned < whole.planned
    for words in ("p = 1 only", "reduction mean and sum only", "batched input only"):
        assert words in report.claim
    assert report.options["only"] == ["p=1", "reduction=mean,sum", "shape=batched"]


def test_only_dtype() -> None:
    report = reconciled(check(Right(), only=["dtype=float64"], clause=SMALL))
    assert {v.dtype for v in report.verdicts} == {"float64"}
    assert "float64 only" in report.claim


@pytest.mark.parametrize(
    "declared",
    [
        {"p": (1,)},
        {"reductions": ("none",)},
        {"dtypes": ("float32",)},
        {"shapes": ("unbatched",)},
        {"shapes": ("batched",)},
        {"gradient": False},
        {"permissions": ("flush-subnormals",)},
        {"permissions": ("run-to-run-variation",)},
    ],
    ids=str,
)
def test_what_is_declared_limits_the_run_and_the_claim(declared: dict[str, Any]) -> None:
    clauses = "VALUE-[12],GRADIENT-2" if "permissions" in declared else "VALUE-[1-8],PURITY-[13456],GRADIENT-[12]"
    report = reconciled(check(Limited(**declared), clause=clauses))
    assert report.conformant
    assert report.claim != f"training, only checks {clauses!r}"
    recorded = report.backend["capabilities"]
    assert all(recorded[k] == (list(v) if isinstance(v, tuple) else v) for k, v in declared.items())


class Varying(Limited):
    """A right implementation whose results differ by an ULP from call to call."""

    calls = 0

    def forward(self, input: Any, target: Any, **options: Any) -> Any:
        self.calls += 1
        result = super().forward(input, target, **options)
        return np.nextafter(result, np.inf if self.calls % 2 else -np.inf, dtype=result.dtype)


@pytest.mark.parametrize(("permissions", "status"), [((), "fail"), (("run-to-run-variation",), "pass")])
def test_run_to_run_variation_is_allowed_where_it_was_declared(permissions: tuple[str, ...], status: str) -> None:
    items = plan(Scope(("float32",), False, Capabilities()))
    wanted = next(item.id for item in items if item.clause == "PURITY-2" and item.case)
    (verdict,) = check(Varying(permissions=permissions), select=wanted).verdicts
    assert verdict.status == status


def test_results_that_alternate_differ_between_equal_calls_with_any_options() -> None:
    (verdict,) = check(Varying(), select="PURITY-2/float32/every-option-again/loss").verdicts
    assert verdict.status == "fail"


@pytest.mark.parametrize("field", ["dtypes", "p", "reductions", "permissions"])
def test_unknown_capabilities_are_refused(field: str) -> None:
    with pytest.raises(ValueError, match=f"capabilities.{field}"):
        Capabilities(**{field: ("nonsense",)})


@pytest.mark.parametrize("field", ["dtypes", "p", "reductions", "shapes"])
def test_declaring_nothing_is_refused(field: str) -> None:
    with pytest.raises(ValueError, match=f"capabilities.{field} is empty"):
        Capabilities(**{field: ()})


@pytest.mark.parametrize(
    ("declared", "only"),
    [
        ({"p": (1,)}, "p=2"),
        ({"dtypes": ("float32",)}, "dtype=float64"),
        ({"reductions": ("sum",)}, "reduction=mean"),
        ({"shapes": ("batched",)}, "shape=unbatched"),
    ],
)
def test_a_limit_does_not_add_to_what_is_declared(declared: dict[str, Any], only: str) -> None:
    with pytest.raises(ValueError, match="declares"):
        check(Limited(**declared), only=[only])


def test_a_limit_keeps_what_is_declared_too() -> None:
    report = check(Limited(p=(1,)), only=["p=1,2"], clause=SMALL)
    assert report.backend["capabilities"]["p"] == [1]


def test_select_is_a_glob_over_ids() -> None:
    report = reconciled(check(Right(), select="REJECT-3/float32"))
    assert report.planned > 10
    assert all(v.id.startswith("REJECT-3/float32/") for v in report.verdicts)
    assert "only checks 'REJECT-3/float32'" in report.claim


@pytest.mark.parametrize("clause", ["REJECT-3", "REDUCTION-4", "DTYPE-1", "WEIGHT-2", "GRADIENT-10", "PURITY-6"])
def test_clause_finds_every_clause_that_is_checked(clause: str) -> None:
    report = reconciled(check(Right(), clause=clause))
    assert report.planned > 10
    assert report.conformant


def test_clause_takes_globs_and_commas() -> None:
    both = check(Right(), clause="REJECT-1,REJECT-2")
    assert both.planned == check(Right(), clause="REJECT-1").planned + check(Right(), clause="REJECT-2").planned
    assert {v.clause for v in both.verdicts} == {"REJECT-1", "REJECT-2"}
    assert check(Right(), clause="REJECT-[12]").planned == both.planned


def test_every_clause_has_a_check() -> None:
    assert set(clauses_checked()) == set(CLAUSES)


def test_every_clause_can_be_asked_for() -> None:
    scope = Scope(PROFILES["full"].dtypes, True, Capabilities())
    named = {name for item in plan(scope) for name in (item.clause, *item.also)}
    assert named >= {c.id for c in CLAUSES.values() if c.profile != "torch"}


def test_every_vector_is_planned() -> None:
    scope = Scope(PROFILES["full"].dtypes, True, Capabilities())
    assert {item.case for item in plan(scope)} >= {v.id for v in load()}


@pytest.mark.parametrize(
    "arguments",
    [
        {"profile": "everything"},
        {"profile": ""},
        {"dtypes": ["float8"]},
        {"dtypes": ["float32", "Float64"]},
        {"only": ["p=3"]},
        {"only": ["p"]},
        {"only": ["colour=red"]},
        {"only": ["reduction=average"]},
        {"only": ["dtype=float8"]},
        {"only": ["shape=cubic"]},
        {"select": "no such check"},
        {"clause": "NOTHING-1"},
        {"isolate": True},
    ],
    ids=str,
)
def test_wrong_usage_raises_value_error(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        check(Right(), **arguments)
    assert "\n" not in str(caught.value)


def test_an_unknown_profile_lists_the_profiles() -> None:
    with pytest.raises(UnknownProfile, match="core, training, half, torch, full"):
        check(Right(), "everything")


def test_fail_fast_skips_the_rest() -> None:
    report = reconciled(check(lambda *_, **__: np.float32(0.125), fail_fast=True))
    assert report.counts["fail"] == 1
    failed = next(k for k, v in enumerate(report.verdicts) if v.status == "fail")
    assert {v.status for v in report.verdicts[failed + 1 :]} == {"skip"}
    assert {v.reason for v in report.verdicts if v.status == "skip"} == {"not run: an earlier check failed"}
    assert not report.conformant


def test_fail_fast_without_a_failure_is_a_whole_run() -> None:
    report = reconciled(check(Right(), clause=SMALL, fail_fast=True))
    assert report.conformant
    assert report.counts["skip"] == 0


def test_progress_is_told_of_every_check() -> None:
    seen: list[tuple[int, int]] = []
    report = check(Right(), clause="VALUE-7", progress=lambda done, planned: seen.append((done, planned)))
    assert seen == [(k + 1, report.planned) for k in range(report.planned)]


def test_an_interrupted_run_proves_nothing() -> None:
    calls = []

    def interrupted(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return multi_margin_loss(*arguments, **options)

    report = reconciled(check(interrupted, clause=SMALL))
    assert report.counts["skip"] == report.planned - 4
    assert (report.complete, report.valid, report.conformant) == (False, False, False)


def test_a_broken_check_is_an_error_not_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Any) -> Result:
        raise ZeroDivisionError("in the suite")

    items = [Item("VALUE-1/float32/x/loss", "VALUE-1", "float32", "loss", broken)]
    monkeypatch.setattr("multimargin_conformance.runner.plan", lambda *_: items)
    report = check(Right())
    assert report.counts == {"pass": 0, "fail": 0, "error": 1, "skip": 0}
    assert "the suite itself failed: ZeroDivisionError: in the suite" in report.verdicts[0].reason
    assert (report.valid, report.conformant) == (False, False)


class Raising(Right):
    """Right, and leaves NumPy's floating-point errors raised."""

    def forward(self, input: Any, target: Any, **options: Any) -> Any:
        value = super().forward(input, target, **options)
        np.seterr(all="raise")
        return value


def test_numpy_settings_of_the_caller_or_left_by_a_call_do_not_matter() -> None:
    effects._calls.cache_clear()  # the calls are made anew
    effects._has_calls.cache_clear()
    with np.errstate(all="raise"):
        planned = plan(Scope(("float32",), False, Capabilities(), generated=Generated(seed=347)))  # by no other test
        report = reconciled(check(Raising(), "core", ["float32"], select="contexts-subnormal"))
    assert any(item.id.startswith("SPECIAL-5") for item in planned)
    assert report.planned > 1
    assert report.conformant


def test_a_report_of_a_run_is_a_file(tmp_path: Path) -> None:
    for number, backend in enumerate((Right(), lambda *_, **__: None, multi_margin_loss)):
        report = check(backend, clause=SMALL)
        write(report, tmp_path / f"{number}.json")
        again = read(tmp_path / f"{number}.json")
        assert terminal.render(again) == terminal.render(replace(report, duration_s=again.duration_s))
        assert (again.conformant, again.counts) == (report.conformant, report.counts)


def test_the_environment_and_options_are_recorded() -> None:
    report = check(Right(), clause="VALUE-7", seed=11)
    assert report.options["seed"] == 11
    assert {"python", "numpy", "multimargin", "vectors_sha256"} <= set(report.environment)


def test_replay_takes_an_id_or_the_start_of_one() -> None:
    vector = next(v for v in load() if v.gradient_clauses and v.dtype == "float32")
    verdicts = replay(vector.id, Right())
    assert {v.case for v in verdicts} == {vector.id}
    assert len(verdicts) >= 2
    assert replay(vector.id[:12], Right()) == verdicts


@pytest.mark.parametrize("case", ["", "zz", "0123456789abcdef0"])
def test_replay_of_no_vector_is_an_unknown_case(case: str) -> None:
    with pytest.raises(UnknownCase, match="vector ids"):
        replay(case, Right())


def test_replay_of_an_ambiguous_start_is_an_unknown_case() -> None:
    first = next(v.id[0] for v in load())
    with pytest.raises(UnknownCase, match="is the start of"):
        replay(first, Right())
