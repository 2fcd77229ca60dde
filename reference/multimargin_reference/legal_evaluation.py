"""Random legal evaluations of a problem in any small format, to search for results outside the enclosures.

Everything that SPEC.md's appendix A calls a legal evaluation is drawn at random: association, fusion and widening,
the place of the weight, the order of summation, how and where C and N divide, the target's own gradient term,
flushing. Values are exact (`Fraction`, or a float for nan and infinities); only `Draw.fl` rounds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from random import Random

from multimargin_reference.arithmetic import Real, product, total
from multimargin_reference.formats import Format
from multimargin_reference.problem import ONE, ZERO, Problem

TWO = Fraction(2)


@dataclass(frozen=True)
class Divide:
    """A factor 1 / value that is still a division."""

    value: Real


Factor = Real | Divide


def add(a: Real, b: Real) -> Real:
    """Add two numbers as IEEE arithmetic does, exactly."""
    return a + b if isinstance(a, Fraction) and isinstance(b, Fraction) else total([a, b])


def multiply(a: Real, b: Real) -> Real:
    """Multiply two numbers as IEEE arithmetic does, exactly."""
    return a * b if isinstance(a, Fraction) and isinstance(b, Fraction) else product(a, b)


def rounded(value: Real, fmt: Format) -> Real:
    """Round to nearest, ties to even: the same as `Format.round`, derived apart from it and six times as fast."""
    if not isinstance(value, Fraction) or not value:
        return value
    n, d = abs(value.numerator), value.denominator
    e = n.bit_length() - d.bit_length()  # 2**(e - 1) < n / d < 2**(e + 1)
    e -= (d << e) > n if e >= 0 else d > n << -e
    e = max(e, fmt.emin) - fmt.precision + 1
    n, d = (n, d << e) if e >= 0 else (n << -e, d)
    q, rest = divmod(n, d)
    q += 2 * rest > d or (2 * rest == d and q & 1)
    result = Fraction(q << e) if e >= 0 else Fraction(q, 1 << -e)
    result = result if value > 0 else -result
    return result if abs(result) <= fmt.largest else math.inf if value > 0 else -math.inf


class Draw:
    """The choices of one evaluation, drawn from `random`; `loss` and `gradient` may be called once each or often."""

    def __init__(self, problem: Problem, random: Random) -> None:
        self.problem = problem
        self.random = random
        self.wide = random.choice((0.0, 0.0, 0.0, 0.1, 0.5, 1.0))  # how often an operation is kept exact
        self.flush = problem.flush and random.random() < 0.8
        self.together = random.random() < 0.5  # one tree of multiplications for all terms
        self.order = random.choice(ORDERS)
        self.propagates = random.random() < 0.5  # a NaN in z; otherwise it is dropped, as not greater than zero
        self.association = random.randrange(4)
        self.masks = (
            random.random() < 0.3
        )  # an inactive gradient element is a zero that the factors are multiplied with
        self.rounds_margin = random.random() < 0.6
        rows, classes = len(problem.rows), len(problem.rows[0])
        self.scales = self._scales(classes, rows if problem.reduction == "mean" else 1)

    def one_of(self, *options: str) -> str:
        """Draw one."""
        return self.random.choice(options)

    def fl(self, value: Real) -> Real:
        """Round, or keep the exact value for an operation that is widened or fused with the next one."""
        return value if self.wide and self.random.random() < self.wide else self.finish(value)

    def finish(self, value: Real) -> Real:
        """Round into the format, flushing subnormals where this evaluation does."""
        result = rounded(value, self.problem.format)
        if not self.flush or isinstance(result, float):
            return result
        return result if abs(result) >= self.problem.format.smallest_normal else ZERO

    def read(self, value: Real) -> Real:
        """An argument as an evaluation that flushes may see it."""
        return self.finish(value) if self.flush else value

    def _scales(self, classes: int, rows: int) -> list[Factor]:
        """C and N as factors: divisions, rounded reciprocals, or one factor for both."""
        c, n = self.fl(Fraction(classes)), self.fl(Fraction(rows))
        if self.random.random() < 0.4:
            c = self.fl(multiply(c, n)) if self.random.random() < 0.5 else self.fl(Fraction(classes * rows))
            n = ONE
        scales: list[Factor] = [Divide(c), *([Divide(n)] if n != 1 else [])]
        if self.random.random() < 0.5:
            scales = [self.divide(ONE, s.value) if isinstance(s, Divide) else s for s in scales]
        return scales

    def divide(self, a: Real, b: Real) -> Real:
        """Divide and round; the divisor is never zero."""
        if isinstance(b, Fraction):
            return self.fl(multiply(a, 1 / b))
        return math.nan if isinstance(a, float) else ZERO

    def times(self, a: Factor, b: Factor) -> Factor:
        """Multiply two factors and round."""
        if isinstance(b, Divide):
            a, b = b, a
        if not isinstance(a, Divide):
            assert not isinstance(b, Divide)
            return self.fl(multiply(a, b))
        return Divide(self.fl(multiply(a.value, b.value))) if isinstance(b, Divide) else self.divide(b, a.value)

    def folded(self, factors: Sequence[Factor], random: Random) -> Real:
        """Multiply in a random association."""
        left: list[Factor] = list(factors)
        while len(left) > 1:
            a = left.pop(random.randrange(len(left)))
            i = random.randrange(len(left))
            left[i] = self.times(a, left[i])
        result = left[0]
        return self.divide(ONE, result.value) if isinstance(result, Divide) else result

    def tree(self, seed: float) -> Random:
        """The choices of one term's multiplications: the same for all terms, or each term its own."""
        return Random(seed) if self.together else self.random

    def difference(self, xy: Real, xi: Real) -> Real:
        """Form margin - x[y] + x[i] in this evaluation's association; the margin is rounded first, or kept wide."""
        m = self.problem.margin
        m, xy, xi = self.finish(m) if self.rounds_margin else self.read(m), self.read(xy), self.read(xi)
        minus = -xy
        if self.association == 0:
            return self.fl(add(self.fl(add(m, minus)), xi))
        if self.association == 1:
            return self.fl(add(m, self.fl(add(minus, xi))))
        if self.association == 2:
            return self.fl(add(self.fl(add(m, xi)), minus))
        return self.fl(total([m, minus, xi]))

    def active(self, z: Real) -> bool:
        """Whether a term counts."""
        return z > 0 or (self.propagates and z != z)

    def added(self, terms: Sequence[Real]) -> Real:
        """Add in this evaluation's order."""
        return self.order(self, terms) if terms else ZERO

    def split(self, factors: Sequence[Factor]) -> tuple[list[Factor], list[Factor]]:
        """Draw which factors are applied early; the rest is applied late."""
        drawn = [(f, self.random.random() < 0.5) for f in factors]
        return [f for f, early in drawn if early], [f for f, early in drawn if not early]


