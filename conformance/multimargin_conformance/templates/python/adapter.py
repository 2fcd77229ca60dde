"""The stdio protocol of multimargin (PROTOCOL.md) around loss.py: one JSON request and one JSON answer a line.

Needs Python 3.9 and NumPy. Nothing here needs changes: loss.py is what is checked.
"""

import json
import math
import os
import struct
import sys
import zlib

import numpy as np
from loss import Loss

LONGEST_LINE = 8 << 20
LONGEST_MESSAGE = 1000
LARGEST_ID = 2**53 - 1
NAMES = ["float16", "float32", "float64", "int8", "uint8", "int16", "uint16", "int32", "int64", "bool"]
DTYPES = {name: np.dtype(name).newbyteorder("<") for name in NAMES}
try:
    import ml_dtypes

    DTYPES["bfloat16"] = np.dtype(ml_dtypes.bfloat16)
except ImportError:
    pass  # then bfloat16 cannot be offered


def need(condition, reason):
    """Raise ValueError for a request that cannot be understood: the suite's mistake, or this file's."""
    if not condition:
        raise ValueError(reason)


def to_array(data):
    """Return an array that was sent. Raises ValueError where it does not fit together."""
    need(isinstance(data, dict), "an array that is no object")
    need("layout" not in data and "block" not in data, "layout and block are not offered")
    dtype, shape, raw = DTYPES[data["dtype"]], data["shape"], bytes.fromhex(data["hex"])
    need(all(type(size) is int and size >= 0 for size in shape), "a shape that is no list of sizes")
    need(math.prod(shape) * dtype.itemsize == len(raw), "bytes that do not fill the shape")
    return np.frombuffer(bytearray(raw), dtype).reshape(shape)


def to_json(array):
    """Return an array as it is sent."""
    return {"dtype": array.dtype.name, "shape": list(array.shape), "hex": array.tobytes().hex()}


def outcome(function, arrays, options):
    """Call the implementation; whatever it raises is an answer."""
    try:
        result = function(*arrays, **options)
    except Exception as error:
        message = str(error)[:LONGEST_MESSAGE]
        return {"status": "rejected", "type": type(error).__name__[:200], "message": message}
    if isinstance(result, (np.ndarray, np.generic)):
        return {"status": "returned", "result": to_json(np.asarray(result))}
    reason = f"a {type(result).__name__[:200]}, but should be a NumPy array or scalar"
    return {"status": "failed", "kind": "malformed", "reason": reason}


def run(request, loss):
    """Make one call."""
    names = {"forward": ["input", "target"], "backward": ["grad_output", "input", "target"]}[request["op"]]
    arrays = {name: to_array(request[name]) for name in names}
    weight = None if request["weight"] is None else to_array(request["weight"])
    need(type(request["p"]) in (int, float) and isinstance(request["reduction"], str), "no p, or no reduction")
    (margin,) = struct.unpack("<d", bytes.fromhex(request["margin"]))
    options = {"p": request["p"], "margin": margin, "weight": weight, "reduction": request["reduction"]}
    fields = outcome(getattr(loss, request["op"]), arrays.values(), options)
    if request.get("digests") is True:
        given = arrays if weight is None else {**arrays, "weight": weight}
        fields["digests"] = {name: f"{zlib.crc32(array.tobytes()):08x}" for name, array in given.items()}
    return fields


def start(request, loss):
    """Say what is offered."""
    if 1 not in request["protocol"]:
        return {"status": "refused", "reason": "this adapter speaks version 1 of the protocol only"}
    if request["device"] not in ("", "cpu"):
        return {"status": "refused", "reason": f"device {request['device']}, but should be cpu"}
    offer = {"name": loss.name, "version": loss.version, "capabilities": loss.capabilities, "features": ["digests"]}
    return {"status": "started", "protocol": 1, **offer}


COMMANDS = {
    "start": start,
    "run": run,
    "echo": lambda request, _loss: {"status": "echoed", "arrays": [to_json(to_array(a)) for a in request["arrays"]]},
    "stop": lambda _request, _loss: {"status": "stopped"},
}


def answer(line, loss):
    """Return the answer to one line; id 0 where the request's own cannot be read."""
    number = 0
    try:
        need(len(line) <= LONGEST_LINE + 1, "a line of more than 8 MiB")
        request = json.loads(line.decode(), parse_constant=lambda text: need(False, f"{text} is no JSON"))
        need(type(request["id"]) is int and 0 <= request["id"] <= LARGEST_ID, "an id out of range")
        number = request["id"]
        return {"id": number, **COMMANDS[request["cmd"]](request, loss)}
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError, struct.error) as error:
        reason = f"{type(error).__name__}: {error}"[:LONGEST_MESSAGE]
        return {"id": number, "status": "error", "reason": reason}


def main():
    """Answer every request on stdin; what an implementation prints goes to stderr."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    loss = Loss()
    for line in sys.stdin.buffer:
        fields = answer(line, loss)
        answers.write(json.dumps(fields, separators=(",", ":")).encode() + b"\n")
        answers.flush()
        if fields["status"] == "stopped":
            return


if __name__ == "__main__":
    with np.errstate(all="ignore"):
        main()
