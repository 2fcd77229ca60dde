"""A search for counterexamples: random legal evaluations in small formats against the enclosures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from math import inf, nan
from random import Random

import pytest

from multimargin_reference import oracle
from multimargin_reference.arithmetic import Real
from multimargin_reference.exact_grid import gradient_is_exact, loss_is_exact
from multimargin_reference.formats import FORMATS, Format, power_of_two
from multimargin_reference.gradient_enclosure import gradient_rows
from multimargin_reference.interval import Interval
from multimargin_reference.legal_evaluation import legal_gradient, legal_loss, rounded
from multimargin_reference.loss_enclosure import loss_intervals
from multimargin_reference.problem import ONE, ZERO, Problem

SMALL = (
    Format("two bits", 2, -4, 5),
    Format("three bits", 3, -4, 5),
    Format("four bits", 4, -5, 6),
    Format("five bits, wide", 5, -20, 20),
    Format("six bits", 6, -6, 8),
    Format("eight bits", 8, -9, 9),
)
PROBLEMS = 30  # a seed
EVALUATIONS = 10  # a problem, of the loss and of the gradient each
SEEDS = range(12)


@dataclass(frozen=True)
class Palette:
    """Where a problem's numbers come from: multiples of 2**low up to `bits` bits, negative ones too."""

    low: int
    bits: int

    def number(self, fmt: Format, random: Random) -> Fraction:
        """A number of the format."""
        value = random.randint(-(1 << self.bits), 1 << self.bits) * power_of_two(self.low)
        result = rounded(value, fmt)
        return result if isinstance(result, Fraction) else fmt.largest


def anything(fmt: Format, random: Random) -> Fraction:
    """A number of the format with a uniformly drawn exponent, zero, or an extreme one."""
    special = random.random()
    if special < 0.1:
        return random.choice((ZERO, fmt.eta, fmt.largest, -fmt.largest, fmt.smallest_normal, -fmt.eta))
    digits = random.randint(1 << (fmt.precision - 1), (1 << fmt.precision) - 1)
    exponent = random.randint(fmt.emin - fmt.precision + 1, fmt.emax) - fmt.precision + 1
    result = rounded(random.choice((-1, 1)) * digits * power_of_two(exponent), fmt)
    assert isinstance(result, Fraction)
    return result


def a_margin(fmt: Format, palette: Palette, random: Random) -> Fraction:
    """Representable, between two numbers, below the subnormals, zero, negative or large."""
    kind = random.randrange(6)
    if kind == 0:
        return Fraction(random.randint(-9, 9), 10) * fmt.eta
    if kind == 1:
        return anything(fmt, random) * Fraction(random.randint(900, 1000), 1000)
    if kind == 2:
        return palette.number(fmt, random) + Fraction(random.randint(-9, 9), 10) * fmt.eta
    return palette.number(fmt, random)


def a_factor(fmt: Format, random: Random) -> Fraction:
    """A weight or grad_output: one, a power of two, anything, zero."""
    kind = random.randrange(4)
    if kind == 0:
        return ONE
    if kind == 1:
        return random.choice((-1, 1)) * power_of_two(random.randint(fmt.emin - fmt.precision + 1, fmt.emax))
    return ZERO if random.random() < 0.15 else anything(fmt, random)


def a_logit(fmt: Format, palette: Palette, margin: Fraction, xy: Fraction, random: Random) -> Fraction:
    """From the palette, anything, or on or beside the kink."""
    kind = random.randrange(5)
    if kind == 0:
        near = rounded(xy - margin, fmt)
        if isinstance(near, Fraction):
            near += random.randint(-2, 2) * fmt.ulp(near)
            return near if abs(near) <= fmt.largest else xy
    return anything(fmt, random) if kind == 1 else palette.number(fmt, random)


def a_problem(fmt: Format, random: Random, flush: bool = False) -> Problem:
    """Draw one; a quarter of them with powers of two for C, N and factors, so that exact grids are met often."""
    neat = random.random() < 0.3
    classes, rows = (random.choice((1, 2, 4)), random.choice((1, 2))) if neat else draw_shape(fmt, random)
    scale = random.randint(fmt.emin - fmt.precision + 1, fmt.emax - 1)
    palette = Palette(scale, random.randint(1, fmt.precision))
    margin = palette.number(fmt, random) if neat else a_margin(fmt, palette, random)
    targets = [palette.number(fmt, random) for _ in range(rows)]
    logits = [[a_logit(fmt, palette, margin, xy, random) for _ in range(classes)] for xy in targets]
    places = tuple(random.randrange(classes) for _ in range(rows))
    for row, xy, y in zip(logits, targets, places, strict=True):
        row[y] = xy
    weighted, scaled = random.random() < 0.6, random.random() < 0.6
    return Problem(
        rows=tuple(tuple(row) for row in logits),
        targets=places,
        weights=tuple(a_factor(fmt, random) if weighted else ONE for _ in range(rows)),
        grads=tuple(a_factor(fmt, random) if scaled else ONE for _ in range(rows)),
        margin=margin,
        p=random.choice((1, 2)),
        reduction=random.choice(("none", "mean", "sum")),
        format=fmt,
        flush=flush,
    )


def draw_shape(fmt: Format, random: Random) -> tuple[int, int]:
    """C and N with N C within the format, as in-dtype scaling needs."""
    classes, rows = random.randint(1, 6), random.randint(1, 3)
    return (classes, rows) if classes * rows <= fmt.largest else (classes, 1)


