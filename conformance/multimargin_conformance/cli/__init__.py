"""The `multimargin` command: a thin layer over the packages, which are imported only when a command needs them.

Each command is a module of its own, imported when it is asked for, so that the command line starts at once.
"""

from __future__ import annotations

import traceback
from importlib import import_module
from typing import Any

import click

from multimargin_conformance.cli.base import CONFORMANT, INVALID, NOT_CONFORMANT, NOT_STARTED, USAGE, Stop

COMMANDS = {  # name: module and attribute
    "check": "check:check",
    "replay": "replay:replay",
    "explain": "explain:explain",
    "smoke": "smoke:smoke",
    "update-expectations": "expectations:update_expectations",
    "merge": "merge:merge",
    "render": "formats:render",
    "judge": "judge:judge",
    "diff": "diff:diff",
    "matrix": "matrix:matrix",
    "scaffold": "scaffold:scaffold",
    "backends": "listing:backends",
    "clauses": "listing:clauses",
    "selftest": "selftest:selftest",
    "vectors": "vectors:vectors",
}
__all__ = ["CONFORMANT", "INVALID", "NOT_CONFORMANT", "NOT_STARTED", "USAGE", "Stop", "main"]


class Commands(click.Group):
    """A group whose commands are imported on use.

    Unexpected errors end with the status for an invalid run: Python's own would read as a verdict.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        """Return the names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name].split(":")
        found: click.Command = getattr(import_module(f"{__name__}.{module}"), attribute)
        return found

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an error of the suite itself is printed in full."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except Exception as error:
            traceback.print_exc()
            raise Stop(f"the suite itself failed: {type(error).__name__}: {error}", INVALID) from error


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="multimargin")
def main() -> None:
    """Specification, oracle, vectors and conformance checks for MultiMarginLoss.

    Exit status: 0 conformant, 1 not conformant, 2 usage, 3 the backend could not be started, 4 the run is invalid.
    """
