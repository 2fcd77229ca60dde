"""The profiles: what a backend may claim, and what has to be checked for it."""

from __future__ import annotations

from dataclasses import dataclass

from multimargin_conformance.backend import Subject


class UnknownProfile(ValueError):  # noqa: N818 (named for what the user sees)
    """A profile that is not one of PROFILES: a usage error."""


@dataclass(frozen=True)
class Profile:
    """dtypes that are checked, and whether the gradient is part of it."""

    name: str
    dtypes: tuple[str, ...]
    gradient: bool


PROFILES = {
    "core": Profile("core", ("float32", "float64"), False),
    "training": Profile("training", ("float32", "float64"), True),
    "half": Profile("half", ("float16", "bfloat16"), True),
    "full": Profile("full", ("float16", "bfloat16", "float32", "float64"), True),
}


def find_profile(name: str) -> Profile:
    """Return a profile by name. Raises UnknownProfile with the names there are."""
    if name not in PROFILES:
        raise UnknownProfile(f"profile {name!r}, but should be one of {', '.join(PROFILES)}")
    return PROFILES[name]


def claim(profile: Profile, subject: Subject, dtypes: tuple[str, ...]) -> str:
    """Return what a run without failures proves, in words: the profile and everything that was left out."""
    gradient = profile.gradient and subject.backward is not None
    name = "core" if profile.name == "training" and not gradient else profile.name
    words = list(subject.capabilities.limits)
    if dtypes != profile.dtypes:
        words.insert(0, f"{' and '.join(dtypes) or 'no dtype'} only")
    if profile.gradient and not gradient:
        words.append("no gradient")
    return ", ".join([name, *words])
