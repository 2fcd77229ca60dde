"""Generate the golden vectors, or verify that those on disk are what the generator gives.

`python -m multimargin_vectors.generate [--check]`; also `multimargin vectors generate|verify`.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ProcessPoolExecutor
from itertools import chain
from pathlib import Path

from multimargin_vectors.draft import Draft
from multimargin_vectors.families import drafts
from multimargin_vectors.model import Vector
from multimargin_vectors.store import DATA, rendered

MOST_PROCESSES = 8


def generated() -> list[Vector]:
    """Return every vector, each call once (the first family that has it keeps it); by several processes."""
    last_first = reversed(list(drafts()))  # the largest calls are the last ones
    with ProcessPoolExecutor(min(os.cpu_count() or 1, MOST_PROCESSES)) as pool:
        made = [*pool.map(Draft.vectors, last_first)][::-1]
    vectors: dict[str, Vector] = {}
    for vector in chain.from_iterable(made):
        vectors.setdefault(vector.id, vector)
    return list(vectors.values())


def write(folder: Path = DATA) -> list[str]:
    """Write every file; return what was written or removed, by name."""
    texts = rendered(generated())
    folder.mkdir(parents=True, exist_ok=True)
    stale = [path for path in folder.glob("*.json") if path.name not in texts]
    for path in stale:
        path.unlink()
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [*texts, *(f"{path.name} (removed)" for path in stale)]


def differences(folder: Path = DATA) -> list[str]:
    """Regenerate and return one line for every file that is not what the generator gives; empty when all are."""
    texts = rendered(generated())
    present = {path.name for path in folder.glob("*.json")}
    lines = [f"{name} is not generated any more" for name in sorted(present - set(texts))]
    for name, text in texts.items():
        if name not in present:
            lines.append(f"{name} is missing")
        elif (folder / name).read_text(encoding="utf-8") != text:
            lines.append(f"{name} differs from what the generator gives")
    return lines


def main() -> int:
    """Generate, or with --check verify."""
    if "--check" not in sys.argv[1:]:
        print(f"wrote {len(write())} files to {DATA}")
        return 0
    lines = differences()
    print("\n".join(lines) or "vectors are current")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
