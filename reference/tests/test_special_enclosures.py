"""What infinities and NaN among the arguments lead to (SPEC.md, A.14): which kinds of result are legal."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from multimargin_reference.case import Case
from multimargin_reference.enclosures import enclosure, gradient_enclosure
from multimargin_reference.interval import Interval, point

INF, NAN = math.inf, math.nan
ETA = 2.0**-149
KINK = float(np.float32(-0.1))  # z = 0.1 - 0 + x[i], where the sign cannot be decided


def kinds(interval: Interval) -> str:
    """Return "0" or "finite" for an interval, and the special values beside it."""
    finite = [] if interval.lo is None else ["0" if interval.lo == interval.hi == 0 else "finite"]
    return " ".join([*finite, *sorted(interval.also)])


def case(*rows: list[float], w: float | list[float] | None = None, g: float | None = None, **options: Any) -> Case:
    """A float32 call whose targets are class 0; w: the weight of class 0, or of each row's own target."""
    x = np.array(rows, np.float32)
    weights, targets = None, np.zeros(len(rows), np.int64)
    if isinstance(w, list):
        targets, weights = np.arange(len(rows)), np.ones(x.shape[1], np.float32)
        weights[: len(w)] = w
    elif w is not None:
        weights = np.full(x.shape[1], w, np.float32)
    return Case(x, targets, weight=weights, grad_output=None if g is None else np.array(g, np.float32), **options)


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize(
    ("call", "legal"),
    [
        (case([0, INF, 0.5]), "inf"),
        (case([-INF, 0, 0.5]), "inf"),
        (case([0, -INF, 0.5]), "finite"),
        (case([0, -INF, -2]), "0"),
        (case([0, NAN, 0.5]), "finite nan"),
        (case([INF, INF, 0.5]), "0 nan"),
        (case([0, INF, NAN]), "inf nan"),
        (case([0, INF, 0.5], w=-2), "-inf"),
        (case([0, INF, 0.5], w=0), "0 nan"),
        (case([0, INF, 0.5], w=3 * ETA), "inf nan"),  # w / 3 may underflow before it meets infinity
        (case([0, INF, 0.5], w=4 * ETA), "inf"),
        (case([0, INF, 0.5], w=NAN), "nan"),
        (case([0, INF, 0.5], w=INF), "inf"),
        (case([0, 0.5, -2], w=INF), "inf nan"),
        (case([0, 0.5, -2], w=-INF), "-inf nan"),
        (case([0, 0.5, -2], w=NAN), "nan"),
        (case([0, -2, -2], w=INF), "0 nan"),
        (case([0, -2, -2], w=NAN), "0 nan"),
        (case([0, NAN, -2], w=2), "0 nan"),
        # an active term that may underflow to 0 before it meets the weight, or be none; what is finite is within 2 eta
        (case([0, 3 * ETA, -2], w=INF, margin=0.0), "finite inf nan"),
        (case([0, KINK, -2], w=INF, margin=0.1), "finite inf nan"),
        (case([0, KINK, 2], w=INF, margin=0.1), "inf nan"),
        # sums
        (case([0, INF], [2, 0.5], reduction="sum"), "inf"),
        (case([0, INF], [INF, 0], w=[1, 2], reduction="sum"), "inf"),
        (case([0, INF], [INF, 0], w=[1, -2], reduction="sum"), "nan"),
        (case([0, INF], [INF, 0], w=[1, 0], reduction="mean"), "inf nan"),
        (case([0, NAN], [INF, 0], w=[1, -1], reduction="mean"), "-inf nan"),
        (case([0, NAN], [0, -2], reduction="mean"), "0 nan"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_loss(call: Case, legal: str, p: int) -> None:
    found = enclosure(Case(call.input, call.target, p, call.margin, call.weight, call.reduction))
    assert kinds(found) == legal


def test_a_tiny_z_that_only_its_square_makes_vanish() -> None:
    row = [0.0, 2.0**-80, -2.0]
    assert kinds(enclosure(case(row, w=INF, margin=0.0))) == "inf nan"
    assert kinds(enclosure(case(row, w=INF, margin=0.0, p=2))) == "finite inf nan"


def test_opposite_infinities_by_argument_and_by_overflow() -> None:
    call = case([0, INF], [3e38, 0], w=[1, -3], reduction="sum", margin=0.0)
    assert kinds(enclosure(call)) == "-inf inf nan"
    call = case([0, INF], [0, 3e38], w=[0, 3], reduction="sum", margin=-3e38)
    assert kinds(enclosure(call)) == "0 nan"


@pytest.mark.parametrize(
    ("call", "legal"),
    [
        (case([0, INF, 0.5], g=1), ["finite", "finite", "finite"]),
        (case([0, INF, -2], g=1, w=0), ["0", "0", "0"]),
        (case([0, INF, 0.5], g=1, p=2), ["-inf", "inf", "finite"]),
        (case([0, INF, 0.5], g=-1, p=2), ["inf", "-inf", "finite"]),
        (case([0, INF, 0.5], g=1, w=0, p=2), ["0 nan", "0 nan", "0"]),
        (case([0, INF, -2], g=0, p=2), ["0 nan", "0 nan", "0"]),
        (case([0, INF, -2], g=1, w=3 * ETA, p=2), ["-inf nan", "inf nan", "0"]),
        (case([0, INF, -2], g=1, w=4 * ETA, p=2), ["-inf", "inf", "0"]),
        (case([0, INF, INF], g=1, p=2), ["-inf", "inf", "inf"]),
        (case([-INF, 0, 0.5], g=1), ["finite", "finite", "finite"]),
        (case([-INF, 0, -INF], g=1, p=2), ["-inf nan", "inf", "0 nan"]),
        (case([0, -INF, 0.5], g=1), ["finite", "0", "finite"]),
        (case([0, NAN, 0.5], g=1), ["finite nan", "finite 0 nan", "finite"]),
        (case([0, NAN, 0.5], g=-1), ["finite nan", "finite 0 nan", "finite"]),
        (case([0, NAN, -2], g=1, p=2), ["finite nan", "0 nan", "0"]),
        (case([0, NAN, -2], g=0), ["0 nan", "0 nan", "0"]),
        (case([0, NAN, 0.5], g=1, w=0, p=2), ["0 nan", "0 nan", "0"]),
        (case([INF, INF, 0.5], g=1), ["finite nan", "finite 0 nan", "0"]),
        (case([0, NAN, INF], g=1, p=2), ["-inf nan", "0 nan", "inf"]),
    ],
    ids=lambda v: ",".join(v) if isinstance(v, list) else "",
)
def test_gradient(call: Case, legal: list[str]) -> None:
    assert [kinds(i) for i in gradient_enclosure(call)[0]] == legal


def test_an_undefined_element_is_zero_or_active() -> None:
    for sign in (1, -1):
        [[target, undefined, _]] = gradient_enclosure(case([0, NAN, -2], g=sign))
        for legal in (0.0, sign / 3):
            assert undefined.contains(float(np.float32(legal)))
            assert target.contains(-float(np.float32(legal)))
        assert not undefined.contains(sign / 6)
        assert not undefined.contains(-sign / 3)


def test_an_exact_gradient_is_0_at_a_logit_of_minus_infinity() -> None:
    """Twice this grad_output is the largest number. Nothing rounds, so it does not overflow, and 0 times it is 0."""
    largest = float(np.finfo(np.float32).max)
    found = gradient_enclosure(case([0, 0.5, -2, -INF], g=largest / 2, p=2, margin=0.0))[0]
    active = Fraction(largest) / 8
    assert found == [point(-active), point(active), point(Fraction(0)), point(Fraction(0))]


FIVE = [0.0, 0.5, -2.0, INF, NAN]


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize(
    ("call", "legal"),
    [
        (case(FIVE, g=INF), ["-inf nan", "inf", "0 nan", "inf", "0 inf nan"]),
        (case(FIVE, g=-INF), ["inf nan", "-inf", "0 nan", "-inf", "-inf 0 nan"]),
        (case(FIVE, g=1, w=INF), ["-inf nan", "inf", "0 nan", "inf", "0 inf nan"]),
        (case(FIVE, g=-1, w=INF), ["inf nan", "-inf", "0 nan", "-inf", "-inf 0 nan"]),
        (case(FIVE, g=NAN), ["nan", "nan", "0 nan", "nan", "0 nan"]),
        (case(FIVE, g=INF, w=0), ["nan", "nan", "0 nan", "nan", "0 nan"]),
        (case(FIVE, g=INF, w=5 * ETA), ["-inf nan", "inf nan", "0 nan", "inf nan", "0 inf nan"]),
        (case([0, -2, -INF], g=INF), ["0 nan", "0 nan", "0 nan"]),
        (case([0, NAN, -2], g=INF), ["-inf 0 nan", "0 inf nan", "0 nan"]),
        (case([0, INF, -2], g=INF), ["-inf nan", "inf", "0 nan"]),
        (case([0, 0.5, -2], g=INF), ["-inf nan", "inf", "0 nan"]),
    ],
    ids=lambda v: ",".join(v) if isinstance(v, list) else "",
)
def test_gradient_of_a_special_factor(call: Case, legal: list[str], p: int) -> None:
    changed = Case(call.input, call.target, p, call.margin, call.weight, call.reduction, call.grad_output)
    assert [kinds(i).replace("0 -inf", "-inf 0") for i in gradient_enclosure(changed)[0]] == legal


@pytest.mark.parametrize(
    ("row", "margin", "p", "legal"),
    [
        ([0, KINK, -2], 0.1, 1, ["0 -inf nan", "0 inf nan", "0 nan"]),
        ([0, 3 * ETA, -2], 0.0, 1, ["-inf nan", "inf", "0 nan"]),
        ([0, 3 * ETA, -2], 0.0, 2, ["-inf nan", "inf nan", "0 nan"]),  # z may underflow before it meets infinity
        ([0, 4 * ETA, 1], 0.0, 2, ["-inf nan", "inf", "inf"]),
    ],
)
def test_an_infinite_factor_beside_a_small_z(row: list[float], margin: float, p: int, legal: list[str]) -> None:
    found = gradient_enclosure(case(row, g=INF, margin=margin, p=p))[0]
    assert [kinds(i) for i in found] == legal
