"""What a call may be about, in every context: ties, masked classes, infinities, NaN, subnormals, the edge of overflow,
an empty batch, weights that nothing reads, and results that are held while other calls are made.

Each is put into the valid call of a context (changes.py), and some of the arguments elsewhere in memory too: kernels
have paths of their own for those, and for many classes or rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from multimargin_conformance.calling import ARGUMENTS, Arrays
from multimargin_conformance.capabilities import Capabilities
from multimargin_conformance.checks import changes, infinities, layouts, no_rows, targets, ties
from multimargin_conformance.checks.changes import Expected
from multimargin_conformance.checks.contexts import FEWER, MANY, many, turned, valid
from multimargin_conformance.checks.item import Item, Scope
from multimargin_conformance.checks.owned import has_numbers, is_written, number_of, of_its_owner, overwritten_later
from multimargin_conformance.checks.single import is_refused
from multimargin_conformance.judge import Finding, judge, subscript
from multimargin_conformance.outcome import Returned
from multimargin_conformance.session import PASS, Result, Session, result_of
from multimargin_reference.case import Case

REPEATS = 6  # of the mean of an empty batch
PLACES: tuple[layouts.Layout, ...] = (
    layouts.fortran,
    layouts.every_other,
    layouts.reversed_,
    layouts.padded,
    layouts.unaligned,
    layouts.frozen(layouts.fortran),
)
# of other arguments than the input
BESIDE = (np.array, layouts.every_other, layouts.read_only, layouts.reversed_, layouts.unaligned)
PLACED = 3  # of so many batches one is placed elsewhere


Test = Callable[[Session, Expected, "Made"], Finding | None]


@dataclass(frozen=True)
class Effect:
    """What is put into a call. clauses: of the loss and of the gradient, "" where it is not about it.

    change: the call and what is legal, None where the context has no such call. flushed: whether a backend that may
    flush subnormals may differ.
    """

    clauses: tuple[str, str]
    change: Callable[[Case, str], Expected | None]
    flushed: bool = False


@dataclass(frozen=True)
class Made:
    """The calls of one effect in one dtype, out of those that are checked, for one part."""

    name: str
    dtype: str
    part: str
    dtypes: tuple[str, ...]
    capabilities: Capabilities
    among: tuple[tuple[int, ...], ...] = ()  # shapes of many classes or rows, of which the calls are: few

    @property
    def calls(self) -> list[Expected]:
        """One a context, made once a process."""
        return _calls(self)

    def has_calls(self) -> bool:
        """Return whether there is a call at all; to make them all takes longer than to plan everything else."""
        return _has_calls(self)


def items(scope: Scope) -> Iterator[Item]:
    """Yield one item an effect, dtype and part."""
    for dtype in scope.dtypes:
        for name, effect in EFFECTS.items():
            for part, clause in zip(("loss", "gradient"), effect.clauses, strict=True):
                if not clause or (part == "gradient" and not scope.gradient) or (effect.flushed and scope.flush):
                    continue
                made = Made(name, dtype, part, scope.dtypes, scope.capabilities)
                yield _item(made, clause)
                if name not in STAYING:
                    yield _placed(made, clause)
                if part in KEPT.get(name, ()):
                    yield _overwritten(made)
                if name in AMONG:
                    yield _among_many(replace(made, among=AMONG[name]), clause)


@cache
def _calls(made: Made) -> list[Expected]:
    return list(_made(made))


@cache
def _has_calls(made: Made) -> bool:
    return next(_made(made, smallest_first=True), None) is not None


def _made(made: Made, *, smallest_first: bool = False) -> Iterator[Expected]:
    change = EFFECTS[made.name].change
    contexts = many(made.dtype, made.dtypes, made.among) if made.among else turned(made.dtype, made.dtypes)
    if smallest_first:
        contexts = tuple(sorted(contexts, key=lambda context: context.rows * context.classes))
    cases = (valid(context, made.dtype) for context in contexts)
    found = (change(case, made.part) for case in cases if not made.capabilities.leaves_out(case))
    yield from (expected for expected in found if expected is not None)


def _check(
    what: str,
    made: Made,
    clause: str,
    run: Callable[[Session], Result],
    calls: Callable[[], list[tuple[Case, Arrays]]] | None = None,
) -> Item:
    return Item(
        f"{clause}/{made.dtype}/{what}-{made.name}/{made.part}",
        clause,
        made.dtype,
        made.part,
        run,
        kind="contexts",
        calls=calls,
        prepare=lambda: made.calls,
        exists=made.has_calls,
    )


def _item(made: Made, clause: str) -> Item:
    def run(session: Session) -> Result:
        test = TESTS.get(made.name, lambda: _judged)()
        for expected in made.calls:
            if finding := test(session, expected, made):
                return result_of(replace(finding, case=expected.case))
        return PASS

    def calls() -> list[tuple[Case, Arrays]]:
        return [(expected.case, {}) for expected in made.calls]

    return _check("contexts", made, clause, run, None if made.name in TESTS else calls)


def _placed(made: Made, clause: str) -> Item:
    """Return the check of some of the calls with their arguments elsewhere in memory."""

    def given() -> Iterator[tuple[Expected, Arrays]]:
        batches = [expected for expected in made.calls if min((1, *expected.case.input.shape)[-2:]) > 1] or made.calls
        for k, expected in enumerate(batches[made.dtypes.index(made.dtype) % min(PLACED, len(batches)) :: PLACED]):
            places: dict[str, layouts.Layout] = {name: BESIDE[k % len(BESIDE)] for name in ARGUMENTS[made.part]}
            places["input"] = PLACES[k % len(PLACES)]
            arrays = {name: getattr(expected.case, name) for name in places}
            yield expected, {name: places[name](array) for name, array in arrays.items() if array is not None}

    def run(session: Session) -> Result:
        session.needs("layouts")
        for expected, arrays in given():
            observation = session.function(made.part)(expected.case, **arrays)
            if finding := judge(made.part, observation, expected.values, f"{made.name}, elsewhere in memory"):
                return result_of(replace(finding, case=expected.case))
        return PASS

    return _check("placed", made, clause, run, lambda: [(expected.case, arrays) for expected, arrays in given()])


def _among_many(made: Made, clause: str) -> Item:
    """Return the check of calls of many classes or rows; whatever else their context's test does is left out."""

    def run(session: Session) -> Result:
        session.needs("raw")  # or the protocol's lines would be too long
        for expected in made.calls:
            if finding := _judged(session, expected, made):
                return result_of(finding)
        return PASS

    return _check("among-many", made, clause, run)


