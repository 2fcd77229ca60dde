"""Known faults of comparisons with a tolerance, of odd values that are taken for usual ones, and of two conditions
that have to hold together: a size and a pattern, a tie and a special value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from multimargin_reference.known.catalogue import Fault, after, before, fault
from multimargin_reference.known.faults_beyond import is_gradient, is_loss, shape
from multimargin_reference.known.faults_conditional import (
    Condition,
    is_negative_margin,
    is_square_hinge,
    is_unbatched,
    is_weighted,
    narrow,
)
from multimargin_reference.known.model import MODEL, Request, Work
from multimargin_reference.validation import Arguments, validate

MANY, MORE = 1024, 2**14  # rows or classes


def is_close(values: Any, number: float) -> bool:
    """Whether there are values, and all are a number or close to it."""
    return values is not None and np.size(values) > 0 and bool(np.allclose(np.asarray(values, np.float64), number))


def is_almost(values: Any) -> bool:
    """Whether all values are close to the first one."""
    return values is not None and np.ndim(values) == 1 and np.size(values) > 1 and is_close(values, np.ravel(values)[0])


def without_weights_of_one(r: Request) -> Request:
    usual = r.weight is not None and np.shape(r.weight) == np.shape(r.input)[-1:]
    return replace(r, weight=None) if usual and is_close(r.weight, 1.0) else r


def first_of_equal_weights(r: Request) -> Request:
    usual = is_almost(r.weight) and np.shape(r.weight) == np.shape(r.input)[-1:]
    return replace(r, weight=np.full_like(r.weight, r.weight[0])) if usual else r


def first_of_equal_factors(r: Request) -> Request:
    return replace(r, grad_output=np.full_like(r.grad_output, r.grad_output[0])) if is_almost(r.grad_output) else r


def factor_of_one(r: Request) -> Request:
    return replace(r, grad_output=np.ones_like(r.grad_output)) if is_close(r.grad_output, 1.0) else r


def nothing_for_small_weights(r: Request) -> Request:
    usual = r.weight is not None and np.shape(r.weight) == np.shape(r.input)[-1:]
    return replace(r, weight=np.zeros_like(r.weight)) if usual and is_close(r.weight, 0.0) else r


def nothing_for_small_factors(r: Request) -> Request:
    return replace(r, grad_output=np.zeros_like(r.grad_output)) if is_close(r.grad_output, 0.0) else r


def usual_margin(r: Request) -> Request:
    """Take a margin that is close to 1 for 1, and one that is close to 0 for 0."""
    near = (number for number in (0.0, 1.0) if is_close(r.margin, number))
    return replace(r, margin=next(near, r.margin))


def p_as(change: Callable[[Any], Any]) -> Callable[..., Arguments]:
    """Validate a call with another p where it has an odd one."""

    def checked(x: Any, y: Any, p: Any, margin: Any, weight: Any, reduction: Any) -> Arguments:
        return validate(x, y, change(p), margin, weight, reduction)

    return checked


def whole_text(p: Any) -> Any:
    """Take any text of a number for p, and what is none of 1 and 2 for 1."""
    if not isinstance(p, str) or not p.replace(".", "").isdigit():
        return p
    return 2 if float(p) == 2 else 1


def sixteen_bits(p: Any) -> Any:
    return int(np.int64(p).astype(np.int16)) if isinstance(p, int) and 2 < p < 2**31 else p


def floats_are_one(p: Any) -> Any:
    return 1 if isinstance(p, float) and p == 3.0 else p


def numpy_is_one(p: Any) -> Any:
    return 1 if isinstance(p, np.integer) and p == 2 else p


def divided_weights(r: Request) -> Request:
    w = r.weight
    if w is None or np.asarray(w).dtype.kind not in "iu" or np.shape(w) != np.shape(r.input)[-1:]:
        return r
    return replace(r, weight=(w // w.size * w.size).astype(r.input.dtype))


def halves_rounded(r: Request) -> Request:
    w = r.weight
    if w is None or np.asarray(w).dtype != np.float16 or np.shape(w) != np.shape(r.input)[-1:]:
        return r
    return replace(r, weight=(w * np.float16(1 / 3) * np.float16(3)).astype(r.input.dtype))


def sign_of_the_exact_margin(z: Any, k: Work) -> Any:
    """Take what is active by the margin as it was given, in doubles, and its value by the rounded one, of any sign."""
    exact = (k.exact_margin - k.target_logit.astype(np.float64)) + k.x.astype(np.float64)
    return np.where(exact > 0, z, k.number(0)) if np.isfinite(k.margin) else MODEL.hinge(z, k)


def has(value: float) -> Condition:
    """Whether a logit is an infinity."""
    return lambda r: bool((np.asarray(r.input) == value).any())


def has_subnormal(r: Request) -> bool:
    x = np.asarray(r.input)
    tiny = np.finfo(x.dtype).tiny if x.dtype in (np.float32, np.float64) else 0
    return bool(((x != 0) & (np.abs(x) < tiny)).any())


def has_huge(r: Request) -> bool:
    x = np.asarray(r.input)
    most = np.finfo(x.dtype).max / 8 if x.dtype in (np.float32, np.float64) else np.inf
    return bool((np.isfinite(x) & (np.abs(x) > most)).any())


def has_large_margin(r: Request) -> bool:
    return abs(float(r.margin)) > 100


def is_wide(r: Request) -> bool:
    return shape(r)[1] >= MANY


def is_wider(r: Request) -> bool:
    return shape(r)[1] >= MORE


def is_taller(r: Request) -> bool:
    return shape(r)[0] >= MORE


def is_both(r: Request) -> bool:
    return min(shape(r)) >= MANY


def is_middling(r: Request) -> bool:
    return min(shape(r)) >= 64


def has_same_target(r: Request) -> bool:
    return np.size(r.target) > 1 and not np.any(r.target)


def has_sorted_targets(r: Request) -> bool:
    y = np.asarray(r.target)
    return y.size > 1 and bool((np.diff(y) >= 0).all() and y[0] < y[-1])


def repeats_factor(r: Request) -> bool:
    g = r.grad_output
    return isinstance(g, np.ndarray) and g.ndim == 1 and g.size > 1 and g.strides[0] == 0


def has_zero_factor(r: Request) -> bool:
    g = np.asarray(r.grad_output)
    return g.ndim == 1 and bool((g == 0).any() and (g != 0).any())


def is_read_only(r: Request) -> bool:
    return isinstance(r.target, np.ndarray) and not r.target.flags.writeable


def halved(value: Any, _: Request) -> Any:
    return value * np.asarray(0.5, value.dtype)


FAULTS: tuple[Fault, ...] = (
    before("weights-close-to-one-ignored", "Weights for which allclose(w, 1) holds are left out.",
           "WEIGHT-1 WEIGHT-2 GRADIENT-7", without_weights_of_one),
    before("weights-close-to-each-other-equal", "Weights that are close to the first one are all taken for it.",
           "WEIGHT-1 WEIGHT-2 GRADIENT-7", first_of_equal_weights),
    before("weights-close-to-zero-zero", "Weights for which allclose(w, 0) holds are 0.",
           "WEIGHT-2 GRADIENT-7", nothing_for_small_weights),
    before("grad-output-close-to-one-ignored", "A grad_output for which allclose(g, 1) holds is left out.",
           "GRADIENT-8", factor_of_one),
    before("grad-outputs-close-to-each-other-equal", "Factors that are close to the first one are all taken for it.",
           "GRADIENT-9 GRADIENT-8", first_of_equal_factors),
    before("grad-output-close-to-zero-zero", "A grad_output for which allclose(g, 0) holds is 0.",
           "GRADIENT-8", nothing_for_small_factors),
    before("margin-close-to-usual-rounded", "A margin that is close to 1 is 1, and one that is close to 0 is 0.",
           "VALUE-6 GRADIENT-1", usual_margin),
    fault("hinge-sign-of-the-exact-margin", "The sign is that of the exact margin, the value that of the rounded one.",
          "VALUE-9", hinge=sign_of_the_exact_margin),
    fault("p-any-text-accepted", "'3', '0' and '1.5' count as p = 1.", "REJECT-1", validate=p_as(whole_text)),
    fault("p-wraps-at-16-bits", "p is read as 16 bits: 65537 is 1.", "REJECT-1", validate=p_as(sixteen_bits)),
    fault("p-float-three-accepted", "3.0 counts as 1, though 3 is rejected.", "REJECT-1",
          validate=p_as(floats_are_one)),
    fault("p-of-numpy-means-one", "A p of NumPy's integers counts as 1.", "DTYPE-4", validate=p_as(numpy_is_one)),
    before("integer-weights-divided", "Integer weights are divided by C as integers.", "DTYPE-4", divided_weights),
    before("half-weights-multiplied-in-half", "Weights in float16 are multiplied in float16.", "DTYPE-4",
           halves_rounded),
)  # fmt: skip

KINK, HALF = "kink-full", "a result that is halved"
NARROWED: tuple[tuple[str, str, str, str, tuple[Condition, ...]], ...] = (
    (KINK, "kink-beside-masked", "A tie is active beside a logit of -inf.", "GRADIENT-4", (has(-np.inf),)),
    (KINK, "kink-beside-infinity", "A tie is active beside a logit of +inf.", "GRADIENT-4", (has(np.inf),)),
    (KINK, "kink-beside-subnormal", "A tie is active beside a subnormal logit.", "GRADIENT-4", (has_subnormal,)),
    (KINK, "kink-at-large-margin", "A tie is active with a margin above 100 and weights.", "GRADIENT-4",
     (has_large_margin, is_weighted)),
    (KINK, "kink-of-one-instance", "A tie is active without a batch, with weights and a negative margin.", "GRADIENT-4",
     (is_unbatched, is_weighted, is_negative_margin, lambda r: r.reduction == "mean")),
    ("power-ignored", "subnormal-logits-not-squared", "Subnormal logits are not squared.", "SPECIAL-5 VALUE-2",
     (is_loss, has_subnormal)),
    (HALF, "same-target-of-many-halved", "One target for 64 rows of 64 classes halves the result.", "SHAPE-1",
     (is_middling, has_same_target)),
    (HALF, "sorted-targets-of-many-halved", "Sorted targets of 2 ** 14 rows or classes halve the result.", "SHAPE-1",
     (lambda r: is_wider(r) or is_taller(r), has_sorted_targets)),
    (HALF, "subnormals-of-many-rows-halved", "Subnormal logits among 2 ** 14 rows halve the loss.", "SPECIAL-5",
     (is_taller, has_subnormal, is_loss)),
    (HALF, "masked-of-many-rows-halved", "A masked class among 2 ** 14 rows halves the result.", "SPECIAL-1",
     (is_taller, has(-np.inf))),
    (HALF, "large-margin-of-many-classes-halved", "A margin above 100 halves the gradient of 2 ** 14 classes.",
     "GRADIENT-4 GRADIENT-1", (is_wider, has_large_margin, is_gradient)),
    (HALF, "huge-logits-halve-gradients", "Logits near overflow halve the gradient where the margin is negative.",
     "SPECIAL-6 GRADIENT-1", (is_gradient, has_huge, is_negative_margin)),
    (HALF, "repeated-grad-output-of-many-halved", "A grad_output that repeats one number is halved past 1024 classes.",
     "PURITY-5", (is_wide, repeats_factor)),
    (HALF, "zero-grad-output-of-many-halved", "Some factors of 0 halve the others past 1024 classes.", "GRADIENT-8",
     (is_wide, has_zero_factor)),
    (HALF, "read-only-targets-of-many-halved", "Read-only targets halve the result of 2 ** 14 classes.", "PURITY-6",
     (is_wider, is_read_only)),
    (HALF, "squares-of-some-sizes-halved", "The gradient for p = 2 is halved between 2 ** 14 and 2 ** 15 classes.",
     "SHAPE-4", (is_gradient, is_square_hinge, lambda r: MORE < shape(r)[1] < 2 * MORE)),
    ("target-term-kept", "target-not-excluded-from-large", "The target's term counts past 1024 rows and classes.",
     "SHAPE-4", (is_both, is_loss)),
)  # fmt: skip


def narrowed(faults: Iterable[Fault]) -> tuple[Fault, ...]:
    """Return the faults of two conditions, which are right elsewhere; faults: those that they are made from."""
    catalogue = {one.name: one for one in (*faults, after(HALF, "", "", halved))}
    return tuple(
        narrow(catalogue[base], name, sentence, clauses, conditions)
        for base, name, sentence, clauses, conditions in NARROWED
    )
