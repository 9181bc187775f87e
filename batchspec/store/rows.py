"""Between SQL rows and records."""

import json
import sqlite3
from collections.abc import Mapping
from typing import Any

from batchspec.ids import BatchId, FileId, JobAddress, LaneId, RemoteId
from batchspec.state.records import BatchRecord, RequestCounts

SERIAL = "(SELECT value FROM meta WHERE key = 'serial')"
"""The counter of changes, as the transaction that asks found it."""
PRESENT = "since = (SELECT c.since FROM conversations c WHERE c.id = conversation)"
"""Of turns and tool calls: what belongs to the answer a conversation has or waits for."""
COUNTED = (
    "(c.output_retries > 0 AND EXISTS (SELECT 1 FROM tool_calls t "
    "WHERE t.conversation = c.id AND t.since = c.since AND t.turn = c.turn "
    "AND t.status = 'done' AND t.attempts = 0 AND NOT t.wrong AND NOT t.reused))"
)
"""Whether the last reply of a conversation `c` has calls that its judgement answered, with why an
output was not accepted: the turn that tells the model so is counted though it was not sent."""
ASKED = f"c.output_retries - {COUNTED}"
"""How often the model of a conversation `c` was asked again before its last reply."""
BATCH_COLUMNS = (
    "id, lane, phase, members, bytes, jobs, intended_at, input_file_id, create_at, creates, "
    "remote_id, status, total, completed, failed, submitted_at, output_file_id, error_file_id, "
    "ended_at, next_at, failures, note, looked_at, uploads, cancel_at, cancelled_at, double_of, "
    "account, via, imported, tidied_at, purged_at, cancel_reason, unread, data, "
    "traceparent"
)
UPDATE_BATCH = (
    "UPDATE batches SET phase=:phase, input_file_id=:input_file_id, create_at=:create_at, "
    "creates=:creates, remote_id=:remote_id, status=:status, total=:total, completed=:completed, "
    "failed=:failed, submitted_at=:submitted_at, output_file_id=:output_file_id, "
    "error_file_id=:error_file_id, ended_at=:ended_at, next_at=:next_at, failures=:failures, "
    "note=:note, looked_at=:looked_at, uploads=:uploads, cancel_at=:cancel_at, "
    "cancel_reason=:cancel_reason, cancelled_at=:cancelled_at, account=:account, "
    "tidied_at=:tidied_at, purged_at=:purged_at, unread=:unread WHERE id=:id"
)
INSERT_DOUBLE = """
INSERT INTO batches (id, lane, phase, members, bytes, jobs, intended_at, submitted_at, next_at,
  remote_id, status, input_file_id, double_of, cancel_at, cancel_reason, account)
SELECT :id, :lane, 'submitted', 0, 0, '{}', :at, :at, :at,
  :remote_id, :status, :input_file_id, :of, :at, 'double', account FROM batches WHERE id = :of
"""


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
        uploads=row[23],
        cancel_at=row[24],
        cancelled_at=row[25],
        double_of=None if row[26] is None else BatchId(row[26]),
        account=row[27],
        via=row[28],
        imported=bool(row[29]),
        tidied_at=row[30],
        purged_at=row[31],
        cancel_reason=row[32],
        unread=bool(row[33]),
        data=row[34],
        traceparent=row[35],
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
        "uploads": record.uploads,
        "cancel_at": record.cancel_at,
        "cancel_reason": record.cancel_reason,
        "cancelled_at": record.cancelled_at,
        "account": record.account,
        "tidied_at": record.tidied_at,
        "purged_at": record.purged_at,
        "unread": record.unread,
    }
