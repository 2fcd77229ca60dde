"""PROTOCOL.md is true, and the reader of answers takes anything."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from multimargin_conformance.adapters import resolve
from multimargin_conformance.calling import FEATURES, LONGEST_LINE, Call, InProcess
from multimargin_conformance.capabilities import Capabilities
from multimargin_conformance.checks import plan
from multimargin_conformance.checks.item import Scope
from multimargin_conformance.isolation.link import Link, Request, Trouble
from multimargin_conformance.isolation.validate import schema, violation
from multimargin_conformance.isolation.wire import Broken, array_text, observation, parsed, run_text
from multimargin_conformance.outcome import Malformed, Observation, Returned
from multimargin_conformance.session import Session, Settled
from multimargin_conformance.worker.limits import launch
from multimargin_conformance.worker.memory import Argument, Raw
from multimargin_reference import multi_margin_loss_backward
from multimargin_reference.case import Case
from multimargin_reference.formats import DTYPES

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "PROTOCOL.md").read_text(encoding="utf-8")
WORKER = ROOT / "multimargin_conformance" / "worker"
TRANSCRIPT = TEXT.split("```transcript\n")[1].split("```")[0].splitlines()
REQUESTS = [line[2:] for line in TRANSCRIPT if line.startswith("> ")]
ANSWERS = [line[2:] for line in TRANSCRIPT if line.startswith("< ")]


def plain(line: str) -> Any:
    data = json.loads(line)
    return {k: v for k, v in data.items() if k not in ("where", "version")}


def test_the_transcript_is_what_the_worker_says() -> None:
    command = [sys.executable, str(WORKER), "reference"]
    done = subprocess.run(command, input="\n".join(REQUESTS) + "\n", capture_output=True, text=True, check=True)
    assert [plain(line) for line in done.stdout.splitlines()] == [plain(line) for line in ANSWERS]


def test_the_transcript_has_every_command_and_answers_in_turn() -> None:
    commands = {name.removeprefix("request-") for name in schema()["$defs"] if name.startswith("request-")}
    of_an_integration = {"items", "item"}  # which the adapter of the transcript has not
    assert {json.loads(line)["cmd"] for line in REQUESTS} == commands - of_an_integration
    assert [json.loads(line)["id"] for line in REQUESTS] == [json.loads(line)["id"] for line in ANSWERS]


def test_every_line_of_the_transcript_is_as_published() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    assert [violation(json.loads(line)) for line in REQUESTS + ANSWERS] == [""] * len(REQUESTS + ANSWERS)


def test_the_document_names_every_command_status_and_feature() -> None:
    for name, definition in schema()["$defs"].items():
        if name.startswith(("request-", "answer-")):
            assert name.split("-")[1] in TEXT
            assert not definition["additionalProperties"]
    for feature in schema()["$defs"]["answer-started"]["properties"]["features"]["items"]["enum"]:
        assert f"| `{feature}` |" in TEXT


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"id": -1}, "$.id"),
        ({"op": "sideways"}, "$.op"),
        ({"p": [1]}, "$.p"),
        ({"margin": "3ff0"}, "$.margin"),
        ({"expected": 1}, "'expected' was unexpected"),
        ({"weight": 1}, "$.weight"),
        ({"input": {"dtype": "int4", "shape": [1], "hex": "00"}}, "$.input.dtype"),
        ({"cmd": "ran"}, "neither a request"),
        ({"cmd": []}, "neither a request"),
    ],
)
def test_a_violation_says_where_it_is(change: dict[str, Any], where: str) -> None:
    assert where in violation({**json.loads(REQUESTS[1]), **change})


def test_a_violation_of_anything_else_is_said_too() -> None:
    for data in (None, [], 7, "x", {}, {"status": 7}, {"status": "started", "id": 0}):
        assert violation(data)


LAYOUTS = {
    "plain": lambda a: a.copy(),
    "Fortran": lambda a: np.array(a, order="F"),
    "reversed": lambda a: np.array(a[::-1, ::-1])[::-1, ::-1],
    "gaps": lambda a: np.repeat(np.repeat(a, 2, 0), 3, 1)[::2, ::3],
    "zero strides": lambda a: np.broadcast_to(a[:1], a.shape),
    "read-only": lambda a: np.broadcast_to(a, a.shape),
    "offset": lambda a: np.stack([a, a, a])[1],
    "empty": lambda a: a[:0],
    "empty columns": lambda a: a[:, :0],
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_are_the_same_on_both_sides(layout: str, large: bool, dtype: str) -> None:
    if large and layout.startswith("empty"):
        pytest.skip("nothing is never large")
    classes = 400 if large else 4
    array = LAYOUTS[layout](np.arange(3 * classes).reshape(3, classes).astype(DTYPES[dtype]))
    behind: list[bytes] = []
    text, digest = array_text(array, behind=behind if large else None)
    assert bool(behind) == large
    made = Argument(json.loads(text), Raw(b"".join(behind)))
    assert violation({**json.loads(REQUESTS[1]), "input": json.loads(text)}) == ""
    assert made.view.dtype == array.dtype
    assert made.view.shape == array.shape
    assert made.view.strides == array.strides or not array.size
    assert made.view.flags.writeable == array.flags.writeable
    assert made.view.tobytes() == array.tobytes()
    assert made.digest() == digest


class Plain(InProcess):
    """An adapter without what makes lines short, which keeps how long each line would be."""

    features = FEATURES - {"raw", "long-lines"}

    def __init__(self) -> None:
        super().__init__(resolve("reference"))
        self.lengths: list[int] = []

    def call(self, call: Call) -> Observation:
        self.lengths.append(len(run_text(call, self.features, {})[0]))
        return super().call(call)

    def threads(self, calls: Sequence[Call], threads: int, rounds: int) -> list[list[Observation]]:
        self.lengths.append(sum(len(run_text(call, self.features, {})[0]) for call in calls))
        return super().threads(calls, threads, rounds)


def test_no_line_is_longer_than_published() -> None:
    caller = Plain()
    session = Session(caller.subject, caller=caller)
    for part in ("loss", "gradient"):
        assert _ran(session, f"PURITY-2/float64/every-option-again/{part}") == "pass"
    assert 7 << 20 < max(caller.lengths) < LONGEST_LINE
    assert _ran(session, "PURITY-3/float64/threads-long/loss") == "skip"
    assert max(caller.lengths) < LONGEST_LINE


def _ran(session: Session, name: str) -> str:
    (item,) = (item for item in plan(Scope(("float64",), True, Capabilities())) if item.id == name)
    try:
        return item.run(session).status
    except Settled as settled:
        return settled.result.status


@pytest.mark.usefixtures("usual_engine")
def test_large_arrays_travel_as_bytes_in_both_directions() -> None:
    rng = np.random.default_rng(0)
    case = Case(rng.standard_normal((200, 33)), rng.integers(0, 33, 200), 2, 0.5, rng.random(33), "none")
    case = replace(case, grad_output=rng.standard_normal(200))
    link = Link([sys.executable, str(WORKER), "reference"], 0, validate=True)
    try:
        link.send(Request("start", '"protocol":[1],"suite":"","device":""'))
        behind: list[bytes] = []
        body, digests = run_text(Call("gradient", case), FEATURES, {}, behind)
        request = Request("run", body, raw=b"".join(behind))
        assert len(behind) == 3  # the weight is small
        link.send(request)
        link.process.flush()
        link.receive(60.0)
        link.receive(60.0)
    finally:
        link.kill()
    seen = observation(request.answer, digests)
    assert isinstance(seen.outcome, Returned)
    assert "hex" not in request.answer["result"]
    expected = multi_margin_loss_backward(case.grad_output, case.input, case.target, **case.options)
    assert seen.outcome.value.tobytes() == expected.tobytes()
    assert not seen.changed


RESULT = '"status":"returned","result":{"dtype":"float64","shape":[1]'


@pytest.mark.parametrize(
    ("written", "kind", "reason"),
    [
        (f'{{"id":0,{RESULT}}},"raw":8}}\n1234567', "crashed", "ended with status 0"),
        (f'{{"id":0,{RESULT},"hex":"{"00" * 8}"}},"raw":8}}\n12345678', "malformed", "has its elements"),
        ('{"id":0,"status":"rejected","type":"E","message":"","raw":8}\n12345678', "malformed", "has no result"),
        (f'{{"id":0,{RESULT}}},"raw":{(32 << 20) + 1}}}\n', "malformed", r"raw '33554433' of a result of shape \[1\]"),
        (f'{{"id":0,{RESULT}}},"raw":-8}}\n12345678', "malformed", "raw '-8'"),
        (f'{{"id":0,{RESULT}}},"raw":true}}\n12345678', "malformed", "raw 'True'"),
        (f'{{"id":0,{RESULT}}},"raw":8.0}}\n12345678', "malformed", "raw '8.0'"),
    ],
)
def test_bytes_behind_an_answer_that_are_not_as_published(written: str, kind: str, reason: str) -> None:
    link = Link([sys.executable, "-c", f"import sys; sys.stdout.write({written!r})"], 0, validate=False)
    link.send(Request("run", "", raw=b"x"))
    link.process.flush()
    with pytest.raises(Trouble, match=reason) as caught:
        link.receive(10.0)
    link.kill()
    assert caught.value.kind == kind


@pytest.mark.parametrize("count", [7, 9])
def test_bytes_behind_an_answer_fit_its_shape(count: int) -> None:
    written = f'{{"id":0,{RESULT}}},"raw":{count}}}\n{"x" * count}'
    link = Link([sys.executable, "-c", f"import sys; sys.stdout.write({written!r})"], 0, validate=False)
    request = Request("run", "", raw=b"x")
    link.send(request)
    link.receive(10.0)
    link.kill()
    with pytest.raises(Broken, match=f"a result of {count} bytes"):
        observation(request.answer, {})


def test_an_unaligned_array_is_unaligned_there() -> None:
    array = np.zeros(25, np.uint8)[1:].view(np.float64)
    made = Argument(json.loads(array_text(array)[0]), Raw())
    assert not made.view.flags.aligned
    assert made.view.ctypes.data % 64 == 1


def test_a_digest_tells_what_changed() -> None:
    frame = np.ones((4, 4))
    for index in ((0, 0), (1, 1)):
        made = Argument(json.loads(array_text(frame[1:3, 1:3])[0]), Raw())
        before = made.digest()
        np.ndarray((4, 4), np.float64, made.block)[index] = 2
        assert made.digest() != before
    altered = Argument(json.loads(array_text(np.ones(3))[0]), Raw())
    altered.view.flags.writeable = False
    assert altered.digest() == "altered"


def test_the_memory_around_an_array_is_full_of_ones() -> None:
    view = np.ones(24)[2:20:3]
    view[...] = 7
    made = Argument(json.loads(array_text(view)[0]), Raw())
    block = np.frombuffer(made.block.tobytes(), np.float64)
    assert set(np.delete(block, range(2, 20, 3)).tolist()) == {1.0}


def test_a_command_that_is_not_there_ends_as_in_a_shell(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        launch(["0", "/no/such/program"])
    assert ended.value.code == 127
    assert "No such file" in capsys.readouterr().err


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
ARRAYS = st.fixed_dictionaries(
    {},
    optional={
        "dtype": st.sampled_from([*DTYPES, "int64", "O", ">f4", "V9"]) | JSON,
        "shape": st.lists(st.integers(-1, 1 << 70), max_size=40) | JSON,
        "hex": st.binary(max_size=9).map(bytes.hex) | JSON,
    },
)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "id": st.integers() | JSON,
        "status": st.sampled_from(["returned", "rejected", "failed", "unsupported", "error", "done"]) | JSON,
        "result": ARRAYS | JSON,
        "type": JSON,
        "message": JSON,
        "where": JSON,
        "kind": st.sampled_from(["malformed", "crashed"]) | JSON,
        "reason": JSON,
        "digests": st.dictionaries(st.sampled_from(["input", "target"]), JSON, max_size=2) | JSON,
    },
)


ANY = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def read(line: bytes) -> Observation | str:
    """Return what a line says, or what is wrong with it."""
    try:
        return observation(parsed(line), {"input": "00000000"})
    except Broken as broken:
        return str(broken)


@given(FIELDS)
@ANY
def test_any_answer_is_an_observation_or_said_to_be_broken(fields: dict[str, Any]) -> None:
    violation(fields)
    assert read(json.dumps(fields).encode())


@given(st.binary(max_size=60))
@ANY
def test_any_bytes_are_an_answer_or_said_to_be_broken(line: bytes) -> None:
    assert read(line)


@given(st.sampled_from(list(DTYPES)), st.binary(min_size=16, max_size=16))
@ANY
def test_every_bit_of_a_result_survives(dtype: str, raw: bytes) -> None:
    array = np.frombuffer(raw, DTYPES[dtype])
    answer = {"status": "returned", "result": {"dtype": dtype, "shape": [array.size], "hex": raw.hex()}}
    outcome = observation(answer, {}).outcome
    assert isinstance(outcome, Returned)
    assert outcome.value.tobytes() == raw
    assert outcome.value.flags.writeable
    assert not isinstance(outcome, Malformed)
