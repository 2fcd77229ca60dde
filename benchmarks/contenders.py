"""What is timed against PyTorch eager: each implementation called as its users call it, on arrays of its own kind."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np
import torch
from problems import OPTIONS, Problem, problem
from torch.nn.functional import multi_margin_loss as eager_loss

from multimargin_reference import vectorized
from multimargin_reference.engine import engine_name

EAGER, NUMBA, NUMPY, BY_HAND, COMPILED, JAX = (
    "eager",
    "ours, Numba",
    "ours, NumPy",
    "torch by hand",
    "torch.compile",
    "jax",
)
OURS = (NUMBA, NUMPY)
Call = Callable[[], Any]
chosen_engine: Call = vectorized.engine  # type: ignore[attr-defined]


class Contender(Protocol):
    """One implementation. Arguments are of its own kind of array; w is None without weights."""

    def given(self, given: Problem, gradient: bool) -> tuple[Any, Any, Any]:
        """Return x, y, w, without a copy where there is a way; gradient: for `fused`."""

    def forward(self, x: Any, y: Any, w: Any) -> Any:
        """Return the loss, computed to the end."""

    def fused(self, x: Any, y: Any, w: Any) -> tuple[Any, Any]:
        """Return the loss and the gradient, computed to the end."""

    def returned(self, result: Any) -> Any:
        """Return one result as a NumPy array."""

    def ready(self) -> None:
        """Do what must be done before a call and is not timed."""


class Ours:
    """`multimargin_reference.vectorized` by one of its engines."""

    def __init__(self, p: int, compiled: bool) -> None:
        self.p = p
        self.engine: Call = chosen_engine if compiled else _none

    def given(self, given: Problem, gradient: bool) -> tuple[Any, Any, Any]:  # noqa: ARG002
        return given.x, given.y, given.w

    def forward(self, x: Any, y: Any, w: Any) -> Any:
        return vectorized.multi_margin_loss(x, y, p=self.p, weight=w)

    def fused(self, x: Any, y: Any, w: Any) -> tuple[Any, Any]:
        return vectorized.multi_margin_loss_and_grad(x, y, p=self.p, weight=w)

    def returned(self, result: Any) -> Any:
        return result

    def ready(self) -> None:
        """Switch engines."""
        vectorized.engine = self.engine  # type: ignore[attr-defined, assignment]


def _none() -> None:
    """The engine of NumPy alone."""


class Eager:
    """torch.nn.functional.multi_margin_loss and autograd."""

    def __init__(self, p: int) -> None:
        self.p = p

    def given(self, given: Problem, gradient: bool) -> tuple[Any, Any, Any]:
        w = None if given.w is None else torch.from_numpy(given.w)
        return torch.from_numpy(given.x).requires_grad_(gradient), torch.from_numpy(given.y), w

    def forward(self, x: Any, y: Any, w: Any) -> Any:
        return eager_loss(x, y, p=self.p, weight=w)

    def fused(self, x: Any, y: Any, w: Any) -> tuple[Any, Any]:
        x.grad = None
        loss = self.forward(x, y, w)
        loss.backward()
        return loss, x.grad

    def returned(self, result: Any) -> Any:
        return result.detach().numpy()

    def ready(self) -> None:
        pass


class Compiled(Eager):
    """torch.compile (inductor) of the same, for the shapes of each problem by themselves."""

    def __init__(self, p: int) -> None:
        super().__init__(p)
        torch.compiler.reset()
        self.compiled = torch.compile(partial(_loss, p), dynamic=False, fullgraph=True)

    def forward(self, x: Any, y: Any, w: Any) -> Any:
        return self.compiled(x, y, w)


def _loss(p: int, x: Any, y: Any, w: Any) -> Any:
    return eager_loss(x, y, p=p, weight=w)


class ByHand(Eager):
    """The same with PyTorch's vectorized operators: one N x C tensor, in place, the gradient written out."""

    def given(self, given: Problem, gradient: bool) -> tuple[Any, Any, Any]:  # noqa: ARG002
        return super().given(given, False)

    def forward(self, x: Any, y: Any, w: Any) -> Any:
        return self._loss(self._hinges(x, y), y, w)

    def fused(self, x: Any, y: Any, w: Any) -> tuple[Any, Any]:
        z = self._hinges(x, y)
        loss = self._loss(z, y, w)
        factors = self.p / x.numel() if w is None else (w[y] * (self.p / x.numel()))[:, None]
        slopes = z.sign_() if self.p == 1 else z
        own = slopes.sum(1, keepdim=True).mul_(factors).neg_()
        return loss, slopes.mul_(factors).scatter_(1, y[:, None], own)

    def _hinges(self, x: Any, y: Any) -> Any:
        own = y[:, None]
        return (x - (x.gather(1, own) - 1.0)).clamp_min_(0).scatter_(1, own, 0.0)

    def _loss(self, z: Any, y: Any, w: Any) -> Any:
        # bmm adds up squares without making a tensor of them
        rows = torch.bmm(z[:, None], z[:, :, None]).flatten() if self.p == 2 else z if w is None else z.sum(1)
        return (rows if w is None else rows * w[y]).sum() / z.numel()


