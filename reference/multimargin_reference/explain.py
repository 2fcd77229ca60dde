"""One call written out for someone learning the loss: every term, sum and division, exact and rounded.

`explain` returns text. Long calls are shortened: the first different rows, the classes that count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from tabulate import tabulate

from multimargin_reference.arithmetic import Real, product, total
from multimargin_reference.case import Case
from multimargin_reference.clauses import CLAUSES
from multimargin_reference.derivation import ACTIVE, INACTIVE, KINK, TARGET, UNDEFINED, RowSteps, Step, worked_out
from multimargin_reference.expectation import Choice, Expectation, Rejection, Values, exact_results, expected_values
from multimargin_reference.explain_legal import legal_text, reason_of_gradient, reason_of_loss, special_clauses
from multimargin_reference.number_text import cell, exact_text, float_text, fraction_text, hex_text, three_faces
from multimargin_reference.problem import Problem
from multimargin_reference.rejection import meaning, rejecting_clause
from multimargin_reference.validation import validate, validate_grad_output

MOST_ROWS = 4
MOST_CLASSES = 12  # in a table
MOST_ACTIVE = 8  # of them before kinks and undefined terms have their place
MOST_SUMMANDS = 6  # written out in one line
LARGEST_CALL = 1 << 20  # logits
ERRORS = (TypeError, ValueError, IndexError)
WIDTH = 100  # of an array's text

STATES = {
    TARGET: "the target: left out (VALUE-4)",
    ACTIVE: "active: z > 0",
    KINK: "kink: z = 0 counts nothing (VALUE-3)",
    INACTIVE: "inactive: z < 0",
    UNDEFINED: "NaN: dropped here; may be propagated",
}


def explain(case: Case, expected: Expectation | None = None) -> str:
    """Return a call written out, with what a legal implementation may return and why.

    expected: what is known already, such as a golden vector's expectation; computed when absent. Raises ValueError for
    a call of more than LARGEST_CALL logits; never for an invalid one: that is explained.
    """
    if case.input.size > LARGEST_CALL:
        raise ValueError(
            f"the call has {case.input.size} logits, but should have at most {LARGEST_CALL} to be explained"
        )
    parts = [_call(case)]
    clause = expected.clause if isinstance(expected, Rejection) else rejecting_clause(case)
    if clause:
        return "\n\n".join([*parts, _rejected(case, clause)])
    if isinstance(expected, Choice):
        parts.append(_choice(expected))
    if problem_with := _invalid(case):
        usual = meaning(case)
        if _invalid(usual):
            return "\n\n".join([*parts, f"NOT A VALID CALL: {problem_with}. No REJECT clause names it."])
        parts.append(
            f"UNUSUAL: {problem_with}. An implementation that accepts it must take it for this:\n{_call(usual)}"
        )
        case = usual
    return "\n\n".join([*parts, *_valid(case, expected)])


def _invalid(case: Case) -> str:
    """Return why the reference refuses a call, "" if it does not."""
    try:
        call = validate(case.input, case.target, case.p, case.margin, case.weight, case.reduction)
        if case.grad_output is not None:
            validate_grad_output(case.grad_output, call)
    except ERRORS as error:
        return str(error)
    return ""


def _call(case: Case) -> str:
    """Return the arguments, one a line."""
    arrays = {"input": case.input, "target": case.target, "weight": case.weight, "grad_output": case.grad_output}
    lines = [f"  {name:11} = {_array(a)}" for name, a in arrays.items() if a is not None]
    options = f"p = {case.p}, margin = {case.margin!r}, reduction = {case.reduction!r}"
    absent = "" if case.weight is not None else ", weight = None"
    return "\n".join(["the call", *lines, f"  {options}{absent}"])


def _array(array: NDArray[np.generic]) -> str:
    """Return dtype, shape and values, shortened by NumPy's own rule."""
    text = np.array2string(array, separator=", ", threshold=48, edgeitems=3, max_line_width=WIDTH, prefix=" " * 16)
    return f"{array.dtype.name} {array.shape} {text}"


