"""check() never raises for what a backend does, calls nothing wrong conformant, and leaves the process as it was."""

from __future__ import annotations

import builtins
import contextlib
import os
import random
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from multimargin_conformance import check, replay
from multimargin_reference import multi_margin_loss, multi_margin_loss_backward
from multimargin_reports import Report, read, terminal, write
from multimargin_vectors import load

SOME = "VALUE-1,REJECT-3,SHAPE-7,PURITY-[124],DTYPE-4,SPECIAL-7"

Act = Callable[[Any, Any], Any]  # the right result and the input to what is returned


class Kernel:
    """A right implementation that passes every result through `act`."""

    def __init__(self, act: Act) -> None:
        self.act = act

    def forward(self, input: Any, target: Any, **options: Any) -> Any:
        return self.act(multi_margin_loss(input, target, **options), input)

    def backward(self, grad_output: Any, input: Any, target: Any, **options: Any) -> Any:
        return self.act(multi_margin_loss_backward(grad_output, input, target, **options), input)


def raising(error: BaseException | type[BaseException]) -> Act:
    def act(_result: Any, _input: Any) -> Any:
        raise error

    return act


class SilentError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class NumericError(Exception):
    def __str__(self) -> str:
        return 7  # type: ignore[return-value]


class EndingError(Exception):
    def __str__(self) -> str:
        raise SystemExit(0)


class ReprError(BaseException):
    """An error that derives from BaseException, as panics of Rust extensions do, and does not print."""

    def __str__(self) -> str:
        raise ReprError


class Evil(np.ndarray):
    """An array whose own methods all raise."""

    def __getattribute__(self, name: str) -> Any:
        if name in ("dtype", "__class__"):
            return super().__getattribute__(name)
        raise RuntimeError(name)


class Liar:
    """Something that says it is an array."""

    __class__ = np.ndarray  # type: ignore[assignment]

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)


def nested(depth: int) -> Any:
    return [nested(depth - 1)] if depth else []


def recursive(result: Any, input: Any) -> Any:
    return recursive(result, input)


WRONG: dict[str, Act] = {
    "SystemExit": raising(SystemExit(0)),
    "SystemExit by name": lambda *_: sys.exit("bye"),
    "GeneratorExit": raising(GeneratorExit),
    "StopIteration": raising(StopIteration),
    "MemoryError": raising(MemoryError),
    "RecursionError": recursive,
    "AssertionError": raising(AssertionError("x" * 1_000_000)),
    "an error without text": raising(SilentError()),
    "an error whose text is a number": raising(NumericError()),
    "an error whose text ends the process": raising(EndingError()),
    "a panic that does not print": raising(ReprError()),
    "an error group": raising(ExceptionGroup("several", [ValueError("a"), OSError("b")])),
    "an error with surrogates": raising(ValueError("\ud800\x1b[2J\x00")),
    "an error that stands for a warning": raising(RuntimeWarning("careful")),
    "None": lambda *_: None,
    "NotImplemented": lambda *_: NotImplemented,
    "a list": lambda result, _: result.tolist(),
    "a Python float": lambda *_: 0.5,
    "a nested list": lambda *_: nested(50),
    "a string": lambda *_: "0.5",
    "bytes": lambda result, _: result.tobytes(),
    "a memoryview": lambda result, _: memoryview(np.ascontiguousarray(result, dtype=np.float64)),
    "a generator": lambda *_: (x for x in ()),
    "a class": lambda *_: np.ndarray,
    "an exception": lambda *_: ValueError("returned"),
    "something that lies about its class": lambda *_: Liar(),
    "integers": lambda result, _: result.astype(np.int64),
    "booleans": lambda result, _: result.astype(bool),
    "complex numbers": lambda result, _: result.astype(np.complex64),
    "objects": lambda result, _: result.astype(object),
    "text": lambda result, _: result.astype("U16"),
    "a structured array": lambda result, _: np.zeros(result.shape, dtype=[("a", "f4")]),
    "raw memory": lambda result, _: np.zeros(result.shape, dtype="V4"),
    "dates": lambda result, _: np.zeros(result.shape, dtype="M8[s]"),
    "a date scalar": lambda *_: np.datetime64("2020-01-01"),
    "a text scalar": lambda *_: np.str_("nan"),
    "long double": lambda result, _: result.astype(np.longdouble),
    "big-endian numbers": lambda result, _: result.astype(result.dtype.newbyteorder(">")),
    "float16 for everything": lambda result, _: result.astype(np.float16),
    "float8": lambda result, _: result.astype(ml_dtypes.float8_e4m3fn),
    "one axis too many": lambda result, _: result[None],
    "no elements": lambda result, _: result.reshape(-1)[:0],
    "thirty axes": lambda result, _: result.reshape((1,) * 30 + result.shape),
    "a huge broadcast": lambda result, _: np.broadcast_to(result.reshape(-1)[:1], (1 << 20,)),
    "infinities": lambda result, _: np.full_like(result, np.inf),
    "not a number": lambda result, _: np.full_like(result, np.nan),
    "the input itself": lambda _, given: given,
}


