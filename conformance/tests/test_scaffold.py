"""`multimargin scaffold`: what it writes, and that each adapter speaks the protocol whatever it is sent."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from multimargin_conformance import check
from multimargin_conformance.cli import CONFORMANT, USAGE, main
from multimargin_conformance.isolation.validate import violation
from multimargin_conformance.scaffolding import TEMPLATES, contents

TOOLS = {"python": (), "c++": ("make", "g++"), "javascript": ("node",)}
COMMANDS = {"python": f"{sys.executable} adapter.py", "c++": "./adapter", "javascript": "node adapter.mjs"}
EVERY = pytest.mark.parametrize("language", TEMPLATES)
ROW = {"dtype": "float32", "shape": [1, 4], "hex": "cdcccc3dcdcc4c3ecdcccc3ecdcc4c3f"}
TARGET = {"dtype": "int64", "shape": [1], "hex": "0300000000000000"}
ONE = {"dtype": "float32", "shape": [], "hex": "0000803f"}
RUN: dict[str, Any] = {
    "id": 5,
    "cmd": "run",
    "op": "forward",
    "input": ROW,
    "target": TARGET,
    "weight": None,
    "p": 1,
    "margin": "000000000000f03f",
    "reduction": "mean",
}
START = {"id": 0, "cmd": "start", "protocol": [1], "suite": "multimargin 0.1.0", "device": ""}
STOP = {"id": 9, "cmd": "stop"}
LONG = 9 << 20  # bytes: more than a line may have
NO_ID = {  # lines of which not even the id can be read
    "nothing": b"",
    "no object": b"[]",
    "null": b"null",
    "no end": b"{",
    "a minus alone": b"-",
    "a quote alone": b'"',
    "an escape alone": b'{"id":1,"cmd":"\\',
    "half an escape": b'{"id":1,"cmd":"\\u12"}',
    "NaN": b'{"id":1,"cmd":"run","p":NaN}',
    "a leading zero": b'{"id":01,"cmd":"stop"}',
    "two values": b'{"id":1,"cmd":"stop"} {}',
    "no UTF-8": b"\xff\xfe",
    "deep arrays": b"[" * 100_000,
    "deep objects": b'{"a":' * 100_000,
    "a negative id": b'{"id":-1,"cmd":"stop"}',
    "a fractional id": b'{"id":1.5,"cmd":"stop"}',
    "an id past 64 bits": b'{"id":99999999999999999999,"cmd":"stop"}',
    "an id that is a string": b'{"id":"1","cmd":"stop"}',
    "a long line": b'{"id":1,"cmd":"stop"' + b" " * LONG + b"}",
}
NO_REQUEST: dict[
    str, dict[str, Any]
] = {  # members that make no request of a valid one; None in place of one removes it
    "no command": {"cmd": None},
    "an unknown command": {"cmd": "fly"},
    "a command of a language's own": {"cmd": "__proto__"},
    "a command that is a number": {"cmd": 5},
    "a command that is not offered": {"cmd": "held", "result": 2},
    "an unknown op": {"op": "sideways"},
    "no grad_output": {"op": "backward"},
    "no input": {"input": None},
    "an input that is a number": {"input": 5},
    "an input that is a list": {"input": []},
    "no weight": {"weight": None},
    "a weight that is a number": {"weight": 5},
    "p as a string": {"p": "1"},
    "p as a truth value": {"p": True},
    "a short margin": {"margin": "00"},
    "a margin that is a number": {"margin": 1},
    "a margin without digits": {"margin": "zz" * 8},
    "a reduction that is a number": {"reduction": 5},
    "too few bytes": {"input": {**ROW, "shape": [2, 4]}},
    "too many bytes": {"input": {**ROW, "shape": [1, 3]}},
    "a huge shape": {"input": {**ROW, "shape": [2**31, 2**31]}},
    "a negative size": {"input": {**ROW, "shape": [-1]}},
    "a fractional size": {"input": {**ROW, "shape": [1.5]}},
    "no hexadecimal digits": {"input": {**ROW, "hex": "x" * 32}},
    "half a byte": {"input": {**ROW, "hex": ROW["hex"][:-1]}},  # type: ignore[index]
    "an unknown dtype": {"input": {**ROW, "dtype": "complex64"}},
    "a dtype of a language's own": {"input": {**ROW, "dtype": "__proto__"}},
    "a layout that is not offered": {"input": {**ROW, "layout": {}}},
    "a block that is not offered": {"input": {**ROW, "block": "a"}},
    "an echo of nothing": {"cmd": "echo"},
    "an echo of a number": {"cmd": "echo", "arrays": 5},
    "an echo of numbers": {"cmd": "echo", "arrays": [5]},
    "a start without versions": {"cmd": "start", "device": ""},
}


def _scaffold(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["scaffold", *arguments])


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders that adapters were written to and built in, as they are asked for."""
    return {"": tmp_path_factory.mktemp("scaffold")}


