"""What is asked of the optimized implementation and of the suite, and whether a run of speed.py shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

NUMBA, NUMPY, EAGER, FLOOR = "ours, Numba", "ours, NumPy", "eager", "floor"
FORWARD, FUSED = "forward", "forward and backward"
RANDOM, INACTIVE = "random", "nearly inactive"
RATIOS = {  # eager's time / ours with Numba, in one thread and in two; random data, float32
    (FORWARD, 8192, 10): (5, 6),
    (FORWARD, 65536, 10): (5, 6),
    (FORWARD, 4096, 1000): (10, 14),
    (FORWARD, 256, 32000): (15, 19),
    (FORWARD, 1, 1000000): (60, 90),
    (FUSED, 8192, 10): (5, 6.5),
    (FUSED, 65536, 10): (5, 6.5),
    (FUSED, 4096, 1000): (11, 17),
    (FUSED, 256, 32000): (15, 25),
    (FUSED, 1, 1000000): (44, 75),
}
INACTIVE_RATIO = 3.0  # from INACTIVE_FROM elements
INACTIVE_FROM = 81920
NUMPY_INTERFACE = 2.0
NUMPY_ALONE = 2.5
WIDE = 1000  # classes
SHAPE = ("rows", "classes", "options")
DROP_IN = 1.0  # the drop-in through `.backward()`, at every shape
DROP_IN_AT, DROP_IN_RATIOS = (4096, 1000), (9.0, 16.0)
READ_SHARE, READ_SHARE_AT = 0.7, {(256, 32000): 0.9}
GRADIENT_ERROR, GRADIENT_ERROR_CLASSES = 1e-6, 1000000
MEMORY = 2e6  # bytes a thread
EXACT = 15.0  # times the Fraction loop
JUDGED = 1e6  # results a second
CHECK_S = 6.0
KNOWN_S = 2.0  # an implementation
ALL_KNOWN = "check(8 known faults to a legal variant, training, fail_fast)"
IN_FLOAT64 = "ours finds the threshold of each row, its weight and the sum of rows in float64"
CALLS = "every call is made in another process, and what is legal for it is computed in this one"
Line = dict[str, Any]
Reason = Callable[[Line], str]


@dataclass(frozen=True)
class Goal:
    """One goal, what was measured, as text, and whether it is reached; None where it was not measured.

    limit: what would be measured at the floor of this machine's memory, "" where that is no matter of it. reason: what
    was found to stand in the way, for where it is not reached.
    """

    what: str
    asked: str
    measured: str
    reached: bool | None
    limit: str = ""
    reason: str = ""


def goals(data: Line) -> list[Goal]:
    """Return every goal."""
    return [
        *_ratios(data, "float32", 1.0),
        *_ratios(data, "float64", 0.5),
        *(goal for find in FINDERS for goal in find(data)),
        *_suite(data),
    ]


def asked(what: str, rows: int, classes: int, share: float = 1.0) -> str:
    """Return the goal of a shape as text, "" where there is none."""
    pair = RATIOS.get((what, rows, classes))
    return " / ".join(f"{share * ratio:g}" for ratio in pair) if pair else ""


def selected(data: Line, key: str, /, **fields: Any) -> list[Line]:
    """Return the lines under a key of speed.json that have these fields."""
    return [line for line in data.get(key, ()) if all(line[name] == value for name, value in fields.items())]


def median(figure: Sequence[float]) -> float:
    """Return the middle of [lower, median, upper]."""
    return figure[1]


def share_of_floor(data: Line, line: Line) -> float:
    """Return the time in which memory is read (or, for the gradient, copied), as a share of a line's."""
    kind = "read" if line["what"] == FORWARD else "copy"
    rate = median(data["floors"][str(line["threads"])][kind]["rate"]) * 1e9
    size = line["rows"] * line["classes"] * (8 if line["dtype"] == "float64" else 4)
    return float(size / rate / median(line["seconds"]))


