"""Comparing an outcome with what is legal: pure functions, and the words that say what was wrong."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multimargin_conformance.outcome import VIEW, Crashed, Malformed, Observation, Outcome, Raised, Returned, TimedOut
from multimargin_reference.case import Case
from multimargin_reference.expectation import Enclosures
from multimargin_reference.fast_judge import surely_legal
from multimargin_reference.few_enclosures import AnyEnclosures
from multimargin_reference.formats import DTYPES, FORMATS

LONGEST_CALL = 400  # characters of a call that are printed
OVER_TENSORS = re.compile("'numpy.ndarray' object has no attribute|must be Tensor, not numpy.ndarray")


@dataclass(frozen=True)
class Finding:
    """What is wrong with one result, and the numbers that show it.

    clause: when it is another one than the check's. case: the call that was answered wrongly, where the check chose it.
    """

    message: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    clause: str = ""
    case: Case | None = None


def judge(part: str, observation: Observation, expected: AnyEnclosures, why: str) -> Finding | None:
    """Return what is wrong with a result that should be inside `expected`; None when nothing is.

    part: "loss" or "gradient". why: what the enclosure rests on, in words.
    """
    if observation.changed:
        return _changed(observation)
    outcome = observation.outcome
    if not isinstance(outcome, Returned):
        return no_result(part, outcome)
    return judge_form(part, outcome.value, expected) or judge_values(part, outcome.value, expected, why)


def passes_surely(part: str, observation: Observation, case: Case, *, flush: bool = False) -> bool:
    """Return whether a result of a valid call is legal for certain, by double arithmetic alone."""
    outcome = observation.outcome
    if observation.changed or not isinstance(outcome, Returned) or (part == "gradient" and case.grad_output is None):
        return False
    shape = case.input.shape if part == "gradient" else case.target.shape if case.reduction == "none" else ()
    if outcome.value.shape != shape or outcome.value.dtype != case.input.dtype:
        return False
    return surely_legal(case, **{part: outcome.value}, flush=flush)


def _changed(observation: Observation) -> Finding:
    names = " and ".join(observation.changed)
    return Finding(f"{names} changed during the call, but arguments should be left as they are", clause="PURITY-1")


def judge_rejection(observation: Observation, clause: str) -> Finding | None:
    """Return what is wrong where a call should have been rejected."""
    if observation.changed:
        return _changed(observation)
    outcome = observation.outcome
    if isinstance(outcome, Raised):
        return None
    if isinstance(outcome, Returned):
        values = _shortened(outcome.value)
        return Finding(f"the call returned {values}, but should raise an error", {"got": values}, clause)
    return no_result("the call", outcome, "but should raise an error")


def no_result(part: str, outcome: Outcome, should: str = "but should return a result") -> Finding:
    """Return the finding for a call that gave no result. should: what was expected of it."""
    match outcome:
        case Raised(type=name, message=message, where=where):
            hint = "; a function over tensors is checked as torch:module:attr" if OVER_TENSORS.search(message) else ""
            at = f" (raised at {where})" if where else ""
            return Finding(f"{part}: raised {name}: {message}, {should}{at}{hint}")
        case Malformed(reason=reason):
            clause = "PURITY-4" if reason.startswith(VIEW) else ""
            return Finding(
                f"{part}: returned {reason}" + ("" if "but should" in reason else f", {should}"), clause=clause
            )
        case Crashed(reason=reason, stderr=stderr):
            return Finding(f"{part}: crashed: {reason}, {should}", {"stderr": stderr} if stderr else {})
        case TimedOut(seconds=seconds, stderr=stderr):
            return Finding(f"{part}: no answer in {seconds:g} s, {should}", {"stderr": stderr} if stderr else {})
    raise AssertionError(f"unexpected outcome {outcome!r}")


def judge_form(part: str, result: NDArray[Any], expected: AnyEnclosures) -> Finding | None:
    """Return what is wrong with a result's shape or dtype."""
    if result.shape != expected.shape:
        clause = "REDUCTION-4" if part == "loss" else "GRADIENT-10"
        return Finding(f"{part}.shape={result.shape}, but should be {expected.shape}", {"part": part}, clause)
    any_floating = expected.dtype is None and result.dtype.kind == "f"  # a long double too
    allowed = list(DTYPES.values()) if expected.dtype is None else [DTYPES[expected.dtype]]
    if result.dtype not in allowed and not any_floating:
        should = "a floating dtype" if expected.dtype is None else expected.dtype
        clause = "DTYPE-1" if part == "loss" else "GRADIENT-10"
        return Finding(f"{part}.dtype={result.dtype}, but should be {should}", {"part": part}, clause)
    return None


