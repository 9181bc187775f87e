"""What a tool returned, as the model is told it."""

import inspect
from collections.abc import AsyncGenerator, Awaitable
from typing import Any, TypeGuard

from pydantic_core import to_json

MAX_CONTENT = 10_485_760
"""Characters of a message; OpenAI refuses longer ones, with status 400."""


class ResultTooLong(ValueError):  # noqa: N818 - reads as what is said
    """A result that no provider takes."""


def content(result: Any) -> str:
    """Return a tool's result as the model sees it: text as it is, anything else as JSON.

    Pydantic models, dataclasses, dates, decimals, sets, enums and generators have the form that
    Pydantic gives them; bytes are base64, as in Pydantic AI.

    Raises:
        PydanticSerializationError: JSON cannot hold it.
        ResultTooLong: It has more than `MAX_CONTENT` characters.
    """
    text = result if isinstance(result, str) else to_json(result, bytes_mode="base64").decode()
    if len(text) > MAX_CONTENT:
        raise ResultTooLong(f"{len(text):_} characters; a message holds {MAX_CONTENT:_}")
    return text


def is_async(result: object) -> TypeGuard[Awaitable[Any] | AsyncGenerator[Any]]:
    """Tell whether a result is there only once an event loop ran for it."""
    return inspect.isawaitable(result) or inspect.isasyncgen(result)


async def awaited(result: Any) -> Any:
    """Return a result that an event loop has to run for; what needs none is returned as it is."""
    while inspect.isawaitable(result):
        result = await result
    if inspect.isasyncgen(result):
        return [item async for item in result]
    return result