def _ratios(data: Line, dtype: str, share: float) -> Iterator[Goal]:
    """Both numbers of threads and both options of each shape: the smallest counts."""
    for (what, rows, classes), pair in RATIOS.items():
        if dtype == "float64" and classes < WIDE:
            continue
        where = {"what": what, "rows": rows, "classes": classes, "dtype": dtype, "interface": "own arrays"}
        found = selected(data, "timings", contender=NUMBA, data=RANDOM, **where)
        least = {n: min((median(x["ratio"]) for x in found if x["threads"] == n), default=None) for n in (1, 2)}
        limits = (min((_limit(data, x) for x in found if x["threads"] == n), default=None) for n in (1, 2))
        text, limit = (
            " / ".join("-" if v is None else f"{v:.1f}" for v in values) for values in (least.values(), limits)
        )
        values = [(value, share * ask) for value, ask in zip(least.values(), pair, strict=True) if value is not None]
        reached = all(value >= ask for value, ask in values) if len(values) == len(pair) else None
        name = f"{what}, {rows} x {classes}, {dtype}: ratio to eager, 1 / 2 threads"
        yield Goal(name, asked(what, rows, classes, share), text, reached, limit, _same_array(data, what, found))


def _same_array(data: Line, what: str, lines: Iterable[Line]) -> str:
    """Say how much of the slowest lines' time goes by where that very array is read, or copied, and nothing else."""
    slowest = {line["threads"]: line for line in sorted(lines, key=_ratio, reverse=True)}
    shares = {n: same_array_share(data, slowest[n]) for n in sorted(slowest)}
    text = " / ".join(f"{share:.0%}" for share in shares.values() if share is not None)
    done = "read" if what == FORWARD else "copied"
    return f"that very array {done}, and nothing else, takes {text} of its time" if text else ""


def same_array_share(data: Line, line: Line) -> float | None:
    """Return the time in which a line's very input is read (or copied), as a share of it; None if not measured."""
    where = {name: line[name] for name in ("threads", "rows", "classes", "options", "data", "what", "dtype")}
    floor = selected(data, "timings", contender=FLOOR, interface=line["interface"], **where)
    return median(floor[0]["seconds"]) / median(line["seconds"]) if floor else None


def _limit(data: Line, line: Line) -> float:
    """Return the ratio that a line would have if it took as long as memory does."""
    return median(line["ratio"]) / share_of_floor(data, line)


def _least(
    what: str,
    ask: float,
    lines: Iterable[Line],
    value: Callable[[Line], float],
    reason: Reason,
    form: str = ".1f",
    limit: Reason = lambda _: "",
) -> Goal:
    """The smallest of all lines counts, and is said with its place."""
    worst = min(lines, key=value, default=None)
    if worst is None:
        return Goal(what, f"{ask:{form}}", "not measured", None)
    text = f"{value(worst):{form}} ({_place(worst)})"
    return Goal(what, f"{ask:{form}}", text, value(worst) >= ask, limit(worst), reason(worst))


def _place(line: Line) -> str:
    threads = f"{line['threads']} thread{'s' if line['threads'] > 1 else ''}"
    return f"{line['rows']} x {line['classes']}, {line['what']}, {line['options']}, {threads}"


def _inactive(data: Line) -> Iterator[Goal]:
    found = selected(data, "timings", contender=NUMBA, data=INACTIVE)
    large = [line for line in found if line["rows"] * line["classes"] >= INACTIVE_FROM]

    def reason(line: Line) -> str:
        done = "reads" if line["what"] == FORWARD else "copies"
        return f"this machine's memory {done} as much in {share_of_floor(data, line):.0%} of its time"

    name = "nearly inactive data, from 8192 x 10: smallest ratio"
    yield _least(name, INACTIVE_RATIO, large, _ratio, reason, limit=lambda line: f"{_limit(data, line):.1f}")


