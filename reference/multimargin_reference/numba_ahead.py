"""Memory that is fetched ahead of its use. Needs numba.

A processor fetches ahead by itself to the end of a page, which is one chunk of a row; float32 kernels that fetch on
their own read large inputs a quarter faster. What a cache holds is read more slowly for it, and float64 and what is
written gain nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

LARGE = 1 << 21  # elements of input; fewer may be in a cache
AHEAD = 1 << 12  # elements
LINE = 64  # bytes that are fetched at once
READ, SECOND_LEVEL, DATA = 0, 1, 1  # what the instruction is told: of what use, into which cache, of what kind


@intrinsic
def fetch(_typing: Any, array: Any, index: Any) -> Any:
    """Ask for the line of memory that a contiguous array's element lies in; one outside the array does no harm."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        prefetch = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        address = builder.bitcast(builder.gep(data, [arguments[1]]), byte)
        builder.call(prefetch, [address, *(number(n) for n in (READ, SECOND_LEVEL, DATA))])
        return context.get_dummy_value()

    return types.void(array, index), generate


def ahead(input: Any) -> int:
    """Return how many elements ahead an input is to be fetched, 0 for not."""
    return AHEAD if input.dtype == np.float32 and input.size >= LARGE else 0
