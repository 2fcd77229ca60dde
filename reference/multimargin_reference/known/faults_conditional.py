"""Known faults of one path alone: each is another known fault that shows only under two or three options together.

Specialised kernels, compiled variants and early returns are where such mistakes live: what is right on every common
path is wrong for, say, weights with p = 2 and no reduction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from multimargin_reference.known.catalogue import Fault, stateful
from multimargin_reference.known.model import MODEL, Request

Condition = Callable[[Request], bool]


def is_weighted(r: Request) -> bool:
    return r.weight is not None


def is_unbatched(r: Request) -> bool:
    return np.ndim(r.input) == 1


def is_single_row(r: Request) -> bool:
    return np.ndim(r.input) == 2 and len(r.input) == 1


def is_square(r: Request) -> bool:
    return np.ndim(r.input) == 2 and len(set(np.shape(r.input))) == 1


def has_one_class(r: Request) -> bool:
    return np.ndim(r.input) > 0 and np.shape(r.input)[-1] == 1


def has_many_classes(r: Request) -> bool:
    return np.ndim(r.input) > 0 and np.shape(r.input)[-1] > 128


def has_many_rows(r: Request) -> bool:
    return np.ndim(r.input) == 2 and len(r.input) > 128


def is_negative_margin(r: Request) -> bool:
    return float(r.margin) < 0


def is_zero_margin(r: Request) -> bool:
    return float(r.margin) == 0


def is_double(r: Request) -> bool:
    return np.asarray(r.input).dtype == np.float64


def is_square_hinge(r: Request) -> bool:
    return bool(r.p == 2)


def reduces_to(reduction: str) -> Condition:
    return lambda r: bool(r.reduction == reduction)


NONE, MEAN, SUM = (reduces_to(name) for name in ("none", "mean", "sum"))
# The fault that is narrowed, its sentence from here on, its clauses, and when it shows.
NARROWED: tuple[tuple[str, str, str, tuple[Condition, ...]], ...] = (
    ("p-truncated", "p is truncated to an integer by the weighted kernel for sums.", "REJECT-1", (is_weighted, SUM)),
    (
        "reduction-unknown-means-mean",
        "An unknown reduction means mean for weighted rows without a batch.",
        "REJECT-2",
        (is_weighted, is_unbatched),
    ),
    (
        "target-minus-one-accepted",
        "Target -1 is accepted for p = 2 with weights and no reduction.",
        "REJECT-3",
        (is_square_hinge, is_weighted, NONE),
    ),
    (
        "target-unchecked",
        "Targets are not checked by the kernel for negative margins with p = 2.",
        "REJECT-4 REJECT-3",
        (is_square_hinge, is_negative_margin),
    ),
    (
        "target-int32-before-check",
        "Targets are cast to 32 bits without a batch and with weights.",
        "REJECT-5",
        (is_unbatched, is_weighted),
    ),
    ("target-count-longer", "Further targets are ignored for weighted sums.", "REJECT-6", (is_weighted, SUM)),
    (
        "target-column-flattened",
        "A column of targets is flattened in batches of one row with weights.",
        "REJECT-7",
        (is_single_row, is_weighted),
    ),
    (
        "target-floating-truncated",
        "Floating targets are truncated for p = 2 in float64.",
        "REJECT-8",
        (is_square_hinge, is_double),
    ),
    (
        "weight-longer-accepted",
        "Longer weights are accepted for p = 2 and no reduction.",
        "REJECT-9",
        (is_square_hinge, NONE),
    ),
    (
        "weight-row-flattened",
        "A weight of one row is flattened for negative margins and sums.",
        "REJECT-10",
        (is_negative_margin, SUM),
    ),
    (
        "no-classes-zero",
        "No classes at all give 0 for weighted batches with p = 2.",
        "REJECT-11",
        (is_weighted, is_square_hinge),
    ),
    (
        "rank-3-leading-flattened",
        "Leading axes are flattened for sums with a negative margin.",
        "REJECT-12",
        (is_negative_margin, SUM),
    ),
    (
        "kink-full",
        "A tie has the full slope for weighted sums without a batch.",
        "GRADIENT-4",
        (is_weighted, SUM, is_unbatched),
    ),
    (
        "mask-becomes-minus-1e4",
        "A mask is a finite number for p = 2 with more than 128 classes.",
        "SPECIAL-4 SPECIAL-1",
        (is_square_hinge, has_many_classes),
    ),
    (
        "gradient-masked-nan",
        "The gradient of a masked class is NaN for weighted batches of one row.",
        "SPECIAL-1",
        (is_weighted, is_single_row),
    ),
    (
        "infinity-becomes-largest-finite",
        "Infinity becomes finite for weighted rows without a batch.",
        "SPECIAL-2",
        (is_weighted, is_unbatched),
    ),
    (
        "infinite-target-nan",
        "An infinite target's logit gives NaN for sums with p = 2.",
        "SPECIAL-3",
        (SUM, is_square_hinge),
    ),
    (
        "nan-poisons-batch",
        "A NaN spreads to other rows for weighted batches with p = 2.",
        "SPECIAL-7",
        (is_weighted, is_square_hinge),
    ),
    (
        "loss-subnormals-flushed",
        "Subnormal losses are flushed without a batch and for p = 2.",
        "SPECIAL-5",
        (is_unbatched, is_square_hinge),
    ),
    (
        "overflow-by-scaling",
        "The sum overflows early for weighted rows without a reduction.",
        "SPECIAL-6",
        (is_weighted, NONE),
    ),
    ("weight-by-one-hot", "Unused weights poison sums with p = 2.", "WEIGHT-4", (SUM, is_square_hinge)),
    (
        "empty-sum-nan",
        "The sum of an empty batch is NaN for p = 2 with weights.",
        "SHAPE-7",
        (is_square_hinge, is_weighted),
    ),
    (
        "empty-mean-one",
        "The mean of an empty batch is 1 with weights and margin 0.",
        "SHAPE-8",
        (is_weighted, is_zero_margin),
    ),
    (
        "loss-buffer-reused",
        "The loss of a batch of one class is a buffer that is used again.",
        "PURITY-4",
        (has_one_class,),
    ),
    (
        "gradient-buffer-reused",
        "The gradient of a square batch is a buffer that is used again.",
        "PURITY-4",
        (is_square,),
    ),
    (
        "gradient-weight-absolute",
        "The gradient's weight loses its sign for sums of more than 128 rows.",
        "GRADIENT-7 SHAPE-5",
        (SUM, has_many_rows),
    ),
)


def narrow(wrong: Fault, name: str, sentence: str, clauses: str, conditions: Iterable[Condition]) -> Fault:
    """Return a fault that is another one where all conditions hold, and right elsewhere."""

    def start() -> Callable[[Request], object]:
        faulty = wrong.make()

        def answer(r: Request) -> object:
            model = faulty if all(holds(r) for holds in conditions) else MODEL
            options = {"p": r.p, "margin": r.margin, "weight": r.weight, "reduction": r.reduction}
            if r.backward:
                return model.backward(r.grad_output, r.input, r.target, **options)
            return model.forward(r.input, r.target, **options)

        return answer

    return stateful(name, sentence, clauses, start)


def narrowed(faults: Iterable[Fault]) -> tuple[Fault, ...]:
    """Return the conditional faults; faults: the catalogue that they are made from."""
    catalogue = {fault.name: fault for fault in faults}
    return tuple(
        narrow(catalogue[name], f"{name}-on-one-path", sentence, clauses, conditions)
        for name, sentence, clauses, conditions in NARROWED
    )