def _overwritten(made: Made) -> Item:
    """Return the check that what is often answered without computing is the caller's too: not kept for all calls."""

    def run(session: Session) -> Result:
        session.needs("held")
        for expected in made.calls:
            if finding := of_its_owner(session, expected.case, made.part):
                return result_of(replace(finding, case=expected.case))
        return PASS

    return _check("overwritten", made, "PURITY-4", run)


def _judged(session: Session, expected: Expected, made: Made) -> Finding | None:
    observation = session.function(made.part)(expected.case)
    return judge(made.part, observation, expected.values, made.name)


def _unless_rejected(session: Session, expected: Expected, made: Made) -> Finding | None:
    observation = session.function(made.part)(expected.case)
    is_rejected = is_refused(session, expected.case, made.part, observation)
    return None if is_rejected else judge(made.part, observation, expected.values, made.name)


def _repeated() -> Test:
    """Return a test that the mean of nothing is 0 or NaN, the same of the two on every call, in every dtype."""
    answers: set[bool] = set()

    def test(session: Session, expected: Expected, made: Made) -> Finding | None:
        cases = [changes.in_dtype(expected.case, dtype) for dtype in made.dtypes if dtype != made.dtype and not answers]
        elsewhere = [session.function(made.part)(case) for case in cases]  # judged in their dtype's own check
        seen = []
        for number in range(REPEATS):
            if number == REPEATS - 2:  # whose mean is infinite: what is left of the last call is not a number
                session.function(made.part)(_infinite_row(expected.case))
            seen.append(session.function(made.part)(expected.case))
        findings = (judge(made.part, observation, expected.values, made.name) for observation in seen)
        if finding := next(filter(None, findings), None):
            return finding
        returned = (o.outcome.value for o in (*seen, *elsewhere) if has_numbers(o.outcome))
        answers.update(bool(np.isnan(value).any()) for value in returned)
        if len(answers) > 1:
            return Finding("loss is 0 in one call and NaN in another, but should be the same")
        return None

    return test