def _unexplained(_: Line) -> str:
    return ""


def _interfaces(data: Line) -> Iterator[Goal]:
    found = selected(data, "timings", contender=NUMBA, interface="NumPy arrays")
    yield _least(
        "through NumPy arrays, 1 x 10 and 128 x 10: smallest ratio", NUMPY_INTERFACE, found, _ratio, _unexplained
    )
    found = selected(data, "timings", contender=NUMPY, data=RANDOM, dtype="float32", interface="own arrays")
    wide = [line for line in found if line["classes"] >= WIDE]
    yield _least("NumPy alone, C >= 1000: smallest ratio", NUMPY_ALONE, wide, _ratio, _unexplained)


def _ratio(line: Line) -> float:
    return median(line["ratio"])


def _floor(data: Line) -> Iterator[Goal]:
    own = {"contender": NUMBA, "data": RANDOM, "dtype": "float32", "interface": "own arrays", "what": FORWARD}
    found = [line for line in selected(data, "timings", **own) if line["classes"] >= WIDE]

    def share(line: Line) -> float:
        return share_of_floor(data, line)

    def reason(line: Line) -> str:
        return _same_array(data, FORWARD, [line])

    yield _least("forward, C >= 1000: smallest share of the read floor", READ_SHARE, found, share, reason, ".0%")
    for (rows, classes), ask in READ_SHARE_AT.items():
        there = [line for line in found if (line["rows"], line["classes"]) == (rows, classes)]
        yield _least(f"forward, {rows} x {classes}: smallest share of the read floor", ask, there, share, reason, ".0%")


def _ahead(data: Line) -> Iterator[Goal]:
    """Ours has to be the fastest, medians over the rounds, in every comparison of float32."""
    found = selected(data, "timings", dtype="float32", interface="own arrays")
    own = {_key(line): _ratio(line) for line in found if line["contender"] == NUMBA}
    for rival in ("torch by hand", "torch.compile", "jax"):
        theirs = [line for line in found if line["contender"] == rival]
        behind = [line for line in theirs if own.get(_key(line), 0) < _ratio(line)]
        text = f"{len(theirs) - len(behind)} of {len(theirs)}" if theirs else "not measured"
        if behind:
            worst = max(behind, key=lambda line: _ratio(line) / own.get(_key(line), 1))
            text += f"; most at {_place(worst)}, {worst['data']}: {own.get(_key(worst), 0):.1f}, {_ratio(worst):.1f}"
        reached = not behind if theirs else None
        yield Goal(f"ahead of {rival} at every shape", "all", text, reached, reason=IN_FLOAT64 if behind else "")


def _key(line: Line) -> tuple[Any, ...]:
    return tuple(line[name] for name in ("threads", "rows", "classes", "options", "data", "what"))


def _accuracy(data: Line) -> Iterator[Goal]:
    found = selected(data, "errors", classes=GRADIENT_ERROR_CLASSES)
    largest = {name: [e["gradient"] for e in found if e["contender"] == name] for name in (NUMBA, NUMPY, EAGER)}
    name = "gradient at C = 1000000: largest relative error"
    if not (largest[NUMBA] or largest[NUMPY]):
        yield Goal(name, f"{GRADIENT_ERROR:.0e}", "not measured", None)
        return
    ours = max(largest[NUMBA] + largest[NUMPY])
    text = f"{ours:.1e} (eager: {max(largest[EAGER]):.1e})"
    yield Goal(name, f"{GRADIENT_ERROR:.0e}", text, ours < GRADIENT_ERROR)


def _memory(data: Line) -> Iterator[Goal]:
    found = [x for name in (NUMBA, NUMPY) for x in selected(data, "memory", contender=name)]
    most = max(found, key=lambda line: line["bytes"] / line["threads"], default=None)
    name = "memory beyond inputs and outputs: most, MB a thread"
    if most is None:
        yield Goal(name, f"{MEMORY / 1e6:g}", "not measured", None)
        return
    each = most["bytes"] / most["threads"]
    yield Goal(name, f"{MEMORY / 1e6:g}", f"{each / 1e6:.1f} ({most['contender']}: {_place(most)})", each < MEMORY)