def some(backend: Any, **options: Any) -> Report:
    return check(backend, clause=SOME, **options)


def reconciled(report: Report) -> Report:
    assert report.planned == len(report.verdicts) == sum(report.counts.values())
    assert report.counts["error"] == 0, next(v.reason for v in report.verdicts if v.status == "error")
    return report


@pytest.mark.parametrize("what", WRONG if "MULTIMARGIN_SLOW" in os.environ else [*WRONG][::2])
def test_wrong_answers_are_failures(tmp_path: Path, what: str) -> None:
    report = reconciled(some(Kernel(WRONG[what]), dtypes=["float32"]))
    assert report.conformant is False
    assert report.counts["fail"] > 50
    write(report, tmp_path / "report.json")
    assert read(tmp_path / "report.json").counts == report.counts
    assert all(c.isprintable() or c == "\n" for c in terminal.render(report))


@pytest.mark.parametrize("what", WRONG)
def test_wrong_answers_replay(what: str) -> None:
    vector = next(v for v in load() if v.tier == "exact" and v.dtype == "float32" and v.gradient_clauses)
    verdicts = replay(vector.id, Kernel(WRONG[what]))
    assert "fail" in {v.status for v in verdicts}
    assert "error" not in {v.status for v in verdicts}


@pytest.mark.parametrize("what", ["SystemExit", "a panic that does not print", "an error whose text ends the process"])
def test_the_message_says_what_happened(what: str) -> None:
    report = check(Kernel(WRONG[what]), clause="VALUE-7")
    assert all(v.failure and "but should return a result" in v.failure.message for v in report.failures)
    assert all(v.failure and len(v.failure.message) < 1000 for v in report.failures)


def test_a_tensor_is_no_array() -> None:
    torch = pytest.importorskip("torch")
    report = reconciled(some(Kernel(lambda result, _: torch.zeros(result.shape))))
    assert not report.conformant
    assert any(v.failure and "torch.Tensor, but should be a NumPy array" in v.failure.message for v in report.failures)


RIGHT: dict[str, Act] = {
    "a masked array without a mask": lambda result, _: np.ma.array(result),
    "a scalar": lambda result, _: result[()],
    "a read-only array": lambda result, _: np.broadcast_to(result, result.shape),
    "a subclass": lambda result, _: result.view(type("Mine", (np.ndarray,), {})),
    "Fortran order": lambda result, _: np.array(result, order="F"),
    "negative zeros": lambda result, _: np.where(result == 0, -result, result).astype(result.dtype),
}


@pytest.mark.parametrize("what", RIGHT)
def test_unusual_right_answers_are_accepted(what: str) -> None:
    report = reconciled(some(Kernel(RIGHT[what])))
    assert report.conformant, report.failures[0]


def test_a_mask_does_not_hide_a_wrong_value() -> None:
    def hidden(result: Any, _: Any) -> Any:
        return np.ma.masked_all_like(np.ma.array(np.full_like(result, 77)))

    report = reconciled(some(Kernel(hidden)))
    assert report.counts["fail"] > 50


def test_an_array_with_evil_methods_does_not_raise() -> None:
    assert reconciled(some(Kernel(lambda result, _: result.view(Evil)))).conformant
    wrong = reconciled(some(Kernel(lambda result, _: np.full_like(result, 77).view(Evil))))
    assert wrong.counts["fail"] > 50


def disturb_warnings(result: Any, _: Any) -> Any:
    warnings.resetwarnings()
    warnings.simplefilter("error")
    return result


def disturb_numpy(result: Any, _: Any) -> Any:
    np.seterr(all="raise")
    np.set_printoptions(precision=1)
    return result


def warn(result: Any, _: Any) -> Any:
    for category in (UserWarning, DeprecationWarning, RuntimeWarning, FutureWarning):
        warnings.warn("careful", category, stacklevel=1)
    return result


def disturb_signals(result: Any, _: Any) -> Any:
    np.log(np.zeros(3))
    np.array([1e30], dtype=np.float64).astype(np.float16)
    return result


def disturb_random(result: Any, _: Any) -> Any:
    random.seed(0)
    np.random.seed(0)
    return result


NOISY: dict[str, Act] = {
    "warnings": warn,
    "warnings as errors": disturb_warnings,
    "floating-point errors as exceptions": disturb_numpy,
    "floating-point errors": disturb_signals,
    "random seeds": disturb_random,
}


@pytest.mark.parametrize("what", NOISY)
def test_noise_is_no_failure(what: str) -> None:
    before = np.geterr(), list(warnings.filters), sys.getswitchinterval(), np.get_printoptions()
    try:
        report = reconciled(some(Kernel(NOISY[what])))
    finally:
        np.set_printoptions(**before[3])
    assert report.conformant, report.failures[0]
    assert (np.geterr(), list(warnings.filters), sys.getswitchinterval()) == before[:3]


def test_printing_is_no_failure(capfd: pytest.CaptureFixture[str]) -> None:
    def talk(result: Any, _: Any) -> Any:
        print("debug", file=sys.stderr)
        os.write(1, b"raw\n")
        print("more")
        return result

    assert reconciled(some(Kernel(talk))).conformant
    assert "debug" in capfd.readouterr().err


