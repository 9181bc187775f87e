"""The state's folder under a lease: transactions, bodies, leftovers of a killed process."""

import shutil
import sqlite3
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from batchspec.errors import StateError
from batchspec.fingerprint import VERSION
from batchspec.ids import RecordRef
from batchspec.ports import (
    Body,
)
from batchspec.store import lease
from batchspec.store.rules import used_segments
from batchspec.store.schema import explain, immediate, open_database
from batchspec.store.segments import SegmentReader, SegmentWriter, segment_path, sync_folder
from batchspec.store.waiting import Patience

_CHECKPOINT_PAGES = 4000
_META = ("lineage", "serial")


class LeasedState:
    """The files of one environment, written by one process at a time.

    Args:
        directory: The folder of one environment; made when missing, mode 0700.
        now: Reads the clock, unix seconds.
        patience: How long to wait for a lease that somebody else holds; None: not at all.
    """

    def __init__(
        self, directory: Path, now: Callable[[], float], patience: Patience | None = None
    ) -> None:
        self.directory = directory
        self.patience = patience or Patience()
        self.path = directory / "batchspec.db"
        self.artifacts = directory / "artifacts"
        self.scratch = directory / "tmp"
        self._now = now
        self._fence: int | None = None
        with self._explained():
            for folder in (directory, self.artifacts, self.scratch):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._refuse_to_begin_anew()
        self.db = open_database(self.path)
        self.db.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        self.bodies = SegmentReader(self.artifacts)

    def _refuse_to_begin_anew(self) -> None:
        """Take a state that is missing for lost where its bodies are: all would be paid again."""
        if self.path.exists() and self.path.stat().st_size:
            return
        if any(self.artifacts.glob("*.jsonl.zst")):
            raise StateError(
                f"{self.path} is missing or empty, but the bodies in {self.artifacts} belong to "
                "it. Put back a copy of it; only to begin anew, and to pay again, move the whole "
                "folder away."
            )

    def initialise(self, lineage: str) -> None:
        """Give a new state its lineage; an older one keeps its own."""
        with self._explained():
            # Looked at first: a writer's long transaction must not hold up who only plans.
            if self.db.execute("SELECT COUNT(*) FROM meta").fetchone()[0] >= len(_META):
                return
            self.db.execute("INSERT OR IGNORE INTO meta VALUES ('lineage', ?)", (lineage,))
            self.db.execute("INSERT OR IGNORE INTO meta VALUES ('serial', 0)")
            self.db.execute("INSERT OR IGNORE INTO meta VALUES ('fingerprints', ?)", (VERSION,))

    @contextmanager
    def _explained(self) -> Generator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StateError(explain(error, self.path)) from error

    @contextmanager
    def transaction(self) -> Generator[sqlite3.Connection]:
        """Write atomically, fenced by the lease; the serial grows by one.

        Raises:
            LockedError: The lease was taken over.
            StateError: The file cannot be written; nothing was changed.
        """
        if self._fence is None:
            raise StateError("The state can be changed only while its lease is held.")
        with self._explained():
            self.db.execute("BEGIN IMMEDIATE")
            try:
                lease.check(self.db, self._fence, self._now())
                yield self.db
                self.db.execute("UPDATE meta SET value = value + 1 WHERE key = 'serial'")
                self.db.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    self.db.execute("ROLLBACK")
                raise

    # --- lease ---------------------------------------------------------------------------------

    def acquire(self, holder: str, operation: str, watcher: lease.Watcher | None = None) -> None:
        """Take the lease, waiting for it as long as `patience` says.

        Args:
            holder: An id minted by the caller.
            operation: What for, as people read it.
            watcher: Whose engine takes it, if it is one.

        Raises:
            LockedError: Somebody else holds it.
        """
        with self._explained():
            self._fence = self.patience.wait_for(
                lambda: lease.acquire(self.db, holder, operation, self._now(), watcher)
            )
            self._clean()

    def renew(self) -> None:
        """Record a heartbeat, from any thread and without waiting.

        It has a connection of its own, so that nothing this process does for long can silence it.
        While the file is busy it is left out: whoever writes then holds the lease.

        Raises:
            LockedError: The lease was taken over.
        """
        fence = self._fence
        if fence is None:
            return
        with (
            self._explained(),
            closing(sqlite3.connect(self.path, isolation_level=None, timeout=0)) as db,
        ):
            try:
                lease.renew(db, fence, self._now())
            except sqlite3.OperationalError as error:
                # The lower byte is the kind, the rest its circumstances.
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    raise

    def confirm(self) -> None:
        """Make sure that the lease is held now, waiting for whoever writes.

        Raises:
            LockedError: It was taken over.
        """
        if self._fence is not None:
            with self._explained(), immediate(self.db):
                lease.renew(self.db, self._fence, self._now())

    def release(self) -> None:
        """Give the lease back."""
        if self._fence is not None:
            with suppress(sqlite3.Error):
                lease.release(self.db, self._fence)
            self._fence = None

    # --- bodies ---------------------------------------------------------------------------

    def body(self, ref: RecordRef) -> bytes:
        """Return a stored body."""
        with self._explained():
            return self.bodies.get(ref)

    def scan(self, segment: int) -> Iterator[tuple[RecordRef, bytes]]:
        """Yield every record of a file of bodies, in order."""
        with self._explained():
            yield from self.bodies.scan(segment)

    def open_segment(self, kind: str) -> SegmentWriter:
        """Open a new segment for bodies."""
        return self._segment_in(self.artifacts, kind)

    def _segment_in(self, folder: Path, kind: str = "requests") -> SegmentWriter:
        with self._explained():
            number = self.db.execute(
                "INSERT INTO artifacts (kind, created) VALUES (?, ?)", (kind, self._now())
            ).lastrowid
            return SegmentWriter(segment_path(folder, number or 0), number or 0)

    @contextmanager
    def _undoing(self, segments: Sequence[Body]) -> Generator[None]:
        """Remove segments when the transaction that was to point at them fails.

        What comes after its commit, such as an interrupt, takes back nothing.
        """
        try:
            yield
        except BaseException:
            for segment in segments:
                if not self._recorded(segment):
                    segment.abandon()
            raise

    def _recorded(self, segment: Body) -> bool:
        with suppress(sqlite3.Error):
            sql = "SELECT 1 FROM artifacts WHERE id = ? AND records > 0"
            return self.db.execute(sql, (segment.segment,)).fetchone() is not None
        return False

    def close_segment(self, segment: Body) -> None:
        """Make a segment durable and note its size; one without records leaves no trace."""
        if not segment.records:
            segment.abandon()
            self.db.execute("DELETE FROM artifacts WHERE id = ?", (segment.segment,))
            return
        size = segment.close()
        sync_folder(self.artifacts)
        self.db.execute(
            "UPDATE artifacts SET records = ?, bytes = ? WHERE id = ?",
            (segment.records, size, segment.segment),
        )

    def _clean(self) -> None:
        """Remove what a killed process left: scratch files, and segments nothing points at."""
        for leftover in self.scratch.iterdir():
            owner = leftover.name.partition("-")[0]
            if leftover.is_dir() and owner.isdecimal() and lease.alive(int(owner)):
                continue
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)
        known = {row[0] for row in self.db.execute("SELECT id FROM artifacts WHERE records > 0")}
        left = {
            number: path
            for path in self.artifacts.glob("*.jsonl.zst")
            if (number := int(path.name.partition(".")[0])) not in known
        }
        # Where a row points at a file, the record of the file is what is wrong.
        for number in left.keys() - used_segments(self.db) if left else ():
            left[number].unlink()

    def close(self) -> None:
        """Release the lease and close the file."""
        self.release()
        self.bodies.close()
        with suppress(sqlite3.Error):
            self.db.execute("PRAGMA wal_checkpoint(PASSIVE)")
        self.db.close()
