"""Arguments of every magnitude and of odd numbers: what is clipped, compared with a limit, or kept in a narrower type.

Each call has one row of two classes and one term, of which nothing rounds in any evaluation: a product with a power of
two, a sum with 0, a half. The numbers in between are powers of two, and odd ones just above them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import product

import numpy as np

from multimargin_conformance.calling import Arrays
from multimargin_conformance.capabilities import REDUCTIONS, Capabilities
from multimargin_conformance.checks.item import Item, Scope
from multimargin_conformance.judge import judge
from multimargin_conformance.session import PASS, Result, Session, result_of
from multimargin_reference.case import Case
from multimargin_reference.expectation import Enclosures
from multimargin_reference.formats import DTYPES, FORMATS

NEAR, NEAR_STEP = 40, 4  # exponents up to which limits lie close together
ENDS = {"float32": (60, 112, 10), "float64": (500, 1000, 120)}  # that can be squared, the last one, and the step to it
DIGITS = (7, 8, 10, 11, 12, 15, 16, 20, 23, 24, 25, 30, 31, 32, 33, 47, 48, 52)  # of odd numbers, less one
FEW = 8  # numbers where only the logit's last digits depend on them
UNUSED = (49.0, 0.1, 21.0)  # weights that nothing reads
SUBNORMAL = {
    "float32": (-140, 100),
    "float64": (-1060, 1000),
}  # of a logit, and of the weight that lifts it
Make = Callable[[str, float, int], Case]


@dataclass(frozen=True)
class Kind:
    """What has a magnitude. clauses: of the loss and of the gradient, "" where it is not about it.

    odd: whether odd numbers are tried too. every: whether each number has every reduction. flushed: whether a backend
    that may flush subnormals may differ.
    """

    clauses: tuple[str, str]
    make: Make
    odd: bool = False
    every: bool = False
    flushed: bool = False


@dataclass(frozen=True)
class Made:
    """The calls of one kind in one dtype."""

    name: str
    dtype: str
    capabilities: Capabilities

    @property
    def cases(self) -> tuple[Case, ...]:
        """The calls that are declared, made once a process."""
        return _cases(self)


def items(scope: Scope) -> Iterator[Item]:
    """Yield one item a kind, dtype and part."""
    for dtype, (name, kind) in product(scope.dtypes, KINDS.items()):
        made = Made(name, dtype, scope.capabilities)
        if dtype in ENDS and made.cases and not (kind.flushed and scope.flush):
            for part, clause in zip(("loss", "gradient"), kind.clauses, strict=True):
                if clause and (part == "loss" or scope.gradient):
                    yield _item(made, part, clause)


def _item(made: Made, part: str, clause: str) -> Item:
    def run(session: Session) -> Result:
        for case in made.cases:
            if finding := judge(part, session.function(part)(case), expectation(case, part), f"one term: {made.name}"):
                return result_of(replace(finding, case=case))
        return PASS

    def calls() -> list[tuple[Case, Arrays]]:
        return [(case, {}) for case in made.cases]

    id_ = f"{clause}/{made.dtype}/magnitudes-{made.name}/{part}"
    return Item(id_, clause, made.dtype, part, run, kind="magnitudes", calls=calls)


@cache
def expectation(case: Case, part: str) -> Enclosures:
    """Return the one legal result of a call with one row and two classes, of which the first is the target."""
    x, w = case.input.astype(np.float64).reshape(-1), 1.0 if case.weight is None else float(case.weight[0])
    z = max(0.0, (float(case.margin) - x[0]) + x[1])
    if part == "loss":
        shape, values = case.target.shape if case.reduction == "none" else (), np.array([w * z**case.p / 2])
    else:
        assert case.grad_output is not None
        slope = float(case.grad_output.reshape(-1)[0]) * w * (float(z > 0) if case.p == 1 else 2 * z) / 2
        shape, values = case.input.shape, np.array([-slope, slope]) + 0.0
    return Enclosures(shape, case.dtype, values, values, values)


@cache
def _cases(made: Made) -> tuple[Case, ...]:
    kind = KINDS[made.name]
    found = []
    for k, number in enumerate(numbers(made.dtype, kind.odd)[: FEW if kind.flushed else None]):
        for reduction in REDUCTIONS if kind.every else (REDUCTIONS[k % len(REDUCTIONS)],):
            # odd numbers are not squared, nor are the largest and the smallest
            p = 1 + (k + REDUCTIONS.index(reduction)) % 2
            p = p if kind.every or _can_be_squared(number, made.dtype) else 1
            case = _reduced(kind.make(made.dtype, number, p), reduction)
            if case.weight is not None:
                case.weight[1] = UNUSED[REDUCTIONS.index(reduction)]
            found.append(_without_batch(case) if k % 4 == 3 else case)
    found = [case for case in found if kind.flushed or _is_normal(case)]
    return tuple(case for case in found if not made.capabilities.leaves_out(case))


def _is_normal(case: Case) -> bool:
    """Whether nothing that is computed is so small that it may be flushed."""
    x = np.abs(case.input.astype(np.float64))
    results = np.concatenate([np.abs(expectation(case, part).nearest) for part in ("loss", "gradient")])
    sizes = np.concatenate([x.reshape(-1), results, results[:1] * 2])
    return not ((sizes > 0) & (sizes < 4 * float(case.format.smallest_normal))).any()


def _can_be_squared(number: float, dtype: str) -> bool:
    mantissa, exponent = np.frexp(number)
    return bool(abs(mantissa) == 0.5 and abs(exponent) <= ENDS[dtype][0])


@cache
def numbers(dtype: str, odd: bool) -> tuple[float, ...]:
    """Return powers of two of either sign, close together near 1, and odd numbers of as many digits as there are."""
    _, last, step = ENDS[dtype]
    far = range(NEAR + step, last + 1, step)
    exponents = [*range(-NEAR, NEAR + 1, NEAR_STEP), *far, *(-k for k in far)]
    powers = [float(np.ldexp(-1.0 if k % 5 == 4 else 1.0, exponent)) for k, exponent in enumerate(exponents)]
    digits = [k for k in DIGITS if k < FORMATS[dtype].precision]
    return (*powers, *((float(2**k + 1) for k in digits) if odd else ()))


def _call(dtype: str, x: tuple[float, float], p: int, margin: float, weight: float | None = None) -> Case:
    """Return a call of one row, target 0, with weights of which the first is used."""
    kind = DTYPES[dtype]
    w = None if weight is None else np.array([weight, 1.0]).astype(kind)
    return Case(np.array([x]).astype(kind), np.zeros(1, np.int64), p, margin, w, "none", np.ones(1, kind))


def _reduced(case: Case, reduction: str) -> Case:
    assert case.grad_output is not None
    grads = case.grad_output if reduction == "none" else case.grad_output.reshape(())
    return replace(case, reduction=reduction, grad_output=grads)


def _without_batch(case: Case) -> Case:
    assert case.grad_output is not None
    return replace(case, input=case.input[0], target=case.target.reshape(()), grad_output=case.grad_output.reshape(()))


def _tied_logits(dtype: str, number: float, p: int) -> Case:
    """Equal logits at margin 0: z = 0."""
    return _call(dtype, (number, number), p, 0.0)


def _tied_at_margin(dtype: str, number: float, p: int) -> Case:
    """A logit as far below the target's as the margin is: z = 0."""
    return _call(dtype, (number, 0.0), p, number)


