"""The calls that several threads make, and what is legal for each: see threads.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import product, zip_longest
from typing import Any

import numpy as np

from multimargin_conformance.capabilities import REDUCTIONS
from multimargin_conformance.checks import corners
from multimargin_conformance.checks.item import Scope
from multimargin_conformance.checks.purity import expected_part
from multimargin_conformance.checks.sizes import call as planned_call
from multimargin_conformance.checks.sizes import expectation as plan_values
from multimargin_conformance.checks.sizes import plans
from multimargin_reference.case import Case
from multimargin_reference.exact_values import legal_values
from multimargin_reference.expectation import Values
from multimargin_reference.few_enclosures import AnyEnclosures
from multimargin_reference.formats import DTYPES, FORMATS
from multimargin_reference.grid_enclosure import grid_values
from multimargin_vectors.draft import uniform
from multimargin_vectors.splitmix import integers

THREADS = 4
STEPPED = (32, 32)  # calls in which threads take turns at each step: with one set of options, they are at one place
MANY_ROWS = (100, 10)  # likewise, whose arrays are views with gaps: a copy that is packed must be the call's own
ALIKE = (40, 40)  # of the sizes check: calls of one shape, in which a buffer that is kept for each shape shows
SHARED = (256, 100)  # of the corners check: calls of the very same arrays, which take a while
SINGLE = (1025,)  # likewise, without a batch
LARGE = (128, 256)  # calls that take a while, of one shape and with other numbers: a buffer that only they have shows
LONG = {"loss": (4, 32768), "gradient": (2, 16384)}  # likewise, of long rows: all gradients are a line of the protocol
OPTIONS = ((1, "none"), (1, "sum"), (2, "mean"), (2, "none"))  # of the calls of a large shape
WEIGHTS = ((1.0,), (0.5, 2.0), (2.0, 1.0, 4.0), (-1.0, 0.5, 1.0))  # likewise, of all but the first
GRADS = ((1.0, -2.0), (2.0,), (-0.5,), (0.5, 1.0, -4.0))
SEVERAL = ((2, 8192), (8192, 4), (256, 256))  # past limits of classes, of rows and of logits, one after another
MOST = {"loss": (256, 1024), "gradient": (128, 256)}  # by steps: all gradients together are a line of the protocol
AFTER = 3  # calls of one memory by each thread, after one of its own
PAIR = 2  # threads, of both parts
SMALL = 4  # rows and classes of valid calls and of those beside them that are rejected
STREAM = 80_000  # where the random numbers of these calls begin
VALID = (0b111111, 0b101010, 0b110100, 0b011011)  # which calls of each thread are valid, so that no two keep in step
UNSEEN_CLASSES = tuple(range(1061, 1085, 2))  # numbers of them that no other check has
Legal = Callable[[str], AnyEnclosures]


@dataclass(frozen=True)
class Call:
    """A call to be made again and again, and what is legal for it: enclosures of a part, or a clause that rejects it.

    part: "" where it is the one that the check is about. borne: it is left out where this thread alone gets it wrong,
    which is another clause's business.
    """

    case: Case
    legal: Legal | str
    name: str
    part: str = ""
    borne: bool = False


def of_shape(shape: tuple[int, ...], dtype: str, scope: Scope) -> list[Call]:
    """Return the calls of the sizes check that have one shape, of every power, reduction and weights."""
    return [
        Call(case, _later(plan_values, plan), plan.name)
        for plan in plans(dtype)
        if plan.shape == shape and not scope.capabilities.leaves_out(case := planned_call(plan))
    ]


def special(dtype: str, scope: Scope) -> list[Call]:
    """Return calls with infinities, with subnormal numbers, with digits, and with ties.

    How a processor rounds is set for each thread.
    """
    fmt, kind = FORMATS[dtype], DTYPES[dtype]
    x, y, one = np.array([[0.0, 1.0, -1.0], [1.0, 0.0, 3.0]]), np.array([0, 1]), np.ones((), kind)
    endless = np.where(x == 3, np.inf, np.where(x == -1, -np.inf, x)).astype(kind)
    cases = [Case(endless, y, p, 0.5, None, "sum", one) for p in (1, 2)]
    if not scope.flush:
        small = float(fmt.smallest_normal) / 4
        cases += [Case((x * small).astype(kind), y, 1, 0.0, None, "sum", (one * small).astype(kind))]
        cases += [Case((x * small).astype(kind), y, 2, 0.0, None, "sum", one)]
    digits = replace(cases[0], input=uniform(STREAM, (2, 9), -1.0, 1.0).astype(kind), margin=0.1, weight=None)
    cases += [replace(digits, p=p) for p in (1, 2)]
    cases += [Case(np.zeros((2, 3), kind), y, 1, 0.0, None, "sum", one)]
    declared = [case for case in cases if not scope.capabilities.leaves_out(case)]
    return [Call(case, _later(legal_values, case), "a special value", borne=True) for case in declared]


def alike(dtype: str, scope: Scope) -> list[Call]:
    """Return the same call for each thread: what a call writes into its arguments for a while, others read."""
    if dtype not in corners.STEPS:
        return []
    corner = corners.Corner(corners.SIZES.index(SHARED), 0, dtype)
    case = corners.call(corner)
    if scope.capabilities.leaves_out(case):
        return []
    return [Call(case, cache(partial(corners.expectation, corner)), "with the same arrays")] * THREADS


@cache
def _stepped_cases(dtype: str) -> tuple[Case, ...]:
    """Return a call for each thread, of other logits and targets with the same options, on the exact grid."""
    rows, classes = STEPPED
    kind, found = DTYPES[dtype], []
    for k in range(THREADS):
        x = (integers(STREAM + 100 + k, rows * classes, 8).reshape(STEPPED) / 4).astype(kind)
        found.append(Case(x, (np.arange(rows) * 5 + k) % classes, 2, 0.125, None, "none", np.ones(rows, kind)))
    return tuple(found)


def stepped(part: str, dtype: str, scope: Scope, alike: list[Call], mixed: list[Call]) -> list[Call]:
    """Return calls that all threads make at once: with the same options, with others, large ones, of other shapes."""
    if not is_first(part, dtype, scope):
        return []
    same = _at_each_step(_stepped_cases(dtype), scope)
    made = zip_longest(same or alike[:THREADS], apart(alike), large(dtype, scope), apart(mixed))
    return [call for calls in made for call in calls if call is not None]


def averaged(part: str, dtype: str, scope: Scope) -> list[Call]:
    """Return a call for each thread with the reduction mean."""
    if not is_first(part, dtype, scope):
        return []
    one = np.ones((), DTYPES[dtype])
    cases = [replace(case, reduction="mean", grad_output=one) for case in _stepped_cases(dtype)]
    return _at_each_step(cases, scope)


def _at_each_step(cases: Sequence[Case], scope: Scope) -> list[Call]:
    declared = [case for case in cases if not scope.capabilities.leaves_out(case)]
    return [Call(case, _later(legal_values, case), "at each step") for case in declared]


def weighted(part: str, dtype: str, scope: Scope) -> list[Call]:
    """Return a call for each thread with weights, others in each."""
    if not is_first(part, dtype, scope):
        return []
    found = []
    for k, case in enumerate(_stepped_cases(dtype)):
        weight = np.resize(WEIGHTS[k], case.input.shape[-1]).astype(case.input.dtype)
        grads = np.resize(GRADS[k], len(case.input)).astype(case.input.dtype)
        weighted = replace(case, weight=weight, grad_output=grads)
        if not scope.capabilities.leaves_out(weighted):
            found.append(Call(weighted, _later(grid_values, weighted), "with weights"))
    return found


def after_others(last: list[Call], others: list[Call]) -> list[Call]:
    """Return another call for each thread and after it the last one a few times: so the threads are not in step."""
    return [call for other in apart(others) for call in (other, *AFTER * last)] if last else []


def both_parts(part: str, dtype: str, scope: Scope) -> list[Call]:
    """Return a loss and a gradient for each of two threads, one of which begins with the gradient.

    With more of them, two would wait for the lock that an implementation has for one part.
    """
    if part == "loss" or not is_first(part, dtype, scope):
        return []
    found = []
    for k, case in enumerate(_stepped_cases(dtype)[:PAIR]):
        if not scope.capabilities.leaves_out(case):
            legal = _later(legal_values, case)
            both = [Call(case, legal, "beside the other part", name) for name in ("loss", part)]
            found += both[:: -1 if k % 2 else 1]
    return found


def is_first(part: str, dtype: str, scope: Scope) -> bool:
    """Whether this is the one dtype of a part in which threads take turns at each step: it takes a while."""
    fine = [name for name in scope.dtypes if name in corners.STEPS]
    return bool(fine) and dtype == fine[(part == "gradient") % len(fine)]


def apart(calls: list[Call]) -> list[Call]:
    """Return a call for each thread, from everywhere in a list: their options, or shapes, differ."""
    step = max(1, len(calls) // THREADS)
    return calls[step // 2 :: step][:THREADS]


def beside_rejections(part: str, dtype: str, scope: Scope) -> list[Call]:
    """Return valid and invalid calls for each thread, in an order of its own: a thread's first ones come first."""
    if not is_first(part, dtype, scope):
        return []
    cases = [
        replace(
            case,
            input=case.input[:SMALL, :SMALL],
            target=case.target[:SMALL] % SMALL,
            grad_output=np.ones(SMALL, case.input.dtype),
        )
        for case in _stepped_cases(dtype)
    ]
    cases = [case for case in cases if not scope.capabilities.leaves_out(case)]
    found = []
    for k, case in enumerate(cases):
        target = case.target.copy()
        target[k] = SMALL
        valid = Call(case, _later(legal_values, case), "beside calls that are rejected")
        invalid = Call(replace(case, target=target), "REJECT-4", "a target out of range")
        found += [valid if VALID[k] >> place & 1 else invalid for place in range(max(VALID).bit_length())]
    return found


