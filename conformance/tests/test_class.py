"""The profile `torch`: what is planned, and what PyTorch and this package's drop-in really do."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from multimargin_conformance import Capabilities, check
from multimargin_conformance.checks import integration
from multimargin_reference.behaviours import by_name
from multimargin_reports import Report

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from multimargin_conformance.adapters.torch import RawKernel, TorchEager, wrapped  # noqa: E402
from multimargin_conformance.adapters.torch_class import compiled, higher  # noqa: E402
from multimargin_conformance.adapters.torch_class.cases import batched  # noqa: E402
from multimargin_reference.torch import multi_margin_loss  # noqa: E402

pytestmark = pytest.mark.usefixtures("usual_engine")  # the drop-in has kernels where Numba is installed

PERMITTED = {
    "double backward": {"right", "detached", "rejected"},
    "differentiating weight": {"right", "rejected"},
    "forward-mode differentiation": {"right", "rejected"},
}


@cache
def report(name: str) -> Report:
    return check(name, profile="torch")


def failed(found: Report) -> set[str]:
    return {v.id for v in found.failures}


def answers(found: Report) -> dict[str, set[str]]:
    collected: dict[str, set[str]] = {}
    for behaviour in found.behaviours:
        collected.setdefault(behaviour.name, set()).update(behaviour.answers)
    return collected


def eager_failures() -> Iterator[str]:
    """No backward for meta tensors; (1,) for 'none' with a 0-d target, and the kink's slope, where it is traced."""
    for dtype in ("float32", "float64"):
        for reduction in ("none", "mean", "sum"):
            for shape in ("batched", "unbatched"):
                yield f"CLASS-7/{dtype}/meta-{shape}-{reduction}/gradient"
        yield from (f"CLASS-7/{dtype}/{kind}-unbatched-none/loss" for kind in ("meta", "fake"))
    for route in ("compiled", "decomposed"):
        yield f"CLASS-8/float32/{route}-kink-none/gradient"
        yield f"CLASS-8/float32/{route}-unbatched-none/loss"


def test_eager_fails_where_it_is_traced_and_nowhere_else() -> None:
    found = report("torch")
    assert found.claim == "torch"
    assert found.counts["error"] == found.counts["skip"] == 0
    assert failed(found) == set(eager_failures())
    assert not found.conformant


def test_the_decomposition_is_a_function_that_fails_at_the_kink_and_in_the_shape_of_none() -> None:
    found = report("torch-decomposition")
    assert found.claim == "torch, function only"
    assert found.counts["error"] == 0
    assert {v.clause for v in found.verdicts} == {f"CLASS-{k}" for k in range(5, 10)}
    assert {v.clause for v in found.failures} == {"CLASS-5", "CLASS-6", "CLASS-8"}
    assert not any("unbatched" not in name and "kink" not in name and "vmap" not in name for name in failed(found))


def test_the_drop_in_is_conformant() -> None:
    found = report("torch-reference")
    assert failed(found) == set()
    assert found.conformant


def test_higher_derivatives_are_recorded() -> None:
    assert answers(report("torch")) == answers(report("torch-reference")) == {k: {"rejected"} for k in PERMITTED}
    assert answers(report("torch-decomposition")) == {k: {"right"} for k in PERMITTED}


def test_all_answers_are_in_the_table_of_behaviours() -> None:
    for behaviour, permitted in PERMITTED.items():
        assert set(by_name()[behaviour].answers) == set(permitted), behaviour


def test_the_table_of_clauses_is_what_is_planned() -> None:
    assert {v.clause for v in report("torch").verdicts} == set(integration.CLAUSES)


def test_ids_are_unique() -> None:
    names = [v.id for v in report("torch").verdicts]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", ["reference", "oracle"])
def test_a_backend_over_arrays_has_no_such_profile(name: str) -> None:
    with pytest.raises(ValueError, match="profile 'torch' is for functions over tensors"):
        check(name, profile="torch")


def test_a_kernel_without_autograd_has_no_such_profile() -> None:
    class Kernel:
        def forward(self, *_: Any, **__: Any) -> Any: ...
        def backward(self, *_: Any, **__: Any) -> Any: ...

    with pytest.raises(ValueError, match="is neither: name one as torch:module:attr"):
        check(RawKernel(Kernel(), "cpu"), profile="torch")


def test_full_holds_the_class_where_there_is_one() -> None:
    assert check("torch", profile="full", clause="CLASS-1").conformant
    with pytest.raises(ValueError, match="no check matches"):
        check("reference", profile="full", clause="CLASS-*")
    with pytest.raises(ValueError, match="no check matches"):
        check("torch", profile="training", clause="CLASS-*")


@pytest.mark.parametrize(
    "only", [("p=1",), ("p=2", "reduction=sum"), ("shape=unbatched",), ("reduction=mean",)], ids=str
)
def test_limits_narrow_the_plan_and_break_nothing(only: tuple[str, ...]) -> None:
    clauses = ",".join(f"CLASS-{k}" for k in (1, 2, 3, 4, 5, 6, 7, 9))
    found = check("torch-reference", profile="torch", only=only, clause=clauses)
    assert found.conformant
    assert 50 < found.planned < report("torch-reference").planned - 50
    if only == ("p=1",):
        assert not any("-p2" in v.id for v in found.verdicts)


