"""Known faults that exactly the same checks reject, with the reason; each is kept for the mistake that it is."""

from __future__ import annotations

ALIKE: dict[tuple[str, ...], str] = {
    ("power-ignored", "first-p-kept"): "The first call of a run has p = 1, so that p = 1 is what is kept.",
    (
        "margin-ignored",
        "first-margin-kept",
    ): "The first call of a run has the default margin, so that it is what is kept.",
    (
        "first-call-zero",
        "gradient-before-any-loss-raises",
    ): "Both are wrong in the very first call alone, which in a whole run is a gradient.",
    ("gradient-always-zero", "gradient-negated"): "Both are right where the gradient is 0, and nowhere else.",
    ("weight-by-one-hot", "weight-non-finite-rejected"): "Both show where a weight that nothing reads is not finite.",
    ("mean-not-divided", "mean-divided-twice"): "Both are wrong wherever N is not 1 and the mean is not 0.",
    ("none-reduced", "none-column"): "Both give another shape wherever nothing is reduced.",
    ("loss-python-numbers", "loss-nothing", "loss-complex"): "No loss is an array of a floating dtype.",
    (
        "empty-mean-garbage",
        "empty-mean-infinite",
        "empty-mean-one",
        "empty-mean-rejected",
    ): "Each is wrong for the mean of an empty batch alone, where 0 and NaN are permitted.",
    ("empty-sum-garbage", "empty-sum-nan", "empty-sum-rejected"): "Each is wrong for the sum of an empty batch alone.",
    (
        "empty-none-one-row",
        "empty-none-scalar",
        "empty-none-rejected",
    ): "Each is wrong for an empty batch without a reduction.",
    (
        "empty-gradient-rejected",
        "empty-gradient-flat",
        "empty-gradient-one-row",
    ): "Each is wrong for the gradient of an empty batch alone.",
    (
        "kink-full",
        "kink-in-target-only",
    ): "A slope at a tie reaches the target's element too: no check looks at one alone.",
    ("target-gradient-zero", "target-gradient-positive"): "Both are wrong where the target's gradient is not 0.",
    ("factor-without-classes", "factor-classes-twice"): "Both are wrong where the gradient is not 0 and C is not 1.",
    ("gradient-weight-absolute", "gradient-weight-clamped"): "Both are wrong where a weight is negative.",
    ("nan-counts-one", "nan-becomes-infinity"): "Both give a NaN's term a number, where it is dropped or NaN.",
    (
        "grad-output-scaled",
        "grad-output-zeroed",
    ): "Both overwrite the caller's grad_output; what they leave there differs.",
    ("threads-share-scratch", "threads-share-options"): "Both are right unless several threads call at once.",
    (
        "target-negative-clipped",
        "target-negative-nan",
        "target-negative-zero",
    ): "Each takes negative targets; what it makes of them does not count.",
    (
        "target-minus-one-accepted",
        "target-minus-one-skipped",
    ): "Both take target -1; what they make of it does not count.",
    (
        "target-too-large-clipped",
        "target-too-large-wraps",
        "target-too-large-skipped",
        "target-too-large-nan",
    ): "Each takes targets of C and more; what it makes of them does not count.",
    (
        "target-count-shorter-padded",
        "target-count-shorter-fewer-rows",
    ): "Both take fewer targets than rows; what they make of them does not count.",
    (
        "reduction-unknown-means-mean",
        "reduction-unknown-means-none",
        "reduction-unknown-means-sum",
    ): "Each takes any reduction; what it makes of one does not count.",
    ("no-classes-zero", "no-classes-nan"): "Both take C = 0; what they make of it does not count.",
    (
        "nan-instead-of-error",
        "nothing-instead-of-error",
        "error-returned",
    ): "Each returns where it should raise an error; what it returns does not count.",
    (
        "reduction-number-means-sum",
        "reduction-number-modulo-three",
    ): "Both take the number 2 for sum, and no check has a call in which the others differ.",
    (
        "result-buffer-reused",
        "workspace-reused",
    ): "Both put the next result of a shape where the last one was, and every check makes one of the same shape.",
    (
        "validated-once",
        "target-unchecked",
    ): "A valid call of the same shape comes before every target out of range.",
    (
        "weight-by-one-hot-on-one-path",
        "unused-weights-of-many-rows",
    ): "Every check of unused weights has calls of both paths.",
    (
        "gradient-is-input-when-equal",
        "zero-gradient-is-grad-output",
    ): "One check of PURITY-4 has a call for each: in one the gradient equals the input, in the other grad_output.",
    (
        "order-random-on-one-path",
        "blocks-in-any-order",
        "strided-in-any-order",
        "row-blocks-in-any-order",
        "class-blocks-in-any-order",
        "square-blocks-in-any-order",
        "rows-in-any-order-of-many",
    ): "One check makes the calls of all options and places again; it does not count which of them differ.",
    (
        "many-classes-row-limit",
        "rows-past-2-18",
    ): "One check has all vast calls of a dtype and part, of both sizes too.",
    (
        "gradient-weight-missing",
        "backward-ignores-weight",
    ): "They differ in whether backward rejects a weight of a wrong shape, which it need not.",
    (
        "classes-past-2-18",
        "tile-of-1024-lost",
        "target-not-excluded-from-large",
    ): "One check has all vast calls of a dtype and part, with a term in the last corner, and some with a margin.",
    (
        "gradient-reduced-like-the-loss",
        "second-gradient-raises",
    ): "One check has all gradients after a loss of the very same arrays.",
    (
        "one-target-gradient-batched",
        "scalar-target-gradient-doubled",
    ): "One check has the gradients of one target beside (C,), and of none beside (1, C).",
    (
        "target-unchecked-reversed",
        "target-unchecked-strided",
        "target-unchecked-read-only",
    ): "Each check of targets out of range elsewhere in memory has all layouts.",
    (
        "target-int32-as-int16",
        "int16-targets-by-their-lower-byte",
    ): "One check has the targets of all narrow dtypes.",
    (
        "second-tile-both-ways",
        "filled-tile-taken-as-empty",
        "last-class-of-large-batches-lost",
    ): "One check has the calls with few terms in the corners, of whole and of cut tiles.",
    (
        "kink-past-65536-classes",
        "kink-past-65536-rows",
    ): "One check has all calls of many ties, of many rows and of many classes.",
}
