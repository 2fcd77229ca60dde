"""The table of behaviours: where a choice is left, which answers are permitted, and what each means for a user.

SPEC.md's table is generated from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Behaviour:
    """One choice. answers: with their meanings. names: under which it is observed, its own name when empty."""

    name: str
    observed: str
    answers: Mapping[str, str]
    clause: str
    names: tuple[str, ...] = ()


ACCEPTS = "such calls work, and the result is right"
DROPPED, PROPAGATED = "a diverged model can look healthy: the term counts 0", "the loss is NaN: divergence is noticed"

BEHAVIOURS: tuple[Behaviour, ...] = (
    Behaviour(
        "mean of an empty batch",
        "'mean' with N = 0",
        {
            "0": "an empty shard leaves a summed loss alone",
            "NaN": "an empty shard makes the whole step NaN, and is noticed",
        },
        "SHAPE-8",
    ),
    Behaviour("NaN at a non-target", "x[i] = NaN, i != y", {"dropped": DROPPED, "propagated": PROPAGATED}, "SPECIAL-7"),
    Behaviour(
        "NaN at the target",
        "x[y] = NaN",
        {"dropped": "the row counts 0 and is not trained, silently", "propagated": PROPAGATED},
        "SPECIAL-7",
    ),
    Behaviour(
        "margin NaN",
        "margin = NaN",
        {
            "dropped": "every loss is 0: nothing is trained, silently",
            "propagated": "every loss is NaN: the mistake is noticed",
            "rejected": "the mistake is named at once",
        },
        "SPECIAL-8",
    ),
    Behaviour("inf - inf", "x[y] = x[i] = +inf", {"dropped": DROPPED, "propagated": PROPAGATED}, "SPECIAL-8"),
    Behaviour(
        "-inf - (-inf)",
        "x[y] = x[i] = -inf",
        {
            "dropped": "a row whose classes are all masked counts 0",
            "propagated": "a row whose classes are all masked is NaN",
        },
        "SPECIAL-8",
    ),
    Behaviour(
        "NaN weight on an inactive row",
        "w[y] = NaN, no z > 0",
        {"0": "the weight of a row without loss is not looked at", "NaN": "one NaN weight makes the loss NaN"},
        "SPECIAL-8",
    ),
    Behaviour(
        "infinite weight on an inactive row",
        "w[y] = +-inf, no z > 0",
        {"0": "the weight of a row without loss is not looked at", "NaN": "infinity times 0 makes the loss NaN"},
        "SPECIAL-8",
    ),
    Behaviour(
        "zero weight times an infinite hinge",
        "w[y] = 0, some z = +inf",
        {"0": "weight 0 ignores a class completely", "NaN": "weight 0 does not protect from infinite logits"},
        "SPECIAL-8",
    ),
    Behaviour(
        "zero grad_output times an infinite derivative",
        "G = 0, p = 2, some z = +inf",
        {
            "0": "a loss multiplied by 0 is silent",
            "NaN": "a loss multiplied by 0 still makes the gradient NaN",
            "loss inf": "the loss itself is infinite, as it should be",
        },
        "SPECIAL-8",
    ),
    Behaviour(
        "margin inf",
        "margin = +inf",
        {
            "inf": "every term is infinite",
            "NaN": "the target's own term is infinite too, and masked by a multiplication",
            "finite gradient": "the gradient for p = 1 stays finite",
            "rejected": "only finite margins are taken",
        },
        "SPECIAL-8",
    ),
    Behaviour(
        "margin -inf",
        "margin = -inf",
        {"0": "no term is ever active", "rejected": "only finite margins are taken"},
        "SPECIAL-8",
    ),
    Behaviour(
        "margin beyond the dtype",
        "a finite double that rounds to infinity in the dtype",
        {
            "inf": "the margin becomes infinite in the dtype",
            "NaN": "the target's own term is infinite too, and masked by a multiplication",
            "finite gradient": "the gradient for p = 1 stays finite",
            "finite": "the margin is kept wider than the dtype",
            "rejected": "margins beyond the dtype are named as a mistake",
        },
        "SPECIAL-8",
    ),
    Behaviour(
        "narrower integer targets",
        "int32, int16, int8, uint8, uint16",
        {"accepted": "labels need no conversion", "rejected": "labels have to be converted to int64 first"},
        "DTYPE-4",
        ("int32 targets", "int16 targets", "int8 targets", "uint8 targets", "uint16 targets"),
    ),
    Behaviour(
        "integer logits",
        "input of an integer dtype",
        {"accepted": "the result has any floating dtype", "rejected": "logits have to be floating"},
        "DTYPE-4",
    ),
    Behaviour(
        "weight of another dtype",
        "float64 weights on float32 logits, or the reverse",
        {"accepted": "the result has any floating dtype", "rejected": "weights have to be converted first"},
        "DTYPE-4",
    ),
    Behaviour(
        "p = 1.0",
        "`p` as a float",
        {"accepted": "configuration files may write 1.0", "rejected": "p has to be an integer"},
        "DTYPE-4",
        ("p = 1.0", "p = 2.0"),
    ),
    Behaviour(
        "(C,) logits and a (1,) target",
        "1-D input, 1-D target",
        {"accepted": "'none' gives (1,)", "rejected": "one sample's target has to be 0-d"},
        "DTYPE-4",
    ),
    Behaviour(
        "(1, C) logits and a () target",
        "2-D input, 0-d target",
        {"accepted": "'none' gives ()", "rejected": "a batch's targets have to be 1-D"},
        "DTYPE-4",
    ),
    Behaviour(
        "a 0-d logit",
        "0-d input: C = 1",
        {"accepted": "'none' gives the target's shape", "rejected": "logits need an axis of classes"},
        "DTYPE-4",
    ),
    Behaviour(
        "differentiating weight",
        "a gradient with respect to weight is asked for",
        {"right": "class weights can be learnt", "rejected": "class weights cannot be learnt, and an error says so"},
        "CLASS-9",
    ),
    Behaviour(
        "double backward",
        "a second derivative is asked for",
        {
            "right": "gradient penalties work",
            "rejected": "gradient penalties do not work, and an error says so",
            "detached": "the gradient has no graph: an error when asked for by itself, left out of a sum in silence",
        },
        "CLASS-9",
    ),
    Behaviour(
        "forward-mode differentiation",
        "a tangent of the loss is asked for",
        {"right": "jvp, jacfwd and hessian work", "rejected": "jvp, jacfwd and hessian raise an error"},
        "CLASS-9",
    ),
    Behaviour(
        "half precision",
        "results for float16 and bfloat16",
        {
            "in-dtype": "each step may round to the half: two to three digits are lost on long rows",
            "widened": "float32 inside, one rounding at the end: the higher accuracy class",
        },
        "DTYPE-2",
    ),
)


def by_name() -> Mapping[str, Behaviour]:
    """Return the behaviours by every name under which they are observed."""
    return {name: b for b in BEHAVIOURS for name in (b.names or (b.name,))}


def meaning(name: str, answer: str) -> str:
    """Return what an answer means for a user. Raises KeyError for a behaviour or an answer that the table lacks."""
    return by_name()[name].answers[answer]


def table() -> str:
    """Return the table of SPEC.md, as Markdown."""
    lines = ["| behaviour | what is observed | answers | what it means for a user | clause |", "|---|---|---|---|---|"]
    for b in BEHAVIOURS:
        heads = [(b.name, b.observed, b.clause)] + [("", "", "")] * (len(b.answers) - 1)
        for (name, observed, clause), (answer, text) in zip(heads, b.answers.items(), strict=True):
            lines.append(f"| {name} | {observed} | {answer} | {text} | {clause} |")
    return "\n".join(lines)
