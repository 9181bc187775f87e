"""Moves batches through their statuses, as the clock says, chunk by chunk."""

import logging
import math
import shutil
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from threading import Condition, RLock, Thread, current_thread

from batchspec.simulator.clock import Timekeeper
from batchspec.simulator.endpoints.models import dated_model
from batchspec.simulator.endpoints.port import Endpoint
from batchspec.simulator.faults import life
from batchspec.simulator.faults.rules import Faults
from batchspec.simulator.faults.runner import FaultyRunner
from batchspec.simulator.faults.tally import Tally
from batchspec.simulator.jobs.database import Database, insert_batch
from batchspec.simulator.jobs.lines import Chunk, write_chunk
from batchspec.simulator.jobs.quota import room_for_a_batch
from batchspec.simulator.jobs.records import BatchError, BatchRecord, FileRecord
from batchspec.simulator.jobs.results import finish_files
from batchspec.simulator.jobs.runner import Runner, SerialRunner
from batchspec.simulator.jobs.validation import (
    LineRules,
    Verdict,
    missing_file,
    request_limit,
    token_limit,
    validate_file,
    wrong_purpose,
)
from batchspec.simulator.wire import Pace

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How this simulator differs from another one."""

    pace: Pace = field(default_factory=Pace)
    shuffle: bool = True
    models: frozenset[str] | None = None
    enqueued_token_limit: int | Mapping[str, int] | None = None
    creates_per_hour: int | None = None
    enqueued_request_limit: int = 1_000_000
    """Requests for embeddings in open batches, of all models together."""

    def token_limit(self, model: str) -> int | None:
        limit = self.enqueued_token_limit
        return limit.get(model) if isinstance(limit, Mapping) else limit


class Engine:
    """Runs the batches of one database.

    Strategy: statuses follow from the record and the time alone, and the times written are those
    at which a change was *due*. So a server that was down, or a test whose clock jumps, sees what
    would have happened meanwhile.
    """

    def __init__(  # noqa: PLR0913  what a server is made of
        self,
        database: Database,
        endpoints: Mapping[str, Endpoint],
        clock: Timekeeper,
        rules: Rules,
        *,
        runner: Runner | None = None,
        faults: Faults | None = None,
    ) -> None:
        self.database = database
        self.endpoints = endpoints
        self.clock = clock
        self.rules = rules
        self.faults = faults or Faults()
        self.runner: Runner = runner or SerialRunner(endpoints, rules.pace)
        self.answering: Runner = FaultyRunner(self.runner, self.faults)
        """What the runner says, with what goes wrong with it."""
        self._working = RLock()
        self._wakeup = Condition()
        self._woken = False
        self._closed = False
        self._thread: Thread | None = None

    # --- driving

    def advance(self, now: float) -> None:
        """Do everything that is due at `now`, in the calling thread."""
        while self.step(now):
            pass

    def step(self, now: float) -> bool:
        """Move every open batch by at most one chunk or status; false when nothing was due."""
        with self._working:
            self.database.purge_files(now)
            moved = [self._moved(batch, now) for batch in self.database.open_batches()]
            return any(moved)

    def wake(self) -> None:
        """See to it that a thread works on what is due, now and until nothing is open."""
        with self._wakeup:
            self._woken = True
            if self._thread is None and not self._closed:
                self._thread = Thread(target=self._work, name="simulator", daemon=True)
                self._thread.start()
            self._wakeup.notify()

    def close(self) -> None:
        """Stop the thread at the next chunk and let go of the database."""
        with self._wakeup:
            self._closed = True
            thread = self._thread
            self._wakeup.notify()
        if thread is not None:
            thread.join()
        try:
            self.runner.close()
        finally:
            self.database.close()

    def _work(self) -> None:
        try:
            now = -math.inf
            while self._pause(now):
                now = self.clock()
                while not self._closed and self.step(now):
                    now = self.clock()
        finally:
            with self._wakeup:
                if self._thread is current_thread():
                    self._thread = None

    def _pause(self, done: float) -> bool:
        """Wait until there may be something to do; false when the thread is not needed.

        Args:
            done: The moment up to which everything has been done.
        """
        due = [self._due(batch) for batch in self.database.open_batches()]
        with self._wakeup:
            if self._woken or self._closed:
                self._woken = False
                return not self._closed
            if not due:
                # Given up under the lock, so that the next wake starts a new thread.
                self._thread = None
                return False
            self.clock.wait_until(self._wakeup, max(min(due), math.nextafter(done, math.inf)))
            return not self._closed

    def _due(self, batch: BatchRecord) -> float:
        """When the batch can move next; the thread sleeps until then, so it must then move."""
        if batch.progress.settled < batch.total:
            ready = self.answering.due(batch)
            return min(ready, self._deadline(batch)) if batch.status == "in_progress" else ready
        due = self._paced(batch)
        return due if batch.hurried_at is None else min(due, batch.hurried_at)

    def _paced(self, batch: BatchRecord) -> float:
        pace = life.paced(batch, self.rules.pace)
        match batch.status:
            case "validating":
                return batch.created_at + pace.validating
            case "in_progress":
                started = (batch.in_progress_at or 0.0) + pace.in_progress
                return max(started, batch.progress.replied_at, life.held_until(batch, default=0.0))
            case "finalizing":
                return (batch.finalizing_at or 0.0) + pace.finalizing
            case _:
                return (batch.cancelling_at or 0.0) + pace.cancelling

    def _deadline(self, batch: BatchRecord) -> float:
        return life.deadline(batch, self.rules.pace)

    # --- what begins

    def add_file(self, file: FileRecord) -> FileRecord:
        """Remember a new file, whose bytes are there, and return it with its faults."""
        tally = Tally()
        marked = self._mark(file, tally)
        self.database.add_file(marked, tally.write)
        return marked

    def add_batch(self, batch: BatchRecord) -> BatchRecord:
        """Remember a new batch, and return it with its faults.

        Raises:
            HTTPFailure: Too many were created within the hour.
        """
        tally = Tally()
        path = self.database.uploaded(batch.input_file_id)
        marked, others = life.mark_batch(self.faults, batch, path, self.rules.pace, tally)
        before = [partial(insert_batch, record=other) for other in others]
        room = room_for_a_batch(self.rules.creates_per_hour, batch.created_at)
        self.database.add_batch(marked, room, tally.write, *before)
        return marked

    def _mark(self, file: FileRecord, tally: Tally) -> FileRecord:
        return life.mark_file(self.faults, file, self.database.path(file.id), tally)

    # --- the life of a batch

    def cancel(self, batch_id: str, now: float) -> BatchRecord | None:
        """Begin to cancel an open batch; a batch that is ending or unknown stays as it is."""
        while (batch := self.database.batch(batch_id)) is not None:
            if batch.terminal or batch.status == "cancelling":
                return batch
            changed = replace(batch, status="cancelling", cancelling_at=now)
            if self.database.replace_batch(batch, changed):
                return changed
        return None

    def fail(self, batch: BatchRecord, errors: Sequence[BatchError], at: float) -> bool:
        """Give up an open batch as a whole; false if the record is out of date."""
        with self._working:
            changed = replace(batch, status="failed", failed_at=at, errors=list(errors))
            failed = self.database.replace_batch(batch, changed)
            if failed:
                for name in (f"{batch.id}.input", batch.output_file_id, batch.error_file_id):
                    self.database.path(name).unlink(missing_ok=True)
        return failed

    def _moved(self, batch: BatchRecord, now: float) -> bool:
        """Move a batch; what nobody expected ends this one, and no other."""
        try:
            return self._move(batch, now)
        except (sqlite3.Error, OSError):
            raise  # what holds all of them up, like a full disk, may pass
        except (Exception, SystemExit) as error:  # noqa: BLE001  whatever it is
            _log.exception("the batch %s cannot go on", batch.id)
            return self._lose(batch, f"The server had an error: {error!r}", now)

    def _move(self, batch: BatchRecord, now: float) -> bool:
        match batch.status:
            case "validating":
                return now >= self._due(batch) and self._validate(batch, now)
            case _ if batch.total and not self._input(batch).exists():
                # Somebody has deleted it from the directory.
                return self._lose(batch, "The input of this batch was lost.", now)
            case "in_progress":
                return self._progress(batch, now)
            case "finalizing":
                return self._finalize(batch, now)
            case _:
                return self._cancel(batch, now)

    def _lose(self, batch: BatchRecord, message: str, now: float) -> bool:
        return self.fail(batch, [BatchError(code="server_error", message=message)], now)

    def _validate(self, batch: BatchRecord, now: float) -> bool:
        due = self._due(batch)
        verdict = self._verdict(batch, now)
        if verdict.errors:
            return self.fail(batch, verdict.errors, due)
        changed = replace(
            batch,
            status="in_progress",
            in_progress_at=due,
            model=dated_model(verdict.model or ""),
            total=verdict.total,
            enqueued_tokens=verdict.tokens,
        )
        return self.database.replace_batch(batch, changed)

    def _verdict(self, batch: BatchRecord, now: float) -> Verdict:
        file = self.database.file(batch.input_file_id, now)
        if file is None or file.hidden_until > self._due(batch):
            return Verdict(errors=[missing_file(batch.input_file_id)])
        if file.purpose != "batch":
            return Verdict(errors=[wrong_purpose(file.id, file.purpose)])
        self._keep_input(batch)
        endpoint, limited = self.endpoints[batch.endpoint], self.rules.enqueued_token_limit
        rules = LineRules(
            endpoint=batch.endpoint,
            label=endpoint.label,
            required=endpoint.required,
            models=self.rules.models,
            count_tokens=None if limited is None else endpoint.count_tokens,
            count_inputs=None if endpoint.max_inputs is None else endpoint.count_inputs,
            max_inputs=endpoint.max_inputs,
        )
        verdict = validate_file(self._input(batch), rules)
        if not verdict.errors:
            named = replace(batch, model=verdict.model)
            verdict.errors = life.refusals(named) or self._over_limit(batch, verdict)
        return verdict

    def _over_limit(self, batch: BatchRecord, verdict: Verdict) -> list[BatchError]:
        """What the queue of the account says to one batch more."""
        model, rules = verdict.model or "", self.rules
        queue = self.database.open_batches()
        tokens = sum(b.enqueued_tokens for b in queue if b.model == dated_model(model))
        limit = rules.token_limit(model)
        if limit is not None and tokens + verdict.tokens > limit:
            return [token_limit(model, limit)]
        if self.endpoints[batch.endpoint].max_inputs is None:
            return []
        requests = sum(b.total for b in queue if b.endpoint == batch.endpoint)
        if requests + verdict.total > rules.enqueued_request_limit:
            return [request_limit(model, rules.enqueued_request_limit)]
        return []

    def _progress(self, batch: BatchRecord, now: float) -> bool:
        if batch.progress.settled < batch.total:
            if self._settle(batch, now):
                return True
            deadline = self._deadline(batch)
            if now < deadline:
                return False
            if (error := life.failure(batch)) is not None:
                return self.fail(batch, [error], deadline)
            changed = replace(batch, ending="expired", finalizing_at=deadline)
        else:
            due = self._due(batch)
            if now < due:
                return False
            changed = replace(batch, finalizing_at=due)
        return self.database.replace_batch(batch, replace(changed, status="finalizing"))

    def _finalize(self, batch: BatchRecord, now: float) -> bool:
        if batch.progress.settled < batch.total:
            return self._settle(batch, now)
        due = self._due(batch)
        if now < due:
            return False
        if batch.ending == "expired":
            return self._end(batch, replace(batch, status="expired", expired_at=due), due)
        return self._end(batch, replace(batch, status="completed", completed_at=due), due)

    def _cancel(self, batch: BatchRecord, now: float) -> bool:
        if batch.progress.settled < batch.total:
            return self._settle(batch, now)
        due = self._due(batch)
        if now < due:
            return False
        if life.races(batch):
            changed = replace(batch, status="completed", finalizing_at=due, completed_at=due)
            return self._end(batch, changed, due)
        return self._end(batch, replace(batch, status="cancelled", cancelled_at=due), due)

    def _settle(self, batch: BatchRecord, now: float) -> bool:
        """Write the lines that are ready; false when there is none."""
        chunk = self.answering.chunk(batch, self._input(batch), now)
        return chunk is not None and self._commit(batch, chunk)

    def _commit(self, batch: BatchRecord, chunk: Chunk) -> bool:
        """Append the lines and then say so; a batch that was changed meanwhile keeps neither."""
        output, errors = (
            self.database.path(file_id) for file_id in (batch.output_file_id, batch.error_file_id)
        )
        progress = write_chunk(chunk, output, errors, shuffle=self.rules.shuffle)
        self.database.replace_batch(batch, replace(batch, progress=progress), also=chunk.commits)
        return True

    def _end(self, batch: BatchRecord, changed: BatchRecord, now: float) -> bool:
        tally = Tally()
        changed, files = finish_files(self.database, changed, now)
        marked = [self._mark(file, tally) for file in files]
        if self.database.replace_batch(batch, changed, marked, (tally.write,)):
            self._input(batch).unlink(missing_ok=True)
            for old, new in (
                (batch.output_file_id, changed.output_file_id),
                (batch.error_file_id, changed.error_file_id),
            ):
                if old != new:
                    self.database.path(old).unlink(missing_ok=True)
        return True

    # --- the input, kept under a second name so that deleting the file harms no running batch

    def _input(self, batch: BatchRecord) -> Path:
        return self.database.path(f"{batch.id}.input")

    def _keep_input(self, batch: BatchRecord) -> None:
        source, kept = self.database.path(batch.input_file_id), self._input(batch)
        kept.unlink(missing_ok=True)
        try:
            kept.hardlink_to(source)
        except OSError:
            shutil.copyfile(source, kept)
