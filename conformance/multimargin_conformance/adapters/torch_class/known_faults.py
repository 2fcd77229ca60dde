"""Known faults of the class and its integration: each a small wrong nn.Module that CLASS must reject.

They are made from this package's drop-in, changed in one place.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor

from multimargin_conformance.adapters.torch import wrapped
from multimargin_reference.known.catalogue import Fault
from multimargin_reference.torch import MultiMarginLoss, multi_margin_loss

# CLASS-1, CLASS-2


class WeightBeforeMargin(MultiMarginLoss):
    """The constructor takes (p, weight, margin, ...)."""

    def __init__(self, p: Any = 1, weight: Any = None, margin: Any = 1.0, *flags: Any, **options: Any) -> None:
        super().__init__(p, margin, weight, *flags, **options)


class ReductionBeforeFlags(MultiMarginLoss):
    """The constructor takes reduction where size_average is."""

    def __init__(
        self, p: Any = 1, margin: Any = 1.0, weight: Any = None, reduction: Any = "mean", **flags: Any
    ) -> None:
        super().__init__(p, margin, weight, reduction=reduction, **flags)


class DefaultMarginHalf(MultiMarginLoss):
    """margin is 0.5 unless given."""

    def __init__(self, p: Any = 1, margin: Any = 0.5, *rest: Any, **options: Any) -> None:
        super().__init__(p, margin, *rest, **options)


class DefaultSum(MultiMarginLoss):
    """reduction is 'sum' unless given."""

    def __init__(self, *arguments: Any, reduction: Any = "sum", **options: Any) -> None:
        options = options if len(arguments) > 5 else {**options, "reduction": reduction}
        super().__init__(*arguments, **options)


class MarginRenamed(MultiMarginLoss):
    """margin is named delta."""

    def __init__(self, p: Any = 1, delta: Any = 1.0, *rest: Any, **options: Any) -> None:
        super().__init__(p, delta, *rest, **options)


class NoAttributes(torch.nn.Module):
    """p, margin and reduction are hidden in another object."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__()
        self.inner = MultiMarginLoss(*arguments, **options)

    def forward(self, input: Tensor, target: Tensor) -> Any:
        return self.inner(input, target)


class AnyP(MultiMarginLoss):
    """p is checked by the call alone."""

    def __init__(self, p: Any = 1, *rest: Any, **options: Any) -> None:
        super().__init__(1, *rest, **options)
        self.p = p


class WeightFlattened(MultiMarginLoss):
    """A weight of any rank is flattened."""

    def __init__(self, p: Any = 1, margin: Any = 1.0, weight: Any = None, *rest: Any, **options: Any) -> None:
        super().__init__(p, margin, None if weight is None else weight.reshape(-1), *rest, **options)


class UnknownReductionIsMean(MultiMarginLoss):
    """A reduction that is none of the three acts as 'mean'."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        known = self.reduction if self.reduction in ("none", "sum") else "mean"
        return multi_margin_loss(input, target, self.p, self.margin, self.weight, reduction=known)


class TargetClamped(MultiMarginLoss):
    """A target out of range is moved into the range."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return super().forward(input, target.clamp(0, input.shape[-1] - 1))


class TargetConverted(MultiMarginLoss):
    """A floating target is truncated to integers."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return super().forward(input, target.long())


class ExtraRowsIgnored(MultiMarginLoss):
    """Rows without a target are left out."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return super().forward(input[: len(target)] if input.dim() == 2 and target.dim() else input, target)


