"""Generated calls, each judged by what is legal for it: on the exact grid, on grids of any size, and in general."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from multimargin_conformance.calling import ARGUMENTS, Arrays
from multimargin_conformance.capabilities import Capabilities
from multimargin_conformance.checks.layouts import LAYOUTS, read_only
from multimargin_conformance.checks.single import legal_with, part_of
from multimargin_conformance.judge import judge
from multimargin_conformance.properties.drawing import MARGINS, POSITIVE, SEEDS, SIGNED, Drawn, with_logits
from multimargin_conformance.properties.engine import Calls
from multimargin_reference.case import Case
from multimargin_reference.exact_values import legal_values
from multimargin_reference.expectation import Enclosures
from multimargin_reference.formats import DTYPES, FORMATS, HALVES
from multimargin_reference.grid_enclosure import grid_values
from multimargin_vectors.splitmix import words

ORDERS = (None, *LAYOUTS.values(), read_only)
LARGEST = 400  # classes, and rows, of a grid of any size
MOST = 6000  # logits of it
GRADS = np.array([1.0, -2.0, 0.5, 0.0, 8.0])
BITS = {("float32", 1): 18, ("float32", 2): 12, ("float64", 1): 32, ("float64", 2): 18}


def judged(calls: Calls, case: Case, part: str, expected: Enclosures, why: str, given: Arrays | None = None) -> None:
    """Raise Broken where a call's result is not legal. given: arrays that replace the case's own."""
    calls.case = case
    finding = judge(part, calls.session.function(part)(case, **(given or {})), expected, why)
    if finding:
        calls.broken(finding)


def on_the_exact_grid(calls: Calls, drawn: Drawn, part: str) -> None:
    """Nothing rounds: one result is legal, whatever the layout of the arguments in memory."""
    case, expected = drawn.case, part_of(legal_values(drawn.case), part)
    judged(calls, case, part, expected, "exact grid: nothing rounds")
    if "layouts" in calls.session.caller.features:
        given = laid_out(case, part, drawn.more)
        calls.clause = "PURITY-5"
        judged(calls, case, part, expected, "exact grid, in another layout", given)


def laid_out(case: Case, part: str, more: NDArray[np.uint8]) -> Arrays:
    """Return the arguments, each in the layout that a byte chooses; 0 leaves it as it is."""
    given: Arrays = {}
    for byte, name in zip(more.tolist(), ARGUMENTS[part], strict=False):
        array, order = getattr(case, name), ORDERS[byte % len(ORDERS)]
        if array is not None and order is not None:
            given[name] = order(array)
    return given


def one_class_more(calls: Calls, drawn: Drawn, part: str) -> None:
    """A class far below the margin only rescales by C / (C + 1)."""
    case = drawn.case
    far = np.full_like(case.input[..., :1], float(case.input.astype(np.float64).min()) - abs(case.margin) - 1)
    weight = None if case.weight is None else np.append(case.weight, case.weight[:1])
    wider = replace(case, input=np.concatenate([case.input, far], axis=-1), weight=weight)
    capabilities = calls.session.subject.capabilities
    values = legal_with(capabilities, wider) if case.dtype in HALVES else grid_values(wider)
    judged(calls, wider, part, part_of(values, part), "one class more, far below the margin")


def not_negative(calls: Calls, drawn: Drawn, part: str) -> None:
    """No loss is negative where no weight is, whatever the logits; none is NaN where no square overflows."""
    raw = np.resize(drawn.more, drawn.case.input.shape) - 128.0
    factor = 1.1 if FORMATS[drawn.case.dtype].largest > 2**32 else 1.1 / 16
    case = replace(drawn.case, input=(raw * factor).astype(drawn.case.input.dtype))
    loss = calls.loss(case)
    calls.at_least(part, loss, np.zeros_like(loss), "no weight is negative")


@dataclass(frozen=True)
class General:
    """A drawn call of any numbers."""

    case: Case

    def __repr__(self) -> str:
        return f"General({self.case.id})"


def general_calls(dtype: str, capabilities: Capabilities) -> st.SearchStrategy[General]:
    """Return a strategy for small calls of general numbers, of which most operations round."""
    offered = {"batched": ((2, 3), (3, 5)), "unbatched": ((7,),)}
    shapes = [shape for kind in capabilities.shapes for shape in offered[kind]]
    return st.builds(
        _general,
        st.just(dtype),
        st.sampled_from(shapes),
        st.sampled_from(capabilities.p),
        st.sampled_from(capabilities.reductions),
        st.sampled_from((1.0, 0.1, -0.3, 2.7)),
        st.booleans(),
        st.sampled_from((1.0, 0.001, 100.0)),
        SEEDS,
    )


def _general(
    dtype: str, shape: tuple[int, ...], p: int, reduction: str, margin: float, weighted: bool, scale: float, seed: int
) -> General:
    kind, size, rows = DTYPES[dtype], int(np.prod(shape)), shape[0] if len(shape) == 2 else 1
    raw = words(seed, size + shape[-1] + 2 * rows)
    numbers = ((raw >> np.uint64(11)).astype(np.float64) - 2.0**52) * 2.0**-50  # in [-4, 4)
    target = (raw[-rows:] % np.uint64(shape[-1])).astype(np.int64).reshape(shape[:-1])
    weight = numbers[size : size + shape[-1]].astype(kind) if weighted else None
    grads = np.resize(numbers[size + shape[-1] :], shape[:-1] if reduction == "none" else ()).astype(kind)
    x = (numbers[:size].reshape(shape) * scale).astype(kind)
    return General(Case(x, target, p, margin * scale, weight, reduction, grads))


def in_general(calls: Calls, drawn: General, part: str) -> None:
    """Whatever rounds: the result is inside the enclosure of every legal evaluation."""
    expected = part_of(legal_with(calls.session.subject.capabilities, drawn.case), part)
    judged(calls, drawn.case, part, expected, "derived bound on every legal evaluation")


def calls_of_any_size(dtype: str, capabilities: Capabilities) -> st.SearchStrategy[General]:
    """Return a strategy for calls of up to LARGEST rows or classes, on a grid on which every z is exact."""
    if dtype in HALVES:
        return st.nothing()
    sizes = st.integers(1, LARGEST)
    shapes: list[st.SearchStrategy[tuple[int, ...]]] = []
    if "batched" in capabilities.shapes:
        shapes += [st.tuples(st.integers(1, 15), sizes), st.tuples(sizes, st.integers(1, 15))]
    if "unbatched" in capabilities.shapes:
        shapes += [st.tuples(sizes)]
    return st.builds(
        _sized,
        st.just(dtype),
        st.one_of(shapes),
        st.sampled_from(capabilities.p),
        st.sampled_from(capabilities.reductions),
        st.sampled_from(MARGINS),
        st.sampled_from((None, *SIGNED, *POSITIVE)),
        SEEDS,
    )


def _sized(
    dtype: str,
    shape: tuple[int, ...],
    p: int,
    reduction: str,
    margin: float,
    weights: tuple[float, ...] | None,
    seed: int,
) -> General:
    kind, bits, size = DTYPES[dtype], BITS[dtype, p], int(np.prod(shape))
    rows = size // shape[-1]
    raw = words(seed, size + 2 * rows)
    x = _grid((raw[:size] >> np.uint64(64 - bits)).astype(np.float64), bits).reshape(shape)
    target = (raw[size : size + rows] % np.uint64(shape[-1])).astype(np.int64).reshape(shape[:-1])
    weight = None if weights is None else np.resize(weights, shape[-1]).astype(kind)
    grads = GRADS[(raw[size + rows :] % np.uint64(len(GRADS))).astype(np.int64)]
    grads = grads.reshape(shape[:-1]) if reduction == "none" else grads[:1].reshape(())
    case = Case(x.astype(kind), target, p, margin, weight, reduction, grads.astype(kind))
    return General(with_logits(case, case.input))


def _grid(numbers: NDArray[np.float64], bits: int) -> NDArray[np.float64]:
    """Return multiples of the grid's step in [-2, 2)."""
    return (numbers - 2.0 ** (bits - 1)) * 2.0 ** (2 - bits)


def of_any_size(calls: Calls, drawn: General, part: str) -> None:
    """Every class and row counts once, whatever the sizes."""
    judged(calls, drawn.case, part, part_of(grid_values(drawn.case), part), "a grid of any size")
