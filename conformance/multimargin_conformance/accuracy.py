"""How accurate the results were, in ULP against the exact values: reported, never judged."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from statistics import fmean, median

import numpy as np

from multimargin_conformance.session import Sample
from multimargin_reference.expectation import exact_results
from multimargin_reference.formats import HALVES
from multimargin_reports import Accuracy

QUANTILES = (0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1)
FINE = 4  # ULP: up to here errors are counted by quarters
LARGEST = 4096  # elements; larger arrays repeat a few values


@dataclass(frozen=True)
class Errors:
    """One sample's errors: in ULP, and as fractions of the enclosure."""

    ulp: list[float]
    bound_used: list[float]
    rounded: int  # how many results are the correctly rounded ones
    widened: bool  # all are inside the enclosure of a widened evaluation
    classes: int  # C
    bound: float  # the largest distance of an end of the enclosure from the exact result, in ULP


def accuracy(samples: Iterable[Sample]) -> tuple[Accuracy, ...]:
    """Return the figures by dtype and part; samples without a finite exact result do not count."""
    return figures(errors_by_group(samples))


def errors_by_group(samples: Iterable[Sample]) -> dict[tuple[str, str], list[Errors]]:
    """Return the errors of samples that have any, by dtype and part."""
    groups: dict[tuple[str, str], list[Errors]] = {}
    for sample in samples:
        if sample.case.input.size <= LARGEST and (errors := _errors(sample)).ulp:
            groups.setdefault((sample.case.dtype, sample.part), []).append(errors)
    return groups


def figures(groups: Mapping[tuple[str, str], list[Errors]]) -> tuple[Accuracy, ...]:
    """Return the figures; they do not depend on the order of the errors."""
    return tuple(_figures(dtype, part, errors) for (dtype, part), errors in sorted(groups.items()))


def _figures(dtype: str, part: str, errors: list[Errors]) -> Accuracy:
    ulp = [value for e in errors for value in e.ulp]
    sizes = [abs(value) for value in ulp]
    rounded = sum(e.rounded for e in errors) / len(ulp)
    widened = all(e.widened for e in errors)
    return Accuracy(
        dtype=dtype,
        part=part,
        count=len(ulp),
        largest_ulp=max(sizes),
        median_ulp=median(sizes),
        correctly_rounded=rounded,
        bound_used=max(value for e in errors for value in e.bound_used),
        bias_ulp=fmean(ulp),
        accuracy_class=_class(dtype, rounded, max(sizes), widened),
        signed_ulp=tuple(float(q) for q in np.quantile(ulp, QUANTILES)),
        histogram=tuple(sorted(Counter(_bin(value) for value in ulp).items())),
        by_classes=tuple(_by_classes(errors)),
    )


def _bin(ulp: float) -> float:
    """Return the middle of an error's bin: a quarter of an ULP wide, or the power of two below it beyond 4 ULP."""
    if abs(ulp) < FINE:
        return round(ulp * 4) / 4 + 0.0
    return math.copysign(2.0 ** math.floor(math.log2(abs(ulp))), ulp)


def _by_classes(errors: list[Errors]) -> Iterator[tuple[int, int, float, float]]:
    groups: dict[int, list[Errors]] = {}
    for e in errors:
        groups.setdefault(e.classes, []).append(e)
    for classes, some in sorted(groups.items()):
        largest = max(abs(value) for e in some for value in e.ulp)
        yield classes, sum(len(e.ulp) for e in some), largest, max(e.bound for e in some)


def _class(dtype: str, rounded: float, largest: float, widened: bool) -> str:
    if rounded == 1:
        return "correctly rounded"
    if largest <= 1:
        return "within 1 ULP"
    return "widened" if dtype in HALVES and widened else "in-dtype"


def _errors(sample: Sample) -> Errors:
    if sample.part == "loss":
        exact, _ = exact_results(replace(sample.case, grad_output=None))
    else:
        _, exact = exact_results(sample.case)
    expected, fmt = sample.expected, sample.case.format
    values = sample.result.astype(np.float64).reshape(-1).tolist()
    ulp, used = [], []
    rounded, bound = 0, 0.0
    for got, value, lo, hi in zip(values, exact, expected.lo.tolist(), expected.hi.tolist(), strict=True):
        if lo == hi or not lo <= got <= hi or not isinstance(value, Fraction):
            continue  # one value alone is legal, or a special one was returned: nothing to measure
        error = Fraction(got) - value
        ulp.append(float(error / fmt.ulp(value)))
        rounded += got == float(fmt.round(value))
        bound = max(bound, float(max(Fraction(hi) - value, value - Fraction(lo)) / fmt.ulp(value)))
        room = (Fraction(hi) - value) if error > 0 else (value - Fraction(lo))
        used.append(float(abs(error) / room) if room > 0 else 0.0)
    widened = not expected.outside_widened(sample.result).any()
    return Errors(ulp, used, rounded, widened, sample.case.input.shape[-1], bound)
