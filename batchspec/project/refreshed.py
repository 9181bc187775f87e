"""What a refresh found."""

from dataclasses import dataclass

from batchspec.errors import ExitCode
from batchspec.state.records import OPEN, BatchRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class LookedAt:
    """One batch that was open, before and after.

    Attributes:
        provider: Whose.
        looked: Whether the provider was asked; not where it runs in this process.
    """

    provider: str
    before: BatchRecord
    after: BatchRecord
    looked: bool

    @property
    def open(self) -> bool:
        """Tell whether something is still under way with it."""
        return self.after.phase in OPEN


@dataclass(frozen=True, slots=True, kw_only=True)
class Refreshed:
    """What a refresh found."""

    environment: str
    batches: tuple[LookedAt, ...]
    """Those that were open, in the order of their intents."""
    to_send: int = 0
    """Requests that wait to be sent, by an apply."""
    signal: int | None = None
    """The interrupt that ended it."""

    @property
    def exit_code(self) -> ExitCode:
        """Return what the command ends with."""
        if self.signal is not None:
            return ExitCode(128 + self.signal)
        under_way = any(one.open for one in self.batches)
        return ExitCode.IN_PROGRESS if under_way else ExitCode.DONE
