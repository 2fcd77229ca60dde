"""Cases by the names that users give: a vector's id or the start of it."""

from __future__ import annotations

from multimargin_vectors import Vector, by_id


class UnknownCase(LookupError):  # noqa: N818 (named for what the user sees)
    """A name that leads to no case, or to more than one: a usage error (exit status 2)."""


def find_vector(name: str) -> Vector:
    """Return the vector whose id starts with `name`. Raises UnknownCase where there is none, or more than one."""
    matching = [vector for key, vector in by_id().items() if name and key.startswith(name)]
    if len(matching) != 1:
        raise UnknownCase(f"{name!r} is the start of {len(matching)} vector ids, but should be of one")
    return matching[0]
