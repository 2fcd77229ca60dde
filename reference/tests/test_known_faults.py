"""Every known fault shows on at least one probe, on which the model and every legal variant agree.

Those of one path alone (faults_conditional.py) are made of the others, and show in the conformance suite's contexts.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

from multimargin_reference.formats import FORMATS
from multimargin_reference.known import MODEL, VARIANTS, WHOLE, Backend, Fault, Request, Variant
from multimargin_reference.known.probe_calls import both, call
from multimargin_reference.known.probes import PROBES, Probe

REJECTED = "rejected"
SLOW = "MULTIMARGIN_SLOW" in os.environ  # else some of them: multimargin selftest runs all


def arguments(r: Request) -> list[Any]:
    return [a for a in (r.input, r.target, r.weight, r.grad_output) if isinstance(a, np.ndarray)]


def ask(backend: Backend, r: Request) -> Any:
    options = {"p": r.p, "margin": r.margin, "weight": r.weight, "reduction": r.reduction}
    if r.backward:
        return backend.backward(r.grad_output, r.input, r.target, **options)
    return backend.forward(r.input, r.target, **options)


def observe(backend: Backend, probe: Probe) -> list[Any]:
    """Return copies of all results, then what became of the arguments and of the results that were held."""
    seen: list[Any] = []
    held: list[tuple[Any, Any]] = []
    for r in probe.requests():
        earlier = [a.copy() for a in arguments(r)]
        try:
            value = ask(backend, r)
        except Exception:
            seen.append(REJECTED)
            continue
        known = isinstance(value, np.ndarray | np.generic)
        seen.append(np.array(value) if known else type(value).__name__)
        held.append((value, seen[-1]))
        seen.append([bool(np.all(bits(a) == bits(b))) for a, b in zip(earlier, arguments(r), strict=True)])
    seen.append([bool(np.all(bits(now) == bits(then))) for now, then in held if isinstance(then, np.ndarray)])
    return seen


def bits(value: Any) -> Any:
    return np.frombuffer(np.ascontiguousarray(value).tobytes(), np.uint8)


def plain(value: Any, nan_means: float | None) -> Any:
    wide = value.astype(np.complex128 if value.dtype.kind == "c" else np.float64)
    return wide if nan_means is None else np.where(np.isnan(wide), nan_means, wide)


def same(got: Any, right: Any, probe: Probe) -> bool:
    if not isinstance(got, np.ndarray) or not isinstance(right, np.ndarray):
        return type(got) is type(right) and bool(got == right)
    if (got.dtype, got.shape) != (right.dtype, right.shape):
        return False
    a, b = plain(got, probe.nan_means), plain(right, probe.nan_means)
    with np.errstate(invalid="ignore"):
        room = probe.units * float(FORMATS[right.dtype.name].u) * abs(b)
        return bool(np.all((a == b) | (np.isnan(a) & np.isnan(b)) | (abs(a - b) <= room)))


@cache
def right(probe: Probe) -> list[Any]:
    return observe(MODEL, probe)


def shown_by(backend: Backend, probe: Probe) -> bool:
    got, expected = observe(backend, probe), right(probe)
    return len(got) != len(expected) or not all(same(a, b, probe) for a, b in zip(got, expected, strict=True))


def varies(backend: Backend) -> bool:
    """Return whether equal calls give different bits."""
    draw = np.random.default_rng(18)
    x, y = draw.normal(size=(8, 64)).astype(np.float32), draw.integers(0, 64, 8)
    results = {ask(backend, call(x, y, p=2)).tobytes() for _ in range(32)}
    return len(results) > 1


def mixes_threads(backend: Backend) -> bool:
    """Return whether calls from four threads, each with a margin and a factor of its own, get each other's answers."""
    wrong: list[int] = []

    def work(number: int) -> None:
        requests = both(np.array([[0.0, float(number)]]), np.array([0]), g=1.0 + number, margin=1.0 + number)
        expected = [ask(MODEL, r) for r in requests]
        for _ in range(200):
            answers = (ask(backend, r) for r in requests)
            wrong.extend(number for a, e in zip(answers, expected, strict=True) if not np.array_equal(a, e))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return bool(wrong)


def narrows_factors(backend: Backend) -> bool:
    """Return whether weight or grad_output of an unbatched call lose digits that the dtype has."""
    weight = np.array([1 + 2.0**-12, 1 + 2.0**-13], np.float32)
    x, y, g = np.array([0.0, 1.0], np.float32), np.array(0), np.float32(1 + 2.0**-14)
    requests = [*both(x, y, weight=weight), *both(x, y, g=g)]  # one of them at a time, so that nothing rounds
    return any(not np.array_equal(ask(backend, r), ask(MODEL, r)) for r in requests)


def evidence(make: Callable[[], Backend]) -> str:
    """Name the first probe that tells a backend from the model, or return an empty string."""
    for probe in PROBES:
        if shown_by(make(), probe):
            return probe.name
    for check in (varies, mixes_threads, narrows_factors):
        if check(make()):
            return check.__name__
    return ""


@pytest.mark.parametrize("fault", WHOLE if SLOW else WHOLE[::4], ids=lambda fault: fault.name)
def test_fault_is_observable(fault: Fault) -> None:
    assert evidence(fault.make), "no probe tells this fault from the model"


@pytest.mark.parametrize("variant", VARIANTS if SLOW else VARIANTS[::3], ids=lambda variant: variant.name)
def test_variant_is_not_accused(variant: Variant) -> None:
    assert not evidence(variant.make)
