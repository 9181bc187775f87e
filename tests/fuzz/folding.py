"""Folding the journal: the events of each batch, one after another, give its row."""

from dataclasses import replace
from pathlib import Path

from batchspec.ids import BatchId
from batchspec.state.events import BatchIntended
from batchspec.state.machine import evolve
from batchspec.state.records import BatchRecord
from batchspec.store.browse import journal
from batchspec.store.reader import StateReader

_BESIDE = {"jobs": {}, "account": None, "via": "batch", "imported": False}
"""What a row has beside what its events say."""


def folded(reader: StateReader) -> dict[BatchId, BatchRecord]:
    """Return every batch as its events say that it is."""
    found: dict[BatchId, BatchRecord] = {}
    for entry in journal(reader):
        event = entry.event
        if isinstance(event, BatchIntended):
            found[event.id] = BatchRecord(
                id=event.id,
                lane=event.lane,
                members=event.members,
                bytes=event.bytes,
                intended_at=event.at,
                next_at=event.at,
            )
        elif event is not None and (id_ := getattr(event, "id", None)) in found:
            found[id_] = evolve(found[id_], event)  # type: ignore[arg-type]
    return found


def check_journal(state: Path) -> None:
    """Assert that the journal and the rows tell the same of every batch."""
    if not (state / "batchspec.db").exists():
        return
    with StateReader(state) as reader:
        rows = {batch.id: replace(batch, **_BESIDE) for batch in reader.batches()}
        assert folded(reader) == rows
