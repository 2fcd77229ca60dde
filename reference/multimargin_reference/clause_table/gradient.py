"""Clauses of the gradient: GRADIENT."""

from __future__ import annotations

from multimargin_reference.clause_table.model import DOCUMENTATION, IEEE_754, PYTORCH, clause

CLAUSES = (
    clause(
        "GRADIENT-1",
        "active elements",
        "MUST",
        "training",
        """For `p` = 1 the gradient with respect to x[i], i != y, MUST be grad_output * w[y] / D where z > 0, with D = C
        for 'none' and 'sum' and D = N * C for 'mean'.""",
        """
        >>> gradient([[0.5, 0.25, 1, -2]], [0])  # z = 0.75, 1.5, -1.5
        [[-1/2, 1/4, 1/4, 0]]
        """,
        DOCUMENTATION,
    ),
    clause(
        "GRADIENT-2",
        "power",
        "MUST",
        "training",
        "For `p` = 2 the gradient with respect to x[i], i != y, MUST be 2 * z * grad_output * w[y] / D where z > 0.",
        """
        >>> gradient([[0.5, 0.25, 1, -2]], [0], p=2)
        [[-9/8, 3/8, 3/4, 0]]
        """,
        DOCUMENTATION,
    ),
    clause(
        "GRADIENT-3",
        "target's element",
        "MUST",
        "training",
        "The gradient with respect to x[y] MUST be minus the sum of the row's other elements.",
        """
        >>> gradient([[0.5, 0.25, 1, -2], [0, 0, 8, 0]], [1, 2], reduction="sum")
        [[1/4, -1/2, 1/4, 0], [0, 0, 0, 0]]
        """,
        DOCUMENTATION,
    ),
    clause(
        "GRADIENT-4",
        "kink",
        "MUST",
        "training",
        """At z = 0 the gradient MUST be 0; only where rounding leaves the sign of z undecidable (|z| <= e with e > 0,
        appendix A.4) it is 0 or the active element's value, and nothing in between.""",
        """
        >>> gradient([[1, 0, 0, 0.5]], [0])  # z = 0, 0, 0.5
        [[-1/4, 0, 0, 1/4]]
        >>> gradient_enclosure([[1, 0, 0, 0.5]], [0])  # every sum is exact, so this is the only legal answer
        [[-0.25, 0.0, 0.0, 0.25]]
        >>> gradient_enclosure([[0.1, 0]], [0], margin=0.1, reduction="sum")  # 0.1 rounds: the sign depends on how
        [[-0.5000004 to 1.7881402e-07, 0.49999973 to 0.50000024 or 0]]
        """,
        PYTORCH,
        IEEE_754,
    ),
    clause(
        "GRADIENT-5",
        "inactive",
        "MUST",
        "training",
        """The gradient with respect to x[i], i != y, MUST be exactly zero, of either sign, where z + e <= 0 (appendix
        A.4) and Bg (appendix A.12) is below the overflow threshold, whatever the other terms are.""",
        """
        >>> gradient([[0, 3, -1.5, -1000]], [0])  # z = 4, -0.5, -999
        [[-1/4, 1/4, 0, 0]]
        """,
        DOCUMENTATION,
        IEEE_754,
    ),
    clause(
        "GRADIENT-6",
        "reduction",
        "MUST",
        "training",
        "The gradient of 'mean' MUST be that of 'sum' divided by N, and that of 'none' MUST NOT be divided by N.",
        """
        >>> for reduction in ("none", "sum", "mean"):
        ...     gradient([[0, 0], [0, 0]], [0, 1], reduction=reduction)
        [[-1/2, 1/2], [1/2, -1/2]]
        [[-1/2, 1/2], [1/2, -1/2]]
        [[-1/4, 1/4], [1/4, -1/4]]
        """,
        DOCUMENTATION,
    ),
    clause(
        "GRADIENT-7",
        "weight",
        "MUST",
        "training",
        "Every element of a row's gradient, the target's too, MUST be multiplied by w[y], and by no other weight.",
        """
        >>> gradient([[0, 0], [0, 0]], [0, 1], w=[3, -5], reduction="sum")
        [[-3/2, 3/2], [-5/2, 5/2]]
        """,
        DOCUMENTATION,
    ),
    clause(
        "GRADIENT-8",
        "linear in grad_output",
        "MUST",
        "training",
        "The gradient MUST be multiplied by grad_output: with its sign, and also where it is 0 or not 1.",
        """
        >>> for g in (-2, 0, 0.25):
        ...     gradient([[0, 0]], [0], g=g)
        [[1, -1]]
        [[0, 0]]
        [[-1/8, 1/8]]
        """,
        DOCUMENTATION,
    ),
    clause(
        "GRADIENT-9",
        "row-wise grad_output",
        "MUST",
        "training",
        "With 'none' the elements of row n MUST be multiplied by grad_output[n] and by no other row's.",
        """
        >>> gradient([[0, 0], [0, 0], [0, 0]], [0, 0, 0], g=[1, 0, -4], reduction="none")
        [[-1/2, 1/2], [0, 0], [2, -2]]
        """,
        DOCUMENTATION,
    ),
    clause(
        "GRADIENT-10",
        "shape and dtype",
        "MUST",
        "training",
        "The gradient MUST have input's shape and input's dtype.",
        """
        >>> for shape in ((2, 3), (3,)):
        ...     x = np.zeros(shape, np.float32)
        ...     d = multi_margin_loss_backward(1.0, x, np.zeros(shape[:-1], np.int64))
        ...     print(d.shape, d.dtype)
        (2, 3) float32
        (3,) float32
        """,
        DOCUMENTATION,
    ),
    clause(
        "GRADIENT-11",
        "accuracy",
        "MUST",
        "training",
        """Every number of the gradient MUST lie in its enclosure of appendix A, or be one of the special values that
        stand beside the enclosure.""",
        """
        >>> gradient_enclosure([[0.5, 0.25, -2]], [0])  # 1 / 3: only the scaling rounds
        [[-0.3333336 to -0.33333305, 0.33333316 to 0.3333335, 0.0]]
        """,
        IEEE_754,
    ),
)