def sizes_by_steps(part: str, dtype: str, scope: Scope) -> list[Call]:
    """Return calls of several large shapes for each thread, in the one dtype of a part (`is_first`)."""
    return of_sizes(dtype, scope, (*SEVERAL[:2], MOST[part])) if is_first(part, dtype, scope) else []


def unseen(part: str, dtype: str, scope: Scope) -> list[Call]:
    """Return calls of sizes that no thread has met: what is made for each at first is made by several at once.

    All have other options, by which a thread comes to be some steps before another, or behind it.
    """
    if not is_first(part, dtype, scope):
        return []
    kind, found = DTYPES[dtype], []
    options = list(product((1, 2), REDUCTIONS, (False, True)))
    for k, j in product(range(THREADS), range(len(UNSEEN_CLASSES))):  # a thread makes calls that stand together
        p, reduction, weighted = options[(5 * j + 7 * k + j * k) % len(options)]
        case, classes = _stepped_cases(dtype)[k], UNSEEN_CLASSES[j]
        x = np.resize(case.input, (SMALL, classes))
        weight = np.resize(WEIGHTS[k], classes).astype(kind) if weighted else None
        grads = np.ones(SMALL if reduction == "none" else (), kind)
        case = Case(x, case.target[:SMALL], p, 0.125, weight, reduction, grads)
        if not scope.capabilities.leaves_out(case):
            found.append(Call(case, _later(grid_values, case), f"of {classes} classes at first"))
    return found if len(found) == len(UNSEEN_CLASSES) * THREADS else []


