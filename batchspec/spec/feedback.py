"""What a model is told of an answer that was not accepted."""

import json

from pydantic import ValidationError
from pydantic_core import from_json, to_json

FEEDBACK = "This is automated feedback about your last answer, not a message from the user."
"""First line of what the model is told when its answer was not accepted."""


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
    """Return validation errors as the JSON array a model is told."""
    return error.json(include_url=False, include_context=False, include_input=True)


def call_error(said: object) -> str:
    """Return what answers the call of a tool that was not accepted.

    Args:
        said: A text or any other JSON value.
    """
    return json.dumps({"error": said}, ensure_ascii=False)


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
    return error if isinstance(error, str) else f"It did not validate: {to_json(error).decode()}"
