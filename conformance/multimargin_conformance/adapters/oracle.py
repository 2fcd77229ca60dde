"""The exact oracle as a backend: every result is the exact one, rounded once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from multimargin_conformance.backend import distribution_version
from multimargin_reference import oracle
from multimargin_reference.arithmetic import Real
from multimargin_reference.expectation import flattened
from multimargin_reference.formats import DTYPES, FORMATS


class OracleBackend:
    """The scalar loop of `multimargin_reference.oracle`."""

    name = "oracle"
    version = distribution_version("multimargin")

    def forward(self, input: NDArray[Any], target: NDArray[Any], **options: Any) -> NDArray[Any]:
        """Return the correctly rounded loss."""
        exact = oracle.loss(input, target, **options)
        shape = target.shape if options["reduction"] == "none" else ()
        return _rounded(exact, shape, input.dtype.name)

    def backward(
        self, grad_output: NDArray[Any], input: NDArray[Any], target: NDArray[Any], **options: Any
    ) -> NDArray[Any]:
        """Return the correctly rounded gradient."""
        return _rounded(oracle.gradient(grad_output, input, target, **options), input.shape, input.dtype.name)


def _rounded(exact: Any, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    values: list[Real] = [FORMATS[dtype].round(v) for v in flattened(exact, len(shape))]
    return np.array([float(v) for v in values], dtype=np.float64).astype(DTYPES[dtype]).reshape(shape)
