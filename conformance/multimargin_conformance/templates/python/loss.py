"""TODO: your implementation. Until forward and backward are filled in, every call is rejected."""


class Loss:
    """What is checked: `py:loss.py:Loss`, or over the stdio protocol by adapter.py."""

    name = "mine"
    version = "0"
    capabilities = {  # noqa: RUF012 (what is left out is never asked for, and limits the claim that is printed)
        "dtypes": ["float32", "float64"],  # float16 and bfloat16 too
        "p": [1, 2],
        "reductions": ["none", "mean", "sum"],
        "shapes": ["batched", "unbatched"],
        "gradient": True,
        "permissions": [],  # flush-subnormals, run-to-run-variation, accumulator
    }

    def forward(self, input, target, *, p, margin, weight, reduction):
        """Return the loss in input's dtype: shape () for "mean" and "sum", target's shape for "none".

        The arrays are NumPy's; weight may be None. Raise any error to reject an invalid call: arguments of any rank,
        size and dtype come, to see whether they are rejected.
        """
        raise NotImplementedError("TODO: forward in loss.py is not written yet")

    def backward(self, grad_output, input, target, *, p, margin, weight, reduction):
        """Return the gradient with respect to input, multiplied by grad_output."""
        raise NotImplementedError("TODO: backward in loss.py is not written yet")
