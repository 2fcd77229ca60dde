"""The published reports: whole, small, without a machine's paths, and with every divergence that is known.

`make reports` makes them. What is looked for is the table of differences between PyTorch eager and what torch.compile,
aot_eager and the decomposition make of it; the checks that find them name no backend.
"""

from __future__ import annotations

import ast
import re
import runpy
import sys
from functools import cache
from pathlib import Path

import pytest

from multimargin_conformance import replay
from multimargin_reports import Report, matrix, read
from multimargin_reports.compare import compare

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "reports" / "published"
sys.path.append(str(ROOT / "scripts"))  # what publish.py imports
PUBLISH = runpy.run_path(str(ROOT / "scripts" / "publish.py"))
TRACED = ("torch-decomposition", "torch-compile", "torch-compile-aot")
CONFORMANT = ("reference", "oracle", "torch-reference", "torch-reference-compile", "cpp", "javascript")
ELSEWHERE = [
    name for name, b in PUBLISH["BACKENDS"].items() if b.environment or b.device
]  # published where there is one
PRESENT = [name for name in PUBLISH["PROFILES"] if name not in ELSEWHERE or (FOLDER / f"{name}.json").is_file()]
KILLS = (("kill-matrix", "md"), ("kill-matrix", "json"))  # of the known faults: multimargin selftest --matrix
FAILING = (  # what inductor fails where eager does not, in words of the change
    "reduction = none of a 0-d target has shape (1,)",
    "A tie, z = 0, has the full slope",
    "Mismatch in shape",
    "DTYPE-4 other argument types: loss.shape=(1,)",
    "SIGABRT",
)
CHANGED = {
    "int32 targets",
    "weight of another dtype",
    "integer logits",
    "NaN weight on an inactive row",
    "infinite weight on an inactive row",
    "NaN at a non-target",
    "NaN at the target",
    "inf - inf",
    "-inf - (-inf)",
    "margin NaN",
    "margin beyond the dtype",
}
DIFFERENT = {  # behaviour and part: eager's answer, and that of whatever traces it
    ("mean of an empty batch", "loss"): (set(), {"NaN"}),  # eager's is no permitted answer: SHAPE-8 fails
    ("NaN at a non-target", "loss"): ({"dropped"}, {"propagated"}),
    ("NaN at a non-target", "gradient"): ({"dropped"}, {"dropped"}),
    ("margin NaN", "loss"): ({"dropped"}, {"propagated"}),
    ("inf - inf", "loss"): ({"dropped"}, {"propagated"}),
    ("NaN weight on an inactive row", "loss"): ({"0"}, {"NaN"}),
    ("infinite weight on an inactive row", "loss"): ({"0"}, {"NaN"}),
    ("int32 targets", "loss"): ({"rejected"}, {"accepted"}),
    ("weight of another dtype", "loss"): ({"rejected"}, {"accepted"}),
    ("margin beyond the dtype", "loss"): ({"rejected"}, {"inf"}),
}


@cache
def report(name: str) -> Report:
    return read(FOLDER / f"{name}.json")


def answers(name: str, behaviour: str, part: str) -> set[str]:
    found = (b for b in report(name).behaviours if (b.name, b.part) == (behaviour, part))
    return {answer for b in found for answer in b.answers}


@pytest.mark.parametrize("name", PRESENT)
def test_a_report_is_whole_and_small(name: str) -> None:
    assert report(name).valid
    assert report(name).profile == PUBLISH["PROFILES"][name]
    for suffix in PUBLISH["SUFFIXES"]:
        text = (FOLDER / f"{name}.{suffix}").read_text(encoding="utf-8")
        is_ours = not PUBLISH["BACKENDS"][name].environment
        assert len(text.encode()) < (PUBLISH["LARGEST"][suffix] if is_ours else PUBLISH["LARGEST_OF_OTHERS"])
        assert not re.search(r"/(site-packages|home|root|\.venv)/", text)


