"""What the vectors' numbers are drawn from, and the covering arrays of their options."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest

from multimargin_vectors.families.covering import FACTORS, pairwise
from multimargin_vectors.splitmix import integers, words


def test_splitmix64_gives_the_published_words() -> None:
    assert words(1234567, 5).tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


def test_splitmix64_is_counter_based() -> None:
    assert words(7, 100)[:13].tolist() == words(7, 13).tolist()
    assert words(7, 0).tolist() == []
    golden = 0x9E3779B97F4A7C15
    assert words((7 + golden) % 2**64, 12).tolist() == words(7, 13)[1:].tolist()


def test_recipe_integers_come_from_the_upper_half() -> None:
    assert integers(1234567, 5, 1000).tolist() == [(w >> 32) % 1000 for w in words(1234567, 5).tolist()]


def uncovered(factors: dict[str, tuple[Any, ...]]) -> int:
    rows = pairwise(factors)
    seen = {(a, row[a], b, row[b]) for row in rows for a, b in combinations(factors, 2)}
    wanted = {(a, i, b, j) for a, b in combinations(factors, 2) for i in factors[a] for j in factors[b]}
    assert all(set(row) == set(factors) for row in rows)
    return len(wanted - seen)


@pytest.mark.parametrize(
    "factors",
    [
        FACTORS,
        {"a": (1, 2), "b": ("x", "y")},
        {"a": (0,), "b": (1, 2, 3), "c": (None, ())},
        {n: tuple(range(5)) for n in "abcdef"},
        {"wide": tuple(range(17)), "a": (0, 1), "b": (0, 1), "c": (0, 1)},
    ],
)
def test_pairwise_covers_every_pair(factors: dict[str, tuple[Any, ...]]) -> None:
    assert uncovered(factors) == 0


def test_pairwise_is_deterministic_and_short() -> None:
    assert pairwise(FACTORS) == pairwise(FACTORS)
    largest = sorted((len(v) for v in FACTORS.values()), reverse=True)
    assert len(pairwise(FACTORS)) <= 2 * largest[0] * largest[1]