def _small_step(dtype: str, number: float, p: int) -> Case:
    """z is a small part of the margin, and above 0."""
    step = (FORMATS[dtype].precision - 5) // p  # a sum with the target's own term does not round either
    return _call(dtype, (number, float(np.ldexp(abs(number), -step))), p, number)


def _logit(dtype: str, number: float, p: int) -> Case:
    """z is a logit: positive ones are active."""
    return _call(dtype, (0.0, number), p, 0.0)


def _margin(dtype: str, number: float, p: int) -> Case:
    """z is the margin."""
    return _call(dtype, (0.0, 0.0), p, number)


def _weight(dtype: str, number: float, p: int) -> Case:
    """z = 1, times a weight."""
    return _call(dtype, (0.0, 1.0), p, 0.0, number)


def _weighted_logit(dtype: str, number: float, p: int) -> Case:
    """z is a logit, times a weight that is large."""
    return _call(dtype, (0.0, number), p, 0.0, float(2 ** (12 // p)))


def _grad_output(dtype: str, number: float, p: int) -> Case:
    """z = 1, times a grad_output."""
    return replace(_call(dtype, (0.0, 1.0), p, 0.0), grad_output=np.array([number]).astype(DTYPES[dtype]))


def _subnormal_logit(dtype: str, number: float, p: int) -> Case:
    """z is subnormal, and the weight makes the gradient an ordinary number again."""
    logit, weight = SUBNORMAL[dtype]
    step = int(np.frexp(number)[1]) % 8
    return _call(dtype, (0.0, float(np.ldexp(1.0, logit + step))), p, 0.0, float(np.ldexp(1.0, weight)))


KINDS = {
    "tied-logits": Kind(("", "GRADIENT-4"), _tied_logits),
    "tied-at-margin": Kind(("", "GRADIENT-4"), _tied_at_margin),
    "small-step": Kind(("VALUE-3", "GRADIENT-1"), _small_step),
    "logit": Kind(("VALUE-1", "GRADIENT-1"), _logit, odd=True),
    "margin": Kind(("VALUE-6", "GRADIENT-1"), _margin, odd=True),
    "weight": Kind(("WEIGHT-2", "GRADIENT-7"), _weight, odd=True, every=True),
    "weighted-logit": Kind(("WEIGHT-2", "GRADIENT-7"), _weighted_logit),
    "grad-output": Kind(("", "GRADIENT-8"), _grad_output, odd=True, every=True),
    "subnormal-logit": Kind(("", "SPECIAL-5"), _subnormal_logit, every=True, flushed=True),
}
CLAUSES: dict[str, list[str]] = {}
for _name, _kind in KINDS.items():
    for _clause in dict.fromkeys(filter(None, _kind.clauses)):
        CLAUSES.setdefault(_clause, []).append(f"{_name} of every magnitude")
