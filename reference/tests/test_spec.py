"""SPEC.md and its clause table: current, well-formed, and every example true."""

from __future__ import annotations

import doctest
import re

import pytest

from multimargin_reference import spec
from multimargin_reference.clause_table.model import LEVELS, PROFILES, SOURCES
from multimargin_reference.clauses import CLAUSES, GROUPS, ROWS, Clause
from multimargin_reference.examples import namespace

EXPECTED_COUNTS = {
    "VALUE": 9,
    "WEIGHT": 5,
    "REDUCTION": 5,
    "SHAPE": 9,
    "DTYPE": 4,
    "GRADIENT": 11,
    "SPECIAL": 8,
    "REJECT": 12,
    "PURITY": 6,
    "CLASS": 9,
}
LEVEL_WORDS = {"MUST": r"\bMUST( NOT)?\b", "SHOULD": r"\bSHOULD( NOT)?\b"}
LARGEST_TITLE = 24  # characters: titles are columns of tables


@pytest.fixture(params=CLAUSES.values(), ids=CLAUSES.keys())
def clause(request: pytest.FixtureRequest) -> Clause:
    value: Clause = request.param
    return value


# torch.compile itself instantiates a class that torch deprecates (2.13)
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_example_gives_what_it_says(clause: Clause) -> None:
    if "import torch" in clause.example or ", torch" in clause.example:
        pytest.importorskip("torch")
    test = doctest.DocTestParser().get_doctest(clause.example + "\n", namespace(), clause.id, "SPEC.md", 0)
    failures: list[str] = []
    result = doctest.DocTestRunner(verbose=False).run(test, out=failures.append)
    assert result.attempted > 0
    assert result.failed == 0, "".join(failures)


def test_example_is_one_block(clause: Clause) -> None:
    assert clause.example.startswith(">>> ")
    assert "\n\n" not in clause.example
    assert max(len(line) for line in clause.example.splitlines()) <= 120


def test_sentence_is_one_statement_of_its_level(clause: Clause) -> None:
    assert re.search(LEVEL_WORDS[clause.level], clause.sentence)
    assert clause.sentence.endswith(".")
    assert ". " not in clause.sentence
    others = [word for level, word in LEVEL_WORDS.items() if level != clause.level]
    assert not any(re.search(word, clause.sentence) for word in others)


def test_fields_are_known_words(clause: Clause) -> None:
    assert clause.level in LEVELS
    assert clause.profile in PROFILES
    assert set(clause.source.split(", ")) <= set(SOURCES)
    assert 0 < len(clause.title) <= LARGEST_TITLE
    assert clause.label == f"{clause.id} {clause.title}"
    assert clause.id == f"{clause.group}-{clause.id.rsplit('-', 1)[1]}"


def test_every_group_is_numbered_without_a_gap() -> None:
    assert tuple(EXPECTED_COUNTS) == GROUPS
    expected = [f"{group}-{k}" for group, count in EXPECTED_COUNTS.items() for k in range(1, count + 1)]
    assert expected == list(CLAUSES)
    assert all(key == c.id for key, c in CLAUSES.items())


def test_ids_and_titles_are_unique() -> None:
    assert len(ROWS) == len({c.id for c in ROWS}) == len(CLAUSES)
    assert len({(c.group, c.title) for c in ROWS}) == len(ROWS)


def test_the_file_is_current(capsys: pytest.CaptureFixture[str]) -> None:
    assert spec.main(["--check"]) == 0, capsys.readouterr().err


def test_a_stale_file_is_reported_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(spec, "rendered", lambda: "another text\n")
    assert spec.main(["--check"]) == 1
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "SPEC.md" in message


def test_no_marker_is_left() -> None:
    assert "@@" not in spec.rendered()


def test_every_clause_is_printed_with_its_label() -> None:
    text = spec.rendered()
    assert [c.label for c in CLAUSES.values() if f"#### {c.label}\n" not in text] == []


def test_clauses_cited_in_the_text_exist() -> None:
    cited = set(re.findall(rf"\b(?:{'|'.join(GROUPS)})-\d+\b", spec.TEMPLATE.read_text(encoding="utf-8")))
    assert cited - set(CLAUSES) == set()
