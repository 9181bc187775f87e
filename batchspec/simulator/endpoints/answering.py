"""What every endpoint does with an answer: hold it to the request's limits, count it, replay it."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import wraps
from typing import Any, TypeVar

from batchspec.simulator.answers.port import Answer, Replay
from batchspec.simulator.endpoints.port import Reply, Usage
from batchspec.simulator.endpoints.tokens import (
    answer_tokens,
    prompt_tokens,
    read_usage,
    reasoning_tokens,
)
from batchspec.simulator.wire import HTTPFailure, Json, is_object

_log = logging.getLogger(__name__)
_Self = TypeVar("_Self")
Respond = Callable[[_Self, Json, str | None, float], Reply]


def failures_answered(respond: Respond[_Self]) -> Respond[_Self]:
    """Let what a method raises be the answer, so that one odd request never stops its batch."""

    @wraps(respond)
    def guarded(self: _Self, body: Json, custom_id: str | None, now: float) -> Reply:
        try:
            return respond(self, body, custom_id, now)
        except HTTPFailure as failure:
            return Reply(failure.status, failure.body, headers=failure.headers)
        except (Exception, SystemExit) as error:  # noqa: BLE001  the line fails, not the batch
            _log.exception("the request %r could not be answered", custom_id)
            message = f"The server had an error while processing your request: {error!r}"
            return Reply(500, HTTPFailure(500, message).body)

    return guarded


def settle(answer: Answer, chat: Json, draw: int) -> tuple[Answer, Usage]:
    """Cut an answer where the request ends it, and count its tokens.

    Args:
        answer: What the model would say.
        chat: The request in the words of chat completions.
        draw: A number from 0 to 255 that belongs to the request; decides how long a model thinks.
    """
    if (stop := chat.get("stop")) and answer.content:
        answer = replace(answer, content=_stopped(answer.content, stop))
    spoken, thought = answer_tokens(answer), reasoning_tokens(chat, draw)
    limit = chat.get("max_completion_tokens") or chat.get("max_tokens")
    if limit is not None and spoken + thought > limit:
        # A model knows its limit and thinks less; what it has to say it does not know before.
        thought = max(0, limit - spoken)
        if spoken > limit and not answer.tool_calls:
            text = (answer.content or "")[: 4 * (limit - 1)]
            answer, spoken = replace(answer, content=text, finish_reason="length"), limit
    usage = answer.usage or Usage(prompt_tokens(chat), 0, spoken + thought, thought)
    return answer, usage


def _stopped(content: str, stop: str | Sequence[Any]) -> str:
    """The text before the first of the sequences that end it."""
    for sequence in (stop,) if isinstance(stop, str) else stop:
        content = content.partition(sequence)[0] if sequence else content
    return content


def replay(answer: Replay) -> Reply:
    """Send a recorded answer as it is."""
    if answer.response is None:
        return Reply(0, None, error=answer.error)
    body = answer.response.get("body")
    status = answer.response.get("status_code", 200)
    found: Json = body if is_object(body) else {}
    return Reply(status, found, read_usage(found.get("usage")))
