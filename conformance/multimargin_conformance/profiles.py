"""The profiles: what a backend may claim, and what has to be checked for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from multimargin_conformance.backend import Subject
from multimargin_conformance.capabilities import ALL_DTYPES
from multimargin_conformance.checks.item import Generated, Scope

USUAL = Generated()


class UnknownProfile(ValueError):  # noqa: N818 (named for what the user sees)
    """A profile that is not one of PROFILES: a usage error."""


@dataclass(frozen=True)
class Profile:
    """dtypes that are checked, whether the gradient is part of it, the operator itself, and the integration (CLASS)."""

    name: str
    dtypes: tuple[str, ...]
    gradient: bool
    operator: bool = True
    integration: bool = False


PROFILES = {
    "core": Profile("core", ("float32", "float64"), False),
    "training": Profile("training", ("float32", "float64"), True),
    "half": Profile("half", ("float16", "bfloat16"), True),
    "torch": Profile("torch", ("float32", "float64"), True, operator=False, integration=True),
    "full": Profile("full", ("float16", "bfloat16", "float32", "float64"), True, integration=True),
}


def find_profile(name: str) -> Profile:
    """Return a profile by name. Raises UnknownProfile with the names there are."""
    if name not in PROFILES:
        raise UnknownProfile(f"profile {name!r}, but should be one of {', '.join(PROFILES)}")
    return PROFILES[name]


def scope_of(
    profile: Profile, subject: Subject, dtypes: Sequence[str] | None = None, generated: Generated = USUAL
) -> Scope:
    """Return what a profile checks on a backend. dtypes: fewer than the profile asks for, None for all.

    Raises ValueError for an unknown dtype, and for a profile of nothing but the integration where the backend has none.
    """
    if not profile.operator and subject.integration is None:
        raise ValueError(
            f"profile {profile.name!r} is for functions over tensors and torch.nn.Module classes, but {subject.name!r} "
            "is neither: name one as torch:module:attr, or check this backend with another profile"
        )
    gradient = profile.gradient and subject.backward is not None
    integration = subject.integration if profile.integration else None
    chosen = _dtypes(profile, subject, dtypes)
    return Scope(chosen, gradient, subject.capabilities, profile.operator, integration, generated)


def _dtypes(profile: Profile, subject: Subject, dtypes: Sequence[str] | None) -> tuple[str, ...]:
    for name in dtypes or ():
        if name not in ALL_DTYPES:
            raise ValueError(f"dtype {name!r}, but should be one of {', '.join(ALL_DTYPES)}")
    wanted = profile.dtypes if dtypes is None else tuple(d for d in profile.dtypes if d in dtypes)
    return tuple(d for d in wanted if d in subject.capabilities.dtypes)


def claim(profile: Profile, subject: Subject, dtypes: tuple[str, ...]) -> str:
    """Return what a run without failures proves, in words: the profile and everything that was left out."""
    gradient = profile.gradient and subject.backward is not None
    name = "core" if profile.name == "training" and not gradient else profile.name
    words = list(subject.capabilities.limits)
    if not profile.operator and not (subject.integration and subject.integration.has_class):
        words.append("function only")
    if dtypes != profile.dtypes:
        words.insert(0, f"{' and '.join(dtypes) or 'no dtype'} only")
    if profile.gradient and not gradient:
        words.append("no gradient")
    return ", ".join([name, *words])
