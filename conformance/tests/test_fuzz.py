"""Whatever a file or an answer holds: a valid object or one clear error, never anything else.

Valid data is changed in a few places. `make fuzz` tries many more examples than the tests do, and other ones each time.
"""

from __future__ import annotations

import copy
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from multimargin_conformance import UnknownCase, check
from multimargin_conformance.cases import find_case
from multimargin_conformance.expectations import ExpectationsError, load
from multimargin_conformance.isolation import integration
from multimargin_conformance.isolation.wire import Broken, observation, parsed
from multimargin_conformance.sharding import MergeError, merge
from multimargin_reference.known import FAULTS
from multimargin_reports import Report, ReportFileError, markdown, read, terminal
from multimargin_reports.jsonfile import from_json, to_json
from multimargin_vectors import VectorFileError, by_id
from multimargin_vectors.calls import read_call
from multimargin_vectors.store import DATA, read_file

EXAMPLES = int(os.environ.get("MULTIMARGIN_FUZZ", "0"))
FUZZ = settings(
    deadline=None,
    max_examples=EXAMPLES or 60,
    derandomize=not EXAMPLES,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
)
HOSTILE = st.sampled_from(
    [
        None,
        True,
        -1,
        0,
        1.5,
        1e308,
        2**70,
        "",
        "nan",
        "\x1b[2J",
        "../../etc/passwd",
        "a" * 300,
        [],
        {},
        [[]],
        {"": None},
    ]
)
EXPECTED = """
[[expected]]
clause = "SHAPE-7"
dtype = "float32"
version = ">=2.8,<2.14"
owner = "Ann"
link = "https://example.org/1"
reason = "uninitialised memory"
"""


@st.composite
def changed(draw: st.DrawFn, valid: Callable[[], Any]) -> Any:
    """Return valid JSON data with one to three values replaced, removed or moved elsewhere."""
    data = copy.deepcopy(valid())
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(data))
        if not places:
            return copy.deepcopy(draw(HOSTILE))
        container, key = draw(st.sampled_from(places))
        match draw(st.sampled_from(["replace", "remove", "move", "grow"])):
            case "replace":
                container[key] = copy.deepcopy(draw(HOSTILE))  # it may be changed later
            case "remove":
                del container[key]
            case "move":
                other, name = draw(st.sampled_from(places))
                if name in other if isinstance(other, dict) else name < len(other):
                    container[key] = copy.deepcopy(other[name])
            case "grow":
                container[key] = [copy.deepcopy(container[key])] * draw(st.integers(0, 3))
    return data


def _places(data: Any, deepest: int = 30) -> Iterator[tuple[Any, Any]]:
    """Yield every container and key in JSON data, long lists and what is hostile by its depth in part."""
    if isinstance(data, dict | list) and deepest:
        keys = list(data) if isinstance(data, dict) else list(range(min(len(data), 12)))
        for key in keys:
            yield data, key
            yield from _places(data[key], deepest - 1)


@cache
def vectors() -> Any:
    data = json.loads((DATA / "REDUCTION.json").read_text(encoding="utf-8"))
    return {**data, "vectors": data["vectors"][:3]}


def call() -> Any:
    return vectors()["vectors"][0]["call"]


@cache
def report() -> Any:
    fault = next(fault for fault in FAULTS if fault.name == "kink-full")
    return to_json(check(fault.make(), clause="GRADIENT-4,SHAPE-8", dtypes=["float32"]))


@cache
def shards() -> Any:
    fault = next(fault for fault in FAULTS if fault.name == "kink-full")
    options = {"clause": "GRADIENT-4,SHAPE-8", "dtypes": ["float32"]}
    return [to_json(check(fault.make(), shard=f"{k}/2", **options)) for k in (1, 2)]


@pytest.fixture(autouse=True, scope="module")
def made() -> None:
    """Make what is changed before anything is drawn: a check draws calls itself."""
    report()
    shards()


