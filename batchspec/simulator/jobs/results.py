"""The result files of a batch that ends, as they become files of the account."""

import os
from dataclasses import replace

from batchspec.simulator.faults import life
from batchspec.simulator.faults.batches import OddFiles
from batchspec.simulator.faults.dressing import Dressed, dress
from batchspec.simulator.faults.views import ErrorFile
from batchspec.simulator.jobs.database import Database, open_private
from batchspec.simulator.jobs.records import BatchRecord, FileRecord

RETENTION = 2_592_000.0
"""Seconds a file lives when nobody says otherwise: 30 days."""


def finish_files(
    database: Database, batch: BatchRecord, now: float
) -> tuple[BatchRecord, list[FileRecord]]:
    """Give the result files their last form.

    Args:
        database: Where they are.
        batch: As it ends, with all its lines written.
        now: Unix seconds.

    Returns:
        The batch with the ids of its files, and the files there are.
    """
    progress = batch.progress
    output = _finish(database, batch, batch.output_file_id, progress.output_bytes)
    empty = life.first(batch, ErrorFile)
    wanted = empty is not None and empty.form == "empty_file"
    error = _finish(database, batch, batch.error_file_id, progress.error_bytes, wanted=wanted)
    files = [
        FileRecord(
            id=found.id,
            bytes=found.bytes,
            created_at=now,
            filename=f"{batch.id}_{kind}.jsonl",
            purpose="batch_output",
            expires_at=now + (batch.output_expires_after or RETENTION),
        )
        for kind, found in (("output", output), ("error", error))
        if found is not None
    ]
    return replace(
        batch,
        output_file_id=output.id if output else batch.output_file_id,
        error_file_id=error.id if error else batch.error_file_id,
    ), files


def _finish(
    database: Database, batch: BatchRecord, file_id: str, length: int, *, wanted: bool = False
) -> Dressed | None:
    path = database.path(file_id)
    if not length:
        path.unlink(missing_ok=True)
        if wanted:
            os.close(open_private(path))
        return Dressed(file_id, 0) if wanted else None
    # A chunk that lost against a cancel may have left bytes behind.
    os.truncate(path, length)
    odd = life.first(batch, OddFiles)
    return Dressed(file_id, length) if odd is None else dress(file_id, database.files, odd)
