"""Where an error came from, as it is the same on every machine."""

from __future__ import annotations

import os
import sys
from functools import lru_cache


def place_of(error: BaseException) -> str:
    """Return file and line of the last frame of an error, "" where it has none.

    A file below an entry of the module search path, or below the current directory, is named from there. The error's
    traceback is let go of: with it an error that a backend raises again and again would keep every call's frames.
    """
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    BaseException.with_traceback(error, None)
    return f"{short(last.tb_frame.f_code.co_filename)}:{last.tb_lineno}" if last is not None else ""


def short(path: str) -> str:
    """Return a path below the nearest entry of the module search path, or below the current directory."""
    return _below(path, (*sys.path, os.curdir), os.getcwd())


@lru_cache(maxsize=256)  # a backend rejects hundreds of calls in one place
def _below(path: str, entries: tuple[str, ...], _folder: str) -> str:
    """Return a path below the nearest entry; the current directory is a part of what relative ones stand for."""
    roots = [os.path.join(os.path.abspath(entry), "") for entry in entries]
    inside = [root for root in roots if path.startswith(root)]
    return path[len(max(inside, key=len)) :] if inside else path
