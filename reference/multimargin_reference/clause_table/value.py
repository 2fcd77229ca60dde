"""Clauses of the loss's value: VALUE, WEIGHT, REDUCTION."""

from __future__ import annotations

from multimargin_reference.clause_table.model import DOCUMENTATION, IEEE_754, PYTORCH, clause

CLAUSES = (
    clause(
        "VALUE-1",
        "hinge sum",
        "MUST",
        "core",
        """For `p` = 1 the loss of a row MUST be the sum over all i != y of max(0, margin - x[y] + x[i]), divided by C.
        """,
        """
        >>> loss([[0.5, 0.25, 1, -2]], [0])  # z = 0.75, 1.5, -1.5
        9/16
        """,
        DOCUMENTATION,
    ),
    clause(
        "VALUE-2",
        "power",
        "MUST",
        "core",
        "For `p` = 2 every hinge MUST be squared, after it was clipped at zero and before it is added to the others.",
        """
        >>> loss([[0.5, 0.25, 1, -2]], [0], p=2)  # (0.75**2 + 1.5**2 + 0) / 4
        45/64
        """,
        DOCUMENTATION,
    ),
    clause(
        "VALUE-3",
        "strict hinge",
        "MUST",
        "core",
        "A term with z <= 0 MUST contribute nothing to the loss, whether z is 0 or far below it.",
        """
        >>> loss([[3, 2, -1000]], [0])  # z = 0, -1002
        0
        """,
        DOCUMENTATION,
    ),
    clause(
        "VALUE-4",
        "target term",
        "MUST",
        "core",
        """The term i = y MUST be left out of the sum itself, not added and then compensated by subtracting
        margin ** p.""",
        """
        >>> loss([[0.5, 0, 0, 0]], [0], p=2, margin=-1)  # subtracting margin ** 2 would give -1/4
        0
        >>> loss([[0, 0.5]], [0], margin=2.0**52)  # adding 2 ** 52 and taking it away would lose the half
        9007199254740993/4
        """,
        DOCUMENTATION,
    ),
    clause(
        "VALUE-5",
        "divisor",
        "MUST",
        "core",
        "A row's sum MUST be divided by C, the number of classes, for every reduction; never by C - 1.",
        """
        >>> for reduction in ("none", "mean", "sum"):
        ...     loss([[0, 1, -4, -4]], [0], reduction=reduction)  # z = 2, -3, -3
        [1/2]
        1/2
        1/2
        """,
        DOCUMENTATION,
    ),
    clause(
        "VALUE-6",
        "margin",
        "MUST",
        "core",
        """Every margin that rounds to a finite number of the dtype MUST be accepted and used with its value: positive,
        zero, negative, fractional or large.""",
        """
        >>> for margin in (0.75, 0, -0.25, 1000):
        ...     loss([[0, 0.5]], [0], margin=margin)
        5/8
        1/4
        1/8
        2001/4
        """,
        DOCUMENTATION,
    ),
    clause(
        "VALUE-7",
        "single class",
        "MUST",
        "core",
        "With C = 1 the loss MUST be 0, since there is no class but the target.",
        """
        >>> loss([[5], [-3]], [0, 0], reduction="none")
        [0, 0]
        """,
        DOCUMENTATION,
    ),
    clause(
        "VALUE-8",
        "documentation example",
        "MUST",
        "core",
        """The documented example, logits 0.1, 0.2, 0.4, 0.8 with target 3 and all defaults, MUST give 0.325 up to the
        roundings that VALUE-9 permits.""",
        """
        >>> loss([[0.1, 0.2, 0.4, 0.8]], [3], dtype="float32")  # ((1 - 0.7) + (1 - 0.6) + (1 - 0.4)) / 4
        about 0.325
        """,
        DOCUMENTATION,
    ),
    clause(
        "VALUE-9",
        "accuracy",
        "MUST",
        "core",
        """Every number of the loss MUST lie in its enclosure of appendix A, or be one of the special values that stand
        beside the enclosure.""",
        """
        >>> enclosure([[0.5, 0.25, 1, -2]], [0])  # nothing rounds: one legal result
        0.5625
        >>> enclosure([[0.5, 0.25, -2]], [0])  # 0.75 / 3: only the division rounds
        0.24999988 to 0.25000012
        """,
        IEEE_754,
    ),
    clause(
        "WEIGHT-1",
        "target's class",
        "MUST",
        "core",
        "Every term of a row MUST be multiplied by w[y], the weight of the target's class, and not by w[i].",
        """
        >>> loss([[0, 1, -4, -4]], [0], w=[4, 16, 1, 1])  # 4 * 2 / 4
        2
        """,
        DOCUMENTATION,
    ),
    clause(
        "WEIGHT-2",
        "outside the power",
        "MUST",
        "core",
        "The weight MUST multiply the hinge after the power was taken: w[y] * max(0, z) ** p.",
        """
        >>> loss([[0, 1]], [0], p=2, w=[3, 1])  # 3 * 2**2 / 2, not (3 * 2)**2 / 2
        6
        """,
        DOCUMENTATION,
    ),
    clause(
        "WEIGHT-3",
        "any sign",
        "MUST",
        "core",
        "Negative and zero weights MUST be accepted and multiplied in with their sign.",
        """
        >>> loss([[0, 1], [0, 1]], [0, 1], margin=2, w=[-1, 0], reduction="none")
        [-3/2, 0]
        """,
        DOCUMENTATION,
        PYTORCH,
    ),
    clause(
        "WEIGHT-4",
        "unused weights",
        "MUST",
        "core",
        """The weight of a class that is no row's target MUST NOT have any effect on loss or gradient, NaN and
        infinities included.""",
        """
        >>> loss([[0, 1, -4, -4]], [0], w=[4, nan, inf, -1])
        2
        """,
        DOCUMENTATION,
        PYTORCH,
    ),
    clause(
        "WEIGHT-5",
        "no normalisation",
        "MUST",
        "core",
        "The reduction 'mean' MUST divide the weighted losses by the number of rows, not by the sum of the weights.",
        """
        >>> loss([[0, 1], [0, 1]], [0, 0], w=[8, 1])  # (8 + 8) / 2, not 16 / 16
        8
        """,
        DOCUMENTATION,
    ),
    clause(
        "REDUCTION-1",
        "none",
        "MUST",
        "core",
        "The reduction 'none' MUST return each row's own loss, in the rows' order.",
        """
        >>> loss([[0, 1], [0, -0.5], [0, 3]], [0, 0, 0], reduction="none")
        [1, 1/4, 2]
        """,
        DOCUMENTATION,
    ),
    clause(
        "REDUCTION-2",
        "mean",
        "MUST",
        "core",
        "The reduction 'mean' MUST return the sum of the rows' losses divided by N.",
        """
        >>> loss([[0, 1], [0, -0.5], [0, 3]], [0, 0, 0], reduction="mean")
        13/12
        """,
        DOCUMENTATION,
    ),
    clause(
        "REDUCTION-3",
        "sum",
        "MUST",
        "core",
        "The reduction 'sum' MUST return the sum of the rows' losses.",
        """
        >>> loss([[0, 1], [0, -0.5], [0, 3]], [0, 0, 0], reduction="sum")
        13/4
        """,
        DOCUMENTATION,
    ),
    clause(
        "REDUCTION-4",
        "result shape",
        "MUST",
        "core",
        "'mean' and 'sum' MUST return a result of shape (), and 'none' one of target's shape.",
        """
        >>> x, y = np.zeros((3, 2)), np.zeros(3, np.int64)
        >>> for reduction in ("none", "mean", "sum"):
        ...     print(multi_margin_loss(x, y, reduction=reduction).shape)
        (3,)
        ()
        ()
        """,
        DOCUMENTATION,
    ),
    clause(
        "REDUCTION-5",
        "consistency",
        "MUST",
        "core",
        """Where nothing rounds (appendix A, exact grid), the result of 'sum', N times that of 'mean', and the elements
        of 'none' added up MUST be equal.""",
        """
        >>> x, y = np.array([[0, 1], [0, -0.5], [0, 3], [0, 2.25]]), np.zeros(4, np.int64)
        >>> each, mean, total = (multi_margin_loss(x, y, reduction=r) for r in ("none", "mean", "sum"))
        >>> print(each.sum(), 4 * mean, total)
        4.875 4.875 4.875
        """,
        DOCUMENTATION,
        IEEE_754,
    ),
)
