"""One readable implementation whose steps can be exchanged one by one: known faults and legal variants are made so.

`Model` computes in the input's dtype (halves in float32, rounded once at the end) in the textbook order:

    loss      finish(reduce(scale(add(drop_target(weigh(power(hinge(difference))))))))
    gradient  finish_gradient(target_gradient(weigh_gradient(slope where active) * factor))

Every step takes the array so far and a `Work`; where nothing rounds (the exact grid), every order gives the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from multimargin_reference.validation import Arguments, validate, validate_grad_output

Array = NDArray[Any]
FLOAT32, HALF_BYTES = np.dtype(np.float32), 2
QUIET: dict[str, Any] = {"all": "ignore"}  # for np.errstate: infinities and NaN are results here, not accidents


class Backend(Protocol):
    """What a conformance suite is given: NumPy arrays in, an array or a NumPy scalar out, any error to reject."""

    @property
    def name(self) -> str: ...

    def forward(self, input: Any, target: Any, *, p: Any, margin: Any, weight: Any, reduction: Any) -> Any: ...

    def backward(
        self, grad_output: Any, input: Any, target: Any, *, p: Any, margin: Any, weight: Any, reduction: Any
    ) -> Any: ...


@dataclass(frozen=True)
class Request:
    """The arguments of one call as they came, before any validation; `grad_output` counts only for `backward`."""

    input: Any
    target: Any
    p: Any
    margin: Any
    weight: Any
    reduction: Any
    grad_output: Any = None
    backward: bool = False


@dataclass
class Work:
    """One validated call, widened: x (N, C), y (N,), w broadcastable to (N, C) or None, g (N,) for the gradient."""

    x: Array
    y: Array
    p: int
    margin: Any
    weight: Array | None
    reduction: str
    dtype: np.dtype[Any]  # of the result
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    exact_margin: float
    w: Array | None = None
    g: Array | None = None

    @property
    def rows(self) -> int:
        """N."""
        return len(self.x)

    @property
    def classes(self) -> int:
        """C."""
        return int(self.x.shape[1])

    @cached_property
    def row(self) -> Array:
        """0 ... N - 1."""
        return np.arange(self.rows)

    @cached_property
    def own(self) -> Array:
        """Where a class is its row's target, (N, C)."""
        return np.asarray(np.arange(self.classes) == self.y[:, None])

    @property
    def target_logit(self) -> Array:
        """x[n, y[n]] as a column, (N, 1)."""
        return self.x[self.row, self.y][:, None]

    def number(self, value: float) -> Any:
        """Round a Python number to the dtype of the computation."""
        return self.x.dtype.type(value)


