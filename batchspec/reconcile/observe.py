"""What a look at the provider means for a batch: the decision table, as pure functions."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import inf

from batchspec.reconcile.retry import backoff, believed, left_of, poll_wait
from batchspec.state.events import BatchAbsent, BatchNotSeen, BatchObserved, BatchRejected
from batchspec.state.records import TERMINAL, BatchRecord, HoldKind
from batchspec.state.remote import (
    RemoteBatch,
    RemoteError,
)

_LATE_FILES = 120.0
"""Seconds a terminal batch may keep its file ids back before it is taken at its word."""
_MOST_HOLDS = 10
"""Uploads in a row that the provider cannot find before a person is asked."""
_MOST_ALONE = 5
"""Holds in a row after which one request that meets a full queue, alone, is too large for it."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds between looks, lengthening from `poll` to `max_poll`; `grace` before paying again."""

    poll: float = 15.0
    max_poll: float = 600.0
    grace: float = 60.0


@dataclass(frozen=True, slots=True)
class RejectedLines:
    """A batch failed validation because of some lines: those are final, the rest goes again."""

    lines: dict[int, str]
    event: BatchRejected


@dataclass(frozen=True, slots=True)
class Stopped:
    """A batch failed validation for a reason nobody but a person can mend."""

    event: BatchRejected


def observe(  # noqa: PLR0913 - what it depends on
    record: BatchRecord,
    remote: RemoteBatch,
    now: float,
    pace: Pace,
    holds: int = 0,
    *,
    alone: bool = False,
) -> BatchObserved | BatchRejected | RejectedLines | Stopped:
    """Say what a batch's state at the provider means.

    A failed batch ran nothing, unless it has results: those are paid, and read like any others.

    Args:
        record: What is recorded.
        remote: What the provider says.
        now: Unix seconds.
        pace: The schedule.
        holds: How often in a row the batch's lane was held.
        alone: Whether no other batch of its model is open, which could make room by ending.
    """
    if record.double_of is not None:
        return _surplus(record, remote, now, pace)
    if remote.status == "failed" and not _has_results(remote):
        too_large = alone and record.members == 1 and holds >= _MOST_ALONE
        return _failed(record, remote.errors, now, pace, holds, too_large=too_large)
    ended = remote.status in TERMINAL and _files_ready(record, remote, now)
    wait = pace.poll if remote.status in TERMINAL else _wait(record, remote, now, pace)
    note = None
    if remote.status == "unknown":
        note = "the provider reports a status this version does not know; it counts as not ended"
    elif remote.status == "failed":
        note = describe(remote.errors)
    return BatchObserved(
        id=record.id,
        status=remote.status,
        counts=remote.counts,
        output_file_id=remote.output_file_id,
        error_file_id=remote.error_file_id,
        ended=ended,
        at=now,
        next_at=now if ended else now + wait,
        note=note,
    )


def on_time(record: BatchRecord, now: float, pace: Pace) -> BatchRecord:
    """Return a batch that is looked at no later than any schedule says, whatever clocks did."""
    if record.phase != "submitted" or record.failures:
        return record
    due = believed(record.next_at, now, max(pace.poll, pace.max_poll))
    return record if due == record.next_at else replace(record, next_at=due)


def _surplus(record: BatchRecord, remote: RemoteBatch, now: float, pace: Pace) -> BatchObserved:
    """Say how far a double is: however it ends, nothing of it is read."""
    ended = remote.status in TERMINAL
    wait = 0 if ended else _wait(record, remote, now, pace)
    return BatchObserved(
        id=record.id,
        status=remote.status,
        counts=remote.counts,
        output_file_id=remote.output_file_id,
        error_file_id=remote.error_file_id,
        ended=ended,
        at=now,
        next_at=now + wait,
    )


def _wait(record: BatchRecord, remote: RemoteBatch, now: float, pace: Pace) -> float:
    """Return the seconds until the next look at a batch that has not ended.

    A batch can stay at its last request for hours: where nothing has moved since the look before,
    only its age counts.
    """
    age, counts = now - (record.submitted_at or now), remote.counts
    moved = (remote.status, counts) != (record.status, record.counts)
    left = left_of(age, counts.completed + counts.failed, counts.total) if moved else inf
    return poll_wait(age, first=pace.poll, cap=pace.max_poll, name=record.id, left=left)


