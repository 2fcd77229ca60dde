"""One call from untrusted JSON, in the format that the vectors use: `call` in vectors.schema.json."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import jsonschema

from multimargin_reference.case import Case
from multimargin_vectors.codec import call_from_json, call_to_json
from multimargin_vectors.store import SCHEMA, VectorFileError


def read_call(data: Any) -> Case:
    """Return the case of a call in JSON data. Raises VectorFileError where it does not fit the schema or itself."""
    if error := jsonschema.exceptions.best_match(_validator().iter_errors(data)):
        raise VectorFileError(f"call: {error.json_path}: {error.message[:200]}")
    try:
        case, recipes = call_from_json(data)
        written = call_to_json(case, recipes)
    except (ValueError, LookupError, TypeError, RecursionError, OverflowError) as error:
        raise VectorFileError(f"call: {type(error).__name__}: {error}") from error
    if written != data:
        wrong = next(name for name in written if written[name] != data[name])
        raise VectorFileError(f"call: {wrong}: decimals and bits do not fit each other, but should be the same numbers")
    return case


@cache
def _validator() -> jsonschema.Draft202012Validator:
    schema: dict[str, Any] = json.loads(SCHEMA.read_text(encoding="utf-8"))
    call = {"$schema": schema["$schema"], "$defs": schema["$defs"], "$ref": "#/$defs/call"}
    return jsonschema.Draft202012Validator(call)