def _sequential(draw: Draw, terms: Sequence[Real]) -> Real:
    result = terms[0]
    for t in terms[1:]:
        result = draw.fl(add(result, t))
    return result


def _reverse(draw: Draw, terms: Sequence[Real]) -> Real:
    return _sequential(draw, terms[::-1])


def _ascending(draw: Draw, terms: Sequence[Real]) -> Real:
    return _sequential(draw, sorted(terms, key=lambda t: (t != t, t)))


def _descending(draw: Draw, terms: Sequence[Real]) -> Real:
    return _sequential(draw, sorted(terms, key=lambda t: (t != t, -t)))


def _pairwise(draw: Draw, terms: Sequence[Real]) -> Real:
    if len(terms) < 2:
        return terms[0]
    middle = (len(terms) + 1) // 2
    return draw.fl(add(_pairwise(draw, terms[:middle]), _pairwise(draw, terms[middle:])))


def _lanes(draw: Draw, terms: Sequence[Real]) -> Real:
    lanes = [_sequential(draw, terms[i::2]) for i in range(min(2, len(terms)))]
    return _sequential(draw, lanes)


def _tree(draw: Draw, terms: Sequence[Real]) -> Real:
    left = list(terms)
    while len(left) > 1:
        a = left.pop(draw.random.randrange(len(left)))
        i = draw.random.randrange(len(left))
        left[i] = draw.fl(add(a, left[i]))
    return left[0]


