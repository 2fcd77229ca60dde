"""CLASS: the class and its integration into PyTorch, by the checks that the backend's adapter brings."""

from __future__ import annotations

from collections.abc import Iterator

from multimargin_conformance.checks.item import Item, Scope

CLAUSES = {  # what the adapter's items are about; known without the framework, and compared with it in the tests
    "CLASS-1": ["constructor: by position, by name, defaults, attributes"],
    "CLASS-2": ["invalid arguments of the constructor and of the call"],
    "CLASS-3": ["nine pairs of legacy flags with each reduction"],
    "CLASS-4": ["weight buffer: state_dict, conversion, copying, saving"],
    "CLASS-5": ["gradients by autograd, and what is changed before backward"],
    "CLASS-6": ["func.grad, vjp, jacrev, vmap, checkpointing, autocast"],
    "CLASS-7": ["meta and fake tensors"],
    "CLASS-8": ["compiled, exported, exported and decomposed"],
    "CLASS-9": ["double backward, differentiating weight, forward-mode differentiation"],
}


def items(scope: Scope) -> Iterator[Item]:
    """Yield the items of a backend that has such an integration; none for any other."""
    if scope.integration is not None:
        yield from scope.integration.class_items(scope)
