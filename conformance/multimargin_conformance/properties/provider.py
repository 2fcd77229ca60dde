"""Where Hypothesis's choices come from: from the seed alone.

Its own provider also draws constants that it finds in the source of whatever modules are loaded. Then other calls would
be drawn for another backend, in another folder or after another installation; and it keeps what it finds in a folder
`.hypothesis`, while a check writes nothing that it is not asked for.
"""

from __future__ import annotations

from typing import Any

from hypothesis.internal.conjecture.providers import AVAILABLE_PROVIDERS, HypothesisProvider

BACKEND = "multimargin"


class SeedOnly(HypothesisProvider):
    """Hypothesis's own provider without constants from source code."""

    def _maybe_draw_constant(self, *_: Any, **__: Any) -> None:
        return None


AVAILABLE_PROVIDERS[BACKEND] = SeedOnly
