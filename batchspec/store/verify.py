"""Checks what must be true of a state whenever nobody is writing to it."""

import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from batchspec.ids import BatchId
from batchspec.state.events import BatchIntended, Event
from batchspec.state.folding import differences as differ
from batchspec.state.folding import folded
from batchspec.state.journal import event_from_json
from batchspec.store.contents import bodies, contracts
from batchspec.store.reader import StateReader
from batchspec.store.rules import RULES
from batchspec.store.schema import index_names
from batchspec.store.segments import segment_path

_RULES: dict[str, str] = {
    "item {} has no conversation": """
        SELECT i.id FROM items i LEFT JOIN conversations c ON c.id = i.conversation WHERE c.id
        IS NULL
    """,
    "item {} points at an old answer that was none": """
        SELECT i.id FROM items i LEFT JOIN conversations c ON c.id = i.previous WHERE i.previous
        IS NOT NULL AND (c.id IS NULL OR c.reply IS NULL)
    """,
    "conversation {} is in an unknown phase": """
        SELECT id FROM conversations WHERE phase NOT IN ('pending', 'batched', 'tools', 'final')
    """,
    "conversation {} is final without an outcome, or has one before it is final": """
        SELECT id FROM conversations WHERE (phase = 'final') <> (outcome IS NOT NULL)
    """,
    "conversation {} succeeded without a reply": """
        SELECT id FROM conversations WHERE outcome = 'succeeded' AND reply IS NULL
    """,
    "conversation {} is in a batch that is not open": """
        SELECT c.id FROM conversations c LEFT JOIN batches b ON b.number = c.batch WHERE c.phase
        = 'batched' AND coalesce(b.phase, '') NOT IN ('intended', 'submitted', 'ended')
    """,
    "batch {} is open and does not have the members it was made with": """
        SELECT b.id FROM batches b WHERE b.phase IN ('intended', 'submitted', 'ended') AND
        b.members <> (SELECT COUNT(*) FROM conversations c WHERE c.batch = b.number AND c.phase
        = 'batched')
    """,
    "batch {} is at the provider without an id of the provider": """
        SELECT id FROM batches WHERE phase IN ('submitted', 'ended', 'collected', 'lost') AND
        remote_id IS NULL
    """,
    "batch {} is one batch of the provider recorded twice": """
        SELECT MAX(id) FROM batches WHERE remote_id IS NOT NULL GROUP BY remote_id HAVING
        COUNT(*) > 1
    """,
    "batch {} is open at another account than its provider is bound to": """
        SELECT b.id FROM batches b JOIN lanes l ON l.id = b.lane JOIN accounts a ON a.provider =
        l.provider WHERE b.phase IN ('intended', 'submitted', 'ended') AND b.account <> a.account
    """,
    "batch {} was imported, and a member of it has no line there": """
        SELECT DISTINCT b.id FROM batches b JOIN conversations c ON c.batch = b.number AND c.phase =
        'batched' WHERE b.imported AND (b.number, c.id) NOT IN (SELECT f.batch, f.conversation FROM
        foreign_ids f)
    """,
    "batch {} is in an unknown phase": """
        SELECT id FROM batches WHERE phase NOT IN ('intended', 'submitted', 'ended', 'collected',
        'rejected', 'lost')
    """,
    "batch {} doubles another and has members of its own, or doubles none on record": """
        SELECT b.id FROM batches b WHERE b.double_of IS NOT NULL AND (b.members > 0 OR EXISTS
        (SELECT 1 FROM conversations c WHERE c.batch = b.number) OR NOT EXISTS (SELECT 1 FROM
        batches o WHERE o.id = b.double_of AND o.double_of IS NULL))
    """,
    "batch {} is to be cancelled without a reason, or was cancelled without an intent": """
        SELECT id FROM batches WHERE (cancel_at IS NULL) <> (cancel_reason IS NULL) OR
        (cancelled_at IS NOT NULL AND (cancel_at IS NULL OR remote_id IS NULL))
    """,
    "batch {} has no input file any more and is not done with": """
        SELECT id FROM batches WHERE tidied_at IS NOT NULL AND phase IN ('intended', 'submitted',
        'ended')
    """,
    "conversation {} can go on at its turn, which it cannot": """
        SELECT c.id FROM conversations c WHERE resumable NOT BETWEEN 0 AND 5 OR (phase = 'tools'
        AND resumable NOT IN (0, 4)) OR (phase IN ('pending', 'batched') AND resumable > 0) OR
        (phase = 'final' AND resumable > 0 AND (outcome NOT IN ('cancelled', 'expired', 'lost',
        'failed', 'exhausted') OR (resumable IN (2, 3) AND NOT EXISTS (SELECT 1 FROM tool_calls t
        WHERE t.conversation = c.id AND t.since = c.since AND t.turn = c.turn)) OR
        (resumable > 3 AND reply IS NULL)))
    """,
    "conversation {} was cancelled and waits to be sent": """
        SELECT id FROM conversations WHERE phase IN ('pending', 'tools') AND stopped
    """,
    "batch {} has requests answered in an unknown way": """
        SELECT id FROM batches WHERE via NOT IN ('batch', 'live')
    """,
    "lane {} is held for an unknown reason": """
        SELECT id FROM lanes WHERE hold_kind NOT IN ('full', 'probe') OR max_bytes < 1
    """,
    "conversation {} waits for tools without a call": """
        SELECT id FROM conversations c WHERE phase = 'tools' AND resumable = 0 AND NOT
        EXISTS (SELECT 1 FROM tool_calls t WHERE t.conversation = c.id AND t.since = c.since
        AND t.turn = c.turn)
    """,
    "conversation {} is in another lane than its contract": """
        SELECT c.id FROM conversations c JOIN contracts k ON k.id = c.contract WHERE k.lane <>
        c.lane
    """,
    "conversation {} was tried less often than it was answered": """
        SELECT c.id FROM conversations c JOIN turns t ON t.conversation = c.id GROUP BY c.id
        HAVING MAX(t.try) > c.tries
    """,
    "conversation {} cost less than its turns": """
        SELECT c.id FROM conversations c JOIN turns t ON t.conversation = c.id GROUP BY c.id
        HAVING c.input_tokens < SUM(t.input_tokens) OR c.output_tokens < SUM(t.output_tokens)
    """,
}
"""From what is told of a broken row to how such rows are found."""
EVERY_RULE = _RULES | RULES


