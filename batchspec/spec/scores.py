"""What a judge, a job that grades the answers of another, says of an answer."""

from math import isfinite
from typing import Any

from pydantic import TypeAdapter

from batchspec.spec.output import OrNothing
from batchspec.spec.shapes import is_mapping

FIELDS = ("score", "grade")
"""Fields of an object, of which one is the score."""
_SCORES = {"number", "integer", "boolean"}


def score_of(output: Any) -> float | None:
    """Return the score in a judge's output, a JSON value; None: there is none that is finite."""
    if is_mapping(output):
        found = [output[name] for name in FIELDS if name in output]
        output = found[0] if len(found) == 1 else None
    # What is no finite number would hide the mean of all others.
    fits = isinstance(output, bool | int | float) and isfinite(output)
    return float(output) if fits else None


def score_problem(output: Any) -> str | None:
    """Return why a job whose `output` is this cannot be a judge; None: it can."""
    wanted = (
        "A judge answers with a number or a bool, or with an object that has one of them as `score`"
        " or `grade`, beside other fields if you like: output=bool, or a model with `score: float`."
    )
    if isinstance(output, OrNothing):
        return f"It may answer with nothing. {wanted}"
    kind = getattr(output, "type", output)
    if output is None or kind is str:
        return f"Its output is text. {wanted}"
    try:
        schema: dict[str, Any] = TypeAdapter(kind).json_schema()
    except Exception:  # noqa: BLE001 - what has no schema is told as an output without one
        return None
    return None if _has_score(schema, schema) else wanted


def _has_score(schema: Any, root: dict[str, Any]) -> bool:
    schema = _resolved(schema, root)
    fields: dict[str, Any] = schema.get("properties", {})
    named = [fields[name] for name in FIELDS if name in fields]
    if fields:
        return len(named) == 1 and _is_score(_resolved(named[0], root))
    return _is_score(schema)


def _resolved(schema: Any, root: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref")
    if reference is None:
        return dict(schema)
    return dict(root.get("$defs", {}).get(reference.rpartition("/")[2], {}))


def _is_score(schema: dict[str, Any]) -> bool:
    return schema.get("type") in _SCORES
