"""Calls and answers as lines of the protocol."""

from __future__ import annotations

import json
import math
import struct
import zlib
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from multimargin_conformance.calling import ARGUMENTS, Call
from multimargin_conformance.outcome import LONGEST_MESSAGE, Crashed, Malformed, Observation, Outcome, Raised, Returned
from multimargin_conformance.worker.memory import LARGE, Argument, Raw
from multimargin_reference.formats import DTYPES, dtype_name

LARGEST_RESULT = 1 << 24  # elements
MOST_BEHIND = 32 << 20  # bytes behind a line
EXCERPT = 60  # bytes of a line that is quoted
DEEPEST = 32  # axes of a result
_MORE = ("float8_e4m3fn", "float8_e5m2")
RESULT_DTYPES: dict[str, np.dtype[Any]] = {
    **DTYPES,
    **{name: np.dtype(name) for name in (">f2", ">f4", ">f8", np.dtype(np.longdouble).name)},
    **{name: np.dtype(getattr(ml_dtypes, name)) for name in _MORE},
}


class Broken(ValueError):  # noqa: N818 (named for what the line is)
    """A line that is no answer; the text says what was wrong."""


def array_text(
    array: NDArray[Any], block: str = "", layouts: bool = True, behind: list[bytes] | None = None
) -> tuple[str, str]:
    """Return an array as JSON text, with its layout where it is no plain copy, and the digest that it should keep.

    behind: takes the elements of a large array, which are then not in the text.
    """
    raw = array.tobytes()
    name = dtype_name(array.dtype)
    head = f'{{"dtype":"{name}","shape":{_shape_text(array.shape)}'
    if behind is not None and len(raw) >= LARGE:
        behind.append(raw)
    else:
        head += f',"hex":"{raw.hex()}"'
    named = f',"block":"{block}"' if block else ""
    layout = layout_of(array) if layouts else None
    if layout is None:
        return f"{head}{named}}}", f"{zlib.crc32(raw):08x}"
    data = {"dtype": name, "shape": list(array.shape), "layout": layout}
    return f'{head},"layout":{json.dumps(layout)}{named}}}', Argument(data, Raw(raw)).digest()


@cache
def _shape_text(shape: tuple[int, ...]) -> str:
    return str(list(shape))


def layout_of(array: NDArray[Any]) -> dict[str, Any] | None:
    """Return where an array lies in the memory that it is a view of; None for a plain copy in C order."""
    if array.base is None and (flags := array.flags).c_contiguous and flags.writeable and flags.aligned:
        return None
    root: Any = array
    while isinstance(root.base, np.ndarray):
        root = root.base
    low, high = _bounds(root)
    ones = np.ones((), array.dtype).tobytes().hex()
    start = array.__array_interface__["data"][0]
    return {
        "bytes": high - low,
        "offset": start - low if array.size else 0,
        "strides": list(array.strides),
        "fill": ones,
        "writable": bool(array.flags.writeable),
    }


def _bounds(array: NDArray[Any]) -> tuple[int, int]:
    """Return the first address of an array's memory and the one behind its last."""
    start = int(array.__array_interface__["data"][0])
    if not array.size:
        return start, start
    steps = [(n - 1) * stride for n, stride in zip(array.shape, array.strides, strict=True)]
    low, high = sum(s for s in steps if s < 0), sum(s for s in steps if s > 0)
    return start + low, start + high + array.itemsize


def run_text(
    call: Call, features: frozenset[str], blocks: Mapping[str, str], behind: list[bytes] | None = None
) -> tuple[str, dict[str, str]]:
    """Return a call as the text of a `run` request without its head, and the digests that its arguments should keep.

    behind: takes the bytes that come behind the line, where the adapter has the feature.
    """
    case, given = call.case, call.given
    words, digests = [f'"op":"{"forward" if call.part == "loss" else "backward"}"'], {}
    behind = behind if "raw" in features else None
    for name in ARGUMENTS[call.part]:
        array = given[name] if name in given else getattr(case, name)
        text = "null"
        if array is not None:
            layouts = name in given and "layouts" in features  # the case's own arrays are sent as copies
            text, digests[name] = array_text(array, blocks.get(name, ""), layouts, behind)
        words.append(f'"{name}":{text}')
    words.append(_options_text(repr((case.p, case.margin, case.reduction)), case.p, case.margin, case.reduction))
    if "digests" in features:
        words.append('"digests":true')
    if call.keep and "held" in features:
        words.append('"keep":true')
    if behind:
        words.append(f'"raw":{sum(map(len, behind))}')
    return ",".join(words), digests if "digests" in features else {}


@lru_cache(maxsize=1024)
def _options_text(_key: str, p: Any, margin: float, reduction: Any) -> str:
    """Return the arguments that are no arrays; the key tells 1 from 1.0 and 0.0 from -0.0, which are equal."""
    return f'"p":{_json(p)},"margin":"{_bits(margin)}","reduction":{_json(reduction)}'