def _rejected(case: Case, clause: str) -> str:
    """Say which clause asks for the rejection, and what is wrong with the arguments."""
    why = _invalid(case) or "the arguments do not fit together"
    lines = [f"MUST BE REJECTED: {CLAUSES[clause].label}", f"  {CLAUSES[clause].sentence}", f"  here: {why}"]
    return "\n".join([*lines, "  Any raised error is right; whatever is returned, NaN included, is wrong."])


def _choice(choice: Choice) -> str:
    answers = ", ".join(f"{answer!r}" for answer in choice.answers.values())
    return f"A CHOICE: {choice.behaviour}: the specification permits these answers: {answers}"


def _valid(case: Case, expected: Expectation | None) -> list[str]:
    """Return the parts about a valid call: rows, loss, gradient, special rules."""
    exact, rows = worked_out(case, MOST_ROWS)
    values, unknown = _values(case, expected)
    parts = [_formula(case, exact), *(_row(case, exact, row) for row in rows), *_left_out(exact, rows)]
    parts.append(_loss(case, exact, rows, values, unknown))
    if case.grad_output is not None:
        parts += _gradient(case, exact, rows, values)
    return [*parts, *_specials(case, values)]


def _values(case: Case, expected: Expectation | None) -> tuple[Values | None, str]:
    """Return what is legal, or why that is not defined."""
    if isinstance(expected, Choice):
        return expected.values, ""
    if isinstance(expected, Values):
        return expected, ""
    try:
        return expected_values(case), ""
    except ValueError as error:
        return None, str(error)


def _formula(case: Case, exact: Problem) -> str:
    """Return the formula with this call's sizes, and the margin as it really is."""
    rows, classes = len(exact.rows), int(case.input.shape[-1])
    power, weight = "" if exact.p == 1 else "^2", "" if case.weight is None else "w[y] * "
    lines = [
        f"{rows} row{'s' * (rows != 1)} of C = {classes} class{'es' * (classes != 1)}, computed in {exact.format.name} "
        f"(unit roundoff u = 2^-{exact.format.precision})",
        f"a row's loss = 1/C * sum over i != y of {weight}max(0, z[i]){power}, z[i] = margin - x[y] + x[i]",
        f"margin = {exact_text(exact.margin)}",
    ]
    if isinstance(exact.margin, Fraction) and not exact.format.represents(exact.margin):
        lines.append(f"  (not a {exact.format.name} number: it may be rounded first, or kept wider; both are legal)")
    return "\n".join(lines)


def _row(case: Case, exact: Problem, row: RowSteps) -> str:
    """Return one row: its terms, their sum, the division by C."""
    head = f"row {row.index}: target y = {row.target}, x[y] = {exact_text(row.logit)}"
    head += "" if case.weight is None else f", w[y] = {exact_text(row.weight)}"
    head += f" ({row.like - 1} more such row{'s' * (row.like != 2)})" if row.like > 1 else ""
    shown = _shown(row)
    columns = [
        "i",
        "x[i]",
        "z",
        *(["z^2"] if exact.p == 2 else []),
        *(["w[y]*term"] if case.weight is not None else []),
    ]
    lines = [head, _table([_term(case, exact, step) for step in shown], [*columns, ""]), *_hidden(row, shown)]
    summands = [step.weighted for step in row.steps if step.state == ACTIVE]
    lines.append(f"  sum = {_written_out(summands, ' + ')}{exact_text(row.sum)}")
    if len(row.steps) > 1:
        lines.append(f"  divided by C = {len(row.steps)}: {exact_text(row.loss)}")
    return "\n".join(lines)


