"""Triton kernels of the loss and its gradient in one pass over input; launched by `triton_loss`, which says more.

A row's sums run over a block in the compute dtype and go on in float64; nothing is added atomically, so the result of a
call is always the same. Targets out of range are counted, and read as class 0: nothing outside the arguments is read.

Arguments of all kernels: strides are in elements, those of rows and the number of classes in units of ALIGN elements,
so that the compiler sees that vectors are aligned; UNIT: neighbouring classes are neighbours in memory. margin: the
bits of a float64, since Triton passes floats as float32. weighted, graded: the number of rows, or 0 where there is no
`weight` or `grads` (both are 1 then). each: 1 for the reduction none. unless_one: 1 to do nothing where grad_output is
1. D: the compute dtype; LARGEST: its largest number.
"""
# ruff: noqa: ARG001 (all but the last kernel have the same arguments)

from __future__ import annotations

import triton
import triton.language as tl

SIZES = ["rows", "classes", "x_row", "x_step", "d_row", "d_step", "y_step", "w_step", "g_step", "divisor"]
SCALARS = [*SIZES, "margin", "weighted", "graded", "each", "unless_one"]  # their values are no reason to compile again


@triton.jit
def _thresholds(chosen, margin, D: tl.constexpr, LARGEST: tl.constexpr):
    """Return x[y] - margin as (nearest number of D, what is left); see `vectorized._thresholds`."""
    difference = chosen - margin
    subtracted = chosen - difference
    error = (chosen - (difference + subtracted)) + (subtracted - margin)
    finite = difference - difference == 0
    low = tl.where(difference < -LARGEST, -LARGEST, difference)
    clamped = tl.where(difference > LARGEST, LARGEST, low)
    nearest = tl.where(finite, clamped, difference).to(D)
    residue = ((difference - nearest.to(tl.float64)) + error).to(D)
    return nearest, tl.where(residue == residue, residue, 0.0)


@triton.jit
def _stepped(columns, step, UNIT: tl.constexpr):
    """Return how far columns are from the first."""
    return columns if UNIT else columns * step


@triton.jit
def _target(target, row, y_step, C, valid):
    """Return the target of each row, 0 where it is out of range, and whether it is."""
    y = tl.load(target + row * y_step, mask=valid, other=0)
    outside = (y < 0) | (y >= C)
    return tl.where(outside, 0, y), outside


@triton.jit
def _weight(weight, y, w_step, row, weighted):
    """Return w[y] as float64."""
    return tl.load(weight + y * w_step, mask=row < weighted, other=1.0).to(tl.float64)


@triton.jit
def _factor(grads, row, g_step, graded, w, divisor, P: tl.constexpr):
    """Return grad_output * w[y] * p / divisor as float64."""
    g = tl.load(grads + row * g_step, mask=row < graded, other=1.0).to(tl.float64)
    return g * w * P / divisor.to(tl.float64)


@triton.jit
def _skipped(grads, unless_one):
    """Return whether there is nothing to do: only asked for with one grad_output for all rows."""
    return tl.load(grads, mask=unless_one != 0, other=0.0).to(tl.float64) == 1


