"""What is about to be removed, and what became of it."""

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from rich.text import Text

from batchspec.cli.views.cancel import FATES, named, share
from batchspec.cli.views.streams import print_json, print_prose, print_table, stderr, stdout
from batchspec.cli.views.words import clean, columns, count, counted, money
from batchspec.state.removed import JobRemoval, Removal

if TYPE_CHECKING:
    from batchspec.project.removing import DestroyResult


def show_removal(removal: Removal, *, answers: bool) -> None:
    """Print what would be removed, what it has cost, and what stays.

    Args:
        removal: What there is.
        answers: Whether answers go, too.
    """
    head = [Text(word, "dim") for word in ("job", "items", "answered", "answers", "paid", "")]
    rows = [head, *(_job(job) for job in removal.jobs)]
    print_table(stdout(), columns(rows, right=range(1, 5)))
    batches = [
        Text(f"  batch {named(batch)}, {share(batch)}: {FATES[batch.fate]}")
        for batch in removal.stop.batches
    ]
    print_prose(stdout(), [*batches, Text(), Text(_fate(removal, answers=answers))])


def _job(job: JobRemoval) -> list[Text]:
    return [
        Text(clean(job.job), "bold"),
        Text(count(job.items)),
        Text(count(job.succeeded)),
        Text(count(job.answers)),
        Text(_paid(job.cost)),
        Text("" if job.whole else "some of its items", "dim"),
    ]


def _paid(cost: float | None) -> str:
    return money(None if cost is None else Decimal(str(round(cost, 12))))


def _fate(removal: Removal, *, answers: bool) -> str:
    many = counted(removal.answers, "answer")
    if not removal.answers:
        return "No answer is lost: there are none, or other items have the same ones."
    if answers:
        return f"{many} will be deleted, paid {_paid(removal.cost)}: they would be paid for again."
    return (
        f"{many} nobody else wants, paid {_paid(removal.cost)}, will stay in the state: equal "
        "requests reuse them, free. `--answers` deletes them, too."
    )


def show_destroyed(result: "DestroyResult", *, flags: str) -> None:
    """Print how it ended, and what happens next.

    Args:
        result: The end.
        flags: The shared options of this run, for commands that can be pasted.
    """
    told = [Text.assemble(("Warning: ", "yellow"), clean(line)) for line in result.left]
    if told:
        later = f"What is left there: batchspec state gc{flags}"
        print_prose(stderr(), [*told, Text(later, "dim")])
    print_prose(stdout(), [Text(), *_verdict(result, flags)])


def _verdict(result: "DestroyResult", flags: str) -> list[Text]:
    removal = result.removal
    if not result.removed:
        head = "Interrupted. What was stopped stays stopped, nothing is forgotten."
        return [Text(head, "bold"), _next(f"batchspec destroy …{flags}", "to go on")]
    batches = counted(result.cleared, "batch", "batches")
    files = f"; files of {batches} deleted at the provider" if result.cleared else ""

    gone = f", {counted(removal.answers, 'answer')} deleted" if result.answers else ""
    lines = [Text(f"Removed {counted(removal.items, 'item')}{gone}{files}.", "bold green")]
    if result.open_batches:
        batches = counted(result.open_batches, "batch is", "batches are")
        lines.append(Text(f"{batches} still ending; what they have answered is billed."))
        lines.append(_next(f"batchspec refresh{flags}", "to read it"))
    lines.append(Text("What is still in the specs is proposed again by the next plan."))
    return lines


def _next(command: str, why: str) -> Text:
    return Text.assemble(("Next: ", "dim"), (command, "cyan"), f"  ({why})")


def show_destroyed_json(result: "DestroyResult") -> None:
    """Print it as one JSON document."""
    removal = result.removal
    print_json(
        {
            "removed": result.removed,
            "everything": removal.everything,
            "items": removal.items,
            "answers_deleted": removal.answers if result.answers else 0,
            "answers_kept": 0 if result.answers else removal.answers,
            "cost_usd": removal.cost,
            "jobs": [_job_document(job) for job in removal.jobs],
            "batches_cleared": result.cleared,
            "left": list(result.left),
            "open_batches": result.open_batches,
        }
    )


def _job_document(job: JobRemoval) -> dict[str, Any]:
    return {
        "address": job.job,
        "whole": job.whole,
        "items": job.items,
        "succeeded": job.succeeded,
        "answers": job.answers,
        "cost_usd": job.cost,
    }
