"""Time, and who watches."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

from batchspec.ids import BatchId, JobAddress
from batchspec.messages import Reply
from batchspec.state.events import Event
from batchspec.state.records import (
    BatchRecord,
    JobProgress,
)


class Clock(Protocol):
    """The time and the only way to wait; tests pass one that moves by itself."""

    def now(self) -> float:
        """Return unix seconds."""
        ...

    async def sleep_until(self, when: float) -> None:
        """Return when `now()` is at least `when`."""
        ...


class Hook(Protocol):
    """An observer of the loop; it must not raise and must not block."""

    def event(self, event: Event) -> None: ...
    def progress(self, jobs: Sequence[JobProgress], batches: Sequence[BatchRecord]) -> None: ...
    def warning(self, message: str) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRan:
    """A call of a tool that has ended.

    Attributes:
        job: Whose.
        tool: Its name.
        call: The provider's id of the call.
        began: Unix seconds.
        seconds: How long it took.
        failed: Whether it cost the item.
        arguments: As the model wrote them.
        result: What was answered.
    """

    job: JobAddress
    tool: str
    call: str
    began: float
    seconds: float
    failed: bool
    arguments: str = ""
    result: str = ""


@runtime_checkable
class Timing(Protocol):
    """A hook that is also told what is no event: how long calls of tools took."""

    def ran(self, call: ToolRan) -> None: ...


class Tokens(NamedTuple):
    """What one reply took; there is one for each reply."""

    job: JobAddress
    input: int
    output: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A request and the reply to it.

    Attributes:
        batch: In which it was.
        job: Whose.
        custom_id: Its name in the batch.
        messages: Of the request, as JSON.
        reply: What the model answered.
    """

    batch: BatchId
    job: JobAddress
    custom_id: str
    messages: bytes
    reply: Reply


@runtime_checkable
class Tracing(Protocol):
    """A hook that is also told what replies took, and what they say where somebody asked for it.

    Attributes:
        traceparent: The span that everything belongs to which is done now, as W3C writes it.
        contents: Whether `replied` is to be called.
    """

    traceparent: str | None
    contents: bool

    def replied(self, said: Exchange) -> None:
        """Take a reply while its batch is read; from any thread, and again after an error."""
        ...

    def took(self, batch: BatchId, tokens: Mapping[Tokens, int]) -> None:
        """Take how often replies of a batch took as much, once they are recorded."""
        ...


class Log(Hook, Protocol):
    """A hook that tells people or programs, and what belongs together."""

    def within(self, *, reconcile: str, serial: int, plan: str | None) -> None:
        """Say what everything belongs to that follows: a round, and the plan it applies."""
        ...

    def info(self, message: str) -> None:
        """Tell what is no event and nothing to worry about, such as that specs are loaded anew."""
        ...

    def rests(self) -> None:
        """Say that there is nothing to do, until a round begins (`within`)."""
        ...