@pytest.fixture
def adapter(language: str, folders: dict[str, Path]) -> Path:
    """The folder of a language's adapter, built."""
    missing = [tool for tool in TOOLS[language] if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"{language} needs {' and '.join(missing)}")
    if language not in folders:
        folder = folders[""] / TEMPLATES[language].folder
        assert _scaffold("--language", language, str(folder)).exit_code == CONFORMANT
        if build := TEMPLATES[language].build:
            subprocess.run([*build.split(), "CXXFLAGS=-O0 -Wall -Wextra -Werror"], cwd=folder, check=True)
        folders[language] = folder
    return folders[language]


def _answers(language: str, folder: Path, *lines: bytes) -> list[dict[str, Any]]:
    """Return the answers to lines, each valid by the published schema; the adapter ends well."""
    given = b"".join(line + b"\n" for line in lines)
    words = COMMANDS[language].split()
    done = subprocess.run(words, cwd=folder, input=given, capture_output=True, check=False, timeout=120)
    answers = [json.loads(line) for line in done.stdout.decode().splitlines()]
    assert (done.returncode, done.stderr, [violation(a) for a in answers]) == (0, b"", [""] * len(lines))
    return answers


def _line(request: dict[str, Any]) -> bytes:
    return json.dumps(request).encode()


def _without(request: dict[str, Any], members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**request, **members}.items() if value is not None or name not in members}


@EVERY
def test_an_adapter_starts_and_stops(language: str, adapter: Path) -> None:
    started, stopped = _answers(language, adapter, _line(START), _line(STOP))
    assert (started["id"], started["status"], started["protocol"]) == (0, "started", 1)
    assert started["capabilities"]["dtypes"] == ["float32", "float64"]
    assert started["features"] == ["digests"]
    assert stopped == {"id": 9, "status": "stopped"}


@EVERY
def test_an_adapter_ends_with_its_input(language: str, adapter: Path) -> None:
    assert len(_answers(language, adapter, _line(START))) == 1


@EVERY
def test_an_adapter_refuses_another_version_and_an_unknown_device(language: str, adapter: Path) -> None:
    asked = [{**START, "protocol": [2]}, {**START, "device": "cuda"}]
    answers = _answers(language, adapter, *map(_line, asked))
    assert [answer["status"] for answer in answers] == ["refused", "refused"]


@EVERY
def test_an_adapter_returns_every_bit(language: str, adapter: Path) -> None:
    arrays = [
        {"dtype": "float16", "shape": [3], "hex": "017c008001fc"},
        {"dtype": "float32", "shape": [2, 2], "hex": "0100a07f00000080010080ff01000000"},
        {"dtype": "float64", "shape": [], "hex": "010000000000f07f"},
        {"dtype": "float32", "shape": [0, 4], "hex": ""},
        {"dtype": "int64", "shape": [2], "hex": "ffffffffffffff7f0100000001000000"},
        {"dtype": "bool", "shape": [1], "hex": "01"},
        {"dtype": "float64", "shape": [65537], "hex": np.arange(65537.0).tobytes().hex()},
    ]
    (answer,) = _answers(language, adapter, _line({"id": 3, "cmd": "echo", "arrays": arrays}))
    assert answer == {"id": 3, "status": "echoed", "arrays": arrays}


@EVERY
def test_every_call_is_rejected_until_the_loss_is_written(language: str, adapter: Path) -> None:
    calls = [RUN, {**RUN, "op": "backward", "grad_output": ONE}]
    forward, backward = _answers(language, adapter, *map(_line, calls))
    loss = TEMPLATES[language].loss
    assert (forward["status"], forward["message"]) == ("rejected", f"TODO: forward in {loss} is not written yet")
    assert (backward["status"], backward["message"]) == ("rejected", f"TODO: backward in {loss} is not written yet")


@EVERY
def test_an_adapter_answers_with_digests(language: str, adapter: Path) -> None:
    weight = {"dtype": "float32", "shape": [4], "hex": "0000803f000000400000003f00008040"}
    request = {**RUN, "op": "backward", "grad_output": ONE, "weight": weight, "digests": True}
    (answer,) = _answers(language, adapter, _line(request))  # the digests are those of PROTOCOL.md's transcript
    expected = {"grad_output": "aca16a6a", "input": "9d41a492", "target": "ebadd88a", "weight": "ff7d6926"}
    assert answer["digests"] == expected


@EVERY
def test_lines_without_an_id_are_answered_by_an_error(language: str, adapter: Path) -> None:
    answers = _answers(language, adapter, *NO_ID.values(), _line(RUN))
    assert {name: (a["id"], a["status"]) for name, a in zip(NO_ID, answers, strict=False)} == dict.fromkeys(
        NO_ID, (0, "error")
    )
    assert (answers[-1]["id"], answers[-1]["status"]) == (5, "rejected")  # it goes on


@EVERY
def test_what_is_no_request_is_answered_by_an_error(language: str, adapter: Path) -> None:
    lines = [_line(_without(RUN, members)) for members in NO_REQUEST.values()]
    answers = _answers(language, adapter, *lines, _line(RUN))
    assert {name: (a["id"], a["status"]) for name, a in zip(NO_REQUEST, answers, strict=False)} == dict.fromkeys(
        NO_REQUEST, (5, "error")
    )
    assert answers[-1]["status"] == "rejected"


