"""Arguments of other types, pairs of calls that careless keys take for one, and results that are arguments."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from multimargin_conformance import Capabilities, check
from multimargin_conformance.checks import arguments, caches, close, edges, first, instances
from multimargin_conformance.checks.item import Scope
from multimargin_reference.expectation import expected_values
from multimargin_reference.formats import FORMATS
from multimargin_reference.known import FAULTS, MODEL, Custom, Fault, Request
from multimargin_reference.known.model import QUIET
from multimargin_vectors.draft import has_kink

BY_NAME = {fault.name: fault for fault in FAULTS}
REJECTIONS = {"profile": "core", "select": "arguments-"}


def accepting(wanted: Any, right: int = 1) -> Custom:
    """Take p = `wanted` for a valid one."""
    return Custom("accepting", lambda r: MODEL.answer(replace(r, p=right) if same(r.p, wanted) else r))


def same(a: Any, b: Any) -> bool:
    return type(a) is type(b) and repr(a) == repr(b)


def failed(backend: Any, **options: Any) -> set[str]:
    report = check(backend, **options)
    assert report.counts["error"] == 0
    return {v.id.split("/")[2] for v in report.failures}


@pytest.mark.parametrize("p", arguments.P, ids=repr)
def test_each_p_is_asked_for(p: Any) -> None:
    found = failed(accepting(p), **REJECTIONS)
    assert len(found) == 1
    assert next(iter(found)).startswith("arguments-p=")


@pytest.mark.parametrize("reduction", arguments.REDUCTION, ids=repr)
def test_each_reduction_is_asked_for(reduction: Any) -> None:
    def answer(r: Request) -> Any:
        return MODEL.answer(replace(r, reduction="mean") if same(r.reduction, reduction) else r)

    assert len(failed(Custom("accepting", answer), **REJECTIONS)) == 1


@pytest.mark.parametrize(("text", "p", "right"), [("1", 1, True), ("2", 2, True), ("1", 2, False), ("2", 1, False)])
def test_text_of_a_valid_p_is_rejected_or_right(text: str, p: int, right: bool) -> None:
    found = failed(accepting(text, p), **REJECTIONS)
    assert found == (set() if right else {f"arguments-p=_{text}_"})


def test_what_is_left_open_is_not_asked_for() -> None:
    def open_minded(r: Request) -> Any:
        if isinstance(r.p, bool | np.integer | float) and r.p in (1, 2):
            r = replace(r, p=int(r.p))
        return MODEL.answer(replace(r, reduction={0: "none", 1: "mean", 2: "sum"}.get(r.reduction, r.reduction)))

    assert check(Custom("open-minded", open_minded), profile="core", clause="REJECT-1,REJECT-2").conformant


def test_the_message_shows_the_value() -> None:
    report = check(accepting(None), **REJECTIONS)
    assert report.failures[0].failure is not None
    assert report.failures[0].failure.message.startswith("p=None: the call returned ")


def test_ids_are_distinct_and_plain() -> None:
    ids = [item.id for item in arguments.items(Scope(("float32",), True, Capabilities()))]
    values = len(arguments.P) + len(arguments.REDUCTION) + len(arguments.OTHER_NAMES)
    assert len(set(ids)) == len(ids) == values + 2  # and targets of the widest dtype, and objects for p
    assert not any(set("*?[] '\"\n") & set(name) for name in ids)


@pytest.mark.parametrize(
    "declared", [Capabilities(p=(1,)), Capabilities(shapes=("unbatched",)), Capabilities(reductions=("sum",))]
)
def test_only_declared_calls_are_made(declared: Capabilities) -> None:
    calls = arguments.calls(Scope(("float32",), True, declared), "float32")
    assert calls
    assert not any(declared.leaves_out(case) for case in calls)


INSIDE = {name for name in caches.PAIRS if name.endswith(("in the middle", "far inside", "change places"))}
PAIR_FAULTS = {
    "cache-by-hash": {"margins of one hash"},
    "cache-by-printed-arrays": {*INSIDE, "the last digits"},
    "cache-by-ends": INSIDE,
}


@pytest.mark.parametrize("name", PAIR_FAULTS)
def test_a_careless_key_is_seen_by_its_pairs_alone(name: str) -> None:
    found = failed(BY_NAME[name].make(), profile="training", select="pair-")
    assert {f"pair-{pair.replace(' ', '-')}" for pair in PAIR_FAULTS[name]} == found


def test_a_key_of_values_is_seen_by_the_dtype_and_the_batch() -> None:
    found = failed(BY_NAME["cache-by-values"].make(), profile="training", select="pair-the-")
    assert found == {"pair-the-dtype", "pair-the-batch-of-one"}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_a_pair_differs_in_its_results(dtype: str) -> None:
    for name in caches.PAIRS:
        first, second = (expected_values(case) for case in caches.pair(name, dtype))
        assert first.gradient is not None
        assert second.gradient is not None
        for a, b in ((first.loss, second.loss), (first.gradient, second.gradient)):
            told = a.shape != b.shape or a.dtype != b.dtype or bool(np.any((a.lo > b.hi) | (b.lo > a.hi)))
            assert told or (name, a.shape) in UNTOLD, (name, a.shape)


UNTOLD = {("a grad_output in the middle", (caches.LONG,))}  # the loss does not depend on it


def test_pairs_of_dtypes_are_left_out_where_one_is_not_checked() -> None:
    ids = [item.id for item in caches.items(Scope(("float16",), True, Capabilities()))]
    assert ids
    assert not any("the-dtype" in name for name in ids)


@pytest.mark.parametrize("name", ["gradient-is-input-when-equal", "threads-share-gradient", "threads-share-options"])
def test_what_is_shared_is_seen(name: str) -> None:
    fault: Fault = BY_NAME[name]
    report = check(fault.make(), profile="training", clause=",".join(fault.clauses))
    assert report.failures


def test_an_address_is_no_key() -> None:
    with np.errstate(**QUIET):
        assert failed(BY_NAME["cache-by-address"].make(), profile="core", clause="PURITY-3", dtypes=("float32",))


class FlushedHalves:
    """Computes halves in float32, and stores none below the smallest normal one: both are declared."""

    capabilities = Capabilities(permissions=("flush-subnormals", "accumulator"))

    def forward(self, *arguments: Any, **options: Any) -> Any:
        return flushed(MODEL.forward(*arguments, **options))

    def backward(self, *arguments: Any, **options: Any) -> Any:
        return flushed(MODEL.backward(*arguments, **options))


def flushed(values: Any) -> Any:
    small = abs(values.astype(np.float64)) < float(FORMATS[values.dtype.name].smallest_normal)
    return np.where(small, values.dtype.type(0), values)


def test_a_stored_half_may_be_flushed_by_an_accumulator_too() -> None:
    options: dict[str, Any] = {"profile": "half", "dtypes": ["float16"], "clause": "GRADIENT-11,DTYPE-4"}
    report = check(FlushedHalves(), **options)
    assert report.conformant, [v.failure for v in report.failures]
    flushing = type("Undeclared", (FlushedHalves,), {"capabilities": Capabilities()})
    assert not check(flushing(), fail_fast=True, **options).conformant


RETURNED = """
import numpy as np
from multimargin_reference import multi_margin_loss, multi_margin_loss_backward

