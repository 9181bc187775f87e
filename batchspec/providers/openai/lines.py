r"""What lines of result files have in common, whatever the endpoint. No I/O.

Facts: OpenAI's batch guide and API reference; irregular lines as seen in public reports. A line is
split from its neighbours at the byte `\n` only, since JSON strings may hold U+2028, and judged
alone, so that one bad line never spoils a batch.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeGuard

from pydantic_core import PydanticSerializationError, from_json, to_json

from batchspec.errors import shortened
from batchspec.messages import JsonObject, Line, LineError, Reply

_RETRYABLE = {0, 408, 409, 429}
_NEVER_RAN = {"batch_expired", "batch_cancelled"}
_BOM: Final = b"\xef\xbb\xbf"
_NOTHING: Final[JsonObject] = {}
_MOST = 2**53
"""Beyond it a count is nonsense, and no column can hold it."""
_HALF = re.compile(rb"\\u[dD][89a-fA-F]")
"""What may be half a surrogate pair: valid JSON, though no character."""
_SECRET = re.compile(r"(?<![A-Za-z0-9])sk-[\w*-]{6,}")


def judge(line: bytes, read: Callable[[Mapping[str, Any]], Reply | LineError | None]) -> Line:
    """Judge one line alone; never raises.

    Args:
        line: As it came, with or without its end.
        read: Reads the body of a 200; None where it holds no answer. It may raise what reading a
            value of another shape raises.
    """
    try:
        data = parse(line)
    except ValueError as error:
        return Line(None, LineError("unreadable", "unreadable_line", str(error)))
    if not is_object(data):
        return Line(None, LineError("unreadable", "unreadable_line", "not a JSON object"))
    custom_id = data.get("custom_id")
    key = custom_id if isinstance(custom_id, str) else None
    try:
        response = data.get("response")
        if response is None:
            return Line(key, _line_error(data.get("error") or {}))
        body: Any = body_of(response)
        if body is None:
            body = _NOTHING
        status = _status(response.get("status_code"))
        found = read(body) if status == 200 else None
        return Line(key, _http_error(status, body) if found is None else found)
    except (AttributeError, TypeError, KeyError, ValueError, IndexError) as error:
        problem = f"the reply has an unknown shape ({type(error).__name__}: {error})"
        return Line(key, LineError("unreadable", "unknown_shape", blot(problem)))


def sendable(value: Any) -> Any:
    """Return JSON that was read as JSON that can be sent: NaN can be read but not sent."""
    return from_json(to_json(value, inf_nan_mode="null"))


def fixed_json(body: JsonObject) -> bytes:
    """Return what the requests of a job share as JSON; half a surrogate pair as a question mark."""
    try:
        return to_json(body)
    except PydanticSerializationError:
        return _whole(json.dumps(body).encode())


def parse(line: bytes) -> Any:
    """Read a line; the first one of a file may carry a byte order mark.

    Half of an escaped surrogate pair, as an emoji leaves that was cut, is read as a question mark.

    Raises:
        ValueError: It is no JSON.
    """
    line = line.removeprefix(_BOM)
    try:
        return from_json(line, cache_strings="keys")  # few values recur, and a look-up is dear
    except ValueError:
        if _HALF.search(line) is None:
            raise
        return from_json(_whole(line))


def _whole(line: bytes) -> bytes:
    """Return JSON without halves of surrogate pairs."""
    try:
        text = json.dumps(json.loads(line), ensure_ascii=False)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    return text.encode("utf-8", "replace")


def body_of(response: Mapping[str, Any]) -> Any:
    """Return the body of a line's response; some compatible servers encode it twice."""
    body = response.get("body")
    return parse(body.encode("utf-8", "replace")) if isinstance(body, str) else body


def blot(text: str) -> str:
    """Return a provider's words without keys, as text that can be stored, and not without end."""
    return shortened(_SECRET.sub("sk-…", text.encode("utf-8", "replace").decode()))


def count(value: object) -> int:
    """Return a number of things; 0 for nonsense."""
    return value if type(value) is int and 0 <= value <= _MOST else 0


def counted(counts: object, name: str) -> int:
    """Return a count of an object that may be none."""
    return count(counts.get(name)) if is_object(counts) else 0


def is_object(value: object) -> TypeGuard[JsonObject]:
    """Tell whether a JSON value is an object."""
    return isinstance(value, dict)


def is_array(value: object) -> TypeGuard[list[Any]]:
    """Tell whether a JSON value is an array."""
    return isinstance(value, list)


def _status(value: Any) -> Any:
    """Return a status; some compatible servers write the number as text."""
    return int(value) if isinstance(value, str) and re.fullmatch("[1-5][0-9]{2}", value) else value


def _line_error(error: Mapping[str, Any]) -> LineError:
    code = str(error.get("code") or "unknown_error")
    message = str(error.get("message") or "the line holds neither a response nor an error")
    return LineError("never_ran" if code in _NEVER_RAN else "retryable", code, blot(message))


def _http_error(status: Any, body: Any) -> LineError:
    error = body.get("error")
    details: Mapping[str, Any] = error if is_object(error) else {}
    code = str(details.get("code") or details.get("type") or f"http_{status}")
    message = blot(str(details.get("message") or error or f"HTTP status {status}"))
    if status == 200:
        if not details:
            return LineError("unreadable", "empty_body", "status 200 without an answer")
        return LineError("retryable", code, message)
    passing = not isinstance(status, int) or status in _RETRYABLE or status >= 500
    return LineError("retryable" if passing else "rejected", code, message)
