"""What a tool returned, as the model is told it."""

import inspect
import json
from collections.abc import AsyncGenerator, Awaitable
from typing import Any, TypeGuard

from pydantic_core import PydanticSerializationError, from_json, to_json, to_jsonable_python

MAX_CONTENT = 10_485_760
"""Characters of a message; OpenAI refuses longer ones, with status 400."""


class ResultTooLong(ValueError):  # noqa: N818 - reads as what is said
    """A result that no provider takes."""


def content(result: Any) -> str:
    """Return a tool's result as the model sees it: text as it is, anything else as JSON.

    Pydantic models, dataclasses, dates, decimals, sets, enums and generators have the form that
    Pydantic gives them; bytes are base64, as in Pydantic AI. What JSON does not have is told as it
    is everywhere: NaN and infinity as null, half a surrogate pair as a question mark.

    Raises:
        PydanticSerializationError: JSON cannot hold it.
        ResultTooLong: It has more than `MAX_CONTENT` characters.
    """
    text = result if isinstance(result, str) else _as_json(result)
    if len(text) > MAX_CONTENT:
        raise ResultTooLong(f"{len(text):_} characters; a message holds {MAX_CONTENT:_}")
    return text.encode("utf-8", "replace").decode()


def _as_json(result: Any) -> str:
    # By way of plain values, since a model may say of itself how NaN is written, and a generator
    # can be read once only.
    try:
        plain = to_jsonable_python(result, bytes_mode="base64")
    except ValueError as error:
        if isinstance(error, UnicodeEncodeError) or str(error).startswith("Circular reference"):
            raise PydanticSerializationError(str(error)) from error
        raise
    try:
        return to_json(plain, inf_nan_mode="null").decode()
    except PydanticSerializationError:
        whole = json.dumps(plain, ensure_ascii=False).encode("utf-8", "replace")
        return to_json(from_json(whole), inf_nan_mode="null").decode()


def is_async(result: object) -> TypeGuard[Awaitable[Any] | AsyncGenerator[Any]]:
    """Tell whether a result is there only once an event loop ran for it."""
    try:
        return inspect.isawaitable(result) or inspect.isasyncgen(result)
    except Exception:  # noqa: BLE001 - a proxy that raises when it is looked at
        return False


async def awaited(result: Any) -> Any:
    """Return a result that an event loop has to run for; what needs none is returned as it is."""
    while inspect.isawaitable(result):
        result = await result
    if inspect.isasyncgen(result):
        return [item async for item in result]
    return result


def completed(result: Any) -> Any:
    """Return a result, after running a loop of its own for it where it needs one.

    Raises:
        BaseException: What it raises.
    """
    if not is_async(result):
        return result
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

    import anyio  # noqa: PLC0415 - most specs do without

    found: list[Any] = []
    raised: list[BaseException] = []

    # Nothing is raised through the loop: some exceptions end it, and some it cannot carry.
    async def run() -> None:
        try:
            found.append(await awaited(result))
        except BaseException as error:  # noqa: BLE001 - raised again below
            raised.append(error)

    # A thread of its own: results may be read from within a loop, as in a notebook.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(anyio.run, run).result()
    if raised:
        raise raised[0]
    return found[0]
