"""Whether an adapter itself is to be trusted: it must return the arrays that it is sent, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multimargin_conformance.isolation.launch import Limits, opened
from multimargin_conformance.isolation.link import Link, Request, Trouble
from multimargin_conformance.isolation.wire import RESULT_DTYPES, Broken, array_text, result_of
from multimargin_conformance.outcome import Malformed
from multimargin_reference.formats import DTYPES

ECHOED = {**RESULT_DTYPES, "int64": np.dtype(np.int64)}
MANY = 65537  # elements: past what one read of a pipe holds
SHAPES = ((), (0,), (0, 4), (1,), (3, 1), (2, 3))
INTEGERS = (0, 1, -1, 2**31, 2**32 + 1, 2**63 - 1, -(2**63))


def echo_probe(backend: str, device: str = "", limits: Limits | None = None) -> str | None:
    """Return in one sentence what an adapter does to arrays that it is sent; None where it returns them as they are.

    Every dtype that it declares is tried, with signalling NaN payloads, -0 and subnormals, 0-d, empty and long arrays,
    and the int64 of targets. Raises what opening a backend raises.
    """
    there = opened(backend, device, limits)
    try:
        return next(_sentences(there.link, there.subject.capabilities.dtypes, there.limits.timeout), None)
    finally:
        there.link.kill()


def _sentences(link: Link, dtypes: tuple[str, ...], timeout: float) -> Iterator[str]:
    for name in (*dtypes, "int64"):
        arrays = list(_arrays(name))
        request = Request("echo", f'"arrays":[{",".join(array_text(a, layouts=False)[0] for a in arrays)}]')
        try:
            link.send(request)
            link.process.flush()
            link.receive(timeout)
            returned = _returned(request.answer, len(arrays))
        except Trouble as trouble:
            yield f"echo of {name}: {trouble.reason}"
            return
        except Broken as broken:
            yield f"echo of {name}: {broken}"
            return
        for sent, back in zip(arrays, returned, strict=True):
            if difference := _difference(sent, back):
                yield f"echo of {name}, shape {sent.shape}: {difference}"


def _arrays(name: str) -> Iterator[NDArray[Any]]:
    """Yield the hard bit patterns of a dtype, in one row and in every shape."""
    patterns = np.array(INTEGERS, dtype=np.int64) if name == "int64" else _bits(DTYPES[name])
    yield patterns
    for shape in SHAPES:
        yield np.resize(patterns[::-1], shape)
    yield np.resize(patterns, MANY)


def _bits(dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return zeros, subnormals, ends of the range, infinities and NaNs of both kinds, of both signs."""
    unsigned = np.dtype(f"u{dtype.itemsize}")
    one = int(np.ones((), dtype).view(unsigned))
    infinity = int(np.array(np.inf, dtype).view(unsigned))
    quiet = (
        int(np.array(np.nan, dtype).view(unsigned)) & (infinity | (infinity >> 1)) & ~(1 << (8 * dtype.itemsize - 1))
    )
    positive = [0, 1, 2, one, one + 1, infinity - 1, infinity, infinity + 1, infinity + 5, quiet | infinity, quiet + 3]
    sign = 1 << (8 * dtype.itemsize - 1)
    return np.array([*positive, *(sign | bits for bits in positive)], dtype=unsigned).view(dtype)


def _returned(answer: Mapping[str, Any], count: int) -> list[NDArray[Any] | Malformed]:
    arrays = answer.get("arrays")
    if answer["status"] != "echoed" or type(arrays) is not list or len(arrays) != count:
        raise Broken(f"status {answer['status'][:60]!r}, but should be echoed with {count} arrays")
    return [result_of(data, ECHOED) for data in arrays]


def _difference(sent: NDArray[Any], back: NDArray[Any] | Malformed) -> str:
    """Return the first difference in words, "" where there is none."""
    if isinstance(back, Malformed):
        return back.reason
    if back.dtype != sent.dtype or back.shape != sent.shape:
        return f"came back as {back.dtype.name}, shape {back.shape}"
    unsigned = f"u{sent.dtype.itemsize}"
    before, after = (np.atleast_1d(a).reshape(-1).view(unsigned) for a in (sent, back))
    bad = np.flatnonzero(before != after)
    if not bad.size:
        return ""
    digits = 2 * sent.dtype.itemsize
    k = int(bad[0])
    return (
        f"element {k} was sent with the bits {int(before[k]):0{digits}x} and came back with {int(after[k]):0{digits}x}"
    )
