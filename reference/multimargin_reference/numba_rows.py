"""Rows of few classes, ROWS at once, each as one vector: the sums of `numba_kernels` without loops. Needs numba.

A loop over ten classes is mostly the part of it that no vector does, and the sum of one vector takes longer than all
that comes before it. Here vectors are read and written in part, and those of ROWS rows are summed together. Processors
with AVX2 read a part of a vector in one instruction; elsewhere that would be a branch for each class, and WIDTH is 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


def _has_avx2() -> bool:
    try:
        return bool(binding.get_host_cpu_features().get("avx2"))
    except RuntimeError:  # not known of every processor
        return False


ROWS = LANES = 16  # as many rows as lanes: the sums of all rows are one vector
FEWEST = 5  # classes of a row that is worth a vector
WIDTH = LANES if _has_avx2() else 0  # classes of the longest row that is one vector
INT = ir.IntType(32)


@intrinsic
def evaluate(
    _typing: Any,
    block: Any,
    start: Any,
    nearest: Any,
    residue: Any,
    targets: Any,
    squared: Any,
    powers: Any,
    factors: Any,
    out: Any,
    slopes: Any,
) -> Any:
    """Write `powers`, the sums of max(0, z) ** p of rows [start, start + ROWS) without their targets.

    With `out`, the gradient of `block`, write that, slope * factor, and `slopes`, the sums of 1 or z where z > 0, too.
    block, out: (rows, C), contiguous, at most WIDTH classes; start: an integer; squared: as in `numba_kernels`; the
    others: (rows,). Numba calls this with the types of the arguments, and what it returns with their values.
    """
    called = types.void(block, start, nearest, residue, targets, squared, powers, factors, out, slopes)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        arrays: list[Any] = [
            context.make_array(kind)(context, builder, value) if isinstance(kind, types.Array) else None
            for kind, value in zip(signature.args, arguments, strict=True)
        ]
        classes = cgutils.unpack_tuple(builder, arrays[0].shape)[1]
        code = _Code(builder, context.get_data_type(block.dtype), classes)
        code.rows(arguments[1], [array and array.data for array in arrays], linear=squared is types.none)
        return context.get_dummy_value()

    return called, generate


@dataclass(frozen=True)
class _Code:
    """What code is added to, the type of the block's numbers, and C."""

    builder: ir.IRBuilder
    number: ir.Type
    classes: ir.Value

    def rows(self, start: ir.Value, memory: Sequence[Any], *, linear: bool) -> None:
        """Add what `evaluate` does; memory: of its arguments that are arrays."""
        x, _, nearest, residue, targets, _, powers, factors, out, slopes = memory
        b = self.builder
        lanes = ir.Constant(ir.VectorType(INT, LANES), list(range(LANES)))
        inside = b.icmp_signed("<", lanes, self.all(b.trunc(self.classes, INT)))
        zeros, ones = (ir.Constant(self.vector, [number] * LANES) for number in (0.0, 1.0))
        terms, steps = [], []
        for k in range(ROWS):
            row = b.add(start, ir.Constant(start.type, k))
            at = b.mul(row, self.classes)
            near, rest, target = (b.load(b.gep(array, [row])) for array in (nearest, residue, targets))
            z = b.fsub(b.fsub(self.read(x, at, inside, zeros), self.all(near)), self.all(rest))
            other = b.icmp_signed("!=", lanes, self.all(b.trunc(target, INT)))
            active = b.and_(b.and_(b.fcmp_ordered(">", z, zeros), inside), other)
            hinge = b.select(active, z, zeros)
            terms.append(hinge if linear else b.fmul(hinge, hinge))
            if out is not None:
                factor = self.all(b.load(b.gep(factors, [row])))
                self.write(out, at, inside, b.select(active, factor if linear else b.fmul(z, factor), zeros))
                steps.append(b.select(active, ones, zeros) if linear else hinge)
        self.write(powers, start, None, self.sums(terms))
        if out is not None:
            self.write(slopes, start, None, self.sums(steps))

    @property
    def vector(self) -> ir.Type:
        return ir.VectorType(self.number, LANES)

    def all(self, value: ir.Value) -> ir.Value:
        """Return a vector of one value."""
        vector, none = ir.VectorType(value.type, LANES), ir.Constant(ir.VectorType(INT, LANES), [0] * LANES)
        first = self.builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(INT, 0))
        return self.builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), none)

    def sums(self, vectors: list[ir.Value]) -> ir.Value:
        """Return the sums of LANES vectors as one: two vectors' halves are added, then their quarters, and so on."""
        size = LANES
        while len(vectors) > 1:
            size //= 2
            low = [first + lane for first in range(0, 2 * LANES, 2 * size) for lane in range(size)]
            places = [ir.Constant(ir.VectorType(INT, LANES), [at + offset for at in low]) for offset in (0, size)]
            pairs = zip(vectors[::2], vectors[1::2], strict=True)
            vectors = [self.builder.fadd(*(self.builder.shuffle_vector(*pair, at) for at in places)) for pair in pairs]
        return vectors[0]

    def read(self, memory: ir.Value, at: ir.Value, inside: ir.Value, zeros: ir.Value) -> ir.Value:
        """Return the lanes `inside` of a vector in memory, and zeros."""
        place = self.place(memory, at)
        of = (place.type, INT, inside.type, zeros.type)
        return self.call(f"masked.load.{self.name}.p0", self.vector, of, (place, self.alignment, inside, zeros))

    def write(self, memory: ir.Value, at: ir.Value, inside: ir.Value | None, values: ir.Value) -> None:
        """Write the lanes `inside` of a vector, or all."""
        place = self.place(memory, at)
        if inside is None:
            self.builder.store(values, place, align=self.bytes)
            return
        of = (values.type, place.type, INT, inside.type)
        self.call(f"masked.store.{self.name}.p0", ir.VoidType(), of, (values, place, self.alignment, inside))

    def place(self, memory: ir.Value, at: ir.Value) -> ir.Value:
        return self.builder.bitcast(self.builder.gep(memory, [at]), self.vector.as_pointer())

    def call(self, name: str, result: ir.Type, of: Sequence[ir.Type], arguments: Sequence[ir.Value]) -> ir.Value:
        function = cgutils.get_or_insert_function(self.builder.module, ir.FunctionType(result, of), f"llvm.{name}")
        return self.builder.call(function, arguments)

    @property
    def bytes(self) -> int:
        return 4 if isinstance(self.number, ir.FloatType) else 8

    @property
    def alignment(self) -> ir.Value:
        return ir.Constant(INT, self.bytes)

    @property
    def name(self) -> str:
        return f"v{LANES}f{8 * self.bytes}"
