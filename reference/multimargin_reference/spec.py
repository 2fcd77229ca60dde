"""SPEC.md from its hand-written template and the clause table: `python -m multimargin_reference.spec [--check]`."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

from multimargin_reference import behaviours
from multimargin_reference.clauses import CLAUSES, GROUPS, Clause

FOLDER = Path(__file__).resolve().parents[1]
TEMPLATE = FOLDER / "SPEC.template.md"
SPEC = FOLDER / "SPEC.md"

GROUP_TEXTS = {
    "VALUE": "What the loss of a row is.",
    "WEIGHT": "How the weights of classes enter.",
    "REDUCTION": "How the rows' losses become the result.",
    "SHAPE": "Which shapes and sizes are accepted, down to an empty batch.",
    "DTYPE": "Which types are accepted, and which one the result has.",
    "GRADIENT": "The gradient with respect to input, as automatic differentiation multiplies it by grad_output.",
    "SPECIAL": "Infinities, NaN, subnormals and overflow.",
    "REJECT": (
        "Calls that are invalid. Rejecting means raising an error, of any type; to return anything, NaN included, to "
        "crash, or to hang is not to reject."
    ),
    "PURITY": "What a call leaves alone.",
    "CLASS": "The class `torch.nn.MultiMarginLoss` and its integration into PyTorch (profile `torch`).",
}


def rendered() -> str:
    """Return the text of SPEC.md."""
    text = TEMPLATE.read_text(encoding="utf-8")
    parts = {
        "@@COUNT@@": str(len(CLAUSES)),
        "@@CLAUSES@@": "\n\n".join(map(_group, GROUPS)),
        "@@BEHAVIOURS@@": behaviours.table(),
    }
    for marker, part in parts.items():
        text = text.replace(marker, part)
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Write SPEC.md, or with --check say whether it is current (0) or not (1). 2: there is no template to read."""
    parser = ArgumentParser(prog="python -m multimargin_reference.spec", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when SPEC.md is not current")
    options = parser.parse_args(arguments)
    if not TEMPLATE.exists():
        print(f"{TEMPLATE} is missing: SPEC.md is generated in a source checkout", file=sys.stderr)
        return 2
    text = rendered()
    current = SPEC.exists() and SPEC.read_text(encoding="utf-8") == text
    if options.check and not current:
        print(f"{SPEC} is stale; run: python -m multimargin_reference.spec", file=sys.stderr)
        return 1
    if not current:
        SPEC.write_text(text, encoding="utf-8")
    return 0


def _group(name: str) -> str:
    clauses = [c for c in CLAUSES.values() if c.group == name]
    return "\n\n".join([f"### {name}\n\n{GROUP_TEXTS[name]}", *map(_clause, clauses)])


def _clause(clause: Clause) -> str:
    return "\n\n".join(
        [
            f"#### {clause.label}",
            clause.sentence,
            f"```pycon\n{clause.example}\n```",
            f"Level {clause.level}, profile `{clause.profile}`. Source: {clause.source}.",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
