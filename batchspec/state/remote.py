"""What a provider tells: a batch in our words, or why a call failed and what that means."""

from collections.abc import Mapping
from dataclasses import dataclass

from batchspec.ids import FileId, RemoteId
from batchspec.state.records import BatchRecord, RemoteStatus, RequestCounts

CLOCK_SLACK = 7200.0
"""Seconds by which a provider's clock may differ from ours."""


@dataclass(frozen=True, slots=True)
class RemoteError:
    """One validation error of a batch; `line` counts from 1, None where the batch is meant."""

    code: str
    message: str
    line: int | None = None
    param: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteBatch:
    """A batch as the provider tells it; `metadata` holds our token."""

    id: RemoteId
    status: RemoteStatus
    created_at: float
    counts: RequestCounts = RequestCounts()
    input_file_id: FileId | None = None
    output_file_id: FileId | None = None
    error_file_id: FileId | None = None
    errors: tuple[RemoteError, ...] = ()
    metadata: Mapping[str, str]
    endpoint: str | None = None
    model: str | None = None
    """As the provider names it, often with a date behind it; many providers do not tell."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """An input file of a batch as the provider lists it; `created_at` 0: it does not say."""

    id: FileId
    name: str
    bytes: int
    created_at: float


def is_of(remote: RemoteBatch, record: BatchRecord) -> bool:
    """Tell whether some create of a batch made this one of the provider."""
    if remote.metadata.get("batchspec") == record.id:
        return True
    return record.input_file_id is not None and remote.input_file_id == record.input_file_id


class CallError(Exception):
    """A call to a provider failed; the subclass says what is known about its effect."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Refused(CallError):  # noqa: N818 - reads as what happened
    """The provider answered 4xx: nothing was done, and trying the same again is pointless."""

    def __init__(self, message: str, *, status: int, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class Throttled(CallError):  # noqa: N818 - reads as what happened
    """The provider answered 429, or a file is not visible yet: nothing was done, try later."""


class NotFound(CallError):  # noqa: N818 - reads as what happened
    """The provider does not know the id (any more)."""


class Unreachable(CallError):  # noqa: N818 - reads as what happened
    """What is to answer is not there; a person must start it. Nothing is lost by that."""


class Uncertain(CallError):  # noqa: N818 - reads as what happened
    """No answer, 5xx, 408 or 409: it may or may not have been done."""


class Unconnected(Uncertain):
    """There was no connection: a host that does not exist, or refuses; it says so at once."""
