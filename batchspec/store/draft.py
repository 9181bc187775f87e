"""The body of a plan: a scratch database with one row per row of the specs.

Keys are noted as they are seen, so that doubled keys and removed rows are found without holding
them in memory; only rows that change carry a fingerprint and a body.
"""

import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from batchspec.errors import StateError
from batchspec.fingerprint import digest, row_digest
from batchspec.ids import BatchId, Fingerprint, JobAddress, RecordRef, member
from batchspec.messages import Contract
from batchspec.plan.planfile import Entry
from batchspec.ports import (
    PlannedRow,
)
from batchspec.state.kinds import Kind
from batchspec.state.stored import (
    DraftTotals,
    Duplicate,
    LastTurn,
    RecordedRow,
    StoredItem,
)
from batchspec.state.tokens import data_bytes
from batchspec.store import agreed, drafted, leaving, reused
from batchspec.store.agreed import Allowed
from batchspec.store.drafted import BLOBS, ITEMS, SAME, SCHEMA, compare
from batchspec.store.reader import StateReader
from batchspec.store.schema import explain
from batchspec.store.segments import SegmentWriter

_Item = tuple[Any, ...]
_Same = tuple[Any, ...]
_STORED = frozenset({Kind.SUBMIT, Kind.RESUBMIT, Kind.REUSE, Kind.UPDATE, Kind.CONTINUE})
_NOTHING = RecordedRow()
_NO_ITEM = (*(None,) * 6, *(False,) * 3, 0, 1, 0, False, None, None, False)
_NO_SAME = (*(None,) * 3, *(False,) * 3, None, False)
_PUT = (
    "INSERT OR IGNORE INTO rows (job, key, line, kind, fingerprint, body, size, digest, "
    "data) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


class SqliteDraft:
    """Implements `ports.Draft`.

    Args:
        folder: A scratch folder that does not exist yet; removed when the draft is used up.
        reader: The recorded state; closed with the draft.
        open_segment: Opens a segment for bodies in a folder; None for a plan to look at only.
    """

    def __init__(
        self,
        folder: Path,
        reader: StateReader,
        open_segment: Callable[[Path], SegmentWriter] | None,
    ) -> None:
        self.folder = folder
        self.path = folder / "plan.db"
        self._reader = reader
        self._open_segment = open_segment
        self.segments: list[SegmentWriter] = []
        folder.mkdir(mode=0o700)
        os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        self.db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        self.db.executescript(SCHEMA + agreed.SCHEMA)
        self.db.execute("BEGIN")
        self._numbers: dict[JobAddress, int] = {}
        self._recorded: dict[JobAddress, int | None] = {}
        self._empty = not reader.db.execute(
            "SELECT EXISTS (SELECT 1 FROM conversations)"
        ).fetchone()[0]

    @property
    def whole(self) -> bool:
        """Tell whether bodies are kept, so that the plan can be agreed to."""
        return self._open_segment is not None

    def begin(  # noqa: PLR0913 - one keyword per thing that is noted
        self,
        job: JobAddress,
        contract: Contract,
        policy: bytes,
        *,
        partial: bool = False,
        protect: bool = False,
        scoped: bool = False,
    ) -> bool:
        """Start a job; tells whether the state holds items of it."""
        row = self._reader.db.execute(
            "SELECT j.id FROM jobs j WHERE j.address = ? "
            "AND EXISTS (SELECT 1 FROM items i WHERE i.job = j.id)",
            (job,),
        ).fetchone()
        state = None if row is None else int(row[0])
        body = contract.canonical()
        number = len(self._numbers) + 1
        self._numbers[job] = number
        self._recorded[job] = state
        self.db.execute(
            "INSERT INTO jobs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                number,
                job,
                state,
                digest(body),
                contract.provider,
                contract.endpoint,
                contract.model,
                # As it was written: a model fills a schema in the order of its fields.
                json.dumps(contract.to_json()),
                policy,
                partial,
                protect,
                scoped,
                member(job).sample - 1,
            ),
        )
        return state is not None

    def made_of(
        self,
        job: JobAddress,
        upstream: Sequence[JobAddress],
        *,
        collects: bool,
        picks: bool,
        whole: bool,
    ) -> None:
        """Note whose answers the rows of a job are made of, and whether all of them are here.

        `collects`: all answers make one row. `picks`: a function of the spec takes some of them.
        """
        self.db.executemany(
            "INSERT INTO sources VALUES (?, ?, ?, ?, ?)",
            [(self._numbers[job], up, collects, picks, whole) for up in upstream],
        )

    def look(
        self, job: JobAddress, rows: Sequence[PlannedRow], before: float | None = None
    ) -> Sequence[RecordedRow]:
        """Return what is recorded for some rows, in the same order; see `ports.Draft`."""
        if self._empty:
            return [_NOTHING] * len(rows)
        items = self._items(self._recorded[job], rows, before)
        same = self._same([r.fingerprint for r in rows if not _kept(items.get(r.key), r)], before)
        return [_recorded(items.get(row.key), same.get(row.fingerprint)) for row in rows]

    def _items(
        self, job: int | None, rows: Sequence[PlannedRow], before: float | None
    ) -> dict[str, _Item]:
        if job is None:
            return {}
        keys = json.dumps([row.key for row in rows])
        found = self._reader.db.execute(ITEMS, (before, keys, job))
        return {row[0]: row[1:] for row in found}

    def _same(
        self, fingerprints: Sequence[Fingerprint], before: float | None
    ) -> dict[bytes, _Same]:
        found: dict[bytes, _Same] = {}
        for at in range(0, len(fingerprints), BLOBS):
            part = fingerprints[at : at + BLOBS]
            padded = (before, *part, *(b"",) * (BLOBS - len(part)))
            found.update((row[0], row[1:]) for row in self._reader.db.execute(SAME, padded))
        return found

    def put(
        self,
        job: JobAddress,
        rows: Sequence[tuple[PlannedRow, Kind]],
        size: Callable[[bytes], int],
    ) -> Sequence[Duplicate]:
        """Note rows as seen and keep those that change; returns rows whose key was seen before.

        Args:
            job: A job that was begun.
            rows: Rows with what happens to each.
            size: Tells the bytes of a line in an input file from its messages.
        """
        number = self._numbers[job]
        keep = self._keep
        values: list[tuple[Any, ...]] = []
        last, symbol = Kind.KEEP, None
        for row, kind in rows:
            if kind is not last:  # rows of one kind come together; an enum's value is dear
                last, symbol = kind, kind.value if kind in _STORED else None
            if symbol is None:
                values.append((number, row.key, row.line, None, None, None, None, None, None))
                continue
            seen, messages = row_digest(row.row_json), row.messages_json
            sizes = size(messages), seen, data_bytes(messages)
            values.append((number, row.key, row.line, symbol, row.fingerprint, keep(row), *sizes))
        before = self.db.total_changes
        try:
            self.db.executemany(_PUT, values)
        except sqlite3.Error as error:
            raise StateError(explain(error, self.path)) from error
        if self.db.total_changes - before == len(values):
            return ()
        return self._duplicates(number, [row for row, _ in rows])

    def ask_anew(self, rows: Sequence[PlannedRow], *, wished: bool = True) -> None:
        """Note rows whose conversations begin again, whatever was answered so far."""
        noted = [(row.fingerprint, wished) for row in rows]
        self.db.executemany("INSERT OR IGNORE INTO anew VALUES (?, ?)", noted)

    def _keep(self, row: PlannedRow) -> int | None:
        if self._open_segment is None:
            return None
        if not self.segments or self.segments[-1].full:
            self.segments.append(self._open_segment(self.folder))
        return self.segments[-1].append(row.messages_json + b"\t" + row.row_json)

    def _duplicates(self, number: int, rows: Sequence[PlannedRow]) -> Sequence[Duplicate]:
        found: list[Duplicate] = []
        here: set[str] = set()
        for row in rows:
            line = self.db.execute(
                "SELECT line FROM rows WHERE job = ? AND key = ?", (number, row.key)
            ).fetchone()[0]
            if line != row.line or row.key in here:
                found.append(Duplicate(row.key, line, row.line))
            here.add(row.key)
        return found

    def recorded_items(self, job: JobAddress) -> int:
        """Return how many items the state holds for a job; those not seen will be forgotten."""
        state = self._recorded[job]
        if state is None:
            return 0
        n: int = self._reader.db.execute(
            "SELECT COUNT(*) FROM items WHERE job = ?", (state,)
        ).fetchone()[0]
        return n

    def forget_job(self, job: JobAddress) -> int:
        """Note that a job is gone; returns how many items will be forgotten."""
        self.db.execute("INSERT INTO removed_jobs VALUES (?)", (job,))
        return self.items_of(job)

    def items_of(self, job: JobAddress) -> int:
        """Return how many items the state holds for a job, planned or not."""
        n: int = self._reader.db.execute(
            "SELECT COUNT(*) FROM items i JOIN jobs j ON j.id = i.job WHERE j.address = ?", (job,)
        ).fetchone()[0]
        return n

    def totals(self, job: JobAddress) -> DraftTotals:
        """Return the different requests a job would send, without those of jobs before it."""
        return drafted.totals(self.db, self._numbers[job])

    def resumed(self, job: JobAddress) -> Mapping[LastTurn, DraftTotals]:
        """Return what goes on from turns that were answered: its last requests, by their turn."""
        return drafted.resumed(self.db, self._reader.db, self._numbers[job])

    def record(self, ref: RecordRef) -> tuple[bytes, bytes]:
        """Return (messages, row) of a stored request."""
        messages, _, row = self._reader.bodies.get(ref).partition(b"\t")
        return messages, row

    def wanted(self, batch: BatchId) -> bool:
        """Tell whether some row wants a member of a batch once the plan is agreed to."""
        return leaving.wanted(self.db, self._reader.db, batch)

    def moved(self, job: JobAddress) -> Mapping[JobAddress, int]:
        """Return how many rows of a job take over what a forgotten item has, by that item's job."""
        return leaving.moved(self.db, self._reader.db, self._numbers[job], job)

    def staying(self, upstream: JobAddress, job: JobAddress) -> Iterator[int]:
        """Yield numbers of items of a job made of answers of another that stay as they are."""
        return leaving.staying(self.db, self._reader.db, upstream, job)

    def kept(self, job: JobAddress, keys: Sequence[str]) -> set[str]:
        """Return the keys of rows that the plan leaves as they are, also of a job that waits."""
        found = leaving.kept(self.db, job, keys)
        return found - reused.asked_anew(self.db, self._reader.db, job, keys)

    def note_kept(self, job: JobAddress, stays: Mapping[str, bool | None]) -> None:
        """Note rows of a job that waits, as they were compared, whatever becomes of others."""
        values = ((job, key, same) for key, same in stays.items())
        self.db.executemany("INSERT OR IGNORE INTO kept VALUES (?, ?, ?)", values)

    def note_reused(
        self, job: JobAddress, rows: Sequence[PlannedRow], before: float | None = None
    ) -> int:
        """Note those of some rows whose request was answered before; returns how many they are."""
        same = self._same([row.fingerprint for row in rows], before)
        good = {f for f, s in same.items() if s[1:4] == ("final", "succeeded", 0) and not s[-1]}
        return reused.note(self.db, job, [row for row in rows if row.fingerprint in good])

    def reused(self, job: JobAddress) -> Iterator[tuple[JobAddress, StoredItem]]:
        """Yield what noted rows will be, each with the job whose code judged the answer."""
        return reused.reused(self.db, self._reader.db, self._reader.bodies.get, job)

    def reused_own(self, job: JobAddress) -> int:
        """Return how many items of a job that waits only get another key, by the noted rows."""
        return reused.moved(self.db, self._reader.db, job)

    def compare(
        self, job: JobAddress, rows: Sequence[PlannedRow], before: float | None = None
    ) -> Mapping[str, bool | None]:
        """Return the keys of rows that have an item, and whether it has the row's answer.

        None: it has, and the row changed outside its request.
        """
        return compare(partial(self._items, before=before), self._reader.db, job, rows)

    # --- saved plans ---------------------------------------------------------------------------

    def entries(self, job: JobAddress) -> Iterator[Entry]:
        """Yield the rows of a job that change, and the items that are forgotten."""
        number = self._numbers.get(job)
        partial = False
        if number is not None:
            yield from agreed.changed(self.db, number, job)
            (partial,) = self.db.execute(
                "SELECT partial FROM jobs WHERE number = ?", (number,)
            ).fetchone()
        if not partial:
            yield from agreed.removed(self.db, self._reader.db, number, job)

    def allow(self, entries: Iterable[Entry]) -> None:
        """Note what a saved plan allows, before any job is begun."""
        agreed.load(self.db, entries)

    def allowed(self, job: JobAddress, rows: Sequence[PlannedRow]) -> Sequence[Allowed | None]:
        """Return what a saved plan says of some rows; None: nothing, or of another request."""
        return agreed.look(self.db, job, rows)

    def forget_allowed(self, job: JobAddress) -> int:
        """Forget the items a saved plan lists whose rows are not back; returns how many."""
        return agreed.forget(self.db, self._numbers[job], job)

    def vanished(self, job: JobAddress) -> int:
        """Return of how many rows that a saved plan has there is none any more."""
        return agreed.vanished(self.db, self._numbers[job], job)

    def seal(self) -> None:
        """Make the bodies durable and release the scratch file, so that a store can take it over.

        Raises:
            StateError: The disk is full.
        """
        try:
            for segment in self.segments:
                segment.close()
            self.db.execute("COMMIT")
        except (OSError, sqlite3.Error) as error:
            raise StateError(explain(error, self.path)) from error
        finally:
            self.db.close()
            self._reader.close()

    def discard(self) -> None:
        """Remove the draft from the disk; harmless once it is used up."""
        self.db.close()
        self._reader.close()
        for segment in self.segments:
            if not segment.closed:
                segment.abandon()
        shutil.rmtree(self.folder, ignore_errors=True)


def _kept(item: _Item | None, row: PlannedRow) -> bool:
    return item is not None and item[0] == row.fingerprint


def _recorded(item: "_Item | None", same: "_Same | None") -> RecordedRow:
    if item is None and same is None:
        return _NOTHING
    return RecordedRow._make((item or _NO_ITEM) + (same or _NO_SAME))