ORDERS: tuple[Callable[[Draw, Sequence[Real]], Real], ...] = (
    _sequential,
    _reverse,
    _ascending,
    _descending,
    _pairwise,
    _lanes,
    _tree,
)


def legal_loss(problem: Problem, random: Random) -> list[Real]:
    """Evaluate the loss legally: one number a row for "none", else one."""
    draw = Draw(problem, random)
    n = len(problem.rows)
    by_term, later = draw.split(draw.scales)
    by_row, at_end = draw.split(later)
    weight_late = random.random() < 0.4
    flat = problem.reduction != "none" and not weight_late and not by_row and random.random() < 0.5
    seed = random.random()
    terms = [_row_losses(draw, i, by_term, weight_late, seed) for i in range(n)]
    if flat:
        return [draw.finish(draw.folded([draw.added([t for row in terms for t in row]), *at_end], random))]
    rows: list[Real] = []
    for i, row in enumerate(terms):
        late: list[Factor] = [draw.read(problem.weights[i])] if weight_late else []
        rows.append(draw.folded([draw.added(row), *late, *by_row], random))
    if problem.reduction != "none":
        return [draw.finish(draw.folded([draw.added(rows), *at_end], random))]
    return [draw.finish(draw.folded([row, *at_end], random)) for row in rows]


def _row_losses(draw: Draw, index: int, scales: list[Factor], weight_late: bool, seed: float) -> list[Real]:
    """The terms of one row, times what is applied to each term; masked terms are zeros or left out."""
    problem, y = draw.problem, draw.problem.targets[index]
    logits = problem.rows[index]
    factors: list[Factor] = [] if weight_late else [draw.read(problem.weights[index])]
    keeps_zeros = draw.random.random() < 0.5
    result: list[Real] = []
    for i, x in enumerate(logits):
        z = draw.difference(logits[y], x)
        if i != y and draw.active(z):
            result.append(draw.folded([*[z] * problem.p, *factors, *scales], draw.tree(seed)))
        elif keeps_zeros:
            result.append(ZERO)
    return result


def legal_gradient(problem: Problem, random: Random) -> list[list[Real]]:
    """Evaluate the gradient legally, in the shape (N, C)."""
    draw = Draw(problem, random)
    return [_row_gradient(draw, i) for i in range(len(problem.rows))]


def _row_gradient(draw: Draw, index: int) -> list[Real]:
    problem, y = draw.problem, draw.problem.targets[index]
    logits, slope = problem.rows[index], problem.p == 2
    factors: list[Factor] = [draw.read(problem.weights[index]), draw.read(problem.grads[index]), *draw.scales]
    factors += [TWO] if slope else []
    early, late = draw.split(factors)
    seed = draw.random.random()

    def element(x: Real, parts: Sequence[Factor]) -> Real | None:
        """None where inactive, and zero by selection."""
        z = draw.difference(logits[y], x)
        if not draw.active(z):
            return draw.folded([ZERO, *parts], draw.tree(seed)) if draw.masks else None
        return draw.folded([*([z] if slope or z != z else [ONE]), *parts], draw.tree(seed))

    partial = [element(x, early) for x in logits]
    full = [ZERO if p is None else draw.folded([p, *late], draw.tree(seed)) for p in partial]
    result = [draw.finish(v) for v in full]
    result[y] = draw.finish(_target(draw, y, partial, full, late))
    return result


def _target(draw: Draw, y: int, partial: list[Real | None], full: list[Real], late: list[Factor]) -> Real:
    """Minus the sum of the other elements, scaled before or after it; or of all, the own one taken away again."""
    after = draw.random.random() < 0.4
    terms = [ZERO if p is None else p for p in partial] if after else full
    others = [-t for i, t in enumerate(terms) if i != y]
    own = terms[y]
    choice = draw.one_of("mask", "mask", "start", "end", "tree")
    if choice == "mask" or own != own:  # a NaN that is the target's own (x[y] infinite) never counts
        value = draw.added(others)
    elif choice == "tree":
        value = draw.added([own, *others, -own])
    elif choice == "start":
        value = _sequential(draw, [own, *others[:y], -own, *others[y:]])
    else:
        value = draw.fl(add(draw.added([-own, *others]), own))
    return draw.folded([value, *late], draw.random) if after else value
