"""What a refresh found, a line per batch."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.text import Text

from batchspec.cli.views.documents import batch_document
from batchspec.cli.views.drift import clock_time
from batchspec.cli.views.sentences import named
from batchspec.cli.views.streams import print_json, print_prose, stderr, stdout
from batchspec.cli.views.words import clean, counted
from batchspec.state.events import Event
from batchspec.state.records import BatchRecord, JobProgress

if TYPE_CHECKING:
    from batchspec.project.refreshed import LookedAt, Refreshed


class Warnings:
    """Implements `ports.Hook`: tells warnings, and keeps them for a document.

    Args:
        quiet: Whether to keep them only.
    """

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self.warnings: list[str] = []

    def event(self, event: Event) -> None:
        """Ignore; every batch gets a line in the end."""

    def progress(self, jobs: Sequence[JobProgress], batches: Sequence[BatchRecord]) -> None:
        """Ignore."""

    def warning(self, message: str) -> None:
        """Tell a person."""
        self.warnings.append(message)
        if not self._quiet:
            print_prose(stderr(), [Text.assemble(("Warning: ", "yellow"), clean(message))])


@contextmanager
def refreshing(*, quiet: bool) -> Generator[Warnings]:
    """Yield the hook of a refresh."""
    yield Warnings(quiet=quiet)


def show_refreshed(found: "Refreshed", *, flags: str) -> None:
    """Print it for people, with what to do next.

    Args:
        found: What was found.
        flags: The shared options of this run, for commands that can be pasted.
    """
    if not found.batches:
        print_prose(stdout(), [Text("No batch is open; there was nothing to look at.")])
        return
    print_prose(stdout(), [Text(f"Batch {named(one.after)} {told(one)}.") for one in found.batches])
    if found.to_send:
        requests = counted(found.to_send, "request waits", "requests wait")
        next_ = Text.assemble(f"{requests} to be sent: ", (f"batchspec apply{flags}", "cyan"))
        print_prose(stdout(), [next_])


def show_refreshed_json(found: "Refreshed", warnings: Sequence[str]) -> None:
    """Print it as one JSON document."""
    print_json(
        {
            "environment": found.environment,
            "batches": [_document(one) for one in found.batches],
            "open": sum(one.open for one in found.batches),
            "to_send": found.to_send,
            "warnings": list(warnings),
        }
    )


def _document(one: "LookedAt") -> dict[str, Any]:
    return batch_document(one.after) | {
        "provider": one.provider,
        "looked": one.looked,
        "was": one.before.status or one.before.phase,
        "message": f"Batch {named(one.after)} {told(one)}.",
    }


def told(one: "LookedAt") -> str:  # noqa: PLR0911 - one per phase
    """Return how one batch is now, to stand after its name."""
    batch = one.after
    if not one.looked:
        return "was not looked at; `apply` goes on with it"
    note = f" ({clean(batch.note)})" if batch.note else ""
    requests = counted(batch.members, "request")
    match batch.phase:
        case "collected":
            return f"has ended as {batch.status}; the results of its {requests} are read{note}"
        case "rejected":
            return f"was refused, and its {requests} wait to be sent{note}"
        case "lost":
            return f"is lost: the provider does not know it any more{note}"
        case "ended":
            return f"has ended as {batch.status}; its results are not read yet{note}"
        case "submitted":
            done = batch.counts.completed + batch.counts.failed
            how = "was found again and is" if one.before.remote_id is None else "is"
            return f"{how} {batch.status}, {done:,} of {requests} done{note}"
        case "intended" if batch.create_at is not None:
            since = f"unknown outcome since {clock_time(batch.create_at)}"
            return f"has an {since}, and is not sent again until it is known{note}"
        case "intended":
            return f"is not at the provider; its {requests} wait to be sent{note}"