@pytest.mark.parametrize("name", PRESENT)
def test_a_program_calls_what_it_defines(name: str) -> None:
    for program in {v.failure.snippet for v in report(name).failures if v.failure and v.failure.snippet}:
        tree = list(ast.walk(ast.parse(program)))
        bound = {node.id for node in tree if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        bound |= {a.asname or a.name for n in tree if isinstance(n, ast.Import | ast.ImportFrom) for a in n.names}
        bound |= {node.name for node in tree if isinstance(node, ast.FunctionDef)}
        called = {n.func.id for n in tree if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
        assert called <= bound | {"print", "float"}


def test_there_is_nothing_else() -> None:
    names = {f"{name}.{suffix}" for name in PRESENT for suffix in PUBLISH["SUFFIXES"]}
    names |= {f"{name}.{suffix}" for name, suffix in (("matrix", "md"), ("matrix", "html"), *KILLS)}
    assert {path.name for path in FOLDER.iterdir()} == names


@pytest.mark.parametrize("name", [*CONFORMANT, *(name for name in PRESENT if name == "torch-reference-cuda")])
def test_the_packages_own_are_conformant(name: str) -> None:
    assert report(name).conformant


def test_eager_fails_on_empty_batches() -> None:
    assert {v.clause for v in report("torch").failures if not v.clause.startswith("CLASS")} == {"SHAPE-7", "SHAPE-8"}


@pytest.mark.parametrize("name", TRACED)
def test_what_is_traced_differs_from_eager_as_is_known(name: str) -> None:
    failures = {v.clause: v for v in report(name).failures}
    assert {"GRADIENT-4", "REDUCTION-4"} <= set(failures)
    assert "loss.shape=(1,), but should be ()" in str(failures["REDUCTION-4"].failure)
    for (behaviour, part), (eager, traced) in DIFFERENT.items():
        assert answers("torch", behaviour, part) == eager, behaviour
        assert answers(name, behaviour, part) == traced, behaviour


def test_halves_are_for_the_decomposition_alone() -> None:
    dtypes = {name: report(name).backend["capabilities"]["dtypes"] for name in ("torch", "torch-decomposition")}
    assert [d for d in dtypes["torch-decomposition"] if d not in dtypes["torch"]] == ["float16", "bfloat16"]


def test_inductor_ends_the_process_for_some_targets_out_of_range() -> None:
    messages = [
        v.failure.message
        for v in report("torch-compile").failures
        if v.clause in ("REJECT-3", "REJECT-4") and v.failure
    ]
    assert messages
    assert all("SIGABRT" in message and "but should raise an error" in message for message in messages)


@pytest.mark.parametrize("name", TRACED)
def test_each_cause_replays(name: str) -> None:
    """On the decomposition, which compiles nothing: what fails there is what was traced.

    By the id, as the printed command has it, and from the report, which has the smallest call of each cause.
    """
    pytest.importorskip("torch", reason="PyTorch is not installed")
    firsts = [c.verdicts[0] for c in report(name).causes if not c.verdicts[0].startswith(("REJECT", "CLASS"))]
    assert len(firsts) >= 2
    for id_ in firsts:
        for what in (id_, f"{FOLDER / name}.json#{id_}"):
            assert {v.status for v in replay(what, "torch-decomposition", isolate=False)} == {"fail"}, what


@pytest.mark.parametrize("name", TRACED)
def test_the_smallest_call_of_the_kink_replays_from_the_report(name: str) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    (first,) = [c.verdicts[0] for c in report(name).causes if c.verdicts[0].startswith("GRADIENT-4")]
    verdicts = replay(f"{FOLDER / name}.json#{first}", "torch-decomposition", isolate=False)
    assert {v.status for v in verdicts} == {"fail"}


def test_the_difference_of_eager_and_inductor_is_what_is_known_of_it() -> None:
    found = compare(report("torch"), report("torch-compile"))
    texts: dict[str, list[str]] = {}
    for change in found.changes:
        texts.setdefault(change.kind, []).append(change.text)
    failing = texts.pop("newly failing") + texts.pop("failing, not in the old report")  # which has no checks of halves
    assert [words for words in FAILING if not any(words in text for text in failing)] == []
    assert [text for text in failing if not any(words in text for words in FAILING)] == []
    changed = {re.match(r"[A-Z]+-\d+ (.*?), (loss|gradient) ", text)[1] for text in texts.pop("changed behaviour")}
    assert changed == CHANGED
    assert {text.split(" ")[0] for text in texts.pop("newly passing")} == {"SHAPE-7", "SHAPE-8"}
    assert "CLASS-1" in texts.pop("no longer checked")[0]  # eager's profile is full
    assert set(texts) <= {"other accuracy, of one class", "slower", "faster"}


def test_the_matrix_is_that_of_the_reports() -> None:
    grouped, missing = PUBLISH["matrix_of"](FOLDER)
    assert (FOLDER / "matrix.md").read_text(encoding="utf-8") == matrix.markdown(grouped, missing)
    assert (FOLDER / "matrix.html").read_text(encoding="utf-8") == matrix.html(grouped, missing)


GROUPS = {name: backend.group for name, backend in PUBLISH["BACKENDS"].items()}
KNOWN_OF_OTHERS = {  # what is known to be wrong there: by the default command, which knows no names
    "torch-1.13": {"SHAPE-7", "SHAPE-8", "REJECT-9"},
    "onnx-export": {"REJECT-3", "SPECIAL-2"},
    "paddle": {"VALUE-4", "VALUE-5", "VALUE-6", "GRADIENT-4", "SPECIAL-2", "SHAPE-2", "REJECT-1"},
    "paddle-2.6": {"WEIGHT-2", "REDUCTION-4", "SHAPE-2", "REJECT-1"},
    "mindspore": {"SHAPE-2", "VALUE-6"},
    "mindspore-ops": {"SHAPE-2", "SHAPE-9", "VALUE-6"},
    "jax": {"REJECT-3", "REJECT-4", "REJECT-5"},
    "mlx": {"REJECT-3", "REJECT-4", "REJECT-5"},
    "onnxruntime": {"REJECT-3"},
}
ENDED = {"mlx": "SIGSEGV", "mindspore-ops": "SIGFPE", "torch-compile": "SIGABRT"}  # processes, and no run


@pytest.mark.parametrize("name", KNOWN_OF_OTHERS)
def test_what_is_known_of_others_is_found(name: str) -> None:
    assert KNOWN_OF_OTHERS[name] <= {v.clause for v in report(name).failures}


@pytest.mark.parametrize("name", ENDED)
def test_a_process_that_ends_is_a_verdict_and_no_end_of_the_run(name: str) -> None:
    assert report(name).complete
    assert any(v.failure and ENDED[name] in v.failure.message for v in report(name).failures)


@pytest.mark.parametrize("name", [name for name in PRESENT if GROUPS[name] == PUBLISH["CONTROLS"]])
def test_another_loss_is_rejected(name: str) -> None:
    failed = {v.clause for v in report(name).failures}
    assert {"VALUE-1", "VALUE-2", "VALUE-5", "VALUE-6"} <= failed


@pytest.mark.parametrize("name", [name for name in PRESENT if GROUPS[name] == PUBLISH["COMPOSITES"]])
def test_a_composite_computes_the_loss(name: str) -> None:
    """What fails is the framework's: what it does with an index out of range, and with subnormals."""
    failed = {v.clause for v in report(name).failures}
    assert {clause for clause in failed if not clause.startswith("REJECT-")} <= {"SPECIAL-5"}


def test_there_are_many_backends_of_many_makers() -> None:
    counts = {group: sum(GROUPS[name] == group for name in PRESENT) for group in set(GROUPS.values())}
    assert counts[PUBLISH["OPERATORS"]] >= 3
    assert counts[PUBLISH["CONTROLS"]] == 4
    others = counts[PUBLISH["OPERATORS"]] + counts[PUBLISH["COMPOSITES"]]
    assert others >= 8
    assert others + counts[PUBLISH["PYTORCH"]] >= 14
