"""Legal kernels as people write them, without care for unusual types, each of which a check once called wrong."""

from __future__ import annotations

import weakref
from collections import deque
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from multimargin_conformance import Capabilities, check

Array = np.ndarray[Any, Any]


class Plain:
    """Textbook NumPy, rows divided by C after, or with, their weight."""

    capabilities = Capabilities()

    def kept(self, array: Array) -> Array:
        """Return an array as this kernel keeps it."""
        return array

    def total(self, terms: Array) -> Array:
        """Return the sum of each row."""
        return np.asarray(terms.sum(axis=1))

    def masked(self, terms: Array, y: Array) -> Array:
        """Return the terms with 0 at the target."""
        return np.where(np.arange(terms.shape[1]) == y[:, None], 0, terms)

    def forward(self, input: Array, target: Array, *, p: int, margin: float, weight: Any, reduction: str) -> Any:
        x, y, _, z = self.hinges(input, target, p, margin, weight, reduction)
        terms = self.masked(self.kept(np.maximum(0, z) ** p), y)
        w = 1 if weight is None else weight[y]
        losses = self.kept(self.kept(self.total(terms)) * w / x.shape[1])
        if reduction == "none":
            return losses.reshape(target.shape)
        total = self.kept(losses.sum(keepdims=True))[0]
        return self.kept(np.atleast_1d(total / max(1, len(y))))[0] if reduction == "mean" else total

    def backward(
        self, grad_output: Array, input: Array, target: Array, *, p: int, margin: float, weight: Any, reduction: str
    ) -> Any:
        x, y, rows, z = self.hinges(input, target, p, margin, weight, reduction)
        w = np.ones(len(y), x.dtype) if weight is None else weight[y]
        factor = self.kept(w / (x.shape[1] * (max(1, len(y)) if reduction == "mean" else 1)))
        factor = self.kept(factor * np.broadcast_to(grad_output.reshape(-1), len(y)))
        slope = np.where(z > 0, 1 if p == 1 else 2 * z, 0).astype(x.dtype)
        slope[rows, y] = 0
        gradient = self.kept(np.where(slope != 0, slope * factor[:, None], 0))
        gradient[rows, y] = -self.total(gradient)
        return gradient.reshape(input.shape)

    def hinges(self, input: Array, target: Array, p: int, margin: float, weight: Any, reduction: str) -> Any:
        if p not in (1, 2) or reduction not in ("none", "mean", "sum") or target.dtype.kind not in "iu":
            raise ValueError("p, reduction or target")
        x, y = np.atleast_2d(self.kept(input)), np.atleast_1d(target)
        if 0 in input.shape[-1:] or input.shape[:-1] != target.shape or ((y < 0) | (y >= x.shape[1])).any():
            raise ValueError("shapes, or a target")
        if weight is not None and weight.shape != x.shape[1:]:
            raise ValueError("weight")
        rows = np.arange(len(y))
        return x, y, rows, self.kept(self.kept(margin - x[rows, y])[:, None] + x)


class WeightFirst(Plain):
    """A weight is divided by C, in its own dtype, before it meets a term."""

    def forward(self, input: Array, target: Array, *, weight: Any, **options: Any) -> Any:
        if weight is None or weight.dtype == input.dtype or weight.shape != input.shape[-1:]:
            return super().forward(input, target, weight=weight, **options)
        return super().forward(input, target, weight=weight / input.shape[-1] * input.shape[-1], **options)


class InHalf(Plain):
    """Each operation in the half: what is squared may overflow, and meet a weight of 0."""

    capabilities = Capabilities(dtypes=("float16",))


class Flushing(InHalf):
    """Whatever is subnormal is 0."""

    capabilities = Capabilities(dtypes=("float16",), permissions=("flush-subnormals",))

    def kept(self, array: Array) -> Array:
        return np.where(np.abs(array) < ml_dtypes.finfo(array.dtype).smallest_normal, 0, array).astype(array.dtype)


class FlushingAndVarying(Flushing):
    capabilities = Capabilities(dtypes=("float16",), permissions=("flush-subnormals", "run-to-run-variation"))


class FiniteMargins(Plain):
    """The loss rejects a margin that is not finite; the gradient, which follows a loss, asks for no such thing."""

    def forward(self, input: Array, target: Array, *, margin: float, **options: Any) -> Any:
        if not np.isfinite(margin):
            raise ValueError("margin")
        return super().forward(input, target, margin=margin, **options)

    def backward(self, grad_output: Array, input: Array, target: Array, *, margin: float, **options: Any) -> Any:
        gradient = super().backward(grad_output, input, target, margin=margin, **options)
        return gradient if np.isfinite(margin) else gradient * np.nan


class MaskMultiplied(Plain):
    """NaN is dropped by a comparison, and the target's own term by a multiplication: NaN where it is infinite."""

    def masked(self, terms: Array, y: Array) -> Array:
        with np.errstate(invalid="ignore"):
            return np.where(terms > 0, terms, 0) * (np.arange(terms.shape[1]) != y[:, None]).astype(terms.dtype)


class UnreachableGradients(Plain):
    """The gradient is 0 for shapes of which there is no loss, whatever the target."""

    def backward(self, grad_output: Array, input: Array, target: Array, **options: Any) -> Any:
        if input.shape[:-1] != target.shape and target.size == 1 and input.size == np.prod(input.shape[-1:]):
            return np.zeros_like(input)
        return super().backward(grad_output, input, target, **options)