def _after_infinite(session: Session, expected: Expected, made: Made) -> Finding | None:
    session.function(made.part)(_infinite_row(expected.case))  # what is left of it is not a number
    return _judged(session, expected, made)


def _infinite_row(case: Case) -> Case:
    """Return a call with the options of an empty batch, of one row with infinities."""
    x = np.full((1, case.input.shape[1]), np.inf, case.input.dtype)
    x[0, 0] = 0.0
    return replace(case, input=x, target=np.zeros(1, np.int64))


def _held(session: Session, expected: Expected, made: Made) -> Finding | None:
    """A result stays what it is when another call of its shape is made, also once its owner has written into it."""
    session.needs("held")
    case, part = expected.case, made.part
    first, other = session.kept(part, case), replace(case, input=case.input[..., ::-1].copy(), margin=case.margin + 1)
    session.function(part)(other)
    if finding := judge(part, session.caller.now(first), expected.values, "looked at again after another call"):
        return finding
    number = number_of(case, part)
    session.caller.fill(first, number)
    written = is_written(session, first, number)
    again = session.function(part)(case)
    if finding := judge(part, again, expected.values, "after an earlier result was overwritten"):
        return finding
    return overwritten_later(part) if written and not is_written(session, first, number) else None


def _following(session: Session, expected: Expected, made: Made) -> Finding | None:
    """In the gradient, the target's element follows from the NaN's own: NaN, 0, or for p = 1 an active element's."""
    case, part = expected.case, made.part
    observation = session.function(part)(case)
    finding = judge(part, observation, expected.values, made.name)
    if finding or part == "loss" or not isinstance(observation.outcome, Returned):
        return finding
    own, target = changes.nan_places(case)
    got = observation.outcome.value.astype(np.float64).reshape(-1)
    place = f"{part}{subscript(own, case.input.shape)}"
    if np.isnan(got[[own, target]]).all():
        return None
    if np.isnan(got[own]):
        at = f"{part}{subscript(target, case.input.shape)}"
        should = f"NaN, as {place} is: it is minus the sum of the row's others"
        return Finding(f"{at} = {got[target]:g}, but should be {should}", {"part": part, "index": target})
    meant = (changes.counted_nan if got[own] else changes.dropped_nan)(case, part)
    if meant is None:
        return None
    values = replace(meant.values, also={target: changes.NAN})
    return judge(part, observation, values, f"{made.name}: {place} is {got[own]:g}")


