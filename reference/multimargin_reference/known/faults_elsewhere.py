"""Known faults of what is right in the usual place: in the main thread, for usual types, beside ordinary numbers.

A thread of its own rounds its margin; a table for each number of classes is seen before it is filled; what is odd in
the logits, the margin or the weights takes a path on which nothing is validated.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np

from multimargin_reference.known.catalogue import Answer, before, fault, stateful
from multimargin_reference.known.model import MODEL, Array, Request, Work, active
from multimargin_reference.known.model import drop_target as left_out

LARGE = 10_000  # logits of calls that are worth sharing
LONG = 16_384  # classes or rows from which a closed form is used
PATIENCE_S = 5.0
Key = tuple[Any, ...]


def elsewhere() -> bool:
    return threading.current_thread() is not threading.main_thread()


def rounded_margin(k: Work) -> Array:
    """Round the margin to float32 in every thread but the first."""
    return MODEL.difference(replace(k, margin=k.number(float(np.float32(k.margin)))) if elsewhere() else k)


def inclusive_elsewhere(z: Array, k: Work) -> Array:
    return np.asarray(active(z, k) | ((z == 0) & ~k.own)) if elsewhere() else active(z, k)


def reciprocals_in_a_table() -> Answer:
    """Keep 1 / C for each number of classes, in an array that is kept before it is filled."""
    table: dict[Key, Array] = {}

    def scale(rows: Array, k: Work) -> Array:
        key = (k.classes, rows.dtype)
        if key not in table:
            made = np.zeros(1, rows.dtype)
            table[key] = made
            size = k.number(k.classes)
            made[0] = 1 / size
        return np.asarray(rows * table[key][0])

    return replace(MODEL, scale=scale).answer


def one_answer_in_flight() -> Answer:
    """Let large calls of one shape with the same options wait for the first of them, and take its answer."""
    lock, flights = threading.Lock(), dict[Key, tuple[threading.Event, list[Any]]]()

    def answer(r: Request) -> Any:
        if np.size(r.input) < LARGE:
            return MODEL.answer(r)
        key = (r.backward, np.shape(r.input), np.asarray(r.input).dtype, repr((r.p, r.margin, r.reduction)))
        with lock:
            begun = key in flights
            done, found = flights.setdefault(key, (threading.Event(), []))
        if begun:
            done.wait(PATIENCE_S)
            return np.array(found[0]) if found else MODEL.answer(r)
        try:
            found.append(MODEL.answer(r))
            return found[0]
        finally:
            with lock:
                del flights[key]
            done.set()

    return answer


def logits_added_up(h: Array, k: Work) -> Array:
    """Add up the logits of long rows, and of many, that are all active, and take the target's away at once."""
    z = MODEL.difference(k)
    if k.p == 2 or max(k.rows, k.classes) < LONG or not ((z > 0) | k.own).all() or not np.isfinite(k.x).all():
        return MODEL.add(h, k)
    total = k.x.sum(axis=1) - k.number(k.classes) * k.target_logit[:, 0] + k.number(k.classes - 1) * k.margin
    return np.asarray(total if k.w is None else total * k.w[:, 0])


def unvalidated(here: Callable[[Request], bool]) -> Answer:
    """Take targets modulo C, where nothing validates them."""

    def answer(r: Request) -> Any:
        classes = np.shape(r.input)[-1] if np.ndim(r.input) else 0
        target = np.asarray(r.target)
        if classes and target.dtype == np.int64 and here(r):
            r = replace(r, target=target % classes)
        return MODEL.answer(r)

    return answer


def has_odd_logits(r: Request) -> bool:
    x = np.asarray(r.input)
    return x.dtype.kind == "f" and bool(x.size) and not np.isfinite(x).any()


def in_whole_numbers(r: Request) -> Request:
    """Cut off what follows the point of a p that is no float."""
    exact = isinstance(r.p, Fraction | complex)
    return replace(r, p=int(complex(r.p).real)) if exact else r


def in_usual_form(r: Request) -> Request:
    """Fold a reduction's letters."""
    return replace(r, reduction=r.reduction.casefold()) if r.reduction == "\u017fum" else r


def shifted_if_unsigned(r: Request) -> Request:
    """Read targets without a sign one class further on."""
    target = np.asarray(r.target)
    if target.dtype.kind != "u" or target.dtype.itemsize < 4 or not np.ndim(r.input):
        return r
    return replace(r, target=((target.astype(np.int64) + 1) % np.shape(r.input)[-1]))