def _term(case: Case, exact: Problem, step: Step) -> list[str]:
    counts = step.state == ACTIVE
    power = [cell(step.power) if counts else "-"] if exact.p == 2 else []
    weighted = [cell(step.weighted) if counts else "-"] if case.weight is not None else []
    return [str(step.i), cell(step.x), cell(step.z), *power, *weighted, STATES[step.state]]


def _shown(row: RowSteps) -> list[Step]:
    """Return the classes that are written out: all, or of many the target and the first that are not inactive."""
    if len(row.steps) <= MOST_CLASSES:
        return list(row.steps)
    active = [step for step in row.steps if step.state == ACTIVE]
    others = [step for step in row.steps if step.state in (KINK, UNDEFINED)]
    counting = [*active[:MOST_ACTIVE], *others, *active[MOST_ACTIVE:]][: MOST_CLASSES - 1]
    return sorted([*counting, row.steps[row.target]], key=lambda step: step.i)


def _hidden(row: RowSteps, shown: Sequence[Step]) -> list[str]:
    left = {state: row.count(state) - sum(s.state == state for s in shown) for state in STATES}
    words = [f"{count} {state}" for state, count in left.items() if count]
    return [f"  and {len(row.steps) - len(shown)} more classes: {', '.join(words)}"] if words else []


def _left_out(exact: Problem, rows: Sequence[RowSteps]) -> list[str]:
    left = len(exact.rows) - sum(row.like for row in rows)
    return [f"and {left} more row{'s' * (left != 1)}, worked out in the same way"] if left else []


def _table(rows: Sequence[Sequence[str]], headers: Sequence[str]) -> str:
    if not rows:
        return "  (nothing)"
    aligned = ["right"] * (len(headers) - 1) + ["left"]
    text = tabulate(rows, headers=headers, tablefmt="plain", disable_numparse=True, colalign=aligned)
    return "\n".join(f"  {line}".rstrip() for line in text.splitlines())


def _written_out(values: Sequence[Real], sign: str) -> str:
    """Return "a + b = ", or nothing for one number, none, or too many."""
    return f"{sign.join(map(_bracketed, values))} = " if 1 < len(values) <= MOST_SUMMANDS else ""


def _bracketed(value: Real) -> str:
    text = fraction_text(value)
    return f"({text})" if " " in text or text.startswith("-") else text


def _loss(case: Case, exact: Problem, rows: Sequence[RowSteps], values: Values | None, unknown: str) -> str:
    """Return the reduction, the exact loss, its rounding, and what is legal."""
    if case.reduction == "none":
        lines = [f"reduction 'none': a loss for each row{'' if rows else ': there is none'}"]
        for row in rows:
            place = f"loss[{row.index}]" if case.target.ndim else "loss"
            lines += _result(case, exact, place, row.loss, values, row.index, unknown)
        return "\n".join(lines)
    return "\n".join(
        [_reduction(exact, rows), *_result(case, exact, "loss", _reduced(case, exact, rows), values, 0, unknown)]
    )


def _reduced(case: Case, exact: Problem, rows: Sequence[RowSteps]) -> Real:
    """Return the sum or mean of the rows' losses: of the steps where all rows are shown."""
    if sum(row.like for row in rows) < len(exact.rows):
        return exact_results(replace(case, grad_output=None))[0][0]
    n = max(1, len(exact.rows)) if exact.reduction == "mean" else 1
    return product(total([product(Fraction(row.like), row.loss) for row in rows]), Fraction(1, n))


def _reduction(exact: Problem, rows: Sequence[RowSteps]) -> str:
    """Write the sum over the rows out where all are shown."""
    n, mean = len(exact.rows), exact.reduction == "mean"
    if not n:
        rule = "0 / 0, where 0 and NaN are both legal (SHAPE-8)" if mean else "0 (SHAPE-7)"
        return f"reduction {exact.reduction!r} of no rows: a sum of nothing, {rule}"
    words = f"reduction {exact.reduction!r}: the rows' losses added up" + (f" and divided by N = {n}" if mean else "")
    if sum(row.like for row in rows) < n or len(rows) > MOST_SUMMANDS:
        return words
    parts = [f"{row.like} * {_bracketed(row.loss)}" if row.like > 1 else _bracketed(row.loss) for row in rows]
    added = " + ".join(parts)
    return f"{words}: " + (f"({added}) / {n}" if mean and n > 1 else added)


