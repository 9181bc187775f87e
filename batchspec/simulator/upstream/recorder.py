"""A source that asks only what was not answered before: it keeps what it is told."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Self

from pydantic_core import from_json

from batchspec.simulator.answers.recording import Recording
from batchspec.simulator.endpoints.port import Reply
from batchspec.simulator.endpoints.tokens import read_usage
from batchspec.simulator.upstream.port import Source
from batchspec.simulator.upstream.reading import PASSING
from batchspec.simulator.wire import Json, is_object


class RecordingSource:
    """Implements `Source`: answers from a recording, else from another source, and records that.

    What may pass (no answer, too many requests, an error of the server) is not recorded. A file
    that cannot be read or written keeps nobody from an answer; the next one tries it again.

    Args:
        source: Asked for what is not recorded.
        recording: What is known, and where the rest is added.
        on_trouble: Told, in words for people, when answers cannot be recorded any more.
    """

    def __init__(
        self,
        source: Source,
        recording: Recording,
        *,
        on_trouble: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._source = source
        self._recording = recording
        self._on_trouble = on_trouble
        self._troubled = False

    @property
    def concurrency(self) -> int:
        return self._source.concurrency

    @property
    def outage(self) -> str | None:
        return self._source.outage

    async def __aenter__(self) -> Self:
        await self._source.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._source.__aexit__(*error)
        with self._trying():
            self._recording.flush()

    async def turn(self) -> None:
        await self._source.turn()

    async def models(self) -> Reply:
        return await self._source.models()

    def stop(self) -> None:
        self._source.stop()

    async def ask(
        self, endpoint: str, body: Json, custom_id: str | None = None, *, patient: bool = True
    ) -> Reply:
        line = None
        with self._trying():
            line = self._recording.find(custom_id, body, strict=True)
        if line is not None:
            return _replayed(line)
        reply = await self._source.ask(endpoint, body, custom_id, patient=patient)
        if reply.succeeded or (400 <= reply.status < 500 and reply.status not in PASSING):
            response = {"status_code": reply.status, "request_id": "", "body": reply.body}
            with self._trying():
                self._recording.append(custom_id, body, response, None)
                self._troubled = False
        return reply

    @contextmanager
    def _trying(self) -> Generator[None]:
        """Tell once what is wrong with the file, until it is right again."""
        try:
            yield
        except (OSError, ValueError) as error:
            if not self._troubled:
                self._troubled = True
                reason = error.strerror if isinstance(error, OSError) else None
                self._on_trouble(
                    f"answers cannot be recorded in {self._recording.path}: {reason or error}. "
                    "They are sent all the same, and those that follow are tried again."
                )


def _replayed(line: Json) -> Reply:
    response = line.get("response")
    if not is_object(response):
        return Reply(0, None, error=line.get("error"))
    body = response.get("body")
    body = from_json(body) if isinstance(body, str) else body
    found: Json = body if is_object(body) else {}
    return Reply(int(response.get("status_code") or 200), found, read_usage(found.get("usage")))
