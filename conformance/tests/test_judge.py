"""Judging: every kind of finding, its words and its numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from multimargin_conformance.judge import (
    Finding,
    call_text,
    judge,
    judge_rejection,
    legal_words,
    no_result,
    number,
    subscript,
    ulp_distance,
)
from multimargin_conformance.outcome import (
    Crashed,
    Malformed,
    Observation,
    Outcome,
    Raised,
    Returned,
    TimedOut,
    observe,
    returned,
)
from multimargin_conformance.runner import check
from multimargin_reference.case import Case
from multimargin_reference.expectation import Enclosures
from multimargin_reference.formats import DTYPES
from multimargin_vectors import by_id

NAN, INF = float("nan"), float("inf")
WHY = "exact grid: nothing rounds"


def enclosures(lo: list[float], hi: list[float] | None = None, **fields: Any) -> Enclosures:
    ends = np.array(lo), np.array(lo if hi is None else hi)
    given = {"shape": (len(lo),), "dtype": "float32"} | fields
    return Enclosures(lo=ends[0], hi=ends[1], nearest=ends[0], **given)


def judged(result: Any, expected: Enclosures, part: str = "loss", dtype: str = "float32") -> Finding | None:
    values = np.array(result, dtype=DTYPES[dtype])
    return judge(part, Observation(Returned(values)), expected, WHY)


def found(outcome: Outcome, part: str = "loss") -> Finding:
    finding = judge(part, Observation(outcome), enclosures([0.5]), WHY)
    assert finding is not None
    return finding


def test_a_right_result_has_no_finding() -> None:
    assert judged([0.5, 1.5], enclosures([0.5, 1.5])) is None


def test_both_ends_are_legal_and_their_neighbours_are_not() -> None:
    expected = enclosures([1.0], [2.0])
    below, above = np.nextafter(np.float32(1), np.float32(0)), np.nextafter(np.float32(2), np.float32(3))
    assert [judged([v], expected) is None for v in (below, 1.0, 1.5, 2.0, above)] == [False, True, True, True, False]


def test_a_wrong_value_is_described() -> None:
    finding = judged([0.5, 0.25, 0.75, 2.0], enclosures([0.5, 0.25, 0.5, 1.0]))
    assert finding is not None
    assert finding.message == f"loss[2] = 0.75, but should be 0.5 ({WHY}); 2 of 4 elements are outside"
    assert finding.clause == ""
    assert finding.evidence == {
        "part": "loss",
        "index": 2,
        "outside": 2,
        "got": {"value": 0.75, "float_hex": (0.75).hex(), "hex": "0000403f"},
        "lo": {"value": 0.5, "float_hex": (0.5).hex(), "hex": "0000003f"},
        "hi": {"value": 0.5, "float_hex": (0.5).hex(), "hex": "0000003f"},
        "nearest": {"value": 0.5, "float_hex": (0.5).hex(), "hex": "0000003f"},
        "also": [],
        "ulp": 2.0**22,
    }


def test_a_single_wrong_value_is_not_counted() -> None:
    finding = judged([0.75], enclosures([0.5]))
    assert finding is not None
    assert finding.message == f"loss[0] = 0.75, but should be 0.5 ({WHY})"


def test_a_scalar_has_no_index() -> None:
    finding = judged(0.75, enclosures([0.5], shape=()))
    assert finding is not None
    assert finding.message.startswith("loss = 0.75, but should be 0.5")


def test_a_gradient_has_two_indices() -> None:
    finding = judged([[0, 0], [0, 1]], enclosures([0.0] * 4, shape=(2, 2)), "gradient")
    assert finding is not None
    assert finding.message.startswith("gradient[1, 1] = 1.0, but should be 0.0")


def test_an_interval_is_described_by_its_ends() -> None:
    finding = judged([3.0], enclosures([1.0], [2.0]))
    assert finding is not None
    assert "but should be in [1.0, 2.0]" in finding.message


def test_every_legal_answer_is_named() -> None:
    assert (
        legal_words(enclosures([1.0], [2.0], also={0: frozenset({"nan", "inf"})}), 0) == "in [1.0, 2.0] or inf or nan"
    )
    assert legal_words(enclosures([INF], [-INF], also={0: frozenset({"nan"})}), 0) == "nan"
    assert legal_words(enclosures([INF], also={0: frozenset({"inf"})}), 0) == "inf"


@pytest.mark.parametrize("value", [NAN, INF, -INF, -0.5, 1e30, 5e-324])
def test_special_and_far_values_are_findings(value: float) -> None:
    finding = judged([value], enclosures([0.5]), dtype="float64")
    # the expectation is float32, so that the dtype is wrong first
    assert finding is not None
    finding = judged([value], enclosures([0.5], dtype="float64"), dtype="float64")
    assert finding is not None
    assert number(value, "float64") in finding.message


@pytest.mark.parametrize(("value", "ulp"), [(NAN, None), (INF, None), (0.5 + 2**-24, 1.0), (0.5 - 2**-24, -1.0)])
def test_the_error_in_ulp_is_signed(value: float, ulp: float | None) -> None:
    finding = judged([value], enclosures([0.5]))
    assert finding is not None
    assert finding.evidence["ulp"] == ulp


def test_the_error_in_ulp_stays_a_json_number() -> None:
    assert ulp_distance(1.7e308, 5e-324, "float64") is None or ulp_distance(1.7e308, 5e-324, "float64") > 0  # type: ignore[operator]
    assert ulp_distance(0.5, 0.0, "bfloat16") is None  # there is no unit in the last place of 0
    assert ulp_distance(1.0, INF, "float32") is None


def test_evidence_of_special_values_is_json() -> None:
    finding = judged([NAN], enclosures([0.5]))
    assert finding is not None
    assert finding.evidence["got"]["value"] == "nan"


@pytest.mark.parametrize("dtype", DTYPES)
def test_negative_zero_is_zero(dtype: str) -> None:
    assert judged([-0.0], enclosures([0.0], dtype=dtype), dtype=dtype) is None
    assert judged([0.0], enclosures([-0.0], dtype=dtype), dtype=dtype) is None
    assert judged([-0.0], enclosures([1.0], also={0: frozenset({"0"})}, dtype=dtype), dtype=dtype) is None


@pytest.mark.parametrize("name", ["nan", "inf", "-inf", "0"])
def test_also_allows_exactly_what_it_names(name: str) -> None:
    expected = enclosures([1.0, 1.0], [2.0, 2.0], also={0: frozenset({name})})
    values = {"nan": NAN, "inf": INF, "-inf": -INF, "0": 0.0}
    for other, value in values.items():
        assert (judged([value, 1.5], expected) is None) == (other == name)
        assert judged([1.5, value], expected) is not None  # the other element has no such permission
    assert judged([1.5, 1.5], expected) is None
    assert judged([2.5, 1.5], expected) is not None


def test_infinite_ends_allow_infinity_alone() -> None:
    assert judged([INF], enclosures([INF])) is None
    assert all(judged([v], enclosures([INF])) for v in (-INF, NAN, 3.4e38))


def test_an_empty_interval_allows_no_number() -> None:
    expected = enclosures([INF], [-INF], also={0: frozenset({"nan"})})
    assert judged([NAN], expected) is None
    assert all(judged([v], expected) for v in (INF, -INF, 0.0, 1.0))


@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 1), (1, 2), (0,)])
def test_a_wrong_shape_is_another_clauses_finding(shape: tuple[int, ...]) -> None:
    finding = judged(np.full(shape, 0.5), enclosures([0.5, 0.5]))
    assert finding is not None
    assert finding.message == f"loss.shape={shape}, but should be (2,)"
    assert finding.clause == "REDUCTION-4"
    slope = judged(np.full(shape, 0.5), enclosures([0.5, 0.5]), "gradient")
    assert slope is not None
    assert slope.clause == "GRADIENT-10"


@pytest.mark.parametrize("dtype", ["float64", "float16", ">f4", "longdouble"])
def test_a_wrong_dtype_is_another_clauses_finding(dtype: str) -> None:
    for part, clause in (("loss", "DTYPE-1"), ("gradient", "GRADIENT-10")):
        finding = judge(part, Observation(Returned(np.array([0.5], dtype=dtype))), enclosures([0.5]), WHY)
        assert finding is not None
        assert finding.clause == clause
        assert finding.message == f"{part}.dtype={np.dtype(dtype)}, but should be float32"


def test_an_unusual_call_may_have_any_floating_dtype() -> None:
    expected = replace(enclosures([0.5]), dtype=None)
    assert all(judged([0.5], expected, dtype=name) is None for name in DTYPES)
    finding = judge("loss", Observation(Returned(np.array([1], dtype=np.int64))), expected, WHY)
    assert finding is not None
    assert "a floating dtype" in finding.message


@pytest.mark.parametrize(
    ("outcome", "message"),
    [
        (Raised("ValueError", "no", "kernel.py:7"), "loss: raised ValueError: no, but should return a result "),
        (Malformed("builtins.list, but should be an array"), "loss: returned builtins.list, but should be an array"),
        (Malformed("an array of dtype object"), "loss: returned an array of dtype object, but should return a result"),
        (Crashed("SystemExit: 3"), "loss: crashed: SystemExit: 3, but should return a result"),
        (TimedOut(30.0), "loss: no answer in 30 s, but should return a result"),
    ],
)
def test_no_result_is_a_finding(outcome: Outcome, message: str) -> None:
    assert found(outcome).message.startswith(message)


def test_a_raised_error_names_its_place() -> None:
    assert found(Raised("ValueError", "no", "kernel.py:7")).message.endswith("(raised at kernel.py:7)")
    assert "raised at" not in found(Raised("ValueError", "no")).message


def test_a_changed_argument_comes_before_the_result() -> None:
    right = Observation(Returned(np.array([0.5], dtype=np.float32)), ("input", "weight"))
    finding = judge("loss", right, enclosures([0.5]), WHY)
    assert finding is not None
    assert finding.clause == "PURITY-1"
    assert finding.message.startswith("input and weight changed during the call")


def test_any_error_is_a_rejection_and_nothing_else_is() -> None:
    assert judge_rejection(Observation(Raised("ZeroDivisionError", "")), "REJECT-3") is None
    for outcome in (Malformed("builtins.NoneType"), Crashed("SystemExit"), TimedOut(30.0)):
        assert judge_rejection(Observation(outcome), "REJECT-3") is not None


@pytest.mark.parametrize("value", [[NAN], [0.0], [INF], []])
def test_a_result_is_no_rejection(value: list[float]) -> None:
    finding = judge_rejection(Observation(Returned(np.array(value))), "REJECT-3")
    assert finding is not None
    assert finding.clause == "REJECT-3"
    assert "but should raise an error" in finding.message


def test_a_long_result_is_shortened() -> None:
    finding = judge_rejection(Observation(Returned(np.arange(900.0))), "REJECT-3")
    assert finding is not None
    assert len(finding.message) < 200


@pytest.mark.parametrize(("index", "shape", "text"), [(0, (), ""), (3, (5,), "[3]"), (5, (2, 3), "[1, 2]")])
def test_subscript(index: int, shape: tuple[int, ...], text: str) -> None:
    assert subscript(index, shape) == text


@pytest.mark.parametrize(("value", "dtype"), [(0.1, "float64"), (0.1, "float32"), (0.1, "float16"), (0.1, "bfloat16")])
def test_numbers_read_back_as_themselves(value: float, dtype: str) -> None:
    kind = DTYPES[dtype].type
    assert kind(float(number(float(kind(value)), dtype))) == kind(value)
    assert len(number(float(kind(value)), dtype)) < 12


def test_a_call_is_python() -> None:
    x, y = np.array([[0.1, 1.5]], dtype=np.float32), np.array([1])
    case = Case(x, y, 2, 0.5, np.array([1.0, 2.0], dtype=np.float32), "none", np.array([-1.0], dtype=np.float32))
    tail = "p=2, margin=0.5, weight=[1.0, 2.0], reduction='none')  # float32"
    assert call_text(case, "loss") == f"forward([[0.1, 1.5]], [1], {tail}"
    assert call_text(case, "gradient") == f"backward([-1.0], [[0.1, 1.5]], [1], {tail}"


def test_every_vectors_call_is_short() -> None:
    for vector in by_id().values():
        for part in ("loss", "gradient"):
            assert len(call_text(vector.case, part)) < 2000, vector.comment


def test_a_failure_reads_as_it_should() -> None:
    def wrong(input: Any, target: Any, *, reduction: Any, **_: Any) -> Any:
        return np.full(target.shape if reduction == "none" else (), 77, input.dtype)

    report = check(wrong, select="VALUE-1/float32")
    of_vectors = [verdict for verdict in report.failures if verdict.case]
    assert len(of_vectors) > 10
    for verdict in of_vectors:
        assert verdict.failure is not None
        message = verdict.failure.message
        where = f"[{verdict.clause} {verdict.title}, case {verdict.case}, {report.backend['name']}"
        assert where in message.replace("shrunk from case", "case")
        assert message.endswith("float32]")
        assert message.startswith("loss")
        assert ", but should be " in message
        assert f"replay({verdict.case!r}, backend)" in verdict.failure.replay


class Loud(np.ndarray):
    """An array that refuses to be looked at through its own methods."""

    def astype(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (np.zeros(3), Returned),
        (np.float32(1), Returned),
        (np.zeros(2, dtype=DTYPES["bfloat16"]), Returned),
        (np.ma.masked_all(3), Returned),
        (np.zeros(2).view(Loud), Returned),
        (np.zeros(2, dtype=np.int64), Malformed),
        (np.zeros(2, dtype=complex), Malformed),
        (np.zeros(2, dtype=object), Malformed),
        (None, Malformed),
        (1.0, Malformed),
        ([0.5], Malformed),
        ((0.5, 0.5), Malformed),
        ("0.5", Malformed),
        (ValueError("returned"), Malformed),
        (NotImplemented, Malformed),
    ],
)
def test_what_counts_as_a_result(value: Any, kind: type) -> None:
    assert isinstance(returned(value), kind)


def changed_by(change: Any) -> tuple[str, ...]:
    def function(input: Any, **_: Any) -> Any:
        change(input)
        return np.zeros(())

    return observe(function, {"input": np.arange(6.0).reshape(2, 3), "weight": None}, {}).changed


def test_changed_arguments_are_named() -> None:
    assert changed_by(np.sum) == ()
    assert changed_by(lambda a: a.fill(1)) == ("input",)
    assert changed_by(lambda a: a.__setitem__((1, 2), -0.0)) == ("input",)
    assert changed_by(lambda a: a.byteswap(inplace=True)) == ("input",)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # later versions of NumPy advise against all of these
def test_arguments_changed_in_form_are_named() -> None:
    assert changed_by(lambda a: setattr(a, "shape", (6,))) == ("input",)
    assert changed_by(lambda a: setattr(a, "dtype", np.int64)) == ("input",)
    assert changed_by(lambda a: setattr(a.flags, "writeable", False)) == ("input",)


@pytest.mark.parametrize(
    "message",
    [
        "'numpy.ndarray' object has no attribute 'is_floating_point'",
        "multi_margin_loss(): argument 'input' (position 1) must be Tensor, not numpy.ndarray",
    ],
)
def test_a_function_over_tensors_is_told_where_it_belongs(message: str) -> None:
    finding = no_result("loss", Raised("TypeError", message, ""))
    assert finding.message.endswith("; a function over tensors is checked as torch:module:attr")