def widened(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype to compute in: float32 for halves, otherwise the same."""
    return FLOAT32 if dtype.itemsize == HALF_BYTES else dtype


def row_weight(k: Work) -> Array | None:
    """Take the target class's weight for each row, (N, 1) (WEIGHT-1)."""
    return None if k.weight is None else k.weight[k.y][:, None]


def difference(k: Work) -> Any:
    """Form z = margin - x[y] + x[i] in that association."""
    return (k.margin - k.target_logit) + k.x


def hinge(z: Array, k: Work) -> Array:
    """Keep what is strictly positive (VALUE-3); a NaN is dropped."""
    return np.where(z > 0, z, k.number(0))


def power(h: Array, k: Work) -> Array:
    """Raise to p after the hinge (VALUE-2)."""
    return h if k.p == 1 else h * h


def weigh(h: Array, k: Work) -> Array:
    """Multiply by the row's weight, outside the power (WEIGHT-2)."""
    return h if k.w is None else h * k.w


def drop_target(h: Array, k: Work) -> Array:
    """Leave the target's own term out, whatever it holds (VALUE-4); `h` may be overwritten."""
    h[k.row, k.y] = 0
    return h


def add(h: Array, _k: Work) -> Array:
    """Add up each row, (N,)."""
    return np.asarray(h.sum(axis=1))


def divisor(k: Work) -> Any:
    """C as a number of the computation (VALUE-5)."""
    return k.number(k.classes)


def batch(k: Work) -> Any:
    """N as a number of the computation, at least 1 so that the mean of an empty batch is 0."""
    return k.number(max(1, k.rows))


def finish(value: Any, k: Work) -> Any:
    """Round the loss to the result's dtype and give it its shape (DTYPE-1, REDUCTION-4)."""
    return np.asarray(value).astype(k.dtype).reshape(k.output_shape)


def active(z: Array, k: Work) -> Array:
    """Find the terms that have a slope: strictly positive, never the target's own (GRADIENT-4, GRADIENT-5)."""
    found = np.asarray(z > 0)
    found[k.row, k.y] = False
    return found


def slope(z: Array, k: Work) -> Array:
    """Derive the power: 1, or 2 z (GRADIENT-1, GRADIENT-2)."""
    return np.ones_like(z) if k.p == 1 else z + z


def target_gradient(d: Array, k: Work) -> Array:
    """Put minus the sum of the others at the target (GRADIENT-3); `d` is zero there and may be overwritten."""
    d[k.row, k.y] = -d.sum(axis=1)
    return d


def finish_gradient(d: Array, k: Work) -> Any:
    """Round the gradient to the result's dtype and give it input's shape (GRADIENT-10)."""
    return d.astype(k.dtype, copy=False).reshape(k.input_shape)


@dataclass(frozen=True)
class Model:
    """MultiMarginLoss as a table of steps; `dataclasses.replace(MODEL, hinge=...)` exchanges one."""

    name: str = "model"
    validate: Callable[[Any, Any, Any, Any, Any, Any], Arguments] = validate
    validate_grad_output: Callable[[Any, Arguments], Array] = validate_grad_output
    compute: Callable[[np.dtype[Any]], np.dtype[Any]] = widened
    row_weight: Callable[[Work], Array | None] = row_weight
    difference: Callable[[Work], Array] = difference
    hinge: Callable[[Array, Work], Array] = hinge
    power: Callable[[Array, Work], Array] = power
    weigh: Callable[[Array, Work], Array] = weigh
    drop_target: Callable[[Array, Work], Array] = drop_target
    add: Callable[[Array, Work], Array] = add
    divisor: Callable[[Work], Any] = divisor
    batch: Callable[[Work], Any] = batch
    scale: Callable[[Array, Work], Array] | None = None  # default: divide a row's sum by C
    reduce: Callable[[Array, Work], Any] | None = None  # default: the rows, their sum, or their sum divided by N
    finish: Callable[[Any, Work], Any] = finish
    active: Callable[[Array, Work], Array] = active
    slope: Callable[[Array, Work], Array] = slope
    weigh_gradient: Callable[[Array, Work], Array] = weigh
    factor: Callable[[Work], Array] | None = None  # default: grad_output / C, and / N for mean, (N,)
    target_gradient: Callable[[Array, Work], Array] = target_gradient
    finish_gradient: Callable[[Array, Work], Any] = finish_gradient

    def forward(self, input: Any, target: Any, *, p: Any, margin: Any, weight: Any, reduction: Any) -> Any:
        """Return the loss, an array of input's dtype: the target's shape for none, () otherwise."""
        return self.answer(Request(input, target, p, margin, weight, reduction))

    def backward(
        self, grad_output: Any, input: Any, target: Any, *, p: Any, margin: Any, weight: Any, reduction: Any
    ) -> Any:
        """Return the gradient with respect to input: its shape and dtype."""
        return self.answer(Request(input, target, p, margin, weight, reduction, grad_output, backward=True))

    def answer(self, request: Request) -> Any:
        """Answer either kind of call."""
        with np.errstate(**QUIET):
            k = self.prepare(request)
            return self.gradient(k) if request.backward else self.loss(k)

    def prepare(self, r: Request) -> Work:
        """Validate a call and widen its numbers."""
        a = self.validate(r.input, r.target, r.p, r.margin, r.weight, r.reduction)
        wide = self.compute(a.input.dtype)
        k = Work(
            x=a.input.astype(wide, copy=False),  # no step changes it
            y=a.target,
            p=a.p,
            margin=wide.type(a.margin),
            weight=None if a.weight is None else a.weight.astype(wide, copy=False),
            reduction=a.reduction,
            dtype=a.input.dtype,
            input_shape=a.input.shape if a.batched else a.input.shape[1:],
            output_shape=a.output_shape,
            exact_margin=a.margin,
            g=self.validate_grad_output(r.grad_output, a).astype(wide, copy=False) if r.backward else None,
        )
        k.w = self.row_weight(k)
        return k

    def loss(self, k: Work) -> Any:
        """Carry out the loss's steps."""
        h = self.power(self.hinge(self.difference(k), k), k)
        h = self.drop_target(self.weigh(h, k), k)
        return self.finish((self.reduce or self.reduced)((self.scale or self.scaled)(self.add(h, k), k), k), k)

    def gradient(self, k: Work) -> Any:
        """Carry out the gradient's steps."""
        z = self.difference(k)
        d = np.where(self.active(z, k), self.slope(z, k), k.number(0))
        d, factor = self.weigh_gradient(d, k), (self.factor or self.factored)(k)[:, None]
        d = np.multiply(d, factor, out=d if d.dtype == factor.dtype else None)  # less memory for what is large
        return self.finish_gradient(self.target_gradient(d, k), k)

    def scaled(self, rows: Array, k: Work) -> Array:
        """Divide by C, for every reduction (VALUE-5)."""
        return np.asarray(rows / self.divisor(k))

    def reduced(self, rows: Array, k: Work) -> Any:
        """Reduce over the batch (REDUCTION-1, REDUCTION-2, REDUCTION-3)."""
        by_reduction: dict[str, Callable[[], Any]] = {
            "none": lambda: rows,
            "sum": rows.sum,
            "mean": lambda: rows.sum() / self.batch(k),
        }
        return by_reduction[k.reduction]()

    def factored(self, k: Work) -> Array:
        """Scale grad_output as the loss is scaled (GRADIENT-6, GRADIENT-8, GRADIENT-9)."""
        g = np.asarray(k.g) / self.divisor(k)
        return np.asarray(g / self.batch(k) if k.reduction == "mean" else g)


MODEL = Model()


@dataclass(frozen=True)
class Custom:
    """A backend made of one function from a request to an answer."""

    name: str
    answer: Callable[[Request], Any]

    def forward(self, input: Any, target: Any, *, p: Any, margin: Any, weight: Any, reduction: Any) -> Any:
        """Answer for the loss."""
        with np.errstate(**QUIET):
            return self.answer(Request(input, target, p, margin, weight, reduction))

    def backward(
        self, grad_output: Any, input: Any, target: Any, *, p: Any, margin: Any, weight: Any, reduction: Any
    ) -> Any:
        """Answer for the gradient."""
        with np.errstate(**QUIET):
            return self.answer(Request(input, target, p, margin, weight, reduction, grad_output, backward=True))