EFFECTS = {
    "held": Effect(("PURITY-4", "PURITY-4"), changes.plain),
    "fine": Effect(("VALUE-9", "GRADIENT-11"), changes.fine),
    "offset": Effect(("VALUE-9", "GRADIENT-11"), changes.offset),
    "wide-margin": Effect(("VALUE-4", ""), changes.wide_margin),
    "square-underflows": Effect(("VALUE-9", "GRADIENT-11"), changes.scaled(changes.TINY)),
    "square-overflows": Effect(("SPECIAL-6", "SPECIAL-6"), changes.scaled(changes.HUGE)),
    "increasing": Effect(("SHAPE-1", "SHAPE-1"), targets.increasing),
    "same-target": Effect(("SHAPE-1", "SHAPE-1"), targets.same_target),
    "sorted-targets": Effect(("SHAPE-1", "SHAPE-1"), targets.sorted_targets),
    "falling-targets": Effect(("SHAPE-1", "SHAPE-1"), targets.falling_targets),
    "large-logits": Effect(("", "SPECIAL-6"), changes.large_logits),
    "minus-zero-margin": Effect(("VALUE-6", "GRADIENT-1"), changes.minus_zero_margin),
    "ties": Effect(("VALUE-3", "GRADIENT-4"), ties.ties),
    "all-tied": Effect(("VALUE-3", "GRADIENT-4"), ties.all_tied),
    "ties-at-one-target": Effect(("", "GRADIENT-4"), ties.ties_at_one_target),
    "ties-beside-nan": Effect(("", "GRADIENT-4"), ties.ties_beside_nan),
    "ties-beside-zero-grad-output": Effect(("", "GRADIENT-4"), ties.ties_beside_zero_grad_output),
    "ties-at-large-margin": Effect(("", "GRADIENT-4"), ties.ties_at_large_margin),
    "ties-beside-masked": Effect(("", "GRADIENT-4"), ties.ties_beside(-np.inf)),
    "ties-beside-infinite": Effect(("", "GRADIENT-4"), ties.ties_beside(np.inf)),
    "subnormal-ties": Effect(("", "GRADIENT-4"), ties.subnormal_ties, flushed=True),
    "masked": Effect(("SPECIAL-1", "SPECIAL-1"), infinities.masked),
    "all-masked": Effect(("SPECIAL-1", "SPECIAL-1"), infinities.all_masked),
    "wholly-masked": Effect(("SPECIAL-1", "SPECIAL-1"), infinities.wholly_masked),
    "infinite": Effect(("SPECIAL-2", "SPECIAL-2"), infinities.infinite),
    "infinite-twice": Effect(("SPECIAL-2", "SPECIAL-2"), infinities.infinite_twice),
    "infinite-target": Effect(("SPECIAL-3", "SPECIAL-3"), infinities.infinite_target),
    "infinite-loss": Effect(("SPECIAL-4", "SPECIAL-4"), infinities.infinite_loss),
    "masked-infinite-target": Effect(("SPECIAL-3", "SPECIAL-3"), infinities.masked_infinite_target),
    "infinite-beside-masked": Effect(("SPECIAL-2", "SPECIAL-2"), infinities.infinite_beside_masked),
    "infinite-among-masked": Effect(("SPECIAL-2", "SPECIAL-2"), infinities.infinite_among_masked),
    "infinite-twice-over": Effect(("SPECIAL-4", "SPECIAL-4"), infinities.infinite_twice_over),
    "grad-output-nan": Effect(("", "GRADIENT-9"), infinities.grad_output(np.nan, by_row=True)),
    "grad-output-infinite": Effect(("", "GRADIENT-9"), infinities.grad_output(np.inf, by_row=True)),
    "only-grad-output-nan": Effect(("", "GRADIENT-8"), infinities.grad_output(np.nan, by_row=False)),
    "only-grad-output-infinite": Effect(("", "GRADIENT-8"), infinities.grad_output(np.inf, by_row=False)),
    "zero-grad-output": Effect(("", "GRADIENT-8"), changes.zero_grad_output(0.0)),
    "minus-zero-grad-output": Effect(("", "GRADIENT-8"), changes.zero_grad_output(-0.0)),
    "zero-weights": Effect(("WEIGHT-3", "GRADIENT-7"), changes.zero_weights),
    "some-zero-grad-output": Effect(("", "GRADIENT-8"), changes.some_zero_grad_output),
    "nan": Effect(("SPECIAL-7", "SPECIAL-7"), changes.not_a_number),
    "single-infinite": Effect(("VALUE-7", "GRADIENT-3"), infinities.single(np.inf)),
    "single-minus-infinite": Effect(("VALUE-7", "GRADIENT-3"), infinities.single(-np.inf)),
    "infinite-margin": Effect(("SPECIAL-8", ""), changes.endless_margin(np.inf)),
    "minus-infinite-margin": Effect(("SPECIAL-8", "SPECIAL-8"), changes.endless_margin(-np.inf)),
    "subnormal": Effect(("SPECIAL-5", "SPECIAL-5"), changes.smallest, flushed=True),
    "subnormal-squares": Effect(("SPECIAL-5", ""), changes.subnormal_squares, flushed=True),
    "subnormal-weights": Effect(("SPECIAL-5", "SPECIAL-5"), changes.smallest_weights, flushed=True),
    "subnormal-logits": Effect(("", "SPECIAL-5"), changes.smallest_logits, flushed=True),
    "large": Effect(("SPECIAL-6", "SPECIAL-6"), changes.largest),
    "unused-weight-nan": Effect(("WEIGHT-4", "WEIGHT-4"), changes.unused_weight(np.nan)),
    "unused-weight-infinite": Effect(("WEIGHT-4", "WEIGHT-4"), changes.unused_weight(np.inf)),
    "used-weight-nan": Effect(("WEIGHT-1", "GRADIENT-7"), infinities.used_weight(np.nan)),
    "used-weight-infinite": Effect(("WEIGHT-1", "GRADIENT-7"), infinities.used_weight(np.inf)),
    "used-weight-minus-infinite": Effect(("WEIGHT-1", "GRADIENT-7"), infinities.used_weight(-np.inf)),
    "empty-none": Effect(("SHAPE-6", "SHAPE-9"), no_rows.empty(("none",))),
    "empty-sum": Effect(("SHAPE-7", "SHAPE-9"), no_rows.empty(("sum",))),
    "empty-mean": Effect(("SHAPE-8", "SHAPE-9"), no_rows.empty(("mean",))),
}
TESTS: dict[str, Callable[[], Test]] = {
    "held": lambda: _held,
    "nan": lambda: _following,
    "empty-sum": lambda: _after_infinite,
    "empty-mean": _repeated,
    "infinite-margin": lambda: _unless_rejected,
    "minus-infinite-margin": lambda: _unless_rejected,
}
# Not placed elsewhere: those of one class too.
STAYING = {*TESTS, *(name for name in EFFECTS if name.startswith("single"))} - {"nan", "empty-sum", "empty-mean"}
KEPT: dict[str, tuple[str, ...]] = {  # what may be answered without computing, and of which parts; not without a number
    "zero-grad-output": ("gradient",),
    "zero-weights": ("loss", "gradient"),
    "all-masked": ("loss", "gradient"),
    "single-infinite": ("loss", "gradient"),
    "single-minus-infinite": ("loss", "gradient"),
    "empty-sum": ("loss",),
    "empty-mean": ("loss",),
}
AMONG_MOST = (
    "same-target",
    "sorted-targets",
    "wide-margin",
    "grad-output-infinite",
    "ties",
    "ties-at-large-margin",
    "masked",
    "infinite",
    "infinite-target",
    "infinite-loss",
    "nan",
    "subnormal",
    "subnormal-logits",
    "large",
    "unused-weight-nan",
)
ELSEWHERE = ("held", "infinite-margin", "minus-infinite-margin")  # what is judged by more than its result
AMONG = {
    name: MANY if name in AMONG_MOST else FEWER + FEWER[1:] + FEWER[:1] if name == "fine" else FEWER  # either power
    for name in EFFECTS
    if name not in ELSEWHERE and not name.startswith(("empty", "single"))
}
CLAUSES: dict[str, list[str]] = {"PURITY-4": [f"{name}, overwritten by the caller" for name in KEPT]}
for _name, _effect in EFFECTS.items():
    for _clause in dict.fromkeys(filter(None, _effect.clauses)):
        CLAUSES.setdefault(_clause, []).append(f"{_name} in every context")
