"""What is about to be stopped, and what became of it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.text import Text

from batchspec.cli.views.documents import progress_document
from batchspec.cli.views.sentences import short
from batchspec.cli.views.status import job_lines
from batchspec.cli.views.streams import line_width, print_json, print_prose, print_table, stdout
from batchspec.cli.views.words import clean, counted
from batchspec.state.stopped import Fate, JobStop, Stop, StopBatch

if TYPE_CHECKING:
    from batchspec.project.stopping import CancelResult

FATES: Mapping[Fate, str] = {
    "cancel": "will be cancelled; what it has answered by then is billed and kept",
    "unsent": "was never asked for, and will not be",
    "shared": "runs on, because other rows want requests of it; all of it is billed",
    "imported": "runs on, because it was made by hand; cancel it where it was made",
    "ending": "is ending already; what it has answered is billed and kept",
}
"""What becomes of a batch."""


def show_stop(stop: Stop) -> None:
    """Print what stopping means, job by job and batch by batch."""
    if not stop.requests:
        shared = sum(job.shared for job in stop.jobs)
        why = " Items of others want the same answers, which go on." if shared else ""
        print_prose(stdout(), [Text(f"Nothing is under way that could be stopped.{why}")])
        return
    jobs = [
        Text.assemble((clean(job.job), "bold"), f": {', '.join(_parts(job))}")
        for job in stop.jobs
        if _parts(job)
    ]
    batches = [
        Text(f"  batch {named(batch)}, {share(batch)}: {FATES[batch.fate]}")
        for batch in stop.batches
    ]
    print_prose(stdout(), [*jobs, *batches, Text("Stopping costs nothing.")])


def named(batch: StopBatch) -> str:
    """Return the provider's id of a batch, or ours as long as it has none."""
    return clean(batch.remote_id or short(batch.id))


def share(batch: StopBatch) -> str:
    """Return how much of a batch is meant."""
    if batch.mine == batch.members:
        return counted(batch.members, "request")
    return f"{batch.mine:,} of {counted(batch.members, 'request')}"


def _parts(job: JobStop) -> list[str]:
    words = (
        (job.pending, "not sent"),
        (job.tools, "waiting for tools"),
        (job.batched, "in batches"),
        (job.shared, "also wanted by others, which go on"),
    )
    return [f"{n:,} {word}" for n, word in words if n]


def show_cancelled(result: "CancelResult", *, flags: str) -> None:
    """Print how it ended, and what happens next.

    Args:
        result: The end.
        flags: The shared options of this run, for commands that can be pasted.
    """
    console = stdout()
    print_prose(console, [Text()])
    print_table(console, job_lines(result.jobs, width=line_width(console)))
    print_prose(console, [Text(), *_verdict(result, flags)])


def _verdict(result: "CancelResult", flags: str) -> list[Text]:
    if result.open_batches:
        batches = counted(result.open_batches, "batch is", "batches are")
        head = Text(f"Stopped. {batches} still ending; what they have is not read yet.", "bold")
        command = (f"batchspec apply{flags}", "cyan")
        hint = Text.assemble(("Next: ", "dim"), command, "  (to read what was answered)")
    else:
        head, hint = Text("Stopped.", "bold"), Text()
    on = sum(b.mine for b in result.stop.batches if b.fate in {"shared", "imported"})
    running, again = Text(), Text()
    if on:
        told = f"{counted(on, 'request is', 'requests are')} in batches that run on, and so counted"
        running = Text(
            f"{told} as in batches until then: an answer that comes is kept, and without one the "
            "item ends as cancelled; nothing is sent again unasked."
        )
    if result.open_batches or any(job.outcomes.get("cancelled") for job in result.jobs):
        again = Text(
            "Rows without an answer that are still in the specs are proposed again (-/+) by the "
            "next plan. To leave a job alone set enabled=False; to drop rows, remove them."
        )
    return [line for line in (head, running, again, hint) if line.plain]


def show_cancelled_json(result: "CancelResult | None", stop: Stop) -> None:
    """Print it as one JSON document; without a result there was nothing to stop."""
    done = stop if result is None else result.stop
    print_json(
        {
            "stopped": done.requests,
            "jobs": [_job(job) for job in done.jobs],
            "batches": [_batch(batch) for batch in done.batches],
            "open_batches": result.open_batches if result else 0,
            "progress": [progress_document(job) for job in result.jobs] if result else [],
        }
    )


def _job(job: JobStop) -> dict[str, Any]:
    return {"address": job.job, **{n: v for n, v in job._asdict().items() if n != "job"}}


def _batch(batch: StopBatch) -> dict[str, Any]:
    return {
        "id": batch.id,
        "remote_id": batch.remote_id,
        "requests": batch.members,
        "stopped": batch.mine,
        "fate": batch.fate,
    }