def in_domain(problem: Problem) -> bool:
    """Whether margin rounds to a finite number."""
    return isinstance(problem.format.round(problem.margin), Fraction)


def counterexamples(problem: Problem, random: Random, evaluations: int) -> Iterator[str]:
    """Evaluate legally, and describe every result that the enclosures deny."""
    losses, gradients = loss_intervals(problem), gradient_rows(problem)
    for _ in range(evaluations):
        yield from _denied("loss", legal_loss(problem, random), losses, problem)
        for i, (row, intervals) in enumerate(zip(legal_gradient(problem, random), gradients, strict=True)):
            yield from _denied(f"gradient[{i}]", row, intervals, problem)


def _denied(name: str, results: list[Real], intervals: list[Interval], problem: Problem) -> Iterator[str]:
    for i, (result, interval) in enumerate(zip(results, intervals, strict=True)):
        if not interval.contains(result):
            yield f"{name}[{i}]={result}, but should be in {interval}: {problem}"


def problems(random: Random, *, flush: bool = False) -> Iterator[Problem]:
    """Draw problems in all small formats."""
    for i in range(PROBLEMS):
        drawn = a_problem(SMALL[i % len(SMALL)], random, flush)
        if in_domain(drawn):
            yield drawn


def with_specials(problem: Problem, random: Random) -> Problem:
    """Put infinities and NaNs among the logits, the weights or grad_output."""
    at, value = random.randrange(len(problem.rows)), random.choice((inf, -inf, nan))
    kind = random.randrange(4)
    if kind == 0:
        return replace(problem, weights=tuple(value if i == at else w for i, w in enumerate(problem.weights)))
    if kind == 1:
        return replace(problem, grads=tuple(value if i == at else g for i, g in enumerate(problem.grads)))
    drawn = [[random.choice((inf, -inf, nan)) if random.random() < 0.2 else x for x in row] for row in problem.rows]
    return replace(problem, rows=tuple(tuple(row) for row in drawn))


def exact_loss(problem: Problem) -> list[Real]:
    """The oracle's loss."""
    figures = zip(problem.rows, problem.targets, problem.weights, strict=True)
    rows = [oracle.row_loss(x, y, problem.p, problem.margin, w) for x, y, w in figures]
    sums = rows if problem.reduction == "none" else [sum(rows, ZERO)]
    return [s / problem.divisor for s in sums]


def exact_gradient_row(problem: Problem, index: int) -> list[Real]:
    """The oracle's gradient of one row."""
    x, y, w, g = (part[index] for part in (problem.rows, problem.targets, problem.weights, problem.grads))
    assert isinstance(g, Fraction)
    return oracle.row_gradient(x, y, problem.p, problem.margin, w, g / problem.divisor)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("flush", [False, True])
def test_legal_results_are_in_the_enclosures(seed: int, flush: bool) -> None:
    random = Random(seed)
    for problem in problems(random, flush=flush):
        assert not list(counterexamples(problem, random, EVALUATIONS))


@pytest.mark.parametrize("seed", SEEDS)
def test_legal_results_of_special_values_are_in_the_enclosures(seed: int) -> None:
    random = Random(seed)
    for problem in problems(random):
        # A margin that takes a finite partial sum to infinity beside an infinite logit is left out: inf - inf.
        if abs(problem.margin) <= problem.format.largest * problem.format.u / 2:
            assert not list(counterexamples(with_specials(problem, random), random, EVALUATIONS))


def test_exact_grids_are_points_and_nothing_rounds() -> None:
    random, losses, gradients = Random(0), 0, 0
    for problem in (p for _ in range(20) for p in problems(random)):
        results = legal_loss(problem, random)
        [interval, *_] = loss_intervals(problem)
        everything = range(len(problem.rows))
        if problem.reduction != "none" and not interval.also and loss_is_exact(problem, everything):
            losses += 1
            assert results == exact_loss(problem) == [interval.lo] == [interval.hi]
        rows = legal_gradient(problem, random)
        for i in range(len(rows)):
            if gradient_is_exact(problem, i):
                gradients += 1
                assert rows[i] == exact_gradient_row(problem, i)
    assert (losses, gradients) > (10, 100)  # the search has met what it is about


def test_the_oracle_is_in_the_enclosures() -> None:
    random = Random(1)
    for problem in (p for _ in range(10) for p in problems(random)):
        for value, interval in zip(exact_loss(problem), loss_intervals(problem), strict=True):
            assert interval.contains(value) or abs(value) > problem.format.largest
        for i, row in enumerate(gradient_rows(problem)):
            for value, interval in zip(exact_gradient_row(problem, i), row, strict=True):
                assert interval.contains(value) or abs(value) > problem.format.largest


@pytest.mark.parametrize("fmt", [*SMALL, *FORMATS.values()], ids=lambda f: f.name)
def test_two_ways_to_round_agree(fmt: Format) -> None:
    random = Random(0)
    for _ in range(500):
        near = anything(fmt, random)
        value = near + random.choice((ZERO, ONE / 2, -ONE / 2, ONE / 3, ONE / 7)) * fmt.ulp(near)
        assert rounded(value, fmt) == fmt.round(value)
        assert fmt.represents(near)
    assert rounded(fmt.overflow_threshold, fmt) == fmt.round(fmt.overflow_threshold) == inf
    assert rounded(-fmt.overflow_threshold, fmt) == -inf
