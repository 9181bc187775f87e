"""Faults of a batch's life, drawn when it is created: behaviours 12 to 31."""

import math
from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import Field

from batchspec.simulator.faults.rule import ModelFault
from batchspec.simulator.jobs.records import BatchError, BatchRecord
from batchspec.simulator.jobs.validation import missing_file, token_limit
from batchspec.simulator.wire import Json, Pace


class BatchFault(ModelFault):
    """A fault that a batch is created with; each method changes one side of its life."""

    seen_by_clients: ClassVar[bool] = False
    """Whether `show` changes anything."""

    def mark(self, batch: BatchRecord, pace: Pace) -> BatchRecord:
        """Return the new batch as it is with the fault."""
        _ = pace
        return batch

    def paced(self, pace: Pace) -> Pace:
        """Return how long the batch stays in each status."""
        return pace

    def refuse(self, batch: BatchRecord) -> list[BatchError]:
        """Return what validation finds although the file is good."""
        _ = batch
        return []

    def held(self, batch: BatchRecord) -> int:
        """Return how many of the lines are not answered before `held_until`."""
        _ = batch
        return 0

    def held_until(self, batch: BatchRecord) -> float:
        """Return when those are answered after all; infinity: never."""
        _ = batch
        return math.inf

    def deadline(self, batch: BatchRecord, pace: Pace) -> float | None:
        """Return when the batch ends if lines are left; nothing: when its window is over."""
        _ = batch, pace
        return None

    def show(self, shown: Json, batch: BatchRecord, looks: int) -> None:
        """Change what a client sees.

        Args:
            shown: The batch on the wire; changed in place.
            batch: What it is.
            looks: How often clients have seen it in this status, this time included.
        """


class ValidationRefused(BatchFault):
    """Validation finds something, whatever the file holds."""

    fault: Literal["validation_error"] = "validation_error"
    behaviours: ClassVar = (12,)
    code: str = "invalid_request"
    message: str = "The batch could not be validated."
    param: str | None = None
    line: int | None = Field(default=None, ge=1)

    def refuse(self, batch: BatchRecord) -> list[BatchError]:
        _ = batch
        return [BatchError(code=self.code, message=self.message, param=self.param, line=self.line)]


class InputNotFound(BatchFault):
    """Validation cannot find the input file, which is there."""

    fault: Literal["input_not_found"] = "input_not_found"
    behaviours: ClassVar = (13,)

    def refuse(self, batch: BatchRecord) -> list[BatchError]:
        return [missing_file(batch.input_file_id)]


class TokenLimit(BatchFault):
    """The queue of the model is full, as if others of the account had filled it."""

    fault: Literal["token_limit"] = "token_limit"
    behaviours: ClassVar = (14,)
    limit: int = Field(default=2_000_000, ge=0)
    """What the message says that the limit is."""

    def refuse(self, batch: BatchRecord) -> list[BatchError]:
        return [token_limit(batch.model or "this model", self.limit)]


class LongValidating(BatchFault):
    """Validation takes long."""

    fault: Literal["long_validating"] = "long_validating"
    behaviours: ClassVar = (15,)
    seconds: float = Field(default=900.0, ge=0)
    """More than usual."""

    def paced(self, pace: Pace) -> Pace:
        return replace(pace, validating=pace.validating + self.seconds)


class LongFinalizing(BatchFault):
    """Finalizing takes long."""

    fault: Literal["long_finalizing"] = "long_finalizing"
    behaviours: ClassVar = (19,)
    seconds: float = Field(default=3_600.0, ge=0)
    """More than usual."""

    def paced(self, pace: Pace) -> Pace:
        return replace(pace, finalizing=pace.finalizing + self.seconds)


class SlowCancel(BatchFault):
    """Cancelling takes longer than the documentation says."""

    fault: Literal["slow_cancel"] = "slow_cancel"
    behaviours: ClassVar = (27,)
    seconds: float = Field(default=1_500.0, ge=0)
    """More than usual."""

    def paced(self, pace: Pace) -> Pace:
        return replace(pace, cancelling=pace.cancelling + self.seconds)


