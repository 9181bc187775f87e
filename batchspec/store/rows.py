"""Between SQL rows and records."""

import json
import sqlite3
from collections.abc import Mapping
from typing import Any

from batchspec.ids import BatchId, FileId, JobAddress, LaneId, RemoteId
from batchspec.state.records import BatchRecord, RequestCounts

BATCH_COLUMNS = (
    "id, lane, phase, members, bytes, jobs, intended_at, input_file_id, create_at, creates, "
    "remote_id, status, total, completed, failed, submitted_at, output_file_id, error_file_id, "
    "ended_at, next_at, failures, note, looked_at"
)
UPDATE_BATCH = (
    "UPDATE batches SET phase=:phase, input_file_id=:input_file_id, create_at=:create_at, "
    "creates=:creates, remote_id=:remote_id, status=:status, total=:total, completed=:completed, "
    "failed=:failed, submitted_at=:submitted_at, output_file_id=:output_file_id, "
    "error_file_id=:error_file_id, ended_at=:ended_at, next_at=:next_at, failures=:failures, "
    "note=:note, looked_at=:looked_at WHERE id=:id"
)


def batch_record(row: sqlite3.Row | tuple[Any, ...]) -> BatchRecord:
    """Read a row selected by `BATCH_COLUMNS`."""
    jobs: Mapping[str, int] = json.loads(row[5])
    return BatchRecord(
        id=BatchId(row[0]),
        lane=LaneId(row[1]),
        phase=row[2],
        members=row[3],
        bytes=row[4],
        jobs={JobAddress(job): n for job, n in jobs.items()},
        intended_at=row[6],
        input_file_id=None if row[7] is None else FileId(row[7]),
        create_at=row[8],
        creates=row[9],
        remote_id=None if row[10] is None else RemoteId(row[10]),
        status=row[11],
        counts=RequestCounts(row[12], row[13], row[14]),
        submitted_at=row[15],
        output_file_id=None if row[16] is None else FileId(row[16]),
        error_file_id=None if row[17] is None else FileId(row[17]),
        ended_at=row[18],
        next_at=row[19],
        failures=row[20],
        note=row[21],
        looked_at=row[22],
    )


def batch_values(record: BatchRecord) -> dict[str, Any]:
    """Return the parameters of `UPDATE_BATCH`."""
    return {
        "id": record.id,
        "phase": record.phase,
        "input_file_id": record.input_file_id,
        "create_at": record.create_at,
        "creates": record.creates,
        "remote_id": record.remote_id,
        "status": record.status,
        "total": record.counts.total,
        "completed": record.counts.completed,
        "failed": record.counts.failed,
        "submitted_at": record.submitted_at,
        "output_file_id": record.output_file_id,
        "error_file_id": record.error_file_id,
        "ended_at": record.ended_at,
        "next_at": record.next_at,
        "failures": record.failures,
        "note": record.note,
        "looked_at": record.looked_at,
    }