class Jax:
    """jax.jit of the loss, and of value_and_grad. Raises ImportError where jax is not installed."""

    def __init__(self, p: int) -> None:
        self.jax, self.jnp = importlib.import_module("jax"), importlib.import_module("jax.numpy")
        self.p = p
        self.loss = self.jax.jit(self._loss)
        self.loss_and_grad = self.jax.jit(self.jax.value_and_grad(self._loss))

    def given(self, given: Problem, gradient: bool) -> tuple[Any, Any, Any]:  # noqa: ARG002
        w = None if given.w is None else self.jnp.asarray(given.w)
        return self.jnp.asarray(given.x), self.jnp.asarray(given.y.astype(np.int32)), w

    def forward(self, x: Any, y: Any, w: Any) -> Any:
        return self.loss(x, y, w).block_until_ready()

    def fused(self, x: Any, y: Any, w: Any) -> tuple[Any, Any]:
        loss, gradient = self.jax.block_until_ready(self.loss_and_grad(x, y, w))
        return loss, gradient

    def returned(self, result: Any) -> Any:
        return np.asarray(result)

    def ready(self) -> None:
        pass

    def _loss(self, x: Any, y: Any, w: Any) -> Any:
        jnp, own = self.jnp, y[:, None]
        z = jnp.maximum(x - (jnp.take_along_axis(x, own, 1) - 1), 0)
        others = jnp.arange(x.shape[1])[None, :] != own
        rows = jnp.where(others, z if self.p == 1 else z * z, 0).sum(1)
        return (rows if w is None else rows * w[y]).sum() / x.size


MAKERS: dict[str, Callable[[int], Contender]] = {
    EAGER: Eager,
    NUMBA: partial(Ours, compiled=True),
    NUMPY: partial(Ours, compiled=False),
    BY_HAND: ByHand,
    COMPILED: Compiled,
    JAX: Jax,
}


@dataclass(frozen=True)
class Bound:
    """A contender and its two calls for one problem, each without arguments."""

    contender: Contender
    forward: partial[Any]
    fused: partial[Any]

    def results(self) -> tuple[Any, Any]:
        """Return the loss and the gradient as NumPy arrays."""
        self.contender.ready()
        loss, gradient = self.fused()
        return self.contender.returned(loss), self.contender.returned(gradient)


def available(without: tuple[str, ...]) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the contenders that run here, and why the others do not; `without`: those that are not asked for."""
    left_out = {JAX: "not installed"} if find_spec("jax") is None else {}
    left_out |= dict.fromkeys(without, "not asked for")
    if engine_name() != "numba":
        left_out[NUMBA] = "not installed"
    for name in [name for name in MAKERS if name not in left_out]:
        try:
            bound(MAKERS[name](1), problem((2, 3), OPTIONS[0])).forward()
        except Exception as error:  # whatever a missing compiler or a broken build raises
            left_out[name] = f"{type(error).__name__}: {error}".splitlines()[0]
    return tuple(name for name in MAKERS if name not in left_out), left_out


def bound(contender: Contender, given: Problem) -> Bound:
    """Return a contender's calls on arrays of its own, which are made here."""
    forward = partial(contender.forward, *contender.given(given, False))
    return Bound(contender, forward, partial(contender.fused, *contender.given(given, True)))


def bound_to_numpy(contender: Contender, given: Problem) -> Bound:
    """Return a contender's calls from NumPy arrays to NumPy arrays."""
    if isinstance(contender, Ours):
        return bound(contender, given)
    return Bound(contender, *(partial(_through_numpy, contender, given, gradient) for gradient in (False, True)))


def _through_numpy(contender: Contender, given: Problem, gradient: bool) -> tuple[Any, ...]:
    arguments = contender.given(given, gradient)
    results = contender.fused(*arguments) if gradient else (contender.forward(*arguments),)
    return tuple(contender.returned(r) for r in results)