def answer() -> Any:
    result = {"dtype": "float32", "shape": [1, 2], "hex": "0000803f00000000"}
    return {"id": 3, "status": "returned", "result": result, "digests": {"input": "00000000"}}


def listed() -> Any:
    item = {"id": "CLASS-1/float32/defaults/loss", "clause": "CLASS-1", "dtype": "float32", "part": "loss", "kind": "x"}
    return {"id": 3, "status": "listed", "items": [item]}


def judged() -> Any:
    finding = {"message": "loss = 1", "evidence": {"part": "loss"}, "clause": ""}
    answers = [["double backward", "CLASS-9", "gradient", "float32", "right"]]
    return {"id": 3, "status": "judged", "verdict": "fail", "reason": "", "finding": finding, "answers": answers}


def written(data: Any, name: str = "file.json") -> Path:
    """Write data to a file of its own; the system's temporary folder is emptied by the test."""
    path = Path(tempfile.gettempdir()) / name
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def clear(errors: type[Exception] | tuple[type[Exception], ...], read_it: Callable[[], object]) -> object:
    """Return what is read, or the message of the one error that may come."""
    try:
        return read_it()
    except errors as error:
        return str(error)


@given(changed(vectors))
@FUZZ
def test_a_vector_file(data: Any) -> None:
    assert clear(VectorFileError, lambda: read_file(written(data))) is not None


@given(changed(call))
@FUZZ
def test_a_call(data: Any) -> None:
    assert clear(VectorFileError, lambda: read_call(data).id)


@given(changed(report))
@FUZZ
def test_a_report(data: Any) -> None:
    path = written(data)
    found = clear(ReportFileError, lambda: read(path))
    assert found
    if isinstance(found, Report):
        for text in (terminal.render(found), markdown.render(found)):
            assert all(c.isprintable() or c == "\n" for c in text)
    assert clear(UnknownCase, lambda: find_case(f"{path}#GRADIENT-4").case.id)


@given(st.data())
@FUZZ
def test_shards(data: st.DataObject) -> None:
    first, second = shards()
    broken = data.draw(changed(lambda: first))
    assert clear((ReportFileError, MergeError), lambda: merge([from_json(broken), from_json(second)]).valid) is not None


@given(st.binary(max_size=40), st.integers(0, len(EXPECTED)), st.integers(0, 20))
@FUZZ
def test_expected_failures(inserted: bytes, place: int, removed: int) -> None:
    text = EXPECTED.encode()
    path = Path(tempfile.gettempdir()) / "expected.toml"
    path.write_bytes(text[:place] + inserted + text[place + removed :])
    assert clear(ExpectationsError, lambda: load(path)) is not None


@given(changed(answer), st.binary(max_size=6), st.integers(0, 200))
@FUZZ
def test_an_answer(data: Any, noise: bytes, place: int) -> None:
    line = json.dumps(data).encode()
    for text in (line, line[:place] + noise + line[place:]):
        assert clear(Broken, lambda text=text: observation(parsed(text), {"input": "00000000"}))  # type: ignore[misc]


@given(changed(listed), changed(judged))
@FUZZ
def test_answers_about_the_class(items: Any, verdict: Any) -> None:
    for data, decode in ((items, integration.listed_items), (verdict, integration.judged_result)):
        fields = data if isinstance(data, dict) else {}
        assert clear(Broken, lambda fields=fields, decode=decode: decode(fields)) is not None  # type: ignore[misc]


def test_valid_data_is_valid() -> None:
    assert read_file(written(vectors()))
    assert read_call(call()).id in by_id()
    assert from_json(report()).failures
    assert merge([from_json(part) for part in shards()]).failures
    assert observation(parsed(json.dumps(answer()).encode()), {"input": "00000000"}).changed == ()
    assert integration.listed_items(listed())
    assert integration.judged_result(judged())[0].status == "fail"
