"""What answers live requests: the port."""

from typing import Protocol, Self

from batchspec.simulator.endpoints.port import Reply
from batchspec.simulator.wire import Json


class Stopped(Exception):  # noqa: N818  it says what happened, and nothing is wrong
    """There is no answer, and nothing more may be asked."""


class Source(Protocol):
    """Answers requests live.

    The caller enters it in the event loop in which it asks, and asks for at most `concurrency`
    answers at a time.
    """

    @property
    def concurrency(self) -> int: ...

    @property
    def outage(self) -> str | None:
        """Why nothing can be answered, in words for people; none when all is well."""
        ...

    async def __aenter__(self) -> Self:
        """Begin.

        Raises:
            OSError: It cannot; the message says why and what to do, in words for people.
        """
        ...

    async def __aexit__(self, *error: object) -> None: ...

    async def turn(self) -> None:
        """Return once a request may be sent.

        Raises:
            Stopped: None may be any more.
        """
        ...

    async def ask(
        self, endpoint: str, body: Json, custom_id: str | None = None, *, patient: bool = True
    ) -> Reply:
        """Answer one request; never raises for what the request contains or the far side does.

        Args:
            endpoint: The path, as `/v1/chat/completions`.
            body: Of the request.
            custom_id: Of the line; none for a live request.
            patient: Wait for a far side that is away; otherwise say that it is.

        Raises:
            Stopped: There is no answer, and nothing more may be asked.
        """
        ...

    async def models(self) -> Reply:
        """Answer `GET /v1/models`; as `ask` for a far side that is not waited for."""
        ...

    def stop(self) -> None:
        """Begin nothing new; what is under way may end."""
        ...