class Kernel:
    def forward(self, input, target, **options):
        return np.asarray(multi_margin_loss(input, target, **options))

    def backward(self, grad_output, input, target, **options):
        return input if RIGHT == 1 else multi_margin_loss_backward(grad_output, input, target, **options)
"""


@pytest.mark.parametrize("isolate", [False, True])
def test_a_result_in_an_arguments_memory_is_none(isolate: bool, tmp_path: Path) -> None:
    for right, conformant in ((1, False), (2, True)):
        file = tmp_path / f"backend_{right}.py"
        file.write_text(RETURNED.replace("RIGHT", str(right)), encoding="utf-8")
        report = check(f"py:{file}:Kernel", "training", clause="GRADIENT-1", isolate=isolate)
        assert report.conformant is conformant
        if not conformant:
            failure = report.failures[0].failure
            assert failure is not None
            assert "returned a view of input's memory, but should be memory of its own" in failure.message
            assert report.failures[0].clause == "PURITY-4"


def test_the_first_call_of_a_run_is_a_gradient_where_there_are_any() -> None:
    scope = Scope(("float32", "float64"), True, Capabilities())
    assert [len(list(first.items(replace(scope, gradient=gradient)))) for gradient in (False, True)] == [0, 1]


def test_every_instance_of_a_template_has_calls() -> None:
    for axes, tied in product((1, 2), (False, True)):
        cases = instances.calls("float32", axes, tied)
        signs = {(c.p, c.reduction, c.weight is None, np.sign(c.margin)) for c in cases}
        assert len(signs) == len(cases) == 36
        assert all(has_kink(case) is tied for case in cases)


def test_what_is_close_is_not_what_it_is_close_to() -> None:
    for name, dtype in product(close.KINDS, close.STEPS):
        cases = close.calls(name, dtype)
        assert {c.p for c in cases} == {1, 2}
        assert {c.reduction for c in cases} == {"none", "sum", "mean"}
        for case in cases:
            arrays = [a for a in (case.weight, case.grad_output) if a is not None]
            varied = any((a != 1).any() for a in arrays) or case.margin not in (0, 1)
            assert varied or len(np.unique(case.input)) > 1


def test_rounding_the_margin_changes_a_sign() -> None:
    for case in edges.calls("margin-rounded", "float32"):
        exact = case.margin - case.input[:, 0].astype(float) + case.input[:, 1]
        rounded = (np.float32(case.margin) - case.input[:, 0]) + case.input[:, 1]
        assert (exact > 0).all()
        assert (rounded < 0).all()
    assert edges.calls("margin-rounded", "float64") == ()
