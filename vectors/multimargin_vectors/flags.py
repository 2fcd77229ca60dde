"""What each flag on a vector means: the kind of bug that it catches, and what that bug does to a user."""

from __future__ import annotations

FLAGS: dict[str, tuple[str, str]] = {
    "documentation": ("anything that breaks the documented example", "The first thing a user tries is wrong."),
    "hinge-sum": ("any slip in the sum itself: signs, indices, a term too many", "The plainest call of all is wrong."),
    "hinge-not-clipped": (
        "the hinge is not clipped at zero, or clipped after the power",
        "Well separated samples add to the loss (or subtract from it), so training moves what was right already.",
    ),
    "power": ("the power is taken of the sum, of the logits, or left out", "p = 2 trains with another loss."),
    "target-term": (
        "the target's own term is counted, or removed by subtracting margin ** p",
        "Losses are offset by margin ** p / C; with a negative margin they turn negative; large margins cancel.",
    ),
    "divisor": (
        "division by C - 1, by N, or not at all",
        "The loss and the learning rate are scaled by a factor that depends on the number of classes.",
    ),
    "scaling-rounds": ("an approximate reciprocal or a rounded factor", "Every result is off by a few units more."),
    "margin": ("the margin is fixed, truncated or has the wrong sign", "The margin that the user set is not used."),
    "margin-rounds": (
        "the margin is rounded to a narrower type or to an integer",
        "The margin is slightly another one.",
    ),
    "single-class": ("the target's term is counted when it is alone", "A constant loss where nothing can be learnt."),
    "narrow-computation": (
        "computing or adding in a narrower type than the input's",
        "Half of the digits that the user pays for are noise.",
    ),
    "reduction": ("mean and sum confused, or divided twice", "The effective learning rate depends on the batch size."),
    "weight-class": (
        "the weight of class i instead of the target's, or inside the power",
        "Class balancing acts on the wrong classes.",
    ),
    "weight-sign": ("a weight inside max(), squared, or clamped", "Negative and zero weights do something else."),
    "weight-normalises": ("mean divides by the sum of weights", "Weights lose their absolute size."),
    "weight-unused": ("every weight is touched", "A NaN in a class that never occurs destroys the training."),
    "unbatched": ("a missing or an added dimension", "Code that follows broadcasts silently."),
    "rows-and-columns": ("rows and classes confused, or a row's target reused", "Samples train each other's classes."),
    "empty-batch": ("reductions over nothing, uninitialised memory", "An empty shard poisons the whole step."),
    "result-dtype": (
        "results promoted to or computed in another dtype",
        "Mixed-precision code silently changes its memory use or its accuracy.",
    ),
    "argument-types": ("unusual argument types", "Silent misreading of what was passed."),
    "gradient": ("an element, a factor or the target's sum", "Training goes the wrong way while the loss looks right."),
    "kink": (
        "z >= 0 instead of z > 0, or the average of both sides",
        "Ties (zero logits at the start of training) get a gradient that PyTorch does not give.",
    ),
    "grad-output": ("grad_output is ignored, summed, or loses its sign", "Scaled or combined losses train wrongly."),
    "infinity": ("0 * inf, inf - inf, finite masks", "Masked classes turn the loss into NaN."),
    "nan": ("NaN handling", "A NaN is hidden, or spreads to rows that were fine."),
    "undefined-form": ("inf - inf, 0 * inf", "NaN appears or disappears without a rule."),
    "margin-not-finite": ("a margin that the dtype cannot hold", "Silent infinity."),
    "subnormal": ("flush to zero", "Small differences vanish; equal and unequal are confused."),
    "overflow": ("early overflow, or clamping of large values", "Infinity where the result is an ordinary number."),
    "bad-option": ("p or reduction is not checked", "A typing error trains with another loss."),
    "target-range": (
        "targets are not checked against [0, C)",
        "Memory is read out of bounds, or the last class trains.",
    ),
    "target-narrowed": ("targets are narrowed before they are checked", "A corrupt label becomes a valid one."),
    "target-shape": ("target's shape is not checked, or broadcast", "One label trains the whole batch."),
    "target-type": ("targets are cast", "Probabilities are taken for class numbers."),
    "weight-shape": (
        "weight's shape is not checked",
        "Memory is read out of bounds, or one weight serves all classes.",
    ),
    "input-shape": ("input's shape is not checked", "Dimensions are confused."),
    "options-crossed": ("two options that are right alone and wrong together", "Rare configurations are wrong."),
    "rounding": ("errors larger than rounding explains", "Results that drift from those of other systems."),
    "cancellation": ("an algebra that cancels", "Logits with a common offset lose all digits."),
    "range": ("intermediate overflow, underflow or flushed values", "Mixed magnitudes are added wrongly."),
    "class-boundary": ("class tails dropped or doubled at block sizes", "Some classes never train."),
    "row-boundary": ("row tails dropped or doubled at block sizes", "Some samples never count."),
}
