"""`multimargin smoke`: judges the adapter alone; a wrong loss passes, a broken adapter is named in one line."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from multimargin_conformance import Capabilities
from multimargin_conformance.adapters import SHIPPED, resolve
from multimargin_conformance.backend import live
from multimargin_conformance.cli import main
from multimargin_conformance.session import Session
from multimargin_conformance.smoke import Probe, Sanity, calls, smoke, trivial
from multimargin_reference import multi_margin_loss, multi_margin_loss_backward
from multimargin_reference.known import (
    FAULTS,
    VARIANTS,
    faults_factors,
    faults_gradients,
    faults_margin,
    faults_precision,
    faults_specials,
    faults_targets,
    faults_validation,
    faults_values,
    faults_weights,
)

WRONG_LOSSES = (  # groups of known faults that are in what is computed, not in how it is handed over
    faults_factors,
    faults_gradients,
    faults_margin,
    faults_precision,
    faults_specials,
    faults_targets,
    faults_validation,
    faults_values,
    faults_weights,
)
NO_ADAPTERS = {  # known faults that do not answer what they are asked, not in the same way twice, or not in its form
    "always-zero",
    "always-quarter",
    "always-one",
    "loss-always-zero",
    "random",
    "documented-example-only",
    "float64-only",
    "gradient-transposed",
    "gradient-flat",
}

Act = Callable[[Any, Any, Any], Any]  # the right result, the input and the options to what is returned


class Kernel:
    """A right implementation that passes the results of some calls through `act`."""

    def __init__(self, act: Act, when: Callable[[Any, Any], bool] = lambda _x, _o: True, backward: bool = False):
        self.act, self.when, self.acts_backward = act, when, backward

    def forward(self, input: Any, target: Any, **options: Any) -> Any:
        result = multi_margin_loss(input, target, **options)
        acts = not self.acts_backward and self.when(input, options)
        return self.act(result, input, options) if acts else result

    def backward(self, grad_output: Any, input: Any, target: Any, **options: Any) -> Any:
        result = multi_margin_loss_backward(grad_output, input, target, **options)
        acts = self.acts_backward and self.when(input, options)
        return self.act(result, input, options) if acts else result


def judged(backend: Any) -> Sanity:
    return smoke(live(backend))


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_adapters_are_sane(name: str) -> None:
    if name.startswith("torch-compile") and "MULTIMARGIN_SLOW" not in os.environ:
        pytest.skip("compiles for minutes: set MULTIMARGIN_SLOW=1")
    if name.startswith("torch"):
        pytest.importorskip("torch")
    assert smoke(resolve(name)).broken == ""


@pytest.mark.parametrize("fault", [f for group in WRONG_LOSSES for f in group.FAULTS], ids=lambda f: f.name)
def test_a_wrong_loss_is_no_broken_adapter(fault: Any) -> None:
    assert bool(judged(fault.make()).broken) is (fault.name in NO_ADAPTERS)


@pytest.mark.parametrize("variant", VARIANTS[::4], ids=lambda v: v.name)
def test_a_legal_variant_is_sane(variant: Any) -> None:
    assert judged(variant.make()).broken == ""


def test_most_known_faults_are_left_to_the_checks() -> None:
    assert sum(bool(judged(fault.make()).broken) for fault in FAULTS[::20]) < len(FAULTS[::20]) / 4


def refuse(*_: Any) -> Any:
    raise NotImplementedError("not here")


def change(_result: Any, input: Any, _options: Any) -> Any:
    input.reshape(-1)[0] += 1
    return _result


def counting() -> Act:
    seen: list[int] = []

    def act(result: Any, _input: Any, _options: Any) -> Any:
        seen.append(1)
        return result + len(seen) if len(seen) % 2 else result

    return act


def ends(*_: Any) -> Any:
    sys.exit(0)


BROKEN: dict[str, tuple[Any, str]] = {
    "refuses": (refuse, "raised NotImplementedError: not here, but should return a result"),
    "returns nothing": (lambda *_: None, "but should be a NumPy array or scalar"),
    "returns a list": (lambda result, *_: result.tolist(), "but should be a NumPy array or scalar"),
    "another dtype": (lambda result, *_: result.astype(np.longdouble), "returned dtype"),
    "one element too many": (lambda result, *_: np.append(result, result), "returned shape"),
    "not a number": (lambda result, *_: result * np.nan, "not finite"),
    "infinite": (lambda result, *_: result / np.zeros((), result.dtype), "not finite"),
    "changes its input": (change, "changed its input"),
    "ends the process": (ends, "crashed: SystemExit"),
}
NEXT = ("correct", "declare", "check", "copy", "look")


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("what", BROKEN)
def test_broken_adapters_are_named(what: str, backward: bool) -> None:
    act, message = BROKEN[what]
    broken = judged(Kernel(act, backward=backward)).broken
    assert message in broken
    assert broken.startswith("backward of " if backward else "forward of ")
    assert "but should" in broken or "not finite" in broken
    assert any(word in broken for word in NEXT)


@pytest.mark.parametrize("backward", [False, True])
def test_two_answers_to_one_call_are_broken(backward: bool) -> None:
    kernel = Kernel(counting(), backward=backward)
    assert "gave two answers to the same call" in judged(kernel).broken
    permitted = Kernel(counting(), backward=backward)
    permitted.capabilities = Capabilities(permissions=("run-to-run-variation",))  # type: ignore[attr-defined]
    assert judged(permitted).broken == ""


def test_an_answer_that_has_nothing_to_do_with_the_call_is_broken() -> None:
    assert "very different calls" in judged(Kernel(lambda result, *_: np.ones_like(result))).broken


@pytest.mark.parametrize(
    "when",
    [
        lambda x, _o: x.dtype.name == "float64",
        lambda _x, o: o["p"] == 2,
        lambda _x, o: o["reduction"] == "sum",
        lambda x, _o: x.ndim == 1,
    ],
)
@pytest.mark.parametrize("act", [refuse, lambda result, *_: np.ones_like(result)])
def test_every_declared_combination_is_tried(when: Any, act: Any) -> None:
    assert judged(Kernel(act, when)).broken
    assert judged(Kernel(act, lambda *_: False)).broken == ""


@pytest.mark.parametrize(
    ("declared", "when"),
    [
        (Capabilities(p=(1,)), lambda _x, o: o["p"] == 2),
        (Capabilities(dtypes=("float32",)), lambda x, _o: x.dtype.name != "float32"),
        (Capabilities(reductions=("mean",)), lambda _x, o: o["reduction"] != "mean"),
        (Capabilities(shapes=("batched",)), lambda x, _o: x.ndim == 1),
        (Capabilities(shapes=("unbatched",)), lambda x, _o: x.ndim == 2),
        (Capabilities(gradient=False), lambda *_: False),
    ],
)
def test_what_is_not_declared_is_not_tried(declared: Capabilities, when: Any) -> None:
    kernel = Kernel(refuse, when)
    kernel.capabilities = declared  # type: ignore[attr-defined]
    assert judged(kernel).broken == ""


def test_a_declared_gradient_that_is_not_counted_is_not_asked_for() -> None:
    kernel = Kernel(refuse, backward=True)
    kernel.capabilities = Capabilities(gradient=False)  # type: ignore[attr-defined]
    assert judged(kernel).broken == ""
    assert "no backward" in judged(kernel).tried


def test_a_bare_function_needs_no_backward() -> None:
    sanity = judged(multi_margin_loss)
    assert sanity.broken == ""
    assert "no backward" in sanity.tried


def test_halves_may_be_refused_or_widened_by_a_backend_that_declares_nothing() -> None:
    def half(x: Any, _: Any) -> bool:
        return bool(x.dtype.itemsize == 2)

    assert judged(Kernel(refuse, half)).broken == ""
    assert judged(Kernel(lambda result, *_: np.float32(result), half)).broken == ""
    assert judged(Kernel(lambda result, *_: result.astype(np.int32), half)).broken
    assert judged(Kernel(lambda *_: None, half)).broken
    for act in (refuse, lambda result, *_: np.float32(result)):
        declared = Kernel(act, half)
        declared.capabilities = Capabilities(dtypes=("float16", "float32"))  # type: ignore[attr-defined]
        assert judged(declared).broken


def test_a_loss_of_one_element_in_place_of_a_scalar_is_the_losss_matter() -> None:
    assert judged(Kernel(lambda result, *_: result.reshape(1) if result.ndim == 0 else result)).broken == ""


@pytest.mark.parametrize("shape", [(4,), (4, 2), (8,)])
def test_a_gradient_has_inputs_shape(shape: tuple[int, ...]) -> None:
    def act(result: Any, *_: Any) -> Any:
        return result.reshape(shape) if result.ndim == 2 and result.size == np.prod(shape) else result

    assert bool(judged(Kernel(act, backward=True)).broken) is (shape != (4,))


def test_warnings_and_floating_point_errors_are_no_matter() -> None:
    def noisy(result: Any, *_: Any) -> Any:
        warnings.warn("careful", UserWarning, stacklevel=1)
        np.log(np.zeros(1))
        return result

    assert judged(Kernel(noisy)).broken == ""


def test_objects_that_are_no_backends_are_broken() -> None:
    for backend in (None, 7, SimpleNamespace(forward=3), object()):
        assert "but should return a result" in judged(backend).broken


def test_the_probes_are_a_list_that_can_be_extended() -> None:
    def echo(session: Session) -> Iterator[str]:
        yield f"{session.subject.name} does not echo, but should: look at its reader"

    sanity = smoke(live(multi_margin_loss), [Probe("echoes bits", echo)])
    assert sanity.broken == "multi_margin_loss does not echo, but should: look at its reader"


def test_the_calls_are_valid_and_have_nothing_in_common() -> None:
    subject = live(Kernel(refuse))
    assert len(calls(subject)) == 4 * 2 * 3 * 2 * 2
    assert len(calls(replace(subject, backward=None))) == 4 * 2 * 3 * 2
    for call in calls(subject):
        case = call.case
        shape = "batched" if case.input.ndim == 2 else "unbatched"
        others = [trivial(case.dtype, int(case.p), case.reduction, shape, number) for number in range(3)]
        losses = {multi_margin_loss(c.input, c.target, **c.options).tobytes() for c in others}
        assert len(losses) == 3
        assert multi_margin_loss_backward(case.grad_output, case.input, case.target, **case.options).any()


KERNELS = """
import sys
from multimargin_reference import multi_margin_loss