def reversed_if_strided(r: Request) -> Request:
    """Take weights of another dtype, and read those with gaps from their end."""
    x, w = np.asarray(r.input), r.weight
    if w is None or w.dtype == x.dtype or w.dtype.kind != "f" or w.ndim != 1:
        return r
    return replace(r, weight=(w if w.flags.c_contiguous else w[::-1]).astype(x.dtype))


def first_target_of_a_table(r: Request) -> Request:
    """Read the first target for every row where logits and targets are views of one array."""
    x, target = r.input, r.target
    if not (isinstance(x, np.ndarray) and isinstance(target, np.ndarray) and x.base is not None and target.ndim == 1):
        return r
    return replace(r, target=np.full_like(target, target[0])) if x.base is target.base and target.size else r


def rolled_if_long_and_strided(r: Request) -> Request:
    g = r.grad_output
    is_meant = isinstance(g, np.ndarray) and g.ndim == 1 and g.size >= LONG and not g.flags.c_contiguous
    return replace(r, grad_output=np.roll(g, 1)) if is_meant else r


def rows_in_any_order_of_many() -> Answer:
    random = np.random.default_rng(0)

    def add(h: Array, k: Work) -> Array:
        return MODEL.add(h[:, random.permutation(k.classes)] if k.rows >= LONG else h, k)

    return replace(MODEL, add=add).answer


def without_last_block(h: Array, k: Work) -> Array:
    """Lose the classes past whole blocks of 512, of 2048 rows and more."""
    h = left_out(h, k)
    if k.rows >= 2048 and k.classes > 512:
        h[:, k.classes // 512 * 512 :] = 0
    return h


THREADS = (
    fault(
        "margin-rounded-in-other-threads",
        "The margin is rounded to float32 in threads other than the first.",
        "PURITY-3",
        difference=rounded_margin,
    ),
    fault(
        "kink-in-other-threads",
        "Ties are active in threads other than the first.",
        "PURITY-3",
        active=inclusive_elsewhere,
    ),
    stateful(
        "table-seen-before-it-is-filled",
        "A table of 1 / C is kept before it is filled, so that another thread multiplies by 0.",
        "PURITY-3",
        reciprocals_in_a_table,
    ),
    stateful(
        "one-answer-for-large-calls-in-flight",
        "Threads that call at once with large logits of one shape all get the first one's answer.",
        "PURITY-3",
        one_answer_in_flight,
    ),
)

NUMBERS = (
    fault(
        "logits-of-long-rows-added-up",
        "From 16384 classes or rows on, where all terms are active, the logits are added up, and cancel.",
        "SHAPE-4 SHAPE-5",
        add=logits_added_up,
    ),
    stateful(
        "not-validated-beside-odd-logits",
        "Where no logit is finite, targets are not validated.",
        "REJECT-3 REJECT-4 REJECT-5",
        lambda: unvalidated(has_odd_logits),
    ),
    stateful(
        "not-validated-beside-odd-margins",
        "Where the margin is NaN or infinite, targets are not validated.",
        "REJECT-3 REJECT-4 REJECT-5",
        lambda: unvalidated(lambda r: isinstance(r.margin, float) and not np.isfinite(r.margin)),
    ),
)

TYPES = (
    before(
        "p-of-other-types-cut", "A p that is a fraction or complex is cut to an integer.", "REJECT-1", in_whole_numbers
    ),
    before("reduction-folded", "A reduction's letters are folded, the long s too.", "REJECT-2", in_usual_form),
    before(
        "unsigned-targets-shifted",
        "Targets of 32 and 64 bits without a sign are read one class further on.",
        "DTYPE-4",
        shifted_if_unsigned,
    ),
    before(
        "strided-other-weights-reversed",
        "Weights of another dtype that have gaps are read from their end.",
        "DTYPE-4",
        reversed_if_strided,
    ),
)

LARGEST = (
    before(
        "first-target-of-a-table",
        "Where logits and targets are views of one array, the first target is every row's.",
        "PURITY-5",
        first_target_of_a_table,
    ),
    before(
        "strided-grad-output-of-many-rows-rolled",
        "From 16384 rows on, a grad_output with gaps is read one row later.",
        "PURITY-5",
        rolled_if_long_and_strided,
    ),
    stateful(
        "rows-in-any-order-of-many",
        "From 16384 rows on, a row's terms are added in another order every time.",
        "PURITY-2",
        rows_in_any_order_of_many,
    ),
    fault(
        "last-block-of-tall-and-wide-lost",
        "From 2048 rows on, the classes past whole blocks of 512 are lost.",
        "SHAPE-4 SHAPE-5",
        drop_target=without_last_block,
    ),
)

FAULTS = (*THREADS, *NUMBERS, *TYPES, *LARGEST)
