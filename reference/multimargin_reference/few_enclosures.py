"""What is legal for a result that is 0 at all places but few: to judge it takes one look at most of its elements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multimargin_reference.expectation import Enclosures, Floats

Places = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class FewEnclosures:
    """Enclosures whose ends are 0 but at few places, flat and no two the same; lo, hi, nearest: of these alone.

    No special value is legal anywhere. Other names as in `Enclosures`.
    """

    shape: tuple[int, ...]
    dtype: str
    places: Places
    lo: Floats
    hi: Floats
    nearest: Floats

    @classmethod
    def of(cls, enclosures: Enclosures) -> FewEnclosures:
        """Return the same enclosures. Raises ValueError for those that cannot be written so."""
        if enclosures.also or enclosures.dtype is None or enclosures.wide_lo is not None:
            raise ValueError("special values, no dtype or another enclosure, but should be one interval an element")
        found = (enclosures.lo, enclosures.hi, enclosures.nearest)
        places = np.flatnonzero(np.logical_or.reduce([ends != 0 for ends in found]))
        return cls(enclosures.shape, enclosures.dtype, places, *(ends[places] for ends in found))

    def admits(self, result: NDArray[Any]) -> bool:
        """Return whether all elements of a result of the right shape are legal."""
        flat = np.asarray(result).reshape(-1)
        there = flat[self.places].astype(np.float64)
        if not ((self.lo <= there) & (there <= self.hi)).all():
            return False
        return bool(np.count_nonzero(flat != 0) == np.count_nonzero(there))  # NaN is none

    def full(self) -> Enclosures:
        """Return the same with every element's."""
        size = int(np.prod(self.shape))
        lo, hi, nearest = (_spread(ends, self.places, size) for ends in (self.lo, self.hi, self.nearest))
        return Enclosures(self.shape, self.dtype, lo, hi, nearest)


AnyEnclosures = Enclosures | FewEnclosures


def _spread(values: Floats, places: Places, size: int) -> Floats:
    """Return an array of so many zeros with the values at their places."""
    spread = np.zeros(size)
    spread[places] = values
    return spread