class Aligned(Plain):
    """A row is added up by lanes from the next multiple of 64 bytes on, and what is before it apart."""

    def hinges(self, input: Array, target: Array, *options: Any) -> Any:
        self.head = -input.ctypes.data % 64 // input.itemsize if input.flags.c_contiguous else 0
        return super().hinges(input, target, *options)

    def total(self, terms: Array) -> Array:
        count = self.head  # of this call or of another thread's: any is right
        head, body = terms[:, :count], terms[:, count:]
        lanes = body[:, : body.shape[1] // 8 * 8].reshape(len(body), body.shape[1] // 8, 8)
        found = np.zeros(len(terms), terms.dtype)
        for column in (*head.T, *lanes.sum(axis=1).T, *body[:, lanes.shape[1] * 8 :].T):
            found += column
        return found


class Pooled(Plain):
    """The memory of a result is used again once the array that was returned is gone."""

    def __init__(self) -> None:
        self.free: deque[Array] = deque()

    def forward(self, *arguments: Any, **options: Any) -> Any:
        return self.given(super().forward(*arguments, **options))

    def backward(self, *arguments: Any, **options: Any) -> Any:
        return self.given(super().backward(*arguments, **options))

    def given(self, value: Any) -> Array:
        value = np.asarray(value)
        memory = self.free.popleft() if self.free else np.empty(1024, np.uint8)
        if memory.size < value.nbytes:
            memory = np.empty(value.nbytes, np.uint8)
        result = memory[: value.nbytes].view(value.dtype).reshape(value.shape)
        result[...] = value
        weakref.finalize(result, self.free.append, memory)
        return result


class InTheWeightsDtype(Plain):
    """Logits become what a floating weight is, a half too."""

    def forward(self, input: Array, target: Array, *, weight: Any, **options: Any) -> Any:
        return super().forward(_like(input, weight), target, weight=weight, **options)

    def backward(self, grad_output: Array, input: Array, target: Array, *, weight: Any, **options: Any) -> Any:
        x, g = _like(input, weight), _like(grad_output, weight)
        return super().backward(g, x, target, weight=weight, **options)


class SmallestFloats(Plain):
    """Whole numbers become the floating dtype that NumPy promotes them to, those of 8 bits a half."""

    def forward(self, input: Array, target: Array, **options: Any) -> Any:
        return super().forward(_floating(input), target, **options)

    def backward(self, grad_output: Array, input: Array, target: Array, **options: Any) -> Any:
        x = _floating(input)
        return super().backward(grad_output.astype(x.dtype), x, target, **options)


class Defaults(Plain):
    """Results of whole numbers have a default dtype, here a half; they are computed in float64."""

    def forward(self, input: Array, target: Array, **options: Any) -> Any:
        return _in_half_of_integers(input, super().forward(_wide(input), target, **options))

    def backward(self, grad_output: Array, input: Array, target: Array, **options: Any) -> Any:
        return _in_half_of_integers(input, super().backward(grad_output, _wide(input), target, **options))


def _wide(array: Array) -> Array:
    return array.astype(np.float64) if array.dtype.kind in "iu" else array


def _in_half_of_integers(input: Array, result: Any) -> Any:
    return np.asarray(result).astype(np.float16) if input.dtype.kind in "iu" else result


class Texts(Plain):
    """A power may be a text."""

    def forward(self, input: Array, target: Array, *, p: Any, **options: Any) -> Any:
        named = {"1": 1, "one": 1, "2": 2, "two": 2}
        return super().forward(input, target, p=named[p] if isinstance(p, str) else p, **options)


def _like(array: Array, weight: Any) -> Array:
    return array if weight is None or weight.dtype.kind != "f" else array.astype(weight.dtype)


def _floating(array: Array) -> Array:
    return array.astype(np.result_type(array.dtype, np.float16)) if array.dtype.kind in "iu" else array


@pytest.mark.parametrize(
    ("kernel", "options"),
    [
        (Plain, {"clause": "DTYPE-*"}),
        (WeightFirst, {"clause": "DTYPE-4"}),
        (InHalf, {"profile": "half", "select": "property-not-negative", "examples": 200}),
        (Flushing, {"profile": "half", "select": "property-", "examples": 40}),
        (FlushingAndVarying, {"profile": "half", "clause": "PURITY-2"}),
        (FiniteMargins, {"clause": "SPECIAL-8"}),
        (MaskMultiplied, {"clause": "SPECIAL-*"}),
        (UnreachableGradients, {"clause": "REJECT-[345]"}),
        (Aligned, {"clause": "PURITY-*"}),
        (Pooled, {"clause": "PURITY-*"}),
        (InTheWeightsDtype, {"clause": "DTYPE-4"}),
        (SmallestFloats, {"clause": "DTYPE-4"}),
        (Defaults, {"clause": "DTYPE-4"}),
        (Texts, {"clause": "REJECT-1"}),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_it_is_accepted(kernel: Any, options: dict[str, Any]) -> None:
    report = check(kernel(), **options)
    assert report.conformant, [v.failure or v.reason for v in report.verdicts if v.status in ("fail", "error")]


class Long(Plain):
    """A wrong answer, and in a dtype that no call has."""

    def forward(self, input: Array, target: Array, *, weight: Any, **options: Any) -> Any:
        loss = super().forward(input, target, weight=weight, **options)
        other = weight is not None and weight.dtype != input.dtype
        return np.asarray(loss, np.longdouble) + 1 if other else loss


def test_a_wrong_long_double_is_a_failure() -> None:
    counts = check(Long(), profile="core", select="unusual-other-weights").counts
    assert (counts["error"], counts["fail"]) == (0, 2)