def _drop_in(data: Line) -> Iterator[Goal]:
    """The module through `.backward()`: medians over the rounds, the smaller of both options."""
    found = selected(data, "drop_in", how="module")
    worst = min(found, key=_ratio, default=None)
    name = "drop-in module through .backward(): smallest ratio to eager's"
    if worst is None:
        yield Goal(name, f"{DROP_IN:g}", "not measured", None)
        return
    place = f"{worst['rows']} x {worst['classes']}, {worst['options']}, {worst['threads']} threads"
    yield Goal(name, f"{DROP_IN:g}", f"{_ratio(worst):.3f} ({place})", _ratio(worst) >= DROP_IN)
    rows, classes = DROP_IN_AT
    there = selected(data, "drop_in", how="module", rows=rows, classes=classes)
    least = [min((_ratio(x) for x in there if x["threads"] == n), default=None) for n in (1, 2)]
    values = [value for value in least if value is not None]
    yield Goal(
        f"drop-in module through .backward(), {rows} x {classes}: ratio to eager's, 1 / 2 threads",
        " / ".join(f"{ask:g}" for ask in DROP_IN_RATIOS),
        " / ".join("-" if value is None else f"{value:.1f}" for value in least),
        all(v >= ask for v, ask in zip(values, DROP_IN_RATIOS, strict=True)) if len(values) == len(least) else None,
        reason=_engine_share(data, there),
    )


def _engine_share(data: Line, modules: Iterable[Line]) -> str:
    """Say how much of the module's time, where its ratio is smallest, the engine's own call for both parts takes."""
    slowest = {line["threads"]: line for line in sorted(modules, key=_ratio, reverse=True)}
    of_both = {"contender": NUMBA, "what": FUSED, "data": RANDOM, "dtype": "float32", "interface": "own arrays"}
    shares = [
        median(engine["seconds"]) / median(slowest[threads]["seconds"])
        for threads in sorted(slowest)
        for engine in selected(
            data, "timings", **of_both, **{name: slowest[threads][name] for name in ("threads", *SHAPE)}
        )
    ]
    text = " / ".join(f"{share:.0%}" for share in shares)
    return f"the engine's own call of such arrays, without autograd, takes {text} of its time" if text else ""


FINDERS = (_inactive, _interfaces, _floor, _ahead, _drop_in, _accuracy, _memory)


def _suite(data: Line) -> Iterator[Goal]:
    costs = {(line["what"], line["how"]): median(line["figure"]) for line in data.get("suite", ())}
    loop, ours = (costs.get(("exact loss, 32 x 1000", how)) for how in ("fractions.Fraction loop", "exact"))
    times = ours / loop if ours and loop else None
    judged = next((rate for (what, _), rate in costs.items() if what == "fast judge"), None)
    check = costs.get(("multimargin check reference --profile training", "the process"))
    known = costs.get((ALL_KNOWN, "mean"))
    rows = (
        ("exact loss, 32 x 1000: times the Fraction loop", EXACT, times, ".1f", True, ""),
        ("fast judge: results a second", JUDGED, judged, ",.0f", True, ""),
        ("multimargin check reference --profile training: s", CHECK_S, check, ".1f", False, CALLS),
        (f"{ALL_KNOWN}: s an implementation", KNOWN_S, known, ".2f", False, ""),
    )
    for what, ask, got, form, more, reason in rows:
        if got is None:
            yield Goal(what, f"{ask:{form}}", "not measured", None)
        else:
            reached = got >= ask if more else got < ask
            yield Goal(what, f"{ask:{form}}", f"{got:{form}}", reached, reason=reason)
