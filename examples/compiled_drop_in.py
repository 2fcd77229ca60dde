"""This package's drop-in compiled by torch.compile, whole or not at all; within torch.func it is called as it is.

$ multimargin check torch:examples/compiled_drop_in.py:MultiMarginLoss --profile full
"""

import torch
import torch._dynamo.config
from torch._dynamo.exc import FailOnRecompileLimitHit

from multimargin_reference import torch as drop_in

GRAPHS = 256  # that are kept: a check needs thousands, and each makes the search for the next call's longer
compiled = torch.compile(drop_in.multi_margin_loss, dynamic=True, fullgraph=True)


def multi_margin_loss(*arguments, **options):
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
        return drop_in.multi_margin_loss(*arguments, **options)  # torch.compile refuses to be called from torch.func
    config = torch._dynamo.config  # each thread has its own
    config.recompile_limit = GRAPHS
    config.accumulated_recompile_limit = 1 << 20
    config.specialize_float = False  # one graph for all margins
    try:
        return compiled(*arguments, **options)
    except FailOnRecompileLimitHit:
        torch.compiler.reset()
        return compiled(*arguments, **options)


class MultiMarginLoss(drop_in.MultiMarginLoss):
    def forward(self, input, target):
        return multi_margin_loss(input, target, self.p, self.margin, self.weight, reduction=self.reduction)
