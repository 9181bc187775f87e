"""What a model is told of an answer that was not accepted."""

import json
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json, to_json

from batchspec.errors import MOST_TOLD, shortened
from batchspec.messages import JsonObject
from batchspec.redaction import redacted

FEEDBACK = "This is automated feedback about your last answer, not a message from the user."
"""First line of what the model is told when its answer was not accepted."""


_MORE = '{"error": [{"type": "more", "msg": "1_000_000_000 more errors"}]}'


class OutputInvalid(ValueError):  # noqa: N818 - reads as what is said
    """The model's answer does not fit the output type.

    Attributes:
        message: What the model is told in the next turn.
        call: The id of the call that `message` answers; None: it is a message by itself.
    """

    def __init__(self, message: str, call: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.call = call


def error_details(error: ValidationError) -> str:
    """Return validation errors as the JSON array a model is told.

    As many of them as `MOST_TOLD` characters hold, at least one; then how many there are more.
    Secrets are blotted out of what validators said; the input is the model's own.
    """
    details = error.json(include_url=False, include_context=False, include_input=True)
    if redacted(details) != details:
        said: list[JsonObject] = from_json(details)
        details = _json([{**one, "msg": redacted(str(one["msg"]))} for one in said])
    if "NaN" in details or "Infinity" in details:
        details = _json(from_json(details))
    if len(details) <= MOST_TOLD:
        return details
    kept: list[JsonObject] = []
    found: list[JsonObject] = from_json(details)
    room = MOST_TOLD - len(_MORE)
    for one in found:
        room -= len(json.dumps(one, ensure_ascii=False)) + 2
        if room < 0:
            break
        kept.append(one)
    if not kept:
        kept = [{**found[0], "input": shortened(_json(found[0]["input"]), MOST_TOLD // 2)}]
    if more := len(found) - len(kept):
        kept.append({"type": "more", "msg": f"{more:_} more errors"})
    return _json(kept)


def _json(value: Any) -> str:
    """Return JSON that everybody reads: a model may write NaN."""
    return to_json(value, inf_nan_mode="null").decode()


def call_error(said: object) -> str:
    """Return what answers the call of a tool that was not accepted.

    Args:
        said: A text or any other JSON value.
    """
    if isinstance(said, str):
        said = shortened(said, MOST_TOLD)
    try:
        return json.dumps({"error": said}, ensure_ascii=False, allow_nan=False)
    except ValueError:
        return json.dumps({"error": from_json(_json(said))}, ensure_ascii=False)


def invalid_call(error: ValidationError) -> str:
    """Return what answers a call whose arguments do not fit."""
    return call_error(from_json(error_details(error)))


def for_people(feedback: str) -> str:
    """Return what was wrong with an output, without what addresses the model."""
    said = feedback.removeprefix(FEEDBACK).strip()
    try:
        answer = from_json(said)
        error = answer["error"]
    except (ValueError, TypeError, KeyError):
        return said
    return error if isinstance(error, str) else f"It did not validate: {_json(error)}"
