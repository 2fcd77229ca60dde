"""What a backend declares before it is asked, and what a run is limited to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from multimargin_reference.case import Case

ALL_DTYPES = ("float16", "bfloat16", "float32", "float64")
REDUCTIONS = ("none", "mean", "sum")
SHAPES = ("batched", "unbatched")
PERMISSIONS = ("flush-subnormals", "run-to-run-variation", "accumulator")


@dataclass(frozen=True)
class Capabilities:
    """What a backend offers; everything that it does not offer is left out and limits the claim.

    dtypes, p, reductions, shapes: out of ALL_DTYPES, (1, 2), REDUCTIONS and SHAPES. gradient: whether backward counts.
    permissions: out of PERMISSIONS; declared, recorded and used in judging. Raises ValueError for an unknown
    value, and where one of the first four is empty.
    """

    dtypes: tuple[str, ...] = ALL_DTYPES
    p: tuple[int, ...] = (1, 2)
    reductions: tuple[str, ...] = REDUCTIONS
    shapes: tuple[str, ...] = SHAPES
    gradient: bool = True
    permissions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        known = {"dtypes": ALL_DTYPES, "p": (1, 2), "reductions": REDUCTIONS, "shapes": SHAPES}
        for name, allowed in {**known, "permissions": PERMISSIONS}.items():
            values = tuple(getattr(self, name))
            if name == "permissions":
                values = tuple(v.replace("_", "-") for v in values)
            if not values and name != "permissions":
                raise ValueError(f"capabilities.{name} is empty: nothing could be checked")
            for value in values:
                if value not in allowed:
                    raise ValueError(f"capabilities.{name} has {value!r}, but should be out of {allowed}")
            object.__setattr__(self, name, values)  # lists and underscores are accepted, one form is kept

    def leaves_out(self, case: Case) -> str:
        """Return why a call is not for this backend ("" if it is).

        Calls that must be rejected for another reason than what is left out are kept.
        """
        return self.leaves_out_options(case.p, case.reduction, case.input.shape)

    def leaves_out_options(self, p: Any, reduction: Any, shape: tuple[int, ...]) -> str:
        """Return the same for a call with these options and an input of this shape, which need not be made for it."""
        if p in (1, 2) and p not in self.p:
            return f"p = {p} not declared"
        if reduction in REDUCTIONS and reduction not in self.reductions:
            return f"reduction {reduction!r} not declared"
        if len(shape) == 1 and "unbatched" not in self.shapes:
            return "unbatched input not declared"
        if len(shape) == 2 and "batched" not in self.shapes:
            return "batched input not declared"
        return ""

    @property
    def limits(self) -> list[str]:
        """What is left out, in words, for the claim (dtypes and gradient aside)."""
        words = []
        if len(self.p) < 2:
            words.append(f"p = {self.p[0]} only")
        if len(self.reductions) < len(REDUCTIONS):
            words.append(f"reduction {' and '.join(self.reductions)} only")
        if len(self.shapes) < len(SHAPES):
            words.append(f"{' and '.join(self.shapes)} input only")
        return words + [f"with permission: {name}" for name in self.permissions]


def narrowed(capabilities: Capabilities, only: Iterable[str]) -> Capabilities:
    """Limit capabilities by KEY=VALUE options: p, reduction, dtype, shape (batched or unbatched); values by commas.

    Raises ValueError for an unknown key or value.
    """
    for option in only:
        key, _, text = option.partition("=")
        values = tuple(v for v in text.split(",") if v)
        if not values or key not in ("p", "reduction", "dtype", "shape"):
            raise ValueError(f"--only {option!r}, but should be p=, reduction=, dtype= or shape= and a value")
        capabilities = _narrowed(capabilities, key, values)
    return capabilities


def _narrowed(capabilities: Capabilities, key: str, values: tuple[str, ...]) -> Capabilities:
    """Keep of what is declared what is asked for; a limit never adds anything."""
    if key == "p" and not set(values) <= {"1", "2"}:
        raise ValueError(f"--only p={','.join(values)}, but should be 1 or 2")
    name = key if key == "p" else f"{key}s"
    wanted: dict[str, Any] = {name: tuple(map(int, values)) if key == "p" else values}
    asked = getattr(replace(capabilities, **wanted), name)  # refuses unknown values
    declared = getattr(capabilities, name)
    kept: dict[str, Any] = {name: tuple(value for value in declared if value in asked)}
    if not kept[name]:
        raise ValueError(f"--only {key}={','.join(values)}, but the backend declares {declared} only")
    return replace(capabilities, **kept)
