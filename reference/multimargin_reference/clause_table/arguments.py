"""Clauses of what is passed and returned: SHAPE, DTYPE."""

from __future__ import annotations

from multimargin_reference.clause_table.model import DOCUMENTATION, IEEE_754, PYTORCH, clause

CLAUSES = (
    clause(
        "SHAPE-1",
        "batch",
        "MUST",
        "core",
        "Input (N, C) with target (N,) MUST be accepted for every N and C from 1 on, row n being judged by target[n].",
        """
        >>> loss([[0, 1], [0, 1]], [0, 1], margin=2, reduction="none")  # N = C = 2
        [3/2, 1/2]
        """,
        DOCUMENTATION,
    ),
    clause(
        "SHAPE-2",
        "unbatched",
        "MUST",
        "core",
        """Input (C,) with target () MUST be accepted and give the loss of the one row, with shape () for every
        reduction.""",
        """
        >>> for reduction in ("none", "mean", "sum"):
        ...     loss([0, 1], 0, reduction=reduction)
        1
        1
        1
        """,
        DOCUMENTATION,
    ),
    clause(
        "SHAPE-3",
        "repeated targets",
        "MUST",
        "core",
        "Rows with the same target MUST each be evaluated on their own, losses and gradients alike.",
        """
        >>> loss([[0, 1], [0, 3], [0, -8]], [0, 0, 0], reduction="none")
        [1, 2, 0]
        """,
        DOCUMENTATION,
    ),
    clause(
        "SHAPE-4",
        "class boundaries",
        "MUST",
        "core",
        """Every class MUST count exactly once whatever C is, also where C lies just below, at or just above a block
        size or an integer's range, such as 128, 256, 1024 or 65536.""",
        """
        >>> x = np.full((1, 1025), -4.0)
        >>> x[0, 0], x[0, 1024] = 0, 2  # only the last class is active: z = 3
        >>> loss(x, [0])
        3/1025
        """,
        DOCUMENTATION,
    ),
    clause(
        "SHAPE-5",
        "row boundaries",
        "MUST",
        "core",
        """Every row MUST count exactly once whatever N is, also where N lies just below, at or just above a block size
        or an integer's range, such as 128, 256, 1024 or 65536.""",
        """
        >>> x = np.zeros((1025, 2))
        >>> x[:1024, 1] = -4  # only the last row has a loss: 1/2
        >>> loss(x, np.zeros(1025, np.int64))
        1/2050
        """,
        DOCUMENTATION,
    ),
    clause(
        "SHAPE-6",
        "empty batch, none",
        "MUST",
        "core",
        "Input (0, C) with target (0,) and 'none' MUST give an empty result of shape (0,).",
        """
        >>> print(multi_margin_loss(np.zeros((0, 3)), np.zeros(0, np.int64), reduction="none").shape)
        (0,)
        """,
        DOCUMENTATION,
        PYTORCH,
    ),
    clause(
        "SHAPE-7",
        "empty batch, sum",
        "MUST",
        "core",
        "Input (0, C) with target (0,) and 'sum' MUST give 0, the sum of nothing, on every call.",
        """
        >>> loss(np.zeros((0, 3)), [], reduction="sum")
        0
        """,
        DOCUMENTATION,
    ),
    clause(
        "SHAPE-8",
        "empty batch, mean",
        "MUST",
        "core",
        """Input (0, C) with target (0,) and 'mean' MUST give 0 or NaN, the same of the two on every call, whatever its
        dtype and options.""",
        """
        >>> loss(np.zeros((0, 3)), [], reduction="mean")  # NaN is permitted too
        0
        """,
        DOCUMENTATION,
        IEEE_754,
    ),
    clause(
        "SHAPE-9",
        "empty batch, gradient",
        "MUST",
        "training",
        "The gradient of an empty batch MUST be empty, of shape (0, C), for every reduction.",
        """
        >>> print(multi_margin_loss_backward(1.0, np.zeros((0, 3)), np.zeros(0, np.int64)).shape)
        (0, 3)
        """,
        PYTORCH,
    ),
    clause(
        "DTYPE-1",
        "result dtype",
        "MUST",
        "core",
        "Loss and gradient MUST have input's dtype.",
        """
        >>> for name, dtype in DTYPES.items():
        ...     print(multi_margin_loss(np.array([[0, 1]], dtype), [0]).dtype)
        float16
        bfloat16
        float32
        float64
        """,
        PYTORCH,
    ),
    clause(
        "DTYPE-2",
        "half precision",
        "MUST",
        "half",
        """A float16 or bfloat16 result MUST lie in the enclosure of computing in that dtype, which holds every result
        of computing in float32 with one final rounding too.""",
        """
        >>> x = np.zeros((1, 257), DTYPES["bfloat16"])  # 256 terms of 1, divided by 257
        >>> print(multi_margin_loss(x, [0]))
        0.996094
        """,
        IEEE_754,
    ),
    clause(
        "DTYPE-3",
        "int64 targets",
        "MUST",
        "core",
        "Targets of dtype int64 MUST be accepted with every dtype of input.",
        """
        >>> print(multi_margin_loss(np.array([[0, 1]]) / 2, np.array([0], np.int64)))
        0.75
        """,
        PYTORCH,
    ),
    clause(
        "DTYPE-4",
        "other argument types",
        "MUST",
        "core",
        """An argument type that the documentation neither names nor excludes (integer targets narrower than int64,
        integer input, weight of another dtype than input's, `p` = 1.0, input (C,) with target (1,), input (1, C) with
        target (), 0-d input) MUST be rejected with an error, or accepted with the right result and, for 'none',
        target's shape.""",
        """
        >>> loss([[0, 1]], [0], p=1.0)  # accepted here
        1
        >>> loss([[0, 1]], np.array([0], np.int32))  # and rejected here: both are permitted
        rejected: target.dtype=int32, but should be int64
        """,
        DOCUMENTATION,
        PYTORCH,
    ),
)