def _result(
    case: Case, exact: Problem, place: str, value: Real, values: Values | None, index: int, unknown: str
) -> list[str]:
    """Return the lines about one loss."""
    lines = [f"  {place}, exactly: {exact_text(value)}"]
    lines.append(
        f"  rounded to {exact.format.name}: {three_faces(float(exact.format.round(value)), exact.format.name)}"
    )
    if values is None:
        return [*lines, f"  legal: not defined: {unknown} (SPECIAL-8)"]
    legal = legal_text(values.loss, index)
    return [*lines, f"  legal: {legal}", f"  why: {reason_of_loss(case, exact, values.loss, index)}"]


def _gradient(case: Case, exact: Problem, rows: Sequence[RowSteps], values: Values | None) -> list[str]:
    """Return the gradient's rule and its elements row by row."""
    divisor = "(C * N)" if exact.reduction == "mean" else "C"
    weight = "" if case.weight is None else " * w[y]"
    rule = [
        f"the gradient by x[i], i != y: h[i] = slope * grad_output{weight} / {divisor}, the slope of max(0, z)^p being",
        f"{'1' if exact.p == 1 else '2 * z'} where z > 0, otherwise 0",
        "the gradient by x[y]: minus the sum of the others (GRADIENT-3)",
    ]
    return ["\n".join(rule), *(_gradient_row(case, exact, row, values) for row in rows)]


def _gradient_row(case: Case, exact: Problem, row: RowSteps, values: Values | None) -> str:
    weight = case.weight is not None
    head = f"row {row.index}: h[i] = slope * grad_output{' * w[y]' * weight} / {exact.divisor}"
    head += (
        f" = slope * {_bracketed(row.grad_output)}{f' * {_bracketed(row.weight)}' if weight else ''} / {exact.divisor}"
    )
    classes, shown = len(row.steps), _shown(row)
    table = []
    for step in shown:
        place = row.index * classes + step.i
        rounded = float(exact.format.round(step.gradient))
        faces = [float_text(rounded, exact.format.name), hex_text(rounded)]
        legal = "not defined (SPECIAL-8)" if values is None or values.gradient is None else _legal(values, place)
        table.append([str(step.i), cell(step.z), _slope(step), cell(step.gradient), *faces, legal])
    headers = ["i", "z", "slope", "h exactly", f"in {exact.format.name}", "hexadecimal", "legal"]
    lines = [head, _table(table, headers), *_hidden(row, shown)]
    summands = [step.gradient for step in row.steps if step.state == ACTIVE]
    own = row.steps[row.target].gradient
    lines.append(
        f"  h[y] = -({_written_out(summands, ' + ').removesuffix(' = ') or 'sum of h[i]'}) = {exact_text(own)}"
    )
    if values is not None and values.gradient is not None:
        lines.append(f"  why: {reason_of_gradient(case, exact, values.gradient, row.index)}")
    return "\n".join(lines)


def _legal(values: Values, place: int) -> str:
    assert values.gradient is not None
    return legal_text(values.gradient, place, width=False)


def _slope(step: Step) -> str:
    return {TARGET: "the others", KINK: "0 (GRADIENT-4)"}.get(step.state, cell(step.slope))


def _specials(case: Case, values: Values | None) -> list[str]:
    """Quote the SPECIAL clauses that the call meets."""
    clauses = special_clauses(case, values)
    return ["\n".join(f"{CLAUSES[name].label}: {CLAUSES[name].sentence}" for name in clauses)] if clauses else []
