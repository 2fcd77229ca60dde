"""Golden vectors of MultiMarginLoss: generated, with the enclosure of every legal result."""

from __future__ import annotations

from multimargin_vectors.model import Vector
from multimargin_vectors.store import VectorFileError, by_id, load, manifest, read_file

__all__ = ["Vector", "VectorFileError", "by_id", "load", "manifest", "read_file"]
