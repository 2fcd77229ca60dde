"""Run the worker by the path of its folder, under a package name of its own that no backend's module can have."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path

NAME = "_multimargin_worker"


def _package() -> None:
    """Import this folder as a package, and take it off the path: its modules must not shadow a backend's."""
    here = Path(__file__).resolve().parent
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != here]
    spec = importlib.util.spec_from_file_location(
        NAME, str(here / "__init__.py"), submodule_search_locations=[str(here)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[NAME] = module
    spec.loader.exec_module(module)


if __name__ == "__main__":
    _package()
    importlib.import_module(NAME + ".main").main(sys.argv[1:])
