"""What goes wrong, clause by clause, and what sees it: the fault models that the checks are made for.

A fault model is a family of mistakes with one cause; the known faults of `multimargin_reference.known` are members of
these families, and FAULTS.md (`python -m multimargin_conformance.faults`) lists them beside the models.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Model:
    """wrong: what authors, compilers and refactorings get wrong. seen: what a call must be like to show it."""

    wrong: str
    seen: str


MODELS = {
    "VALUE-1": Model(
        "another loss than the hinge sum: the largest class only (Crammer-Singer), softplus, a shifted or clipped "
        "z, a sign exchanged, logits that an algebraic shortcut mixes with those of other rows",
        "exact grids: every class active in some row and inactive in another; the order of classes and a shift of "
        "a row must not matter",
    ),
    "VALUE-2": Model(
        "the power before the hinge, of the sum, after the division, or another one (1, 1.5, Huber); a p = 2 path "
        "that is chosen by a wrong test",
        "z far from 0 and 1, negative z, p = 1 and 2 in one run; unit hinges relate both powers",
    ),
    "VALUE-3": Model(
        "no hinge, a leak below it, an absolute value; small positive terms dropped by a tolerance",
        "z just above and just below 0, in every dtype's own spacing; convexity and sign of the loss",
    ),
    "VALUE-4": Model(
        "the target's own term kept, or removed by subtracting margin ** p, by value, or by the largest logit",
        "negative, zero and huge margins; logits equal to the target's; targets that are not the largest",
    ),
    "VALUE-5": Model(
        "division by C - 1, by padded C, by active classes, twice, for some reductions only; C in a narrow integer",
        "every reduction at several C, C + 1 and 2 C with the same active terms, C past 127, 255, 65535",
    ),
    "VALUE-6": Model(
        "the margin ignored, truncated, clamped, squared, tied to a default, or its sign lost",
        "positive, zero, negative, fractional and large margins, the largest too, with both powers; a larger one never "
        "lowers the loss",
    ),
    "VALUE-7": Model(
        "one class divides by C - 1 or gives the margin",
        "C = 1 with every option, batched and not",
    ),
    "VALUE-8": Model(
        "the documented example is another operator's",
        "the example itself",
    ),
    "VALUE-9": Model(
        "narrow arithmetic (bfloat16, float16, TF32, float32 for float64) for inputs, terms, sums or divisors; "
        "running means; cancelling algebra; approximate reciprocals; relative errors of 1e-6 (float32) and 1e-14 "
        "(float64)",
        "grids that use nearly all bits of the dtype at all sizes, few active terms among many classes, offsets, "
        "magnitudes far apart; bounds are derived, none is picked",
    ),
    "WEIGHT-1": Model(
        "the weight of class i, of the row, of the first row, of the predicted class, of a wrapped index; ignored "
        "for some p, reduction or rank; a NaN or an infinite one that a sum leaves out or makes finite",
        "weights that differ for every class, targets that differ from row numbers, each crossed with every option; "
        "NaN and infinities at a class that is used",
    ),
    "WEIGHT-2": Model(
        "the weight inside the hinge or the power (old PyTorch documentation, PaddlePaddle), on the margin; "
        "weights past a limit clipped or taken for 0, whole ones kept in a narrower type",
        "negative weights, and weights other than 1 with p = 2; linearity in the weights; powers of two of every "
        "magnitude and odd whole numbers, with every reduction",
    ),
    "WEIGHT-3": Model(
        "absolute or clamped weights, 0 taken for absent, tiny weights replaced by an epsilon",
        "negative, zero, tiny and huge weights on active rows",
    ),
    "WEIGHT-4": Model(
        "classes that no row uses poison the result: one-hot products, normalisation by the largest weight, checks",
        "NaN, infinite and huge weights of unused classes",
    ),
    "WEIGHT-5": Model(
        "mean divides by the sum of weights, or weights are normalised first, as other losses do",
        "weights whose sum is not N, equal ones included",
    ),
    "REDUCTION-1": Model(
        "`none` divided by N, cumulative, reversed, filled with the mean, one value a class",
        "rows whose losses all differ",
    ),
    "REDUCTION-2": Model(
        "mean divides by C, N - 1, active rows, twice or not at all; a median; the first row",
        "N other than C, 1 and 2, with inactive rows",
    ),
    "REDUCTION-3": Model(
        "sum divides",
        "N of several sizes",
    ),
    "REDUCTION-4": Model(
        "a shape of (1,), (N, 1), (N, N) or one taken from the input's rank",
        "every reduction, batched and not, weighted and not",
    ),
    "REDUCTION-5": Model(
        "reductions by paths of their own that disagree: another accumulator, a shared exponent",
        "the same batch by every reduction, magnitudes far apart between rows",
    ),
    "SHAPE-1": Model(
        "rows exchanged, dropped, copied, or found by a wrong offset; N and C exchanged, which N = C hides",
        "rows that all differ, N = C, permuted rows, batch against rows one by one",
    ),
    "SHAPE-2": Model(
        "input without a batch rejected, divided again, or given another path's options",
        "(C,) with every option",
    ),
    "SHAPE-3": Model(
        "equal targets collide: scatter without accumulation, rows cached by target",
        "many rows with one target",
    ),
    "SHAPE-4": Model(
        "tails of vector and block sizes dropped or counted twice; classes past a limit ignored; indices in 8 or "
        "16 bits",
        "every C from 1 to 40 and around each power of two up to 131072, with active classes at the places of tails",
    ),
    "SHAPE-5": Model(
        "the same for rows: an odd row, a last block, offsets n C in 16 bits, a count in 8 bits; a last tile, or a "
        "narrower type, where rows and classes are both many",
        "N around each power of two up to 65537, rows with losses of their own, every option crossed with every size; "
        "corners of many rows of many classes",
    ),
    "SHAPE-6": Model(
        "an empty batch rejected or of another shape",
        "N = 0 with `none`",
    ),
    "SHAPE-7": Model(
        "uninitialised memory (PyTorch), NaN, or an error for the sum of nothing",
        "N = 0, again and again, memory dirtied between",
    ),
    "SHAPE-8": Model(
        "uninitialised memory, infinity, 1, or an error for the mean of nothing",
        "N = 0, again and again",
    ),
    "SHAPE-9": Model(
        "a crash, an error or another shape for the gradient of nothing",
        "N = 0 with backward",
    ),
    "DTYPE-1": Model(
        "results always float64 or float32, Python numbers, integers, nothing",
        "every dtype and reduction",
    ),
    "DTYPE-2": Model(
        "halves through 8 bits, or one half computed as the other",
        "halves at their range and spacing",
    ),
    "DTYPE-3": Model(
        "int64 targets rejected or cast before they are checked",
        "int64 targets of all values",
    ),
    "DTYPE-4": Model(
        "accepted other types with a wrong result",
        "int32, uint8, float p, weights of another dtype, two of these in one call; integer logits, beside invalid "
        "arguments too",
    ),
    "GRADIENT-1": Model(
        "a gradient that is zero, negated, transposed, saturated, of another row or class, or made by differences",
        "every element of every gradient on exact grids; the loss along a segment must fit the gradient",
    ),
    "GRADIENT-2": Model(
        "the slope of another power: 2 forgotten, 1 for p = 2, clipped",
        "p = 2 with z on both sides of 1",
    ),
    "GRADIENT-3": Model(
        "the target's element zero, positive, one share, of all classes, at another place, unweighted, narrow",
        "rows with several active classes; over the classes the gradient sums to zero",
    ),
    "GRADIENT-4": Model(
        "full or half slope at z = 0 (PyTorch's decomposition), perhaps for large logits or margins alone",
        "exact ties, which random data never has, at every magnitude of logits and of the margin",
    ),
    "GRADIENT-5": Model(
        "slope where z < 0: masks forgotten, leaks, signs, NaN by 0 / 0",
        "inactive classes and rows",
    ),
    "GRADIENT-6": Model(
        "the factor without 1 / C, without 1 / N, with both, with N in 8 bits",
        "every reduction, N other than C",
    ),
    "GRADIENT-7": Model(
        "the weight missing, squared, absolute, made finite, of another class in the gradient alone",
        "weights as for WEIGHT-1",
    ),
    "GRADIENT-8": Model(
        "grad_output ignored, its sign dropped, squared, clipped, truncated",
        "negative, zero, fractional and huge factors, of every magnitude and of many digits",
    ),
    "GRADIENT-9": Model(
        "one row's factor for all, by column, averaged, reversed",
        "a factor of its own for every row",
    ),
    "GRADIENT-10": Model(
        "a gradient of another shape or dtype, flat, two-dimensional for (C,)",
        "every shape and dtype",
    ),
    "GRADIENT-11": Model(
        "a narrow gradient or target accumulator; small gradients dropped; relative errors",
        "as for VALUE-9",
    ),
    "SPECIAL-1": Model(
        "masked classes (-inf) that poison: products with 0, row maxima subtracted, finite substitutes",
        "-inf at one, several and all other classes, with every option",
    ),
    "SPECIAL-2": Model(
        "+inf clamped, turned finite or into NaN; its gradient NaN",
        "+inf at a non-target, both powers",
    ),
    "SPECIAL-3": Model(
        "+inf at the target gives NaN",
        "+inf at the target",
    ),
    "SPECIAL-4": Model(
        "-inf at the target replaced by a finite mask",
        "-inf at the target",
    ),
    "SPECIAL-5": Model(
        "subnormal inputs or results flushed",
        "logits, losses and gradients below the smallest normal",
    ),
    "SPECIAL-6": Model(
        "overflow before the result does: squares before scaling, sums in float16; an error in place of infinity",
        "results just below the largest finite; rows whose sum is beyond it",
    ),
    "SPECIAL-7": Model(
        "NaN counted, replaced by a number, spread over the batch, rejected",
        "NaN at a non-target, the target, one row of many",
    ),
    "SPECIAL-8": Model(
        "undefined forms that are answered by any number",
        "inf - inf, nothing but one infinity, 0 times inf, infinite margins",
    ),
    "REJECT-1": Model(
        "p truncated, compared with a tolerance, or taken as any power",
        "p between and beyond 1 and 2, of other types, NaN",
    ),
    "REJECT-2": Model(
        "reduction by its first letter, in any case, with a default for the rest",
        "texts near the three, other types",
    ),
    "REJECT-3": Model(
        "a negative target wraps, is clipped, skipped or answered by NaN; checked in one row, for some options",
        "-1, -2, -C, -100, at every place, by every path, after a valid call of the same shape",
    ),
    "REJECT-4": Model(
        "C accepted, clipped, wrapped, or cast before the check",
        "C, C + 1, far above, at every place",
    ),
    "REJECT-5": Model(
        "a target that is valid after a narrowing cast",
        "2**8, 2**16, 2**32 plus a valid class, 2**63 - 1",
    ),
    "REJECT-6": Model(
        "too few or too many targets broadcast, padded or ignored",
        "N - 1, N + 1, 1 and 0 targets",
    ),
    "REJECT-7": Model(
        "a column, row, matrix or one-hot target flattened",
        "targets of every wrong rank",
    ),
    "REJECT-8": Model(
        "floating targets truncated",
        "whole and fractional floats, every floating dtype",
    ),
    "REJECT-9": Model(
        "weights broadcast, padded, or checked against N or by use only",
        "C - 1, C + 1, 1, 0, N weights, also where no target reads them",
    ),
    "REJECT-10": Model(
        "weights of another rank flattened",
        "(1, C), (C, 1), ()",
    ),
    "REJECT-11": Model(
        "C = 0 answered by 0 or NaN",
        "C = 0, with and without rows",
    ),
    "REJECT-12": Model(
        "rank 3 flattened or squeezed",
        "ranks 0 and 3",
    ),
    "PURITY-1": Model(
        "arguments changed: in place hinges, clipping, sorting, scratch space in grad_output, a shift that is undone",
        "every argument compared byte by byte with the memory around it, after every call",
    ),
    "PURITY-2": Model(
        "sums in another order each time, races, random dropping",
        "the same call again and again, others between",
    ),
    "PURITY-3": Model(
        "caches with keys that miss something; options, targets or contexts of an earlier call; accumulation; "
        "scratch space, a table or an error flag shared by threads, also of large calls alone, arguments changed for "
        "as long as a call runs; a failure after a rejected call, on the n-th call",
        "pairs of calls that differ in one thing; arrays that are written anew, read-only views too; drawn orders of "
        "calls on one object; several threads, with the same arrays too, past the sizes of special paths, and beside "
        "calls that are rejected; valid calls right after each kind of rejected one",
    ),
    "PURITY-4": Model(
        "a returned buffer that is used again, or is an argument; one that is shared with the other function, another "
        "dtype, with large, empty or rejected calls",
        "results looked at after later calls of every kind, and overwritten",
    ),
    "PURITY-5": Model(
        "strides ignored or taken as positive, Fortran order read as C, zero strides written once, addresses rounded, "
        "strides counted in elements",
        "gaps, negative and zero strides, Fortran order, offsets, odd addresses and fields of records, for "
        "every argument, read-only ones too, of many rows, of many classes, and with ties and special values",
    ),
    "PURITY-6": Model(
        "read-only arguments refused",
        "each argument read-only, in every order in memory",
    ),
    "CLASS-1": Model(
        "another signature or other defaults",
        "the constructor's parameters",
    ),
    "CLASS-2": Model(
        "validation at construction or call missing",
        "invalid arguments to both",
    ),
    "CLASS-3": Model(
        "legacy flags that lose against reduction, or warn twice",
        "all nine combinations",
    ),
    "CLASS-4": Model(
        "the weight as an attribute and not as a buffer",
        "state_dict, to, deepcopy, pickling",
    ),
    "CLASS-5": Model(
        "autograd broken: leaf and non-leaf input, retain_graph, accumulation",
        "backward in each way",
    ),
    "CLASS-6": Model(
        "torch.func transforms that fail or differ",
        "grad, vjp, vmap, jacrev",
    ),
    "CLASS-7": Model(
        "shapes of meta and fake tensors that differ from real ones",
        "every shape and reduction",
    ),
    "CLASS-8": Model(
        "compiled code that differs from eager",
        "the same calls compiled",
    ),
    "CLASS-9": Model(
        "a second derivative that is silently wrong",
        "double backward and forward mode",
    ),
}
