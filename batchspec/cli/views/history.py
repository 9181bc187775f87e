"""The journal: what happened, when, and to which batch or job."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from rich.text import Text

from batchspec.cli.views.sentences import Narrator
from batchspec.cli.views.streams import print_json_list, print_prose, stdout
from batchspec.cli.views.words import clean
from batchspec.state.browsed import JournalEntry
from batchspec.state.events import BatchObserved
from batchspec.state.records import BatchRecord


def show_history(
    entries: Iterable[JournalEntry], batches: Iterable[BatchRecord], *, last: int | None
) -> None:
    """Print what happened, a line each, oldest first.

    Looks at a batch that found nothing new are left out.
    """
    lines = [
        Text.assemble((_when(entry.at), "dim"), "  ", sentence)
        for entry, sentence, news in _told(entries, batches)
        if news or not isinstance(entry.event, BatchObserved)
    ]
    shown = lines[-last:] if last else lines
    print_prose(stdout(), shown or [Text("Nothing has happened yet.")])


def show_history_json(
    entries: Iterable[JournalEntry], batches: Iterable[BatchRecord], *, last: int | None
) -> None:
    """Print every event as one JSON document."""
    documents = (_document(entry, sentence) for entry, sentence, _ in _told(entries, batches))
    print_json_list("events", list(documents)[-last:] if last else documents)


def _told(
    entries: Iterable[JournalEntry], batches: Iterable[BatchRecord]
) -> Iterator[tuple[JournalEntry, str, bool]]:
    narrator = Narrator()
    for batch in batches:
        narrator.named_by_provider(batch)
    for entry in entries:
        if entry.event is None:
            yield entry, f"{clean(entry.kind)} (this version does not know more of it).", True
        else:
            yield entry, *narrator.tell(entry.event)


def _document(entry: JournalEntry, sentence: str) -> dict[str, Any]:
    return {
        "seq": entry.seq,
        "at": entry.at,
        "type": entry.kind,
        "message": sentence,
        "event": dict(entry.payload),
    }


def _when(unix: float) -> str:
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
