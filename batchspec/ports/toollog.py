"""The part of the state that tools write: their calls, and answers that are kept."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

from batchspec.ids import ConversationId, JobAddress
from batchspec.state.events import Event
from batchspec.state.stored import CallDone, NextTurn, Resumed, StoredReply, ToolTurn

if TYPE_CHECKING:
    from batchspec.ports.store import Body


class ToolLog(Protocol):
    """The part of a `Store` that tools write; what is said there holds here."""

    def tool_turns(
        self, job: JobAddress, limit: int, but: Iterable[ConversationId] = ()
    ) -> Sequence[ToolTurn]:
        """Return conversations of a job that wait for tool results, but for some."""
        ...

    def record_calls(
        self, done: Sequence[CallDone], beginning: Sequence[ToolTurn], at: float
    ) -> None:
        """Write the results of calls, and that others (not done) are about to run, durably."""
        ...

    def remembered(self, key: bytes) -> str | None:
        """Return the answer a pure tool gave an equal call, if it is kept."""
        ...

    def forget(self, before: float) -> tuple[int, int]:
        """Drop answers of pure tools not used since a time, and what is too much.

        Returns their number and bytes.
        """
        ...

    def continue_turns(
        self, turns: Sequence[NextTurn], closing: "Sequence[Body]", event: Event
    ) -> None: ...

    def replies(self, job: JobAddress, limit: int) -> Sequence[StoredReply]:
        """Return replies of a job that conversations are to go on from, once judged again."""
        ...

    def resume(self, resumed: Sequence[Resumed], closing: "Sequence[Body]", event: Event) -> None:
        """Let conversations go on from their last replies, as these were judged again."""
        ...
