"""Clauses of invalid calls: REJECT. A rejection is any raised error; silence, NaN, a crash or a hang is none."""

from __future__ import annotations

from multimargin_reference.clause_table.model import DOCUMENTATION, PYTORCH, clause

CLAUSES = (
    clause(
        "REJECT-1",
        "p",
        "MUST",
        "core",
        "A `p` other than 1 and 2, such as 0, 3, -1, 1.5 or 1.99, MUST be rejected with an error; "
        "text that names 1 or 2 MAY be taken for it.",
        """
        >>> loss([[0, 1]], [0], p=1.5)
        rejected: p=1.5, but should be 1 or 2
        """,
        DOCUMENTATION,
    ),
    clause(
        "REJECT-2",
        "reduction",
        "MUST",
        "core",
        "A reduction other than 'none', 'mean' and 'sum' MUST be rejected with an error; the numbers 0, 1 and 2, which "
        "name the three in PyTorch's enumeration, and 'elementwise_mean', its old name of 'mean', MAY be accepted as "
        "what they name.",
        """
        >>> loss([[0, 1]], [0], reduction="average")
        rejected: reduction='average', but should be 'none', 'mean' or 'sum'
        """,
        DOCUMENTATION,
    ),
    clause(
        "REJECT-3",
        "negative target",
        "MUST",
        "core",
        "A target below 0, such as -1 or -100, MUST be rejected with an error; there is no index to ignore.",
        """
        >>> loss([[0, 1]], [-1])
        rejected: target[0]=-1, but should be in [0, 2)
        """,
        DOCUMENTATION,
    ),
    clause(
        "REJECT-4",
        "target too large",
        "MUST",
        "core",
        "A target of C, or little above, MUST be rejected with an error.",
        """
        >>> loss([[0, 1, 2]], [3])
        rejected: target[0]=3, but should be in [0, 3)
        """,
        DOCUMENTATION,
    ),
    clause(
        "REJECT-5",
        "far target",
        "MUST",
        "core",
        """A target far above C MUST be rejected with an error, also where it would be valid after narrowing to fewer
        bits, as 2**32 + 1 would.""",
        """
        >>> loss([[0, 1]], [2**32 + 1])
        rejected: target[0]=4294967297, but should be in [0, 2)
        """,
        DOCUMENTATION,
    ),
    clause(
        "REJECT-6",
        "target count",
        "MUST",
        "core",
        "A 1-D target with more or fewer elements than input has rows MUST be rejected with an error.",
        """
        >>> loss([[0, 1], [1, 0]], [0])
        rejected: target.shape=(1,), but should be (2,) for input.shape=(2, 2)
        """,
        DOCUMENTATION,
    ),
    clause(
        "REJECT-7",
        "target rank",
        "MUST",
        "core",
        """A target of two or more dimensions MUST be rejected with an error, also where its number of elements is N; so
        MUST a 0-d target beside input (N, C) with N other than 1.""",
        """
        >>> loss([[0, 1], [1, 0]], [[0], [0]])
        rejected: target.shape=(2, 1), but should be (2,) for input.shape=(2, 2)
        """,
        DOCUMENTATION,
    ),
    clause(
        "REJECT-8",
        "floating target",
        "MUST",
        "core",
        "A target of a floating dtype MUST be rejected with an error, also where its values are integers; an empty "
        "one, which has no values, MAY be accepted.",
        """
        >>> loss([[0, 1]], np.array([0.0]))
        rejected: target.dtype=float64, but should be int64
        """,
        DOCUMENTATION,
        PYTORCH,
    ),
    clause(
        "REJECT-9",
        "weight size",
        "MUST",
        "core",
        "A 1-D weight with more or fewer than C elements MUST be rejected with an error.",
        """
        >>> loss([[0, 1]], [0], w=[1, 1, 1])
        rejected: weight.shape=(3,), but should be (2,)
        """,
        DOCUMENTATION,
    ),
    clause(
        "REJECT-10",
        "weight rank",
        "MUST",
        "core",
        "A weight that is not 1-D MUST be rejected with an error, also where it has C elements.",
        """
        >>> loss([[0, 1]], [0], w=[[1, 1]])
        rejected: weight.shape=(1, 2), but should be (2,)
        """,
        DOCUMENTATION,
    ),
    clause(
        "REJECT-11",
        "no classes",
        "MUST",
        "core",
        "Input with C = 0 MUST be rejected with an error.",
        """
        >>> loss(np.zeros((2, 0)), [0, 0])
        rejected: input.shape=(2, 0), but should have at least one class
        """,
        DOCUMENTATION,
        PYTORCH,
    ),
    clause(
        "REJECT-12",
        "input rank",
        "MUST",
        "core",
        "Input of three or more dimensions MUST be rejected with an error.",
        """
        >>> loss(np.zeros((2, 2, 2)), [0, 0])
        rejected: input.shape=(2, 2, 2), but should be (N, C) or (C,)
        """,
        DOCUMENTATION,
        PYTORCH,
    ),
)