def _json(value: Any) -> str:
    """Return a number, NumPy's own too, or a string as JSON text, which has no NaN."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, float) and not math.isfinite(value):
        return json.dumps({"float64": _bits(value)})
    return json.dumps(value)


def _bits(value: float) -> str:
    """Return the bits of a float64."""
    return struct.pack("<d", value).hex()


def parsed(line: bytes) -> dict[str, Any]:
    """Return a line as JSON data with an id and a status. Raises Broken."""
    try:
        data = _DECODER.decode(line.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise Broken(f"a line that is no JSON in UTF-8 ({_reason(error)}): {excerpt(line)}") from error
    if type(data) is not dict:
        raise Broken(f"a line that is no JSON object: {excerpt(line)}")
    if type(data.get("id")) is not int or type(data.get("status")) is not str:
        raise Broken(f"an answer whose id is no integer or whose status is no string: {excerpt(line)}")
    return data


def _refused(text: str) -> Any:
    raise ValueError(f"{text} is no JSON")


_DECODER = json.JSONDecoder(parse_constant=_refused)


def _reason(error: BaseException) -> str:
    return " ".join(str(error).split())[:EXCERPT] or type(error).__name__


def excerpt(line: bytes) -> str:
    """Return the beginning of a line, printable."""
    return repr(line[:EXCERPT])[1:] + (f" and {len(line) - EXCERPT} bytes more" if len(line) > EXCERPT else "")


def bytes_behind(answer: Mapping[str, Any], asked: bool) -> int:
    """Return how many bytes come behind an answer's line. Raises Broken; asked: whether the request had some."""
    count = answer.get("raw", 0)
    if count == 0 and type(count) is int:
        return 0
    if not asked or type(count) is not int or not 0 < count <= MOST_BEHIND:
        result = answer.get("result")
        shape = f" of a result of shape {str(result.get('shape'))[:EXCERPT]}" if type(result) is dict else ""
        most = MOST_BEHIND if asked else 0
        raise Broken(f"an answer with raw {str(count)[:EXCERPT]!r}{shape}, but should have at most {most}")
    return count


def observation(fields: Mapping[str, Any], digests: Mapping[str, str]) -> Observation:
    """Return what an answer to a call says. Raises Broken."""
    status = fields.get("status")
    decode = OUTCOMES.get(status) if isinstance(status, str) else None
    if decode is None:
        raise Broken(f"an answer with status {str(status)[:EXCERPT]!r}, but should be one of {', '.join(OUTCOMES)}")
    outcome = decode(fields)
    if isinstance(outcome, (Malformed, Crashed)) or not digests:
        return Observation(outcome)
    return Observation(outcome, _changed(fields.get("digests"), digests))


def _changed(given: Any, digests: Mapping[str, str]) -> tuple[str, ...]:
    if type(given) is not dict or set(given) != set(digests):
        raise Broken(f"an answer without digests of {', '.join(digests)}, though the adapter offers them")
    return tuple(name for name, digest in digests.items() if given[name] != digest)


def _returned(fields: Mapping[str, Any]) -> Outcome:
    array = result_of(fields.get("result"))
    return array if isinstance(array, Malformed) else Returned(array)


def result_of(data: Any, dtypes: Mapping[str, np.dtype[Any]] = RESULT_DTYPES) -> NDArray[Any] | Malformed:
    """Return a result as a writable array. Raises Broken where it does not fit together."""
    if type(data) is not dict or type(data.get("dtype")) is not str:
        raise Broken("a result that is no object with dtype, shape and hex")
    shape, name = data.get("shape"), data["dtype"]
    if type(shape) is not list or len(shape) > DEEPEST or any(type(n) is not int or n < 0 for n in shape):
        raise Broken("a result whose shape is no list of sizes")
    if name not in dtypes:
        return Malformed(f"an array of dtype {name[:EXCERPT]}")
    dtype = dtypes[name]
    raw = data.get("raw") if "hex" not in data else _bytes(data["hex"])
    if type(raw) is not bytes:  # never from JSON: what came behind the line
        raise Broken("a result whose elements are neither in its hex nor behind the line")
    size = math.prod(shape)
    if len(raw) != size * dtype.itemsize:
        raise Broken(
            f"a result of {len(raw)} bytes, but shape {shape} of {name} has {str(size * dtype.itemsize)[:EXCERPT]}"
        )
    values = np.frombuffer(raw, dtype=dtype.newbyteorder("<"))
    return values.astype(dtype).reshape(shape)


def _bytes(text: Any) -> bytes:
    try:
        return bytes.fromhex(text)
    except (TypeError, ValueError) as error:
        raise Broken("a result whose hex is no string of hexadecimal digits") from error


def _rejected(fields: Mapping[str, Any]) -> Outcome:
    kind, message, where = (fields.get(name) for name in ("type", "message", "where"))
    if type(kind) is not str or type(message) is not str or type(where) not in (str, type(None)):
        raise Broken("a rejection without the error's type and message")
    return Raised(kind[:LONGEST_MESSAGE], message[:LONGEST_MESSAGE], (where or "")[:LONGEST_MESSAGE])


def _failed(fields: Mapping[str, Any]) -> Outcome:
    kind, reason = fields.get("kind"), fields.get("reason")
    if kind not in ("malformed", "crashed") or type(reason) is not str:
        raise Broken("a failed answer without kind and reason")
    return (Malformed if kind == "malformed" else Crashed)(reason[:LONGEST_MESSAGE])


def _unsupported(fields: Mapping[str, Any]) -> Outcome:
    reason = str(fields.get("reason"))[:LONGEST_MESSAGE]
    return Malformed(f"the answer `unsupported` ({reason}) to a call that it declared")


def _error(fields: Mapping[str, Any]) -> Outcome:
    return Malformed(f"the answer `error` ({str(fields.get('reason'))[:LONGEST_MESSAGE]})")


OUTCOMES = {
    "returned": _returned,
    "rejected": _rejected,
    "failed": _failed,
    "unsupported": _unsupported,
    "error": _error,
}