def mutating(name: str, change: Callable[[Any], Any]) -> Any:
    """Return a right backend that changes one argument after it has its result."""

    def forward(input: Any, target: Any, **options: Any) -> Any:
        result = multi_margin_loss(input, target, **options)
        array = {"input": input, "target": target, **options}[name]
        if array is not None and array.flags.writeable and array.size:
            change(array)
        return result

    return forward


CHANGES: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "input zeroed": ("input", lambda a: a.fill(0)),
    "input negated": ("input", lambda a: np.negative(a, out=a)),
    "the target's first element": ("target", lambda a: a.reshape(-1).__setitem__(0, 77)),
    "weight scaled": ("weight", lambda a: np.multiply(a, 2, out=a)),
    "input made read-only": ("input", lambda a: a.setflags(write=False)),
}


@pytest.mark.parametrize("what", CHANGES)
def test_changed_arguments_are_failures(what: str) -> None:
    name, change = CHANGES[what]
    report = reconciled(check(mutating(name, change), clause="PURITY-1,WEIGHT-1,VALUE-1"))
    assert "PURITY-1" in {v.clause for v in report.failures}
    messages = [v.failure.message for v in report.failures if v.failure]
    assert any(name in m and "changed during the call" in m for m in messages)


class Vandal:
    """A right implementation that overwrites whatever it was given, read-only or not."""

    def forward(self, input: Any, target: Any, *, weight: Any = None, **options: Any) -> Any:
        try:
            return multi_margin_loss(input, target, weight=weight, **options)
        finally:
            overwrite(input, target, weight)

    def backward(self, grad_output: Any, input: Any, target: Any, *, weight: Any = None, **options: Any) -> Any:
        try:
            return multi_margin_loss_backward(grad_output, input, target, weight=weight, **options)
        finally:
            overwrite(grad_output, input, target, weight)


def overwrite(*arrays: Any) -> None:
    for array in arrays:
        if isinstance(array, np.ndarray):
            with contextlib.suppress(ValueError):  # a view of what is read-only
                array.flags.writeable = True
                array[...] = 3


def test_what_a_backend_overwrites_is_not_what_the_next_one_is_given() -> None:
    clauses = "VALUE-[1-5],WEIGHT-*,PURITY-[12]"
    assert check(Vandal(), clause=clauses, dtypes=["float32"]).counts["fail"] > 300
    report = check(Kernel(lambda result, _: result), clause=clauses, dtypes=["float32"])
    assert report.conformant, [v.failure for v in report.failures]


def raising_property(error: BaseException) -> Any:
    def get(_: Any) -> Any:
        raise error

    return property(get)


OBJECTS: dict[str, Any] = {
    "None": None,
    "a number": 7,
    "a list": [multi_margin_loss],
    "a dictionary": {"forward": multi_margin_loss},
    "an empty object": object(),
    "an empty class": type("Empty", (), {}),
    "a class with arguments": type("Needy", (), {"__init__": lambda _self, _device: None}),
    "a class that raises": type("Raises", (), {"__init__": lambda _self: 1 / 0}),
    "a class that ends the process": type("Ends", (), {"__init__": lambda _self: sys.exit(0)}),
    "a forward that is no function": SimpleNamespace(forward=7),
    "a forward that raises when looked at": type("P", (), {"forward": raising_property(RuntimeError("no"))})(),
    "a name that raises": type("P", (Kernel,), {"name": raising_property(RuntimeError("no"))})(raising(ValueError)),
    "a forward that ends the process": type("P", (), {"forward": raising_property(SystemExit(0))})(),
    "attributes that raise": type("P", (), {"__getattr__": lambda _self, _name: 1 / 0})(),
    "capabilities of another type": SimpleNamespace(forward=multi_margin_loss, capabilities={"p": (7,)}),
    "a forward without keywords": SimpleNamespace(forward=lambda _input, _target: 0.0),
    "a builtin": builtins.len,
    "a module": os,
}


@pytest.mark.parametrize("what", OBJECTS)
def test_objects_that_are_no_backends_fail_every_call(what: str) -> None:
    report = reconciled(check(OBJECTS[what], clause="VALUE-1"))
    assert report.conformant is False
    assert report.counts["pass"] == 0


@pytest.mark.parametrize("name", ["x" * 100_000, "a\nb\x1b[2J", "", 7, None, b"bytes"])
def test_hostile_names_are_only_names(name: Any) -> None:
    backend = Kernel(lambda result, _: result)
    backend.name = backend.version = backend.device = name  # type: ignore[attr-defined]
    report = reconciled(check(backend, clause="VALUE-7"))
    assert report.conformant
    assert isinstance(report.backend["name"], str)
    assert all(c.isprintable() or c == "\n" for c in terminal.render(report))


def test_an_error_that_is_raised_in_every_call_keeps_no_frames() -> None:
    error = ValueError("no")
    assert not some(Kernel(raising(error)), dtypes=["float32"]).conformant
    assert error.__traceback__ is None
