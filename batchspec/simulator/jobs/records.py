"""What the simulator remembers: files and batches, and how they look on the wire."""

from dataclasses import dataclass, field, replace
from typing import Literal

from batchspec.simulator.endpoints.port import Reply
from batchspec.simulator.wire import Json

Status = Literal[
    "validating",
    "failed",
    "in_progress",
    "finalizing",
    "completed",
    "expired",
    "cancelling",
    "cancelled",
]
TERMINAL: frozenset[Status] = frozenset({"failed", "completed", "expired", "cancelled"})


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRecord:
    id: str
    bytes: int
    created_at: float
    filename: str
    purpose: str
    expires_at: float | None
    hidden_until: float = 0.0
    """Before, whoever asks for it is told that it cannot be found."""
    hidden_from_create: bool = False
    """Whether that holds for a batch that names it, too."""
    listed_from: float = 0.0

    def to_wire(self) -> Json:
        return {
            "id": self.id,
            "object": "file",
            "bytes": self.bytes,
            "created_at": int(self.created_at),
            "filename": self.filename,
            "purpose": self.purpose,
            "status": "processed",
            "expires_at": None if self.expires_at is None else int(self.expires_at),
            "status_details": None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchError:
    code: str
    message: str
    param: str | None = None
    line: int | None = None

    def to_wire(self) -> Json:
        return {
            "code": self.code,
            "message": self.message,
            "param": self.param,
            "line": self.line,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a batch has come; committed together with the bytes it speaks of.

    `offset` and `line` point into the input, `output_bytes` and `error_bytes` are the lengths up
    to which the result files are valid: whatever lies beyond was written by a run that died.
    """

    offset: int = 0
    line: int = 0
    settled: int = 0
    output_bytes: int = 0
    error_bytes: int = 0
    completed: int = 0
    failed: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    replied_at: float = 0.0
    """When the last reply came of those that are kept until all are written."""

    @property
    def replied(self) -> int:
        """How many lines have a reply, written or not."""
        return self.completed + self.failed

    def counting(self, reply: Reply) -> "Progress":
        """Return the same with one reply more."""
        usage = reply.usage
        return replace(
            self,
            completed=self.completed + reply.succeeded,
            failed=self.failed + (not reply.succeeded),
            input_tokens=self.input_tokens + usage.input_tokens,
            cached_tokens=self.cached_tokens + usage.cached_tokens,
            output_tokens=self.output_tokens + usage.output_tokens,
            reasoning_tokens=self.reasoning_tokens + usage.reasoning_tokens,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRecord:
    """A batch; the times are those of the injected clock, unrounded."""

    id: str
    endpoint: str
    input_file_id: str
    completion_window: str
    metadata: dict[str, str] | None
    output_expires_after: int | None
    created_at: float
    expires_at: float
    output_file_id: str
    error_file_id: str
    """The ids of the result files are minted at creation and shown once the files exist."""
    status: Status = "validating"
    ending: Literal["completed", "expired"] = "completed"
    """What `finalizing` leads to."""
    hurried_at: float | None = None
    """From when on nothing about the batch takes time."""
    in_progress_at: float | None = None
    finalizing_at: float | None = None
    completed_at: float | None = None
    failed_at: float | None = None
    expired_at: float | None = None
    cancelling_at: float | None = None
    cancelled_at: float | None = None
    model: str | None = None
    errors: list[BatchError] | None = None
    total: int = 0
    enqueued_tokens: int = 0
    progress: Progress = field(default_factory=Progress)
    listed_from: float = 0.0
    faults: tuple[str, ...] = ()
    """What goes wrong with it, as JSON documents; drawn when it was created."""

    @property
    def terminal(self) -> bool:
        return self.status in TERMINAL

    def to_wire(self) -> Json:
        """The batch object with every key, as the service sends it."""
        done, progress = self.terminal and self.status != "failed", self.progress
        errors = self.errors
        return {
            "id": self.id,
            "object": "batch",
            "endpoint": self.endpoint,
            "model": self.model,
            "errors": errors and {"object": "list", "data": [e.to_wire() for e in errors]},
            "input_file_id": self.input_file_id,
            "completion_window": self.completion_window,
            "status": self.status,
            "output_file_id": self.output_file_id if done and progress.output_bytes else None,
            "error_file_id": self.error_file_id if done and progress.error_bytes else None,
            "created_at": int(self.created_at),
            "in_progress_at": _seconds(self.in_progress_at),
            "expires_at": int(self.expires_at),
            "finalizing_at": _seconds(self.finalizing_at),
            "completed_at": _seconds(self.completed_at),
            "failed_at": _seconds(self.failed_at),
            "expired_at": _seconds(self.expired_at),
            "cancelling_at": _seconds(self.cancelling_at),
            "cancelled_at": _seconds(self.cancelled_at),
            "request_counts": {
                "total": self.total,
                "completed": progress.completed,
                "failed": progress.failed,
            },
            "usage": {
                "input_tokens": progress.input_tokens,
                "input_tokens_details": {"cached_tokens": progress.cached_tokens},
                "output_tokens": progress.output_tokens,
                "output_tokens_details": {"reasoning_tokens": progress.reasoning_tokens},
                "total_tokens": progress.input_tokens + progress.output_tokens,
            },
            "metadata": self.metadata,
        }


def _seconds(moment: float | None) -> int | None:
    return None if moment is None else int(moment)
