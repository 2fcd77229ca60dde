"""Which engine computes: Numba's where it is installed (the extra `fast`), otherwise NumPy's.

The environment variable MULTIMARGIN_ENGINE, "numba" or "numpy", chooses before the first call.
"""

from __future__ import annotations

import importlib
import os
import warnings
from functools import cache
from importlib.util import find_spec
from typing import Any, Protocol, cast

from numpy.typing import NDArray

from multimargin_reference.validation import Arguments

VARIABLE = "MULTIMARGIN_ENGINE"


class Engine(Protocol):
    """What `vectorized` asks of an engine: the loss and the gradient, or None for a call that it does not do.

    The second is None where it was not asked for. Results have input's dtype; the gradient is (N, C).
    """

    def plain(
        self, input: Any, target: Any, p: Any, margin: Any, weight: Any, reduction: Any, *, gradient: bool
    ) -> tuple[NDArray[Any], NDArray[Any]] | None:
        """Do a call that needs no preparation, for a grad_output of 1."""

    def evaluate(
        self, call: Arguments, grads: NDArray[Any] | None, *, loss: bool
    ) -> tuple[NDArray[Any], NDArray[Any]] | None:
        """Do a call that has been validated; grads: grad_output, (N,), or (1,) for every row, None for no gradient."""


@cache
def engine() -> Engine | None:
    """Return the module `numba_engine`, or None for NumPy alone.

    Raises ValueError for another value of MULTIMARGIN_ENGINE, and ImportError for "numba" where it cannot be used.
    Warns (RuntimeWarning) when Numba is installed and cannot be used.
    """
    chosen = os.environ.get(VARIABLE, "")
    if chosen not in ("", "numba", "numpy"):
        raise ValueError(f"{VARIABLE}={chosen!r}, but should be 'numba', 'numpy' or unset")
    if chosen == "numpy" or (not chosen and find_spec("numba") is None):
        return None
    try:
        return cast(Engine, importlib.import_module("multimargin_reference.numba_engine"))
    except (ImportError, RuntimeError) as error:  # RuntimeError: nowhere to keep what it compiles
        if chosen:
            raise ImportError(f"{VARIABLE}=numba, but it cannot be used: {error}") from error
        warnings.warn(f"NumPy computes, because Numba cannot be used: {error}", RuntimeWarning, stacklevel=2)
        return None


def engine_name() -> str:
    """Return "numba" or "numpy"."""
    return "numpy" if engine() is None else "numba"
