"""Lines against the published schema of the protocol.

jsonschema takes longer to import than the commands that need no backend may take, so it is imported where it is used.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any


@cache
def schema() -> dict[str, Any]:
    """Return the published JSON Schema of the protocol."""
    text = (files("multimargin_conformance") / "protocol.schema.json").read_text(encoding="utf-8")
    data: dict[str, Any] = json.loads(text)
    return data


def violation(data: Any) -> str:
    """Return what is wrong with a request or an answer, and where; "" when nothing is."""
    kind = _kind(data)
    if kind not in schema()["$defs"]:
        return f"$: neither a request with a known cmd nor an answer with a known status ({kind[:60]})"
    from jsonschema.exceptions import best_match

    error = best_match(_validator(kind).iter_errors(data))
    return "" if error is None else f"{error.json_path}: {error.message[:200]}"


def _kind(data: Any) -> str:
    if type(data) is not dict:
        return "not an object"
    return f"request-{data['cmd']}" if "cmd" in data else f"answer-{data.get('status')}"


@cache
def _validator(kind: str) -> Any:
    import jsonschema

    return jsonschema.Draft202012Validator({"$ref": f"#/$defs/{kind}", "$defs": schema()["$defs"]})