def test_one_dtype_is_enough() -> None:
    found = check("torch-reference", profile="torch", dtypes=["float64"], clause="CLASS-[1-79]")
    assert found.conformant
    assert {v.dtype for v in found.verdicts} == {"float64"}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_an_implementation_of_halves_alone_is_checked_in_them(dtype: str) -> None:
    def halves(input: Any, target: Any, **options: Any) -> Any:
        assert str(input.dtype) == f"torch.{dtype}"
        return multi_margin_loss(input, target, **options)

    halves.capabilities = Capabilities(dtypes=(dtype,))  # type: ignore[attr-defined]
    found = check(wrapped(halves), profile="full", clause="CLASS-[5-7],CLASS-9", select="*/[!a]*")
    assert [v.failure.message for v in found.failures if v.failure and "autocast" not in v.id] == []
    assert {v.dtype for v in found.verdicts} == {dtype}


@pytest.mark.parametrize("name", higher.DERIVATIVES)
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("p", [1, 2])
def test_exact_derivatives_are_numbers_of_every_dtype(p: int, reduction: str, name: str) -> None:
    exact = np.array(higher.DERIVATIVES[name].exact(batched("float32", p=p, reduction=reduction)), object)
    assert all(float(np.float32(float(v))) == v for v in exact.reshape(-1))
    assert any(v != 0 for v in exact.reshape(-1))


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_exact_derivatives_are_those_of_finite_differences(p: int, reduction: str) -> None:
    case = batched("float64", p=p, reduction=reduction)
    x, y, w, g = (torch.tensor(np.array(a)) for a in (case.input, case.target, case.weight, case.grad_output))

    def loss(logits: Any, weight: Any = w) -> Any:
        return multi_margin_loss(logits, y, p, case.margin, weight, reduction=reduction)

    step = torch.tensor(higher.DIRECTION) * 2.0**-8
    tangent = (loss(x + step) - loss(x - step)) * 2.0**7
    assert tangent.tolist() == np.array(higher.forward_tangent(case), np.float64).tolist()
    slopes = [((loss(x, w + unit) - loss(x, w)) * g).sum().item() for unit in torch.eye(4, dtype=w.dtype)]
    assert slopes == [float(v) for v in higher.by_weight(case)]


def test_tracing_starts_afresh_for_each_case() -> None:
    # After a few recompilations torch.compile calls eager in silence, which would hide what is compiled.
    torch.compiler.reset()
    eager = TorchEager().function
    x, y = torch.tensor([[1.0, 0.0]], requires_grad=True), torch.tensor([0])
    for margin in range(1, 12):
        loss = compiled.ROUTES["compiled"](lambda a, b, margin=margin: eager(a, b, margin=margin), (x, y))(x, y)
        (gradient,) = torch.autograd.grad(loss, x)
    assert gradient.tolist() == [[-0.5, 0.5]]
    loss = compiled.ROUTES["compiled"](lambda a, b: eager(a, b), (x, y))(x, y)
    assert torch.autograd.grad(loss, x)[0].tolist() == [[-0.5, 0.5]]  # the decomposition's kink: it was compiled


def test_nothing_is_left_behind() -> None:
    import logging

    before = logging.root.manager.disable
    check("torch-reference", profile="torch", clause="CLASS-7")
    assert logging.root.manager.disable == before


def test_a_crash_in_a_check_of_the_class_costs_that_check_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = (
        "import os, torch\nfrom torch.nn.functional import multi_margin_loss\n"
        "def loss(input, target, **options):\n"
        "    if options['p'] == 2 and torch._C._functorch.peek_interpreter_stack() is not None:\n        os.abort()\n"
        "    return multi_margin_loss(input, target, **options)\n"
    )
    (tmp_path / "aborts.py").write_text(text, encoding="utf-8")
    found = check("torch:aborts:loss", profile="torch", clause="CLASS-6", dtypes=["float32"], only=["reduction=mean"])
    assert found.valid
    assert {v.clause for v in found.failures} == {"CLASS-6"}
    messages = [v.failure.message for v in found.failures if v.failure]
    assert all("crashed: the process was ended by SIGABRT" in m for m in messages)
    assert found.counts["pass"] > len(messages) > 0


def test_a_tangent_may_have_another_dtype() -> None:
    """torch.func.jvp gives the tangent of a float32 number times a Python number in float64."""

    def by_reciprocal(input: Any, target: Any, p: int, margin: float, weight: Any, reduction: str) -> Any:
        own = torch.arange(input.shape[-1]) == target[..., None]
        z = margin - (input * own).sum(-1, keepdim=True) + input
        weights = 1.0 if weight is None else (weight * own).sum(-1)
        rows = weights * torch.where((z > 0) & ~own, z, 0.0).pow(p).sum(-1) / input.shape[-1]
        return rows if reduction == "none" else rows.sum() * (1.0 if reduction == "sum" else 1 / rows.numel())

    found = check(wrapped(by_reciprocal), profile="torch", select="CLASS-9/float32/jvp-*")
    assert {a for b in found.behaviours for a in b.answers} == {"right"}
    assert found.counts["fail"] == found.counts["error"] == 0
