"""The pytest front: `pytest --pyargs multimargin_conformance --multimargin-backend B`.

pytest loads this module in every run of an environment that has the package, so it imports nothing else of ours until
pytest collects suite.py, which turns the checks into tests.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

SUITE = Path(__file__).with_name("suite.py")
NODE = "multimargin_conformance.suite"  # can be given to --pyargs again, with ::TEST
BEHAVIOUR = "multimargin behaviour: "  # how the names of the tests' properties start


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options; each is the one of `multimargin check` without its prefix."""
    group = parser.getgroup("multimargin", "multimargin conformance (with --pyargs multimargin_conformance)")
    group.addoption("--multimargin-backend", default="", metavar="B", help="Backend, as for multimargin check.")
    group.addoption("--multimargin-profile", default="training", metavar="P", help="Profile (default: training).")
    group.addoption("--multimargin-device", default="", metavar="D", help="Device for torch backends, such as cuda.")
    group.addoption(
        "--multimargin-dtype", action="append", default=[], metavar="D", help="Check this dtype only; repeatable."
    )
    group.addoption("--multimargin-seed", type=int, default=0, metavar="S", help="Seed of generated calls.")
    group.addoption("--multimargin-examples", type=int, default=4, metavar="N", help="Generated calls a property.")
    group.addoption("--multimargin-huge", action="store_true", help="Sizes that the oracle cannot reach too.")
    group.addoption("--multimargin-timeout", type=float, default=30.0, metavar="S", help="Seconds for one call.")
    group.addoption(
        "--multimargin-python", default="", metavar="INTERPRETER", help="Run the backend under this Python."
    )
    group.addoption(
        "--multimargin-no-isolate",
        dest="multimargin_isolate",
        action="store_const",
        const=False,
        help="Call the backend in pytest's own process.",
    )
    group.addoption("--multimargin-expected-failures", metavar="FILE", help="A TOML file of known failures.")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect suite.py, whatever the names of test files are in the project that runs it."""
    if file_path.name != SUITE.name or file_path.resolve() != SUITE.resolve():
        return None
    from multimargin_conformance.suite import Suite

    suite: pytest.Collector = Suite.from_parent(parent, path=file_path, nodeid=NODE)
    return suite


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say what is checked."""
    backend, profile = config.getoption("multimargin_backend"), config.getoption("multimargin_profile")
    return [f"multimargin: backend {backend}, profile {profile}"] if backend else []


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """With -v, list the behaviours that were observed; they are properties of the tests, in the JUnit file too."""
    if terminalreporter.verbosity < 1:
        return
    reports = [report for found in terminalreporter.stats.values() for report in found]
    found: dict[str, dict[str, None]] = {}
    for key, answer in (pair for report in reports for pair in getattr(report, "user_properties", ())):
        if key.startswith(BEHAVIOUR):
            name = key.removeprefix(BEHAVIOUR).rpartition(", ")[0]  # without the dtype
            found.setdefault(name, {})[answer] = None
    if found:
        terminalreporter.section("multimargin behaviours")
        terminalreporter.write("".join(f"{name}: {', '.join(answers)}\n" for name, answers in found.items()))
