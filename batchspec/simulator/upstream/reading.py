"""What an upstream's answer is to a line: an answer, an error, or a reason to ask again."""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic_core import from_json

from batchspec.simulator.endpoints.port import Reply
from batchspec.simulator.endpoints.tokens import read_usage
from batchspec.simulator.upstream.waiting import retry_after
from batchspec.simulator.wire import HTTPFailure, Json, is_object

PASSING = {408, 409, 429}
_SHOWN = 200
"""Characters of a body without sense that a message shows."""


@dataclass(frozen=True, slots=True)
class Again:
    """A failure that may pass."""

    reply: Reply
    """What the line gets if this was the last try."""
    wait: float | None = None
    """Seconds the upstream asks everybody to wait."""
    throttled: bool = False
    """The upstream had too much to do; it is not the request's fault."""


@dataclass(frozen=True, slots=True)
class Away:
    """Nothing can be answered by the upstream now, whatever it is asked."""

    reason: str


def read(status: int, headers: Mapping[str, str], content: bytes, now: float) -> Reply | Again:
    """Judge a whole HTTP answer.

    Args:
        status: Its status.
        headers: With lower-case names.
        content: Its decoded body.
        now: Unix seconds.
    """
    body = _object(content)
    if 200 <= status < 300:
        if body is None:
            kind = headers.get("content-type", "no content type")
            return Again(failure("invalid_answer", f"a body that is no object of JSON ({kind})"))
        if not _answers(body):
            message = complaint(content) or f"HTTP {status} without an answer"
            return Again(Reply(0, None, error={"code": "no_answer", "message": message}))
        return Reply(status, body, read_usage(body.get("usage")))
    if body is None:
        body = HTTPFailure(status, f"HTTP {status} of the upstream: {_excerpt(content)}").body
    reply = Reply(status, body)
    if status not in PASSING and status < 500:
        return reply
    wait = retry_after(headers, now)
    return Again(reply, wait, throttled=status == 429 or (status == 503 and wait is not None))


def failure(code: str, what: str) -> Reply:
    """Return what a line gets when the upstream gave no HTTP answer that can be handed on."""
    return Reply(0, None, error={"code": code, "message": f"The upstream gave {what}."})


def _answers(body: Json) -> bool:
    """Whether a body holds what was asked for, in the words of any endpoint."""
    match body:
        case {"choices": [{"message": dict()}, *_]} | {"output": list()} | {"data": list()}:
            return True
        case _:
            return False


def complaint(content: bytes) -> str:
    """Return the upstream's own words for what went wrong; empty if it has none."""
    error = (_object(content) or {}).get("error")
    words = error.get("message") if is_object(error) else error
    return words if isinstance(words, str) else ""


def _object(content: bytes) -> Json | None:
    try:
        body = from_json(content)
    except ValueError:
        return None
    return body if is_object(body) else None


def _excerpt(content: bytes) -> str:
    text = " ".join(content[: 4 * _SHOWN].decode("utf-8", "replace").split())
    return text[:_SHOWN] or "an empty body"
