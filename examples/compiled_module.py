"""torch.nn.MultiMarginLoss with its operator compiled by torch.compile, whole or not at all.

$ multimargin check torch:examples/compiled_module.py:MultiMarginLoss --profile torch
"""

import torch
import torch._dynamo.config

torch._dynamo.config.recompile_limit = 256  # options, dtypes and ranks have graphs of their own
multi_margin_loss = torch.compile(torch.nn.functional.multi_margin_loss, dynamic=True, fullgraph=True)


class MultiMarginLoss(torch.nn.MultiMarginLoss):
    def forward(self, input, target):
        return multi_margin_loss(input, target, self.p, self.margin, self.weight, reduction=self.reduction)