def of_sizes(dtype: str, scope: Scope, shapes: Sequence[tuple[int, int]] = SEVERAL) -> list[Call]:
    """Return calls of several shapes, so that all threads begin with the first shape and go on to the next."""
    found = (large(dtype, scope, shape) for shape in shapes)
    alike = [(calls * THREADS)[:THREADS] for calls in found]  # the same call again where few options are declared
    return [call for calls in zip(*alike, strict=True) for call in calls]


@cache
def _large_cases(dtype: str, shape: tuple[int, int], alike: bool = False) -> tuple[Case, ...]:
    """Return a call for each thread, on the exact grid, which is too coarse in halves: of other logits and options.

    alike: all have the last one's options.
    """
    if dtype not in corners.STEPS:
        return ()
    kind, (rows, classes) = DTYPES[dtype], shape
    found = []
    for k, (p, reduction) in enumerate(OPTIONS):
        x = (integers(STREAM + k, rows * classes, 8).reshape(shape) / 4).astype(kind)
        y = (np.arange(rows) * 5 + k) % classes
        if alike:
            k, (p, reduction) = len(OPTIONS) - 1, OPTIONS[-1]
        weight = np.resize(WEIGHTS[k], classes).astype(kind)
        grads = np.resize(GRADS[k], rows if reduction == "none" else ()).astype(kind)
        found.append(Case(x, y, p, 0.125 + 0.25 * k, weight if k else None, reduction, grads))  # no ties
    return tuple(found)


@cache
def _large_value(dtype: str, shape: tuple[int, int], alike: bool, k: int) -> Values:
    return grid_values(_large_cases(dtype, shape, alike)[k])


def large(dtype: str, scope: Scope, shape: tuple[int, int] = LARGE, alike: bool = False) -> list[Call]:
    """Return a declared call of one large shape for each thread; alike: all with the same options."""
    cases = enumerate(_large_cases(dtype, shape, alike))
    declared = [(k, case) for k, case in cases if not scope.capabilities.leaves_out(case)]
    return [Call(case, _later(_large_value, dtype, shape, alike, k), f"call {k}") for k, case in declared]


def large_and_alike(dtype: str, scope: Scope) -> list[Call]:
    """Return calls that differ in their numbers alone, and others between them: all threads are at either at once."""
    both = zip_longest(large(dtype, scope, alike=True), large(dtype, scope))
    return [call for calls in both for call in calls if call is not None]


def _later(values: Callable[..., Values], *arguments: Any) -> Legal:
    """Return what says what is legal for a part, and computes it once: to plan takes no time for what is not run."""
    return cache(lambda part: expected_part(values(*arguments), part))
