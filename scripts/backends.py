"""Make the environments of other backends, check all that run there, write reports/published: `make backends`.

usage: python scripts/backends.py [--dry] [ENVIRONMENT...]

Each environment is made on its own: what one cannot be made for is said at the end, and the others go on. One that is
there is kept. --dry: say what would be done.
"""

from __future__ import annotations

import sys
import time

from environments import ENVIRONMENTS, FOLDER, install, interpreter, ready
from publish import BACKENDS, publish, write_matrix
from tabulate import tabulate


def plan(names: list[str]) -> str:
    """Return a table of environments: the backends, the size and the time of installing."""
    rows = []
    for name in names:
        environment, there = ENVIRONMENTS[name], ready(name)
        todo = "is there" if there else "the system's" if environment.interpreter else f"about {environment.seconds} s"
        rows.append((name, ", ".join(_backends(name)), f"{environment.megabytes:,} MB", todo, environment.needs))
    return tabulate(rows, headers=("environment", "backends", "size", "to install", "needs besides"))


def _backends(environment: str) -> list[str]:
    return [name for name, backend in BACKENDS.items() if backend.environment == environment]


def run(name: str) -> list[str]:
    """Make one environment and publish its backends; return what failed."""
    if not ready(name):
        print(f"{name}: installing into {interpreter(name)}", flush=True)
        if reason := install(name):
            return [f"{name}: not made: {reason}"]
    failed = []
    for backend in _backends(name):
        began = time.monotonic()
        try:
            print(f"{publish(backend)} ({time.monotonic() - began:.0f} s)", flush=True)
        except RuntimeError as error:
            failed.append(str(error))
    return failed


def main(words: list[str]) -> int:
    """Return 0 where every backend has a report, 1 where one has not, 2 for an unknown name."""
    names = [word for word in words if word != "--dry"] or list(ENVIRONMENTS)
    if unknown := set(names) - set(ENVIRONMENTS):
        print(f"no environment {', '.join(sorted(unknown))}; there are: {', '.join(ENVIRONMENTS)}", file=sys.stderr)
        return 2
    print(plan(names), f"\nin {FOLDER}\n", sep="\n", flush=True)
    if "--dry" in words:
        return 0
    failed = [line for name in names for line in run(name)]
    write_matrix()
    for line in failed:
        print(line, file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