@EVERY
def test_strange_text_and_numbers_reach_the_loss(language: str, adapter: Path) -> None:
    strange = [{"reduction": '\ud800 \n"\\'}, {"reduction": "é€😀\0"}, {"p": 1e300}, {"p": 2**40}, {"p": -1.5}]
    lines = [_line({**RUN, **members}) for members in strange]
    raw = json.dumps({**RUN, "reduction": "é€😀"}, ensure_ascii=False).encode()
    assert {a["status"] for a in _answers(language, adapter, *lines, raw)} == {"rejected"}


NOISE = {  # a line of each loss, and the same with something that prints before it
    "python": ("raise NotImplementedError(", 'print("noise"); raise NotImplementedError('),
    "c++": ("throw std::", 'std::puts("noise"); throw std::'),
    "javascript": ("throw new", 'console.log("noise"); throw new'),
}


@EVERY
def test_what_a_loss_prints_is_no_answer(language: str, adapter: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(adapter, tmp_path / "noisy")
    loss = folder / TEMPLATES[language].loss
    include = "#include <cstdio>\n" if language == "c++" else ""
    loss.write_text(include + loss.read_text(encoding="utf-8").replace(*NOISE[language]), encoding="utf-8")
    if build := TEMPLATES[language].build:
        subprocess.run([*build.split(), "CXXFLAGS=-O0"], cwd=folder, check=True)
    words, given = COMMANDS[language].split(), _line(RUN) + b"\n" + _line(STOP) + b"\n"
    done = subprocess.run(words, cwd=folder, input=given, capture_output=True, check=True, timeout=120)
    assert [json.loads(line)["status"] for line in done.stdout.splitlines()] == ["rejected", "stopped"]
    assert done.stderr == b"noise\n"


@EVERY
def test_a_new_adapter_is_a_backend_that_fails(language: str, adapter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(adapter)
    report = check(f"cmd:{COMMANDS[language]}", clause="VALUE-7", dtypes=["float32"])
    assert {v.status for v in report.verdicts} == {"fail"}
    assert report.complete


def test_the_python_adapter_is_a_backend_of_the_suites_own_worker(tmp_path: Path) -> None:
    assert _scaffold("--language", "python", str(tmp_path)).exit_code == CONFORMANT
    report = check(f"py:{tmp_path / 'loss.py'}:Loss", clause="VALUE-7", dtypes=["float32"])
    assert {v.status for v in report.verdicts} == {"fail"}
    assert "TODO: forward in loss.py" in report.failures[0].failure.message


@EVERY
def test_what_is_written(language: str, tmp_path: Path) -> None:
    result = _scaffold("--language", language, str(tmp_path / "a" / "new"))
    written = {path.name: path.read_bytes() for path in (tmp_path / "a" / "new").iterdir()}
    assert written == contents(language)
    assert written[TEMPLATES[language].loss].count(b"TODO") >= 2
    assert len(written["README.md"].splitlines()) == 5
    lines = result.stdout.splitlines()
    assert [line.startswith("wrote ") for line in lines[: len(written)]] == [True] * len(written)
    assert lines[-1].endswith(f'multimargin check "cmd:{TEMPLATES[language].run}"')


def test_a_folder_that_is_not_empty_is_refused_unless_forced(tmp_path: Path) -> None:
    (tmp_path / "loss.py").write_text("mine\n", encoding="utf-8")
    (tmp_path / "other.txt").write_text("kept\n", encoding="utf-8")
    refused = _scaffold("--language", "python", str(tmp_path))
    assert (refused.exit_code, refused.stdout) == (USAGE, "")
    assert "is not empty: name another folder, or add --force" in refused.stderr
    assert (tmp_path / "loss.py").read_text(encoding="utf-8") == "mine\n"
    assert _scaffold("--language", "python", "--force", str(tmp_path)).exit_code == CONFORMANT
    assert (tmp_path / "loss.py").read_bytes() == contents("python")["loss.py"]
    assert (tmp_path / "other.txt").read_text(encoding="utf-8") == "kept\n"


def test_a_file_in_the_place_of_the_folder_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    refused = _scaffold("--language", "c++", str(tmp_path / "file"))
    assert refused.exit_code == USAGE
    assert refused.stderr == f"Error: {tmp_path / 'file'}: File exists: name another folder\n"


def test_an_unknown_language_is_a_usage_error_that_names_the_known_ones(tmp_path: Path) -> None:
    refused = _scaffold("--language", "cobol", str(tmp_path / "new"))
    assert refused.exit_code == USAGE
    assert all(f"'{language}'" in refused.stderr for language in TEMPLATES)
    assert not (tmp_path / "new").exists()


def test_a_fresh_python_adapter_passes_smoke_by_its_echo(tmp_path: Path) -> None:
    """It declines layouts, and its loss is not filled in: neither is the adapter's fault."""
    assert _scaffold("--language", "python", str(tmp_path)).exit_code == CONFORMANT
    result = CliRunner().invoke(main, ["smoke", f"cmd:{sys.executable} {tmp_path / 'adapter.py'}"])
    assert "NotImplementedError: TODO" in result.output