def right(input, target, **options):
    return multi_margin_loss(input, target, **options)

def wrong(input, target, **options):
    return multi_margin_loss(input, target, **options) * 3

def broken(input, target, **options):
    raise ValueError("\\x1b[2J\\x07 no\\nthe adapter is sane: really")

class Needy:
    def __init__(self, device):
        pass
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    (tmp_path / "smokekernels.py").write_text(KERNELS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "smokekernels", raising=False)
    return lambda *words: CliRunner().invoke(main, ["smoke", *words])


@pytest.mark.parametrize(
    ("backend", "status", "start"),
    [
        ("reference", 0, "the adapter is sane: reference: forward and backward, 96 calls: float16, bfloat16, "),
        ("py:smokekernels:right", 0, "the adapter is sane: py:smokekernels:right: forward (no backward), 48 calls: "),
        ("py:smokekernels:wrong", 0, "the adapter is sane: "),
        ("py:smokekernels:broken", 1, "the adapter is broken: forward of float32 (2, 4) with p = 1, reduction 'none'"),
        ("py:smokekernels:absent", 3, "the adapter is broken: it cannot be started, but should be: "),
        ("py:smokekernels:Needy", 3, "the adapter is broken: it cannot be started, but should be: "),
        ("py:no_such_module_anywhere:attr", 3, "the adapter is broken: it cannot be started, but should be: "),
        ("py:math:pi", 3, "the adapter is broken: it cannot be started, but should be: "),
    ],
)
def test_one_line_and_nothing_more(run: Callable[..., Result], backend: str, status: int, start: str) -> None:
    result = run(backend)
    assert result.exit_code == status
    assert result.stderr == ""
    assert result.stdout.startswith(start)
    assert result.stdout.count("\n") == 1
    assert all(c.isprintable() or c == "\n" for c in result.stdout)


@pytest.mark.parametrize("backend", ["nothing", "py:smokekernels"])
def test_a_name_that_nothing_answers_to_is_a_usage_error(run: Callable[..., Result], backend: str) -> None:
    result = run(backend)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("Error: ")


def test_a_device_reaches_the_backend(run: Callable[..., Result]) -> None:
    pytest.importorskip("torch")
    assert run("torch", "--device", "cpu").exit_code == 0
    result = run("torch", "--device", "nonsense")
    assert result.exit_code == 3
    assert result.stdout.startswith("the adapter is broken: it cannot be started")