@triton.jit(do_not_specialize=SCALARS)
def whole_rows(
    input, target, weight, grads, losses, gradient, work,
    rows, classes, x_row, x_step, d_row, d_step, y_step, w_step, g_step, margin, divisor,
    weighted, graded, each, unless_one,
    P: tl.constexpr, GRADIENT: tl.constexpr, D: tl.constexpr, LARGEST: tl.constexpr,
    ALIGN: tl.constexpr, UNIT: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Up to BLOCK classes: a program holds ROWS rows at a time, and stores the sum of its rows' losses in `work`."""
    program, programs = tl.program_id(0), tl.num_programs(0)
    C = classes * ALIGN
    columns = tl.arange(0, BLOCK)
    exact_margin = margin.to(tl.int64).to(tl.float64, bitcast=True)
    total = tl.zeros([ROWS], tl.float64)
    wrong = tl.zeros([ROWS], tl.int32)
    tiles = tl.where(_skipped(grads, unless_one), 0, tl.cdiv(rows, ROWS))
    for tile in range(program, tiles, programs):
        row = tl.full([ROWS], ROWS, tl.int64) * tile + tl.arange(0, ROWS)
        valid = row < rows
        inside = valid[:, None] & (columns < C)[None, :]
        start = input + row * x_row * ALIGN
        x = tl.load(start[:, None] + _stepped(columns.to(tl.int64), x_step, UNIT)[None, :], mask=inside, other=0.0)
        y, outside = _target(target, row, y_step, C, valid)
        wrong = wrong | outside.to(tl.int32)
        chosen = tl.load(start + y * x_step, mask=valid, other=0.0).to(tl.float64)
        w = _weight(weight, y, w_step, row, weighted)
        nearest, residue = _thresholds(chosen, exact_margin, D, LARGEST)
        z = (x.to(D) - nearest[:, None]) - residue[:, None]
        own = columns[None, :] == y.to(tl.int32)[:, None]
        active = (z > 0) & inside & (own == 0)
        hinge = tl.where(active, z, 0.0)
        sums = tl.sum(hinge if P == 1 else hinge * hinge, 1).to(tl.float64)
        loss = tl.where(sums > 0, sums * w, 0.0)  # a row without an active term gives 0 whatever its weight
        total += loss
        if each != 0:
            scaled = (loss / divisor.to(tl.float64)).to(D).to(losses.dtype.element_ty)
            tl.store(losses + row, scaled, mask=valid)
        if GRADIENT:
            factor = _factor(grads, row, g_step, graded, w, divisor, P)
            slopes = active.to(D) if P == 1 else hinge
            slope = tl.sum(slopes, 1).to(tl.float64)
            at_target = tl.where(slope > 0, -slope * factor, 0.0).to(D)
            # Selected, not multiplied by 0: an inactive element is 0 whatever its factor.
            found = tl.where(active, slopes * factor.to(D)[:, None], 0.0)
            found = tl.where(own, at_target[:, None], found).to(gradient.dtype.element_ty)
            place = gradient + (row * d_row * ALIGN)[:, None] + _stepped(columns.to(tl.int64), d_step, UNIT)[None, :]
            tl.store(place, found, mask=inside)
    tl.store(work + program, tl.sum(total))
    tl.store(work + programs + program, tl.max(wrong).to(tl.float64))


@triton.jit(do_not_specialize=[*SCALARS, "parts", "blocks"])
def split_rows(
    input, target, weight, grads, losses, gradient, work,
    rows, classes, x_row, x_step, d_row, d_step, y_step, w_step, g_step, margin, divisor,
    weighted, graded, each, unless_one, parts, blocks,
    P: tl.constexpr, GRADIENT: tl.constexpr, D: tl.constexpr, LARGEST: tl.constexpr,
    ALIGN: tl.constexpr, UNIT: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Any number of classes: each row in `parts` parts of `blocks` blocks, a program for one part at a time.

    With one part a row, `work` gets what `whole_rows` stores; with more, each part's sums of losses and slopes and
    whether the target was out of range, for `sum_parts`.
    """
    program, programs = tl.program_id(0), tl.num_programs(0)
    C = classes.to(tl.int64) * ALIGN
    columns = tl.arange(0, BLOCK)
    exact_margin = margin.to(tl.int64).to(tl.float64, bitcast=True)
    total = tl.zeros([1], tl.float64)
    wrong = tl.zeros([1], tl.int32)
    units = rows * parts
    for unit in range(program, tl.where(_skipped(grads, unless_one), 0, units), programs):
        row = tl.full([1], 1, tl.int64) * (unit // parts)
        valid = row >= 0
        y, outside = _target(target, row, y_step, C, valid)
        start = input + row * x_row * ALIGN
        chosen = tl.load(start + y * x_step, mask=valid).to(tl.float64)
        w = _weight(weight, y, w_step, row, weighted)
        nearest, residue = _thresholds(chosen, exact_margin, D, LARGEST)
        factor = _factor(grads, row, g_step, graded, w, divisor, P)
        into = gradient + row * d_row * ALIGN
        sums = tl.zeros([1], tl.float64)
        slope = tl.zeros([1], tl.float64)
        for block in range(unit % parts * blocks, (unit % parts + 1) * blocks):
            first = tl.full([1], BLOCK, tl.int64) * block
            place = first + columns
            inside = place < C
            x = tl.load(start + _stepped(place, x_step, UNIT), mask=inside, other=0.0).to(D)
            z = (x - nearest) - residue
            active = (z > 0) & inside & (place != y)
            hinge = tl.where(active, z, 0.0)
            sums += tl.sum(hinge if P == 1 else hinge * hinge).to(tl.float64)
            if GRADIENT:
                slopes = active.to(D) if P == 1 else hinge
                slope += tl.sum(slopes).to(tl.float64)
                found = tl.where(active, slopes * factor.to(D), 0.0)
                tl.store(into + _stepped(place, d_step, UNIT), found.to(gradient.dtype.element_ty), mask=inside)
        one = tl.arange(0, 1)
        if parts == 1:
            loss = tl.where(sums > 0, sums * w, 0.0)
            total += loss
            wrong = wrong | outside.to(tl.int32)
            if each != 0:
                scaled = (loss / divisor.to(tl.float64)).to(D).to(losses.dtype.element_ty)
                tl.store(losses + row, scaled)
            if GRADIENT:
                tl.debug_barrier()  # the target's element was stored as 0, by another thread
                at_target = tl.where(slope > 0, -slope * factor, 0.0).to(D)
                tl.store(into + y * d_step, at_target.to(gradient.dtype.element_ty))
        else:
            tl.store(work + unit + one, sums)
            tl.store(work + units + unit + one, slope)
            tl.store(work + 2 * units + unit + one, outside.to(tl.float64))
    if parts == 1:
        tl.store(work + program, tl.sum(total))
        tl.store(work + programs + program, tl.max(wrong).to(tl.float64))


@triton.jit(do_not_specialize=["programs", "divisor", "each"])
def sum_programs(losses, work, right, programs, divisor, each, D: tl.constexpr, LANES: tl.constexpr):
    """One program: add what the programs stored; `right` gets whether all targets are in range."""
    lanes = tl.arange(0, LANES)
    total = tl.zeros([LANES], tl.float64)
    wrong = tl.zeros([LANES], tl.float64)
    for start in range(0, programs, LANES):
        here = start + lanes < programs
        total += tl.load(work + start + lanes, mask=here, other=0.0)
        wrong += tl.load(work + programs + start + lanes, mask=here, other=0.0)
    if each == 0:
        scaled = (tl.sum(total) / divisor.to(tl.float64)).to(D)
        tl.store(losses, scaled.to(losses.dtype.element_ty))
    tl.store(right, (tl.sum(wrong) == 0).to(tl.int8))


@triton.jit(do_not_specialize=[*SCALARS, "parts"])
def sum_parts(
    input, target, weight, grads, losses, gradient, work, right,
    rows, classes, x_row, x_step, d_row, d_step, y_step, w_step, g_step, margin, divisor,
    weighted, graded, each, unless_one, parts,
    P: tl.constexpr, GRADIENT: tl.constexpr, D: tl.constexpr, LARGEST: tl.constexpr,
    ALIGN: tl.constexpr, UNIT: tl.constexpr, ROWS: tl.constexpr, PARTS: tl.constexpr,
):  # fmt: skip
    """One program: finish what `split_rows` left of rows in parts; PARTS is at least `parts`."""
    units = rows * parts
    part = tl.arange(0, PARTS)[None, :]
    total = tl.zeros([ROWS], tl.float64)
    wrong = tl.zeros([ROWS], tl.float64)
    for first in range(0, tl.where(_skipped(grads, unless_one), 0, rows), ROWS):
        row = tl.full([ROWS], 1, tl.int64) * first + tl.arange(0, ROWS)
        valid = row < rows
        here = valid[:, None] & (part < parts)
        place = work + row[:, None] * parts + part
        sums = tl.sum(tl.load(place, mask=here, other=0.0), 1)
        wrong += tl.sum(tl.load(place + 2 * units, mask=here, other=0.0), 1)
        y, _ = _target(target, row, y_step, classes.to(tl.int64) * ALIGN, valid)
        w = _weight(weight, y, w_step, row, weighted)
        loss = tl.where(sums > 0, sums * w, 0.0)
        total += loss
        if each != 0:
            scaled = (loss / divisor.to(tl.float64)).to(D).to(losses.dtype.element_ty)
            tl.store(losses + row, scaled, mask=valid)
        if GRADIENT:
            slope = tl.sum(tl.load(place + units, mask=here, other=0.0), 1)
            factor = _factor(grads, row, g_step, graded, w, divisor, P)
            at_target = tl.where(slope > 0, -slope * factor, 0.0).to(D)
            tl.store(gradient + row * d_row * ALIGN + y * d_step, at_target.to(gradient.dtype.element_ty), mask=valid)
    if each == 0:
        scaled = (tl.sum(total) / divisor.to(tl.float64)).to(D)
        tl.store(losses, scaled.to(losses.dtype.element_ty))
    tl.store(right, (tl.sum(wrong) == 0).to(tl.int8))