class Stuck(BatchFault):
    """The last requests hang, beyond the completion window."""

    fault: Literal["stuck"] = "stuck"
    behaviours: ClassVar = (18,)
    seconds: float = Field(default=3_600.0, ge=0)
    """After `expires_at`."""
    remaining: int = Field(default=1, ge=1)
    """How many requests hang."""
    ending: Literal["completed", "expired"] = "completed"
    """Whether they are answered in the end."""

    def held(self, batch: BatchRecord) -> int:
        return min(batch.total, self.remaining)

    def held_until(self, batch: BatchRecord) -> float:
        return math.inf if self.ending == "expired" else batch.expires_at + self.seconds

    def deadline(self, batch: BatchRecord, pace: Pace) -> float:
        _ = pace
        return batch.expires_at + self.seconds


class EarlyExpiry(BatchFault):
    """The batch expires when some of its requests are answered."""

    fault: Literal["early_expiry"] = "early_expiry"
    behaviours: ClassVar = (23,)
    share: float = Field(default=0.5, ge=0, lt=1)
    """Of the requests, those that are answered."""

    def mark(self, batch: BatchRecord, pace: Pace) -> BatchRecord:
        ends = batch.created_at + pace.validating + pace.in_progress
        return replace(batch, expires_at=min(ends, batch.expires_at))

    def held(self, batch: BatchRecord) -> int:
        return batch.total - int(batch.total * self.share)


class ServerFailure(BatchFault):
    """The batch fails when some of its requests are answered; nothing of it is left."""

    fault: Literal["server_failure"] = "server_failure"
    behaviours: ClassVar = (31,)
    share: float = Field(default=0.5, ge=0, lt=1)
    """Of the requests, those that were answered."""
    code: str = "server_error"
    message: str = "The server had an error while processing this batch."

    def held(self, batch: BatchRecord) -> int:
        return batch.total - int(batch.total * self.share)

    def deadline(self, batch: BatchRecord, pace: Pace) -> float:
        return (batch.in_progress_at or 0.0) + pace.in_progress

    def error(self) -> BatchError:
        """Return why the batch failed."""
        return BatchError(code=self.code, message=self.message)


class UnlistedLines(BatchFault):
    """Requests that never ran are in neither file, when the batch expires or is cancelled."""

    fault: Literal["unlisted_lines"] = "unlisted_lines"
    behaviours: ClassVar = (24,)


class CancelRace(BatchFault):
    """A cancel comes too late: it answers `cancelling`, and the batch is completed."""

    fault: Literal["cancel_race"] = "cancel_race"
    behaviours: ClassVar = (25,)


class ListLag(BatchFault):
    """The list of batches lags behind."""

    fault: Literal["list_lag"] = "list_lag"
    behaviours: ClassVar = (47,)
    seconds: float = Field(default=30.0, ge=0)

    def mark(self, batch: BatchRecord, pace: Pace) -> BatchRecord:
        _ = pace
        return replace(batch, listed_from=batch.created_at + self.seconds)


class OddFiles(BatchFault):
    """The result files are written in another manner."""

    fault: Literal["odd_files"] = "odd_files"
    behaviours: ClassVar = (32, 36)
    shuffled: bool = False
    """All lines in another order than the requests."""
    bom: bool = False
    """A byte order mark at the beginning."""
    crlf: bool = False
    """Lines end as on Windows."""
    blank_lines: bool = False
    """Empty lines in between."""
    final_newline: bool = True
    """Whether the last line ends in one."""


BATCHES = (
    ValidationRefused,
    InputNotFound,
    TokenLimit,
    LongValidating,
    Stuck,
    LongFinalizing,
    EarlyExpiry,
    UnlistedLines,
    CancelRace,
    SlowCancel,
    ServerFailure,
    ListLag,
    OddFiles,
)
