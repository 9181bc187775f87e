"""Where everything stands: jobs, open batches, what is waited for, who is at work."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from batchspec.cli.views.documents import batch_document, lease_document, progress_document
from batchspec.cli.views.hooks import hook_document, hook_lines
from batchspec.cli.views.missing import missing_document, show_missing
from batchspec.cli.views.resumable import show_resumable
from batchspec.cli.views.sentences import waiting
from batchspec.cli.views.streams import line_width, print_json, print_prose, print_table, stdout
from batchspec.cli.views.watch import condition_document, pending_document, watching_lines
from batchspec.cli.views.words import clean, columns, count, duration, money, number, tokens
from batchspec.state.records import JobProgress, LeaseRecord

if TYPE_CHECKING:
    from batchspec.project.values import Status


def show_status(status: "Status", *, now: float, flags: str) -> None:
    """Print a status for people; `flags` are the shared options of this run."""
    console = stdout()
    print_prose(console, [_header(status), Text()])
    if not status.jobs:
        print_prose(console, [Text(f"Nothing is recorded yet. Next: batchspec plan{flags}")])
        print_prose(console, watching_lines(status, now, flags))
        print_prose(console, _at_work(status, now))
        return
    graded = any(job.grade for job in status.jobs)
    print_table(console, job_lines(status.jobs, graded=graded, width=line_width(console)))
    show_missing(status.missing)
    show_resumable(status.jobs, flags)
    print_prose(console, _waiting(status))
    print_prose(console, watching_lines(status, now, flags))
    print_prose(console, hook_lines(status.hooks, now))
    print_prose(console, _at_work(status, now))


def _at_work(status: "Status", now: float) -> list[Text]:
    if not status.lease:
        return []
    line = lease_line(status.lease, now, free=status.lease_free, watched=status.watched)
    return [Text(), line]


def show_status_json(status: "Status") -> None:
    """Print a status as one JSON document."""
    print_json(
        {
            "environment": status.environment,
            "lineage": status.lineage,
            "serial": status.serial,
            "spent_usd": number(status.spent),
            "jobs": [progress_document(job) for job in status.jobs],
            "batches": [batch_document(batch) for batch in status.batches],
            "waiting": list(status.waiting),
            "missing": [missing_document(one) for one in status.missing],
            "conditions": [condition_document(one) for one in status.conditions],
            "hooks": [hook_document(one) for one in status.hooks],
            "pending": [pending_document(plan) for plan in status.pending],
            "approved": [pending_document(plan) for plan in status.approved],
            "lease": lease_document(status.lease) if status.lease else None,
            "lease_free": status.lease_free,
            "watched": status.watched,
        }
    )


def _header(status: "Status") -> Text:
    place = f", lineage …{status.lineage[-8:]}, serial {status.serial}"
    spent = f", spent {money(status.spent)}" if status.jobs else ""
    return Text.assemble("Environment ", (status.environment, "bold"), (place, "dim"), spent)


def job_lines(
    jobs: Sequence[JobProgress], *, graded: bool = False, width: int | None = None
) -> list[Text]:
    """Return a table of jobs: items, outcomes, turns, tokens, cost and, if wanted, mean grades.

    Where that is wider than a line, addresses stand on lines of their own.
    """
    head = ["job", "items", "succeeded", "failed", "turns", "tokens in", "out", "cost"]
    rows = [[Text(word, "dim") for word in [*head, *(["grade"] if graded else []), ""]]]
    rows += [_job(job, graded=graded) for job in jobs]
    # A job that is final everywhere leaves the last column empty.
    lines = columns(rows, right=range(1, 8))
    if width is None or max(line.cell_len for line in lines) <= width:
        return lines
    below = columns([[Text(), *row[1:]] for row in rows], right=range(1, 8))
    told = zip(rows[1:], below[1:], strict=True)
    return [below[0], *(line for row, rest in told for line in (row[0], rest))]


def _job(job: JobProgress, *, graded: bool) -> list[Text]:
    failed = Text(count(job.failed), "red" if job.failed else "dim")
    succeeded = job.outcomes.get("succeeded", 0)
    where = "removed from the specs" if job.removed else waiting(job)
    return [
        Text(clean(job.address), "bold"),
        Text(count(job.items)),
        Text(count(succeeded), "green" if succeeded else "dim"),
        failed,
        Text(count(job.turns)),
        Text(tokens(job.usage.input_tokens)),
        Text(tokens(job.usage.output_tokens)),
        Text(money(job.cost)),
        *([Text(str(job.grade or ""))] if graded else []),
        Text(where, "cyan"),
    ]


def _waiting(status: "Status") -> list[Text]:
    if not status.waiting:
        return []
    return [Text(), Text("Waiting", "bold"), *(Text(f"  {clean(w)}") for w in status.waiting)]


def lease_line(lease: LeaseRecord, now: float, *, free: bool, watched: bool = False) -> Text:
    """Say who is at work on the state, or was until it died."""
    beat = duration(now - lease.heartbeat)
    who = f"{clean(lease.machine)}, process {lease.leader}"
    if free and watched:
        engine = f"its engine, process {lease.pid}, died and is started again"
        return Text(f"At work: {clean(lease.operation)} on {who}; {engine}.")
    if free:
        what = f"No longer at work: {clean(lease.operation)} on {who}, which died"
        return Text(f"{what}; last sign of life {beat} ago. The lock is free.")
    age = duration(now - lease.begun)
    what = f"At work: {clean(lease.operation)} on {who}"
    return Text(f"{what}, since {age}, last sign of life {beat} ago; lock {lease.holder}.")