class NoClassesZero(MultiMarginLoss):
    """No classes give a loss of 0."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return super().forward(input, target) if input.numel() else input.sum()


# CLASS-3


class _Flags(MultiMarginLoss):
    """A class that interprets the legacy flags in a way of its own."""

    def __init__(
        self,
        p: Any = 1,
        margin: Any = 1.0,
        weight: Any = None,
        size_average: Any = None,
        reduce: Any = None,
        reduction: Any = "mean",
    ) -> None:
        super().__init__(p, margin, weight)
        given = size_average is not None or reduce is not None
        self.reduction = self.meant(size_average, reduce, reduction) if given else reduction
        for _ in range(self.warned if given else 0):
            warnings.warn("size_average and reduce are deprecated", UserWarning, stacklevel=2)

    warned = 1

    def meant(self, size_average: Any, reduce: Any, reduction: Any) -> Any:
        """Return the reduction that the flags stand for."""
        del reduction
        return "none" if reduce is False else "sum" if size_average is False else "mean"


class FlagsIgnored(_Flags):
    """size_average and reduce are accepted, warned about and not used."""

    def meant(self, size_average: Any, reduce: Any, reduction: Any) -> Any:
        del size_average, reduce
        return reduction


class SizeAverageFirst(_Flags):
    """size_average=False gives 'sum' even with reduce=False."""

    def meant(self, size_average: Any, reduce: Any, reduction: Any) -> Any:
        return "sum" if size_average is False else super().meant(size_average, reduce, reduction)


class TrueFlagsKeepReduction(_Flags):
    """Flags that are true leave `reduction` as it is."""

    def meant(self, size_average: Any, reduce: Any, reduction: Any) -> Any:
        found = super().meant(size_average, reduce, reduction)
        return reduction if found == "mean" else found


class WrongReductionRejectedDespiteFlags(_Flags):
    """A reduction that a flag overrides is checked all the same."""

    def meant(self, size_average: Any, reduce: Any, reduction: Any) -> Any:
        if reduction not in ("none", "mean", "sum"):
            raise ValueError(f"{reduction} is not a valid value for reduction")
        return super().meant(size_average, reduce, reduction)


class FlagsInSilence(_Flags):
    """The legacy flags work without a warning."""

    warned = 0


class FlagsWarnTwice(_Flags):
    """Each flag is warned about on its own."""

    warned = 2


class FlagsWarnInEveryCall(_Flags):
    """The call warns about the flags too, since it passes them on."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        size_average = {"mean": True, "sum": False}.get(self.reduction)
        options: dict[str, Any] = {"size_average": size_average, "reduce": self.reduction != "none"}
        return multi_margin_loss(input, target, self.p, self.margin, self.weight, **options)


# CLASS-4


class WeightNoBuffer(MultiMarginLoss):
    """weight is a plain attribute: neither saved nor moved."""

    def __init__(self, p: Any = 1, margin: Any = 1.0, weight: Any = None, *rest: Any, **options: Any) -> None:
        super().__init__(p, margin, weight, *rest, **options)
        del self.weight
        self.__dict__["weight"] = weight


class WeightNotPersistent(MultiMarginLoss):
    """weight is a buffer with persistent=False: not in the state_dict."""

    def __init__(self, p: Any = 1, margin: Any = 1.0, weight: Any = None, *rest: Any, **options: Any) -> None:
        super().__init__(p, margin, weight, *rest, **options)
        self.register_buffer("weight", weight, persistent=False)


class WeightParameter(MultiMarginLoss):
    """weight is a parameter without gradient: weight decay changes it."""

    def __init__(self, p: Any = 1, margin: Any = 1.0, weight: Any = None, *rest: Any, **options: Any) -> None:
        super().__init__(p, margin, weight, *rest, **options)
        del self.weight
        self.register_parameter("weight", None if weight is None else torch.nn.Parameter(weight, requires_grad=False))


class WeightRenamed(MultiMarginLoss):
    """The buffer is named class_weight: a checkpoint of PyTorch's class does not load."""

    def __init__(self, p: Any = 1, margin: Any = 1.0, weight: Any = None, *rest: Any, **options: Any) -> None:
        super().__init__(p, margin, weight, *rest, **options)
        del self.weight
        self.register_buffer("class_weight", weight)

    @property
    def weight(self) -> Any:
        return self.class_weight

    @weight.deleter
    def weight(self) -> None:
        del self._buffers["weight"]