def _has_results(remote: RemoteBatch) -> bool:
    return bool(remote.output_file_id or remote.error_file_id or remote.counts.completed)


def _files_ready(record: BatchRecord, remote: RemoteBatch, now: float) -> bool:
    """Tell whether the result files a terminal batch must have are named.

    A batch can be terminal a moment before its file ids appear; without its output, rows that ran
    would count as never run and be paid twice.
    """
    counts = remote.counts
    output, errors = remote.output_file_id, remote.error_file_id
    late = (counts.completed and not output) or (counts.failed and not errors)
    nothing = remote.status == "completed" and not output and not errors
    if not late and not nothing:
        return True
    return record.ended_at is not None and now - record.ended_at >= _LATE_FILES


def _failed(  # noqa: PLR0913 - what it depends on
    record: BatchRecord,
    errors: Sequence[RemoteError],
    now: float,
    pace: Pace,
    holds: int,
    *,
    too_large: bool,
) -> BatchRejected | RejectedLines | Stopped:
    reason = describe(errors)
    if not too_large and _transient(errors, lost_files=holds < _MOST_HOLDS):
        wait = backoff(holds + 1, first=pace.poll, cap=pace.max_poll, name=record.id)
        hold: HoldKind | None = "full" if any(_is_full(e) for e in errors) else None
        return BatchRejected(
            id=record.id, at=now, reason=reason, hold_lane_until=now + wait, hold=hold
        )
    event = BatchRejected(id=record.id, at=now, reason=reason)
    # A line that is none of ours would leave the batch as it is, to fail again for ever; a batch
    # that was made by hand is never made again, and may have lines beside ours.
    lines = {
        e.line: f"{e.code}: {e.message}"
        for e in errors
        if e.line is not None and (record.imported or 0 < e.line <= record.members)
    }
    if lines and all(e.line in lines for e in errors):
        return RejectedLines(lines, event)
    return Stopped(event)


def _transient(errors: Iterable[RemoteError], *, lost_files: bool) -> bool:
    """Tell whether the whole batch can go again later: a full queue, or a file not visible yet."""
    found = list(errors)
    return bool(found) and all(
        e.line is None and (_is_full(e) or (lost_files and "Cannot find file" in e.message))
        for e in found
    )


def _is_full(error: RemoteError) -> bool:
    """Tell whether the account's queue of a model has no room."""
    return error.code == "token_limit_exceeded" or error.message.startswith("Enqueued ")


def describe(errors: Sequence[RemoteError]) -> str:
    """Return the provider's validation errors in one line."""
    if not errors:
        return "the provider gave no reason"
    shown = [f"{e.code}: {e.message}" + (f" (line {e.line})" if e.line else "") for e in errors[:3]]
    more = f" … and {len(errors) - 3} more" if len(errors) > 3 else ""
    return "; ".join(shown) + more


def not_found(record: BatchRecord, asked: float, pace: Pace) -> BatchNotSeen | BatchAbsent:
    """Say what it means that a batch whose creation got no answer is not in the list.

    A list may lag, so that only a second look, a grace period after the first, allows another
    creation.

    Args:
        record: What is recorded.
        asked: When the look began, unix seconds.
        pace: The schedule.
    """
    if pace.grace <= 0 or (record.looked_at is not None and asked - record.looked_at >= pace.grace):
        return BatchAbsent(id=record.id, at=asked, next_at=asked)
    until = (asked if record.looked_at is None else record.looked_at) + pace.grace
    return BatchNotSeen(id=record.id, at=asked, next_at=min(until, asked + pace.grace / 3))


def oldest(batches: Iterable[RemoteBatch]) -> list[RemoteBatch]:
    """Return batches with one token, the one to keep first: the oldest was paid first."""
    return sorted(batches, key=lambda batch: (batch.created_at, batch.id))
