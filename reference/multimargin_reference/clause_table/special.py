"""Clauses of infinities, NaN, subnormals and overflow: SPECIAL."""

from __future__ import annotations

from multimargin_reference.clause_table.model import DOCUMENTATION, IEEE_754, PYTORCH, clause

CLAUSES = (
    clause(
        "SPECIAL-1",
        "masked class",
        "MUST",
        "core",
        "A logit of -inf at i != y MUST contribute 0 to the loss and have the gradient 0, when x[y] is finite.",
        """
        >>> loss([[0, 1, -inf, -inf]], [0])
        1/2
        >>> gradient([[0, 1, -inf, -inf]], [0])
        [[-1/4, 1/4, 0, 0]]
        """,
        DOCUMENTATION,
        IEEE_754,
    ),
    clause(
        "SPECIAL-2",
        "infinite non-target",
        "MUST",
        "core",
        """A logit of +inf at i != y, beside finite ones, MUST make the row's loss infinite, with the sign of w[y], if
        |w[y]| / D is above the smallest subnormal, while for `p` = 1 the gradient stays finite.""",
        """
        >>> loss([[0, inf, -4, -4]], [0])
        inf
        >>> gradient([[0, inf, -4, -4]], [0])
        [[-1/4, 1/4, 0, 0]]
        """,
        DOCUMENTATION,
        IEEE_754,
    ),
    clause(
        "SPECIAL-3",
        "infinite target",
        "MUST",
        "core",
        "A logit of +inf at the target, beside finite ones, MUST give the loss 0 and the gradient 0.",
        """
        >>> loss([[inf, 1, 2]], [0])
        0
        >>> gradient([[inf, 1, 2]], [0])
        [[0, 0, 0]]
        """,
        DOCUMENTATION,
        IEEE_754,
    ),
    clause(
        "SPECIAL-4",
        "-inf at the target",
        "MUST",
        "core",
        """A logit of -inf at the target, beside finite ones, MUST make the row's loss infinite, with the sign of w[y],
        if |w[y]| / D is above the smallest subnormal, while for `p` = 1 the gradient stays finite.""",
        """
        >>> loss([[-inf, 1, 2, 3]], [0])
        inf
        >>> gradient([[-inf, 1, 2, 3]], [0])
        [[-3/4, 1/4, 1/4, 1/4]]
        """,
        DOCUMENTATION,
        IEEE_754,
    ),
    clause(
        "SPECIAL-5",
        "subnormals",
        "MUST",
        "core",
        """Subnormal arguments and results MUST be kept, not flushed to zero, unless the backend declares that it
        flushes them.""",
        """
        >>> enclosure([[0, 2.0**-148]], [0], margin=0)  # 2**-148 / 2 is the smallest subnormal of float32
        1e-45
        """,
        IEEE_754,
    ),
    clause(
        "SPECIAL-6",
        "no early overflow",
        "MUST",
        "core",
        """A number MUST NOT come out infinite or NaN where the figure B of appendix A.12 (Bg for the gradient) stays
        below the overflow threshold, nor finite where its whole enclosure lies at or beyond that threshold.""",
        """
        >>> enclosure([[0, 2.0**126]], [0], margin=0)  # half the largest power of two, halved again
        4.2535296e+37
        >>> enclosure([[-(2.0**127), 2.0**127]], [0])  # 2**128 on the way: after the division it would fit
        1.7014108e+38 to 1.7014128e+38 or inf
        >>> enclosure([[0, 3e38, 3e38]], [0], p=2)
        inf
        """,
        IEEE_754,
    ),
    clause(
        "SPECIAL-7",
        "not a number",
        "MUST",
        "core",
        """A NaN among a row's logits MUST be either dropped (its terms count 0) or propagated (the row's loss is NaN;
        in the gradient, only elements whose z is NaN, and the target's wherever one of these is), and leave the other
        rows' numbers as they are wherever the reduction keeps rows apart.""",
        """
        >>> loss([[0, nan, 1, -4], [0, 1, -4, -4]], [0, 0], reduction="none")  # or [nan, 1/2]
        [1/2, 1/2]
        """,
        IEEE_754,
        PYTORCH,
    ),
    clause(
        "SPECIAL-8",
        "undefined forms",
        "MUST",
        "core",
        """Where exact arithmetic leaves a form undefined (inf - inf in z, a zero weight or grad_output times infinity,
        a NaN or infinite weight or grad_output on an inactive term, a margin that is not finite in the dtype), the
        result MUST be one of the answers permitted in the table of behaviours.""",
        """
        >>> loss([[inf, inf, 0, 0]], [0])  # dropped here; NaN is permitted too
        0
        >>> loss([[0, inf]], [0], w=[0, 1])  # 0 * inf: NaN here; 0 is permitted too
        nan
        """,
        IEEE_754,
        PYTORCH,
    ),
)