def verify(directory: Path) -> list[str]:
    """Return what is broken in the state of one environment, a sentence each.

    Raises:
        StateError: There is no state, or it cannot be read at all.
    """
    found: list[str] = []
    with StateReader(directory) as reader:
        try:
            checks = _rows, _journal, _files, contracts, bodies
            for check in checks:
                found += check(reader)
        except sqlite3.DatabaseError as error:
            found.append(f"the file is damaged, and was not read to the end: {error}")
    return found


def _rows(reader: StateReader) -> Iterator[str]:
    db = reader.db
    (health,) = db.execute("PRAGMA quick_check(1)").fetchone()
    if health != "ok":
        yield f"the file is damaged: {health}"
    for table, row, other, _ in db.execute("PRAGMA foreign_key_check"):
        yield f"row {row or 'without a number'} of {table} points at a row of {other} that is gone"
    present = {
        name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'index'")
    }
    for missing in sorted(index_names() - present):
        yield f"the index {missing} is gone"
    for told, sql in EVERY_RULE.items():
        for (what,) in db.execute(sql):
            yield told.format(what)


def _journal(reader: StateReader) -> Iterator[str]:
    """Compare the batches with what the journal says happened to them."""
    unknown: Counter[str] = Counter()
    older: set[BatchId] = set()
    told, problems = folded(_events(reader, unknown, older))
    yield from problems
    for kind, n in unknown.items():
        yield f"the journal has {n} events of kind {kind} that cannot be read"
    try:
        recorded = {batch.id: batch for batch in reader.batches()}
    except (ValueError, TypeError, AttributeError) as error:
        yield f"the batches cannot be read: {error}"
        return
    for lost in told.keys() - recorded.keys():
        yield f"batch {lost} is in the journal and not among the batches"
    for untold in recorded.keys() - told.keys() - older:
        yield f"batch {untold} is on record and not in the journal"
    for name, batch in recorded.items():
        if name in told and (differences := differ(told[name], batch)):
            yield f"batch {name} is not what the journal says: {'; '.join(differences)}"


def _events(reader: StateReader, unknown: Counter[str], older: set[BatchId]) -> Iterator[Event]:
    """Yield the events of the journal; notes kinds it cannot read, and batches of schema 1."""
    for kind, payload in reader.db.execute("SELECT kind, payload FROM journal ORDER BY seq"):
        event = event_from_json(kind, payload)
        if event is None:
            unknown[kind] += 1
            continue
        if isinstance(event, BatchIntended) and not event.parts:
            older.add(event.id)
        yield event


def _files(reader: StateReader) -> Iterator[str]:
    """Look for every file of bodies that the rows know."""
    rows = reader.db.execute("SELECT id, bytes FROM artifacts WHERE records > 0")
    for number, size in rows:
        path = segment_path(reader.path.parent / "artifacts", number)
        try:
            found = path.stat().st_size
        except OSError:
            yield f"the file {path.name} of bodies is gone"
            continue
        if found != size:
            yield f"the file {path.name} of bodies has {found} bytes and should have {size}"
