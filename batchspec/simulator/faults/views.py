"""Faults of what clients are told about a batch: behaviours 17, 20 to 22 and 28 to 30."""

from typing import Any, ClassVar, Literal

from pydantic import Field, PositiveInt

from batchspec.simulator.faults.batches import BatchFault
from batchspec.simulator.jobs.records import BatchRecord
from batchspec.simulator.wire import Json

_REQUIRED = frozenset(
    {"id", "object", "endpoint", "input_file_id", "completion_window", "status", "created_at"}
)
_BEFORE = {"completed": "finalizing", "expired": "finalizing", "cancelled": "cancelling"}
_FILES = ("output_file_id", "error_file_id")


class ViewFault(BatchFault):
    """A fault that changes how a batch looks, and not what it is."""

    seen_by_clients: ClassVar = True


class WrongCounts(ViewFault):
    """The counts of requests are behind, go backwards, or are missing."""

    fault: Literal["wrong_counts"] = "wrong_counts"
    behaviours: ClassVar = (17,)
    form: Literal["lag", "backwards", "null"] = "lag"
    """`lag` shows half of what is done until the batch has ended and was seen once, `backwards`
    does so at every second look, `null` shows no counts."""

    def show(self, shown: Json, batch: BatchRecord, looks: int) -> None:
        if self.form == "null":
            shown["request_counts"] = None
            return
        behind = not batch.terminal or looks == 1
        if self.form == "backwards":
            behind = looks % 2 == 0
        # Another fault may have left them out.
        counts: dict[str, int] | None = shown.get("request_counts")
        if behind and counts:
            shown["request_counts"] = {
                "total": counts["total"],
                "completed": counts["completed"] // 2,
                "failed": counts["failed"] // 2,
            }


class UnknownStatus(ViewFault):
    """The status is a word no client knows."""

    fault: Literal["unknown_status"] = "unknown_status"
    behaviours: ClassVar = (20,)
    status: str = "paused"
    looks: PositiveInt = 2
    """How often, in each status."""

    def show(self, shown: Json, batch: BatchRecord, looks: int) -> None:
        _ = batch
        if looks <= self.looks:
            shown["status"] = self.status
            shown.update(dict.fromkeys(_FILES))


class OddFields(ViewFault):
    """Fields that nobody knows, or none but those the API promises."""

    fault: Literal["odd_fields"] = "odd_fields"
    behaviours: ClassVar = (21,)
    form: Literal["unknown", "absent"] = "unknown"
    """`absent` leaves out what is null, usage, model and, as long as it is open, the counts."""

    def show(self, shown: Json, batch: BatchRecord, looks: int) -> None:
        _ = looks
        if self.form == "unknown":
            more: dict[str, Any] = {"service_tier": "batch", "progress": {"percent": 50.0}}
            shown.update(more)
            return
        hidden = {"usage", "model"}
        if not batch.terminal:
            hidden.add("request_counts")
        for name in list(shown):
            if name not in _REQUIRED and (shown[name] is None or name in hidden):
                del shown[name]


class StaleRead(ViewFault):
    """After a client has seen the end of a batch, it is told once more how it was before."""

    fault: Literal["stale_read"] = "stale_read"
    behaviours: ClassVar = (22,)
    looks: PositiveInt = 1
    """How often."""

    def show(self, shown: Json, batch: BatchRecord, looks: int) -> None:
        before = _BEFORE.get(batch.status)
        if before is not None and 1 < looks <= 1 + self.looks:
            shown["status"] = before
            shown[f"{batch.status}_at"] = None
            shown.update(dict.fromkeys(_FILES))


class NoOutputFile(ViewFault):
    """A batch that ended names no output file, though requests were answered."""

    fault: Literal["no_output_file"] = "no_output_file"
    behaviours: ClassVar = (28,)

    def show(self, shown: Json, batch: BatchRecord, looks: int) -> None:
        _ = batch, looks
        shown["output_file_id"] = None


class ErrorFile(ViewFault):
    """How a batch without errors says so, or one with errors does not say it."""

    fault: Literal["error_file"] = "error_file"
    behaviours: ClassVar = (29,)
    form: Literal["null", "empty_text", "empty_file"] = "empty_text"
    """`null` hides the file that is there; the others stand in when there is none."""

    def show(self, shown: Json, batch: BatchRecord, looks: int) -> None:
        _ = looks
        if self.form == "null":
            shown["error_file_id"] = None
        elif shown.get("error_file_id") is None and batch.terminal and batch.status != "failed":
            shown["error_file_id"] = "" if self.form == "empty_text" else batch.error_file_id


class LateFileIds(ViewFault):
    """A batch has ended, and its result files are named only later."""

    fault: Literal["late_file_ids"] = "late_file_ids"
    behaviours: ClassVar = (30,)
    looks: PositiveInt = Field(default=1)
    """How often they are missing."""

    def show(self, shown: Json, batch: BatchRecord, looks: int) -> None:
        if batch.terminal and looks <= self.looks:
            shown.update(dict.fromkeys(_FILES))


VIEWS = (
    WrongCounts,
    UnknownStatus,
    OddFields,
    StaleRead,
    NoOutputFile,
    ErrorFile,
    LateFileIds,
)