class WeightCaptured(MultiMarginLoss):
    """The call uses the weights as they were when the module was made, not the buffer."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.kept = None if self.weight is None else self.weight.tolist()

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        weight = None if self.kept is None else torch.tensor(self.kept, dtype=input.dtype, device=input.device)
        return multi_margin_loss(input, target, self.p, self.margin, weight, reduction=self.reduction)


class OnesForNone(MultiMarginLoss):
    """No weight is kept as a buffer of one 1: a state_dict of PyTorch's class does not load."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        if self.weight is None:
            self.register_buffer("weight", torch.ones(1))

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        weight = self.weight if self.weight is None or len(self.weight) == input.shape[-1] else None
        return multi_margin_loss(input, target, self.p, self.margin, weight, reduction=self.reduction)


class NotConverted(MultiMarginLoss):
    """.to(), .double() and .half() leave the module as it is."""

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        del fn, recurse
        return self


class NotPickled(MultiMarginLoss):
    """The module holds a lambda, so that it cannot be saved."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.name = lambda: "MultiMarginLoss"


class CopyShares(MultiMarginLoss):
    """A deep copy shares the weight with the original."""

    def __deepcopy__(self, memo: Any) -> MultiMarginLoss:
        return MultiMarginLoss(self.p, self.margin, self.weight, reduction=self.reduction)


def fault(name: str, clauses: str, made: Any) -> Fault:
    """Return a class or function over tensors as a fault; its docstring is the sentence."""
    return Fault(name, (made.__doc__ or "").strip(), tuple(clauses.split()), lambda: wrapped(made))


FAULTS = (
    fault("weight-before-margin", "CLASS-1", WeightBeforeMargin),
    fault("reduction-before-flags", "CLASS-1", ReductionBeforeFlags),
    fault("default-margin-half", "CLASS-1", DefaultMarginHalf),
    fault("default-sum", "CLASS-1", DefaultSum),
    fault("margin-renamed", "CLASS-1", MarginRenamed),
    fault("no-attributes", "CLASS-1", NoAttributes),
    fault("p-unchecked", "CLASS-2", AnyP),
    fault("weight-flattened", "CLASS-2", WeightFlattened),
    fault("unknown-reduction-is-mean", "CLASS-2", UnknownReductionIsMean),
    fault("module-clamps-target", "CLASS-2", TargetClamped),
    fault("floating-target-converted", "CLASS-2", TargetConverted),
    fault("extra-rows-ignored", "CLASS-2", ExtraRowsIgnored),
    fault("no-classes-zero", "CLASS-2", NoClassesZero),
    fault("flags-ignored", "CLASS-3", FlagsIgnored),
    fault("size-average-first", "CLASS-3", SizeAverageFirst),
    fault("true-flags-keep-reduction", "CLASS-3", TrueFlagsKeepReduction),
    fault("wrong-reduction-despite-flags", "CLASS-3", WrongReductionRejectedDespiteFlags),
    fault("flags-in-silence", "CLASS-3", FlagsInSilence),
    fault("flags-warn-twice", "CLASS-3", FlagsWarnTwice),
    fault("flags-warn-in-every-call", "CLASS-3", FlagsWarnInEveryCall),
    fault("weight-no-buffer", "CLASS-4", WeightNoBuffer),
    fault("weight-not-persistent", "CLASS-4", WeightNotPersistent),
    fault("weight-parameter", "CLASS-4", WeightParameter),
    fault("weight-renamed", "CLASS-4", WeightRenamed),
    fault("weight-captured", "CLASS-4", WeightCaptured),
    fault("ones-for-none", "CLASS-4", OnesForNone),
    fault("not-converted", "CLASS-4", NotConverted),
    fault("not-pickled", "CLASS-4", NotPickled),
    fault("copy-shares-weight", "CLASS-4", CopyShares),
)