def judge_values(part: str, result: NDArray[Any], expected: AnyEnclosures, why: str) -> Finding | None:
    """Return what is wrong with a result's values: the first element outside, in words and numbers."""
    if expected.admits(result):
        return None
    every = expected.full()
    bad = np.flatnonzero(every.outside(result))
    index = int(bad[0])
    dtype = result.dtype.name if result.dtype.name in DTYPES else "float64"  # a long double is shown as a double
    got = np.asarray(result).reshape(-1)[index]
    place = subscript(index, every.shape)
    should = legal_words(every, index)
    more = f"; {bad.size} of {every.lo.size} elements are outside" if bad.size > 1 else ""
    message = f"{part}{place} = {number(float(got), dtype)}, but should be {should} ({why}){more}"
    evidence = {
        "part": part,
        "index": index,
        "outside": int(bad.size),
        "got": _both(float(got), dtype),
        "lo": _both(float(every.lo[index]), dtype),
        "hi": _both(float(every.hi[index]), dtype),
        "nearest": _both(float(every.nearest[index]), dtype),
        "also": sorted(every.also.get(index, ())),
        "ulp": ulp_distance(float(got), float(every.nearest[index]), dtype),
    }
    return Finding(message, evidence)


def legal_words(expected: Enclosures, index: int) -> str:
    """Return what is legal for one element, in words."""
    lo, hi, dtype = float(expected.lo[index]), float(expected.hi[index]), expected.dtype or "float64"
    words = [] if lo > hi else [number(lo, dtype)] if lo == hi else [f"in [{number(lo, dtype)}, {number(hi, dtype)}]"]
    names = sorted(expected.also.get(index, ()))
    return " or ".join(words + [n for n in names if n not in words])


def number(value: float, dtype: str) -> str:
    """Return the shortest decimal that reads back as this value of the dtype."""
    return str(value) if dtype == "float64" else str(DTYPES[dtype].type(value))


def ulp_distance(got: float, nearest: float, dtype: str) -> float | None:
    """Return (got - nearest) in ULP of the correctly rounded result; None where that is 0, or one is not finite."""
    if not math.isfinite(got) or not math.isfinite(nearest) or nearest == 0:
        return None
    distance = (Fraction(got) - Fraction(nearest)) / FORMATS[dtype].ulp(Fraction(nearest))
    return float(distance) if abs(distance) < 10**300 else None


def subscript(index: int, shape: tuple[int, ...]) -> str:
    """Return a flat index as it is written in Python: "" for a 0-d array."""
    return f"[{', '.join(str(i) for i in np.unravel_index(index, shape))}]" if shape else ""


def call_text(case: Case, part: str) -> str:
    """Return a call as Python source over lists, shortened where it is long."""
    arguments = [_list(case.input), _list(case.target)]
    if part == "gradient" and case.grad_output is not None:
        arguments.insert(0, _list(case.grad_output))
    name = "forward" if part == "loss" else "backward"
    weight = "None" if case.weight is None else _list(case.weight)
    options = f"p={case.p}, margin={case.margin!r}, weight={weight}, reduction={case.reduction!r}"
    return f"{name}({', '.join(arguments)}, {options})  # {case.input.dtype.name}"


def _list(array: NDArray[Any]) -> str:
    if array.size > 64:
        return f"<{array.dtype.name} array of shape {array.shape}>"
    plain = array if array.dtype.kind in "iubf" else array.astype(np.float64)
    if plain.dtype.kind == "f" and plain.dtype != np.float64:
        return str([[float(str(v)) for v in row] for row in plain] if plain.ndim == 2 else _shallow(plain))
    return str(plain.tolist())


def _shallow(array: NDArray[Any]) -> Any:
    return float(str(array[()])) if array.ndim == 0 else [float(str(v)) for v in array.reshape(-1)]


def _shortened(value: NDArray[Any]) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 80 else text[:77] + "..."


def _both(value: float, dtype: str) -> dict[str, Any]:
    """Return a number as a decimal (a string when not finite), as a hexadecimal float, and as its bits."""
    bits = np.array(value, dtype=np.float64).astype(DTYPES[dtype]).tobytes().hex()
    return {"value": value if math.isfinite(value) else str(value), "float_hex": value.hex(), "hex": bits}
