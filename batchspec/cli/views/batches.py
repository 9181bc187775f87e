"""Batches at the providers, as a table or as JSON."""

from collections.abc import Sequence
from typing import Any

from rich.text import Text

from batchspec.cli.views.documents import batch_document
from batchspec.cli.views.sentences import short
from batchspec.cli.views.streams import print_json, print_prose, print_table, stdout
from batchspec.cli.views.words import clean, columns, duration
from batchspec.state.browsed import ListedBatch
from batchspec.state.records import BatchRecord

_HEAD = ("batch", "id at the provider", "model", "jobs", "status", "done", "age", "")
_DONE = frozenset({"collected", "rejected", "lost"})


def show_batches(batches: Sequence[ListedBatch], *, every: bool, now: float) -> None:
    """Print a table of batches."""
    if not batches:
        told = "There is no batch on record." if every else "No batch is open. All: --all"
        print_prose(stdout(), [Text(told)])
        return
    head = [Text(word, "dim") for word in _HEAD]
    print_table(stdout(), columns([head, *(_row(one, now) for one in batches)], right=(5, 6)))


def show_batches_json(batches: Sequence[ListedBatch]) -> None:
    """Print batches as one JSON document."""
    print_json({"batches": [listed_document(one) for one in batches]})


def listed_document(one: ListedBatch) -> dict[str, Any]:
    """Return a batch with everything that is recorded of it."""
    batch, lane = one
    return {
        **batch_document(batch),
        "provider": lane.provider,
        "model": lane.model,
        "endpoint": lane.endpoint,
        "bytes": batch.bytes,
        "total": batch.counts.total,
        "input_file_id": batch.input_file_id,
        "output_file_id": batch.output_file_id,
        "error_file_id": batch.error_file_id,
        "creates": batch.creates,
        "create_at": batch.create_at,
        "cancel_at": batch.cancel_at,
        "cancelled_at": batch.cancelled_at,
        "cancel_reason": batch.cancel_reason,
        "double_of": batch.double_of,
        "account": batch.account,
        "via": batch.via,
        "imported": batch.imported,
        "tidied_at": batch.tidied_at,
        "purged_at": batch.purged_at,
    }


def _row(one: ListedBatch, now: float) -> list[Text]:
    batch, lane = one
    done = batch.counts.completed + batch.counts.failed
    began = batch.submitted_at or batch.intended_at
    ended = batch.ended_at if batch.phase in _DONE else None
    return [
        Text(short(batch.id), "dim"),
        Text(clean(batch.remote_id or "-"), "bold"),
        Text(clean(f"{lane.provider}:{lane.model}")),
        Text(clean(", ".join(batch.jobs)) or "-"),
        _status(batch),
        Text(f"{done:,}/{batch.lines:,}"),
        Text(duration((ended or now) - began)),
        Text(clean("; ".join(_remarks(batch, now)))),
    ]


def _status(batch: BatchRecord) -> Text:
    if batch.phase in _DONE:
        bad = batch.phase != "collected"
        word = f"{batch.phase}, {batch.status}" if batch.status not in {None, "completed"} else None
        return Text(word or batch.phase, "red" if bad else "green")
    if batch.phase == "intended":
        return Text("created?" if batch.create_at is not None else "to be sent", "yellow")
    return Text(batch.status or batch.phase, "cyan")


def _remarks(batch: BatchRecord, now: float) -> list[str]:
    remarks: list[str] = []
    if batch.double_of:
        remarks.append(f"double of {short(batch.double_of)}, never read")
    if batch.cancel_at is not None:
        taken = batch.cancelled_at is not None or batch.phase in _DONE
        remarks.append(f"{'cancelled' if taken else 'to be cancelled'}: {batch.cancel_reason}")
    if batch.imported:
        remarks.append("imported")
    if batch.via == "live":
        remarks.append("asked one by one")
    if batch.note:
        remarks.append(batch.note)
    elif batch.phase not in _DONE and batch.next_at > now:
        remarks.append(f"next look in {duration(batch.next_at - now)}")
    return remarks
